// SPDX-License-Identifier: MIT
/* The heap by hand: brk up and down, with raw calls beside the C library's malloc. */
#include <sys/resource.h>
#include "e2e.h"

static uintptr_t raw_brk(uintptr_t to)
{
	return syscall(SYS_brk, to);
}

static uintptr_t page_up(uintptr_t a)
{
	return (a + PAGE - 1) & ~(PAGE - 1);
}

/* Move the break and require that it moved. */
static void set_brk(uintptr_t to)
{
	uintptr_t got = raw_brk(to);

	CHECK(got == to, "brk(%#lx) gave %#lx", (long)to, (long)got);
}

static void sbrk_zero_games(void)
{
	void *first = sbrk(0);

	for (int i = 0; i < 100; i++)
		CHECK(sbrk(0) == first);
	CHECK(raw_brk(0) == (uintptr_t)first && raw_brk(1) == (uintptr_t)first);
	CHECK(sbrk(1) == first && sbrk(0) == (char *)first + 1);
	CHECK(sbrk(-1) == (char *)first + 1 && sbrk(0) == first);
	CHECK(raw_brk(~0UL) == (uintptr_t)first);
}

/* Up and down by odd amounts: what stays keeps its bytes, what comes back is zero. */
static void up_and_down(void)
{
	uintptr_t base = page_up(raw_brk(0)), end;
	uint64_t seed = 42;
	size_t pages = 0;

	set_brk(base);
	for (int i = 0; i < 400; i++) {
		size_t want = rnd(&seed) % 200;

		end = base + want * PAGE;
		set_brk(end);
		if (want > pages) {
			check_bytes((char *)base + pages * PAGE, 64, 0);
			check_bytes((char *)end - 64, 64, 0);
		}
		for (size_t k = 0; k < want && k < pages; k++)
			CHECK(((uint64_t *)(base + k * PAGE))[0] == mark(3, k), "page %zu", k);
		fill_marks((void *)base, want * PAGE, 3);
		pages = want;
	}
	set_brk(base);
}

/* Within one page nothing is given back; the bytes stay. */
static void unaligned_steps(void)
{
	uintptr_t base = page_up(raw_brk(0));

	set_brk(base + 100);
	memset((void *)base, 0x5a, 100);
	set_brk(base + PAGE);
	check_bytes((void *)base, 100, 0x5a);
	check_bytes((char *)base + 100, PAGE - 100, 0);
	set_brk(base + 10);
	set_brk(base + PAGE + 5);
	check_bytes((void *)base, 100, 0x5a);
	check_bytes((char *)base + PAGE, PAGE, 0);
	set_brk(base);
	set_brk(base + PAGE);
	check_bytes((void *)base, PAGE, 0);
	set_brk(base);
}

/* A mapping stands in the way: brk stops, the mapping keeps its bytes. */
static void collision(void)
{
	uintptr_t base = page_up(raw_brk(0));
	char *wall;

	set_brk(base + 4 * PAGE);
	wall = SYS(mmap((void *)(base + 16 * PAGE), 4 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	fill_marks(wall, 4 * PAGE, 1);
	fill_marks((void *)base, 4 * PAGE, 2);
	CHECK(raw_brk(base + 32 * PAGE) == base + 4 * PAGE);
	CHECK(sbrk(MIB) == (void *)-1 && errno == ENOMEM);
	check_marks(wall, 4 * PAGE, 1);
	check_marks((void *)base, 4 * PAGE, 2);
	SYS(munmap(wall, 4 * PAGE));
	set_brk(base + 32 * PAGE);
	check_marks((void *)base, 4 * PAGE, 2);
	check_bytes((char *)base + 4 * PAGE, 28 * PAGE, 0);
	set_brk(base);
}

/* The heap cut up by munmap, mprotect and MAP_FIXED, then grown and shrunk over the cuts. */
static void cut_heap(void)
{
	uintptr_t base = page_up(raw_brk(0));
	char *h = (char *)base;

	set_brk(base + 32 * PAGE);
	fill_marks(h, 32 * PAGE, 4);
	SYS(munmap(h + 4 * PAGE, 4 * PAGE));
	SYS(mprotect(h + 12 * PAGE, 4 * PAGE, PROT_READ));
	SYS(mmap(h + 20 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	check_bytes(h + 20 * PAGE, 4 * PAGE, 0);
	set_brk(base + 64 * PAGE);
	fill_marks(h + 32 * PAGE, 32 * PAGE, 5);
	check_marks(h, 4 * PAGE, 4);
	set_brk(base + 18 * PAGE);
	check_marks(h, 4 * PAGE, 4);
	CHECK(*(uint64_t *)(h + 13 * PAGE) == mark(4, 13));
	set_brk(base + 2 * PAGE);
	set_brk(base + 32 * PAGE);
	check_marks(h, 2 * PAGE, 4);
	check_bytes(h + 2 * PAGE, 30 * PAGE, 0);
	set_brk(base);
}

static void use_heap(void *arg)
{
	uintptr_t base = (uintptr_t)arg;

	check_marks((void *)base, 64 * PAGE, 6);
	set_brk(base + 128 * PAGE);
	check_bytes((char *)base + 64 * PAGE, 64 * PAGE, 0);
	fill_marks((void *)base, 128 * PAGE, 7);
	set_brk(base + 16 * PAGE);
	set_brk(base + 128 * PAGE);
	check_marks((void *)base, 16 * PAGE, 7);
	check_bytes((char *)base + 16 * PAGE, PAGE, 0);
}

/* Parent and child move their breaks apart. */
static void brk_and_fork(void)
{
	uintptr_t base = page_up(raw_brk(0));
	pid_t pid;

	set_brk(base + 64 * PAGE);
	fill_marks((void *)base, 64 * PAGE, 6);
	pid = fork_run(use_heap, (void *)base);
	set_brk(base + 96 * PAGE);
	fill_marks((char *)base + 64 * PAGE, 32 * PAGE, 8);
	expect_exit(pid, 0);
	check_marks((void *)base, 64 * PAGE, 6);
	check_marks((char *)base + 64 * PAGE, 32 * PAGE, 8);
	set_brk(base);
}

static void limited(void *unused)
{
	struct rlimit rl = { 8 * MIB, RLIM_INFINITY };
	uintptr_t now = raw_brk(0);

	SYS(setrlimit(RLIMIT_DATA, &rl));
	CHECK(sbrk(64 * MIB) == (void *)-1 && errno == ENOMEM);
	CHECK(raw_brk(0) == now);
	CHECK(sbrk(64 * KIB) == (void *)now);
	fill_marks((void *)page_up(now), 60 * KIB, 1);
}

static void rlimit_data(void)
{
	expect_exit(fork_run(limited, NULL), 0);
}

/* 256 MiB of heap in one step, touched sparsely, given back at once. */
static void large_step(void)
{
	uintptr_t base = page_up(raw_brk(0));

	set_brk(base + 256 * MIB);
	for (size_t at = 0; at < 256 * MIB; at += 4 * MIB)
		*(uint64_t *)(base + at) = mark(1, at);
	for (size_t at = 0; at < 256 * MIB; at += 4 * MIB)
		CHECK(*(uint64_t *)(base + at) == mark(1, at));
	set_brk(base);
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	RUN(sbrk_zero_games);
	RUN(up_and_down);
	RUN(unaligned_steps);
	RUN(collision);
	RUN(cut_heap);
	RUN(brk_and_fork);
	RUN(rlimit_data);
	RUN(large_step);
	return 0;
}
