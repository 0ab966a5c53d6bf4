// SPDX-License-Identifier: MIT
/* Large and thinly used address spaces: 1 TiB reserved, 1 GiB touched here and there. */
#include "e2e.h"

#define TIB (1024 * GIB)

/* Reserve with PROT_NONE, commit parts by mprotect, give them back: as runtimes do. */
static void reserve_and_commit(void)
{
	char *p = SYS(mmap(NULL, TIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	uint64_t seed = 1;

	for (int i = 0; i < 64; i++) {
		char *at = p + rnd(&seed) % (TIB / MIB - 1) * MIB;

		SYS(mprotect(at, 64 * PAGE, PROT_READ | PROT_WRITE));
		check_bytes(at, PAGE, 0);
		fill_marks(at, 64 * PAGE, i);
		check_marks(at, 64 * PAGE, i);
		if (i % 2) {
			SYS(madvise(at, 64 * PAGE, MADV_DONTNEED));
			check_bytes(at + 63 * PAGE, PAGE, 0);
			SYS(mmap(at, 64 * PAGE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0));
		}
	}
	SYS(munmap(p, TIB));
}

static char *big;

static void check_big(void *unused)
{
	for (size_t i = 0; i < GIB / (256 * KIB); i++) {
		volatile uint64_t *w = (uint64_t *)(big + i * 256 * KIB);

		CHECK(w[0] == mark(1, i) && w[1] == 0, "at %zu", i);
		w[1] = i + 1;
		CHECK(w[1] == i + 1);
	}
}

/* 1 GiB, one page in 64 touched in a scattered order; then a child goes over all of them. */
static void touch_sparsely(void)
{
	size_t nr = GIB / (256 * KIB);

	big = SYS(mmap(NULL, GIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	for (size_t i = 0; i < nr; i++) {
		size_t at = i * 1103 % nr;

		*(uint64_t *)(big + at * 256 * KIB) = mark(1, at);
	}
	expect_exit(fork_run(check_big, NULL), 0);
	check_big(NULL);
	SYS(munmap(big, GIB));
}

/* Read everything first: zero pages everywhere; then a few writes among them. */
static void read_all_write_few(void)
{
	size_t len = 64 * MIB;
	char *p = map_anon(len);
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i += PAGE)
		sum += *(volatile uint64_t *)(p + i);
	CHECK(sum == 0);
	for (size_t i = 0; i < len; i += MIB)
		*(uint64_t *)(p + i) = mark(2, i);
	for (size_t i = 0; i < len; i += PAGE)
		CHECK(*(volatile uint64_t *)(p + i) == (i % MIB ? 0 : mark(2, i)));
	SYS(munmap(p, len));
}

/* Upwards, downwards, with strides, and once more after everything was dropped. */
static void orders_of_touch(void)
{
	size_t nr = 2048;
	char *p = map_anon(nr * PAGE);

	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < nr; i++) {
			size_t at = round == 0 ? i : round == 1 ? nr - 1 - i : i * (2 * round + 3) % nr;

			CHECK(*(uint64_t *)(p + at * PAGE + 512) == 0, "round %d page %zu", round, at);
			*(uint64_t *)(p + at * PAGE + 512) = mark(round, at);
		}
		for (size_t i = 0; i < nr; i++)
			CHECK(*(uint64_t *)(p + i * PAGE + 512) == mark(round, i));
		SYS(madvise(p, nr * PAGE, MADV_DONTNEED));
	}
	SYS(munmap(p, nr * PAGE));
}

int main(void)
{
	RUN(reserve_and_commit);
	RUN(touch_sparsely);
	RUN(read_all_write_few);
	RUN(orders_of_touch);
	return 0;
}
