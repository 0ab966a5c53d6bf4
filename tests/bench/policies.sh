#!/bin/bash
# SPDX-License-Identifier: MIT
# Which policy and which prefetcher?  Each with each, on the access patterns: a table of ns an access.
#
#	tests/bench/policies.sh [-u UPAGER] [-b BUILD-DIR] [-m BUDGET] [-r ROUNDS] [-p POLICIES] [-f PREFETCHERS] [-a PATTERNS]
#
# -m: of the 256 MiB, with a unit (128M).  -p, -f, -a: lists in quotes.  The median of ROUNDS (3) goes into the
# table; with it, by which the default is chosen, the geometric mean over the patterns.
# A cell where the run failed says so; the status is 1 then.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/build/release upager='' budget=128M rounds=3 failed=0
policies='fifo random clock lru2 2q arc lirs s3fifo sieve mru sfifo'
prefetchers='none cluster:8 readahead stride'
patterns='cyclic stride zipf uniform'

while getopts u:b:m:r:p:f:a: opt; do
	case $opt in
	u) upager=$OPTARG ;;
	b) build=$OPTARG ;;
	m) budget=$OPTARG ;;
	r) rounds=$OPTARG ;;
	p) policies=$OPTARG ;;
	f) prefetchers=$OPTARG ;;
	a) patterns=$OPTARG ;;
	*) sed -n '5s/^#	/usage: /p' "$0" >&2; exit 2 ;;
	esac
done
upager=${upager:-$build/pager/upager}

# median COMMAND…: of what COMMAND prints in ROUNDS runs; nothing when one fails.
median()
{
	local i
	for ((i = 0; i < rounds; i++)); do
		timeout 120 "$@" || return
	done | sort -n | awk -v m="$(((rounds + 1) / 2))" 'NR == m'
}

printf '%-10s %-12s' policy prefetch
printf ' %10s' $patterns mean
echo
for policy in $policies; do
	for prefetch in $prefetchers; do
		printf '%-10s %-12s' "$policy" "$prefetch"
		cells=()
		for pattern in $patterns; do
			ns=$(set -o pipefail; median "$upager" run --memory "$budget" --policy "$policy" \
				--prefetch "$prefetch" -- "$build/tests/bench/access" "$pattern") || ns=failed
			printf ' %10.10s' "$ns"
			cells+=("$ns")
		done
		case " ${cells[*]} " in
		*' failed '*) failed=1; echo ;;
		*) printf '%s\n' "${cells[@]}" | awk '{ sum += log($1) } END { printf " %10.1f\n", exp(sum / NR) }' ;;
		esac
	done
done
exit $failed
