// SPDX-License-Identifier: MIT
/* MAP_FIXED, munmap, mprotect and mremap over live memory, other threads at work all around. */
#include "e2e.h"

#define NR 96
#define HOLE 32 /* pages [HOLE, HOLE + 32) change; those around them never do */

static char *area;
static atomic_bool stop;

/* Read the pages around the changing part; not one byte of them may move. */
static void *watch_neighbours(void *index)
{
	while (!atomic_load(&stop)) {
		check_marks(area, HOLE * PAGE, 1);
		for (size_t i = 2 * HOLE; i < NR; i++)
			CHECK(*(volatile uint64_t *)(area + i * PAGE) == mark(2, i));
	}
	return NULL;
}

/* Write and read back own words right beside it. */
static void *write_neighbours(void *index)
{
	long me = 8 + (long)index;
	uint64_t n = 0;

	while (!atomic_load(&stop)) {
		volatile uint64_t *low = (uint64_t *)(area + (HOLE - 1) * PAGE);
		volatile uint64_t *high = (uint64_t *)(area + 2 * HOLE * PAGE);

		low[me] = high[me] = ++n;
		CHECK(low[me] == n && high[me] == n);
	}
	return NULL;
}

static void with_neighbours(void (*fn)(char *hole, size_t len))
{
	pthread_t t[4];

	area = map_anon(NR * PAGE);
	fill_marks(area, HOLE * PAGE, 1);
	for (size_t i = 2 * HOLE; i < NR; i++)
		*(uint64_t *)(area + i * PAGE) = mark(2, i);
	atomic_store(&stop, false);
	for (long i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, i % 2 ? watch_neighbours : write_neighbours,
				     (void *)i) == 0);
	fn(area + HOLE * PAGE, HOLE * PAGE);
	atomic_store(&stop, true);
	for (int i = 0; i < 4; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	SYS(munmap(area, NR * PAGE));
}

static void remap_fixed(char *hole, size_t len)
{
	for (int i = 0; i < 150; i++) {
		CHECK(SYS(mmap(hole, len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)) == hole);
		CHECK(*(uint64_t *)(hole + (i % HOLE) * PAGE) == 0);
		fill_marks(hole, len, i);
		check_marks(hole, len, i);
	}
}

static void unmap_and_map(char *hole, size_t len)
{
	for (int i = 0; i < 100; i++) {
		SYS(munmap(hole, len));
		CHECK(SYS(mmap(hole, len, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)) == hole);
		check_bytes(hole + (i % HOLE) * PAGE, 64, 0);
		fill_marks(hole, len, i);
		check_marks(hole, len, i);
	}
}

static void toggle_protection(char *hole, size_t len)
{
	static const int prot[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE };

	fill_marks(hole, len, 7);
	for (int i = 0; i < 200; i++) {
		size_t at = (i * 7 % HOLE) * PAGE;

		SYS(mprotect(hole + at, len - at, prot[i % 3]));
		if (i % 3)
			CHECK(*(uint64_t *)(hole + at) == mark(7, at / PAGE));
	}
	SYS(mprotect(hole, len, PROT_READ | PROT_WRITE));
	check_marks(hole, len, 7);
}

static void move_in(char *hole, size_t len)
{
	for (int i = 0; i < 80; i++) {
		char *p = map_anon(len);

		fill_marks(p, len / 2, i);
		CHECK(SYS(mremap(p, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, hole)) == hole);
		check_marks(hole, len / 2, i);
		check_bytes(hole + len / 2, PAGE, 0);
	}
}

static void drop_pages(char *hole, size_t len)
{
	for (int i = 0; i < 150; i++) {
		fill_marks(hole, len, i);
		check_marks(hole, len, i);
		SYS(madvise(hole, len, MADV_DONTNEED));
		CHECK(*(uint64_t *)(hole + (i % HOLE) * PAGE) == 0);
	}
}

static void fixed_over_live_memory(void)
{
	with_neighbours(remap_fixed);
}

static void munmap_beside_readers(void)
{
	with_neighbours(unmap_and_map);
}

static void mprotect_beside_readers(void)
{
	with_neighbours(toggle_protection);
}

static void mremap_beside_readers(void)
{
	with_neighbours(move_in);
}

static void dontneed_beside_readers(void)
{
	with_neighbours(drop_pages);
}

/* A reader inside the replaced range itself sees the old bytes or the new zeroes, nothing else. */
static void *read_inside(void *unused)
{
	while (!atomic_load(&stop)) {
		for (size_t i = 0; i < NR; i++) {
			uint64_t v = *(volatile uint64_t *)(area + i * PAGE);

			CHECK(v == 0 || v == mark(9, i), "page %zu holds %#lx", i, (long)v);
		}
	}
	return NULL;
}

static void replaced_under_readers(void)
{
	pthread_t t[3];

	area = map_anon(NR * PAGE);
	fill_marks(area, NR * PAGE, 9);
	atomic_store(&stop, false);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, read_inside, NULL) == 0);
	for (int i = 0; i < 150; i++) {
		SYS(mmap(area, NR * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		fill_marks(area, NR * PAGE, 9);
		SYS(madvise(area, NR / 2 * PAGE, MADV_DONTNEED));
		CHECK(*(uint64_t *)(area + NR / 2 * PAGE) == mark(9, NR / 2));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	SYS(munmap(area, NR * PAGE));
}

int main(void)
{
	RUN(fixed_over_live_memory);
	RUN(munmap_beside_readers);
	RUN(mprotect_beside_readers);
	RUN(mremap_beside_readers);
	RUN(dontneed_beside_readers);
	RUN(replaced_under_readers);
	return 0;
}
