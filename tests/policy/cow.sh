#!/bin/bash
# SPDX-License-Identifier: MIT
# --cow: with each policy the same bytes as natively, and the faults that it is to save are saved.
#
#	cow.sh UPAGER BINDIR
. "$(dirname "$(realpath "$0")")/common.bash"

# Not a wrapper script that itself forks.
python3=$(python3 -c 'import sys; print(sys.executable)') || exit 2
policies="lazy around:3 around:16 around:512 eager"

# stat_of EXPRESSION: of the last run's summary, `s`.
stat_of()
{
	python3 -c 'import json, sys; s = json.load(open("stat")); print(eval(sys.argv[1]))' "$1"
}

handled()
{
	stat_of "s['handled'].get('$1', {'count': 0})['count']"
}

# says_ok OPTIONS… -- PROGRAM…
says_ok()
{
	test "$(under "$@")" = ok
}

# same POLICY COMMAND…: natively and under upager the same output.
same()
{
	local policy=$1
	shift
	"$@" >native 2>&1
	under --cow="$policy" -- "$@" >mine 2>&1
	diff native mine
}

shells='
x=0; for i in $(seq 20); do x=$((x + $(echo $i | (read a; echo $((a * 2)))))); done; echo $x
(a=1; (a=2; (a=3; echo $a); echo $a); echo $a)'
perl='
my @a = map { $_ x 100 } 1 .. 5000; my $pid = fork;
$a[$_] .= $pid ? "p" : "c" for 0 .. 4999; wait if $pid;
print length(join "", @a), substr($a[4999], -1), "\n"'
python='
import multiprocessing, threading
data = [str(i) * 50 for i in range(20000)]
def work(n):
    for i in range(n, len(data), 7): data[i] = data[i] + str(n)
    return sum(map(len, data)), hash_of(data)
def hash_of(d):
    h = 0
    for s in d: h = (h * 31 + sum(map(ord, s[:4])) + ord(s[-1])) % 1000003
    return h
multiprocessing.set_start_method("fork")
own = list(range(50000))
t = threading.Thread(target=lambda: [own.reverse() or own.append(i) for i in range(300)])
t.start()
with multiprocessing.Pool(4) as pool: # who does two of them has changed its data before
    for i, r in enumerate(pool.map(work, range(4), chunksize=1)): print(i)
for n in range(4):
    p = multiprocessing.Process(target=lambda: print(work(n), flush=True))
    p.start(); p.join()
t.join()
print(hash_of(data), sum(own), len(own))'
# A process kills the children of its parent as it finds them, again and again; who lives to say so has the right bytes.
killer='
my $x = "a" x 8000000; my $parent = $$; my $wrong = 0; my $killed = 0;
my $killer = fork;
if (!$killer) {
	while (getppid == $parent) {
		open my $f, "<", "/proc/$parent/task/$parent/children" or last;
		kill 9, grep { $_ != $$ } split " ", join "", <$f>;
		select undef, undef, undef, rand 0.003;
	}
	exit 0;
}
for (1 .. 40) {
	my $pid = fork;
	if (!$pid) {
		$x .= "b"; select undef, undef, undef, 0.002;
		exit(substr($x, 4000, 1) eq "a" && length $x == 8000001 ? 0 : 1);
	}
	waitpid $pid, 0; $killed++ if $? == 9; $wrong++ if $? && $? != 9;
	substr($x, rand 8000000, 1) = "a";
}
kill 9, $killer; waitpid $killer, 0;
print $killed && !$wrong ? "ok\n" : "$killed killed, $wrong wrong\n"'

check "natively: separate" test "$("$bin/separate")" = ok
check "natively: forkers" test "$("$bin/forkers")" = ok
for policy in $policies; do
	check "$policy: separate" says_ok --cow=$policy -- "$bin/separate" 256
	check "$policy: separate, more pages" says_ok --cow=$policy -- "$bin/separate" 1100
	check "$policy: threads that fork" says_ok --cow=$policy -- "$bin/forkers"
	check "$policy: threads that fork, deep" says_ok --cow=$policy -- "$bin/forkers" 2 5 8
	check "$policy: shells in shells" same $policy bash -c "$shells"
	check "$policy: perl" same $policy perl -e "$perl"
	check "$policy: python's multiprocessing" same $policy "$python3" -c "$python"
	check "$policy: children that are killed" says_ok --cow=$policy -- perl -e "$killer"
	check "$policy, 6M: children that are killed" \
		says_ok --cow=$policy --memory=6M -- perl -e "$killer"
	for memory in 2M 4M; do
		check "$policy, $memory: separate" says_ok --cow=$policy --memory=$memory -- "$bin/separate"
		check "$policy, $memory: threads that fork" \
			says_ok --cow=$policy --memory=$memory -- "$bin/forkers"
	done
done

# The parent writes to each of 1000 pages after its child is gone: that many faults, a sixteenth of them, few.
writes_after='
import os, mmap
m = mmap.mmap(-1, 1000 * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for i in range(1000): m[i * 4096] = 1
pid = os.fork()
if not pid: os._exit(0)
os.waitpid(pid, 0)
for i in range(1000): m[i * 4096] = 2
'
reuses()
{
	under --stat=json -o stat --cow="$1" -- "$python3" -c "$writes_after" && handled do_wp_page_reuse
}
check "lazy: a fault a page" test "$(reuses lazy)" -ge 1000
check "around:16: a fault for 16 pages" test "$(reuses around:16)" -lt 400
check "eager: none" test "$(reuses eager)" -lt 100

copies()
{
	under --stat=json -o stat --cow="$1" -- bash -c 'for i in 1 2 3 4 5; do (x=$i; y=$x$x); done' &&
		handled do_wp_page_copy
}
# On busy CPUs a parent writes before its child is there to be separated from: 10 copies, and up to 39. So the least of some.
least_copies()
{
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		copies "$1"
	done | sort -n | head -n 1
}
check "eager: hardly anything is copied by faults" test "$(least_copies eager)" -lt "$(($(copies lazy) / 4))"

# With eager the kernel has copied when the child runs: 2000 pages, each of which it could have shared.
kernel_shares='
import mmap, os
m = mmap.mmap(-1, 2000 * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for i in range(2000): m[i * 4096] = 1
r, w = os.pipe()
runs, running = os.pipe()
pid = os.fork()
if not pid:
    os.close(w); os.write(running, b"x"); os.read(r, 1); os._exit(0)
os.read(runs, 1)
for line in open("/proc/%d/smaps_rollup" % pid):
    if line.startswith(("Shared_Clean", "Shared_Dirty")): print(line.split()[1])
os.close(w)
'
shared_kib()
{
	under --stat=json -o stat "$@" -- "$python3" -c "$kernel_shares" | awk '{ sum += $1 } END { print sum }'
}
lazily=$(shared_kib --cow=lazy) eagerly=$(shared_kib --cow=eager)
check "eager: the kernel shares 8000 KiB less" test $((lazily - eagerly)) -ge 8000
check "eager: and the summary says so" test "$(stat_of 's["pages"]["separated"]')" -ge 2000
# A budget that 2 x 8000 KiB do not fit into.
shared_kib --cow=eager --memory=12M >/dev/null
check "eager, no room for all: a part" test "$(stat_of '0 < s["pages"]["separated"] < 2000')" = True
# But for the pages of those whom upager itself waits for.
check "eager: never beyond the budget" test "$(stat_of 's["pages"]["resident_max"] <= 3072 + 16')" = True

check "a wrong policy is one line" usage_error later --cow=later
check "a window of nothing is one line" usage_error around:0 --cow=around:0
check "a window too large is one line" usage_error around:1024 --cow=around:1024
finish
