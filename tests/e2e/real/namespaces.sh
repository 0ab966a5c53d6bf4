#!/bin/bash
# New PID, user, mount and IPC namespaces: inside them the pids of the program are not the pager's.
export PART="${PART:-1}"
flags=
[ "$PART" = 1 ] || flags=-S # as in python.sh
body='echo "pid $$"
for ((i = 1; i <= 6 / PART + 2; i++)); do (x=$(echo $i | tr 1-8 a-h); echo "sub $i $x") & wait; done
python3 '"$flags"' -c "
import os, threading
def work(n):
    data = bytearray(1 << 20)
    data[::4096] = bytes([n]) * 256
    pid = os.fork()
    if pid == 0:
        data[5] = 1
        os._exit(data[0])
    codes[n] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
codes = [0] * (6 // int(os.environ[\"PART\"]) + 2)
t = [threading.Thread(target=work, args=(n,)) for n in range(len(codes))]
[x.start() for x in t]
[x.join() for x in t]
print(\"threads and forks\", codes, os.getpid() < 100)
"'
if [ "$(id -u)" != 0 ]; then
	echo "not root: no namespaces"
	exit 0
fi
unshare -pf --mount-proc bash -c "$body"
echo "status $?"
unshare -pf --kill-child bash -c "$body"
unshare -Ur bash -c 'id -u; '"$body" | grep -v ^pid
unshare -pf bash -c 'unshare -pf bash -c "echo nested \$\$; (echo sub); exit 3"; echo "status $?"'
unshare -i -u -n bash -c "hostname inside; hostname; ls /sys >/dev/null; echo done"
unshare -pf sh -c 'sleep 100 & exec true'
echo "init gone $?"
# Who has asked for a PID namespace for its children can have no thread more, not even one of the pager's.
unshare -Urpf --kill-child bash -c 'echo "init $$"; (echo sub)'
unshare -Urp bash -c 'echo "one child only"; true'
