/* SPDX-License-Identifier: MIT */
/*
 * cow.c - `--cow eager`: at a fork the child's pages are copied at once, instead of at the first write.
 *
 * Called when a fork's child is about to run for the first time (sc_proc.c).  Nobody else uses its address space,
 * and it stands still; so it can be made to call madvise(MADV_POPULATE_WRITE), by which the kernel copies without
 * a write.  The parent runs meanwhile.  What it now maps alone needs no protection any more.
 *
 *      parent  A B C (wp)  --.                    parent  A  B  C
 *                             >-- frames   -->
 *      child   A B C (wp)  --'                    child   A' B' C'
 *
 * On its way in and out of that call the kernel writes to the child's memory (rseq), which can be a fault for us:
 * it is served while we wait (remote.idle), or both would wait for ever.  All calls are injected under our secret.
 * Linux counterpart: copy_present_page, which copies at fork what is pinned.
 */
#include <errno.h>
#include <linux/mman.h>
#include <sys/syscall.h>

#include "mm/reclaim.h"
#include "sc.h"
#include "sup.h"
#include "sys/remote.h"

/* The kernel copies the pages of `due`, which the model has separated; those that it does not, at the first write. */
static int copy_pages(struct space *child, struct remote *r, struct range due)
{
	long result;

	if (range_empty(due))
		return 0;
	child->sup->stats.separated += range_len(due) >> PAGE_SHIFT;
	return remote_syscall(r, &result, SYS_madvise, due.start, range_len(due), MADV_POPULATE_WRITE, 0, 0,
			      child->sup->secret);
}

/* What cannot be had, for lack of room above all, stays shared until the first write. */
static void separate(struct space *child, struct remote *r)
{
	struct range run = { 0, 0 }, due = { 0, 0 }; /* runs next to each other: one call */

	while (!range_empty(run = mm_cow_next_shared(child->mm, run.end))) {
		if (mm_cow_separate(child->mm, run))
			continue;
		if (run.start != due.end) {
			if (copy_pages(child, r, due))
				return;
			due.start = run.start;
		}
		due.end = run.end;
	}
	(void)!copy_pages(child, r, due); /* dead: remote_end() says so again */
}

/* Not while a call is in the kernel that changes its memory: its next fork wants all of it protected. */
static void unprotect_parent(struct space *parent)
{
	if (parent && parent->uffd >= 0 && !(parent->caller && parent->caller->call.plan))
		mm_cow_reuse(parent->mm);
}

int cow_separate(struct task *t, struct tracee_stop *death)
{
	struct space *child = t->space;
	struct sup *sup = child->sup;
	u32 parent = child->forked_from;
	struct remote r;
	int ret;

	child->forked_from = 0;
	if (!parent || sup->opt->cow != COW_EAGER || child->uffd < 0 || !space_may_call(child, t))
		return 0;
	if (remote_begin(&r, t->tid, child->vdso_site, faults_serve, child))
		return 0; /* dying: its end is reported by the next wait */
	mm_reclaim(sup->world)->emergency++; /* we wait for it: its own faults get their pages */
	separate(child, &r);
	ret = remote_end(&r);
	mm_reclaim(sup->world)->emergency--;
	*death = r.death;
	unprotect_parent(space_by_id(sup, parent));
	return ret;
}
