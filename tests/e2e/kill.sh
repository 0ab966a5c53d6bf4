#!/bin/bash
# SPDX-License-Identifier: MIT
# Kill a part of upager with SIGKILL at random moments, while a tree of processes writes checked data.
#
#	kill.sh -u /path/to/upager [-b BINDIR] [-n ROUNDS] [-s SEED] [-o "upager options"] [-m KIB] [PART…]
#
# Parts: the supervisor (who traces the program), the front process (the pid the user started), the
# front before the program has started (start), and any process of the run, with the front after it.  Under a
# budget also a stub (with it goes the process whose thread it is), with the front after it.  After each kill the
# whole tree must be gone within two seconds, no byte in the files may be wrong (journal.c; with -m
# records.c of tests/memory, each of whose writers has KIB), and nothing may be left in /dev/shm or of a swap
# file $SWAPFILE that the options name. Prints "ok|FAIL PART" lines and a summary.
set -u
here=$(cd "$(dirname "$0")" && pwd)
upager=${UPAGER:-} bin=$here rounds=8 seed=$$ extra= writer=journal kib=

while getopts u:b:n:s:o:m: opt; do
	case $opt in
	u) upager=$OPTARG ;;
	b) bin=$OPTARG ;;
	n) rounds=$OPTARG ;;
	s) seed=$OPTARG ;;
	o) extra=$OPTARG ;;
	m) writer=records kib=$OPTARG ;;
	*) sed -n '5s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- supervisor front start any
[ -x "$upager" ] && [ -x "$bin/$writer" ] || { echo "kill.sh: needs -u UPAGER and -b BINDIR" >&2; exit 2; }
RANDOM=$((seed % 32768))
work=$(mktemp -d "${TMPDIR:-/tmp}/kill.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failed=0 records=0
extra=${extra//SWAPFILE/$work/swap}

# wait_for FILE: until it has a line; 10 seconds at the most.
wait_for()
{
	for _ in $(seq 1000); do
		[ -s "$1" ] && return 0
		sleep 0.01
	done
	return 1
}

# descendants PID: it and all below it.
descendants()
{
	local c
	echo "$1"
	for c in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		descendants "$c"
	done
}

# The stubs below a pid: threads with a name of their own.
stubs()
{
	local pid task
	for pid in $(descendants "$1"); do
		for task in /proc/"$pid"/task/*; do
			grep -qs '^upager-stub$' "$task/comm" && basename "$task"
		done
	done
}

# victim PART: the pid to kill.
victim()
{
	local front program all
	front=$(cat "$work/front")
	program=$(cat "$work/dir/pid" 2>/dev/null)
	case $1 in
	front | start) echo "$front" ;;
	supervisor) awk '/^TracerPid/ { print $2 }' "/proc/$program/status" 2>/dev/null ;;
	any | stub)
		if [ "$1" = any ]; then all=($(descendants "$front")); else all=($(stubs "$front")); fi
		[ ${#all[@]} -eq 0 ] || echo "${all[RANDOM % ${#all[@]}]}"
		;;
	esac
}

# once PART: one run, one kill. Sets $why when something is wrong.
once()
{
	local runner target
	rm -rf "$work"/*
	mkdir "$work/dir"
	"$bin/runone" -t 30 -p "$work/front" -e "$work/err" -s "$work/status" -- \
		"$upager" run $extra -- "$bin/$writer" write "$work/dir" $kib &
	runner=$!
	wait_for "$work/front" || why="did not start"
	[ "$1" = start ] || wait_for "$work/dir/pid" || why="the program did not start"
	sleep "0.$(printf %03d $((RANDOM % 300)))"
	target=$(victim "$1")
	[ "${target:-0}" -gt 0 ] || {
		why="found no $1 to kill"
		target=$(cat "$work/front")
	}
	kill -KILL "$target" 2>/dev/null
	if [ "$1" = any ] || [ "$1" = stub ]; then
		# When it was one of the program's, the rest goes on: ended like the others.
		sleep 0.1
		kill -KILL "$(cat "$work/front")" 2>/dev/null
	fi
	wait $runner
	[ -z "$why" ] || {
		why="$why; ended: $(tr '\n' ' ' <"$work/status")$(tail -n 3 "$work/err")"
		return
	}
	if ! grep -q '^\(exit\|signal\)' "$work/status" || grep -Eq "^(survivor|left)" "$work/status"; then
		why="after SIGKILL of $target: $(tr '\n' ' ' <"$work/status")"
	elif ! "$bin/$writer" check "$work/dir" $kib >"$work/count" 2>"$work/check"; then
		why=$(cat "$work/check")
	elif [ -e "$work/swap" ]; then
		why="left its swap file"
	else
		records=$((records + $(cat "$work/count") + 0))
	fi
}

echo "seed $seed"
for part; do
	why=
	for _ in $(seq "$rounds"); do
		once $part
		[ -z "$why" ] || break
	done
	if [ -z "$why" ]; then
		echo "ok $part"
	else
		failed=$((failed + 1))
		echo "FAIL $part: $why"
	fi
done
[ -z "$kib" ] || echo "$records records were written in all"
echo "kill: $(($# - failed)) passed, $failed failed"
[ $failed -eq 0 ]
