/* SPDX-License-Identifier: MIT */
/*
 * mremap.c - mremap: shrink, grow in place, move.
 *
 * Which of them happened is known from the address that the kernel returned.  Since 6.17 one call may
 * move a run of vmas; each then keeps its distance.  Linux counterpart: mm/mremap.c.
 */
#include <sys/mman.h>

#include "mm/plan.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static struct range old_range(const struct mm_plan *plan)
{
	return range_of(plan->mremap.old, plan->mremap.old_len);
}

static void grow_in_place(struct mm_plan *plan)
{
	u64 end = old_range(plan).end;
	u64 new_end = plan->mremap.old + plan->mremap.new_len;
	struct vm_area_struct *vma = vma_lookup(plan->mm, end - 1);
	struct vma_merge vmg;

	BUG_ON(!vma || vma->vm_end != end);
	vmg = (struct vma_merge){
		.prev = vma,
		.next = vma->vm_next,
		.start = end,
		.end = new_end,
		.vm_flags = vma->vm_flags,
		.pgoff = linear_page_index(vma, end),
		.file = vma->vm_file,
		.anon_vma = vma->anon_vma,
		.copied_from = vma,
	};
	if (!vma_merge_new_range(&plan->res, &vmg))
		vma_set_range(vma, vma->vm_start, new_end, vma->vm_pgoff);
}

/* Make the vma that `seg` of src will live in.  Source: copy_vma. */
static void copy_vma(struct mm_reserve *res, struct vm_area_struct *src, u64 from, struct range to)
{
	struct mm_struct *mm = src->vm_mm;
	struct vma_merge vmg = {
		.start = to.start,
		.end = to.end,
		.vm_flags = src->vm_flags,
		.pgoff = linear_page_index(src, from),
		.file = src->vm_file,
		.anon_vma = src->anon_vma,
		.copied_from = src,
	};
	struct vm_area_struct *new;

	/* Never faulted: it may as well have been born there. */
	if (!src->vm_file && !src->anon_vma && !(src->vm_flags & VM_UNMANAGED))
		vmg.pgoff = to.start >> PAGE_SHIFT;
	vmg.next = find_vma_prev(mm, to.start, &vmg.prev);
	if (vma_merge_new_range(res, &vmg))
		return;
	new = vma_new(res, to, src->vm_flags, vmg.pgoff, src->vm_file);
	new->anon_vma = src->anon_vma;
	anon_vma_clone(res, new, src);
	vma_link(mm, new);
}

/* MREMAP_DONTUNMAP leaves the old vma, empty.  Source: dontunmap_complete. */
static void leave_empty(struct mm_reserve *res, struct mm_struct *mm, struct range seg)
{
	struct vm_area_struct *vma = vma_lookup(mm, seg.start);

	if (vma->vm_flags & VM_LOCKED_MASK)
		vma_set_flags(vma, vma->vm_flags & ~VM_LOCKED_MASK);
	if (vma->vm_start == seg.start && vma->vm_end == seg.end)
		unlink_anon_vmas(res, vma);
}

static void move_vma(struct mm_plan *plan, struct vm_area_struct *vma, struct range seg,
		     struct range to)
{
	struct mm_reserve *res = &plan->res;
	struct mm_struct *mm = plan->mm;

	copy_vma(res, vma, seg.start, to);
	move_page_tables(mm, seg.start, to.start, range_len(seg), res);
	if (plan->mremap.flags & MREMAP_DONTUNMAP)
		leave_empty(res, mm, seg);
	else if (!range_empty(seg))
		do_munmap(res, mm, seg);
}

static void commit_mremap(struct mm_plan *plan, u64 result)
{
	struct mm_struct *mm = plan->mm;
	u64 old = plan->mremap.old, old_len = plan->mremap.old_len;
	u64 new_len = plan->mremap.new_len;
	u64 addr = old;

	BUG_ON(!page_aligned(result));
	if (plan->mremap.flags & MREMAP_FIXED)
		do_munmap(&plan->res, mm, range_of(result, new_len));
	if (old_len > new_len) {
		do_munmap(&plan->res, mm, (struct range){ old + new_len, old + old_len });
		old_len = new_len;
	}
	if (result == old) {
		if (new_len > old_len)
			grow_in_place(plan);
		return;
	}
	do {
		struct vm_area_struct *vma = find_vma(mm, addr);
		struct range seg, to;

		if (!vma || (vma->vm_start >= old + old_len && old_len))
			break;
		seg = range_intersect(vma_range(vma), range_of(old, old_len));
		if (!old_len)
			seg = (struct range){ old, old };
		to = range_of(result + (seg.start - old), range_len(seg));
		if (seg.end == old + old_len) /* the last takes the growth */
			to.end = result + new_len;
		move_vma(plan, vma, seg, to);
		addr = seg.end;
	} while (addr < old + old_len);
}

static const struct plan_ops mremap_ops = { commit_mremap, NULL };

/* Source: check_mremap_params, check_prep_vma.  `old_len`, `new_len` are page aligned. */
static int check_mremap(struct mm_struct *mm, u64 old, u64 old_len, u64 new_len, int flags,
			u64 new_addr)
{
	struct vm_area_struct *vma;

	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) && !(flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if (flags & MREMAP_DONTUNMAP && old_len != new_len)
		return -EINVAL;
	if (!page_aligned(old) || !new_len || new_len > TASK_SIZE)
		return -EINVAL;
	if (flags & MREMAP_FIXED) {
		if (!page_aligned(new_addr) || new_addr > TASK_SIZE - new_len)
			return -EINVAL;
		if (old + old_len > new_addr && new_addr + new_len > old)
			return -EINVAL;
	}
	vma = vma_lookup(mm, old);
	if (!vma)
		return -EFAULT;
	if (vma->vm_flags & VM_SEALED)
		return -EPERM;
	if (!old_len && !(vma->vm_flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;
	if (flags & MREMAP_DONTUNMAP && vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP))
		return -EINVAL;
	if (new_len > old_len && old_len > vma->vm_end - old)
		return -EFAULT;
	if (old + old_len < old || old + old_len > TASK_SIZE)
		return -EINVAL;
	return 0;
}

static struct reserve_need mremap_need(struct mm_struct *mm, struct range old, u64 new_len,
				       struct range fixed)
{
	/* the old range is cut off at its ends, and perhaps where it shrinks */
	struct reserve_need need = need_add(range_need(mm, old), range_need(mm, old));
	struct vm_area_struct *vma = find_vma(mm, old.start);

	need = need_add(need, range_need(mm, range_of(old.start, new_len)));
	if (!range_empty(fixed))
		need = need_add(need, range_need(mm, fixed));
	do {
		need.vmas += 1;
		need.avcs += anon_vma_chain_len(vma) + 2;
		vma = vma->vm_next;
	} while (vma && vma->vm_start < old.end);
	need.tables = MOVE_TABLES;
	return need;
}

int mm_plan_mremap(struct mm_struct *mm, u64 old, u64 old_len, u64 new_len, int flags, u64 new_addr,
		   struct mm_plan **out)
{
	struct range fixed = { 0, 0 };
	struct range r;
	struct mm_plan *plan;
	int err;

	old_len = page_align_up(old_len);
	new_len = page_align_up(new_len);
	mm->plan_refused_by_us = false;
	err = check_mremap(mm, old, old_len, new_len, flags, new_addr);
	if (err)
		return err;
	r = range_of(old, old_len);
	if (flags & MREMAP_FIXED)
		fixed = range_of(new_addr, new_len);
	plan = plan_open(mm, &mremap_ops, mremap_need(mm, r, new_len, fixed));
	if (!plan)
		return -ENOMEM;
	plan->mremap.old = old;
	plan->mremap.old_len = old_len;
	plan->mremap.new_len = new_len;
	plan->mremap.new_addr = new_addr;
	plan->mremap.flags = flags;
	plan->zaps = r;
	if (!range_empty(fixed)) /* both, and what lies between: one range is simpler than two */
		plan->zaps = (struct range){ u64_min(r.start, fixed.start),
					     u64_max(r.end, fixed.end) };
	*out = plan;
	return 0;
}
