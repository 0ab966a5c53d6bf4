#!/bin/bash
# SPDX-License-Identifier: MIT
# Measure the speed of upager: `sudo tests/bench/run.sh` on a bare Debian 12, nothing else running.
#
#	tests/bench/run.sh [-u UPAGER] [-b BUILD-DIR] [-o RESULT.json] [-m NAME-PART] [--quick]
#
# -u: measure this upager.  -b: take the bench programs, and upager unless -u, from this build as it is.
# Otherwise packages are installed where missing and the release preset is built.
# -m: only measures whose name contains NAME-PART; those of budget.sh only so, with -m budget.
# --quick: see that all works, judge no speed.
# Prints a table.  Status: 0 every limit holds, 1 one is missed, 2 a measure gave no number.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
upager='' build='' args=()
packages=(build-essential cmake ninja-build pkg-config liburing-dev libseccomp-dev libjansson-dev
	libcmocka-dev liblz4-dev libzstd-dev libxxhash-dev python3 sqlite3)

usage()
{
	sed -n '5s/^#	/usage: /p' "$0" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	-u) upager=${2-}; [ -n "$upager" ] || usage; shift 2 ;;
	-b) build=${2-}; [ -n "$build" ] || usage; shift 2 ;;
	-o | -m) [ -n "${2-}" ] || usage; args+=("$1" "$2"); shift 2 ;;
	--quick) args+=(--quick); shift ;;
	*) usage ;;
	esac
done

if [ "$(id -u)" -ne 0 ]; then
	echo "tests/bench/run.sh: must be root: sudo tests/bench/run.sh" >&2
	exit 2
fi

# Install what is missing and build the release preset; silent unless something fails.
make_build()
{
	local missing=() p targets=(bench_programs)

	for p in "${packages[@]}"; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q ' installed$' || missing+=("$p")
	done
	if [ ${#missing[@]} -gt 0 ]; then
		export DEBIAN_FRONTEND=noninteractive
		apt-get -q update && apt-get -qy install --no-install-recommends "${missing[@]}" || return
	fi
	[ -n "$upager" ] || targets+=(upager)
	cd "$root" && cmake --preset release -G Ninja &&
		cmake --build --preset release -j "$(nproc)" --target "${targets[@]}"
}

if [ -z "$build" ]; then
	build=$root/build/release
	log=$(mktemp)
	(make_build) >"$log" 2>&1 || { tail -n 30 "$log" >&2; rm -f "$log"; exit 2; }
	rm -f "$log"
fi
exec "$build/tests/bench/bench" -u "${upager:-$build/pager/upager}" -d "$build/tests/bench" "${args[@]}"
