#!/bin/bash
# SPDX-License-Identifier: MIT
# A run in progress, asked from outside: `upager maps`, `upager ctl`, the control socket, --dump-mm.
#
#	ctl.sh -u /path/to/upager -b BINDIR CASE…
#
# Cases: maps list settings options socket clients dump bad.  Prints "ok|FAIL|skip WHAT" lines and a summary; status 1 on
# any failure, 77 when the machine cannot run programs under upager at all.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../verdict.bash"
upager='' bin=''

while getopts u:b: opt; do
	case $opt in
	u) upager=$(realpath "$OPTARG") ;;
	b) bin=$(realpath "$OPTARG") ;;
	*) sed -n '5s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ -x "$upager" ] && [ -x "$bin/sleeper" ] && [ $# -gt 0 ] ||
	{ sed -n '5s/^#	/usage: /p' "$0" >&2; exit 2; }
"$upager" run -- true || { echo "skip: upager cannot run programs here"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/ctl.XXXXXX") || exit 2
chmod 755 "$work"
cd "$work" || exit 2
fronts=()
finish()
{
	[ ${#fronts[@]} -eq 0 ] || kill -KILL "${fronts[@]}" 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
mask=022

# start NAME [OPTION…]: a sleeper under upager. Sets front, program, supervisor, area, tid, child, sock.
start()
{
	local name=$1
	shift
	mkfifo "$name.in"
	(umask "$mask"; exec "$upager" run "$@" -- "$bin/sleeper") \
		<"$name.in" >"$name.out" 2>"$name.err" &
	front=$!
	fronts+=($front)
	exec {hold}>"$name.in"
	until_true test -s "$name.out" || { verdict "$name started" "$(cat "$name.err")"; exit 1; }
	read -r _ area _ tid _ child <"$name.out"
	program=$(awk '/^PPid/ { print $2 }' "/proc/$child/status")
	supervisor=$(awk '/^TracerPid/ { print $2 }' "/proc/$program/status")
	sock=$(find /run/upager /run/user/*/upager "${XDG_RUNTIME_DIR:-/none}/upager" \
		"/tmp/upager-$(id -u)" -name "$front" 2>/dev/null | head -n 1)
}

# stop: let it end by itself. Sets status.
stop()
{
	exec {hold}>&-
	wait "$front"
	status=$?
}

# field KEY: its number in the mapping of $area of the answer in ./answer.
field()
{
	awk -v start="^0*$area-" -v key="$1:" '
		/^[0-9a-f]+-[0-9a-f]+ / { here = $1 ~ start }
		here && $1 == key { print $2 }' answer
}

# ask ARG…: its answer to ./answer, its complaint to ./complaint.
ask()
{
	timeout 20 "$upager" maps "$@" >answer 2>complaint
}

# settings ARG…: the same of upager ctl.
settings()
{
	timeout 20 "$upager" ctl "$@" >answer 2>complaint
}

# refuses STATUS WHAT ARG…: one line on stderr, nothing on stdout.
refuses()
{
	refused ask maps "$@"
}

# refused ask|settings COMMAND STATUS WHAT ARG…
refused()
{
	local how=$1 command=$2 want=$3 what=$4 got
	shift 4
	$how "$@"
	got=$?
	if [ $got != "$want" ]; then
		verdict "$what" "exit $got, expected $want"
	elif [ -s answer ] || [ "$(wc -l <complaint)" != 1 ] || ! grep -q "^upager $command: " complaint; then
		verdict "$what" "not one line: '$(cat answer complaint | head -c 300)'"
	else
		verdict "$what" ''
	fi
}

gone() { [ ! -e "/proc/$1" ]; }

# ---- cases ----

case_maps()
{
	start sleeper --fault-around off
	ask "$program" || verdict "maps of the program" "$(cat complaint)"
	expect "written and unshared by the child: Rss" "$(field Rss)" 40
	expect "read only: Zero" "$(field Zero)" 20
	expect "still shared with the child: Shared" "$(field Shared)" 28
	expect "write-protected: all since the fork" "$(field WriteProtected)" 60
	expect "managed" "$(field Managed)" yes
	expect "two users: the main task and a thread" "$(awk '/^mm_users/ { print $2 }' answer)" 2
	expect "its anon_vma reaches the child's vma too" \
		"$(awk -v a="^0*$area-" '/^[0-9a-f]+-/ { h = $1 ~ a } h && /^AnonVma/ { print $NF }' answer)" 2
	python3 "$here/compare.py" "$program" answer >differences
	expect "the program agrees with /proc/PID" "$(cat differences)" ''
	cp answer of-program
	ask "$child"
	expect "the child's own copies are not shared" "$(field Shared)" 28
	expect "the child's Rss" "$(field Rss)" 40
	expect "the child's written pages are open" "$(field WriteProtected)" 48
	python3 "$here/compare.py" "$child" answer >differences
	expect "the child agrees with /proc/PID" "$(cat differences)" ''
	for pid in $front $tid $supervisor; do
		ask "$pid"
		expect "asked by pid $pid of the run" "$(cat complaint; cmp answer of-program)" ''
	done
	stop
	expect "the program ends well" $status 0

	mkfifo py.in
	"$upager" run -- python3 -c 'import json, re, sys, threading
print("ready", flush=True); sys.stdin.read()' <py.in >py.out &
	front=$!
	fronts+=($front)
	exec {hold}>py.in
	until_true test -s py.out
	ask $front
	python3 "$here/compare.py" "$(pgrep -P $front python3)" answer >differences
	expect "python3 agrees with /proc/PID" "$(cat differences)" ''
	stop
}

case_list()
{
	local front1 program1 hold1
	start one
	front1=$front program1=$program hold1=$hold
	start two
	ask
	expect "list" $? 0
	for f in $front1 $front; do
		expect "run $f is listed once" "$(grep -c "^run $f: $bin/sleeper" answer)" 1
	done
	for p in $program1 $program $child; do
		expect "process $p is listed once" "$(awk -v p="$p" '$1 == p' answer | wc -l)" 1
	done
	expect "a program's threads" "$(awk -v p="$program" '$1 == p { print $3 }' answer)" 2
	ask "$front"
	expect "the second run's own area" "$(field Size)" 256
	stop
	ask
	expect "after its end it is listed no more" "$(grep -c "^run $front:" answer)" 0
	expect "the first still is" "$(grep -c "^run $front1:" answer)" 1
	ending_run silent
	ending_run answering 'ok 9'
	front=$front1 hold=$hold1
	stop
}

# ending_run HOW [ANSWER]: a run that is asked and ends before it has answered, or in the midst of it, is none.
ending_run()
{
	local ending
	rm -f made
	python3 -c '
import os, socket, sys
open("/proc/self/comm", "w").write("upager")
folder, done, *answer = sys.argv[1:]
path = f"{folder}/{os.getpid()}"
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen()
s.settimeout(20)
open(done, "w").write(path)
c, _ = s.accept()
os.unlink(path)
for a in answer:
    c.sendall(a.encode() + b"\n")' "$(dirname "$sock")" made "${@:2}" &
	ending=$!
	until_true test -s made
	ask
	expect "a list while one ends, $1" "$? $(cat complaint)" "0 "
	expect "it is not in it, $1" "$(grep -c "^run $ending:" answer)" 0
	wait $ending
}

# value KEY: of ./answer, the answer of upager ctl.
value()
{
	sed -n "s/^$1=//p" answer
}

# Pages of the area that are not none, in KiB: here, the zero page, or out.  How many is chance: fault-around stops at the
# border of a page table.
populated()
{
	echo $(($(field Rss) + $(field Zero) + $(field Swap)))
}

case_settings()
{
	local pid before
	start settings --memory 1M --policy sieve
	for pid in $front $program $child $tid $supervisor; do
		settings "$pid"
		expect "asked by pid $pid of the run" "$? $(value memory) $(value policy)" "0 1048576 sieve"
	done
	expect "each line is KEY=VALUE" "$(grep -cvE '^[a-z_]+=' answer)" 0
	[ "$(value resident)" -gt 0 ] && [ "$(value resident)" -le 1048576 ]
	expect "no more is resident than the budget" $? 0
	ask "$program"
	before=$(populated)
	[ "$before" -ge 60 ]
	expect "what was touched is populated ($before KiB)" $? 0
	settings "$front" memory=128K
	expect "a smaller budget" "$? $(cat answer complaint)" "0 "
	until_true shrunk 131072
	settings "$child"
	expect "it is kept" "$(value memory) $(($(value resident) <= 131072))" "131072 1"
	ask "$program"
	expect "its pages are here, the zero page or swapped" "$(populated) $(($(field Swap) > 0))" "$before 1"
	settings "$front" memory=2M policy=lru2:inactive=40%
	expect "two settings" "$?" 0
	settings "$front"
	expect "are both there" "$(value memory) $(value policy)" "2097152 lru2:inactive=40%"
	refused settings ctl 1 "the second is wrong" "$front" memory=3M policy=nonsense
	settings "$front"
	expect "the first is done, the second as it was" "$(value memory) $(value policy)" \
		"3145728 lru2:inactive=40%"
	refused settings ctl 1 "too small" "$front" memory=4K
	refused settings ctl 1 "not a size" "$front" memory=much
	refused settings ctl 1 "a bad parameter" "$front" policy=sieve:what=1
	refused settings ctl 1 "an unknown setting" "$front" frobnicate=1
	refused settings ctl 1 "nothing said" "$front" =
	refused settings ctl 1 "a path that is not there" "$front" policy=./missing.so
	refused settings ctl 1 "too long" "$front" "policy=$(printf %05000d 0)"
	refused settings ctl 1 "two lines" "$front" $'policy=sieve\nlist'
	refused settings ctl 125 "no value" "$front" memory
	refused settings ctl 125 "no pid" memory=1M
	refused settings ctl 125 "nothing at all"
	refused settings ctl 125 "unknown option" --frobnicate
	refused settings ctl 1 "not under upager" $$ memory=1M
	"$upager" ctl --help >answer
	expect "--help" "$? $(grep -c '^Usage' answer)" "0 1"
	stop
	expect "the program ends well" $status 0

	start unlimited
	settings "$front"
	expect "a run without a budget" "$? $(value memory)" "0 0"
	refused settings ctl 1 "cannot be given one" "$front" memory=1M
	refused settings ctl 1 "and no policy" "$front" policy=sieve
	stop
	expect "it ends well" $status 0
}

# What is said on the command line of the budget, and is wrong: 125 and one line, before anything is started.
case_options()
{
	local words what
	while IFS='|' read -r words what; do
		# shellcheck disable=SC2086 # a list of words
		timeout 20 "$upager" run $words -- touch started 2>complaint
		expect "$words" "$? $(wc -l <complaint)" "125 1"
		expect "it is said why: $what" "$(grep -cF -- "$what" complaint)" 1
	done <<-END
		--memory much|bad memory size 'much'
		--memory 1.5M|bad memory size '1.5M'
		--memory -1|bad memory size '-1'
		--memory 99999999999T|bad memory size
		--memory 0|too small
		--memory 65535|64K at least
		--policy sieve|--policy needs --memory
		--prefetch none|--prefetch needs --memory
		--swap zpool|--swap needs --memory
		--swap-pool 1M|--swap-pool needs --memory
		--memory 1M --policy nonsense|no policy 'nonsense': there are
		--memory 1M --policy s3fifo:what=1|unknown parameter 'what'
		--memory 1M --policy s3fifo:small=much|small
		--memory 1M --policy :|a name is missing
		--memory 1M --prefetch nonsense|no prefetcher 'nonsense': there are
		--memory 1M --prefetch off|no prefetcher 'off'
		--memory 1M --prefetch ./mine.so|no prefetcher
		--memory 1M --swap nonsense|bad swap 'nonsense'
		--memory 1M --swap zpool:gzip|zpool:lz4 or zpool:zstd
		--memory 1M --swap file:|file:PATH
		--memory 1M --swap file:a,file:b|a second swap file
		--memory 1M --swap file:a --swap file:b|a second swap file
		--memory 1M --swap size=1G|bad swap 'size=1G'
		--memory 1M --swap file:a,size=0|bad size
		--memory 1M --swap file:a,checksum=maybe|on or off
		--memory 1M --swap file:a,colour=red|a file has size= and checksum=
		--memory 1M --swap file:a --swap-pool 1M|needs a pool
		--memory 1M --swap-pool few|bad --swap-pool
		--memory 1M --swap file:missing/file|missing/file
		--fault-around on|bad --fault-around
		--fault-around 513|1 to 512
		--cow around:0|bad --cow
		--cow around|bad --cow
	END
	[ ! -e started ]
	expect "nothing was started" $? 0
	for words in "--memory 1m" "--memory 1M --swap zpool,file:$work,size=8M,checksum=off" \
		"--memory 1M --swap zpool:zstd --swap file:f --swap-pool 1M" "--fault-around off" \
		"--memory 64K --policy lru2:inactive=1/4,ghost=50% --prefetch cluster:4" "--cow around:4"; do
		# shellcheck disable=SC2086 # a list of words
		timeout 20 "$upager" run $words -- true 2>complaint
		expect "$words" "$? $(cat complaint)" "0 "
	done
	expect "no swap file is left" "$(find . -name 'f*' -o -name '*swap*')" ''
}

# shrunk BYTES: at most so much is resident.
shrunk()
{
	settings "$front"
	[ "$(value resident)" -le "$1" ]
}

case_socket()
{
	local mask unready
	for mask in 000 022 777; do
		start "umask$mask"
		expect "mode of the socket, umask $mask" "$(stat -c %a "$sock")" 600
		expect "mode of its folder, umask $mask" "$(stat -c %a "$(dirname "$sock")")" 700
		expect "owner, umask $mask" "$(stat -c %u "$sock")" "$(id -u)"
		stop
		[ ! -e "$sock" ]
		expect "removed at the end, umask $mask" $? 0
	done
	mask=022

	start killed_supervisor
	kill -KILL "$supervisor"
	wait "$front" 2>/dev/null
	[ ! -e "$sock" ]
	expect "removed after SIGKILL of the supervisor" $? 0

	start killed_front
	kill -KILL "$front"
	wait "$front" 2>/dev/null
	until_true gone "$supervisor"
	[ ! -e "$sock" ]
	expect "removed after SIGKILL of the front" $? 0

	start killed_both
	kill -STOP "$supervisor" # or it could see the end of the front, and tidy up, before its own
	kill -KILL "$front" "$supervisor"
	wait "$front" 2>/dev/null
	until_true gone "$program"
	expect "what SIGKILL of both leaves" "$(stat -c %F "$sock")" socket
	ask
	[ ! -e "$sock" ]
	expect "is removed by the next list" $? 0

	# A front whose supervisor has made the socket, and is about to listen on it.
	start unready
	python3 -c '
import os, socket, sys, time
open("/proc/self/comm", "w").write("upager")
folder, done = sys.argv[1:]
path = f"{folder}/{os.getpid()}"
s = socket.socket(socket.AF_UNIX)
s.bind(path)
open(done, "w").write(path)
time.sleep(20)' "$(dirname "$sock")" made &
	unready=$!
	until_true test -s made
	ask
	[ -e "$(cat made)" ]
	expect "a run that does not listen yet is left alone" $? 0
	kill -KILL $unready
	wait $unready 2>/dev/null
	ask
	[ ! -e "$(cat made)" ]
	expect "but not when it is gone" $? 0
	stop

	start fds
	expect "no socket among the program's descriptors" \
		"$(ls -l "/proc/$program/fd" "/proc/$child/fd" | grep -c socket)" 0
	stop
}

# Talk to the socket of the sleeper, badly.
case_clients()
{
	start clients
	cat >client.py <<-'PY'
		import socket, sys, time
		def connect():
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1]) # waits while the backlog is full
		    s.settimeout(20)
		    return s
		def answer(*parts):
		    s = connect()
		    for p in parts:
		        s.sendall(p)
		        time.sleep(0.05)
		    return s.makefile("rb").read()
		silent = connect()
		deaf = [connect() for _ in range(3)]
		for s in deaf:
		    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
		    s.sendall(b"maps 0\n")
		hasty = connect()
		hasty.sendall(b"maps 0\n")
		hasty.close()
		print("unknown", answer(b"frobnicate\n").decode().strip())
		print("empty", answer(b"\n").decode().strip())
		print("long", answer(b"x" * 4608).decode().strip())
		print("pid", answer(b"maps 12x\n").decode().strip())
		print("minus", answer(b"maps -1\n").decode().strip())
		whole = answer(b"ma", b"ps", b" 0", b"\n")
		head, _, body = whole.partition(b"\n")
		print("parts", int(head.split()[1]) == len(body) > 1000)
		crowd = [connect() for _ in range(40)]
		for s in crowd:
		    s.close()
		for _ in range(100):
		    try: # those of the crowd may not be gone yet: then this one is too many
		        said = answer(b"list\n").decode()
		    except OSError:
		        said = ""
		    if said:
		        break
		    time.sleep(0.02)
		print("crowd", said.split()[:1])
		start = time.time()
		print("silent", silent.recv(1), 5 < time.time() - start < 15)
	PY
	python3 client.py "$sock" >said 2>&1
	expect "unknown request" "$(grep ^unknown said)" "unknown error unknown request 'frobnicate'"
	expect "empty request" "$(grep ^empty said)" "empty error unknown request ''"
	expect "request too long" "$(grep ^long said)" "long error request too long"
	expect "not a pid" "$(grep ^pid said)" "pid error bad pid '12x'"
	expect "negative pid" "$(grep ^minus said)" "minus error bad pid '-1'"
	expect "request in parts" "$(grep ^parts said)" "parts True"
	expect "forty clients at once" "$(grep ^crowd said)" "crowd ['ok']"
	expect "a silent client is dropped" "$(grep ^silent said)" "silent b'' True"
	expect "the supervisor keeps no client's descriptor" \
		"$(ls -l "/proc/$supervisor/fd" | grep -c socket:)" "$(idle_sockets)"
	python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print("in", flush=True); time.sleep(30)' "$sock" >in &
	until_true test -s in
	stop
	expect "a client that stays does not hold the end up" $status 0
	kill $! 2>/dev/null
}

# The sockets a supervisor has open when nobody asks it.
idle_sockets()
{
	local front hold program supervisor area tid child sock
	start idle
	ls -l "/proc/$supervisor/fd" | grep -c socket:
	stop
}

stuck() { ! timeout 1 "$upager" ctl "$1" >/dev/null 2>&1; }

# all_gone PID…
all_gone()
{
	local pid
	for pid; do
		gone "$pid" || return 1
	done
}

case_dump()
{
	local reader front rest
	"$upager" run --dump-mm dump -- sh -c 'true & wait; exec true'
	expect "status" $? 0
	expect "an image for each exec" "$(grep -c '^== mm [0-9]* of process [0-9]* at its exec$' dump)" 1
	[ "$(grep -c '^== mm [0-9]* of process [0-9]* at its exit$' dump)" -ge 2 ]
	expect "and for each exit" $? 0
	expect "the stack is shown" "$(grep -c '\[stack\]$' dump)" "$(grep -c '^== mm' dump)"
	[ "$(grep -c ' r-xp .*/.*sh$' dump)" -ge 1 ]
	expect "code is named by its file" $? 0
	expect "at the end no mm is left" "$(grep '^world' dump | cut -d' ' -f1-5)" "world mms 0 frames 0"
	expect "init_mm heads mmlist" "$(grep -c '^init_mm users 1 count 1' dump)" 1
	"$upager" run --dump-mm - -- true 2>err >out
	expect "on standard error" "$(grep -c '^== mm' err)$(wc -c <out)" 10
	("$upager" run --dump-mm killed -- sh -c 'kill -KILL $$'; exit $?) 2>/dev/null
	expect "status of a killed program" $? 137
	expect "a killed program is shown too" "$(grep -c '^== mm .* exit$' killed)" 1
	for file in missing/file . /dev/full; do
		"$upager" run --dump-mm $file -- true 2>err
		expect "--dump-mm $file" "$? $(wc -l <err)" "125 1"
	done
	mkfifo unread
	exec {reader}<>unread
	"$upager" run --dump-mm unread -- sh -c 'while :; do /bin/true; done' &
	front=$!
	until_true "$upager" ctl $front >/dev/null 2>&1
	until_true stuck $front
	mapfile -t rest < <(pgrep -P $front)
	kill -KILL $front
	until_true all_gone "${rest[@]}"
	expect "the front killed while nobody reads the dump: nobody is left" "${#rest[@]} $?" "2 0"
	kill -KILL "${rest[@]}" 2>/dev/null
	exec {reader}>&-
	"$upager" run --dump-mm 2>err
	expect "--dump-mm without its argument" "$? $(wc -l <err)" "125 1"
}

case_bad()
{
	local none=4194304
	start bad
	until_true gone $none
	refuses 1 "no such process" $none
	refuses 1 "not under upager" 1
	refuses 1 "not under upager: ourselves" $$
	refuses 125 "not a number" abc
	refuses 125 "zero" 0
	refuses 125 "negative" -5
	refuses 125 "too large" 99999999999999999999
	refuses 125 "number and more" 12x
	refuses 125 "empty" ''
	refuses 125 "two pids" 1 2
	refuses 125 "unknown option" --frobnicate
	"$upager" maps --help >answer
	expect "--help" "$? $(grep -c '^Usage' answer)" "0 1"
	"$upager" maps "$program" >/dev/full 2>complaint
	expect "onto a full disk" "$? $(wc -l <complaint)" "1 1"
	kill -STOP "$supervisor"
	refuses 1 "a supervisor that is stopped" "$program"
	kill -CONT "$supervisor"
	if [ "$(id -u)" = 0 ]; then
		cp "$upager" ./upager
		local own=$upager
		upager=$work/other
		printf '#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups %s/upager "$@"\n' \
			"$work" >other
		chmod 755 other upager
		refuses 1 "another user asks about the program" "$program"
		refuses 1 "another user asks about the front" "$front"
		ask
		expect "another user sees no runs" "$? $(cat answer)" "0 no runs in progress"
		upager=$own
	else
		echo "skip another user: not root"
	fi
	stop
	refuses 1 "after its end" "$front"
}

for name in "$@"; do
	"case_$name"
done
summary ctl
