/* SPDX-License-Identifier: MIT */
/* pages.h - pages to store, the same from the same numbers: what the tests of lib/swap and its bench share. */
#ifndef UPAGER_TEST_PAGES_H
#define UPAGER_TEST_PAGES_H

#include "unit.h"

enum page_kind { PAGE_ZERO, PAGE_SAME, PAGE_TEXT, PAGE_HALF, PAGE_MIXED, PAGE_RANDOM, NR_PAGE_KINDS };

/*
 * Fill the page.  TEXT: words of a small vocabulary; HALF: half of it random; MIXED: a random part of it random;
 * RANDOM: does not shrink.  `n` tells pages of one kind apart.
 */
void page_fill(void *page, enum page_kind kind, u64 n);
/* Any kind, by n. */
void page_fill_any(void *page, u64 n);

#endif /* UPAGER_TEST_PAGES_H */
