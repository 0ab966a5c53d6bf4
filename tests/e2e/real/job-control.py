#!/usr/bin/python3
# inside
# An interactive bash on a terminal, not under the pager, starts "$RUN PROG" as its jobs:
# Ctrl-C, Ctrl-Z, fg, bg, kill, Ctrl-D, as a user types them. Prints what the shell made of it.
import os, pty, re, select, signal, sys, time

run = os.environ["RUN"]
pid, fd = pty.fork()
if pid == 0:
    for key in signal.SIGINT, signal.SIGQUIT:
        signal.signal(key, signal.SIG_DFL)  # as at a login; we may be somebody's job in the background
    os.environ.update(PS1="READY> ", TERM="dumb", HISTFILE="/dev/null")
    os.execv("/bin/bash", ["bash", "--norc", "--noediting", "-i"])

seen = ""

def expect(pattern, what, seconds=30):
    """Read until the pattern comes; end the test when it does not."""
    global seen
    end = time.time() + seconds
    while not (m := re.search(pattern, seen)):
        left = end - time.time()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            print("FAILED:", what)
            sys.stderr.write("%s: waited for %r, got %r\n" % (what, pattern, seen[-800:]))
            os.kill(pid, signal.SIGHUP)
            sys.exit(1)
        seen += os.read(fd, 4096).decode()
    seen = seen[m.end():]
    print("ok:", what)
    return m

def send(text):
    os.write(fd, text.encode())

def command(text, pattern, what):
    send(text + "\n")
    return expect(pattern, what)

loop = r'''bash -c 'trap "echo cont" CONT; echo up; while :; do read -t 0.05 x && echo "got $x"; done' '''

expect("READY> ", "prompt")
command("stty -echo; set +o history", "READY> ", "echo off")
command(run + " sh -c 'echo started; exec sleep 100'", "started\r", "a program starts")
send("\x03")
expect("READY> ", "Ctrl-C ends it")
command("echo status=$?", "status=130", "its status is SIGINT's")
command(run + loop, "up\r", "a loop starts")
command("line", "got line", "it reads the terminal")
send("\x1a")
expect("Stopped", "Ctrl-Z stops it")
expect("READY> ", "prompt again")
command("echo status=$?", "status=148", "its status is SIGTSTP's")
command("jobs | sed 's/  .*Stopped.*/=stopped/'", "=stopped", "jobs says stopped")
command("fg >/dev/null", "cont\r", "fg continues it")
command("line2", "got line2", "it reads the terminal again")
send("\x1a")
expect("Stopped", "Ctrl-Z stops it again")
command("kill -TERM %%; fg >/dev/null 2>&1; wait; echo gone=$?", "gone=", "killed while stopped")
command(run + " cat; echo status=$?", "", "cat starts")
time.sleep(0.5)
command("text", "text\r", "cat echoes")
send("\x04")
expect("status=0", "Ctrl-D ends it")
command(run + " sh -c 'echo bg; sleep 0.3; echo bg done' & wait; echo waited", "bg\r\n(.*\r\n)*bg done", "a background job")
expect("waited", "wait sees its end")
command(run + " bash -c 'kill -STOP $$; echo went on'; echo stopped=$?", "stopped=147", "stops itself")
command("fg >/dev/null; echo then=$?", "went on", "and goes on")
expect("then=0", "with status 0")
command(run + " sh -c 'trap \"echo winch\" WINCH; echo go; sleep 1 & wait; wait'", "go\r", "waits for SIGWINCH")
import fcntl, struct, termios
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
expect("winch", "the window's new size reaches it")
expect("READY> ", "prompt")
command(run + " stty size", "40 100", "the size is seen")
send("exit 6\n")
print("shell ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
