#!/bin/bash
# SPDX-License-Identifier: MIT
# The whole matrix of tests/memory: hours.
#
#	soak.sh -u /path/to/upager -b BINDIR [-r ROUNDS]
#
# In this order: SIGKILL of supervisor, stub, any process and front, ROUNDS (50) times each for every kind of swap;
# the larger programs of soak.txt; every program at every budget with every policy (run-memory.sh -f).
# Prints what they print; status 1 when one of them failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
upager='' bin='' rounds=50

while getopts u:b:r: opt; do
	case $opt in
	u) upager=$OPTARG ;;
	b) bin=$OPTARG ;;
	r) rounds=$OPTARG ;;
	*) sed -n '5s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
failed=0
list=$(mktemp) || exit 2
trap 'rm -f "$list"' EXIT
for swap in zpool file:SWAPFILE,size=64M "zpool:zstd,file:SWAPFILE,size=64M --swap-pool 128K"; do
	echo "== SIGKILL, --swap $swap"
	"$here/../e2e/kill.sh" -u "$upager" -b "$bin" -n "$rounds" -m 512 -o "--memory 512K --swap $swap" \
		supervisor stub any front || failed=1
done
for budget in 25% 50%; do
	echo "== larger programs, $budget"
	while read -r name args; do
		case $name in '' | '#'*) continue ;; esac
		echo "$name $args" >"$list"
		"$here/../e2e/run-e2e.sh" -u "$upager" -b "$bin" -l "$list" -c 1 -t 600 \
			-o "--memory $((${args%% *} * ${budget%\%} / 100))K" all || failed=1
	done <"$here/soak.txt"
done
echo "== every program, budget and policy"
"$here/run-memory.sh" -u "$upager" -b "$bin" -f -t 300 all || failed=1
exit $failed
