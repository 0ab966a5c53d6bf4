#!/bin/bash
# SPDX-License-Identifier: MIT
# Install what is needed, build, and run every test: `sudo tests/run.sh` on a bare Debian 12.
#
#	tests/run.sh [-k] [-p]
#
# -k: without the kernels of tests/kernels.sh.  -p: without installing packages.
# Presets dev (ASan and UBSan: unit, probe, e2e core) and release (everything), then tests/kernels.sh.
# Each stage has a time limit; what it said is in build/log.  Can be run again at no harm.
# The last line is "N passed, N failed, N skipped"; the status is 0 when nothing failed.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
log=$root/build/log
passed=0 failed=0 skipped=0
kernels=yes install=yes
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
exec </dev/null

packages=(build-essential cmake ninja-build pkg-config liburing-dev libseccomp-dev libjansson-dev liblz4-dev libzstd-dev libxxhash-dev
	libcmocka-dev qemu-system-x86 busybox-static cpio)

while getopts kp opt; do
	case $opt in
	k) kernels= ;;
	p) install= ;;
	*) sed -n '5s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
cd "$root" && mkdir -p "$log" || exit 2

# stage NAME SECONDS COMMAND…: run it, its output to build/log/NAME.log.
stage()
{
	local name=$1 limit=$2 start=$SECONDS
	shift 2
	printf '== %-16s ' "$name"
	timeout -k 10 "$limit" "$@" >"$log/$name.log" 2>&1
	local status=$?
	echo "$((SECONDS - start)) s$([ $status -eq 0 ] || echo ", status $status")"
	return $status
}

# A stage that had to work did not: it counts as one failure.
stage_failed()
{
	failed=$((failed + 1))
	tail -n 30 "$log/$1.log" | sed 's/^/   | /'
}

finish()
{
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}

missing_packages()
{
	local p
	for p in "${packages[@]}"; do
		dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q ' installed$' || echo "$p"
	done
}

install_packages()
{
	local missing
	[ ! -f tests/e2e/packages.txt ] ||
		mapfile -t -O ${#packages[@]} packages < <(grep -v '^#' tests/e2e/packages.txt | grep .)
	if command -v node >/dev/null; then # another node than Debian's will do
		mapfile -t packages < <(printf '%s\n' "${packages[@]}" | grep -vx nodejs)
	fi
	mapfile -t missing < <(missing_packages)
	[ ${#missing[@]} -gt 0 ] || return 0
	stage packages-update 300 apt-get update || { stage_failed packages-update; return 1; }
	stage packages 900 apt-get install -y --no-install-recommends "${missing[@]}" ||
		{ stage_failed packages; return 1; }
}

# Add the counts of a ctest run (its JUnit file) to ours.
count_junit()
{
	local tests failures skips
	tests=$(sed -n 's/^[ \t]*tests="\([0-9]*\)".*/\1/p' "$1" | head -n 1)
	failures=$(sed -n 's/^[ \t]*failures="\([0-9]*\)".*/\1/p' "$1" | head -n 1)
	skips=$(sed -n 's/^[ \t]*skipped="\([0-9]*\)".*/\1/p' "$1" | head -n 1)
	[ -n "$tests" ] && [ -n "$failures" ] && [ -n "$skips" ] || return 1
	passed=$((passed + tests - failures - skips))
	failed=$((failed + failures))
	skipped=$((skipped + skips))
}

# run_ctest STAGE PRESET SECONDS CTEST-OPTION…
run_ctest()
{
	local name=$1 preset=$2 limit=$3 junit=$log/$1.xml
	shift 3
	rm -f "$junit"
	stage "$name" "$limit" ctest --preset "$preset" -j "$(nproc)" --no-tests=error \
		--output-junit "$junit" "$@"
	local status=$? before=$failed
	if ! count_junit "$junit" 2>/dev/null; then
		stage_failed "$name"
	elif [ $status -ne 0 ]; then
		[ "$failed" -gt "$before" ] || failed=$((failed + 1)) # tests that could not be started
		grep -aE '\*\*\*|^FAIL|^ *[0-9]+ - ' "$log/$name.log" | sed 's/^/   | /'
	fi
}

build()
{
	stage "configure-$1" 120 cmake --preset "$1" -DUPAGER_TESTS=ON -G Ninja || { stage_failed "configure-$1"; return 1; }
	stage "build-$1" 900 cmake --build --preset "$1" -j "$(nproc)" || { stage_failed "build-$1"; return 1; }
}

# A ctest pattern for the e2e programs of the core list.
core_pattern()
{
	sed -n 's/^\([a-z0-9_-]*\).*/\1/p' tests/e2e/core.txt | sort -u | grep . | paste -sd'|'
}

run_kernels()
{
	stage kernels 1100 tests/kernels.sh
	local status=$? line
	line=$(grep '^kernels: ' "$log/kernels.log" | tail -n 1)
	if [[ $line =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped ]]; then
		passed=$((passed + BASH_REMATCH[1]))
		failed=$((failed + BASH_REMATCH[2]))
		skipped=$((skipped + BASH_REMATCH[3]))
		grep -a -B5 '^FAIL' "$log/kernels.log" | sed 's/^/   | /'
	elif [ $status -ne 0 ]; then
		stage_failed kernels
	fi
}

[ "$(id -u)" -eq 0 ] || { echo "tests/run.sh: must be root: sudo tests/run.sh" >&2; exit 2; }
[ -z "$install" ] || install_packages || finish
if build dev; then
	run_ctest test-dev dev 600 -L 'unit|probe|sim|diff'
	run_ctest test-dev-e2e dev 400 -R "^e2e\.($(core_pattern))\$"
fi
if build release; then
	run_ctest test-release release 1500
fi
[ -z "$kernels" ] || run_kernels
finish
