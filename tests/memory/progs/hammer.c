// SPDX-License-Identifier: MIT
/*
 * hammer [KIB [THREADS [OPERATIONS [SEED]]]]: threads that read, verify and rewrite the pages of one
 * region in every way a program can reach memory, until the first wrong byte.
 *
 * A page's bytes follow from its number and generation (pressure.h); the generation and the lock of a
 * page are in a table that has to leave memory like everything else.
 */
#include <emmintrin.h>
#include "pressure.h"

#define NR_COUNTERS 64 /* one on each of as many pages */
#define SCRATCH (4 * PAGE)

struct slot {
	_Atomic uint32_t lock;
	uint32_t gen;
};

static char *region;
static size_t nr_pages;
static struct slot *slots;
static char *counters;
static unsigned long nr_ops, first_seed;

static char *page_at(size_t page)
{
	return region + page * PAGE;
}

static void lock_page(size_t page)
{
	while (atomic_exchange(&slots[page].lock, 1))
		sched_yield();
}

static void unlock_page(size_t page)
{
	CHECK(atomic_exchange(&slots[page].lock, 0) == 1, "the lock of page %zu was open", page);
}

static void verify(size_t page)
{
	check_page(page_at(page), 0, page, slots[page].gen);
}

static void bump(size_t page)
{
	fill_page(page_at(page), 0, page, ++slots[page].gen);
}

/* The new bytes made elsewhere and brought in by one string instruction, a byte at a time for the kernel. */
static void bump_by_rep_movs(size_t page, char *scratch)
{
	void *to = page_at(page), *from = scratch + 5;
	size_t len = PAGE;

	fill_page(scratch + PAGE, 0, page, ++slots[page].gen);
	memmove(scratch + 5, scratch + PAGE, PAGE);
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
}

/* Two pages at once, by 16 bytes at odd addresses: one store of each goes over the border. */
static void bump_pair_by_sse(size_t page, char *scratch)
{
	char *to = page_at(page);

	for (int i = 0; i < 2; i++)
		fill_page(scratch + i * PAGE, 0, page + i, ++slots[page + i].gen);
	memcpy(to, scratch, 7);
	for (size_t at = 7; at + 16 <= 2 * PAGE; at += 16)
		_mm_storeu_si128((__m128i *)(to + at), _mm_loadu_si128((__m128i *)(scratch + at)));
	memcpy(to + 2 * PAGE - 9, scratch + 2 * PAGE - 9, 9);
}

static void verify_pair_by_sse(size_t page, char *scratch)
{
	char *from = page_at(page);

	for (int i = 0; i < 2; i++)
		fill_page(scratch + i * PAGE, 0, page + i, slots[page + i].gen);
	for (size_t at = 9; at + 16 <= 2 * PAGE; at += 16) {
		__m128i equal = _mm_cmpeq_epi8(_mm_loadu_si128((__m128i *)(from + at)),
					       _mm_loadu_si128((__m128i *)(scratch + at)));

		CHECK(_mm_movemask_epi8(equal) == 0xffff, "pages %zu and %zu, around byte %zu", page,
		      page + 1, at);
	}
}

/* Slide both pages up by 24 bytes in place, look, and write them anew. */
static void slide_pair(size_t page)
{
	char *p = page_at(page);

	memmove(p + 24, p, 2 * PAGE - 24);
	for (size_t w = 3; w < 2 * PAGE_WORDS; w++) {
		size_t which = page + (w - 3) / PAGE_WORDS;
		uint64_t want = page_word(page_seed(0, which, slots[which].gen), which,
					  (w - 3) % PAGE_WORDS);

		CHECK(((volatile uint64_t *)p)[w] == want, "page %zu slid by 24 bytes, word %zu", page, w);
	}
	bump(page);
	bump(page + 1);
}

/* One load and one store that need both pages, within one instruction each. */
static void cross_border(size_t page)
{
	volatile uint64_t *over = (volatile uint64_t *)(page_at(page + 1) - 4);
	uint64_t low = page_word(page_seed(0, page, slots[page].gen), page, PAGE_WORDS - 1) >> 32;
	uint64_t high = page_word(page_seed(0, page + 1, slots[page + 1].gen), page + 1, 0) << 32;
	uint64_t was = *over;

	CHECK(was == (low | high), "over the border of %zu: %#lx, expected %#lx", page, (long)was,
	      (long)(low | high));
	*over = ~was;
	CHECK(*over == ~was, "over the border of %zu, after a store", page);
	*over = was;
}

static void count(uint64_t x)
{
	_Atomic uint64_t *c = (_Atomic uint64_t *)(counters + x % NR_COUNTERS * PAGE);

	atomic_fetch_add(c, 1);
}

/* On one page, locked. */
static void one_page(unsigned int what, size_t page, char *scratch)
{
	lock_page(page);
	if (what < 8)
		verify(page);
	else if (what < 10)
		bump(page);
	else
		bump_by_rep_movs(page, scratch);
	unlock_page(page);
}

/* On a page and its successor, both locked, always in this order. */
static void two_pages(unsigned int what, size_t page, char *scratch)
{
	lock_page(page);
	lock_page(page + 1);
	switch (what) {
	case 11: bump_pair_by_sse(page, scratch); break;
	case 12: verify_pair_by_sse(page, scratch); break;
	case 13: slide_pair(page); break;
	default: cross_border(page); break;
	}
	unlock_page(page + 1);
	unlock_page(page);
}

static void *work(void *index)
{
	uint64_t seed = mark(first_seed, (uintptr_t)index);
	char *scratch = map_anon(SCRATCH);

	for (unsigned long i = 0; i < nr_ops; i++) {
		uint64_t x = rnd(&seed);
		unsigned int what = x >> 60;
		size_t page = x % (nr_pages - 1);

		count(x >> 20);
		if (what < 11)
			one_page(what, page, scratch);
		else
			two_pages(what, page, scratch);
	}
	SYS(munmap(scratch, SCRATCH));
	return NULL;
}

int main(int argc, char **argv)
{
	int nr_threads = arg_or(argc, argv, 2, 4);
	uint64_t sum = 0, digest = 0;

	nr_pages = arg_or(argc, argv, 1, 8192) * KIB / PAGE;
	nr_ops = arg_or(argc, argv, 3, 20000);
	first_seed = arg_or(argc, argv, 4, 1);
	region = map_anon(nr_pages * PAGE);
	slots = map_anon(nr_pages * sizeof(*slots));
	counters = map_anon(NR_COUNTERS * PAGE);
	fill_pages(region, nr_pages, 0, 0);
	run_threads(nr_threads, work);
	for (size_t page = 0; page < nr_pages; page++) {
		verify(page);
		CHECK(atomic_load(&slots[page].lock) == 0);
		digest = mix64(digest + slots[page].gen);
	}
	for (int i = 0; i < NR_COUNTERS; i++)
		sum += *(uint64_t *)(counters + i * PAGE);
	CHECK(sum == nr_threads * nr_ops, "%lu additions were made, %lu arrived", nr_threads * nr_ops,
	      (long)sum);
	printf("%lu operations, generations %#lx\n", (long)sum, (long)digest);
	return 0;
}
