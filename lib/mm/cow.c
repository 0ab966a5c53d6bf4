/* SPDX-License-Identifier: MIT */
/*
 * cow.c - COW policies: `around` lifts the protection of neighbours along, `eager` separates parent and child at
 * the fork.  Lazy, the default, needs nothing of this.
 *
 * What a userfaultfd can do decides what is possible.  To lift a protection copies nothing: the kernel copies at
 * the write that follows.  So a page that is mapped once may be lifted before anybody writes to it.  A
 * shared one may not: its copy would be counted and not exist, or (I9) a writable page be shared.  A
 * copy without a write takes a MADV_POPULATE_WRITE by a task of that address space, which stands still at
 * one moment only, and waits for nobody: as the child of a fork, before its first instruction.
 *
 * A page lifted without a write is pte_unwritten(): since the fork the kernel does not hold it as its mapping's
 * own (PageAnonExclusive), and will not move it; reclaim makes it so first (EVICT_UNSHARE).
 * Linux counterpart: wp_can_reuse_anon_folio; copy_present_page for what a fork copies at once.
 */
#include "mm/cow.h"

#include "mm/plan.h"

typedef bool (*pte_test)(const struct mm_world *world, pte_t pte);

/* The frame of a page that only our protection keeps from being written and nobody else is at work on; or NULL. */
static const struct frame *protected_frame(const struct mm_world *world, pte_t pte)
{
	const struct frame *frame;

	if (!pte_present(pte) || !pte_wp(pte) || pte_lazyfree(pte))
		return NULL;
	frame = pfn_to_frame(world, pte_pfn(pte));
	return frame->state == FRAME_BUSY ? NULL : frame; /* BUSY: protected so that its bytes stay */
}

static bool is_reusable(const struct mm_world *world, pte_t pte)
{
	const struct frame *frame = protected_frame(world, pte);

	return frame && frame->mapcount == 1;
}

static bool is_shared(const struct mm_world *world, pte_t pte)
{
	const struct frame *frame = protected_frame(world, pte);

	return frame && frame->mapcount > 1;
}

/* The protection of this page, mapped once, is lifted. */
static void reuse(struct vm_area_struct *vma, struct pte_ref ref)
{
	pte_t pte = pte_get(ref);

	page_move_anon_rmap(pfn_to_frame(vma->vm_mm->world, pte_pfn(pte)), vma);
	pte_set(vma->vm_mm, ref, pte_mkunwritten(pte));
}

/* ---- around ---- */

/*
 *         block                     s shared, r mapped once, - none, * the fault
 *   |- r s r r r * r r - r r s|
 *          |<-- run -->|
 */
struct range cow_reuse_run(const struct vm_area_struct *vma, u64 addr, struct pte_ref ref)
{
	const struct mm_world *world = vma->vm_mm->world;
	u64 bytes = (u64)world->config.cow_around << PAGE_SHIFT;
	struct range run = range_of(addr, PAGE_SIZE), block;

	if (bytes <= PAGE_SIZE)
		return run;
	block = range_intersect(range_of(addr - addr % bytes, bytes), vma_range(vma));
	block = range_intersect(block, range_of(addr & ~(PMD_SIZE - 1), PMD_SIZE)); /* ref's table */
	block = plan_clear_range(vma->vm_mm, block, addr);
	while (run.start > block.start &&
	       is_reusable(world, ref.table->pte[pte_index(run.start - PAGE_SIZE)]))
		run.start -= PAGE_SIZE;
	while (run.end < block.end && is_reusable(world, ref.table->pte[pte_index(run.end)]))
		run.end += PAGE_SIZE;
	return run;
}

void cow_reuse_neighbours(struct vm_area_struct *vma, struct range run, u64 addr, struct pte_ref ref)
{
	for (u64 a = run.start; a < run.end; a += PAGE_SIZE)
		if (a != addr)
			reuse(vma, (struct pte_ref){ ref.table, pte_index(a) });
}

/* ---- eager ---- */

/* How many pages from addr on, in one table of ptes and at most `max`, pass. */
static u64 count_run(const struct mm_struct *mm, u64 addr, u64 max, pte_test test)
{
	struct pte_ref ref = pte_offset(mm, addr);
	u64 nr = 0;

	max = u64_min(max, PTRS_PER_TABLE - ref.index);
	while (nr < max && test(mm->world, ref.table->pte[ref.index + nr]))
		nr++;
	return nr;
}

/* The first run of at most `max` pages that pass, at or after addr, of one writable managed vma; or empty. */
static struct range next_run(struct mm_struct *mm, u64 addr, u64 max, pte_test test)
{
	struct vm_area_struct *vma;

	for (vma = find_vma(mm, addr); vma && max; vma = vma->vm_next) {
		struct range rest = { u64_max(addr, vma->vm_start), vma->vm_end };
		pte_t pte;

		if (vma->vm_flags & VM_UNMANAGED || !(vma->vm_flags & VM_WRITE))
			continue;
		for (; (rest.start = pte_next(mm, rest, &pte)) < rest.end; rest.start += PAGE_SIZE) {
			u64 room = u64_min(max, range_len(rest) >> PAGE_SHIFT);

			if (test(mm->world, pte))
				return range_of(rest.start,
						count_run(mm, rest.start, room, test) << PAGE_SHIFT);
		}
	}
	return (struct range){ 0, 0 };
}

struct range mm_cow_next_shared(struct mm_struct *mm, u64 addr)
{
	return next_run(mm, addr, mm_room(mm->world) / 2, is_shared);
}

int mm_cow_separate(struct mm_struct *mm, struct range run)
{
	struct mm_world *world = mm->world;
	struct vm_area_struct *vma = vma_lookup(mm, run.start);
	int err;

	BUG_ON(!vma || run.end > vma->vm_end);
	if (anon_vma_prepare(vma) || frame_reserve(world, 0, range_len(run) >> PAGE_SHIFT))
		return -ENOMEM;
	err = world->config.hw->protect(mm, run, 0);
	if (err)
		return err;
	for (u64 addr = run.start; addr < run.end; addr += PAGE_SIZE) {
		struct pte_ref ref = pte_offset(mm, addr);
		struct frame *old = pfn_to_frame(world, pte_pfn(pte_get(ref)));

		map_new_frame(vma, addr, ref);
		pte_set(mm, ref, pte_mkunwritten(pte_get(ref)));
		page_remove_rmap(world, old);
	}
	return 0;
}

void mm_cow_reuse(struct mm_struct *mm)
{
	struct range run = { 0, 0 };

	while (!range_empty(run = next_run(mm, run.end, PTRS_PER_TABLE, is_reusable))) {
		struct vm_area_struct *vma = vma_lookup(mm, run.start);

		if (mm->world->config.hw->protect(mm, run, 0))
			continue; /* changing, or going: then each page at its write */
		for (u64 addr = run.start; addr < run.end; addr += PAGE_SIZE)
			reuse(vma, pte_offset(mm, addr));
	}
}
