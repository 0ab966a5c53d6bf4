/* SPDX-License-Identifier: MIT */
#include "pages.h"

static void fill_random(u8 *p, size_t len, u64 *seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (u8)next_random(seed, 256);
}

static void fill_text(char *p, u64 *seed)
{
	static const char *const words[] = { "page ", "fault ", "frame ", "swap ", "of ", "the ",
					     "a ", "slot ", "budget\n", "and ", "store " };

	for (size_t i = 0; i < PAGE_SIZE;) {
		const char *word = words[next_random(seed, ARRAY_SIZE(words))];

		while (*word && i < PAGE_SIZE)
			p[i++] = *word++;
	}
}

void page_fill(void *page, enum page_kind kind, u64 n)
{
	u64 seed = n * 0x9e3779b97f4a7c15UL + kind;
	u8 *p = page;

	memset(p, 0, PAGE_SIZE);
	switch (kind) {
	case PAGE_SAME:
		for (size_t i = 0; i < PAGE_SIZE; i += 8)
			memcpy(p + i, &seed, 8);
		return;
	case PAGE_TEXT:
		fill_text(page, &seed);
		return;
	case PAGE_HALF:
		fill_random(p, PAGE_SIZE / 2, &seed);
		return;
	case PAGE_MIXED:
		fill_random(p, next_random(&seed, PAGE_SIZE), &seed);
		return;
	case PAGE_RANDOM:
		fill_random(p, PAGE_SIZE, &seed);
		return;
	case PAGE_ZERO:
	case NR_PAGE_KINDS:
		return;
	}
}

void page_fill_any(void *page, u64 n)
{
	u64 seed = n;

	page_fill(page, next_random(&seed, NR_PAGE_KINDS), n);
}
