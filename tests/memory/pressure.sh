#!/bin/bash
# SPDX-License-Identifier: MIT
# What a run under a budget says and does at the border: no room anywhere, a swap file that fails, settings
# changed under way, the kernel's own view of the budget.
#
#	pressure.sh -u /path/to/upager -b BINDIR CASE…
#
# Cases: oom full-disk lost-file unshared written live budget.  Prints "ok|FAIL|skip WHAT" lines and a summary; status 1 on
# any failure.
set -u
upager='' bin=''

while getopts u:b: opt; do
	case $opt in
	u) upager=$(realpath "$OPTARG") ;;
	b) bin=$(realpath "$OPTARG") ;;
	*) sed -n '6s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ -x "$upager" ] && [ -x "$bin/runone" ] && [ $# -gt 0 ] || { sed -n '6s/^#	/usage: /p' "$0" >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/pressure.XXXXXX") || exit 2
cd "$work" || exit 2
finish()
{
	cd /
	umount "$work/full" 2>/dev/null
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
passed=0 failed=0

# verdict WHAT WHY: WHY is empty when it passed.
verdict()
{
	if [ -z "$2" ]; then
		passed=$((passed + 1))
		echo "ok $1"
	else
		failed=$((failed + 1))
		echo "FAIL $1: $2"
	fi
}

# run CMD…: how it ended in $st, what it said in $out and $err.
run()
{
	"$bin/runone" -t 60 -p front -o out -e err -s st -- "$@"
	st=$(tr '\n' ' ' <st) out=$(cat out) err=$(cat err)
	st=${st% }
}

# expect WHAT STATUS STDOUT ERR-PATTERN: of the run just made; '' for the pattern: it said nothing.
expect()
{
	local why=
	[ "$st" = "$2" ] || why="ended '$st', expected '$2'. "
	[ "$out" = "$3" ] || why="${why}stdout '$out', expected '$3'. "
	if [ -z "$4" ] && [ -n "$err" ]; then
		why="${why}stderr '$err', expected none"
	elif [ -n "$4" ] && { ! [[ $err =~ $4 ]] || [ "$(wc -l <err)" != 1 ]; }; then
		why="${why}stderr is not one line like '$4': '${err:0:300}'"
	fi
	[ ! -e "$work/swap" ] || why="${why}left its swap file"
	verdict "$1" "$why"
}

# until_true SHELL-CONDITION: ten seconds at the most.
until_true()
{
	for _ in $(seq 500); do
		eval "$1" && return 0
		sleep 0.02
	done
	return 1
}

# ---- no room anywhere: the largest is ended, the others live ----

case_oom()
{
	local killed='^upager: out of memory: process [0-9]+ \(greedy\)'
	local greedy=("$bin/greedy" 32768)

	run "$upager" run --memory 2M --swap zpool --swap-pool 2M --stat=json -o stat -- "${greedy[@]}"
	expect "the pool is full" "exit 0" "signal 9" "$killed"
	if grep -Eq '"oom_kills": *1\b' stat; then
		verdict "the summary says so" ''
	else
		verdict "the summary says so" "$(tr '\n' ' ' <stat | cut -c1-1500)"
	fi
	run "$upager" run --memory 2M --swap "file:$work/swap,size=2M" -- "${greedy[@]}"
	expect "the swap file is full" "exit 0" "signal 9" "$killed"
	run "$upager" run --memory 2M --swap "zpool,file:$work/swap,size=2M" --swap-pool 1M -- "${greedy[@]}"
	expect "pool and file are full" "exit 0" "signal 9" "$killed"
	run "$upager" run --memory 2M --swap zpool --swap-pool 64M -- "${greedy[@]}"
	expect "the pool has room" "exit 0" "exit 0" ''
	run "$upager" run --memory 2M --swap "zpool,file:$work/swap,size=64M" --swap-pool 1M -- "${greedy[@]}"
	expect "the file has room" "exit 0" "exit 0" ''
	run "$upager" run --memory 64M --swap zpool --swap-pool 1M -- "${greedy[@]}"
	expect "the budget has room" "exit 0" "exit 0" ''
	run "$upager" run --memory 2M -- "$bin/greedy" 2048 lock
	expect "the budget is locked" "exit 0" "signal 9" "$killed"
	run "$upager" run --memory 512K -- "$bin/greedy" 512 ring
	expect "a ring holds the budget" "exit 0" "signal 9" "$killed"
	run "$upager" run --memory 3M -- "$bin/greedy" 2048 lock
	expect "the budget has room for what is locked" "exit 0" "exit 0" ''
}

# ---- a filesystem without room for the swap file ----

case_full-disk()
{
	mkdir -p full
	mount -t tmpfs -o size=4m pressure full 2>/dev/null || {
		echo "skip full-disk: cannot mount a tmpfs"
		return
	}
	run "$upager" run --memory 2M --swap "file:$work/full/swap,size=64M" -- "$bin/greedy" 32768
	if [ "$st" = "exit 125" ]; then
		expect "a swap file larger than its disk" "exit 125" '' '^upager: .*swap'
	else
		expect "a swap file larger than its disk" "exit 0" "signal 9" '^upager: out of memory: .*\(greedy\)'
	fi
	run "$upager" run --memory 2M --swap "zpool,file:$work/full/swap,size=64M" --swap-pool 64M -- "$bin/hammer" 8192 2 1000
	local with=$out
	[ "$st" = "exit 125" ] || {
		run "$bin/hammer" 8192 2 1000
		[ "$with" = "$out" ] && verdict "a pool before a full disk" '' ||
			verdict "a pool before a full disk" "'$with', natively '$out'"
	}
	[ -z "$(ls -A full)" ] && verdict "nothing is left there" '' || verdict "nothing is left there" "$(ls full)"
	umount full
}

# ---- a swap file whose bytes change or vanish ----

# spoil COMMAND…: start patient under upager with a swap file, let COMMAND change that file (its path is the last
# argument), wake patient.
spoil()
{
	local runner pid fd=

	mkfifo gate
	"$bin/runone" -t 30 -i gate -p front -o out -e err -s st -- "$upager" run --memory 1M \
		--swap "file:$work/swap,size=64M,checksum=on" -- "$bin/patient" 8192 sigbus &
	runner=$!
	exec 7>gate
	until_true 'grep -qs filled out'
	sleep 0.2
	for pid in $(cat front) $(pgrep -P "$(cat front)"); do
		for fd in /proc/"$pid"/fd/*; do
			[[ $(readlink "$fd") == "$work/swap (deleted)" ]] && break 2
			fd=
		done
	done
	[ -n "$fd" ] && "$@" "$fd"
	exec 7>&-
	wait $runner
	rm gate
	st=$(tr '\n' ' ' <st) out=$(cat out) err=$(cat err)
	st=${st% }
	[ -n "$fd" ] || { st="no swap file was open"; return; }
}

overwrite()
{
	dd if=/dev/urandom of="$1" bs=1M count=16 conv=notrunc oflag=dsync 2>/dev/null
}

# lost WHAT: patient must have found pages lost, upager must have said so, no byte may be wrong (exit 1).
lost()
{
	if [ "$st" != "exit 0" ] || ! [[ $out =~ ([1-9][0-9]*)\ pages\ lost ]]; then
		verdict "$1" "ended '$st': '$out'; '${err:0:300}'"
	elif ! [[ $err == upager:*swap* ]]; then
		verdict "$1" "said '${err:0:300}'"
	else
		verdict "$1" ''
	fi
}

case_lost-file()
{
	spoil true
	expect "a swap file left alone" "exit 0" $'filled\n0 pages lost' ''
	spoil overwrite
	lost "a swap file overwritten"
	spoil truncate -s 0
	lost "a swap file cut off"
}

# ---- what the kernel does behind our back, and programs to what is ours ----

# Pages of which the kernel makes several, and says nothing.
case_unshared()
{
	run "$upager" run --memory 5M -- "$bin/unshared" 4096 7168
	expect "they are found, and leave" "exit 0" whole ''
	run "$upager" run --check 2 --memory 1M --policy fifo -- "$bin/unshared" 1024 3072
	expect "with checks" "exit 0" whole ''
}

# Programs that write to all memory that they can write to, upager's part of it, too; and by way of the kernel.
case_written()
{
	local parts=$'plain\nexecutable\nin_pieces\nof_a_child' areas
	areas=$(printf 'write_all\nalone\n%.0s' 1 2 3)

	run "$upager" run --memory 64M -- "$bin/trespass" 512 write
	expect "what was written is there" "exit 0" "$areas" ''
	run "$upager" run --check 3 --memory 16M --policy fifo -- "$bin/trespass" 512 write
	expect "with all checks" "exit 0" "$areas" ''
	run "$upager" run --memory 1M -- "$bin/vmwrite" 512 200
	expect "process_vm_writev" "exit 0" "$parts" ''
	run "$upager" run --check 3 --memory 2M --swap "file:$work/swap,size=64M" -- "$bin/vmwrite" 512 100
	expect "process_vm_writev, with all checks and a swap file" "exit 0" "$parts" ''
}

# ---- settings changed while the program runs ----

case_live()
{
	local runner want answer=ok n=0 policies=(fifo random clock lru2 2q arc lirs s3fifo sieve mru sfifo)
	local sizes=(8M 1M 128K 4M 64K 2M)

	run "$bin/hammer" 4096 3 400000
	want=$out
	rm -f front
	"$bin/runone" -t 120 -p front -o out -e err -s st -- "$upager" run --memory 2M -- "$bin/hammer" 4096 3 400000 &
	runner=$!
	until_true '[ -s front ] && "$upager" ctl $(cat front) >settings 2>/dev/null'
	while [ "$answer" = ok ] && [ $n -lt 44 ] && kill -0 "$(cat front)" 2>/dev/null; do
		"$upager" ctl "$(cat front)" "memory=${sizes[n % 6]}" "policy=${policies[n % 11]}" >answer 2>&1 ||
			! kill -0 "$(cat front)" 2>/dev/null || answer=$(cat answer)
		n=$((n + 1))
		sleep 0.03
	done
	"$upager" ctl "$(cat front)" memory=64M 2>/dev/null
	wait $runner
	st=$(tr '\n' ' ' <st) out=$(cat out) err=$(cat err)
	st=${st% }
	[ "$answer" = ok ] && [ $n -ge 11 ] && verdict "memory= and policy= in a run" '' ||
		verdict "memory= and policy= in a run" "$n times, then '$answer'"
	expect "the run goes on as if nothing had been" "exit 0" "$want" ''
}

# ---- what the kernel says of the budget ----

# within WHAT BYTES CMD…: never more than 2 MiB above, seen each millisecond.
within()
{
	local what=$1 bytes=$2 got samples
	shift 2
	run "$bin/sampler" -x "$upager" -o report -- "$upager" run --memory "$bytes" "$@"
	got=$(sed -n 's/^managed //p' report) samples=$(sed -n 's/^samples //p' report)
	if [ "$st" != "exit 0" ]; then
		verdict "$what" "ended '$st': ${err:0:300}"
	elif [ "$samples" -lt 50 ]; then
		verdict "$what" "only $samples samples"
	elif [ $((got * 1024)) -gt $((bytes + (2 << 20))) ]; then
		verdict "$what" "stood at $got KiB, the budget is $((bytes / 1024)) KiB"
	else
		verdict "$what: at most $got KiB in $samples samples" ''
	fi
}

case_budget()
{
	within "one process" $((4 << 20)) -- "$bin/hammer" 16384 1 20000
	within "four threads" $((4 << 20)) -- "$bin/hammer" 16384 4 5000
	within "a tree of processes" $((8 << 20)) -- "$bin/forest" 8192 3
	within "first touches in a row" $((2 << 20)) --fault-around 512 -- "$bin/patient" 65536
	within "prefetch" $((2 << 20)) --prefetch cluster:32 -- "$bin/patient" 32768
	within "sixteen frames" $((64 << 10)) -- "$bin/hammer" 1024 2 2000
	within "filled by the kernel" $((4 << 20)) -- "$bin/populate" 32768 2
	within "transfers into memory" $((1 << 20)) -- "$bin/directio" 2048 32 50
}

for name; do
	declare -F "case_$name" >/dev/null || { echo "pressure.sh: no case $name" >&2; exit 2; }
	"case_$name"
done
echo "pressure: $passed passed, $failed failed"
[ $failed -eq 0 ]
