/* SPDX-License-Identifier: MIT */
/*
 * What the self-checking programs of tests/memory share, beside those of tests/e2e (e2e.h).
 *
 * A page's 512 words all follow from (key, page number, generation), so that any wrong byte is seen:
 * an older generation, another page's bytes, a zero.  A quarter of the pages are one word over and
 * over, a quarter can be compressed, the others cannot.
 */
#ifndef PRESSURE_H
#define PRESSURE_H

#include "../../e2e/progs/e2e.h"

#define PAGE_WORDS (PAGE / 8)
#define RW (PROT_READ | PROT_WRITE)

static inline uint64_t mix64(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* What the words of a page are made from. */
static inline uint64_t page_seed(uint64_t key, uint64_t page, uint32_t gen)
{
	return mix64(mark(key, page) + gen);
}

/* Word i of the page with that seed. */
static inline uint64_t page_word(uint64_t seed, uint64_t page, unsigned int i)
{
	switch (page % 4) {
	case 0:
		return seed;
	case 1:
		return i % 8 ? i : seed + i;
	default:
		return mix64(seed + i * 0x9e3779b97f4a7c15ULL);
	}
}

static inline void fill_page(void *p, uint64_t key, uint64_t page, uint32_t gen)
{
	uint64_t seed = page_seed(key, page, gen);
	volatile uint64_t *w = p;

	for (unsigned int i = 0; i < PAGE_WORDS; i++)
		w[i] = page_word(seed, page, i);
}

/* The bytes of page `page` must be those of generation `gen`. */
static inline void check_page(const void *p, uint64_t key, uint64_t page, uint32_t gen)
{
	uint64_t seed = page_seed(key, page, gen);
	const volatile uint64_t *w = p;

	for (unsigned int i = 0; i < PAGE_WORDS; i++) {
		uint64_t got = w[i], want = page_word(seed, page, i);

		CHECK(got == want, "region %lu, page %lu, generation %u: word %u at %p is %#lx, expected %#lx",
		      (long)key, (long)page, gen, i, (void *)(w + i), (long)got, (long)want);
	}
}

static inline void fill_pages(void *p, size_t nr_pages, uint64_t key, uint32_t gen)
{
	for (size_t i = 0; i < nr_pages; i++)
		fill_page((char *)p + i * PAGE, key, i, gen);
}

static inline void check_pages(const void *p, size_t nr_pages, uint64_t key, uint32_t gen)
{
	for (size_t i = 0; i < nr_pages; i++)
		check_page((const char *)p + i * PAGE, key, i, gen);
}

/*
 * A thread that goes round and round a region of its own, writing and verifying, so that everything
 * else has to leave.
 */
struct thrash {
	pthread_t thread;
	atomic_bool stop;
	size_t nr_pages;
	uint64_t key;
};

static inline void *thrash_run(void *arg)
{
	struct thrash *t = arg;
	char *p = map_anon(t->nr_pages * PAGE);
	uint32_t gen = 0;

	fill_pages(p, t->nr_pages, t->key, 0);
	while (!atomic_load(&t->stop)) {
		gen++;
		for (size_t i = 0; i < t->nr_pages && !atomic_load(&t->stop); i++) {
			check_page(p + i * PAGE, t->key, i, gen - 1);
			fill_page(p + i * PAGE, t->key, i, gen);
		}
	}
	SYS(munmap(p, t->nr_pages * PAGE));
	return NULL;
}

static inline void thrash_start(struct thrash *t, size_t len_bytes, uint64_t key)
{
	t->nr_pages = len_bytes / PAGE;
	t->key = key;
	atomic_store(&t->stop, false);
	CHECK(pthread_create(&t->thread, NULL, thrash_run, t) == 0);
}

static inline void thrash_end(struct thrash *t)
{
	atomic_store(&t->stop, true);
	CHECK(pthread_join(t->thread, NULL) == 0);
}

/* New memory, written and verified twice: enough of it has to leave and come back, when there is a budget. */
static inline void use_memory(size_t nr_pages, uint64_t key)
{
	char *p = map_anon(nr_pages * PAGE);

	for (uint32_t gen = 0; gen < 2; gen++) {
		fill_pages(p, nr_pages, key, gen);
		check_pages(p, nr_pages, key, gen);
	}
	SYS(munmap(p, nr_pages * PAGE));
}

/* Once over so much memory: whatever was not used lately has left afterwards, when there is a budget. */
static inline void push_out(size_t len_bytes)
{
	size_t nr = len_bytes / PAGE;
	char *p = map_anon(len_bytes);

	fill_pages(p, nr, 999, 0);
	check_pages(p, nr, 999, 0);
	SYS(munmap(p, len_bytes));
}

/* The n-th argument as a number, or what it is when it was left out. */
static inline unsigned long arg_or(int argc, char **argv, int n, unsigned long otherwise)
{
	return argc > n ? strtoul(argv[n], NULL, 0) : otherwise;
}

#endif
