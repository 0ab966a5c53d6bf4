/* SPDX-License-Identifier: MIT */
/*
 * What the self-checking programs of tests/e2e share.
 *
 * Each program knows nothing of upager: it must be right natively first. It prints the name of
 * each case before it starts (so that a hang or a crash names its case), the same bytes on every
 * run, and exits 0. When something differs it says on stderr what, and exits 1 at once; a child
 * that fails so makes its parent fail in expect_exit().
 */
#ifndef E2E_H
#define E2E_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define KIB 1024UL
#define MIB (1024UL * 1024)
#define GIB (1024UL * 1024 * 1024)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08 /* 6.11 */
#endif

/* End this process with status 1 unless `cond` holds; the format says what differed. */
#define CHECK(cond, ...)                                                                        \
	do {                                                                                    \
		if (!(cond))                                                                    \
			e2e_fail(__FILE__, __LINE__, #cond, " " __VA_ARGS__);                    \
	} while (0)

/* A system call that must succeed; its value. */
#define SYS(call)                                                                               \
	({                                                                                      \
		__auto_type e2e_ret = (call);                                                   \
		if ((intptr_t)e2e_ret == -1)                                                    \
			e2e_fail(__FILE__, __LINE__, #call, "%s", strerror(errno));             \
		e2e_ret;                                                                        \
	})

/* A system call that must fail with exactly this errno. */
#define FAILS(err, call)                                                                        \
	do {                                                                                    \
		errno = 0;                                                                      \
		intptr_t e2e_got = (intptr_t)(call);                                            \
		if (e2e_got != -1 || errno != (err))                                            \
			e2e_fail(__FILE__, __LINE__, #call, "value %#lx, %s; expected %s",      \
				 (long)e2e_got, strerror(errno), strerror(err));                \
	} while (0)

/* Name the case, then run it. */
#define RUN(fn)                                                                                 \
	do {                                                                                    \
		puts(#fn);                                                                      \
		fflush(stdout);                                                                 \
		fn();                                                                           \
	} while (0)

static inline void __attribute__((format(printf, 4, 5), noreturn))
e2e_fail(const char *file, int line, const char *what, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	int n = snprintf(text, sizeof(text), "%s:%d: [%d] %s:", file, line, getpid(), what);

	if (n > (int)sizeof(text) - 128)
		n = sizeof(text) - 128;
	va_start(ap, fmt);
	n += vsnprintf(text + n, sizeof(text) - n, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(text) - 2)
		n = sizeof(text) - 2;
	text[n++] = '\n';
	if (write(2, text, n) < 0)
		_exit(2);
	_exit(1);
}

/* Fresh private anonymous memory, untouched. */
static inline void *map_anon(size_t len)
{
	return SYS(mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

/* xorshift64*: the same stream for the same seed on every machine. */
static inline uint64_t rnd(uint64_t *seed)
{
	uint64_t x = *seed;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*seed = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* The word that page `i` of a region marked `tag` must begin and end with. */
static inline uint64_t mark(uint64_t tag, uint64_t i)
{
	return (tag + 1) * 0x9e3779b97f4a7c15ULL ^ i * 0xc2b2ae3d27d4eb4fULL;
}

/* Write the marks of `tag` on every page of [p, p + len). */
static inline void fill_marks(void *p, size_t len, uint64_t tag)
{
	for (size_t i = 0; i < len / PAGE; i++) {
		volatile uint64_t *w = (uint64_t *)((char *)p + i * PAGE);

		w[0] = mark(tag, i);
		w[PAGE / 8 - 1] = ~mark(tag, i);
	}
}

/* Every page of [p, p + len) must still carry them. */
static inline void check_marks(const void *p, size_t len, uint64_t tag)
{
	for (size_t i = 0; i < len / PAGE; i++) {
		const volatile uint64_t *w = (const uint64_t *)((const char *)p + i * PAGE);

		CHECK(w[0] == mark(tag, i), "page %zu at %p, first word %#lx, tag %lu", i,
		      (void *)w, (long)w[0], (long)tag);
		CHECK(w[PAGE / 8 - 1] == ~mark(tag, i), "page %zu at %p, last word %#lx, tag %lu",
		      i, (void *)w, (long)w[PAGE / 8 - 1], (long)tag);
	}
}

/* Every byte of [p, p + len) must be `byte`. */
static inline void check_bytes(const void *p, size_t len, unsigned char byte)
{
	const volatile unsigned char *b = p;

	for (size_t i = 0; i < len; i++)
		CHECK(b[i] == byte, "byte %zu at %p is %#x, expected %#x", i, (void *)(b + i),
		      b[i], byte);
}

/* fork() whose child runs fn(arg) and exits 0. */
static inline pid_t fork_run(void (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = SYS(fork());
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	return pid;
}

static inline void expect_exit(pid_t pid, int code)
{
	int st;

	CHECK(SYS(waitpid(pid, &st, 0)) == pid);
	CHECK(WIFEXITED(st) && WEXITSTATUS(st) == code, "child %d: status %#x, expected exit %d",
	      pid, st, code);
}

static inline void expect_signal(pid_t pid, int sig)
{
	int st;

	CHECK(SYS(waitpid(pid, &st, 0)) == pid);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == sig, "child %d: status %#x, expected signal %d",
	      pid, st, sig);
}

/* An open, already unlinked file of `len` bytes, each page marked with `tag`. */
static inline int marked_file(size_t len, uint64_t tag)
{
	char path[] = "/tmp/e2e-file-XXXXXX";
	int fd = SYS(mkstemp(path));
	char page[PAGE];

	SYS(unlink(path));
	for (size_t i = 0; i < len / PAGE; i++) {
		memset(page, 0, sizeof(page));
		((uint64_t *)page)[0] = mark(tag, i);
		((uint64_t *)page)[PAGE / 8 - 1] = ~mark(tag, i);
		CHECK(SYS(write(fd, page, PAGE)) == (ssize_t)PAGE);
	}
	return fd;
}

/* Start nr threads on fn((void *)0 … nr-1) and join them all. */
static inline void run_threads(int nr, void *(*fn)(void *index))
{
	pthread_t t[64];

	CHECK(nr <= (int)ARRAY_SIZE(t));
	for (long i = 0; i < nr; i++) {
		int rc = pthread_create(&t[i], NULL, fn, (void *)i);

		CHECK(rc == 0, "pthread_create: %s", strerror(rc));
	}
	for (int i = 0; i < nr; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

static inline void sleep_ms(int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

#endif
