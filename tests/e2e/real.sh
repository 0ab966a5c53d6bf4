#!/bin/bash
# SPDX-License-Identifier: MIT
# Real programs of Debian packages, compared with their native run byte for byte.
#
#	real.sh -u /path/to/upager [-b BINDIR] [-c CHECKLEVEL] [-o "upager options"] [-t SECONDS] [-p PART] [-n WRAPPER] [NAME…]
#
# Each script real/NAME.sh (or .py) runs natively and then, whole, under `upager run`, in an empty folder
# with the same path and environment.  The same must come out: stdout, stderr, the way it ended, and
# every file in the folder.  A script with a line "# inside" runs natively both times and puts
# "upager run --" before the programs it starts by itself ($RUN).  With -n they only run natively, through
# WRAPPER.  -p 16: each script does all kinds of things that it does, but a sixteenth of the work (PART in its environment).
# Prints "ok NAME" or "FAIL NAME" with the first difference; status 1 on any failure.
set -u
here=$(cd "$(dirname "$0")" && pwd)
upager=${UPAGER:-} bin=$here level=1 extra= limit=90 part=1 wrapper=

while getopts u:b:c:o:t:p:n: opt; do
	case $opt in
	u) upager=$OPTARG ;;
	b) bin=$OPTARG ;;
	c) level=$OPTARG ;;
	o) extra=$OPTARG ;;
	t) limit=$OPTARG ;;
	p) part=$OPTARG ;;
	n) wrapper=$OPTARG ;;
	*) sed -n '5s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ -x "$upager" ] && [ -x "$bin/runone" ] || { echo "real.sh: needs -u UPAGER and -b BINDIR" >&2; exit 2; }
[ $# -gt 0 ] || set -- $(cd "$here/real" && printf '%s\n' * | sed 's/\.[a-z]*$//')

work=$(mktemp -d "${TMPDIR:-/tmp}/real.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0 failures=()

# run KIND SCRIPT [PREFIX…]: run the script in a fresh folder, keep all that came out in $work/KIND.
run()
{
	local kind=$1 script=$2
	shift 2
	rm -rf "$work/dir" "$work/$kind"
	mkdir -p "$work/dir" "$work/$kind"
	(
		cd "$work/dir" || exit 2
		exec env -i PATH=/usr/bin:/bin HOME="$work/dir" TMPDIR="$work/dir" LC_ALL=C TZ=UTC \
			SRC="$here" RUN="$RUN" PART="$part" "$bin/runone" -t "$limit" \
			-o "$work/$kind/stdout" -e "$work/$kind/stderr" -s "$work/$kind/status" -- "$@" "$script"
	)
	(cd "$work/dir" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum) \
		>"$work/$kind/files"
}

# first_difference: print which of the kept things differs, and how; fail when none does.
first_difference()
{
	for f in status stdout stderr files; do
		cmp -s "$work/native/$f" "$work/upager/$f" && continue
		echo "$f:"
		diff "$work/native/$f" "$work/upager/$f" | head -n 12 | cut -c1-200
		[ $f = stderr ] || tail -n 8 "$work/upager/stderr" | cut -c1-200
		return 0
	done
	return 1
}

for name; do
	script=$(ls "$here/real/$name".* 2>/dev/null) || { echo "real.sh: no real/$name" >&2; exit 2; }
	under=("$upager" run --check "$level" $extra --)
	RUN=
	run native "$script" $wrapper
	if ! grep -q '^exit 0$' "$work/native/status"; then
		failures+=("$name")
		echo "FAIL $name: natively: $(tr '\n' ' ' <"$work/native/status")"
		tail -n 8 "$work/native/stderr" | sed 's/^/     | /'
		continue
	fi
	[ -z "$wrapper" ] || { passed=$((passed + 1)); continue; }
	if grep -q '^# inside' "$script"; then
		RUN="${under[*]} "
		run upager "$script"
	else
		run upager "$script" "${under[@]}"
	fi
	if diff=$(first_difference); then
		failures+=("$name")
		echo "FAIL $name: $(sed '2,$s/^/     | /' <<<"$diff")"
	else
		passed=$((passed + 1))
		echo "ok $name"
	fi
done
echo "real: $passed passed, ${#failures[@]} failed${failures:+: ${failures[*]}}"
[ ${#failures[@]} -eq 0 ]
