# SPDX-License-Identifier: MIT
# What the scripts of tests/policy share: $upager, $bin, a folder of their own, verdicts.
#
#	. common.bash UPAGER BINDIR
set -u
upager=$(realpath "$1") bin=$(realpath "$2")
[ -x "$upager" ] && [ -d "$bin" ] || { echo "usage: $0 UPAGER BINDIR" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/policy.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
passed=0 failed=0

# check WHAT COMMAND…: one verdict, by the command's status.
check()
{
	local what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "ok $what"
	else
		failed=$((failed + 1))
		echo "FAIL $what"
	fi
}

# under OPTIONS… -- COMMAND…: run it under upager, checked against the kernel.
under()
{
	timeout 60 "$upager" run --check 3 "$@"
}

# usage_error WORD OPTION…: refused with 125 and one line that names WORD.
usage_error()
{
	local word=$1 status
	shift
	"$upager" run "$@" -- true 2>err
	status=$?
	[ $status = 125 ] && [ "$(wc -l <err)" = 1 ] && grep -qF -- "$word" err
}

finish()
{
	echo "$passed passed, $failed failed"
	[ $failed = 0 ]
	exit
}
