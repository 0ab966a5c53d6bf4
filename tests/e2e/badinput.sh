#!/bin/bash
# SPDX-License-Identifier: MIT
# Wrong command lines, wrong programs and hostile surroundings: one clear line on stderr, the right
# exit status, nothing left behind.
#
#	badinput.sh -u /path/to/upager [-b BINDIR]
#
# Statuses: 125 upager's own failures, 126 PROG cannot be executed, 127 PROG not found.
# Prints "ok|FAIL WHAT" lines and a summary; status 1 on any failure.
set -u
here=$(cd "$(dirname "$0")" && pwd)
upager=${UPAGER:-} bin=$here

while getopts u:b: opt; do
	case $opt in
	u) upager=$OPTARG ;;
	b) bin=$OPTARG ;;
	*) sed -n '6s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
[ -x "$upager" ] && [ -x "$bin/runone" ] || { echo "badinput.sh: needs -u UPAGER and -b BINDIR" >&2; exit 2; }
upager=$(realpath "$upager") bin=$(realpath "$bin")
work=$(mktemp -d "${TMPDIR:-/tmp}/bad.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
chmod 755 "$work"
cd "$work" || exit 2
passed=0 failed=0

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

# run CMD…: status ("exit 125", with what was left after it) in $st, its stderr in $err.
run()
{
	mounts=$(wc -l </proc/self/mountinfo)
	"$bin/runone" -t 20 -o out -e err -s st -- "$@"
	st=$(tr '\n' ' ' <st) err=$(cat err)
	st=${st% }
	[ "$(wc -l </proc/self/mountinfo)" = "$mounts" ] || st="$st and left mounts"
}

# one_line: is stderr one clear line of upager's?
one_line()
{
	[[ $err == upager:* || $err == "upager "*:* ]] && [ "$(wc -l <err)" = 1 ]
}

# refuses STATUS WHAT CMD…: must end with it, say one line, print nothing on stdout.
refuses()
{
	local want="exit $1" what=$2 why=
	shift 2
	run "$@"
	if [ "$st" != "$want" ]; then
		why="ended '$st', expected '$want'; stderr: ${err:0:200}"
	elif ! one_line; then
		why="stderr is not one line of upager's: '${err:0:300}'"
	elif [ -s out ]; then
		why="stdout: $(head -c 200 out)"
	fi
	verdict "$what" "$why"
}

# refuses_or_works WHAT CMD…: 125 with one line, or the program's own output ("hello") and status.
refuses_or_works()
{
	local what=$1 why=
	shift
	run "$@"
	if [ "$st" = "exit 125" ]; then
		one_line || why="stderr is not one line of upager's: '${err:0:300}'"
	elif [ "$st" != "exit 0" ] || [ "$(cat out)" != hello ]; then
		why="ended '$st', stdout '$(head -c 200 out)', stderr '${err:0:200}'"
	fi
	verdict "$what" "$why"
}

u=("$upager" run --)

# ---- command lines ----
refuses 125 "unknown command" "$upager" frobnicate
refuses 125 "unknown option" "$upager" run --frobnicate -- true
refuses 125 "unknown short option" "$upager" run -Z -- true
refuses 125 "no program" "$upager" run
refuses 125 "no program after --" "$upager" run --
refuses 125 "--check without its argument" "$upager" run --check
refuses 125 "--check out of range" "$upager" run --check 9 -- true
refuses 125 "--check not a number" "$upager" run --check 1x -- true
refuses 125 "--check empty" "$upager" run --check '' -- true
refuses 125 "--fault-around 12Q" "$upager" run --fault-around 12Q -- true
refuses 125 "--fault-around negative" "$upager" run --fault-around -3 -- true
refuses 125 "--fault-around beyond 64 bits" "$upager" run --fault-around 99999999999999999999 -- true
refuses 125 "--stat=xml" "$upager" run --stat=xml -- true
refuses 125 "-o without its argument" "$upager" run -o
refuses 125 "-o in a folder that is not there" "$upager" run --stat=json -o missing/file -- true
refuses 125 "-o is a folder" "$upager" run --stat=json -o "$work" -- true
refuses 125 "-o on a full disk" "$upager" run --stat=json -o /dev/full -- true
refuses 125 "doctor with an argument" "$upager" doctor now

# ---- programs ----
mkdir folder
: >empty
printf 'no program\n' >text
chmod 755 empty text
printf 'plain' >plain
chmod 644 plain
printf '#!/nonexistent/interpreter\n' >script
printf '\177ELF\001\001\001\000\000\000\000\000\000\000\000\000\002\000\003\000\001\000\000\000' >elf32
head -c 100 /dev/zero >>elf32
head -c 40 /bin/true >truncated
(printf '\177ELF\002\001\001\000\000\000\000\000\000\000\000\000\002\000\267\000\001\000\000\000'
	head -c 100 /dev/zero) >arm
cp /bin/true unreadable
chmod 755 script elf32 truncated arm
chmod 000 unreadable
refuses 127 "not found in PATH" "${u[@]}" no-such-program-anywhere
refuses 127 "not found by path" "${u[@]}" ./missing
refuses 127 "path through a file" "${u[@]}" ./plain/x
refuses 127 "empty name" "${u[@]}" ''
refuses 126 "a folder" "${u[@]}" ./folder
refuses 126 "not executable" "${u[@]}" ./plain
refuses 126 "unreadable" "${u[@]}" ./unreadable
refuses 126 "32-bit ELF" "${u[@]}" ./elf32
refuses 126 "other processor's ELF" "${u[@]}" ./arm
refuses 126 "truncated ELF" "${u[@]}" ./truncated
run "${u[@]}" ./script
case $st in
"exit 126" | "exit 127") one_line && verdict "script without its interpreter" '' ||
	verdict "script without its interpreter" "stderr '$err'" ;;
*) verdict "script without its interpreter" "ended '$st'" ;;
esac

# ---- surroundings ----
hello=("${u[@]}" /bin/echo hello)
for n in 4 5 6 8 10 14; do
	refuses_or_works "at most $n descriptors" bash -c "ulimit -n $n; exec \"\$@\"" - "${hello[@]}"
done
for call in userfaultfd ptrace seccomp pidfd_getfd io_uring_setup; do
	refuses_or_works "$call is forbidden" "$bin/deny" $call "${hello[@]}"
done
refuses_or_works "address space limited" bash -c 'ulimit -v 40000; exec "$@"' - "${hello[@]}"
refuses_or_works "no file may be written" \
	bash -c '(ulimit -f 0; exec "$@") | cat; exit ${PIPESTATUS[0]}' - "${hello[@]}"
refuses_or_works "a folder that is gone" \
	bash -c 'mkdir gone && cd gone && rmdir ../gone; exec "$@"' - "${hello[@]}"
if [ "$(id -u)" = 0 ]; then
	refuses_or_works "another user" setpriv --reuid=65534 --regid=65534 --clear-groups "${hello[@]}"
	refuses 125 "/proc is not mounted" \
		unshare -m sh -c 'umount -l /proc; exec "$@"' - "${hello[@]}"
	run setpriv --reuid=65534 --regid=65534 --clear-groups "$upager" doctor
	doctor=$st
	run setpriv --reuid=65534 --regid=65534 --clear-groups "${hello[@]}"
	if { [ "$doctor" = "exit 0" ] && [ "$st" = "exit 0" ]; } ||
		{ [ "$doctor" != "exit 0" ] && [ "$st" = "exit 125" ]; }; then
		verdict "doctor agrees with run for another user" ''
	else
		verdict "doctor agrees with run for another user" "doctor '$doctor', run '$st'"
	fi
else
	echo "skip other users and /proc: not root"
fi

# ---- a budget, and a swap file that cannot be ----
budget=("$upager" run --memory 1M)
echo "not to be touched" >precious
mkfifo fifo
ln -s precious link
mkdir readonly
refuses 125 "swap file in a folder that is not there" "${budget[@]}" --swap file:missing/swap -- true
refuses 125 "swap file is a pipe" "${budget[@]}" --swap file:fifo -- true
refuses 125 "swap file is a device" "${budget[@]}" --swap file:/dev/full -- true
refuses 125 "swap file is somebody's file" "${budget[@]}" --swap file:precious -- true
refuses 125 "swap file is a link to one" "${budget[@]}" --swap file:link -- true
refuses 125 "swap file in /proc" "${budget[@]}" --swap file:/proc/swap -- true
[ "$(cat precious)" = "not to be touched" ] && verdict "that file is as it was" '' ||
	verdict "that file is as it was" "$(ls -l precious)"
refuses 125 "swap file larger than any" "${budget[@]}" --swap file:swap,size=8388608T -- true
hello=("${budget[@]}" --swap "zpool,file:$work/swap,size=16M" -- /bin/echo hello)
refuses_or_works "with a budget: no file may be written" \
	bash -c '(ulimit -f 0; exec "$@") 2> >(cat >&2) | cat; exit ${PIPESTATUS[0]}' - "${hello[@]}"
refuses_or_works "with a budget: locked memory limited" bash -c 'ulimit -l 0; exec "$@"' - "${hello[@]}"
refuses_or_works "with a budget: address space limited" bash -c 'ulimit -v 40000; exec "$@"' - "${hello[@]}"
refuses_or_works "with a budget: one process" bash -c 'ulimit -u 1; exec "$@"' - "${hello[@]}"
for n in 4 6 8 10 12 14 16 20; do
	refuses_or_works "with a budget: at most $n descriptors" bash -c "ulimit -n $n; exec \"\$@\"" - "${hello[@]}"
done
for call in userfaultfd ptrace pidfd_getfd io_uring_setup clone3 eventfd2 memfd_create fallocate; do
	refuses_or_works "with a budget: $call is forbidden" "$bin/deny" $call "${hello[@]}"
done
if [ "$(id -u)" = 0 ]; then
	refuses_or_works "with a budget: another user" \
		setpriv --reuid=65534 --regid=65534 --clear-groups "${hello[@]}"
	refuses 125 "swap file in a folder of another's" \
		setpriv --reuid=65534 --regid=65534 --clear-groups "${budget[@]}" --swap file:readonly/swap -- true
	mount -t tmpfs -o ro bad readonly 2>/dev/null &&
		refuses 125 "swap file on a read-only filesystem" "${budget[@]}" --swap file:readonly/swap -- true &&
		umount readonly
fi
run "${budget[@]}" --swap file:folder -- /bin/echo hello
[ "$st$(cat out)$(ls -A folder)" = "exit 0hello" ] && verdict "swap file in a folder that is named" '' ||
	verdict "swap file in a folder that is named" "ended '$st': $err $(ls -A folder)"
left=$(ls -A | grep -E 'swap' || true)
[ -z "$left" ] && verdict "no swap file is left" '' || verdict "no swap file is left" "$left"

# ---- missing descriptors: the status alone can tell ----
# status STATUS WHAT SHELL-COMMAND
status()
{
	run bash -c "$3" - "$upager"
	[ "$st" = "exit $1" ] && verdict "$2" '' || verdict "$2" "ended '$st', expected 'exit $1'; $err"
}
status 0 "no descriptors at all" '"$1" run -- /bin/true <&- >&- 2>&-'
status 3 "no stdin" '"$1" run -- /bin/sh -c "exit 3" <&-'
status 127 "no stderr, not found" '"$1" run -- ./missing 2>&-'
status 125 "no stderr, unknown option" '"$1" run --frobnicate 2>&-'
status 4 "stderr full" '"$1" run -- /bin/sh -c "exit 4" 2>/dev/full'
status 5 "doctor onto a full disk" '"$1" doctor >/dev/full || exit 5'
status 0 "summary into a closed pipe" '"$1" run --stat -- /bin/true 2>&1 >/dev/null | true; exit ${PIPESTATUS[1]}'

echo "badinput: $passed passed, $failed failed"
[ $failed -eq 0 ]
