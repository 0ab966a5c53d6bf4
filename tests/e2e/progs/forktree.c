// SPDX-License-Identifier: MIT
/* fork: every process of a tree sees its own memory and nobody else's. */
#include "e2e.h"

#define AREA (32 * PAGE)

/* One region of each kind of private anonymous memory, and the data section beside them. */
static char bss_area[AREA] __attribute__((aligned(4096)));
static char data_area[AREA] __attribute__((aligned(4096))) = { 1 };
static char *heap_area, *mmap_area;

static void fill_all(char *stack_area, uint64_t tag)
{
	fill_marks(bss_area, AREA, tag);
	fill_marks(data_area, AREA, tag);
	fill_marks(heap_area, AREA, tag);
	fill_marks(mmap_area, AREA, tag);
	fill_marks(stack_area, AREA, tag);
}

static void check_all(const char *stack_area, uint64_t tag)
{
	check_marks(bss_area, AREA, tag);
	check_marks(data_area, AREA, tag);
	check_marks(heap_area, AREA, tag);
	check_marks(mmap_area, AREA, tag);
	check_marks(stack_area, AREA, tag);
}

/*
 *   tag 1 ── 4 ── …       Each process starts with its parent's bytes, writes its own, starts
 *        ├── 5            two children (changing its bytes between them) and must find at the
 *        └── …            end what it wrote last, whatever the others wrote meanwhile.
 */
static void generation(int depth, uint64_t tag, char *stack_area)
{
	pid_t child[2];

	fill_all(stack_area, tag);
	for (int c = 0; c < 2 && depth > 0; c++) {
		uint64_t mine = c ? tag + 1000 : tag;

		child[c] = SYS(fork());
		if (!child[c]) {
			check_all(stack_area, mine);
			generation(depth - 1, tag * 4 + c, stack_area);
			_exit(0);
		}
		check_all(stack_area, mine);
		fill_all(stack_area, tag + 1000);
	}
	check_all(stack_area, depth > 0 ? tag + 1000 : tag);
	for (int c = 0; c < 2 && depth > 0; c++)
		expect_exit(child[c], 0);
	check_all(stack_area, depth > 0 ? tag + 1000 : tag);
}

static void three_generations(void)
{
	char stack_area[AREA] __attribute__((aligned(4096)));

	generation(3, 1, stack_area);
}

#define BIG (64 * MIB)

static void write_even(void *p)
{
	uint64_t *w = p;

	check_marks(p, BIG, 1);
	for (size_t i = 0; i < BIG / PAGE; i += 2)
		w[i * (PAGE / 8)] = mark(2, i);
	for (size_t i = 0; i < BIG / PAGE; i++)
		CHECK(w[i * (PAGE / 8)] == mark(i % 2 ? 1 : 2, i), "page %zu", i);
}

/* 64 MiB resident: the child rewrites the even pages while the parent rewrites the odd ones. */
static void resident_64_mib(void)
{
	uint64_t *w = map_anon(BIG);
	pid_t pid;

	fill_marks(w, BIG, 1);
	pid = fork_run(write_even, w);
	for (size_t i = 1; i < BIG / PAGE; i += 2)
		w[i * (PAGE / 8)] = mark(3, i);
	expect_exit(pid, 0);
	for (size_t i = 0; i < BIG / PAGE; i++)
		CHECK(w[i * (PAGE / 8)] == mark(i % 2 ? 3 : 1, i), "page %zu", i);
	SYS(munmap(w, BIG));
}

#define NR_SNAPSHOTS 8

static int gate[2];

struct snapshot {
	char *area;
	int tag;
};

static void hold_snapshot(void *arg)
{
	struct snapshot *s = arg;
	char c;

	SYS(close(gate[1]));
	CHECK(SYS(read(gate[0], &c, 1)) == 0);
	check_marks(s->area, AREA, s->tag);
	fill_marks(s->area, AREA, s->tag + 50);
	check_marks(s->area, AREA, s->tag + 50);
}

/* Eight children hold the bytes of eight moments, while the parent writes on. */
static void snapshots(void)
{
	struct snapshot s = { .area = map_anon(AREA) };
	pid_t child[NR_SNAPSHOTS];

	SYS(pipe(gate));
	for (s.tag = 0; s.tag < NR_SNAPSHOTS; s.tag++) {
		fill_marks(s.area, AREA, s.tag);
		child[s.tag] = fork_run(hold_snapshot, &s);
	}
	fill_marks(s.area, AREA, 99);
	SYS(close(gate[0]));
	SYS(close(gate[1]));
	for (int i = 0; i < NR_SNAPSHOTS; i++)
		expect_exit(child[i], 0);
	check_marks(s.area, AREA, 99);
	SYS(munmap(s.area, AREA));
}

static void touch_fresh(void *p)
{
	check_bytes(p, AREA, 0);
	fill_marks(p, AREA, 7);
	check_marks(p, AREA, 7);
}

/* Pages never touched, and pages only read (zero page), inherited by a child. */
static void untouched_and_zero_pages(void)
{
	char *fresh = map_anon(AREA), *zero = map_anon(AREA);
	pid_t a, b;

	check_bytes(zero, AREA, 0);
	a = fork_run(touch_fresh, fresh);
	b = fork_run(touch_fresh, zero);
	touch_fresh(fresh);
	touch_fresh(zero);
	expect_exit(a, 0);
	expect_exit(b, 0);
	check_marks(fresh, AREA, 7);
	check_marks(zero, AREA, 7);
	SYS(munmap(fresh, AREA));
	SYS(munmap(zero, AREA));
}

static void do_nothing(void *arg)
{
}

/* Writers left alone: after the child is gone the parent's write reuses the page. */
static void alone_again(void)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA, 0);
	for (int i = 1; i < 10; i++) {
		expect_exit(fork_run(do_nothing, NULL), 0);
		check_marks(p, AREA, i - 1);
		fill_marks(p, AREA, i);
	}
	check_marks(p, AREA, 9);
	SYS(munmap(p, AREA));
}

static void orphan_maker(void *arg)
{
	int *fd = arg;
	char *p = map_anon(AREA);

	fill_marks(p, AREA, 3);
	if (SYS(fork()) == 0) {
		char verdict = 'y';

		while (getppid() == *fd)
			sleep_ms(1);
		check_marks(p, AREA, 3);
		fill_marks(p, AREA, 4);
		check_marks(p, AREA, 4);
		CHECK(SYS(write(gate[1], &verdict, 1)) == 1);
		_exit(0);
	}
}

/* The parent is gone first; the orphan still has every byte. */
static void orphan_keeps_memory(void)
{
	char c;
	int unused = getpid();

	SYS(pipe(gate));
	expect_exit(fork_run(orphan_maker, &unused), 0);
	SYS(close(gate[1]));
	CHECK(SYS(read(gate[0], &c, 1)) == 1 && c == 'y');
	SYS(close(gate[0]));
}

static void kernel_writes(void *p)
{
	int fd[2];
	char page[PAGE];

	SYS(pipe(fd));
	for (size_t i = 0; i < AREA / PAGE; i++) {
		memset(page, (int)i + 1, PAGE);
		CHECK(SYS(write(fd[1], page, PAGE)) == (ssize_t)PAGE);
		CHECK(SYS(read(fd[0], (char *)p + i * PAGE, PAGE)) == (ssize_t)PAGE);
	}
	for (size_t i = 0; i < AREA / PAGE; i++)
		check_bytes((char *)p + i * PAGE, PAGE, (int)i + 1);
}

/* The write that breaks the sharing is made by the kernel, inside read(2). */
static void kernel_breaks_cow(void)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA, 11);
	expect_exit(fork_run(kernel_writes, p), 0);
	check_marks(p, AREA, 11);
	SYS(munmap(p, AREA));
}

static void fork_chain(void *arg)
{
	int *depth = arg;

	check_marks(mmap_area, AREA, *depth);
	if (++*depth == 24)
		return;
	fill_marks(mmap_area, AREA, *depth);
	expect_exit(fork_run(fork_chain, depth), 0);
	check_marks(mmap_area, AREA, *depth);
}

/* 24 generations deep, each writes its own before it forks on. */
static void long_chain(void)
{
	int depth = 0;

	fill_marks(mmap_area, AREA, 0);
	expect_exit(fork_run(fork_chain, &depth), 0);
	check_marks(mmap_area, AREA, 0);
}

static void remap_in_child(void *p)
{
	char *q = SYS(mremap(p, AREA, 2 * AREA, MREMAP_MAYMOVE));

	check_marks(q, AREA, 21);
	check_bytes(q + AREA, AREA, 0);
	fill_marks(q, 2 * AREA, 22);
	SYS(mprotect(q, 2 * AREA, PROT_READ));
	check_marks(q, 2 * AREA, 22);
	SYS(munmap(q, 2 * AREA));
}

/* Shared pages moved, made read-only and unmapped by the child: the parent's stay. */
static void child_remaps(void)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA, 21);
	expect_exit(fork_run(remap_in_child, p), 0);
	check_marks(p, AREA, 21);
	fill_marks(p, AREA, 23);
	check_marks(p, AREA, 23);
	SYS(munmap(p, AREA));
}

int main(void)
{
	heap_area = aligned_alloc(PAGE, AREA);
	mmap_area = map_anon(AREA);
	RUN(three_generations);
	RUN(resident_64_mib);
	RUN(snapshots);
	RUN(untouched_and_zero_pages);
	RUN(alone_again);
	RUN(orphan_keeps_memory);
	RUN(kernel_breaks_cow);
	RUN(long_chain);
	RUN(child_remaps);
	return 0;
}
