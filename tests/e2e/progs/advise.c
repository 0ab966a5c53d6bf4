// SPDX-License-Identifier: MIT
/* madvise: every advice that changes what a program sees, and those that must not. */
#include <setjmp.h>
#include "e2e.h"

#define RW (PROT_READ | PROT_WRITE)
#define AREA (32 * PAGE)

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

static void dontneed(void)
{
	char *p = map_anon(AREA);

	for (int i = 0; i < 30; i++) {
		fill_marks(p, AREA, i);
		SYS(madvise(p + 8 * PAGE, 8 * PAGE, MADV_DONTNEED));
		check_bytes(p + 8 * PAGE, 8 * PAGE, 0);
		check_marks(p, 8 * PAGE, i);
	}
	SYS(mprotect(p, AREA, PROT_READ));
	SYS(madvise(p, AREA, MADV_DONTNEED));
	check_bytes(p, AREA, 0);
	SYS(mprotect(p, AREA, PROT_NONE));
	SYS(madvise(p, AREA, MADV_DONTNEED));
	SYS(mprotect(p, AREA, RW));
	fill_marks(p, AREA, 40);
	check_marks(p, AREA, 40);
	SYS(munmap(p, AREA));
}

/* After FREE each page is old or zero, as a whole; once written again it stays. */
static void free_lazily(void)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA, 1);
	SYS(madvise(p, AREA, MADV_FREE));
	for (size_t i = 0; i < AREA / PAGE; i++) {
		uint64_t a = *(volatile uint64_t *)(p + i * PAGE);

		CHECK(a == 0 || a == mark(1, i), "page %zu holds %#lx", i, (long)a);
	}
	fill_marks(p, AREA, 2);
	check_marks(p, AREA, 2);
	SYS(munmap(p, AREA));
}

static char *wiped, *kept, *left_out;

static void look_at_inherited(void *unused)
{
	unsigned char vec;

	check_bytes(wiped, AREA, 0);
	check_marks(kept, AREA, 2);
	FAILS(ENOMEM, mincore(left_out, PAGE, &vec));
	FAILS(ENOMEM, mprotect(left_out, PAGE, PROT_READ));
	fill_marks(wiped, AREA, 4);
	check_marks(wiped, AREA, 4);
}

static void fork_again(void *unused)
{
	fill_marks(wiped, AREA, 5);
	expect_exit(fork_run(look_at_inherited, NULL), 0);
	check_marks(wiped, AREA, 5);
}

/* WIPEONFORK is zero in the child and in its child; DONTFORK is not there at all. */
static void wipe_and_dont_fork(void)
{
	char *p = map_anon(3 * AREA);

	wiped = p;
	kept = p + AREA;
	left_out = p + 2 * AREA;
	fill_marks(wiped, AREA, 1);
	fill_marks(kept, AREA, 2);
	fill_marks(left_out, AREA, 3);
	SYS(madvise(wiped, AREA, MADV_WIPEONFORK));
	SYS(madvise(left_out, AREA, MADV_DONTFORK));
	expect_exit(fork_run(look_at_inherited, NULL), 0);
	expect_exit(fork_run(fork_again, NULL), 0);
	check_marks(wiped, AREA, 1);
	check_marks(kept, AREA, 2);
	check_marks(left_out, AREA, 3);
	SYS(madvise(wiped, AREA, MADV_KEEPONFORK));
	SYS(madvise(left_out, AREA, MADV_DOFORK));
	fill_marks(wiped, AREA, 1);
	pid_t pid = SYS(fork());
	if (!pid) {
		check_marks(wiped, AREA, 1);
		check_marks(left_out, AREA, 3);
		_exit(0);
	}
	expect_exit(pid, 0);
	SYS(munmap(p, 3 * AREA));
}

static void populate(void)
{
	char *p = map_anon(AREA);
	unsigned char vec[32];

	for (int i = 0; i < 2; i++) {
		SYS(madvise(p, AREA, i ? MADV_POPULATE_WRITE : MADV_POPULATE_READ));
		SYS(mincore(p, AREA, vec));
		for (int k = 0; k < 32; k++)
			CHECK(vec[k] & 1, "page %d not in core", k);
		check_bytes(p, AREA, 0);
		fill_marks(p, AREA, i);
		check_marks(p, AREA, i);
		SYS(madvise(p, AREA, MADV_POPULATE_WRITE));
		check_marks(p, AREA, i);
		SYS(madvise(p, AREA, MADV_DONTNEED));
	}
	SYS(mprotect(p, AREA, PROT_READ));
	FAILS(EINVAL, madvise(p, AREA, MADV_POPULATE_WRITE));
	SYS(madvise(p, AREA, MADV_POPULATE_READ));
	SYS(munmap(p, AREA));
	FAILS(ENOMEM, madvise(p, AREA, MADV_POPULATE_READ));
}

/* Hints about order and dumps: no byte changes, and neighbours stay what they are. */
static void hints(void)
{
	static const int advice[] = {
		MADV_SEQUENTIAL, MADV_RANDOM, MADV_NORMAL, MADV_WILLNEED, MADV_DONTDUMP, MADV_DODUMP,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_COLD, MADV_PAGEOUT, MADV_MERGEABLE, MADV_UNMERGEABLE,
	};
	char *p = map_anon(AREA);

	for (size_t i = 0; i < ARRAY_SIZE(advice); i++) {
		fill_marks(p, AREA / 2, i);
		if (madvise(p + 4 * PAGE, 20 * PAGE, advice[i]) < 0)
			CHECK(errno == EINVAL || errno == EBADF, "advice %d: %s", advice[i],
			      strerror(errno));
		check_marks(p, AREA / 2, i);
		check_bytes(p + AREA / 2, AREA / 2, 0);
		SYS(madvise(p, AREA, MADV_DONTNEED));
	}
	SYS(munmap(p, AREA));
}

/* A mapping with an advice on its middle third: touched in order, forked, touched again. */
static void advised_then_forked(void)
{
	char *p = map_anon(AREA);

	SYS(madvise(p + 8 * PAGE, 16 * PAGE, MADV_SEQUENTIAL));
	SYS(madvise(p + 16 * PAGE, 4 * PAGE, MADV_RANDOM));
	fill_marks(p, AREA, 1);
	pid_t pid = SYS(fork());
	if (!pid) {
		check_marks(p, AREA, 1);
		SYS(madvise(p, AREA, MADV_DONTNEED));
		check_bytes(p, AREA, 0);
		fill_marks(p, AREA, 2);
		check_marks(p, AREA, 2);
		_exit(0);
	}
	fill_marks(p, AREA, 3);
	expect_exit(pid, 0);
	check_marks(p, AREA, 3);
	SYS(munmap(p, AREA));
}

/* REMOVE punches shared memory and is refused on private. */
static void remove_pages(void)
{
	char *s = SYS(mmap(NULL, AREA, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	char *p = map_anon(AREA);

	fill_marks(s, AREA, 1);
	SYS(madvise(s + AREA / 2, AREA / 2, MADV_REMOVE));
	check_marks(s, AREA / 2, 1);
	check_bytes(s + AREA / 2, AREA / 2, 0);
	fill_marks(p, AREA, 1);
	FAILS(EINVAL, madvise(p, AREA, MADV_REMOVE));
	check_marks(p, AREA, 1);
	SYS(munmap(s, AREA));
	SYS(munmap(p, AREA));
}

static void drop_shared(void *p)
{
	SYS(madvise(p, AREA, MADV_DONTNEED));
	check_bytes(p, AREA, 0);
	fill_marks(p, AREA / 2, 8);
	check_marks(p, AREA / 2, 8);
}

/* The child drops pages that it shares with its parent. */
static void dontneed_after_fork(void)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA, 7);
	expect_exit(fork_run(drop_shared, p), 0);
	check_marks(p, AREA, 7);
	pid_t pid = SYS(fork());
	if (!pid) {
		sleep_ms(20);
		check_marks(p, AREA, 7);
		_exit(0);
	}
	SYS(madvise(p, AREA, MADV_DONTNEED));
	check_bytes(p, AREA, 0);
	fill_marks(p, AREA, 9);
	expect_exit(pid, 0);
	check_marks(p, AREA, 9);
	SYS(munmap(p, AREA));
}

static sigjmp_buf back;

static void on_segv(int sig)
{
	siglongjmp(back, 1);
}

static void expect_segv(volatile char *p)
{
	if (sigsetjmp(back, 1) == 0) {
		(void)*p;
		CHECK(0, "%p can be read", (void *)p);
	}
}

static void look_at_guards(void *p)
{
	expect_segv((char *)p + 8 * PAGE);
	CHECK(*(uint64_t *)((char *)p + 7 * PAGE) == mark(1, 7));
}

/* Guard pages without a mapping of their own (Linux 6.13); older kernels say EINVAL. */
static void guard_pages(void)
{
	char *p = map_anon(AREA);

	signal(SIGSEGV, on_segv);
	fill_marks(p, AREA, 1);
	if (madvise(p + 8 * PAGE, 4 * PAGE, MADV_GUARD_INSTALL) < 0) {
		CHECK(errno == EINVAL, "%s", strerror(errno));
		check_marks(p, AREA, 1);
	} else {
		expect_segv(p + 8 * PAGE);
		expect_segv(p + 11 * PAGE + 5);
		check_marks(p, 8 * PAGE, 1);
		expect_exit(fork_run(look_at_guards, p), 0);
		SYS(madvise(p + 8 * PAGE, 4 * PAGE, MADV_GUARD_REMOVE));
		check_bytes(p + 8 * PAGE, 4 * PAGE, 0);
		fill_marks(p, AREA, 2);
		check_marks(p, AREA, 2);
	}
	signal(SIGSEGV, SIG_DFL);
	SYS(munmap(p, AREA));
}

int main(void)
{
	RUN(dontneed);
	RUN(free_lazily);
	RUN(wipe_and_dont_fork);
	RUN(populate);
	RUN(hints);
	RUN(advised_then_forked);
	RUN(guard_pages);
	RUN(remove_pages);
	RUN(dontneed_after_fork);
	return 0;
}
