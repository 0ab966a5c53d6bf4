/* SPDX-License-Identifier: MIT */
/*
 * plan.h - a trapped call between "may it fail" and "it happened".
 *
 * Who calls it: the files that implement mm_plan_*().  A plan copies the call's arguments, fills a reserve
 * with every object that its commit may take, and does nothing else; so an abort has only to give the
 * reserve back.  Linux has no counterpart: there the same function decides and acts.
 */
#ifndef UPAGER_PLAN_H
#define UPAGER_PLAN_H

#include "mm/mm.h"

struct mm_plan;

struct plan_ops {
	/* Do it.  Takes memory only from plan->res. */
	void (*commit)(struct mm_plan *plan, u64 result);
	/* Undo what planning made beyond the reserve; NULL: nothing. */
	void (*abort)(struct mm_plan *plan);
};

/* What mprotect, madvise, mlock … do to each vma of a range (mprotect.c). */
struct vma_change {
	enum { CHANGE_PROT, CHANGE_ADVICE, CHANGE_LOCK, CHANGE_SEAL } kind;
	u64 arg; /* VM_ access bits | MADV_* | VM_LOCKED_MASK bits | unused */
};

/* Owned by the caller of mm_plan_*(), until commit or abort frees it. */
struct mm_plan {
	struct mm_struct *mm;
	const struct plan_ops *ops;
	struct mm_reserve res;
	struct range zaps;
	bool certain;
	s64 charge; /* pages that commit will promise; perhaps less than nothing */
	int expect; /* what Linux will answer, as far as the model knows: 0 or a negative errno */
	union {
		struct {
			struct range fixed; /* what MAP_FIXED replaces; empty: none */
			u64 len, vm_flags, pgoff;
			struct vm_file *file; /* a reference */
		} mmap;
		struct range munmap;
		u64 brk; /* asked for */
		struct {
			u64 old, old_len, new_len, new_addr;
			int flags;
			bool grown; /* a fault has shown that it grew in place */
		} mremap;
		struct {
			struct range range;
			struct vma_change change;
			u64 def_flags; /* mlockall */
			bool done;     /* by mm_plan_filling() */
		} change;
		struct {
			struct range *range;
			u32 nr;
		} pin;
		struct mm_struct *child;
	};
};

/*
 * Open a plan with `need` in its reserve.  Return: the plan, or NULL for lack of memory, in which case
 * mm_plan_is_ours() is true.  Pre: none is open for the mm.
 */
struct mm_plan *plan_open(struct mm_struct *mm, const struct plan_ops *ops, struct reserve_need need);

/*
 * A fault came at addr, where no vma is.  If the open plan (may be NULL) is an mremap that would grow in
 * place to there, then it did, and the kernel fills locked memory inside the call: grow the vma now.
 */
bool mremap_grew_in_place(struct mm_plan *plan, u64 addr);

/*
 * The part of r around addr that the open plan, if any, will not drop; addr's page alone if it drops that.  What is
 * done to pages beside the one that faulted must end there: the kernel may have dropped them already, or mapped
 * something else, and commit would make the model forget what came since.  Pre: addr in r.
 */
struct range plan_clear_range(const struct mm_struct *mm, struct range r, u64 addr);

static inline struct reserve_need need_add(struct reserve_need a, struct reserve_need b)
{
	return (struct reserve_need){ a.vmas + b.vmas, a.avcs + b.avcs, a.anon_vmas + b.anon_vmas,
				      a.tables + b.tables };
}

#endif /* UPAGER_PLAN_H */
