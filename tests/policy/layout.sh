#!/bin/bash
# SPDX-License-Identifier: MIT
# --layout: with topdown and bottomup two runs of a program have the same addresses, whatever the program;
# and they are ours.
#
#	layout.sh UPAGER BINDIR
. "$(dirname "$(realpath "$0")")/common.bash"

# Their own randomness decides what they allocate.
export PYTHONHASHSEED=0 PERL_HASH_SEED=0

# Addresses, protections, names; the inode of shared memory is new each time.
maps_program='
import threading, subprocess
t = threading.Thread(target=lambda: bytearray(1 << 20))
t.start(); t.join()
print(hex(id(object())))
for line in open("/proc/self/maps"):
    f = line.split()
    print(f[0], f[1], f[5] if len(f) > 5 else "")
print(subprocess.run(["cat", "/proc/self/maps"], capture_output=True).stdout.decode())
'

same_twice()
{
	local layout=$1
	shift
	under --layout="$layout" -- "$@" >1 || return
	under --layout="$layout" -- "$@" >2 || return
	[ -s 1 ] && diff 1 2
}

for layout in topdown bottomup; do
	check "$layout: every kind of mapping" same_twice $layout "$bin/places"
	check "$layout: cat" same_twice $layout cat /proc/self/maps
	check "$layout: python3 with a thread and a child" same_twice $layout python3 -c "$maps_program"
	check "$layout: perl" same_twice $layout perl -e 'print {}, [], \"a"; print `cat /proc/self/maps`'
	check "$layout: bash" same_twice $layout bash -c 'for i in 1 2 3; do cat /proc/self/maps; done; (cat /proc/$BASHPID/maps)'
done

# Anonymous memory that has no neighbours: at the base that Linux has, and away from it.
first_place()
{
	under --layout="$1" -- python3 -c '
import mmap, re
m = mmap.mmap(-1, 1 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for line in open("/proc/self/maps"):
    a, b = (int(x, 16) for x in line.split()[0].split("-"))
    if b - a >= 1 << 30:
        print("low" if a < 0x2aaaaaaab000 else "middle" if a < 0x500000000000 else "high")
'
}
check "topdown is high" test "$(first_place topdown)" = high
check "bottomup begins at a third" test "$(first_place bottomup)" = middle

random_by_default()
{
	under -- cat /proc/self/maps >1 && under --layout=kernel -- cat /proc/self/maps >2 && ! cmp -s 1 2
}
check "the kernel's layout stays random" random_by_default
check "a wrong layout is one line" usage_error sideways --layout=sideways
check "same output as natively" test "$(under --layout=topdown -- seq 1000 | md5sum)" = "$(seq 1000 | md5sum)"
finish
