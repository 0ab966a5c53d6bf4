/* SPDX-License-Identifier: MIT */
/*
 * fork.c - the child's address space.
 *
 * Planning builds the whole child, unpublished; commit links it into mmlist, abort takes it down.
 *
 *    parent pte --> frame           parent pte (wp) --> frame <-- (wp) child pte
 *                             ->                     mapcount 2
 *
 * Linux counterpart: kernel/fork.c dup_mmap, mm/memory.c copy_page_range.
 */
#include "mm/plan.h"

/* The settings of an mm that a child inherits; counters follow from its vmas.  Source: mm_init. */
static void dup_mm_fields(struct mm_struct *child, const struct mm_struct *mm)
{
	child->layout = mm->layout;
	mm_set_auxv(child, mm->saved_auxv, mm->nr_auxv);
	child->def_flags = mm->def_flags & VM_NOHUGEPAGE;
}

static int dup_vma(struct mm_reserve *res, struct mm_struct *child, struct vm_area_struct *vma)
{
	struct reserve_need need = {
		.vmas = 1,
		.avcs = anon_vma_chain_len(vma) + 1,
		.anon_vmas = 1,
	};
	bool wipe = vma->vm_flags & VM_WIPEONFORK;
	struct vm_area_struct *tmp;

	if (reserve_fill(res, need))
		return -ENOMEM;
	tmp = vma_new(res, vma_range(vma), vma->vm_flags & ~VM_LOCKED_MASK, vma->vm_pgoff,
		      vma->vm_file);
	tmp->vm_mm = child;
	if (!wipe)
		anon_vma_fork(res, tmp, vma);
	vma_link(res, child, tmp);
	if (wipe || vma->vm_flags & VM_UNMANAGED)
		return 0;
	return copy_page_range(child, vma->vm_mm, vma_range(vma));
}

static int dup_mmap(struct mm_struct *child, struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	struct mm_reserve res;
	int err = 0;

	reserve_init(&res, mm->world);
	for (vma = mm->mmap; vma && !err; vma = vma->vm_next) {
		if (!(vma->vm_flags & VM_DONTCOPY))
			err = dup_vma(&res, child, vma);
	}
	reserve_release(&res);
	return err;
}

static void commit_fork(struct mm_plan *plan, u64 result)
{
	struct mm_struct *child = plan->child;

	child->hiwater_rss = child->nr_anon_ptes;
	child->hiwater_vm = child->total_vm;
	mm_publish(child);
}

static void abort_fork(struct mm_plan *plan)
{
	mm_put(plan->child);
}

static const struct plan_ops fork_ops = { commit_fork, abort_fork };

int mm_plan_fork(struct mm_struct *mm, struct mm_plan **out, struct mm_struct **child)
{
	struct mm_plan *plan = plan_open(mm, &fork_ops, (struct reserve_need){ 0 });

	if (!plan)
		return -ENOMEM;
	plan->child = mm_alloc_unpublished(mm->world);
	if (!plan->child) {
		plan->ops = NULL;
		goto abort;
	}
	dup_mm_fields(plan->child, mm);
	if (dup_mmap(plan->child, mm))
		goto abort;
	*child = plan->child;
	*out = plan;
	return 0;
abort:
	mm->plan_refused_by_us = true;
	mm_plan_abort(plan);
	return -ENOMEM;
}
