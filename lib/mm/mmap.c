/* SPDX-License-Identifier: MIT */
/*
 * mmap.c - mmap, munmap, brk: what appears and what goes.
 * Linux counterpart: mm/mmap.c (do_mmap, brk), mm/vma.c (do_vmi_munmap, mmap_region, do_brk_flags).
 */
#include <sys/mman.h>

#include "mm/overcommit.h"
#include "mm/plan.h"

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define MAP_DROPPABLE 0x08

#define VM_DATA_DEFAULT_FLAGS (VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)

/* avcs to cut the vma at addr in two.  It may get its first anon_vma while the plan is open. */
static u32 chain_at(struct mm_struct *mm, u64 addr)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	u32 len = vma ? anon_vma_chain_len(vma) : 0;

	return len ? len : 1;
}

struct reserve_need range_need(struct mm_struct *mm, struct range r)
{
	/* two cuts, and a neighbour on each side that may take an anon_vma over */
	return (struct reserve_need){
		.vmas = 2,
		.avcs = chain_at(mm, r.start) + chain_at(mm, r.end) + 2,
	};
}

bool range_has_hole(struct mm_struct *mm, struct range r)
{
	while (!range_empty(r)) {
		struct vm_area_struct *vma = vma_lookup(mm, r.start);

		if (!vma)
			return true;
		r.start = vma->vm_end;
	}
	return false;
}

void do_munmap(struct mm_reserve *res, struct mm_struct *mm, struct range r)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, r.start, r.end);
	struct vm_area_struct *last, *next;

	if (!vma)
		return;
	if (vma->vm_start < r.start)
		vma = vma_split(res, vma, r.start);
	last = vma_lookup(mm, r.end - 1);
	if (last && last->vm_end > r.end)
		vma_split(res, last, r.end);

	zap_page_range(mm, r, res);
	for (; vma && vma->vm_start < r.end; vma = next) {
		next = vma->vm_next;
		unlink_anon_vmas(res, vma);
		vma_unlink(res, vma);
		vma_free(res, vma);
	}
}

struct vm_area_struct *mmap_region(struct mm_reserve *res, struct mm_struct *mm, struct range r,
				   u64 vm_flags, u64 pgoff, struct vm_file *file)
{
	struct vma_merge vmg = {
		.start = r.start,
		.end = r.end,
		.vm_flags = vm_flags,
		.pgoff = pgoff,
		.file = file,
	};
	struct vm_area_struct *vma;

	vmg.next = find_vma_prev(mm, r.start, &vmg.prev);
	vma = vma_merge_new_range(res, &vmg);
	if (!vma) {
		vma = vma_new(res, r, vm_flags, pgoff, file);
		vma_link(res, mm, vma);
	}
	return vma;
}

/* ---- mmap ---- */

static void commit_mmap(struct mm_plan *plan, u64 result)
{
	struct mm_struct *mm = plan->mm;
	struct range r = range_of(result, plan->mmap.len);
	u64 pgoff = plan->mmap.pgoff;

	BUG_ON(!page_aligned(result));
	if (!range_empty(plan->mmap.fixed))
		do_munmap(&plan->res, mm, r);
	if (!plan->mmap.file && !(plan->mmap.vm_flags & VM_UNMANAGED))
		pgoff = result >> PAGE_SHIFT;
	mmap_region(&plan->res, mm, r, plan->mmap.vm_flags, pgoff, plan->mmap.file);
	if (plan->mmap.file)
		vm_file_put(plan->mmap.file);
}

static void abort_mmap(struct mm_plan *plan)
{
	if (plan->mmap.file)
		vm_file_put(plan->mmap.file);
}

static const struct plan_ops mmap_ops = { commit_mmap, abort_mmap };

/* Source: calc_vm_prot_bits, calc_vm_flag_bits, do_mmap, accountable_mapping. */
static u64 mmap_vm_flags(const struct mm_struct *mm, const struct mmap_args *a)
{
	int type = a->flags & MAP_TYPE;
	u64 f = mm->def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | a->extra_vm_flags;

	f |= a->prot & PROT_READ ? VM_READ : 0;
	f |= a->prot & PROT_WRITE ? VM_WRITE : 0;
	f |= a->prot & PROT_EXEC ? VM_EXEC : 0;
	f |= a->flags & MAP_GROWSDOWN ? VM_GROWSDOWN : 0;
	f |= a->flags & MAP_LOCKED ? VM_LOCKED : 0;
	f |= a->flags & MAP_NORESERVE ? VM_NORESERVE : 0;
	f |= a->flags & MAP_HUGETLB ? VM_HUGETLB : 0;
	f |= a->flags & MAP_STACK ? VM_NOHUGEPAGE : 0;
	f |= a->unmanaged ? VM_UNMANAGED : 0;
	if (type == MAP_SHARED || type == MAP_SHARED_VALIDATE)
		f |= VM_SHARED | VM_MAYSHARE;
	if (type == MAP_DROPPABLE)
		f |= VM_DROPPABLE | VM_WIPEONFORK | VM_DONTDUMP | VM_NORESERVE;
	if ((f & (VM_SHARED | VM_WRITE | VM_HUGETLB)) == VM_WRITE &&
	    (!(f & VM_NORESERVE) || overcommit_ignores_noreserve(mm)))
		f |= VM_ACCOUNT;
	if (f & VM_NO_MLOCK)
		f &= ~VM_LOCKED_MASK;
	return f;
}

bool range_is_sealed(struct mm_struct *mm, struct range r)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, r.start, r.end);

	for (; vma && vma->vm_start < r.end; vma = vma->vm_next) {
		if (vma->vm_flags & VM_SEALED)
			return true;
	}
	return false;
}

/* Source: the switches at the end of do_mmap. */
static int check_mmap_type(const struct mmap_args *a)
{
	switch (a->flags & MAP_TYPE) {
	case MAP_PRIVATE:
		return 0;
	case MAP_SHARED:
		return (a->flags & (MAP_ANONYMOUS | MAP_GROWSDOWN)) == (MAP_ANONYMOUS | MAP_GROWSDOWN) ?
			       -EINVAL : 0;
	case MAP_SHARED_VALIDATE:
		return a->flags & MAP_ANONYMOUS ? -EINVAL : 0;
	case MAP_DROPPABLE:
		return a->flags & MAP_ANONYMOUS ? 0 : -EINVAL;
	}
	return -EINVAL;
}

/* The refusals that Linux decides from the arguments and the vmas alone, in its order. */
static int check_mmap(struct mm_struct *mm, const struct mmap_args *a, u64 len)
{
	bool fixed = a->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	int err;

	if (!a->len)
		return -EINVAL;
	if (!len)
		return -ENOMEM;
	if (a->pgoff + (len >> PAGE_SHIFT) < a->pgoff)
		return -EOVERFLOW;
	if (mm->map_count > mm->world->config.max_map_count || len > TASK_SIZE)
		return -ENOMEM;
	if (fixed && a->addr >= -4095UL)
		return (int)a->addr; /* __get_unmapped_area takes such an address for an errno */
	if (fixed && a->addr > TASK_SIZE - len)
		return -ENOMEM;
	if (fixed && !page_aligned(a->addr))
		return -EINVAL;
	if ((a->flags & MAP_FIXED_NOREPLACE) &&
	    find_vma_intersection(mm, a->addr, a->addr + len))
		return -EEXIST;
	err = check_mmap_type(a);
	if (!err && fixed && range_is_sealed(mm, range_of(a->addr, len)))
		err = -EPERM;
	return err;
}

int mm_plan_mmap(struct mm_struct *mm, const struct mmap_args *a, struct mm_plan **out)
{
	struct reserve_need need = { .vmas = 1, .avcs = 1 };
	struct range fixed = { 0, 0 };
	u64 len = page_align_up(a->len);
	struct mm_plan *plan;
	int err = check_mmap(mm, a, len);

	mm->plan_refused_by_us = false;
	if (err)
		return err;
	if ((a->flags & MAP_FIXED) && !(a->flags & MAP_FIXED_NOREPLACE)) {
		fixed = range_of(a->addr, len);
		need = need_add(need, range_need(mm, fixed));
	}
	plan = plan_open(mm, &mmap_ops, need);
	if (!plan)
		return -ENOMEM;
	plan->mmap.fixed = fixed;
	plan->mmap.len = len;
	plan->mmap.vm_flags = mmap_vm_flags(mm, a);
	plan->mmap.pgoff = a->pgoff;
	plan->mmap.file = a->file;
	if (a->file)
		a->file->refcount++;
	plan->zaps = fixed;
	if (plan->mmap.vm_flags & VM_ACCOUNT)
		plan->charge = (s64)(len >> PAGE_SHIFT) - (s64)accounted_pages(mm, fixed);
	*out = plan;
	return 0;
}

/* ---- munmap ---- */

static void commit_munmap(struct mm_plan *plan, u64 result)
{
	do_munmap(&plan->res, plan->mm, plan->munmap);
}

static const struct plan_ops munmap_ops = { commit_munmap, NULL };

/*
 * Can the kernel not refuse to unmap r?  It may when a mapping is sealed or of huge pages, and when a cut
 * in two would exceed max_map_count; its own count may differ a little from ours, hence the half.
 */
static bool munmap_is_certain(struct mm_struct *mm, struct range r)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, r.start, r.end);

	if (mm->map_count > mm->world->config.max_map_count / 2)
		return false;
	for (; vma && vma->vm_start < r.end; vma = vma->vm_next)
		if (vma->vm_flags & (VM_SEALED | VM_HUGETLB))
			return false;
	return true;
}

int mm_plan_munmap(struct mm_struct *mm, u64 addr, u64 len, struct mm_plan **out)
{
	struct range r = range_of(addr, page_align_up(len));
	struct vm_area_struct *vma;
	struct mm_plan *plan;

	mm->plan_refused_by_us = false;
	if (!page_aligned(addr) || addr > TASK_SIZE || len > TASK_SIZE - addr || range_empty(r))
		return -EINVAL;
	if (range_is_sealed(mm, r))
		return -EPERM;
	vma = vma_lookup(mm, r.start);
	if (vma && vma->vm_start < r.start && vma->vm_end > r.end &&
	    mm->map_count >= mm->world->config.max_map_count)
		return -ENOMEM;
	plan = plan_open(mm, &munmap_ops, range_need(mm, r));
	if (!plan)
		return -ENOMEM;
	plan->munmap = r;
	plan->zaps = r;
	plan->certain = munmap_is_certain(mm, r);
	*out = plan;
	return 0;
}

/* ---- brk ---- */

static void commit_brk(struct mm_plan *plan, u64 result)
{
	struct mm_struct *mm = plan->mm;
	u64 old = page_align_up(mm->layout.brk);
	u64 new = page_align_up(result);
	u64 flags = VM_DATA_DEFAULT_FLAGS | VM_ACCOUNT | mm->def_flags;

	mm->layout.brk = result;
	if (result != plan->brk)
		return; /* refused: the kernel says where the break is */
	if (new < old)
		do_munmap(&plan->res, mm, (struct range){ new, old });
	else if (new > old)
		mmap_region(&plan->res, mm, (struct range){ old, new }, flags, old >> PAGE_SHIFT,
			    NULL);
}

static const struct plan_ops brk_ops = { commit_brk, NULL };

int mm_plan_brk(struct mm_struct *mm, u64 brk, struct mm_plan **out)
{
	u64 old = page_align_up(mm->layout.brk);
	u64 new = page_align_up(brk);
	struct reserve_need need = { .vmas = 1, .avcs = 1 };
	struct mm_plan *plan;

	mm->plan_refused_by_us = false;
	if (brk >= mm->layout.start_brk && new < old)
		need = need_add(need, range_need(mm, (struct range){ new, old }));
	plan = plan_open(mm, &brk_ops, need);
	if (!plan)
		return -ENOMEM;
	plan->brk = brk;
	if (brk >= mm->layout.start_brk && new < old)
		plan->zaps = (struct range){ new, old };
	else if (new > old)
		plan->charge = (s64)((new - old) >> PAGE_SHIFT);
	*out = plan;
	return 0;
}
