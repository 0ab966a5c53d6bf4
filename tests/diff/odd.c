/* SPDX-License-Identifier: MIT */
/*
 * odd.c - the break, stacks, seals, and what a hostile program passes.
 */
#include "steps.h"

/* ---- brk ---- */

static const u64 breaks[] = { 0, 1, 0x1000, 0x1001, 0x3000, 0x5800 };

/* Three moves of the break with something in between. */
static void brk_case(u32 b0, u32 b1, u32 b2, u32 variant, bool future)
{
	struct test_case c = { .heap = true };
	struct step obstacle = mmap_step(0, 1, PROT_READ, ANON);

	obstacle.addr = BRK_AT(variant == 1 ? 4 : 5);
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
				case_add(&c,
					 mmap_step(4, 2, below == 1 ? PROT_NONE : PROT_READ, ANON));
			case_add(&c, mmap_step(30, 2, RW, ANON | MAP_GROWSDOWN));
			case_add(&c, on(page % 2 ? C_WRITE : C_READ, page, 0, 0));
			with(&c, on(C_MPROTECT, page, 1, PROT_READ));
			with(&c, on(C_MPROTECT, 31, 1, PROT_READ | PROT_GROWSDOWN));
			with(&c, mremap_step(30, 2, 2, MOVE_TO, 40));
		}
	}
}

/* ---- seals ---- */

static void cases_sealed(void)
{
	static const int advices[] = { MADV_DONTNEED, MADV_FREE, MADV_DONTFORK, MADV_WIPEONFORK,
				       MADV_RANDOM, MADV_DONTDUMP };

	for (u32 writable = 0; writable < 2; writable++) {
		struct test_case c = { 0 };

		case_add(&c, mmap_step(4, 6, writable ? RW : PROT_READ, ANON));
		case_add(&c, on(C_MSEAL, 6, 2, 0));
		for (u32 at = 4; at < 10; at += 2) {
			with(&c, on(C_MUNMAP, at, 2, 0));
			with(&c, mmap_step(at, 2, RW, ANON));
			with(&c, on(C_MPROTECT, at, 2, PROT_READ));
			with(&c, on(C_MPROTECT, at, 10 - at, PROT_READ | PROT_EXEC));
			with(&c, on(C_MLOCK, at, 2, 0));
			with(&c, on(C_MSEAL, at, 2, 0));
			for (u32 to = 3; to < 20; to++)
				with(&c, mremap_step(at, 2, 2, MOVE_TO, to));
			with(&c, mremap_step(at, 2, 1, 0, 0));
			for (u32 i = 0; i < ARRAY_SIZE(advices); i++)
				with(&c, on(C_MADVISE, at, 2, advices[i]));
		}
	}
}

/* ---- hostile arguments ---- */

static const u64 odd[] = {
	0, 1, 0xfff, 0x1000, AT(3), AT(4), AT(4) + 1, AT(5), AT(9), AT(10), AT(11),
	TASK_SIZE - PAGE_SIZE, TASK_SIZE - 1, TASK_SIZE, TASK_SIZE + PAGE_SIZE,
	1UL << 62, 1UL << 63, -2 * PAGE_SIZE, -PAGE_SIZE, -PAGE_SIZE + 1, ~0UL,
};
static const u64 odd_lens[] = {
	0, 1, 0xfff, 0x1000, 0x2000, 0x2001, PAGES(7),
	TASK_SIZE - AT(4), TASK_SIZE, TASK_SIZE + 1,
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

#define SHARED (MAP_SHARED | MAP_ANONYMOUS)

static void hostile_mremap(const struct test_case *c, u64 addr, u64 len)
{
	struct step s = { .call = C_MREMAP, .addr = addr, .len = len, .addr2 = AT(20) };

	for (s.flags = 0; s.flags < 16; s.flags++) {
		for (u32 k = 0; k < ARRAY_SIZE(odd_lens); k++) {
			s.len2 = odd_lens[k];
			if (s.flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) &&
			    is_suicide(s.addr2, s.len2))
				continue;
			/* would unmap the tail */
			if (is_suicide(addr, len) && page_align_up(s.len2) < page_align_up(len))
				continue;
			with(c, s);
		}
	}
}

static void hostile_range(const struct test_case *c, u64 addr, u64 len)
{
	static const int bad_prots[] = { PROT_READ, 0x100, -1, PROT_GROWSDOWN,
					 PROT_GROWSDOWN | PROT_GROWSUP, PROT_READ | PROT_GROWSUP };
	static const int advices[] = { MADV_NORMAL, MADV_RANDOM, 5, 99, 26, -1 };
	static const int map_flags[] = { ANON, ANON | 0xf, ANON | MAP_FIXED_NOREPLACE, MAP_ANONYMOUS,
					 SHARED, SHARED | MAP_GROWSDOWN,
					 MAP_SHARED_VALIDATE | MAP_ANONYMOUS };
	struct step s = { .addr = addr, .len = len };
	bool suicide = is_suicide(addr, len);

	for (u32 i = 0; i < ARRAY_SIZE(bad_prots); i++) {
		/* GROWSDOWN looks for a mapping anywhere in the range, also among the test's own */
		if (page_align_up(len) > PAGES(WINDOW_PAGES) && bad_prots[i] & PROT_GROWSDOWN)
			continue;
		s.call = C_MPROTECT;
		s.prot = bad_prots[i];
		with(c, s);
	}
	for (u32 i = 0; i < ARRAY_SIZE(map_flags) && !suicide; i++) {
		s.call = C_MMAP;
		s.prot = PROT_READ;
		s.flags = map_flags[i] | MAP_FIXED;
		with(c, s);
	}
	for (u32 i = 0; i < ARRAY_SIZE(advices) && !suicide; i++) {
		s.call = C_MADVISE;
		s.prot = advices[i];
		with(c, s);
	}
	if (!suicide)
		with(c, (struct step){ .call = C_MUNMAP, .addr = addr, .len = len });
	with(c, (struct step){ .call = C_MLOCK, .addr = addr, .len = len });
	with(c, (struct step){ .call = C_MLOCK, .addr = addr, .len = len, .prot = 8 });
	with(c, (struct step){ .call = C_MUNLOCK, .addr = addr, .len = len });
	with(c, (struct step){ .call = C_MSEAL, .addr = addr, .len = len });
	hostile_mremap(c, addr, len);
}

void cases_hostile(void)
{
	struct test_case c = { 0 };

	case_add(&c, mmap_step(4, 2, RW, ANON));
	case_add(&c, on(C_WRITE, 4, 0, 0));
	case_add(&c, mmap_step(6, 2, PROT_READ, ANON));
	case_add(&c, mmap_step(8, 2, RW, ANON));
	for (u32 i = 0; i < ARRAY_SIZE(odd); i++) {
		for (u32 j = 0; j < ARRAY_SIZE(odd_lens); j++)
			hostile_range(&c, odd[i], odd_lens[j]);
	}
	for (u32 i = 0; i < ARRAY_SIZE(odd); i++) { /* the new place */
		struct step s = mremap_step(4, 2, 2, MOVE_TO, 0);

		s.addr2 = odd[i];
		if (!is_suicide(odd[i], PAGES(2)))
			with(&c, s);
	}
	for (int flags = 0; flags < 16; flags++) {
		if (!(flags & MCL_CURRENT)) /* that would lock the test itself */
			with(&c, (struct step){ .call = C_MLOCKALL, .flags = flags });
	}
	cases_stack();
	cases_sealed();
}
