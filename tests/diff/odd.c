/* SPDX-License-Identifier: MIT */
/*
 * odd.c - the break, stacks, seals, and what a hostile program passes.
 */
#include <sys/mman.h>

#include "diff.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void with(const struct test_case *setup, struct step s)
{
	struct test_case c = *setup;

	case_add(&c, s);
	diff_case(&c);
}

/* ---- brk ---- */

static const u64 breaks[] = { 0, 1, 0x1000, 0x1001, 0x3000, 0x5800 };

/* Three moves of the break with something in between. */
static void brk_case(u32 b0, u32 b1, u32 b2, u32 variant, bool future)
{
	struct test_case c = { .heap = true };
	struct step obstacle = { .call = C_MMAP, .addr = BRK_AT(variant == 1 ? 4 : 5), .len = PAGES(1),
				 .prot = PROT_READ, .flags = ANON | MAP_FIXED };

	if (future)
		case_add(&c, (struct step){ .call = C_MLOCKALL, .flags = MCL_FUTURE });
	if (variant == 1 || variant == 2)
		case_add(&c, obstacle);
	case_add(&c, (struct step){ .call = C_BRK, .addr = HEAP + breaks[b0] });
	if (variant == 3 && breaks[b0] > 0x1000)
		case_add(&c, (struct step){ .call = C_WRITE, .addr = BRK_AT(1) });
	if (variant == 4)
		case_add(&c, (struct step){ .call = C_MUNMAP, .addr = BRK_AT(1), .len = PAGES(1) });
	if (variant == 5)
		case_add(&c, (struct step){ .call = C_MPROTECT, .addr = BRK_AT(0), .len = PAGES(1),
					    .prot = PROT_READ });
	case_add(&c, (struct step){ .call = C_BRK, .addr = HEAP + breaks[b1] });
	if (variant == 3 && breaks[b1])
		case_add(&c, (struct step){ .call = C_WRITE, .addr = BRK_AT(0) });
	case_add(&c, (struct step){ .call = C_BRK, .addr = HEAP + breaks[b2] });
	diff_case(&c);
}

void cases_brk(void)
{
	static const u64 silly[] = { 0, 1, HEAP - 1, HEAP - PAGE_SIZE, TASK_SIZE, ~0UL, -PAGE_SIZE,
				     -PAGE_SIZE + 1, TASK_SIZE - 1, 1UL << 63 };
	u32 n = ARRAY_SIZE(breaks);

	for (u32 i = 0; i < n * n * n; i++) {
		for (u32 variant = 0; variant < 6; variant++) {
			brk_case(i % n, i / n % n, i / n / n, variant, false);
			if (variant < 4)
				brk_case(i % n, i / n % n, i / n / n, variant, true);
		}
	}
	for (u32 i = 0; i < ARRAY_SIZE(silly); i++) {
		struct test_case c = { .heap = true };

		case_add(&c, (struct step){ .call = C_BRK, .addr = HEAP + 0x2345 });
		case_add(&c, (struct step){ .call = C_BRK, .addr = silly[i] });
		diff_case(&c);
	}
}

/* ---- stacks ---- */

/* Growth below a MAP_GROWSDOWN mapping; the guard gap is larger than the window. */
static void cases_stack(void)
{
	for (u32 below = 0; below < 3; below++) {
		for (u32 page = 10; page < 30; page++) {
			struct test_case c = { 0 };

			if (below)
				case_add(&c, (struct step){ .call = C_MMAP, .addr = AT(4), .len = PAGES(2),
							    .prot = below == 1 ? PROT_NONE : PROT_READ,
							    .flags = ANON | MAP_FIXED });
			case_add(&c, (struct step){ .call = C_MMAP, .addr = AT(30), .len = PAGES(2),
						    .prot = RW,
						    .flags = ANON | MAP_FIXED | MAP_GROWSDOWN });
			case_add(&c, (struct step){ .call = page % 2 ? C_WRITE : C_READ,
						    .addr = AT(page) });
			with(&c, (struct step){ .call = C_MPROTECT, .addr = AT(page), .len = PAGES(1),
						.prot = PROT_READ });
			with(&c, (struct step){ .call = C_MPROTECT, .addr = AT(31), .len = PAGES(1),
						.prot = PROT_READ | PROT_GROWSDOWN });
			with(&c, (struct step){ .call = C_MREMAP, .addr = AT(30), .len = PAGES(2),
						.len2 = PAGES(2), .addr2 = AT(40),
						.flags = MREMAP_MAYMOVE | MREMAP_FIXED });
		}
	}
}

/* ---- seals ---- */

static void cases_sealed(void)
{
	static const int advices[] = { MADV_DONTNEED, MADV_FREE, MADV_DONTFORK, MADV_WIPEONFORK,
				       MADV_RANDOM, MADV_DONTDUMP };

	for (u32 prot = 0; prot < 2; prot++) {
		struct test_case c = { 0 };

		case_add(&c, (struct step){ .call = C_MMAP, .addr = AT(4), .len = PAGES(6),
					    .prot = prot ? RW : PROT_READ, .flags = ANON | MAP_FIXED });
		case_add(&c, (struct step){ .call = C_MSEAL, .addr = AT(6), .len = PAGES(2) });
		for (u32 at = 4; at < 10; at += 2) {
			with(&c, (struct step){ .call = C_MUNMAP, .addr = AT(at), .len = PAGES(2) });
			with(&c, (struct step){ .call = C_MMAP, .addr = AT(at), .len = PAGES(2), .prot = RW,
						.flags = ANON | MAP_FIXED });
			with(&c, (struct step){ .call = C_MPROTECT, .addr = AT(at), .len = PAGES(2),
						.prot = PROT_READ });
			with(&c, (struct step){ .call = C_MPROTECT, .addr = AT(at), .len = PAGES(10 - at),
						.prot = PROT_READ | PROT_EXEC });
			with(&c, (struct step){ .call = C_MLOCK, .addr = AT(at), .len = PAGES(2) });
			with(&c, (struct step){ .call = C_MSEAL, .addr = AT(at), .len = PAGES(2) });
			for (u32 to = 3; to < 20; to++)
				with(&c, (struct step){ .call = C_MREMAP, .addr = AT(at), .len = PAGES(2),
							.len2 = PAGES(2), .addr2 = AT(to),
							.flags = MREMAP_MAYMOVE | MREMAP_FIXED });
			with(&c, (struct step){ .call = C_MREMAP, .addr = AT(at), .len = PAGES(2),
						.len2 = PAGES(1) });
			for (u32 i = 0; i < ARRAY_SIZE(advices); i++)
				with(&c, (struct step){ .call = C_MADVISE, .addr = AT(at), .len = PAGES(2),
							.prot = advices[i] });
		}
	}
}

/* ---- hostile arguments ---- */

static const u64 odd[] = {
	0, 1, 0xfff, 0x1000, AT(3), AT(4), AT(4) + 1, AT(5), AT(9), AT(10), AT(11),
	TASK_SIZE - PAGE_SIZE, TASK_SIZE - 1, TASK_SIZE, TASK_SIZE + PAGE_SIZE, 1UL << 62, 1UL << 63,
	-2 * PAGE_SIZE, -PAGE_SIZE, -PAGE_SIZE + 1, ~0UL,
};
static const u64 odd_lens[] = {
	0, 1, 0xfff, 0x1000, 0x2000, 0x2001, PAGES(7), TASK_SIZE - AT(4), TASK_SIZE, TASK_SIZE + 1,
	1UL << 62, 1UL << 63, -AT(4), -PAGE_SIZE, -PAGE_SIZE + 1, ~0UL,
};

/* Would the kernel take it, and then it hurts the test itself: outside of the window? */
static bool is_suicide(u64 addr, u64 len)
{
	u64 end = addr + page_align_up(len);

	if (!page_align_up(len) || end < addr || end > TASK_SIZE)
		return false;
	return addr < AT(0) || end > AT(WINDOW_PAGES);
}

static void hostile_range(const struct test_case *c, u64 addr, u64 len)
{
	static const int bad_prots[] = { PROT_READ, 0x100, -1, PROT_GROWSDOWN,
					 PROT_GROWSDOWN | PROT_GROWSUP, PROT_READ | PROT_GROWSUP };
	static const int advices[] = { MADV_NORMAL, MADV_RANDOM, 5, 99, 26, -1 };
	static const int map_flags[] = { ANON, MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED_VALIDATE |
					 MAP_ANONYMOUS, MAP_ANONYMOUS, ANON | 0xf, ANON | MAP_FIXED_NOREPLACE,
					 MAP_SHARED | MAP_ANONYMOUS | MAP_GROWSDOWN };
	bool suicide = is_suicide(addr, len);

	for (u32 i = 0; i < ARRAY_SIZE(bad_prots); i++) {
		/* GROWSDOWN looks for a mapping anywhere in the range, also among the test's own */
		if (page_align_up(len) > PAGES(WINDOW_PAGES) && bad_prots[i] & PROT_GROWSDOWN)
			continue;
		with(c, (struct step){ .call = C_MPROTECT, .addr = addr, .len = len, .prot = bad_prots[i] });
	}
	for (u32 i = 0; i < ARRAY_SIZE(map_flags) && !suicide; i++)
		with(c, (struct step){ .call = C_MMAP, .addr = addr, .len = len, .prot = PROT_READ,
				       .flags = map_flags[i] | MAP_FIXED });
	for (u32 i = 0; i < ARRAY_SIZE(advices) && !suicide; i++)
		with(c, (struct step){ .call = C_MADVISE, .addr = addr, .len = len, .prot = advices[i] });
	if (!suicide)
		with(c, (struct step){ .call = C_MUNMAP, .addr = addr, .len = len });
	with(c, (struct step){ .call = C_MLOCK, .addr = addr, .len = len });
	with(c, (struct step){ .call = C_MLOCK, .addr = addr, .len = len, .prot = 8 });
	with(c, (struct step){ .call = C_MUNLOCK, .addr = addr, .len = len });
	with(c, (struct step){ .call = C_MSEAL, .addr = addr, .len = len });
	for (int flags = 0; flags < 16; flags++) {
		for (u32 k = 0; k < ARRAY_SIZE(odd_lens); k++) {
			u64 new_len = odd_lens[k];

			/* without a given place a move would go where we do not look */
			if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) && is_suicide(AT(20), new_len))
				continue;
			if (suicide && page_align_up(new_len) < page_align_up(len)) /* unmaps the tail */
				continue;
			with(c, (struct step){ .call = C_MREMAP, .addr = addr, .len = len, .flags = flags,
					       .addr2 = AT(20), .len2 = new_len });
		}
	}
}

void cases_hostile(void)
{
	struct test_case c = { 0 };

	case_add(&c, (struct step){ .call = C_MMAP, .addr = AT(4), .len = PAGES(2), .prot = RW,
				    .flags = ANON | MAP_FIXED });
	case_add(&c, (struct step){ .call = C_WRITE, .addr = AT(4) });
	case_add(&c, (struct step){ .call = C_MMAP, .addr = AT(6), .len = PAGES(2), .prot = PROT_READ,
				    .flags = ANON | MAP_FIXED });
	case_add(&c, (struct step){ .call = C_MMAP, .addr = AT(8), .len = PAGES(2), .prot = RW,
				    .flags = ANON | MAP_FIXED });
	for (u32 i = 0; i < ARRAY_SIZE(odd); i++) {
		for (u32 j = 0; j < ARRAY_SIZE(odd_lens); j++)
			hostile_range(&c, odd[i], odd_lens[j]);
	}
	for (u32 i = 0; i < ARRAY_SIZE(odd); i++) { /* the new place */
		if (!is_suicide(odd[i], PAGES(2)))
			with(&c, (struct step){ .call = C_MREMAP, .addr = AT(4), .len = PAGES(2),
						.flags = MREMAP_MAYMOVE | MREMAP_FIXED, .addr2 = odd[i],
						.len2 = PAGES(2) });
	}
	for (int flags = 0; flags < 16; flags++) {
		if (!(flags & MCL_CURRENT)) /* that would lock the test itself */
			with(&c, (struct step){ .call = C_MLOCKALL, .flags = flags });
	}
	cases_stack();
	cases_sealed();
}
