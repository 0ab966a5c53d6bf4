/* SPDX-License-Identifier: MIT */
/*
 * mprotect.c - the calls that change the vmas of a range one by one: mprotect, madvise, the mlock family,
 * mseal.
 *
 * All are one loop, change_range(), run twice: at plan time it only looks, to learn what Linux will answer,
 * and at commit it acts, stopping where Linux stops.
 * Linux counterpart: mm/mprotect.c, mm/madvise.c, mm/mlock.c, mm/mseal.c.
 */
#include <sys/mman.h>

#include "mm/overcommit.h"
#include "mm/plan.h"

/* Missing from Debian 12's libc headers. */
#define PROT_SEM_             0x8
#define MADV_SOFT_OFFLINE_    101
#define MADV_DONTNEED_LOCKED_ 24
#define MADV_COLLAPSE_        25
#define MADV_GUARD_INSTALL_   102
#define MADV_GUARD_REMOVE_    103

u64 mprotect_account(const struct vm_area_struct *vma, u64 flags)
{
	u64 old = vma->vm_flags;

	if (flags == old)
		return flags;
	if (flags & VM_WRITE) {
		if (!(old & (VM_ACCOUNT | VM_WRITE | VM_HUGETLB | VM_SHARED)) &&
		    (!(old & VM_NORESERVE) || overcommit_ignores_noreserve(vma->vm_mm)))
			flags |= VM_ACCOUNT;
	} else if (vma_is_anonymous(vma) && !vma->anon_vma) {
		flags &= ~VM_ACCOUNT; /* nothing was written yet: the charge can be given back */
	}
	return flags;
}

/* Source: mprotect_fixup. */
static int prot_flags(u64 access, const struct vm_area_struct *vma, u64 *flags)
{
	u64 may = vma->vm_flags & (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC);
	u64 old = vma->vm_flags;

	if (old & VM_SEALED)
		return -EPERM;
	/* A vma that was seeded from maps may have no MAY bits: then the kernel knows better. */
	if (may && (access & ~(may >> 4)))
		return -EACCES;
	*flags = mprotect_account(vma, (old & ~VM_ACCESS_FLAGS) | access);
	return 0;
}

/*
 * Of a sealed vma that the program could not write to, nothing may be discarded.
 * Source: can_madvise_modify.
 */
static bool advice_is_sealed_off(int advice, u64 f, bool anonymous)
{
	if (!(f & VM_SEALED) || !anonymous || f & VM_WRITE)
		return false;
	switch (advice) {
	case MADV_FREE:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED_:
	case MADV_REMOVE:
	case MADV_DONTFORK:
	case MADV_WIPEONFORK:
	case MADV_GUARD_INSTALL_:
		return true;
	}
	return false;
}

/* Source: madvise_vma_behavior, ksm_madvise, hugepage_madvise, madvise_dontneed_free. */
static int advice_flags(int advice, const struct vm_area_struct *vma, u64 *flags)
{
	u64 f = vma->vm_flags;

	if (advice_is_sealed_off(advice, f, vma_is_anonymous(vma)))
		return -EPERM;
	switch (advice) {
	case MADV_NORMAL:
		f &= ~(VM_RAND_READ | VM_SEQ_READ);
		break;
	case MADV_SEQUENTIAL:
		f = (f & ~VM_RAND_READ) | VM_SEQ_READ;
		break;
	case MADV_RANDOM:
		f = (f & ~VM_SEQ_READ) | VM_RAND_READ;
		break;
	case MADV_DONTFORK:
		f |= VM_DONTCOPY;
		break;
	case MADV_DOFORK:
		if (f & VM_IO)
			return -EINVAL;
		f &= ~VM_DONTCOPY;
		break;
	case MADV_WIPEONFORK:
		if (!vma_is_anonymous(vma))
			return -EINVAL;
		f |= VM_WIPEONFORK;
		break;
	case MADV_KEEPONFORK:
		f &= ~VM_WIPEONFORK;
		break;
	case MADV_DONTDUMP:
		f |= VM_DONTDUMP;
		break;
	case MADV_DODUMP:
		if (!(f & VM_HUGETLB) && (f & VM_SPECIAL))
			return -EINVAL;
		f &= ~VM_DONTDUMP;
		break;
	case MADV_HUGEPAGE:
		f = (f & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
		break;
	case MADV_NOHUGEPAGE:
		f = (f & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
		break;
	case MADV_MERGEABLE:
		if (!(f & (VM_SHARED | VM_MAYSHARE | VM_SPECIAL | VM_HUGETLB)))
			f |= VM_MERGEABLE;
		break;
	case MADV_UNMERGEABLE:
		f &= ~VM_MERGEABLE;
		break;
	case MADV_DONTNEED:
	case MADV_FREE:
		if (f & (VM_LOCKED | VM_PFNMAP) || (advice == MADV_FREE && !vma_is_anonymous(vma)))
			return -EINVAL;
		break;
	}
	*flags = f;
	return 0;
}

static int new_flags(const struct vma_change *c, const struct vm_area_struct *vma, u64 *flags)
{
	*flags = vma->vm_flags;
	switch (c->kind) {
	case CHANGE_PROT:
		return prot_flags(c->arg, vma, flags);
	case CHANGE_ADVICE:
		return advice_flags(c->arg, vma, flags);
	case CHANGE_LOCK:
		if (!(vma->vm_flags & (VM_NO_MLOCK | VM_SECRETMEM))) /* that stays locked */
			*flags = (vma->vm_flags & ~VM_LOCKED_MASK) | c->arg;
		return 0;
	case CHANGE_SEAL:
		*flags |= VM_SEALED;
		return 0;
	}
	BUG("change %u", c->kind);
}

static bool advice_zaps(const struct vma_change *c)
{
	return c->kind == CHANGE_ADVICE &&
	       (c->arg == MADV_DONTNEED || c->arg == MADV_DONTNEED_LOCKED_ ||
		c->arg == MADV_GUARD_INSTALL_);
}

/* MADV_FREE drops what is out, and marks what is here. */
static bool advice_frees(const struct vma_change *c)
{
	return c->kind == CHANGE_ADVICE && c->arg == MADV_FREE;
}

static void change_pages(struct mm_struct *mm, const struct vma_change *c, struct range r,
			 struct mm_reserve *res)
{
	if (advice_zaps(c))
		zap_page_range(mm, r, res);
	else if (advice_frees(c))
		mark_lazyfree(mm, r);
	else if (c->kind == CHANGE_LOCK && !(c->arg & VM_LOCKED))
		munlock_range(mm, r);
}

/*
 * mlock fills what it has locked, and says ENOMEM for memory that nobody may touch.
 * Source: __mm_populate.
 */
static bool populate_fails(const struct vma_change *c, const struct vm_area_struct *vma)
{
	return c->kind == CHANGE_LOCK && (c->arg & VM_LOCKED_MASK) == VM_LOCKED &&
	       !(vma->vm_flags & (VM_ACCESS_FLAGS | VM_IO | VM_PFNMAP));
}

/*
 * Change each vma of r, or with res == NULL only see what would happen.  It stops where a vma refuses
 * and, but for madvise, at a hole, unless `overrule`: the kernel did it all, and knows better.
 * Return: 0 or the errno that Linux gives.
 */
static int change_range(struct mm_struct *mm, struct range r, const struct vma_change *c,
			struct mm_reserve *res, bool overrule)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, r.start, r.end);
	u64 max_map_count = mm->world->config.max_map_count;
	u64 addr = r.start;
	int result = 0, err;
	bool unfilled = false;
	u32 nr_splits;

	if (range_empty(r))
		return 0;
	for (; vma; vma = find_vma_intersection(mm, addr, r.end)) {
		u64 start = u64_max(vma->vm_start, addr);
		u64 end = u64_min(vma->vm_end, r.end);
		u64 flags;

		if (start > addr) {
			result = -ENOMEM;
			if (c->kind != CHANGE_ADVICE && !overrule)
				return result;
		}
		err = new_flags(c, vma, &flags);
		if (err && !overrule)
			return err;
		nr_splits = vma_modify_splits(vma, start, end, flags);
		if (nr_splits && mm->map_count + nr_splits - 1 >= max_map_count && !overrule)
			return c->kind == CHANGE_ADVICE ? -EAGAIN : -ENOMEM;
		unfilled |= populate_fails(c, vma);
		if (res) {
			if (flags != vma->vm_flags)
				vma_modify_flags(res, vma, start, end, flags);
			change_pages(mm, c, (struct range){ start, end }, res);
		}
		addr = end;
		if (addr == r.end)
			break;
	}
	return addr < r.end || unfilled ? -ENOMEM : result;
}

/* Pages of r that become counted: private memory that is made writable for the first time. */
static s64 change_charge(struct mm_struct *mm, struct range r, const struct vma_change *c)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, r.start, r.end);
	u64 flags;
	s64 pages = 0;

	for (; vma && vma->vm_start < r.end; vma = vma->vm_next)
		if (!new_flags(c, vma, &flags) && flags & ~vma->vm_flags & VM_ACCOUNT)
			pages += (s64)(range_len(range_intersect(vma_range(vma), r)) >> PAGE_SHIFT);
	return pages;
}

static void commit_change(struct mm_plan *plan, u64 result)
{
	if (!plan->change.done)
		change_range(plan->mm, plan->change.range, &plan->change.change, &plan->res,
			     result == 0);
}

static const struct plan_ops change_ops = { commit_change, NULL };

/*
 * A vma that refuses does not fail the plan: Linux may have changed those before it, and where the
 * model is wrong about the vma (VM_LOCKED, which maps does not show) no page may be lost track of.
 */
static int plan_change(struct mm_struct *mm, struct range r, struct vma_change c,
		       struct mm_plan **out)
{
	struct mm_plan *plan = plan_open(mm, &change_ops, range_need(mm, r));

	if (!plan)
		return -ENOMEM;
	plan->change.range = r;
	plan->change.change = c;
	plan->expect = change_range(mm, r, &c, NULL, false);
	plan->charge = change_charge(mm, r, &c);
	if (advice_zaps(&c) || advice_frees(&c))
		plan->zaps = r;
	*out = plan;
	return 0;
}

int mm_plan_mprotect(struct mm_struct *mm, u64 addr, u64 len, int prot, struct mm_plan **plan)
{
	struct range r = range_of(addr, page_align_up(len));
	struct vma_change c = { CHANGE_PROT, 0 };

	mm->plan_refused_by_us = false;
	if ((prot & (PROT_GROWSDOWN | PROT_GROWSUP)) == (PROT_GROWSDOWN | PROT_GROWSUP))
		return -EINVAL;
	if (!page_aligned(addr))
		return -EINVAL;
	if (!len) {
		r.end = r.start;
	} else if (range_empty(r)) {
		return -ENOMEM;
	}
	if (len && prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM_ | PROT_GROWSDOWN |
			    PROT_GROWSUP))
		return -EINVAL;
	if (len && prot & PROT_GROWSDOWN) {
		struct vm_area_struct *vma = find_vma_intersection(mm, r.start, r.end);

		if (!vma)
			return -ENOMEM;
		if (!(vma->vm_flags & VM_GROWSDOWN))
			return -EINVAL;
		r.start = vma->vm_start;
	}
	if (len && prot & PROT_GROWSUP) /* x86 has no such mapping */
		return vma_lookup(mm, r.start) ? -EINVAL : -ENOMEM;
	c.arg |= prot & PROT_READ ? VM_READ : 0;
	c.arg |= prot & PROT_WRITE ? VM_WRITE : 0;
	c.arg |= prot & PROT_EXEC ? VM_EXEC : 0;
	return plan_change(mm, r, c, plan);
}

static bool madvise_behavior_valid(int advice)
{
	return (advice >= MADV_NORMAL && advice <= MADV_DONTNEED) ||
	       (advice >= MADV_FREE && advice <= MADV_COLLAPSE_) || advice == MADV_HWPOISON ||
	       advice == MADV_SOFT_OFFLINE_ || advice == MADV_GUARD_INSTALL_ ||
	       advice == MADV_GUARD_REMOVE_;
}

int mm_plan_madvise(struct mm_struct *mm, u64 addr, u64 len, int advice, struct mm_plan **plan)
{
	struct range r = range_of(addr, page_align_up(len));

	mm->plan_refused_by_us = false;
	if (!madvise_behavior_valid(advice) || !page_aligned(addr))
		return -EINVAL;
	if ((len && r.start == r.end) || r.end < r.start)
		return -EINVAL;
	return plan_change(mm, r, (struct vma_change){ CHANGE_ADVICE, advice }, plan);
}

/* ---- mlock, munlock, mlockall, munlockall, mseal ---- */

/* mlock takes any address: the pages that [addr, addr + len) touches. */
static int lock_range(u64 addr, u64 len, struct range *r)
{
	u64 start = page_align_down(addr);

	len = page_align_up(len + (addr - start));
	*r = range_of(start, len);
	return r->end < r->start ? -EINVAL : 0;
}

int mm_plan_mlock(struct mm_struct *mm, u64 addr, u64 len, unsigned int mlock2_flags,
		  struct mm_plan **plan)
{
	struct vma_change c = { CHANGE_LOCK, VM_LOCKED };
	struct range r;

	mm->plan_refused_by_us = false;
	if (mlock2_flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	if (mlock2_flags & MLOCK_ONFAULT)
		c.arg |= VM_LOCKONFAULT;
	if (lock_range(addr, len, &r))
		return -EINVAL;
	return plan_change(mm, r, c, plan);
}

int mm_plan_munlock(struct mm_struct *mm, u64 addr, u64 len, struct mm_plan **plan)
{
	struct range r;

	mm->plan_refused_by_us = false;
	if (lock_range(addr, len, &r))
		return -EINVAL;
	return plan_change(mm, r, (struct vma_change){ CHANGE_LOCK, 0 }, plan);
}

static void do_mlockall(struct mm_plan *plan)
{
	struct mm_struct *mm = plan->mm;
	struct vm_area_struct *vma;
	u64 flags;

	mm->def_flags = (mm->def_flags & ~VM_LOCKED_MASK) | plan->change.def_flags;
	if (range_empty(plan->change.range))
		return; /* MCL_FUTURE alone */
	for (vma = mm->mmap; vma; vma = vma->vm_next) {
		new_flags(&plan->change.change, vma, &flags);
		if (flags != vma->vm_flags)
			vma = vma_modify_flags(&plan->res, vma, vma->vm_start, vma->vm_end, flags);
	}
	if (!(plan->change.change.arg & VM_LOCKED))
		munlock_range(mm, plan->change.range);
}

static void commit_mlockall(struct mm_plan *plan, u64 result)
{
	if (!plan->change.done)
		do_mlockall(plan);
}

static const struct plan_ops mlockall_ops = { commit_mlockall, NULL };

/*
 * Linux changes all vmas first, and then fills them.  Were their pages taken in before, a vma that is still
 * whole would get an anon_vma where Linux gives one only to the part that it has cut off.
 */
void mm_plan_filling(struct mm_plan *plan)
{
	const struct vma_change *c = &plan->change.change;

	if (plan->ops == &change_ops && c->kind == CHANGE_LOCK && c->arg & VM_LOCKED)
		plan->ops->commit(plan, 0);
	else if (plan->ops == &mlockall_ops)
		plan->ops->commit(plan, 0);
	else
		return;
	plan->change.done = true;
}

int mm_plan_mlockall(struct mm_struct *mm, int flags, struct mm_plan **out)
{
	u64 lock = VM_LOCKED | (flags & MCL_ONFAULT ? VM_LOCKONFAULT : 0);
	struct mm_plan *plan;

	mm->plan_refused_by_us = false;
	if (!flags || flags == MCL_ONFAULT || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		return -EINVAL;
	plan = plan_open(mm, &mlockall_ops, (struct reserve_need){ 0 });
	if (!plan)
		return -ENOMEM;
	plan->change.def_flags = flags & MCL_FUTURE ? lock : 0;
	plan->change.change = (struct vma_change){ CHANGE_LOCK, lock };
	if (flags & MCL_CURRENT)
		plan->change.range = (struct range){ 0, TASK_SIZE };
	*out = plan;
	return 0;
}

int mm_plan_munlockall(struct mm_struct *mm, struct mm_plan **out)
{
	struct mm_plan *plan;

	mm->plan_refused_by_us = false;
	plan = plan_open(mm, &mlockall_ops, (struct reserve_need){ 0 });
	if (!plan)
		return -ENOMEM;
	plan->change.change = (struct vma_change){ CHANGE_LOCK, 0 };
	plan->change.range = (struct range){ 0, TASK_SIZE };
	*out = plan;
	return 0;
}

int mm_plan_mseal(struct mm_struct *mm, u64 addr, u64 len, struct mm_plan **plan)
{
	struct range r = range_of(addr, page_align_up(len));

	mm->plan_refused_by_us = false;
	if (!page_aligned(addr) || (len && r.start == r.end) || r.end < r.start)
		return -EINVAL;
	if (range_has_hole(mm, r))
		return -ENOMEM;
	return plan_change(mm, r, (struct vma_change){ CHANGE_SEAL, 0 }, plan);
}
