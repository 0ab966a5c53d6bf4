// SPDX-License-Identifier: MIT
/* Signals that arrive in the middle of faults and of system calls. */
#include <poll.h>
#include <sys/time.h>
#include "e2e.h"

static atomic_long ticks;
static atomic_int timer_usec;
static char *scratch;
#define SCRATCH (256 * PAGE)

/* One shot, armed again by the handler: however slow the machine, the program gets its share. */
static void arm_timer(void)
{
	struct itimerval it = { { 0, 0 }, { 0, atomic_load(&timer_usec) } };

	SYS(setitimer(ITIMER_REAL, &it, NULL));
}

static void on_tick(int sig, siginfo_t *si, void *ctx)
{
	long n = atomic_fetch_add(&ticks, 1);
	volatile uint64_t *w = (uint64_t *)(scratch + (n % 256) * PAGE);

	w[0]++;
	if (sig == SIGALRM)
		arm_timer();
}

static void start_timer(int usec)
{
	atomic_store(&timer_usec, usec);
	arm_timer();
}

static void install(int sig, int flags, void (*fn)(int, siginfo_t *, void *))
{
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags };

	SYS(sigaction(sig, &sa, NULL));
}

/* A timer every 200 µs while memory is touched first, moved, protected and dropped. */
static void timer_while_faulting(void)
{
	atomic_store(&ticks, 0);
	install(SIGALRM, SA_RESTART, on_tick);
	start_timer(200);
	for (int round = 0; round < 2000 && (round < 12 || atomic_load(&ticks) < 100); round++) {
		char *p = map_anon(MIB);

		SYS(madvise(scratch, SCRATCH, MADV_DONTNEED));
		fill_marks(p, MIB, round);
		SYS(mprotect(p, MIB, PROT_READ));
		check_marks(p, MIB, round);
		p = SYS(mremap(p, MIB, 2 * MIB, MREMAP_MAYMOVE));
		check_marks(p, MIB, round);
		SYS(munmap(p, 2 * MIB));
	}
	start_timer(0);
	CHECK(atomic_load(&ticks) >= 100, "%ld ticks", atomic_load(&ticks));
}

static void work_in_child(void *tag)
{
	char *p = map_anon(64 * PAGE);

	fill_marks(p, 64 * PAGE, (uintptr_t)tag);
	check_marks(p, 64 * PAGE, (uintptr_t)tag);
}

/* fork, exit and wait under the same timer: EINTR nowhere, for SA_RESTART is set. */
static void timer_while_forking(void)
{
	start_timer(500);
	for (long i = 0; i < 40; i++)
		expect_exit(fork_run(work_in_child, (void *)i), 0);
	start_timer(0);
}

static atomic_bool stop;

static void *busy(void *index)
{
	while (!atomic_load(&stop)) {
		char *p = map_anon(32 * PAGE);

		fill_marks(p, 32 * PAGE, (uintptr_t)index);
		check_marks(p, 32 * PAGE, (uintptr_t)index);
		SYS(munmap(p, 32 * PAGE));
	}
	return NULL;
}

/* Directed signals at threads that fault all the time; each one arrives. */
static void signals_to_threads(void)
{
	pthread_t t[3];
	long sent = 0;

	install(SIGRTMIN, SA_RESTART, on_tick);
	atomic_store(&ticks, 0);
	for (long i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, busy, (void *)i) == 0);
	for (int i = 0; i < 300; i++) {
		CHECK(pthread_kill(t[i % 3], SIGRTMIN) == 0);
		sent++;
		if (i % 20 == 0)
			sleep_ms(1);
	}
	for (int i = 0; i < 5000 && atomic_load(&ticks) < sent; i++)
		sleep_ms(1);
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	CHECK(atomic_load(&ticks) == sent, "%ld of %ld signals", atomic_load(&ticks), sent);
}

static void send_soon(void *arg)
{
	sleep_ms(40);
	SYS(kill(getppid(), (int)(uintptr_t)arg));
	sleep_ms(20);
}

static void do_nothing(int sig, siginfo_t *si, void *ctx)
{
}

/* Interrupted calls: EINTR without SA_RESTART, restarted with it, poll never. */
static void interrupted_calls(void)
{
	struct timespec ts = { 5, 0 }, left;
	struct pollfd pfd;
	int fd[2];
	char c;
	pid_t pid;

	SYS(pipe(fd));
	install(SIGUSR1, 0, do_nothing);
	pid = fork_run(send_soon, (void *)SIGUSR1);
	FAILS(EINTR, read(fd[0], &c, 1));
	expect_exit(pid, 0);
	pid = fork_run(send_soon, (void *)SIGUSR1);
	FAILS(EINTR, nanosleep(&ts, &left));
	CHECK(left.tv_sec == 4, "%ld s left", (long)left.tv_sec);
	expect_exit(pid, 0);
	pfd = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	install(SIGUSR1, SA_RESTART, do_nothing);
	pid = fork_run(send_soon, (void *)SIGUSR1);
	FAILS(EINTR, poll(&pfd, 1, 5000));
	expect_exit(pid, 0);
	SYS(close(fd[0]));
	SYS(close(fd[1]));
}

static int restart_pipe[2];

static void signal_then_write(void *unused)
{
	sleep_ms(20);
	SYS(kill(getppid(), SIGUSR1));
	sleep_ms(20);
	SYS(kill(getppid(), SIGWINCH));
	sleep_ms(20);
	CHECK(SYS(write(restart_pipe[1], "x", 1)) == 1);
}

/* A blocked read into untouched memory goes on by itself after a handled and an ignored signal. */
static void restarted_read(void)
{
	char *fresh = map_anon(PAGE);
	pid_t pid;

	SYS(pipe(restart_pipe));
	install(SIGUSR1, SA_RESTART, do_nothing);
	pid = fork_run(signal_then_write, NULL);
	CHECK(SYS(read(restart_pipe[0], fresh, 10)) == 1 && *fresh == 'x');
	expect_exit(pid, 0);
	SYS(close(restart_pipe[0]));
	SYS(close(restart_pipe[1]));
	SYS(munmap(fresh, PAGE));
}

static siginfo_t *seen;

static void store_info(int sig, siginfo_t *si, void *ctx)
{
	*seen = *si;
}

/* siginfo comes through whole: sender, uid, queued value; the record is in new memory. */
static void siginfo_is_whole(void)
{
	union sigval v = { .sival_int = 123456 };

	seen = map_anon(PAGE);
	install(SIGRTMIN + 1, 0, store_info);
	SYS(sigqueue(getpid(), SIGRTMIN + 1, v));
	CHECK(seen->si_signo == SIGRTMIN + 1 && seen->si_code == SI_QUEUE);
	CHECK(seen->si_pid == getpid() && seen->si_uid == getuid());
	CHECK(seen->si_value.sival_int == 123456);
	install(SIGCHLD, 0, store_info);
	pid_t pid = fork_run(send_soon, NULL);
	CHECK(waitpid(pid, NULL, 0) == pid || errno == EINTR);
	CHECK(seen->si_signo == SIGCHLD && seen->si_code == CLD_EXITED && seen->si_pid == pid);
	signal(SIGCHLD, SIG_DFL);
}

/* Queued real-time signals are delivered in order and none is lost. */
static atomic_int next_value;

static void in_order(int sig, siginfo_t *si, void *ctx)
{
	CHECK(si->si_value.sival_int == atomic_fetch_add(&next_value, 1));
}

static void realtime_queue(void)
{
	sigset_t set;

	install(SIGRTMIN + 2, 0, in_order);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	SYS(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int i = 0; i < 100; i++)
		SYS(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){ .sival_int = i }));
	SYS(sigprocmask(SIG_UNBLOCK, &set, NULL));
	CHECK(atomic_load(&next_value) == 100);
}

/* sigtimedwait and sigsuspend, with their results in new memory. */
static void synchronous_waits(void)
{
	siginfo_t *si = map_anon(PAGE);
	struct timespec ts = { 5, 0 };
	sigset_t set, none;

	sigemptyset(&none);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	install(SIGUSR2, 0, do_nothing);
	SYS(sigprocmask(SIG_BLOCK, &set, NULL));
	SYS(kill(getpid(), SIGUSR2));
	CHECK(SYS(sigtimedwait(&set, si, &ts)) == SIGUSR2 && si->si_pid == getpid());
	ts.tv_sec = 0;
	FAILS(EAGAIN, sigtimedwait(&set, si, &ts));
	SYS(kill(getpid(), SIGUSR2));
	FAILS(EINTR, sigsuspend(&none));
	SYS(sigprocmask(SIG_UNBLOCK, &set, NULL));
	SYS(munmap(si, PAGE));
}

int main(void)
{
	scratch = map_anon(SCRATCH);
	RUN(timer_while_faulting);
	RUN(timer_while_forking);
	RUN(signals_to_threads);
	RUN(interrupted_calls);
	RUN(restarted_read);
	RUN(siginfo_is_whole);
	RUN(realtime_queue);
	RUN(synchronous_waits);
	return 0;
}
