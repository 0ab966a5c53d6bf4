/* SPDX-License-Identifier: MIT */
/* plan.c - see plan.h: open, commit, abort. */
#include "mm/plan.h"

struct mm_plan *plan_open(struct mm_struct *mm, const struct plan_ops *ops, struct reserve_need need)
{
	struct mm_plan *plan;

	BUG_ON(mm->plan);
	plan = slab_alloc(&mm->world->plan_slab);
	if (!plan) {
		mm->plan_refused_by_us = true;
		return NULL;
	}
	plan->mm = mm;
	plan->ops = ops;
	reserve_init(&plan->res, mm->world);
	mm->plan = plan;
	if (reserve_fill(&plan->res, need)) {
		mm->plan_refused_by_us = true;
		plan->ops = NULL;
		mm_plan_abort(plan);
		return NULL;
	}
	mm->plan_refused_by_us = false;
	return plan;
}

static void plan_close(struct mm_plan *plan)
{
	struct mm_struct *mm = plan->mm;

	BUG_ON(mm->plan != plan);
	reserve_release(&plan->res);
	mm->plan = NULL;
	slab_free(&mm->world->plan_slab, plan);
}

void mm_plan_commit(struct mm_plan *plan, u64 result)
{
	plan->ops->commit(plan, result);
	plan->mm->world->committed_max =
		u64_max(plan->mm->world->committed_max, plan->mm->world->vm_committed_as);
	plan_close(plan);
}

void mm_plan_abort(struct mm_plan *plan)
{
	if (plan->ops && plan->ops->abort)
		plan->ops->abort(plan);
	plan_close(plan);
}

struct range mm_plan_zaps(const struct mm_plan *plan)
{
	return plan->zaps;
}

struct range plan_clear_range(const struct mm_struct *mm, struct range r, u64 addr)
{
	struct range zaps = mm->plan ? mm->plan->zaps : (struct range){ 0, 0 };

	if (range_empty(zaps))
		return r;
	if (range_contains(zaps, addr))
		return range_of(page_align_down(addr), PAGE_SIZE);
	if (addr < zaps.start)
		r.end = u64_min(r.end, zaps.start);
	else
		r.start = u64_max(r.start, zaps.end);
	return r;
}

bool mm_plan_is_certain(const struct mm_plan *plan)
{
	return plan->certain;
}

int mm_plan_expects(const struct mm_plan *plan)
{
	return plan->expect;
}

bool mm_plan_is_ours(const struct mm_struct *mm)
{
	return mm->plan_refused_by_us;
}
