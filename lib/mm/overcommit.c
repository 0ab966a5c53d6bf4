/* SPDX-License-Identifier: MIT */
/*
 * overcommit.c - may the program have been promised that much memory?
 *
 * Every page of a vma with VM_ACCOUNT (private and writable, or once so) counts, in its mm and in the world;
 * vm_stat_account() keeps both.  A plan knows what its commit would add (plan->charge), and the
 * pager asks here before the kernel is asked.
 * Linux counterpart: mm/util.c __vm_enough_memory.  Differences: the limit is the user's, so none of it is
 * held back for root (admin_reserve, user_reserve); a call is charged as a whole before it begins, so one that
 * is refused has changed nothing; what has already happened (exec, growth of a stack, maps read back) is
 * counted but not refused; shared anonymous memory, which Linux charges to its file, is not counted.
 */
#include "mm/overcommit.h"

#include "mm/plan.h"

bool overcommit_ignores_noreserve(const struct mm_struct *mm)
{
	return mm->world->config.overcommit == MM_OVERCOMMIT_NEVER;
}

u64 accounted_pages(struct mm_struct *mm, struct range r)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, r.start, r.end);
	u64 pages = 0;

	for (; vma && vma->vm_start < r.end; vma = vma->vm_next)
		if (vma->vm_flags & VM_ACCOUNT)
			pages += range_len(range_intersect(vma_range(vma), r)) >> PAGE_SHIFT;
	return pages;
}

/* Source: __vm_enough_memory. */
static bool vm_enough_memory(const struct mm_world *world, s64 pages)
{
	u64 limit = world->config.commit_limit;

	if (pages <= 0)
		return true;
	switch (world->config.overcommit) {
	case MM_OVERCOMMIT_KERNEL:
	case MM_OVERCOMMIT_ALWAYS:
		return true;
	case MM_OVERCOMMIT_GUESS:
		return (u64)pages <= limit;
	case MM_OVERCOMMIT_NEVER:
		return world->vm_committed_as <= limit &&
		       (u64)pages <= limit - world->vm_committed_as;
	}
	BUG("overcommit mode %d", world->config.overcommit);
}

bool mm_plan_over_commit(const struct mm_plan *plan)
{
	return !vm_enough_memory(plan->mm->world, plan->charge);
}

/* Source: dup_mmap, which asks vma by vma: in mode 0 each alone, in mode 2 on top of those before. */
bool mm_fork_over_commit(const struct mm_struct *mm)
{
	const struct vm_area_struct *vma;
	u64 all = 0, largest = 0;

	for (vma = mm->mmap; vma; vma = vma->vm_next) {
		if (!(vma->vm_flags & VM_ACCOUNT) || vma->vm_flags & VM_DONTCOPY)
			continue;
		all += vma_pages(vma);
		largest = u64_max(largest, vma_pages(vma));
	}
	return !vm_enough_memory(mm->world, (s64)(mm->world->config.overcommit == MM_OVERCOMMIT_GUESS ?
							  largest : all));
}
