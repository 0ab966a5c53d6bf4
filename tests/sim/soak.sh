#!/bin/sh
# SPDX-License-Identifier: MIT
# Simulate with new seeds for a while: soak.sh SECONDS [SIMULATE], one process a CPU.
#
# The first seed comes from the clock and is printed; a failure prints its own seed, small and readable.
# Ends with status 1 as soon as a process has failed.
set -u
seconds=${1:?usage: soak.sh SECONDS [SIMULATE]}
simulate=${2:-$(cd "$(dirname "$0")/../.." && pwd)/build/release/tests/sim/simulate}
[ -x "$simulate" ] || { echo "soak.sh: no $simulate: build it first" >&2; exit 2; }
pids=
n=0
while [ $n -lt "$(nproc)" ]; do
	seed=$(($(date +%s) * 1000000 + n * 500000))
	# some runs are long: state that takes many operations to build up
	"$simulate" -s "$seed" -t "$seconds" -l $((500 + n % 2 * 9500)) &
	pids="$pids $!"
	n=$((n + 1))
done
status=0
for pid in $pids; do
	wait "$pid" || status=1
done
exit $status
