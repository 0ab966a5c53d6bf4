// SPDX-License-Identifier: MIT
/* Stopping and continuing, as a shell does it, and as wait reports it. */
#include "e2e.h"

#define AREA (64 * PAGE)

static int gate[2];

/* Counts for ever in new memory, one byte down the pipe for each page. */
static void count(void *unused)
{
	signal(SIGPIPE, SIG_DFL);
	for (uint64_t tag = 0;; tag++) {
		char *p = map_anon(AREA);

		fill_marks(p, AREA, tag);
		check_marks(p, AREA, tag);
		SYS(munmap(p, AREA));
		CHECK(SYS(write(gate[1], "x", 1)) == 1);
	}
}

static void expect_stop(pid_t pid, int sig)
{
	int st;

	CHECK(SYS(waitpid(pid, &st, WUNTRACED)) == pid);
	CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == sig, "status %#x, expected stop by %d", st, sig);
}

static void expect_continue(pid_t pid)
{
	int st;

	CHECK(SYS(waitpid(pid, &st, WCONTINUED)) == pid);
	CHECK(WIFCONTINUED(st), "status %#x, expected continued", st);
}

/* Bytes that have come since; drains the pipe. */
static int drain(void)
{
	char buf[65536];
	ssize_t n = read(gate[0], buf, sizeof(buf));

	CHECK(n >= 0 || errno == EAGAIN);
	return n < 0 ? 0 : (int)n;
}

static void expect_running(void)
{
	for (int i = 0; i < 5000; i++) {
		if (drain())
			return;
		sleep_ms(1);
	}
	CHECK(0, "the child does not run");
}

static void expect_still(int ms)
{
	drain();
	sleep_ms(ms);
	CHECK(drain() == 0, "the child runs although it is stopped");
}

/* A child that runs fn, in a process group of its own, and writes to the gate. */
static pid_t start(void (*fn)(void *))
{
	pid_t pid;

	SYS(pipe2(gate, 0));
	SYS(fcntl(gate[0], F_SETFL, O_NONBLOCK));
	pid = fork_run(fn, NULL);
	/* Not an orphaned process group, or the terminal's stop signals are discarded. */
	SYS(setpgid(pid, pid));
	return pid;
}

static void end_by(pid_t pid, int sig)
{
	SYS(kill(pid, sig));
	expect_signal(pid, sig);
	SYS(close(gate[0]));
	SYS(close(gate[1]));
}

/* It runs, stops for `ms`, and goes on. */
static void stopped_for(pid_t pid, int sig, int ms)
{
	expect_running();
	SYS(kill(pid, sig));
	expect_stop(pid, sig);
	expect_still(ms);
	SYS(kill(pid, SIGCONT));
	expect_continue(pid);
}

static void stop_and_continue(void)
{
	static const int sigs[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };
	pid_t pid = start(count);

	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < ARRAY_SIZE(sigs); i++)
			stopped_for(pid, sigs[i], 30);
	expect_running();
	SYS(kill(pid, SIGSTOP));
	expect_stop(pid, SIGSTOP);
	end_by(pid, SIGKILL);
}

static atomic_int conts;

static void on_cont(int sig)
{
	atomic_fetch_add(&conts, 1);
}

static void stop_self(void *unused)
{
	signal(SIGCONT, on_cont);
	for (int i = 0; i < 5; i++) {
		char *p = map_anon(AREA);

		SYS(raise(SIGSTOP));
		CHECK(atomic_load(&conts) == i + 1, "%d SIGCONT", atomic_load(&conts));
		fill_marks(p, AREA, i);
		check_marks(p, AREA, i);
	}
}

/* A process that stops itself; its SIGCONT handler has run when it goes on. */
static void stops_itself(void)
{
	pid_t pid = fork_run(stop_self, NULL);

	for (int i = 0; i < 5; i++) {
		expect_stop(pid, SIGSTOP);
		SYS(kill(pid, SIGCONT));
	}
	expect_exit(pid, 0);
}

static void *count_thread(void *unused)
{
	count(NULL);
	return NULL;
}

static void count_in_threads(void *unused)
{
	run_threads(4, count_thread);
}

/* All threads of a process stop, and all go on. */
static void threads_stop_together(void)
{
	pid_t pid = start(count_in_threads);

	for (int i = 0; i < 4; i++)
		stopped_for(pid, SIGSTOP, 30);
	end_by(pid, SIGTERM);
}

static void *one_byte(void *unused)
{
	CHECK(SYS(write(gate[1], "x", 1)) == 1);
	return NULL;
}

static void make_threads(void *unused)
{
	signal(SIGPIPE, SIG_DFL);
	for (;;)
		run_threads(4, one_byte);
}

/* Nor does a thread run that was being made when its process was stopped. */
static void newborn_threads_stop(void)
{
	pid_t pid = start(make_threads);

	for (int i = 0; i < 60; i++)
		stopped_for(pid, SIGSTOP, 3);
	end_by(pid, SIGKILL);
}

static void nothing(void *unused)
{
}

/* Stopped and continued at once, in its first steps: it goes on. */
static void continued_at_once(void)
{
	for (int i = 0; i < 100; i++) {
		pid_t pid = fork_run(nothing, NULL);

		for (int n = 0; n < 3; n++) {
			SYS(kill(pid, SIGSTOP));
			SYS(kill(pid, SIGCONT));
		}
		expect_exit(pid, 0);
	}
}

static siginfo_t chld;
static volatile sig_atomic_t chld_came;

static void on_chld(int sig, siginfo_t *si, void *ctx)
{
	chld = *si;
	chld_came = 1;
}

/*
 * A stop can be waited for before its SIGCHLD is sent, natively, too: do_signal_stop() says it, lets go of siglock, then
 * notifies.  Its si_status is 0 then: the wait has taken group_exit_code.
 */
static void expect_chld(pid_t pid, int code)
{
	for (int ms = 0; !chld_came && ms < 10000; ms++)
		sleep_ms(1);
	CHECK(chld_came, "no SIGCHLD after waitid");
	CHECK(chld.si_code == code && chld.si_pid == pid, "SIGCHLD of %d with code %d, expected of %d with %d",
	      chld.si_pid, chld.si_code, pid, code);
	chld_came = 0;
}

/* SIGCHLD says why: stopped, continued, killed. */
static void sigchld_codes(void)
{
	struct sigaction sa = { .sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART };
	siginfo_t si;
	pid_t pid;

	SYS(sigaction(SIGCHLD, &sa, NULL));
	pid = fork_run(stop_self, NULL);
	SYS(waitid(P_PID, pid, &si, WSTOPPED));
	CHECK(si.si_code == CLD_STOPPED && si.si_status == SIGSTOP);
	expect_chld(pid, CLD_STOPPED);
	CHECK(chld.si_status == SIGSTOP || chld.si_status == 0);
	SYS(kill(pid, SIGKILL));
	SYS(waitid(P_PID, pid, &si, WEXITED));
	CHECK(si.si_code == CLD_KILLED && si.si_status == SIGKILL);
	expect_chld(pid, CLD_KILLED);
	signal(SIGCHLD, SIG_DFL);
}

static void grandchildren(void *unused)
{
	SYS(setpgid(0, 0));
	for (int i = 0; i < 3; i++)
		fork_run(count, NULL);
	count(NULL);
}

/* A whole process group stopped, continued and ended by one signal each. */
static void group_signals(void)
{
	pid_t pid;
	char c;

	SYS(pipe2(gate, 0));
	SYS(fcntl(gate[0], F_SETFL, O_NONBLOCK));
	pid = fork_run(grandchildren, NULL);
	expect_running();
	sleep_ms(20);
	SYS(kill(-pid, SIGSTOP));
	expect_stop(pid, SIGSTOP);
	sleep_ms(20);
	expect_still(30);
	SYS(kill(-pid, SIGCONT));
	expect_continue(pid);
	expect_running();
	SYS(kill(-pid, SIGTERM));
	expect_signal(pid, SIGTERM);
	SYS(close(gate[1]));
	SYS(fcntl(gate[0], F_SETFL, 0));
	while (SYS(read(gate[0], &c, 1)) > 0)
		;
	SYS(close(gate[0]));
}

int main(void)
{
	RUN(stop_and_continue);
	RUN(stops_itself);
	RUN(threads_stop_together);
	RUN(newborn_threads_stop);
	RUN(continued_at_once);
	RUN(sigchld_codes);
	RUN(group_signals);
	return 0;
}
