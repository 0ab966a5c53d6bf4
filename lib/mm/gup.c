/* SPDX-License-Identifier: MIT */
/*
 * gup.c - pages that a device holds: pinned by the kernel for DMA, for as long as it likes.
 *
 * Who calls it: the pager when a call that pins has succeeded, or when nothing is pinned any more; reclaim and the
 * fault path ask.  What is held is a page, not an address: so the mark is on the frame, follows it through mremap, and
 * ends with it (munmap, MADV_DONTNEED, exec, exit).  Nobody is told when one page is let go.  To keep one for too long
 * costs memory; to forget one too early costs bytes.
 *
 * A mark holds only against EVICT_ZAP.  The machine refuses to move a pinned page, and if it does move one, that is
 * pinned no more (mm_stage).
 * Linux counterpart: pin_user_pages (mm/gup.c), folio_maybe_dma_pinned, MMF_HAS_PINNED.
 */
#include "mm/gup.h"

#include <string.h>

#include "mm/plan.h"

static void pin_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	pte_t pte = pte_get(ref);

	if (pte_present(pte))
		pfn_to_frame(mm->world, pte_pfn(pte))->flags |= FRAME_DMA_PINNED;
}

static void commit_pin(struct mm_plan *plan, u64 result)
{
	for (u32 i = 0; i < plan->pin.nr; i++)
		pte_walk(plan->mm, plan->pin.range[i], pin_pte, NULL, NULL);
	plan->mm->has_pinned = true;
	plan->ops->abort(plan);
}

static void abort_pin(struct mm_plan *plan)
{
	mem_free(&plan->mm->world->bytes, plan->pin.range, plan->pin.nr * sizeof(struct range));
}

static const struct plan_ops pin_ops = { commit_pin, abort_pin };

int mm_plan_pin(struct mm_struct *mm, const struct range *ranges, u32 nr, struct mm_plan **out)
{
	struct mm_plan *plan = plan_open(mm, &pin_ops, (struct reserve_need){ 0 });

	BUG_ON(!nr);
	if (!plan)
		return -ENOMEM;
	plan->pin.range = mem_zalloc(&mm->world->bytes, nr * sizeof(struct range));
	if (!plan->pin.range) {
		mm->plan_refused_by_us = true;
		mm_plan_abort(plan);
		return -ENOMEM;
	}
	memcpy(plan->pin.range, ranges, nr * sizeof(struct range));
	plan->pin.nr = nr;
	*out = plan;
	return 0;
}

bool mm_plan_pins(const struct mm_plan *plan, u64 addr)
{
	for (u32 i = 0; plan->ops == &pin_ops && i < plan->pin.nr; i++)
		if (range_contains(plan->pin.range[i], addr))
			return true;
	return false;
}

bool mm_has_pinned(const struct mm_struct *mm)
{
	return mm->has_pinned;
}

/* The mark on a shared frame may be another mm's. */
static void unpin_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	pte_t pte = pte_get(ref);
	struct frame *frame;

	if (!pte_present(pte))
		return;
	frame = pfn_to_frame(mm->world, pte_pfn(pte));
	if (frame->mapcount == 1)
		frame->flags &= ~FRAME_DMA_PINNED;
	reclaim_unpin(mm->world, frame); /* it is found out anew */
}

void mm_unpin(struct mm_struct *mm)
{
	mm->has_pinned = false;
	pte_walk(mm, (struct range){ 0, TASK_SIZE }, unpin_pte, NULL, NULL);
}

static int see_pinner(struct vm_area_struct *vma, u64 addr, void *arg)
{
	return vma->vm_mm->has_pinned;
}

bool frame_maybe_dma_pinned(const struct frame *frame)
{
	return frame->flags & FRAME_DMA_PINNED && frame->mapcount && rmap_walk(frame, see_pinner, NULL);
}

bool mm_victim_pinned(const struct mm_world *world, u32 pfn)
{
	return frame_maybe_dma_pinned(pfn_to_frame(world, pfn));
}

void frame_copied(const struct mm_struct *mm, const struct frame *old, struct frame *copy)
{
	if (mm->has_pinned)
		copy->flags |= old->flags & FRAME_DMA_PINNED;
}
