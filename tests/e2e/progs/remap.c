// SPDX-License-Identifier: MIT
/* mremap in all its forms. */
#include "e2e.h"

#define RW (PROT_READ | PROT_WRITE)
#define AREA (32 * PAGE)

static void grow_and_shrink(void)
{
	char *p = map_anon(AREA);
	size_t len = AREA;

	fill_marks(p, AREA, 1);
	for (int i = 0; i < 40; i++) {
		size_t want = i % 3 == 2 ? AREA : AREA * (i % 7 + 2);

		p = SYS(mremap(p, len, want, MREMAP_MAYMOVE));
		if (want > len) {
			check_bytes(p + len, PAGE, 0);
			check_bytes(p + want - PAGE, PAGE, 0);
		}
		check_marks(p, AREA, 1);
		len = want;
		fill_marks(p, len, 1);
	}
	SYS(munmap(p, len));
}

/* Without MAYMOVE it grows only where there is room. */
static void in_place(void)
{
	char *p = map_anon(4 * AREA);

	fill_marks(p, AREA, 1);
	FAILS(ENOMEM, mremap(p, AREA, AREA + PAGE, 0));
	check_marks(p, AREA, 1);
	SYS(munmap(p + AREA, 2 * AREA));
	CHECK(SYS(mremap(p, AREA, 2 * AREA, 0)) == p);
	check_marks(p, AREA, 1);
	check_bytes(p + AREA, AREA, 0);
	CHECK(SYS(mremap(p, 2 * AREA, PAGE, 0)) == p);
	FAILS(EFAULT, mremap(p + PAGE, PAGE, PAGE, MREMAP_MAYMOVE));
	SYS(munmap(p, 4 * AREA));
}

static void fixed_target(void)
{
	char *p = map_anon(AREA), *to = map_anon(3 * AREA);

	fill_marks(p, AREA, 2);
	fill_marks(to, 3 * AREA, 3);
	CHECK(SYS(mremap(p, AREA, AREA, MREMAP_MAYMOVE | MREMAP_FIXED, to + AREA)) == to + AREA);
	check_marks(to, AREA, 3);
	check_marks(to + AREA, AREA, 2);
	for (size_t i = 0; i < AREA / PAGE; i++)
		CHECK(*(uint64_t *)(to + 2 * AREA + i * PAGE) == mark(3, 2 * AREA / PAGE + i));
	/* Grow and shrink while moving onto a fixed place. */
	p = SYS(mremap(to + AREA, AREA, 2 * AREA, MREMAP_MAYMOVE));
	CHECK(SYS(mremap(p, 2 * AREA, AREA, MREMAP_MAYMOVE | MREMAP_FIXED, to)) == to);
	check_marks(to, AREA, 2);
	SYS(munmap(to, 3 * AREA));
}

/* The old place stays mapped and is empty; both go on with lives of their own. */
static void dontunmap(void)
{
	char *p = map_anon(AREA), *q;

	fill_marks(p, AREA, 4);
	q = SYS(mremap(p, AREA, AREA, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	CHECK(q != p);
	check_marks(q, AREA, 4);
	check_bytes(p, AREA, 0);
	fill_marks(p, AREA, 5);
	check_marks(q, AREA, 4);
	fill_marks(q, AREA, 6);
	check_marks(p, AREA, 5);
	SYS(munmap(p, AREA));
	check_marks(q, AREA, 6);
	SYS(munmap(q, AREA));
}

/* The middle of a mapping moves away, and something else moves in. */
static void middle(void)
{
	char *p = map_anon(3 * AREA), *q, *r;

	fill_marks(p, 3 * AREA, 7);
	q = map_anon(AREA);
	CHECK(SYS(mremap(p + AREA, AREA, AREA, MREMAP_MAYMOVE | MREMAP_FIXED, q)) == q);
	for (size_t i = 0; i < AREA / PAGE; i++)
		CHECK(*(uint64_t *)(q + i * PAGE) == mark(7, AREA / PAGE + i));
	r = SYS(mmap(p + AREA, AREA, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	check_bytes(r, AREA, 0);
	fill_marks(r, AREA, 8);
	check_marks(p, AREA, 7);
	check_marks(r, AREA, 8);
	CHECK(SYS(mremap(q, AREA, AREA, MREMAP_MAYMOVE | MREMAP_FIXED, r)) == r);
	check_marks(p, 3 * AREA, 7);
	SYS(munmap(p, 3 * AREA));
}

static char *shared_with_child;

static void move_in_child(void *unused)
{
	char *q = SYS(mremap(shared_with_child, AREA, 2 * AREA, MREMAP_MAYMOVE));

	check_marks(q, AREA, 9);
	fill_marks(q, 2 * AREA, 10);
	q = SYS(mremap(q, 2 * AREA, AREA, MREMAP_MAYMOVE));
	check_marks(q, AREA, 10);
}

/* Pages shared after fork are moved by one side, or both. */
static void move_shared_pages(void)
{
	char *q;
	pid_t pid;

	shared_with_child = map_anon(AREA);
	fill_marks(shared_with_child, AREA, 9);
	pid = fork_run(move_in_child, NULL);
	q = SYS(mremap(shared_with_child, AREA, 4 * AREA, MREMAP_MAYMOVE));
	check_marks(q, AREA, 9);
	fill_marks(q, AREA, 11);
	expect_exit(pid, 0);
	check_marks(q, AREA, 11);
	check_bytes(q + AREA, 3 * AREA, 0);
	SYS(munmap(q, 4 * AREA));
}

/* Read-only and inaccessible mappings move with their bytes and their protection. */
static void protections_move(void)
{
	char *p = map_anon(AREA), *q;

	fill_marks(p, AREA, 12);
	SYS(mprotect(p, AREA, PROT_READ));
	q = SYS(mremap(p, AREA, 2 * AREA, MREMAP_MAYMOVE));
	check_marks(q, AREA, 12);
	check_bytes(q + AREA, AREA, 0);
	FAILS(EFAULT, syscall(SYS_clock_gettime, CLOCK_REALTIME, q));
	SYS(mprotect(q, 2 * AREA, PROT_NONE));
	p = map_anon(2 * AREA);
	SYS(mremap(q, 2 * AREA, 2 * AREA, MREMAP_MAYMOVE | MREMAP_FIXED, p));
	SYS(mprotect(p, 2 * AREA, RW));
	check_marks(p, AREA, 12);
	SYS(munmap(p, 2 * AREA));
}

static void *mover(void *index)
{
	char *p = map_anon(AREA);

	for (int i = 0; i < 60; i++) {
		fill_marks(p, AREA, i);
		p = SYS(mremap(p, AREA, 2 * AREA, MREMAP_MAYMOVE));
		check_marks(p, AREA, i);
		p = SYS(mremap(p, 2 * AREA, AREA, MREMAP_MAYMOVE));
		check_marks(p, AREA, i);
	}
	SYS(munmap(p, AREA));
	return NULL;
}

static void many_movers(void)
{
	run_threads(5, mover);
}

/* realloc of large blocks is mremap in disguise. */
static void large_realloc(void)
{
	uint64_t *v = NULL;

	for (size_t n = 1; n < 4 * MIB; n *= 2) {
		v = realloc(v, 2 * n * sizeof(*v));
		CHECK(v);
		for (size_t i = n == 1 ? 0 : n; i < 2 * n; i++)
			v[i] = mark(1, i);
	}
	for (size_t i = 0; i < 4 * MIB; i++)
		CHECK(v[i] == mark(1, i));
	free(v);
}

/* What lies idle is out then, with a small budget. */
static void push_out(void)
{
	size_t len = 512 * PAGE;
	char *p = map_anon(len);

	fill_marks(p, len, 60);
	SYS(munmap(p, len));
}

/* One call moves several mappings, with holes between them: since Linux 6.17. */
static void several_at_once(void)
{
	size_t len = 12 * PAGE;
	char *p = map_anon(len), *to = map_anon(len);

	for (int i = 0; i < 6; i++)
		fill_marks(p + 2 * i * PAGE, 2 * PAGE, 70 + i);
	SYS(mprotect(p + 2 * PAGE, 2 * PAGE, PROT_READ));
	SYS(munmap(p + 6 * PAGE, 2 * PAGE));
	SYS(mprotect(p + 10 * PAGE, 2 * PAGE, PROT_READ));
	push_out();
	if (mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
		CHECK(errno == EFAULT || errno == EINVAL, "%m");
		return;
	}
	for (int i = 0; i < 6; i++)
		if (i != 3)
			check_marks(to + 2 * i * PAGE, 2 * PAGE, 70 + i);
	fill_marks(to, 2 * PAGE, 80);
	check_marks(to, 2 * PAGE, 80);
}

/* Memory that has no neighbour to merge with: between parts of a reservation. */
static char *map_alone(size_t len)
{
	char *p = mmap(NULL, 3 * len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(p != MAP_FAILED, "%m");
	CHECK(mmap(p + len, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + len, "%m");
	return p + len;
}

/*
 * Memory that was only read goes to the end of written memory, and back between its old neighbours.  It is one mapping with
 * them again where reading gave it an anon_vma (userfaultfd does, the kernel alone does not), and then all move at once.
 */
static void only_read(void)
{
	size_t len = 24 * PAGE;
	char *written = map_alone(len), *p = map_alone(len), *away = written + 8 * PAGE;

	fill_marks(written, 8 * PAGE, 90);
	for (size_t i = 0; i < len; i += PAGE)
		CHECK(!p[i], "new page");
	CHECK(mremap(p + 4 * PAGE, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away, "%m");
	CHECK(mremap(away, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + 4 * PAGE) == p + 4 * PAGE, "%m");
	fill_marks(p, len, 91);
	push_out();
	away = map_anon(2 * len);
	if (mremap(p, len, 2 * len, MREMAP_MAYMOVE | MREMAP_FIXED, away) == MAP_FAILED) {
		CHECK(errno == EFAULT, "%m");
		return;
	}
	check_marks(away, len, 91);
	for (size_t i = 0; i < len; i++)
		CHECK(!away[len + i], "grown part");
}

/* What was filled for reading before it became writable, and an mprotect that fails half-way: one mapping in the end. */
static void became_writable(void)
{
	size_t len = 16 * PAGE;
	char *p = map_alone(len), *middle = p + 4 * PAGE, *to = map_anon(2 * len);

	CHECK(mmap(middle, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0) == middle, "%m");
	SYS(mprotect(middle, 2 * PAGE, PROT_READ | PROT_WRITE));
	SYS(mprotect(middle, 4 * PAGE, PROT_NONE));
	SYS(mprotect(p + 8 * PAGE, 4 * PAGE, PROT_NONE));
	SYS(munmap(p + 12 * PAGE, 4 * PAGE));
	CHECK(mprotect(middle, 12 * PAGE, PROT_READ | PROT_WRITE) == -1 && errno == ENOMEM, "into a hole");
	fill_marks(p, 12 * PAGE, 92);
	push_out();
	if (mremap(p, 12 * PAGE, 24 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED) {
		CHECK(errno == EFAULT, "%m");
		return;
	}
	check_marks(to, 12 * PAGE, 92);
}

int main(void)
{
	RUN(only_read); /* before there are threads: the audit compares more */
	RUN(became_writable);
	RUN(grow_and_shrink);
	RUN(in_place);
	RUN(fixed_target);
	RUN(dontunmap);
	RUN(middle);
	RUN(move_shared_pages);
	RUN(protections_move);
	RUN(many_movers);
	RUN(large_realloc);
	RUN(several_at_once);
	return 0;
}
