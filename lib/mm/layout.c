/* SPDX-License-Identifier: MIT */
/*
 * layout.c - our own get_unmapped_area, for `--layout=topdown` and `bottomup`: see layout.h.
 *
 *      topdown    0 ... |heap>          <mappings|mmap_base   <stack| TASK_SIZE
 *      bottomup   0 ... |heap>   TASK_SIZE / 3|mappings>      <stack| TASK_SIZE
 *
 * It chooses as Linux does with ADDR_NO_RANDOMIZE, but for one thing: Linux since 6.7 aligns large
 * mappings to 2 MiB for the sake of huge pages, which memory under userfaultfd does not get.
 * Called from the pager when a call lets the kernel choose; it asks nobody but the model.
 */
#include "mm/layout.h"

#include <sys/mman.h>

#define MIN_GAP (128UL << 20)
#define MAX_GAP (TASK_SIZE / 6 * 5)

/* What MAP_32BIT asks for. */
#define LOW_BASE 0x40000000UL
#define LOW_END  0x80000000UL

/* Source: mmap_base (arch/x86/mm/mmap.c), without the random parts. */
u64 mm_mmap_base(enum mm_layout_mode mode, u64 stack_limit, u64 stack_guard_gap)
{
	u64 gap = stack_limit;

	if (mode == MM_LAYOUT_BOTTOMUP)
		return page_align_up(TASK_SIZE / 3); /* TASK_UNMAPPED_BASE */
	if (gap + stack_guard_gap > gap)
		gap += stack_guard_gap;
	gap = u64_min(u64_max(gap, MIN_GAP), MAX_GAP);
	return page_align_down(TASK_SIZE - gap);
}

/* ---- the search ---- */

#define NOWHERE UINT64_MAX

static u64 fit(struct range gap, const struct vm_unmapped_area_info *info)
{
	gap = range_intersect(gap, (struct range){ info->low_limit, info->high_limit });
	if (range_len(gap) < info->length)
		return NOWHERE;
	return info->topdown ? gap.end - info->length : gap.start;
}

/*
 * Of the gaps of this subtree's leaves, the lowest that fits.  A subtree whose largest gap is too small
 * is left out whole; so is what lies outside of the limits.  Hence only a gap that a limit cuts can disappoint,
 * there are two of those, and the steps are O(log n).
 */
static u64 lowest_fit(const struct vma_leaf *leaf, struct vm_unmapped_area_info *info)
{
	u64 found = NOWHERE;

	if (!leaf || leaf->subtree_gap < info->length)
		return NOWHERE;
	info->steps++;
	if (leaf->below > info->low_limit)
		found = lowest_fit(leaf_of(leaf->rb.left), info);
	if (leaf->gap >= info->length) {
		for (u32 i = 0; i < leaf->nr && found == NOWHERE; i++)
			found = fit(leaf_gap(leaf, i), info);
	}
	if (found == NOWHERE && leaf->end < info->high_limit)
		found = lowest_fit(leaf_of(leaf->rb.right), info);
	return found;
}

static u64 highest_fit(const struct vma_leaf *leaf, struct vm_unmapped_area_info *info)
{
	u64 found = NOWHERE;

	if (!leaf || leaf->subtree_gap < info->length)
		return NOWHERE;
	info->steps++;
	if (leaf->end < info->high_limit)
		found = highest_fit(leaf_of(leaf->rb.right), info);
	if (leaf->gap >= info->length) {
		for (u32 i = leaf->nr; i-- > 0 && found == NOWHERE;)
			found = fit(leaf_gap(leaf, i), info);
	}
	if (found == NOWHERE && leaf->below > info->low_limit)
		found = highest_fit(leaf_of(leaf->rb.left), info);
	return found;
}

s64 vm_unmapped_area(const struct mm_struct *mm, struct vm_unmapped_area_info *info)
{
	const struct vma_leaf *root = leaf_of(mm->mm_rb.node);
	const struct vm_area_struct *last = vma_tree_last(mm);
	struct range above = { last ? last->vm_end : 0, TASK_SIZE };
	u64 found;

	info->steps = 0;
	found = info->topdown ? fit(above, info) : lowest_fit(root, info);
	if (found == NOWHERE)
		found = info->topdown ? highest_fit(root, info) : fit(above, info);
	return found == NOWHERE ? -ENOMEM : (s64)found;
}

/* ---- get_unmapped_area ---- */

/* May the mapping stand where the program wished?  Source: arch_get_unmapped_area. */
static bool hint_is_free(struct mm_struct *mm, u64 hint, u64 len, u64 end)
{
	const struct vm_area_struct *vma = find_vma(mm, hint);

	return hint <= end - len && (!vma || hint + len <= vm_start_gap(vma));
}

s64 mm_get_unmapped_area(struct mm_struct *mm, u64 hint, u64 len, bool low_2gib)
{
	bool bottomup = mm->world->config.layout == MM_LAYOUT_BOTTOMUP;
	struct vm_unmapped_area_info info = {
		.low_limit = low_2gib ? LOW_BASE : PAGE_SIZE,
		.high_limit = low_2gib ? LOW_END : TASK_SIZE,
	};
	s64 found = -ENOMEM;

	BUG_ON(mm->world->config.layout == MM_LAYOUT_KERNEL);
	info.length = page_align_up(len);
	if (!info.length || info.length > info.high_limit)
		return -ENOMEM;
	hint = page_align_down(hint);
	if (hint && hint_is_free(mm, hint, info.length, info.high_limit))
		return (s64)hint;
	if (!bottomup && !low_2gib) {
		struct vm_unmapped_area_info down = info;

		down.topdown = true;
		down.high_limit = mm->layout.mmap_base;
		found = vm_unmapped_area(mm, &down);
	}
	if (found >= 0)
		return found;
	/* Below the base it is full, or bottom up is what was asked for. */
	if (!low_2gib)
		info.low_limit = bottomup ? mm->layout.mmap_base :
					    mm_mmap_base(MM_LAYOUT_BOTTOMUP, 0, 0);
	return vm_unmapped_area(mm, &info);
}
