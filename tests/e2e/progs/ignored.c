// SPDX-License-Identifier: MIT
/* A signal that is ignored, by default or by wish, ends no call; one that has a handler does. */
#include <liburing.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include "e2e.h"

static pid_t parent;
static int fd[2]; /* a pipe */
static int sem;
static atomic_int handled;

/* ---- what ends a call ---- */

static void write_pipe(void)
{
	CHECK(SYS(write(fd[1], "x", 1)) == 1);
}

static void read_pipe(void)
{
	char c;

	CHECK(SYS(read(fd[0], &c, 1)) == 1);
}

static void raise_sem(void)
{
	struct sembuf up = { 0, 1, 0 };

	SYS(semop(sem, &up, 1));
}

static void send_sigusr1(void)
{
	SYS(kill(parent, SIGUSR1));
}

static void (*end)(void);

/* Signals that are ignored, some time after the parent has begun its call; then what ends that. */
static void disturb(void *unused)
{
	static const int ignored[] = { SIGWINCH, SIGURG, SIGCHLD, SIGUSR2 };

	(void)unused;
	sleep_ms(20);
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++) {
		SYS(kill(parent, ignored[i]));
		sleep_ms(3);
	}
	end();
}

/* The call must wait for its end, which a child brings, whatever else that sends before. */
static void waits_on_(const char *name, long (*call)(void), void (*ended_by)(void))
{
	end = ended_by;
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork_run(disturb, NULL);
		long ret = call();

		CHECK(ret == 1, "%s: %ld, %s", name, ret, strerror(errno));
		expect_exit(pid, 0);
	}
}
#define waits_on(call, ended_by) waits_on_(#call, call, ended_by)

/* ---- calls that are never restarted: signal(7) ---- */

static int epoll_fd(void)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = SYS(epoll_create1(0));

	SYS(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &ev));
	return ep;
}

/* Calls wait_in(ep), and takes out what ended it. */
static long epoll_by(int (*wait_in)(int ep, struct epoll_event *ev))
{
	struct epoll_event ev;
	int ep = epoll_fd(), ret = wait_in(ep, &ev);

	SYS(close(ep));
	if (ret == 1)
		read_pipe();
	return ret;
}

static int wait_plain(int ep, struct epoll_event *ev)
{
	return epoll_wait(ep, ev, 1, -1);
}

static int wait_with_mask(int ep, struct epoll_event *ev)
{
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(ep, ev, 1, -1, &none);
}

static int wait_with_timespec(int ep, struct epoll_event *ev)
{
	return (int)syscall(441, ep, ev, 1, NULL, NULL, 0); /* epoll_pwait2 */
}

static long call_epoll_wait(void) { return epoll_by(wait_plain); }
static long call_epoll_pwait(void) { return epoll_by(wait_with_mask); }
static long call_epoll_pwait2(void) { return epoll_by(wait_with_timespec); }

static long call_semop(void)
{
	struct sembuf down = { 0, -1, 0 };

	return semop(sem, &down, 1) + 1;
}

static long call_sigtimedwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	return sigwaitinfo(&set, NULL) == SIGUSR1;
}

static long call_io_getevents(void)
{
	struct iocb cb = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = fd[0], .aio_buf = POLLIN }, *list = &cb;
	struct io_event ev;
	aio_context_t ctx = 0;
	long ret;

	SYS(syscall(SYS_io_setup, 4, &ctx));
	CHECK(SYS(syscall(SYS_io_submit, ctx, 1, &list)) == 1);
	ret = syscall(SYS_io_getevents, ctx, 1, 1, &ev, NULL);
	if (ret == 1)
		read_pipe();
	SYS(syscall(SYS_io_destroy, ctx));
	return ret;
}

static long call_io_uring_enter(void)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	int ret = io_uring_queue_init(4, &ring, 0);

	if (ret == -ENOSYS || ret == -EPERM) { /* not built, or forbidden */
		sleep_ms(100);
		read_pipe();
		return 1;
	}
	CHECK(ret == 0);
	io_uring_prep_poll_add(io_uring_get_sqe(&ring), fd[0], POLLIN);
	CHECK(io_uring_submit(&ring) == 1);
	ret = io_uring_wait_cqe(&ring, &cqe);
	if (!ret)
		read_pipe();
	io_uring_queue_exit(&ring);
	return ret + 1;
}

static void never_restarted(void)
{
	sigset_t usr1;

	waits_on(call_epoll_wait, write_pipe);
	waits_on(call_epoll_pwait, write_pipe);
	waits_on(call_epoll_pwait2, write_pipe);
	waits_on(call_semop, raise_sem);
	waits_on(call_io_getevents, write_pipe);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	SYS(sigprocmask(SIG_BLOCK, &usr1, NULL));
	waits_on(call_sigtimedwait, send_sigusr1);
	SYS(sigprocmask(SIG_UNBLOCK, &usr1, NULL));
	waits_on(call_io_uring_enter, write_pipe); /* last: what is left of a ring ends a call natively, too */
}

/* ---- and what ends them all the same ---- */

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

/* A handler runs once, and the call says EINTR: ignored signals before it or at the same time change nothing. */
static void with_a_handler(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	SYS(sigaction(SIGUSR1, &sa, NULL));
	end = send_sigusr1;
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork_run(disturb, NULL);

		FAILS(EINTR, call_epoll_wait());
		expect_exit(pid, 0);
		CHECK(handled == i + 1, "%d", handled);
	}
}

/* Both were blocked, and come at once when epoll_pwait lets them in. */
static void both_at_once(void)
{
	sigset_t both;

	sigemptyset(&both);
	sigaddset(&both, SIGUSR1);
	sigaddset(&both, SIGCHLD);
	SYS(sigprocmask(SIG_BLOCK, &both, NULL));
	SYS(kill(parent, SIGUSR1));
	SYS(kill(parent, SIGCHLD));
	handled = 0;
	FAILS(EINTR, call_epoll_pwait());
	CHECK(handled == 1);
	/* Queued because it was blocked: that ends the call, though nobody handles it. */
	SYS(kill(parent, SIGCHLD));
	FAILS(EINTR, call_epoll_pwait());
	SYS(sigprocmask(SIG_UNBLOCK, &both, NULL));
}

int main(void)
{
	parent = getpid();
	SYS(pipe(fd));
	sem = SYS(semget(IPC_PRIVATE, 1, 0600));
	SYS(signal(SIGUSR2, SIG_IGN) == SIG_ERR ? -1 : 0);
	RUN(never_restarted);
	RUN(with_a_handler);
	RUN(both_at_once);
	SYS(semctl(sem, 0, IPC_RMID));
	return 0;
}
