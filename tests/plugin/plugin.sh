#!/bin/bash
# SPDX-License-Identifier: MIT
# Policies of the user's own in real runs: good ones, wrong ones, those that die; changed while a program runs.
#
#	plugin.sh -u /path/to/upager -b BINDIR -i BUILD/include CASE…
#
# Cases: good wrong deaths trial live install.  Prints "ok|FAIL|skip WHAT" lines and a summary; status 1 on any
# failure, 77 when the machine cannot run programs under upager at all.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../verdict.bash"
upager='' bin='' include=''

while getopts u:b:i: opt; do
	case $opt in
	u) upager=$(realpath "$OPTARG") ;;
	b) bin=$(realpath "$OPTARG") ;;
	i) include=$(realpath "$OPTARG") ;;
	*) sed -n '5s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ -x "$upager" ] && [ -x "$bin/pages" ] && [ -d "$include" ] && [ $# -gt 0 ] ||
	{ sed -n '5s/^#	/usage: /p' "$0" >&2; exit 2; }
"$upager" run -- true || { echo "skip: upager cannot run programs here"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/plugin.XXXXXX") || exit 2
cd "$work" || exit 2
cp "$bin"/*.so "$bin/pages" . # a path that is ours alone: see nobody_left
fronts=()
finish()
{
	[ ${#fronts[@]} -eq 0 ] || kill -KILL "${fronts[@]}" 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# contains WHAT FILE TEXT: exactly one line of FILE has it.
contains()
{
	expect "$1" "$(grep -cF -- "$3" "$2"; grep -vF -- "$3" "$2" | head -n 3)" "1"
}

# run POLICY PAGES ROUNDS CHILDREN: with 1 MiB; output to ./out, errors to ./err. Sets status.
run()
{
	timeout -k 5 60 "$upager" run --memory 1M --policy "$1" -- "$work/pages" "$2" "$3" "$4" >out 2>err </dev/null
	status=$?
}

# start POLICY: pages that run until stop. Sets front.
start()
{
	rm -f in && mkfifo in
	timeout -k 5 60 "$upager" run --memory 1M --policy "$1" -- "$work/pages" 600 0 2 <in >out 2>err &
	timer=$!
	exec {hold}>in
	until_true test -s out || { expect "$1 started" "$(cat err)" ''; exit 1; }
	front=$(pgrep -P $timer)
	fronts+=("$front")
}

# stop: sets status.
stop()
{
	exec {hold}>&-
	wait "$timer"
	status=$?
}

# figure KEY: of the run that was started.
figure()
{
	timeout 20 "$upager" ctl "$front" | sed -n "s/^$1=//p"
}

nobody_left()
{
	! pgrep -f "^$work/pages" >/dev/null
}

# ---- cases ----

case_good()
{
	local p
	for p in ./fifo.so ./fair.so ./fair.so:ahead=0 "$work/fair.so:ahead=16" ./hostile.so:good \
		./hostile.so:stubborn; do
		run "$p" 1000 3 2
		expect "$p" "$status $(cat out err)" "0 ok"
	done
}

case_wrong()
{
	local kind
	for kind in garbage pointer twice dead ask-dead set-dead null; do
		run ./hostile.so:$kind@300 1000 2 1
		expect "$kind: the program goes on" "$status $(cat out)" "0 ok"
		contains "$kind: it is said in one line" err "going on with"
	done
	for kind in many-runs stride-0; do
		run ./hostile.so:$kind 1000 2 1
		expect "$kind: the program goes on" "$status $(cat out)" "0 ok"
		contains "$kind: it is said in one line" err "upager: policy ./hostile.so: prefetch() gave"
	done
}

case_deaths()
{
	local kind what
	while read -r kind what; do
		run ./hostile.so:$kind@300 1000 0 2
		expect "$kind: status" $status 125
		contains "$kind: one line" err "upager: policy ./hostile.so $what; the program was ended"
		until_true nobody_left
		expect "$kind: nobody is left" "$(pgrep -af "^$work/pages")" ''
	done <<-END
		segv crashed in victim() (Segmentation fault)
		fpe crashed in victim() (Floating point exception)
		abort crashed in victim() (Aborted)
		exit ended the process in victim() (exit 0)
		_exit ended the process in victim() (exit 7)
		loop did not return from victim() for 5 seconds
	END
}

# Before anything is started.
case_trial()
{
	local spec what
	echo text >text.so
	while read -r spec what; do
		run "$spec" 10 1 0
		expect "$spec: status, and no program" "$status $(cat out)" "125 "
		contains "$spec: one line" err "$what"
	done <<-END
		./missing.so ./missing.so: No such file
		./text.so ./text.so: file too short
		./no-symbol.so does not define upager_policy
		./newer-abi.so build it anew
		./newer-size.so built for a newer upager
		./no-victim.so it has no victim()
		./hostile.so:refuse it does not want to
		./hostile.so:init-segv crashed in init()
		./hostile.so:init-_exit ended the process in init()
		./hostile.so:init-loop did not return from init()
		./fair.so:ahead=many bad arguments 'ahead=many'
	END
}

case_live()
{
	local p out_before
	start s3fifo
	expect "the policy at first" "$(figure policy)" s3fifo
	for p in ./fifo.so sieve ./fair.so:ahead=2 ./fair.so:ahead=0 arc ./hostile.so:good ./hostile.so:good lirs; do
		timeout 20 "$upager" ctl "$front" "policy=$p" >said 2>&1
		expect "change to $p" "$? $(cat said)" "0 "
		case $p in ./*) p=$work/${p#./} ;; esac
		expect "it is shown: $p" "$(figure policy)" "$p"
		out_before=$(figure evicted)
		until_true moved "$out_before"
		expect "it evicts" $? 0
	done
	while read -r p what; do
		timeout 20 "$upager" ctl "$front" "policy=$p" >said 2>&1
		expect "no change to $p" "$?" 1
		contains "$p: one line" said "$what"
	done <<-END
		nonsense no policy 'nonsense'
		./missing.so ./missing.so: No such file
		./hostile.so:init-segv crashed in init()
		./newer-abi.so build it anew
	END
	expect "the old policy goes on" "$(figure policy)" lirs
	cp "$bin/fair.so" anew.so
	timeout 20 "$upager" ctl "$front" policy=./anew.so:ahead=1
	rm anew.so && cp "$bin/fifo.so" anew.so
	timeout 20 "$upager" ctl "$front" policy=./anew.so:anything >said 2>&1
	expect "one that was built anew is loaded anew" "$? $(cat said)" "0 "
	timeout 20 "$upager" ctl "$front" policy=./hostile.so:garbage
	until_true grep -q "going on" err
	contains "a wrong one" err "hostile.so: victim() gave a page that is gone"
	expect "what is at work then" "$(figure policy)" "s3fifo (after a failure of $work/hostile.so)"
	timeout 20 "$upager" ctl "$front" policy=clock memory=2M
	expect "and after that" "$(figure policy) $(figure memory)" "clock 2097152"
	stop
	expect "no byte was wrong" "$status $(tail -n 1 out)" "0 ok"

	start fifo
	timeout 20 "$upager" ctl "$front" policy=./hostile.so:segv@50
	wait "$timer"
	expect "one that crashes later ends the run" $? 125
	exec {hold}>&-
	contains "with a line" err "hostile.so crashed in victim() (Segmentation fault); the program was ended"
}

moved() { [ "$(figure evicted)" -gt "$1" ]; }

# The one command, against what is installed.
case_install()
{
	cmake -DCMAKE_INSTALL_PREFIX="$work/usr" -P "$include/cmake_install.cmake" >log 2>&1 ||
		{ expect "install" "$(cat log)" ''; return; }
	for name in fifo fair; do
		cc -shared -fPIC -O2 -Wall -Wextra -Wno-unused-parameter -Werror -I usr/include -o mine.so \
			"$here/../../demo/policy/$name.c" >log 2>&1
		expect "cc $name.c" "$(cat log)" ''
		run ./mine.so 600 1 0
		expect "$name as it was built" "$status $(cat out err)" "0 ok"
	done
	echo '#include <upager/policy.h>' | cc -std=c99 -pedantic-errors -Wall -Werror -I usr/include -c -x c - 2>log
	expect "the header is plain C99" "$(cat log)" ''
	if command -v c++ >/dev/null; then
		echo '#include <upager/policy.h>' | c++ -Wall -Werror -I usr/include -c -x c++ - 2>log
		expect "and C++" "$(cat log)" ''
	fi
	expect "pkg-config" "$(PKG_CONFIG_PATH=$(dirname "$(find usr -name upager.pc)") pkg-config --cflags \
		--define-variable=prefix="$work/usr" upager | tr -d " ")" \
		"-I$work/usr/include"
}

for name in "$@"; do
	"case_$name"
done
summary plugin
