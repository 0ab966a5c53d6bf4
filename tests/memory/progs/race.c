// SPDX-License-Identifier: MIT
/*
 * race [PAGES [ROUNDS]]: eight threads touch the same new pages at once, half of them by a read first, and each
 * writes a word of its own on each: no write may be lost, however often the page leaves meanwhile.
 *
 * Found that UFFDIO_MOVE of Linux 6.18 may have moved a page and say that it has not (pager/staging.c).
 */
#include "pressure.h"

#define NR_THREADS 8

static uint64_t (*area)[PAGE_WORDS];
static size_t nr_pages;
static pthread_barrier_t barrier;

static void *touch_all(void *index)
{
	size_t me = (uintptr_t)index;

	pthread_barrier_wait(&barrier);
	for (size_t i = 0; i < nr_pages; i++) {
		volatile uint64_t *w = area[i] + me;

		CHECK(!(me & 1) || *w == 0, "page %zu, thread %zu: %#lx before it was written", i, me,
		      (long)*w);
		*w = mark(me, i);
		CHECK(*w == mark(me, i), "page %zu, thread %zu: %#lx after it was written", i, me, (long)*w);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t rounds = arg_or(argc, argv, 2, 10);

	nr_pages = arg_or(argc, argv, 1, 512);
	CHECK(pthread_barrier_init(&barrier, NULL, NR_THREADS) == 0);
	for (size_t round = 0; round < rounds; round++) {
		area = map_anon(nr_pages * PAGE);
		run_threads(NR_THREADS, touch_all);
		for (size_t i = 0; i < nr_pages; i++)
			for (size_t t = 0; t < NR_THREADS; t++)
				CHECK(area[i][t] == mark(t, i), "round %zu, page %zu: thread %zu's word is %#lx",
				      round, i, t, (long)area[i][t]);
		SYS(munmap(area, nr_pages * PAGE));
	}
	printf("%zu rounds\n", rounds);
	return 0;
}
