// SPDX-License-Identifier: MIT
/*
 * Threads that sleep in system calls while others make the pager work: no call may come back before
 * its time. (Linux ends epoll_wait, semop, sigtimedwait … with EINTR when a tracer stops the thread
 * in the wrong way.)
 */
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include "e2e.h"

#define AREA (32 * PAGE)
#define BLOCK_MS 700

static atomic_bool stop;

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void by_epoll(void)
{
	struct epoll_event ev;
	int ep = SYS(epoll_create1(0));

	CHECK(SYS(epoll_wait(ep, &ev, 1, BLOCK_MS)) == 0);
	SYS(close(ep));
}

static void by_poll(void)
{
	int fd = SYS(eventfd(0, 0));
	struct pollfd p = { .fd = fd, .events = POLLIN };

	CHECK(SYS(poll(&p, 1, BLOCK_MS)) == 0);
	SYS(close(fd));
}

static void by_nanosleep(void)
{
	struct timespec ts = { 0, BLOCK_MS * 1000000L };

	SYS(nanosleep(&ts, NULL));
}

static void by_sigtimedwait(void)
{
	struct timespec ts = { 0, BLOCK_MS * 1000000L };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	FAILS(EAGAIN, sigtimedwait(&set, NULL, &ts));
}

static void by_semtimedop(void)
{
	int id = SYS(semget(IPC_PRIVATE, 1, 0600));
	struct timespec ts = { 0, BLOCK_MS * 1000000L };
	struct sembuf down = { 0, -1, 0 };

	FAILS(EAGAIN, semtimedop(id, &down, 1, &ts));
	SYS(semctl(id, 0, IPC_RMID));
}

static void by_semaphore(void)
{
	struct timespec ts;
	sem_t sem;

	sem_init(&sem, 0, 0);
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += BLOCK_MS * 1000000L;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	FAILS(ETIMEDOUT, sem_timedwait(&sem, &ts));
}

static void by_recv_timeout(void)
{
	struct timeval tv = { 0, BLOCK_MS * 1000 };
	int sv[2];
	char c;

	SYS(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	SYS(setsockopt(sv[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	FAILS(EAGAIN, recv(sv[0], &c, 1, 0));
	SYS(close(sv[0]));
	SYS(close(sv[1]));
}

static void by_timerfd(void)
{
	struct itimerspec its = { { 0, 0 }, { 0, BLOCK_MS * 1000000L } };
	int fd = SYS(timerfd_create(CLOCK_MONOTONIC, 0));
	uint64_t n;

	SYS(timerfd_settime(fd, 0, &its, NULL));
	CHECK(SYS(read(fd, &n, sizeof(n))) == sizeof(n) && n == 1);
	SYS(close(fd));
}

/* Inotify reads and message queues have no time limit: another thread of this process ends them. */
static char watched[] = "/tmp/e2e-blocked-XXXXXX";
static int inotify_fd, queue;

static void by_inotify(void)
{
	char buf[4096];

	CHECK(SYS(read(inotify_fd, buf, sizeof(buf))) > 0);
}

static void by_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} m;

	CHECK(SYS(msgrcv(queue, &m, sizeof(m.text), 1, 0)) == 3);
}

static void (*const ways[])(void) = {
	by_epoll, by_poll, by_nanosleep, by_sigtimedwait, by_semtimedop, by_semaphore,
	by_recv_timeout, by_timerfd, by_inotify, by_msgrcv,
};

static void *sleeper(void *index)
{
	long start = now_ms();

	ways[(uintptr_t)index]();
	CHECK(now_ms() - start >= BLOCK_MS - 5, "way %zu came back after %ld ms", (size_t)index,
	      now_ms() - start);
	return NULL;
}

/* Faults, mappings, forks and threads, all the time. */
static void *worker(void *index)
{
	for (int i = 0; !atomic_load(&stop); i++) {
		char *p = map_anon(AREA);

		fill_marks(p, AREA, i);
		SYS(mprotect(p, AREA / 2, PROT_READ));
		if (i % 8 == 0) {
			pid_t pid = SYS(fork());

			if (!pid) {
				check_marks(p, AREA, i);
				_exit(0);
			}
			expect_exit(pid, 0);
		}
		check_marks(p, AREA, i);
		SYS(munmap(p, AREA));
	}
	return NULL;
}

static void end_the_endless(void)
{
	struct {
		long type;
		char text[8];
	} m = { 1, "end" };
	char path[64];

	sleep_ms(BLOCK_MS + 100);
	SYS(msgsnd(queue, &m, 3, 0));
	snprintf(path, sizeof(path), "%s/file", watched);
	close(SYS(creat(path, 0600)));
	SYS(unlink(path));
	SYS(rmdir(watched));
}

static void no_call_comes_back_early(void)
{
	pthread_t sleepers[ARRAY_SIZE(ways)], workers[2];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	SYS(pthread_sigmask(SIG_BLOCK, &set, NULL));
	inotify_fd = SYS(inotify_init1(0));
	queue = SYS(msgget(IPC_PRIVATE, 0600));
	CHECK(mkdtemp(watched));
	SYS(inotify_add_watch(inotify_fd, watched, IN_CREATE));
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		CHECK(pthread_create(&sleepers[i], NULL, sleeper, (void *)i) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
		CHECK(pthread_create(&workers[i], NULL, worker, (void *)i) == 0);
	end_the_endless();
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		CHECK(pthread_join(sleepers[i], NULL) == 0);
	atomic_store(&stop, true);
	for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
		CHECK(pthread_join(workers[i], NULL) == 0);
	SYS(msgctl(queue, IPC_RMID, NULL));
	SYS(close(inotify_fd));
}

int main(void)
{
	RUN(no_call_comes_back_early);
	return 0;
}
