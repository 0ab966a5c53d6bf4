/* SPDX-License-Identifier: MIT */
/*
 * sc_mm.c - what the calls on mappings do to the model: plan at the stop, commit or abort at the exit.
 *
 * Called by on_stop.c with the mm's call slot held.  The kernel always decides: a plan that could not be
 * made lets the call run all the same, and if the kernel then succeeds the model is read back from
 * /proc/PID/maps.
 */
#include <errno.h>
#include <limits.h>
#include <linux/mman.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "mm/mm_query.h"
#include "reclaim.h"
#include "sc.h"
#include "stager.h"
#include "sys/uapi.h"

#ifndef MAP_TYPE
#define MAP_TYPE 0x0f
#endif

static u64 arg(const struct task *t, int i)
{
	return sc_arg(&t->call.regs, i);
}

static bool is_error(long result)
{
	return (unsigned long)result >= (unsigned long)-4095L;
}

/* The kernel is always asked, whatever the model thinks; but for memory beyond the user's limit. */
static enum sc_verdict watch(struct task *t, int plan_error)
{
	if (plan_error) {
		t->call.plan = NULL;
	} else if (mm_plan_over_commit(t->call.plan)) {
		mm_plan_abort(t->call.plan);
		t->call.plan = NULL;
		t->call.result = -ENOMEM;
		return SC_REFUSE;
	}
	return SC_WATCH;
}

static enum sc_verdict watch_if_planned(struct task *t, int plan_error)
{
	if (plan_error)
		t->call.plan = NULL;
	return plan_error ? SC_PASS : SC_WATCH;
}

/* The kernel succeeded: the model follows. */
static void commit(struct task *t, u64 result)
{
	struct mm_plan *plan = t->call.plan;

	t->call.plan = NULL;
	if (plan) {
		mm_plan_commit(plan, result);
		return;
	}
	t->space->sup->stats.surprises++;
	t->space->resync = true;
}

/* The kernel refused.  `partial`: it may have done a part before it did. */
static void refused(struct task *t, bool partial)
{
	if (t->call.plan)
		mm_plan_abort(t->call.plan);
	t->call.plan = NULL;
	if (partial)
		t->space->resync = true;
}

static void commit_or_refused(struct task *t, long result, bool partial)
{
	if (is_error(result))
		refused(t, partial && result != -EINVAL && result > -512);
	else
		commit(t, (u64)result);
}

/* ---- mmap ---- */

/* The file behind descriptor `fd` of the caller; NULL when it is not open.  *vm_flags: what it adds. */
static struct vm_file *file_of_fd(struct sup *sup, pid_t tid, int fd, u64 *vm_flags)
{
	char path[48], link[16], name[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, fd);
	if (stat(path, &st))
		return NULL;
	snprintf(link, sizeof(link), "fd/%d", fd);
	proc_link(tid, link, name, sizeof(name));
	*vm_flags = space_file_vm_flags(st.st_dev, name);
	return vm_file_get(sup->world, (struct vm_file_id){ st.st_dev, st.st_ino }, name);
}

static bool mmap_is_managed(u64 flags)
{
	return (flags & MAP_TYPE) == MAP_PRIVATE && flags & MAP_ANONYMOUS &&
	       !(flags & MAP_HUGETLB);
}

bool sc_mmap_is_prompt(const sc_regs *regs)
{
	u64 flags = sc_arg(regs, 3);

	return mmap_is_managed(flags) && !(flags & (MAP_POPULATE | MAP_LOCKED));
}

/*
 * MAP_POPULATE is a wish, which the kernel would grant above the budget: where there is no room for all of it, the pages
 * come one by one when they are touched.  MAP_LOCKED is more than a wish.
 */
static void drop_populate(struct sup *sup, struct task *t)
{
	u64 flags = arg(t, 3);

	if (flags & MAP_POPULATE && !(flags & MAP_LOCKED) && mmap_is_managed(flags) &&
	    !reclaim_has_room(sup, arg(t, 1) >> PAGE_SHIFT))
		sc_change_arg(t, 3, flags & ~(u64)MAP_POPULATE);
}

enum sc_verdict sc_mmap_enter(struct sup *sup, struct task *t)
{
	u64 flags = arg(t, 3);
	struct mmap_args a = {
		.addr = arg(t, 0),
		.len = arg(t, 1),
		.prot = (int)arg(t, 2),
		.flags = (int)flags,
		.pgoff = arg(t, 5) >> PAGE_SHIFT,
		.unmanaged = !mmap_is_managed(flags),
	};
	int ret;

	if (!(flags & MAP_ANONYMOUS))
		a.file = file_of_fd(sup, t->tid, (int)arg(t, 4), &a.extra_vm_flags);
	if (a.file || flags & MAP_ANONYMOUS)
		ret = mm_plan_mmap(t->space->mm, &a, &t->call.plan);
	else
		ret = -EBADF;
	if (a.file)
		vm_file_put(a.file);
	place_mmap(sup, t);
	drop_populate(sup, t);
	return watch(t, ret);
}

void sc_mmap_leave(struct sup *sup, struct task *t, long result)
{
	struct space *space = t->space;
	u64 flags = arg(t, 3);
	bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);

	if (is_error(result)) {
		/* With MAP_FIXED the old mappings may be gone all the same. */
		refused(t, fixed && result == -ENOMEM);
		return;
	}
	commit(t, (u64)result);
	/*
	 * Pages may be there before we armed: the kernel filled them (POPULATE, LOCKED), or another
	 * thread knew the address and was quick.
	 */
	if (mmap_is_managed(flags))
		space_arm(space, range_of((u64)result, page_align_up(arg(t, 1))),
			  flags & (MAP_POPULATE | MAP_LOCKED) || space->lock_future ||
				  (fixed && mm_users(space->mm) > 1));
}

/* ---- munmap, mremap, brk ---- */

enum sc_verdict sc_munmap_enter(struct sup *sup, struct task *t)
{
	int ret = mm_plan_munmap(t->space->mm, arg(t, 0), arg(t, 1), &t->call.plan);

	/* Nobody else can see the moment in between, so the exit stop can be saved. */
	if (!ret && mm_users(t->space->mm) == 1 && check_level < CHECK_AUDIT &&
	    mm_plan_is_certain(t->call.plan)) {
		commit(t, 0);
		return SC_PASS;
	}
	return watch(t, ret);
}

void sc_munmap_leave(struct sup *sup, struct task *t, long result)
{
	commit_or_refused(t, result, true);
}

enum sc_verdict sc_mremap_enter(struct sup *sup, struct task *t)
{
	place_mremap(sup, t);
	return watch(t, mm_plan_mremap(t->space->mm, arg(t, 0), arg(t, 1), arg(t, 2),
				       (int)arg(t, 3), arg(t, 4), &t->call.plan));
}

struct range sc_mremap_grown(const struct task *t, u64 addr)
{
	u64 old_len = page_align_up(arg(t, 1)), new_len = page_align_up(arg(t, 2));

	return range_of(addr, new_len > old_len ? new_len - old_len : PAGE_SIZE);
}

/* The model takes one piece of a move over. */
static bool move_piece(struct mm_struct *mm, u64 from, u64 len, u64 new_len, int flags, u64 to)
{
	struct mm_plan *plan;

	if (mm_plan_mremap(mm, from, len, new_len, flags, to, &plan))
		return false;
	mm_plan_commit(plan, to);
	return true;
}

/*
 * The kernel has moved what is one vma for it and several for the model (with threads: audit.c, R22), or several vmas at
 * once, which it does since 6.17.  Each goes to its place at the same distance; the last one may grow.
 * Returns false when the model cannot follow.
 */
static bool follow_mremap(struct task *t, u64 to)
{
	struct mm_struct *mm = t->space->mm;
	u64 start = arg(t, 0), end = start + page_align_up(arg(t, 1)), new_end = start + page_align_up(arg(t, 2));
	int flags = to == start ? 0 : MREMAP_MAYMOVE | MREMAP_FIXED | ((int)arg(t, 3) & MREMAP_DONTUNMAP);
	struct vma_info v;

	if (new_end < end || end <= start)
		return false;
	for (u64 at = start, next; at < end && mm_find_vma(mm, at, &v) && v.start < end; at = next) {
		u64 piece = u64_max(at, v.start);
		u64 new_len;

		next = u64_min(v.end, end);
		new_len = (next == end ? new_end : next) - piece;
		if ((to != start || new_len > next - piece) &&
		    !move_piece(mm, piece, next - piece, new_len, flags, to + (piece - start)))
			return false;
	}
	return true;
}

void sc_mremap_leave(struct sup *sup, struct task *t, long result)
{
	struct vma_info v;

	if (is_error(result)) {
		refused(t, arg(t, 3) & MREMAP_FIXED && result > -512 && result != -EINVAL);
		return;
	}
	if (t->call.plan || !follow_mremap(t, (u64)result))
		commit(t, (u64)result);
	if (mm_find_vma(t->space->mm, (u64)result, &v) && v.start <= (u64)result &&
	    !(v.vm_flags & VM_UNMANAGED))
		space_arm(t->space, range_of((u64)result, page_align_up(arg(t, 2))),
			  v.vm_flags & VM_LOCKED || mm_users(t->space->mm) > 1);
}

enum sc_verdict sc_brk_enter(struct sup *sup, struct task *t)
{
	enum sc_verdict verdict;

	if (arg(t, 0) == 0)
		return SC_PASS; /* "where is it?" */
	t->call.scratch = mm_brk(t->space->mm);
	verdict = watch(t, mm_plan_brk(t->space->mm, arg(t, 0), &t->call.plan));
	if (verdict == SC_REFUSE)
		t->call.result = (long)t->call.scratch; /* brk has no errno */
	return verdict;
}

void sc_brk_leave(struct sup *sup, struct task *t, long result)
{
	u64 old = t->call.scratch, brk = (u64)result;

	if (!t->call.plan && brk == old)
		return;
	commit(t, brk);
	if (brk > old)
		space_arm(t->space, (struct range){ page_align_up(old), page_align_up(brk) },
			  t->space->lock_future);
}

/* ---- protection, advice, locking, sealing ---- */

enum sc_verdict sc_mprotect_enter(struct sup *sup, struct task *t)
{
	return watch(t, mm_plan_mprotect(t->space->mm, arg(t, 0), arg(t, 1), (int)arg(t, 2),
					 &t->call.plan));
}

void sc_mprotect_leave(struct sup *sup, struct task *t, long result)
{
	commit_or_refused(t, result, true);
}

/* Advice that changes nothing the model knows. */
static bool advice_is_harmless(int advice)
{
	switch (advice) {
	case MADV_WILLNEED:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case MADV_COLLAPSE:
	case MADV_GUARD_REMOVE:
		return true;
	default:
		return false;
	}
}

enum sc_verdict sc_madvise_enter(struct sup *sup, struct task *t)
{
	int advice = (int)arg(t, 2);

	if (advice_is_harmless(advice))
		return SC_PASS;
	return watch_if_planned(t, mm_plan_madvise(t->space->mm, arg(t, 0), arg(t, 1), advice,
						   &t->call.plan));
}

void sc_madvise_leave(struct sup *sup, struct task *t, long result)
{
	/* ENOMEM: there was a hole, and what is mapped has been advised. */
	if (result == 0 || result == -ENOMEM)
		commit(t, 0);
	else
		refused(t, result > -512 && result != -EINVAL);
}

/*
 * mlock and munlock fail before they changed anything (the limit), after a part of the range (a hole), or
 * when all is changed and a page cannot be brought in (PROT_NONE).  VmLck tells the first from the others.
 */
static void lock_leave(struct task *t, long result)
{
	struct space *space = t->space;
	struct mm_plan *plan = t->call.plan;
	struct mm_counters c;
	struct proc_status_mm st;

	mm_get_counters(space->mm, &c);
	if (!is_error(result) || !plan || proc_status_mm(space->pid, &st) ||
	    st.vm_lck >> (PAGE_SHIFT - 10) == c.locked_vm)
		commit_or_refused(t, result, true);
	else
		commit(t, result == mm_plan_expects(plan) ? (u64)result : 0);
}

enum sc_verdict sc_mlock_enter(struct sup *sup, struct task *t)
{
	return watch(t, mm_plan_mlock(t->space->mm, arg(t, 0), arg(t, 1), 0, &t->call.plan));
}

void sc_mlock_leave(struct sup *sup, struct task *t, long result)
{
	lock_leave(t, result);
}

enum sc_verdict sc_mlock2_enter(struct sup *sup, struct task *t)
{
	return watch(t, mm_plan_mlock(t->space->mm, arg(t, 0), arg(t, 1), (unsigned int)arg(t, 2),
				      &t->call.plan));
}

void sc_mlock2_leave(struct sup *sup, struct task *t, long result)
{
	lock_leave(t, result);
}

enum sc_verdict sc_munlock_enter(struct sup *sup, struct task *t)
{
	return watch(t, mm_plan_munlock(t->space->mm, arg(t, 0), arg(t, 1), &t->call.plan));
}

void sc_munlock_leave(struct sup *sup, struct task *t, long result)
{
	lock_leave(t, result);
}

enum sc_verdict sc_mlockall_enter(struct sup *sup, struct task *t)
{
	if (t->space->stager && arg(t, 0) & MCL_CURRENT)
		stager_close(t->space->stager);
	return watch(t, mm_plan_mlockall(t->space->mm, (int)arg(t, 0), &t->call.plan));
}

void sc_mlockall_leave(struct sup *sup, struct task *t, long result)
{
	commit_or_refused(t, result, false);
	if (t->space->stager && t->space->stager->closed)
		stager_open(t->space->stager);
	if (!is_error(result))
		t->space->lock_future = (arg(t, 0) & (MCL_FUTURE | MCL_ONFAULT)) == MCL_FUTURE;
}

enum sc_verdict sc_munlockall_enter(struct sup *sup, struct task *t)
{
	return watch(t, mm_plan_munlockall(t->space->mm, &t->call.plan));
}

void sc_munlockall_leave(struct sup *sup, struct task *t, long result)
{
	commit_or_refused(t, result, false);
	if (!is_error(result))
		t->space->lock_future = false;
}

enum sc_verdict sc_mseal_enter(struct sup *sup, struct task *t)
{
	return watch(t, mm_plan_mseal(t->space->mm, arg(t, 0), arg(t, 1), &t->call.plan));
}

void sc_mseal_leave(struct sup *sup, struct task *t, long result)
{
	commit_or_refused(t, result, false);
}

/* ---- effects that only the kernel knows ---- */

enum sc_verdict sc_shmat_enter(struct sup *sup, struct task *t)
{
	place_shmat(sup, t);
	return SC_WATCH;
}

void sc_shmat_leave(struct sup *sup, struct task *t, long result)
{
	sc_opaque_leave(sup, t, result);
}

enum sc_verdict sc_opaque_enter(struct sup *sup, struct task *t)
{
	return SC_WATCH;
}

void sc_opaque_leave(struct sup *sup, struct task *t, long result)
{
	if (!is_error(result))
		(void)space_relist(t->space);
}

/* Source: remap_file_pages: what was locked is locked anew.  Maps does not show it. */
void sc_remap_file_pages_leave(struct sup *sup, struct task *t, long result)
{
	u64 start = page_align_down(arg(t, 0));
	struct space *space = t->space;
	struct mm_plan *plan;
	struct vma_info v;
	bool locked;

	if (is_error(result))
		return;
	locked = mm_find_vma(space->mm, start, &v) && v.vm_flags & VM_LOCKED;
	space_resync(space);
	if (locked && !mm_plan_mlock(space->mm, start, page_align_down(arg(t, 1)), 0, &plan))
		mm_plan_commit(plan, 0);
}
