/* SPDX-License-Identifier: MIT */
/*
 * mremap.c - mremap: shrink, grow in place, move.
 *
 * Which of them happened is known from the address that the kernel returned.  Since 6.17 one call may
 * move a run of vmas, holes and all: each is moved by itself to the same distance from the start, and
 * only what it replaces is unmapped (not for vmas armed with userfaultfd: EFAULT).
 * Linux counterpart: mm/mremap.c.
 */
#include <sys/mman.h>

#include "mm/overcommit.h"
#include "mm/plan.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static struct range old_range(const struct mm_plan *plan)
{
	return range_of(plan->mremap.old, plan->mremap.old_len);
}

/* |--vma--|  ->  |--vma-------|, and on into the next one where they merge */
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

/* It was a stale fault that spoke for growth (mremap_grew_in_place): the kernel moved it, or refused. */
static void undo_growth(struct mm_plan *plan)
{
	struct range growth = { old_range(plan).end, plan->mremap.old + plan->mremap.new_len };

	if (plan->mremap.grown)
		do_munmap(&plan->res, plan->mm, growth);
	plan->mremap.grown = false;
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
	vma_link(res, mm, new);
}

/* MREMAP_DONTUNMAP leaves the old vma, empty.  Source: dontunmap_complete. */
static void leave_empty(struct mm_reserve *res, struct mm_struct *mm, struct range seg)
{
	struct vm_area_struct *vma = vma_lookup(mm, seg.start);

	if (vma->vm_flags & VM_LOCKED_MASK) {
		vma_set_flags(vma, vma->vm_flags & ~VM_LOCKED_MASK);
		munlock_range(mm, vma_range(vma));
	}
	if (vma->vm_start == seg.start && vma->vm_end == seg.end)
		unlink_anon_vmas(res, vma);
}

static void move_vma(struct mm_plan *plan, struct vm_area_struct *vma, struct range seg,
		     struct range to)
{
	struct mm_reserve *res = &plan->res;
	struct mm_struct *mm = plan->mm;
	u64 hiwater_vm;

	if (plan->mremap.flags & MREMAP_FIXED) {
		do_munmap(res, mm, to);
		vma = vma_lookup(mm, seg.start); /* it may have been cut */
	}
	hiwater_vm = mm->hiwater_vm;
	copy_vma(res, vma, seg.start, to);
	move_page_tables(mm, seg.start, to.start, range_len(seg), res);
	if (plan->mremap.flags & MREMAP_DONTUNMAP)
		leave_empty(res, mm, seg);
	else if (!range_empty(seg))
		do_munmap(res, mm, seg);
	/* That both were there at once does not count.  Source: move_vma. */
	mm->hiwater_vm = u64_max(hiwater_vm, mm->total_vm);
}

static void commit_mremap(struct mm_plan *plan, u64 result)
{
	struct mm_struct *mm = plan->mm;
	u64 old = plan->mremap.old, old_len = plan->mremap.old_len;
	u64 new_len = plan->mremap.new_len;
	u64 addr = old;

	BUG_ON(!page_aligned(result));
	if (old_len > new_len) {
		do_munmap(&plan->res, mm, (struct range){ old + new_len, old + old_len });
		old_len = new_len;
	}
	if (result == old) {
		if (new_len > old_len && !plan->mremap.grown)
			grow_in_place(plan);
		return;
	}
	undo_growth(plan);
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

static const struct plan_ops mremap_ops = { commit_mremap, undo_growth };

bool mremap_grew_in_place(struct mm_plan *plan, u64 addr)
{
	struct vm_area_struct *vma;

	if (!plan || plan->ops != &mremap_ops || plan->mremap.grown ||
	    plan->mremap.flags & MREMAP_FIXED || addr < old_range(plan).end ||
	    addr >= plan->mremap.old + plan->mremap.new_len)
		return false;
	vma = vma_lookup(plan->mm, old_range(plan).end - 1);
	if (!vma || !(vma->vm_flags & VM_LOCKED) || vma->vm_end != old_range(plan).end)
		return false;
	grow_in_place(plan);
	plan->mremap.grown = true;
	return true;
}

/* What is left to refuse when the vma itself allows it: the range that is cut off or carried along. */
static int check_mremap_tail(struct mm_struct *mm, u64 old, u64 old_len, u64 new_len)
{
	u64 end = old + old_len;

	if (new_len >= old_len)
		return 0;
	if (end < old || end > TASK_SIZE)
		return -EINVAL;
	return range_is_sealed(mm, (struct range){ old + new_len, end }) ? -EPERM : 0;
}

/* Can [old, old + old_len) grow where it is?  Source: vrm_can_expand_in_place. */
static bool vma_expandable(const struct vm_area_struct *vma, u64 old, u64 old_len, u64 new_len)
{
	u64 end = old + new_len;

	return vma->vm_end == old + old_len && end > old && end <= TASK_SIZE &&
	       (!vma->vm_next || end <= vma->vm_next->vm_start);
}

/* Source: check_mremap_params, check_prep_vma.  `old_len`, `new_len` are page aligned. */
static int check_mremap(struct mm_struct *mm, u64 old, u64 old_len, u64 new_len, int flags,
			u64 new_addr)
{
	bool to_new = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
	u64 max_map_count = mm->world->config.max_map_count;
	struct vm_area_struct *vma;

	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	if (!page_aligned(old) || !new_len || new_len > TASK_SIZE)
		return -EINVAL;
	if (to_new) {
		if (!(flags & MREMAP_MAYMOVE) || !page_aligned(new_addr) ||
		    new_addr > TASK_SIZE - new_len)
			return -EINVAL;
		if (flags & MREMAP_DONTUNMAP && old_len != new_len)
			return -EINVAL;
		if (old + old_len > new_addr && new_addr + new_len > old)
			return -EINVAL;
		/* Linux wants room for cutting both places in three, and three more. */
		if (mm->map_count + 5 >= max_map_count)
			return -ENOMEM;
	}
	vma = vma_lookup(mm, old);
	if (!vma)
		return -EFAULT;
	if (vma->vm_flags & VM_SEALED)
		return -EPERM;
	if (new_len <= old_len && !to_new)
		return check_mremap_tail(mm, old, old_len, new_len);
	if (!old_len && !(vma->vm_flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;
	if (flags & MREMAP_DONTUNMAP && vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP))
		return -EINVAL;
	/* Only a move of equal length to a given place may take several vmas along. */
	if (u64_min(old_len, new_len) > vma->vm_end - old &&
	    !(flags & MREMAP_FIXED && old_len == new_len))
		return -EFAULT;
	if (new_len > old_len && vma->vm_flags & (VM_DONTEXPAND | VM_PFNMAP))
		return -EFAULT;
	if (new_len > old_len && !to_new && !vma_expandable(vma, old, old_len, new_len) &&
	    (!(flags & MREMAP_MAYMOVE) || mm->map_count + 3 >= max_map_count))
		return -ENOMEM;
	if (flags & MREMAP_FIXED && range_is_sealed(mm, range_of(new_addr, new_len)))
		return -EPERM;
	return check_mremap_tail(mm, old, old_len, new_len);
}

s64 mm_get_remap_area(struct mm_struct *mm, u64 old, u64 old_len, u64 new_len, int flags, u64 hint)
{
	bool duplicate = flags & MREMAP_DONTUNMAP;

	old_len = page_align_up(old_len);
	new_len = page_align_up(new_len);
	if (!(flags & MREMAP_MAYMOVE) || flags & MREMAP_FIXED || !old_len ||
	    check_mremap(mm, old, old_len, new_len, flags, hint))
		return -EEXIST;
	if (!duplicate && (new_len <= old_len ||
			   vma_expandable(vma_lookup(mm, old), old, old_len, new_len)))
		return -EEXIST;
	return mm_get_unmapped_area(mm, duplicate ? hint : 0, new_len, false);
}

/* Source: vrm_calc_charge. */
static s64 mremap_charge(struct mm_struct *mm, u64 old, u64 old_len, u64 new_len, int flags,
			 struct range fixed)
{
	s64 pages;

	if (!(vma_lookup(mm, old)->vm_flags & VM_ACCOUNT))
		return 0;
	pages = (s64)(new_len >> PAGE_SHIFT);
	if (!(flags & MREMAP_DONTUNMAP))
		pages -= (s64)(old_len >> PAGE_SHIFT);
	return pages - (s64)accounted_pages(mm, fixed);
}

/* The longest chain of any vma in r. */
static u32 max_chain(struct mm_struct *mm, struct range r)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, r.start, r.end);
	u32 max = 1;

	for (; vma && vma->vm_start < r.end; vma = vma->vm_next) {
		u32 len = anon_vma_chain_len(vma);

		max = len > max ? len : max;
	}
	return max;
}

static struct reserve_need mremap_need(struct mm_struct *mm, struct range old, u64 new_len,
				       struct range fixed)
{
	/* the old range is cut off at its ends, and perhaps where it shrinks */
	struct reserve_need need = need_add(range_need(mm, old), range_need(mm, old));
	struct vm_area_struct *vma = find_vma(mm, old.start);
	u32 fixed_chain = max_chain(mm, fixed);

	need = need_add(need, range_need(mm, range_of(old.start, new_len)));
	do { /* each is copied, and cuts out what it replaces */
		need.vmas += 3;
		need.avcs += anon_vma_chain_len(vma) + 2 + 2 * fixed_chain;
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
	plan->charge = mremap_charge(mm, old, old_len, new_len, flags, fixed);
	plan->zaps = r;
	if (!range_empty(fixed)) /* both, and what lies between: one range is simpler than two */
		plan->zaps = (struct range){ u64_min(r.start, fixed.start),
					     u64_max(r.end, fixed.end) };
	*out = plan;
	return 0;
}
