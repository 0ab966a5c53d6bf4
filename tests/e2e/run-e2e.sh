#!/bin/sh
# SPDX-License-Identifier: MIT
# Run the programs of tests/e2e natively and then under upager, and compare.
#
#	run-e2e.sh -u /path/to/upager [-b BINDIR] [-c CHECKLEVEL] [-o "upager options"] [-t SECONDS]
#	           [-l LIST] [-n WRAPPER] PROG…|all
#
# LIST (default programs.txt beside this script) has one run a line: NAME[@CHECKLEVEL] [ARG…];
# PROG picks every line of that name.  A run is right when stdout and the way it ended (status or
# signal) are the same, and when it left no process behind and nothing in /dev/shm (runone.c).  A program
# that is not right natively (it says why on stderr) fails as well: it would prove nothing.
# With -n the programs only run natively, through WRAPPER.
# Prints "ok NAME" or "FAIL NAME" with the first difference; ends with a summary and status 1 on
# any failure.  Plain POSIX sh: it also runs in an initramfs on busybox.
set -u
here=$(cd "$(dirname "$0")" && pwd)
upager=${UPAGER:-} bin=$here level=3 extra= limit=60 list=$here/programs.txt wrapper=

usage()
{
	sed -n '5,6s/^#	//p' "$0" >&2
	exit 2
}

while getopts u:b:c:o:t:l:n: opt; do
	case $opt in
	u) upager=$OPTARG ;;
	b) bin=$OPTARG ;;
	c) level=$OPTARG ;;
	o) extra=$OPTARG ;;
	t) limit=$OPTARG ;;
	l) list=$OPTARG ;;
	n) wrapper=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] && [ -n "$upager" ] || usage
[ -x "$upager" ] || { echo "run-e2e.sh: $upager is not executable" >&2; exit 2; }
[ -x "$bin/runone" ] || { echo "run-e2e.sh: no runone in $bin (-b)" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/e2e.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 failures=

# fail NAME REASON: count it and show what helps to understand it.
fail()
{
	failed=$((failed + 1)) failures="$failures $1"
	echo "FAIL $1: $2"
	tail -n 15 "$work/err" 2>/dev/null | sed 's/^/     | /'
}

# What upager may say: without CAP_SYS_RESOURCE it cannot lift a hard limit on descriptors that is used up.
allowed='(limits|slain-static).*: upager: .* cannot be given a userfaultfd: Too many open files; .*'

# one NAME LEVEL PROG [ARG…]: run it both ways.
one()
{
	name=$1 check=$2
	shift 2
	: >"$work/err"
	# shellcheck disable=SC2086 # $wrapper and $extra are lists
	"$bin/runone" -t "$limit" -o "$work/native.out" -e "$work/err" -s "$work/native.st" -- $wrapper "$@" || {
		fail "$name" "natively: $(tr '\n' ' ' <"$work/native.st")"
		return
	}
	[ ! -s "$work/err" ] || {
		fail "$name" "is wrong natively"
		return
	}
	[ -z "$wrapper" ] || { passed=$((passed + 1)); return; }
	# shellcheck disable=SC2086
	"$bin/runone" -t "$limit" -o "$work/out" -e "$work/err" -s "$work/st" -- \
		"$upager" run --check "$check" $extra -- "$@"
	if ! cmp -s "$work/native.st" "$work/st"; then
		fail "$name" "ended '$(tr '\n' ' ' <"$work/st")', natively '$(tr '\n' ' ' <"$work/native.st")'; last line of stdout: $(tail -n 1 "$work/out"), of stderr: $(tail -n 1 "$work/err")"
	elif ! cmp -s "$work/native.out" "$work/out"; then
		fail "$name" "stdout differs: $(cmp "$work/native.out" "$work/out" 2>&1 | head -n 1)"
	elif said=$(sed "s/^/$name: /" "$work/err" | grep -E -v -x "$allowed"); then # natively there was nothing
		fail "$name" "said more than natively: $(echo "$said" | head -n 1)"
	else
		passed=$((passed + 1))
		echo "ok $name"
	fi
}

# selected NAME PROG…: was this name asked for?
selected()
{
	wanted=$1
	shift
	for p; do
		[ "$p" = "$wanted" ] || [ "$p" = all ] && return 0
	done
	return 1
}

for p; do
	[ "$p" = all ] || grep -Eq "^$p(@[0-9])?( |\$)" "$list" || {
		echo "run-e2e.sh: $p is not in $list" >&2
		exit 2
	}
done

while read -r spec args; do
	case $spec in
	'' | '#'*) continue ;;
	esac
	name=${spec%@*} at=$level
	[ "$name" = "$spec" ] || at=${spec#*@}
	[ "$at" -le "$level" ] || at=$level
	selected "$name" "$@" || continue
	# shellcheck disable=SC2086 # the list gives words
	one "$name${args:+ $args}" "$at" "$bin/$name" $args </dev/null
done <"$list"

echo "e2e: $passed passed, $failed failed${failures:+:$failures}"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
