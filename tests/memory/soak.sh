#!/bin/bash
# SPDX-License-Identifier: MIT
# The whole matrix of tests/memory: hours, as many lanes at once as there are CPUs.
#
#	soak.sh -u /path/to/upager -b BINDIR [-r ROUNDS] [-d DIR]
#
# In this order: SIGKILL of supervisor, stub, any process and front, ROUNDS (50) times each for every kind of swap;
# the larger programs of soak.txt; every program at every budget with every policy (run-memory.sh -f).
# What went well is kept in DIR, a line each, and not run again by the next soak with that DIR: so it can be done in
# parts.  Without -d it all is.  Prints what they print; status 1 when one of them failed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
upager='' bin='' rounds=50 dir=''

while getopts u:b:r:d: opt; do
	case $opt in
	u) upager=$OPTARG ;;
	b) bin=$OPTARG ;;
	r) rounds=$OPTARG ;;
	d) dir=$OPTARG ;;
	*) sed -n '5s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
trap 'kill "${!lanes[@]}"; exit 130' INT TERM
mkdir -p "${dir:=$work}" && touch "$dir/done" || exit 2
failed=0
declare -A lanes=() # pid: what it does

# in_lane WHAT COMMAND…: in the background, as soon as a lane is free; not if it is among what is done.
in_lane()
{
	local what=$1
	shift
	grep -qxF -- "$what" "$dir/done" && return
	[ ${#lanes[@]} -lt "$(nproc)" ] || one_ends
	"$@" >"$work/$what" 2>&1 &
	lanes[$!]=$what
}

one_ends()
{
	local pid what status
	wait -n -p pid
	status=$?
	what=${lanes[$pid]}
	unset "lanes[$pid]"
	echo "== $what"
	cat "$work/$what"
	if [ $status -eq 0 ]; then
		echo "$what" >>"$dir/done"
	else
		failed=1
	fi
}

for swap in zpool file:SWAPFILE,size=64M "zpool:zstd,file:SWAPFILE,size=64M --swap-pool 128K"; do
	for part in supervisor stub any front; do
		in_lane "$rounds times SIGKILL of $part, $swap" \
			"$here/../e2e/kill.sh" -u "$upager" -b "$bin" -n "$rounds" -m 512 -o "--memory 512K --swap $swap" $part
	done
done
for budget in 25 50; do
	while read -r name kib args; do
		case $name in '' | '#'*) continue ;; esac
		line="$name $kib${args:+ $args}"
		echo "$line" >"$work/$budget $line.list"
		in_lane "$line, $budget %" "$here/../e2e/run-e2e.sh" -u "$upager" -b "$bin" -l "$work/$budget $line.list" -c 1 \
			-t 600 -o "--memory $((kib * budget / 100))K" all
	done <"$here/soak.txt"
done
while [ ${#lanes[@]} -gt 0 ]; do
	one_ends
done
for ((i = 0; i < $(nproc); i++)); do
	"$here/run-memory.sh" -u "$upager" -b "$bin" -f -t 300 -s "$i/$(nproc)" -d "$dir/done" all &
	lanes[$!]="lane $i"
done
for pid in "${!lanes[@]}"; do
	wait "$pid" || failed=1
done
exit $failed
