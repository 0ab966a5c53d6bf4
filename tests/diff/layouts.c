/* SPDX-License-Identifier: MIT */
/*
 * layouts.c - small worlds, exhaustively: three slots of two pages side by side, each of
 * every kind, and on them every call over every range of pages.
 *
 *      page  3   4   5   6   7   8   9   10
 *          |   | slot 0| slot 1| slot 2|   |
 */
#include "steps.h"

#define FIRST 4u
#define SLOTS 3u
#define SLOT_PAGES 2u
#define END (FIRST + SLOTS * SLOT_PAGES)
#define ELSEWHERE 40u /* where the moved-in come from */

enum kind {
	K_HOLE,
	K_NONE,      /* PROT_NONE */
	K_R,
	K_RW,
	K_RW_WRITTEN,
	K_R_READ,    /* the zero page: no anon_vma */
	K_MOVED,     /* RW, written elsewhere, moved in: another page offset */
	K_OWN,       /* RW, written when nothing beside it was like it: an anon_vma of its own */
	K_DONTFORK,  /* RW, written, MADV_DONTFORK */
	NR_KINDS,
	/* of the set "locked" */
	K_LOCKED = NR_KINDS, /* RW, mlocked: its pages are there */
	K_LOCKED_ONFAULT,
	K_LOCKED_R,          /* locked before it was made unwritable */
	/* of the set "files" */
	K_FILE, /* RW private, the file's pages of this place: neighbours go on */
	K_FILE_APART,      /* other pages of it */
	K_FILE_SHARED,
	K_SHARED,          /* shared anonymous; at most one in a layout, see cases_files */
};

static struct step file_step(u32 page, int prot, int flags, u32 pgoff)
{
	struct step s = mmap_step(page, SLOT_PAGES, prot, flags);

	s.file = true;
	s.addr2 = pgoff;
	return s;
}

static void add_slot(struct test_case *c, u32 slot, enum kind kind)
{
	u32 at = FIRST + slot * SLOT_PAGES;

	switch (kind) {
	case K_HOLE:
		break;
	case K_NONE:
		case_add(c, mmap_step(at, SLOT_PAGES, PROT_NONE, ANON));
		break;
	case K_R:
	case K_R_READ:
		case_add(c, mmap_step(at, SLOT_PAGES, PROT_READ, ANON));
		if (kind == K_R_READ)
			case_add(c, on(C_READ, at, 0, 0));
		break;
	case K_RW:
	case K_RW_WRITTEN:
		case_add(c, mmap_step(at, SLOT_PAGES, RW, ANON));
		if (kind == K_RW_WRITTEN)
			case_add(c, on(C_WRITE, at + 1, 0, 0));
		break;
	case K_MOVED:
		case_add(c, mmap_step(ELSEWHERE, SLOT_PAGES, RW, ANON));
		case_add(c, on(C_WRITE, ELSEWHERE, 0, 0));
		case_add(c, mremap_step(ELSEWHERE, SLOT_PAGES, SLOT_PAGES, MOVE_TO,
					at));
		break;
	case K_OWN:
		case_add(c, mmap_step(at, SLOT_PAGES, RW, ANON));
		case_add(c, on(C_MADVISE, at, SLOT_PAGES, MADV_DONTDUMP));
		case_add(c, on(C_WRITE, at, 0, 0));
		case_add(c, on(C_MADVISE, at, SLOT_PAGES, MADV_DODUMP));
		break;
	case K_DONTFORK:
		case_add(c, mmap_step(at, SLOT_PAGES, RW, ANON));
		case_add(c, on(C_MADVISE, at, SLOT_PAGES, MADV_DONTFORK));
		case_add(c, on(C_WRITE, at, 0, 0));
		break;
	case K_LOCKED:
	case K_LOCKED_R:
		case_add(c, mmap_step(at, SLOT_PAGES, RW, ANON));
		case_add(c, on(C_MLOCK, at, SLOT_PAGES, 0));
		if (kind == K_LOCKED_R)
			case_add(c, on(C_MPROTECT, at, SLOT_PAGES, PROT_READ));
		break;
	case K_LOCKED_ONFAULT:
		case_add(c, mmap_step(at, SLOT_PAGES, RW, ANON));
		case_add(c, on(C_MLOCK, at, SLOT_PAGES, MLOCK_ONFAULT));
		case_add(c, on(C_WRITE, at, 0, 0));
		break;
	case K_FILE:
		case_add(c, file_step(at, RW, MAP_PRIVATE, at));
		break;
	case K_FILE_APART:
		case_add(c, file_step(at, RW, MAP_PRIVATE, at + 50));
		break;
	case K_FILE_SHARED:
		case_add(c, file_step(at, RW, MAP_SHARED, at));
		break;
	case K_SHARED:
		case_add(c, mmap_step(at, SLOT_PAGES, RW, MAP_SHARED | MAP_ANONYMOUS));
		break;
	}
}

/* Every call that takes a range, over [from, to). */
static void calls_on_range(const struct test_case *setup, u32 from, u32 to)
{
	static const int prots[] = { PROT_NONE, PROT_READ, RW };
	static const int advices[] = { MADV_DONTNEED, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK,
				       MADV_SEQUENTIAL, MADV_FREE, MADV_DONTDUMP };
	u32 n = to - from;

	with(setup, on(C_MUNMAP, from, n, 0));
	for (u32 i = 0; i < ARRAY_SIZE(prots); i++) {
		with(setup, on(C_MPROTECT, from, n, prots[i]));
		with(setup, mmap_step(from, n, prots[i], ANON));
	}
	with(setup, mmap_step(from, n, RW, ANON | MAP_FIXED_NOREPLACE));
	with(setup, mmap_step(from, n, RW, ANON | MAP_POPULATE));
	for (u32 i = 0; i < ARRAY_SIZE(advices); i++)
		with(setup, on(C_MADVISE, from, n, advices[i]));
	with(setup, on(C_MLOCK, from, n, 0));
	with(setup, on(C_MLOCK, from, n, MLOCK_ONFAULT));
	with(setup, on(C_MUNLOCK, from, n, 0));
	with(setup, mremap_step(from, n, n, MOVE_TO, 20));
	with(setup, mremap_step(from, n, n, MOVE_TO | MREMAP_DONTUNMAP, 20));
	with(setup, mremap_step(from, n, n + 1, 0, 0));
	with(setup, mremap_step(from, n, n + 1, MREMAP_MAYMOVE, 0));
	if (n > 1)
		with(setup, mremap_step(from, n, n - 1, 0, 0));
}

static void build(struct test_case *c, u32 kinds)
{
	*c = (struct test_case){ 0 };
	for (u32 slot = 0; slot < SLOTS; slot++, kinds /= NR_KINDS)
		add_slot(c, slot, kinds % NR_KINDS);
}

void cases_layouts(u32 part, u32 parts)
{
	struct test_case c;

	for (u32 kinds = part; kinds < NR_KINDS * NR_KINDS * NR_KINDS; kinds += parts) {
		build(&c, kinds);
		for (u32 from = FIRST - 1; from < END; from++) {
			for (u32 to = from + 1; to <= END + 1; to++)
				calls_on_range(&c, from, to);
		}
	}
}

/* Two changes in a row: what the first left decides where the second merges. */
void cases_mremap(u32 part, u32 parts)
{
	static const int flags[] = { MOVE_TO, MOVE_TO | MREMAP_DONTUNMAP };
	struct test_case c, moved;

	for (u32 kinds = part; kinds < NR_KINDS * NR_KINDS * NR_KINDS; kinds += parts) {
		build(&c, kinds);
		for (u32 from = FIRST; from < END; from++) {
			for (u32 to = from + 1; to <= END; to += 1) {
				u32 n = to - from;

				for (u32 i = 0; i < ARRAY_SIZE(flags); i++) {
					/* over and beside itself */
					for (u32 dst = FIRST - 2; dst <= END; dst += 2)
						with(&c, mremap_step(from, n, n, flags[i], dst));
					/* away and back again */
					moved = c;
					case_add(&moved, mremap_step(from, n, n, flags[i], 20));
					with(&moved, mremap_step(20, n, n, flags[0], from));
				}
				for (u32 more = 1; more < 4; more++)
					with(&c, mremap_step(from, n, n + more, flags[0], 20));
				if (n > 1)
					with(&c, mremap_step(from, n, n - 1, flags[0], FIRST - 3));
			}
		}
	}
}

void cases_forked(void)
{
	struct test_case c;

	for (u32 kinds = 0; kinds < NR_KINDS * NR_KINDS * NR_KINDS; kinds++) {
		build(&c, kinds);
		case_add(&c, (struct step){ .call = C_FORK });
		/* one change a layout and kind of call: forks are slow */
		switch (kinds % 4) {
		case 0:
			with(&c, on(C_MPROTECT, FIRST, SLOTS * SLOT_PAGES, PROT_READ));
			with(&c, on(C_MPROTECT, FIRST + 1, 3, RW));
			break;
		case 1:
			with(&c, on(C_MADVISE, FIRST, SLOTS * SLOT_PAGES, MADV_DOFORK));
			with(&c, mremap_step(FIRST + 2, 2, 2, MOVE_TO, FIRST + 6));
			break;
		case 2:
			case_add(&c, on(C_WRITE, FIRST + 2, 0, 0));
			with(&c, on(C_MPROTECT, FIRST, SLOTS * SLOT_PAGES, RW));
			with(&c, mmap_step(FIRST + 2, 2, RW, ANON));
			break;
		case 3:
			with(&c, on(C_MUNMAP, FIRST + 1, 4, 0));
			with(&c, mmap_step(FIRST + 6, 2, RW, ANON));
			break;
		}
	}
}

/* All placements of a few kinds, and all calls over ranges with these borders. */
static void few_kinds(const enum kind *kinds, u32 n, void (*more)(const struct test_case *c))
{
	static const u8 borders[] = { 4, 5, 6, 8, 9, 10 };

	for (u32 i = 0; i < n * n * n; i++) {
		struct test_case c = { 0 };
		u32 nr_shared = 0, k = i;

		for (u32 slot = 0; slot < SLOTS; slot++, k /= n) {
			add_slot(&c, slot, kinds[k % n]);
			nr_shared += kinds[k % n] == K_SHARED;
		}
		if (nr_shared > 1)
			continue;
		for (u32 from = 0; from < ARRAY_SIZE(borders); from++) {
			for (u32 to = from + 1; to < ARRAY_SIZE(borders); to++)
				calls_on_range(&c, borders[from], borders[to]);
		}
		more(&c);
	}
}

static void more_for_files(const struct test_case *c)
{
	for (u32 from = FIRST; from < END; from++)
		with(c, mremap_step(from, 0, 2, MOVE_TO, 20));
	with(c, file_step(FIRST + 2, RW, MAP_PRIVATE, FIRST + 2));
	with(c, file_step(FIRST + 2, PROT_READ, MAP_SHARED, FIRST + 2));
}

/*
 * Mappings that the kernel pages and the model only tracks.  Two shared anonymous ones
 * never merge in the kernel, where each has a file of its own; the model has no file for
 * them and merges: so one at most.
 */
void cases_files(void)
{
	static const enum kind kinds[] = { K_HOLE, K_RW_WRITTEN, K_FILE, K_FILE_APART,
					   K_FILE_SHARED, K_SHARED };

	few_kinds(kinds, ARRAY_SIZE(kinds), more_for_files);
}

static void more_for_locked(const struct test_case *c)
{
	struct test_case future = *c;

	with(c, (struct step){ .call = C_MUNLOCKALL });
	case_add(&future, (struct step){ .call = C_MLOCKALL, .flags = MCL_FUTURE });
	with(&future, mmap_step(FIRST + 2, 2, RW, ANON));
	with(&future, mmap_step(FIRST + 1, 4, PROT_READ, ANON));
	with(&future, mremap_step(FIRST + 4, 2, 4, 0, 0));
	with(&future, mremap_step(FIRST + 4, 2, 4, MOVE_TO, 20));
}

/* Locked memory, which mlock fills inside the call. */
void cases_locked(void)
{
	static const enum kind kinds[] = { K_HOLE, K_NONE, K_RW, K_RW_WRITTEN, K_LOCKED,
					   K_LOCKED_ONFAULT, K_LOCKED_R };

	few_kinds(kinds, ARRAY_SIZE(kinds), more_for_locked);
}
