// SPDX-License-Identifier: MIT
/* System calls whose buffers nobody has touched: the fault is raised inside the kernel. */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <linux/futex.h>
#include "e2e.h"

#define AREA (16 * PAGE)

/* A fresh buffer that begins `off` bytes before a page boundary, both pages untouched. */
static char *fresh(size_t off)
{
	return (char *)map_anon(2 * AREA) + AREA - off;
}

static void done(char *buf, size_t off)
{
	SYS(munmap(buf - AREA + off, 2 * AREA));
}

static void read_and_write(void)
{
	int fd = marked_file(AREA, 1);
	char *p = map_anon(AREA), *zeroes = map_anon(AREA), *q;
	int pipefd[2];

	CHECK(SYS(pread(fd, p, AREA, 0)) == (ssize_t)AREA);
	check_marks(p, AREA, 1);
	/* write from memory never touched: zeroes. */
	CHECK(SYS(pwrite(fd, zeroes, AREA, 0)) == (ssize_t)AREA);
	CHECK(SYS(pread(fd, p, AREA, 0)) == (ssize_t)AREA);
	check_bytes(p, AREA, 0);
	check_bytes(zeroes, AREA, 0);
	/* Across a page boundary, bytes beyond the read stay zero. */
	SYS(pipe(pipefd));
	CHECK(SYS(write(pipefd[1], "0123456789", 10)) == 10);
	q = fresh(5);
	CHECK(SYS(read(pipefd[0], q, 100)) == 10 && !memcmp(q, "0123456789", 10));
	check_bytes(q + 10, 200, 0);
	done(q, 5);
	for (int i = 0; i < 2; i++)
		SYS(close(pipefd[i]));
	SYS(close(fd));
}

static void vectors(void)
{
	int fd = marked_file(8 * PAGE, 2);
	char *p = map_anon(AREA);
	struct iovec *iov = map_anon(PAGE);

	/* Backwards, each piece into another untouched page. */
	for (int i = 0; i < 8; i++)
		iov[i] = (struct iovec){ p + (7 - i) * PAGE, PAGE };
	CHECK(SYS(preadv(fd, iov, 8, 0)) == (ssize_t)(8 * PAGE));
	for (int i = 0; i < 8; i++)
		CHECK(*(uint64_t *)(p + (7 - i) * PAGE) == mark(2, i), "piece %d", i);
	CHECK(SYS(pwritev(fd, iov, 8, 0)) == (ssize_t)(8 * PAGE));
	SYS(munmap(p, AREA));
	SYS(munmap(iov, PAGE));
	SYS(close(fd));
}

static void messages(void)
{
	int sv[2];
	char *p = map_anon(AREA), *control = fresh(8);
	struct msghdr *msg = map_anon(PAGE);
	struct iovec iov = { p + PAGE - 3, 100 };
	struct ucred *cred;
	int on = 1;

	SYS(socketpair(AF_UNIX, SOCK_DGRAM, 0, sv));
	SYS(setsockopt(sv[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	CHECK(SYS(send(sv[0], "message", 7, 0)) == 7);
	*msg = (struct msghdr){ .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 256 };
	CHECK(SYS(recvmsg(sv[1], msg, 0)) == 7 && !memcmp(p + PAGE - 3, "message", 7));
	cred = (struct ucred *)CMSG_DATA(CMSG_FIRSTHDR(msg));
	CHECK(cred->pid == getpid());
	done(control, 8);
	SYS(munmap(p, AREA));
	SYS(close(sv[0]));
	SYS(close(sv[1]));
}

/* Calls with small results, each at an untouched place across a page boundary. */
static void small_results(void)
{
	struct timespec *ts = (void *)fresh(8);
	struct stat *st = (void *)fresh(64);
	struct utsname *un = (void *)fresh(100);
	struct sysinfo *si = (void *)fresh(16);
	struct tms *tms = (void *)fresh(16);
	struct rusage_opaque { char bytes[256]; } *ru = (void *)fresh(16);
	char *cwd = fresh(1), *link = fresh(2), *bytes = fresh(3000);
	int sum = 0;

	SYS(syscall(SYS_clock_gettime, CLOCK_REALTIME, ts));
	CHECK(ts->tv_sec > 1000000000 && ts->tv_nsec < 1000000000);
	SYS(stat("/", st));
	CHECK(S_ISDIR(st->st_mode) && st->st_nlink > 0);
	SYS(uname(un));
	CHECK(!strcmp(un->sysname, "Linux"));
	SYS(sysinfo(si));
	CHECK(si->totalram > 0);
	SYS(times(tms));
	SYS(syscall(SYS_getrusage, 0, ru));
	SYS(chdir("/"));
	CHECK(SYS(syscall(SYS_getcwd, cwd, 100)) == 2 && !strcmp(cwd, "/"));
	CHECK(SYS(readlink("/proc/self/cwd", link, 100)) == 1 && *link == '/');
	CHECK(SYS(getrandom(bytes, 6000, 0)) == 6000);
	for (int i = 0; i < 6000; i++)
		sum += bytes[i] != 0;
	CHECK(sum > 5900);
	done((void *)ts, 8);
	done((void *)st, 64);
	done((void *)un, 100);
	done((void *)si, 16);
	done((void *)tms, 16);
	done((void *)ru, 16);
	done(cwd, 1);
	done(link, 2);
	done(bytes, 3000);
}

/* Arguments (not only results) in memory nobody touched: they read as zero. */
static void zero_arguments(void)
{
	struct pollfd *none = map_anon(PAGE);
	struct timespec *ts = map_anon(PAGE), *left = map_anon(PAGE);
	sigset_t *set = map_anon(PAGE), *old = map_anon(PAGE);
	char *path = map_anon(PAGE);

	CHECK(SYS(ppoll(none, 0, ts, NULL)) == 0);
	SYS(nanosleep(ts, left));
	SYS(syscall(SYS_rt_sigprocmask, SIG_BLOCK, set, old, 8));
	FAILS(ENOENT, open(path, O_RDONLY));
	SYS(munmap(none, PAGE));
	SYS(munmap(ts, PAGE));
	SYS(munmap(left, PAGE));
	SYS(munmap(set, PAGE));
	SYS(munmap(old, PAGE));
	SYS(munmap(path, PAGE));
}

static void poll_family(void)
{
	int ep = SYS(epoll_create1(0)), fd[2];
	struct epoll_event *ev = (void *)fresh(6);
	struct epoll_event add = { .events = EPOLLIN, .data.u64 = 0x1234567890 };
	struct pollfd *pfd = (void *)fresh(4);
	fd_set *set = map_anon(PAGE);

	SYS(pipe(fd));
	SYS(epoll_ctl(ep, EPOLL_CTL_ADD, fd[0], &add));
	CHECK(SYS(write(fd[1], "x", 1)) == 1);
	CHECK(SYS(epoll_wait(ep, ev, 100, 1000)) == 1);
	CHECK(ev->data.u64 == 0x1234567890 && ev->events == EPOLLIN);
	*pfd = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	CHECK(SYS(poll(pfd, 1, 1000)) == 1 && pfd->revents == POLLIN);
	FD_SET(fd[0], set);
	CHECK(SYS(select(fd[0] + 1, set, NULL, NULL, NULL)) == 1 && FD_ISSET(fd[0], set));
	done((void *)ev, 6);
	done((void *)pfd, 4);
	SYS(munmap(set, PAGE));
	SYS(close(ep));
	SYS(close(fd[0]));
	SYS(close(fd[1]));
}

static long futex(uint32_t *word, int op, uint32_t val, const struct timespec *ts)
{
	return syscall(SYS_futex, word, op, val, ts, NULL, 0);
}

static uint32_t *futex_word;

static void *wait_it(void *unused)
{
	CHECK(futex(futex_word, FUTEX_WAIT_PRIVATE, 0, NULL) == 0 || errno == EAGAIN || errno == EINTR);
	return NULL;
}

/* futex words in untouched memory: the wait itself is the first touch. */
static void futexes(void)
{
	struct timespec soon = { 0, 1000000 };
	uint32_t *word = map_anon(AREA);
	pthread_t t;

	FAILS(EAGAIN, futex(word, FUTEX_WAIT, 1, NULL));
	FAILS(ETIMEDOUT, futex(word + 1024, FUTEX_WAIT, 0, &soon));
	CHECK(SYS(futex(word + 2048, FUTEX_WAKE, 1, NULL)) == 0);
	FAILS(ETIMEDOUT, futex(word + 3072, FUTEX_WAIT_PRIVATE, 0, &soon));
	futex_word = word + 4096;
	CHECK(pthread_create(&t, NULL, wait_it, NULL) == 0);
	sleep_ms(20);
	__atomic_store_n(futex_word, 1, __ATOMIC_SEQ_CST);
	futex(futex_word, FUTEX_WAKE_PRIVATE, 1, NULL);
	CHECK(pthread_join(t, NULL) == 0);
	SYS(munmap(word, AREA));
}

static void splice_family(void)
{
	int fd[2], file = marked_file(8 * PAGE, 3);
	char *from = map_anon(AREA), *to = map_anon(AREA);
	struct iovec iov = { from, 4 * PAGE };
	off_t off = 0;

	SYS(pipe(fd));
	/* vmsplice of untouched pages: they travel as zeroes. */
	CHECK(SYS(vmsplice(fd[1], &iov, 1, 0)) == (ssize_t)(4 * PAGE));
	CHECK(SYS(read(fd[0], to, 4 * PAGE)) == (ssize_t)(4 * PAGE));
	check_bytes(to, 4 * PAGE, 0);
	fill_marks(from, 4 * PAGE, 4);
	CHECK(SYS(vmsplice(fd[1], &iov, 1, 0)) == (ssize_t)(4 * PAGE));
	CHECK(SYS(read(fd[0], to + 8 * PAGE, 4 * PAGE)) == (ssize_t)(4 * PAGE));
	check_marks(to + 8 * PAGE, 4 * PAGE, 4);
	CHECK(SYS(splice(file, &off, fd[1], NULL, 8 * PAGE, 0)) == (ssize_t)(8 * PAGE));
	iov = (struct iovec){ to + 4 * PAGE, 4 * PAGE };
	CHECK(SYS(vmsplice(fd[0], &iov, 1, 0)) == (ssize_t)(4 * PAGE));
	check_marks(to + 4 * PAGE, 4 * PAGE, 3);
	SYS(munmap(from, AREA));
	SYS(munmap(to, AREA));
	SYS(close(fd[0]));
	SYS(close(fd[1]));
	SYS(close(file));
}

static void *reader(void *index)
{
	int fd = (int)(uintptr_t)index;
	char *p = map_anon(4 * PAGE);
	size_t total = 0;
	ssize_t n;

	while ((n = SYS(read(fd, p, 4 * PAGE))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			CHECK(p[i] == 'd', "byte %zu is %#x", total + i, p[i]);
		total += n;
		SYS(madvise(p, 4 * PAGE, MADV_DONTNEED));
	}
	return (void *)total;
}

/* A pipe read into memory that is dropped again after each read, its writer a thread as well. */
static void pipe_between_threads(void)
{
	int fd[2];
	char buf[1000];
	pthread_t t;
	void *total;

	memset(buf, 'd', sizeof(buf));
	SYS(pipe(fd));
	CHECK(pthread_create(&t, NULL, reader, (void *)(uintptr_t)fd[0]) == 0);
	for (int i = 0; i < 1000; i++)
		CHECK(SYS(write(fd[1], buf, sizeof(buf))) == sizeof(buf));
	SYS(close(fd[1]));
	CHECK(pthread_join(t, &total) == 0);
	CHECK((size_t)total == 1000000);
	SYS(close(fd[0]));
}

int main(void)
{
	RUN(read_and_write);
	RUN(vectors);
	RUN(messages);
	RUN(small_results);
	RUN(zero_arguments);
	RUN(poll_family);
	RUN(futexes);
	RUN(splice_family);
	RUN(pipe_between_threads);
	return 0;
}
