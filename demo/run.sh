#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs what is needed, builds upager, and shows programs under it: sudo demo/run.sh
# For a bare Debian 12; can be run again at any time.
set -eu -o pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build/release
log=$root/build/demo.log
packages="build-essential cmake ninja-build pkg-config liburing-dev libseccomp-dev libjansson-dev
	liblz4-dev libzstd-dev libxxhash-dev python3"

say()
{
	if [ -t 1 ]; then
		printf '\n\033[1m%s\033[0m\n' "$*"
	else
		printf '\n%s\n' "$*"
	fi
}

die()
{
	echo "demo/run.sh: $*" >&2
	exit 1
}

# install: get the missing packages, and only when some are missing.
install()
{
	missing=
	for p in $packages; do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q '^install ok installed$' ||
			missing="$missing $p"
	done
	[ -n "$missing" ] || return 0
	[ "$(id -u)" = 0 ] || die "must install packages:$missing; run me with sudo"
	say "Installing:$missing"
	export DEBIAN_FRONTEND=noninteractive
	apt-get -qq update
	# shellcheck disable=SC2086 # a list of words
	apt-get -qq -y install --no-install-recommends $missing >/dev/null
}

# show PROGRAM WHAT-TO-LOOK-AT [PROG ARG…]: run it under the pager, with its summary and $options.
options=
show()
{
	name=$1 hint=$2
	shift 2
	[ $# -gt 0 ] || set -- "$build/demo/$name"
	say "$name"
	echo "  look at: $hint"
	echo
	# shellcheck disable=SC2086 # a list of words
	"$build/pager/upager" run --stat $options -- "$@" 2>&1
}

install
say "Building upager in build/release"
mkdir -p "$root/build"
cd "$root"
{ cmake --preset release -DUPAGER_TESTS=OFF -G Ninja && cmake --build --preset release; } \
	>"$log" 2>&1 || { tail -n 30 "$log" >&2; die "the build failed; all of it is in $log"; }

say "Can this machine run it? (upager doctor)"
"$build/pager/upager" doctor || die "upager cannot run here; the lines above say what to change"

show first_touch "1000 faults answered by do_anonymous_page, for 1000 pages that were written first"
show zero_page "do_anonymous_page_zero maps one shared page of zeroes; do_wp_page_zero when one is written"
show stack_growth "about 1000 faults, from the stack that grew by 4 MiB"
show cow_fork "do_wp_page_copy in the child; do_wp_page_reuse in the parent, which is alone again"
show thread_storm "no more pages than were touched, though eight threads came to each at once"
show seq_random "in order the pager brings up to 64 pages a fault; at random each page is one fault"
show python3 "a program you know: unmodified, with its child process, thousands of faults, all answered here" \
	/usr/bin/python3 -c '
import json, re, subprocess
words = {str(i): i * i for i in range(20000)}
text = json.dumps(words)
print("python3 made", len(text), "bytes of JSON with", len(re.findall(r"\d+", text)), "numbers")
subprocess.run(["echo", "and a child process said hello"])
'
options="--memory 32M"
show small_room "half of its memory: what does not fit is compressed, and no word of it is lost"
say "A policy of your own: demo/policy/fair.c, built with one command"
cc -shared -fPIC -O2 -I "$root/include" -o "$build/fair.so" "$root/demo/policy/fair.c"
options="--memory 32M --policy $build/fair.so:ahead=16"
show small_room "the same under it: 16 pages are brought with each that is needed"
say "That was upager. Try it: $build/pager/upager run --stat -- PROG [ARG...]"
