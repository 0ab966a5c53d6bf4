#!/bin/bash
# SPDX-License-Identifier: MIT
# --overcommit and --commit-limit: which calls are granted, which say ENOMEM, and that they are counted.
#
#	overcommit.sh UPAGER BINDIR
. "$(dirname "$(realpath "$0")")/common.bash"

# answers FILE OPTIONS…: promises says what FILE says.
answers()
{
	local want=$1
	shift
	under --stat=json -o stat "$@" -- "$bin/promises" 65536 >got && diff "$want" got
}

cat >mode2 <<'END'
mmap of half: granted
mmap of most: ENOMEM
mmap of more: ENOMEM
mmap of more, MAP_NORESERVE: ENOMEM
mmap of more, read only: granted
mprotect of it, writable: ENOMEM
mprotect of a page of it, writable: granted
mremap to more: ENOMEM
the old one: granted
sbrk of more: ENOMEM
the break where it was: granted
sbrk of a page: granted
fork: ENOMEM
munmap: granted
fork with the half given back: granted
mmap of half again: granted
END
sed 's/ENOMEM/granted/' mode2 >mode1
sed '/most\|NORESERVE\|fork/s/ENOMEM/granted/' mode2 >mode0

# refused CALL…: each was refused at least once.
refused()
{
	python3 - "$@" <<'END'
import json, sys
refused = json.load(open("stat"))["refused"]
sys.exit(any(not refused.get(call) for call in sys.argv[1:]))
END
}

committed_max()
{
	python3 -c 'import json; print(json.load(open("stat"))["pages"]["committed_max"])'
}

small="--commit-limit=256M"
check "2: the sum of all" answers mode2 --overcommit=2 $small
check "2: each is counted as refused" refused mmap mprotect mremap brk clone
check "2: the limit was never passed" test "$(committed_max)" -le 65536
check "0: each call alone" answers mode0 --overcommit=0 $small
check "0: refused are counted" refused mmap mprotect mremap brk
check "1: nothing is refused" answers mode1 --overcommit=1
check "without: nothing is refused" answers mode1
check "without: refused are none" test "$(python3 -c 'import json; print(json.load(open("stat"))["refused"])')" = "{}"

# A program that is told "no memory" goes on.
survives()
{
	under "$@" -- python3 -c '
try:
    bytearray(400 << 20)
    print("got it")
except MemoryError:
    print("MemoryError")
print(len(bytearray(20 << 20)))'
}
check "python3 sees MemoryError" test "$(survives --overcommit=2 --commit-limit=300M)" = $'MemoryError\n20971520'
check "within the limit it does not" test "$(survives --overcommit=2 --commit-limit=600M)" = $'got it\n20971520'
check "default limits let a program run" test "$(survives --overcommit=0)" = $'got it\n20971520'
check "the whole tree shares one limit" test "$(under --overcommit=2 --commit-limit=192M -- bash -c '
	hold="import time,sys; b = bytearray(100 << 20); print(1); sys.stdout.flush(); time.sleep(6)"
	for i in 1 2 3; do python3 -c "$hold" 2>/dev/null & done | wc -l')" = 1
check "a wrong mode is one line" usage_error 3 --overcommit=3
check "a wrong limit is one line" usage_error 12Q --overcommit=2 --commit-limit=12Q
check "a limit of nothing is one line" usage_error 0 --overcommit=2 --commit-limit=0
check "a limit without a mode is one line" usage_error commit-limit --commit-limit=1G
finish
