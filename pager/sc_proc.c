/* SPDX-License-Identifier: MIT */
/*
 * sc_proc.c - fork, vfork, clone, clone3: who gets which address space.
 *
 * A fork that copies the mm goes:
 *   1. seccomp stop: every writable page is write-protected on the machine and in the model, a plan for
 *      the child's mm is made, the call runs; faults of this mm wait (on_fault.c)
 *   2. UFFD_EVENT_FORK: the kernel has copied the page tables; the plan is committed; the child's
 *      userfaultfd is ours
 *   3. PTRACE_EVENT_FORK names the child; faults go on.
 * The child's own first stop may come before or after 3.  A failure ends at the exit stop instead of 3.
 *
 * A clone that shares the mm only takes a reference for the new task.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "audit.h"
#include "base/check.h"
#include "reclaim.h"
#include "sc.h"
#include "stager.h"
#include "sup.h"
#include "sys/uffd.h"

/* ---- fork ---- */

/* Runs to protect, joined across small gaps: one ioctl instead of many. */
struct protect_run {
	struct space *space;
	struct range run;
	u64 vma_end; /* a run never leaves its vma: kernels before 6.3 refuse that */
};

#define JOIN_GAP_BYTES (64 * PAGE_SIZE)

/* The kernel's vmas may be smaller than the model's; before 6.3 it refuses a range across two. */
static void protect_range(int uffd, struct range r)
{
	int ret = uffd_writeprotect(uffd, r, true, false);
	u64 middle = r.start + page_align_down(range_len(r) / 2);

	if (ret != -ENOENT || range_len(r) <= PAGE_SIZE)
		return; /* done, or the space is gone */
	protect_range(uffd, (struct range){ r.start, middle });
	protect_range(uffd, (struct range){ middle, r.end });
}

static void protect_flush(struct protect_run *p)
{
	if (!range_empty(p->run))
		protect_range(p->space->uffd, p->run);
	p->run = (struct range){ 0, 0 };
}

static int protect_one(struct mm_struct *mm, struct range run, void *arg)
{
	struct protect_run *p = arg;
	struct vma_info v;

	if (!range_empty(p->run) && run.start - p->run.end <= JOIN_GAP_BYTES &&
	    run.end <= p->vma_end) {
		p->run.end = run.end;
		return 0;
	}
	protect_flush(p);
	p->run = run;
	p->vma_end = mm_find_vma(mm, run.start, &v) ? v.end : run.end;
	return 0;
}

static void protect_all(struct space *space)
{
	struct range all = { 0, TASK_SIZE };
	struct protect_run p = { .space = space };

	if (space->uffd < 0)
		return;
	(void)mm_for_each_writable_run(space->mm, all, protect_one, &p);
	protect_flush(&p);
	mm_mark_wp(space->mm, all);
}

static enum sc_verdict fork_begin(struct task *t, u64 flags)
{
	struct space *space = t->space;

	if (mm_fork_over_commit(space->mm)) {
		t->call.result = -ENOMEM;
		return SC_REFUSE;
	}
	t->call.scratch = flags;
	space->forking = true;
	if (check_level >= CHECK_AUDIT)
		audit_before_fork(space);
	protect_all(space);
	if (mm_plan_fork(space->mm, &t->call.plan, &t->call.child))
		BUG("out of memory for the model of a fork of process %d", t->tgid);
	return SC_WATCH;
}

/* Publish the child; `uffd` as the kernel gave it, -1: there was nothing registered to copy. */
static void fork_commit(struct space *space, struct task *t, int uffd)
{
	struct mm_plan *plan = t->call.plan;

	t->call.plan = NULL;
	mm_plan_commit(plan, 0);
	t->call.child_space = space_create(space->sup, t->call.child, uffd, 0);
	space_check_vdso(space);
	t->call.child_space->vdso_site = space->vdso_site;
	t->call.child_space->newborn = true;
	t->call.child_space->args = space->args;
	memcpy(t->call.child_space->name, space->name, sizeof(space->name));
	reclaim_mm_created(t->call.child_space);
	t->call.child_space->lock_future = false; /* MCL_FUTURE is not inherited */
	t->call.child_space->may_lag = space->may_lag;
	t->call.child_space->had_threads = space->had_threads;
	t->call.child_space->forked_from = space->id;
}

void sc_fork_event(struct space *space, int uffd)
{
	struct task *t = space->caller;

	if (space->forking && t && t->call.plan) {
		fork_commit(space, t, uffd);
		return;
	}
	/* A program that changed clone3's arguments under our eyes copied its mm unseen. */
	close(uffd);
	fprintf(stderr, "upager: process %d forked behind upager's back; it is ended\n", space->pid);
	(void)kill(space->pid, SIGKILL);
}

/* The call failed, or its task died: as if it had not been. */
static void fork_undo(struct task *t)
{
	if (t->call.plan)
		mm_plan_abort(t->call.plan);
	t->call.plan = NULL;
	if (t->call.child_space)
		space_put(t->call.child_space);
	t->call.child_space = NULL;
}

/* ---- clone ---- */

/* What a call that makes a task asks for: struct clone_args of clone3, whichever call it was. */
struct clone_request {
	u64 flags;
	u64 child_tid;
};

static int read_request(struct task *t, struct clone_request *req)
{
	const sc_regs *regs = &t->call.regs;
	struct clone_args args;

	switch (t->call.row->nr) {
	case SYS_fork:
		*req = (struct clone_request){ 0 };
		return 0;
	case SYS_vfork:
		*req = (struct clone_request){ .flags = CLONE_VM | CLONE_VFORK };
		return 0;
	case SYS_clone:
		*req = (struct clone_request){ sc_arg(regs, 0), sc_arg(regs, 3) };
		return 0;
	default: /* clone3: the first 64 bytes are there in every version */
		if (space_read(t, sc_arg(regs, 0), &args, CLONE_ARGS_SIZE_VER0))
			return -EFAULT;
		*req = (struct clone_request){ args.flags, args.child_tid };
		return 0;
	}
}

bool sc_copies_mm(struct task *t)
{
	struct clone_request req;

	return !read_request(t, &req) && !(req.flags & CLONE_VM);
}

/*
 * CLONE_UNTRACED would let the child escape: it is taken out, in the register or in memory, and put back
 * when the call has run, also in a copy that was made of the memory.  `t`: the caller, or the child that has the copy.
 * Returns 0 or -EFAULT.
 */
static int write_flags(struct task *t, const struct call *call, u64 flags)
{
	sc_regs regs;

	if (call->row->nr == SYS_clone3)
		return space_write(t, sc_arg(&call->regs, 0), &flags, sizeof(flags));
	if (tracee_get_regs(t->tid, &regs))
		return 0; /* dying */
	sc_set_arg(&regs, 0, flags);
	(void)tracee_set_regs(t->tid, &regs);
	return 0;
}

static void restore_flags(struct task *t, const struct call *call)
{
	if (call->scratch & CLONE_UNTRACED)
		(void)write_flags(t, call, call->scratch); /* gone: nobody will look */
}

/* A task that shares the mm: the reference is taken now, lest the maker's death free it. */
static enum sc_verdict share_begin(struct task *t, u64 flags)
{
	t->call.scratch = flags;
	if (!(flags & CLONE_THREAD))
		t->call.child_space = space_get(t->space);
	else if (!(flags & CLONE_UNTRACED))
		return SC_PASS; /* it cannot outlive its maker's process */
	return SC_WATCH_FREE;
}

enum sc_verdict sc_clone_enter(struct sup *sup, struct task *t)
{
	struct clone_request req;

	t->call.result = -EFAULT;
	if (read_request(t, &req))
		return SC_SKIP;
	placement_making(sup, t);
	t->call.child_tid = req.flags & CLONE_CHILD_CLEARTID ? req.child_tid : 0;
	if (req.flags & CLONE_UNTRACED && write_flags(t, &t->call, req.flags & ~(u64)CLONE_UNTRACED))
		return SC_SKIP;
	return req.flags & CLONE_VM ? share_begin(t, req.flags) : fork_begin(t, req.flags);
}

void sc_clone_leave(struct sup *sup, struct task *t, long result)
{
	restore_flags(t, &t->call);
	fork_undo(t); /* success is told by the fork event */
}

enum sc_verdict sc_set_tid_address_enter(struct sup *sup, struct task *t)
{
	t->clear_tid = sc_arg(&t->call.regs, 0);
	return SC_PASS;
}

/* ---- the new task ---- */

void sc_first_run(struct task *t)
{
	struct tracee_stop death = { .event = TE_NONE };

	t->state = TASK_RUNNING;
	if (t->space)
		t->space->newborn = false;
	/* A fork's child has an address space of its own. */
	if (t->space && t->space->pid == t->tid &&
	    (stager_create(t, &death) || cow_separate(t, &death))) {
		on_stop(t->space->sup, death);
		return;
	}
	(void)tracee_resume(t->tid, 0);
}

static void let_child_go(struct task *child)
{
	if (!child->first_stop_seen)
		return; /* on_stop.c resumes it at its first stop, now that it has a space */
	sc_first_run(child);
}

bool sc_is_making_task(const struct task *t)
{
	return t->state == TASK_CALLING && t->call.row && t->call.row->flags & SC_FORK;
}

void sc_forked(struct sup *sup, struct task *t, pid_t child_tid)
{
	bool ended = !task_find(sup, child_tid) && !tracee_is_traced(child_tid); /* killed: reported first */
	struct task *child = task_get(sup, child_tid);
	struct space *space = t->space;
	bool watched = sc_is_making_task(t);
	bool dup = watched && !(t->call.scratch & CLONE_VM);
	bool thread = t->call.scratch & CLONE_THREAD;

	if (!space) { /* the child between fork and exec makes no tasks */
		if (ended)
			task_free(sup, child);
		(void)tracee_resume(t->tid, 0);
		return;
	}
	if (dup && t->call.plan)
		fork_commit(space, t, -1);
	child->tgid = thread ? t->tgid : child_tid;
	child->space = watched && t->call.child_space ? t->call.child_space : space_get(space);
	child->clear_tid = t->call.child_tid;
	child->seccomp = t->seccomp;
	t->call.child_space = NULL;
	if (dup) {
		child->space->pid = child_tid;
		sup->stats.forks++;
		if (check_level >= CHECK_AUDIT && !ended)
			audit_space(child->space, "fork");
	}
	if (!thread) {
		child->pidfd = pidfd_of(child_tid);
		sup->stats.processes++;
	}
	if (watched)
		restore_flags(t, &t->call);
	if (dup && !ended)
		restore_flags(child, &t->call);
	placement_inherit(sup, t, child);
	if (ended)
		on_stop(sup, (struct tracee_stop){ .event = TE_KILLED, .tid = child_tid, .status = SIGKILL });
	else
		let_child_go(child);
	t->state = TASK_RUNNING;
	(void)tracee_resume(t->tid, 0);
	orphans_settle(sup); /* who waited for this name, in case it was theirs */
	if (space->caller == t)
		space_call_done(space);
}

/* ---- makers that die ---- */

void sc_abandon(struct sup *sup, struct task *t)
{
	struct space *space = t->space;
	bool held_slot = space->caller == t;

	if (t->call.froze)
		placement_thaw(sup);
	t->call.froze = false;
	list_del(&t->wait_link);
	list_del(&t->vm_write_link);
	if (t->call.plan && space->forking && space->uffd < 0) {
		fork_commit(space, t, -1); /* no event tells whether there is a child */
	} else if (t->call.plan) {
		/* Killed inside the call: whether the kernel did it, only maps can tell. */
		mm_plan_abort(t->call.plan);
		t->call.plan = NULL;
		space->resync = true;
	}
	if (t->call.child_space)
		orphan_leave(sup, t);
	if (held_slot)
		space_call_done(space);
}

/* ---- wait ---- */

/*
 * A dead child is so by its pidfd and in /proc at once, but its parent's wait finds it only when we have taken its end.
 * Who was dead before this stop is taken by now: drain_stops() collects all there is before it answers one.
 */
enum sc_verdict sc_wait_enter(struct sup *sup, struct task *t)
{
	return SC_PASS;
}

/* ---- refusals ---- */

enum sc_verdict sc_refuse_eperm(struct sup *sup, struct task *t)
{
	t->call.result = -EPERM;
	return SC_REFUSE;
}

enum sc_verdict sc_refuse_einval(struct sup *sup, struct task *t)
{
	t->call.result = -EINVAL;
	return SC_REFUSE;
}

enum sc_verdict sc_refuse_eopnotsupp(struct sup *sup, struct task *t)
{
	t->call.result = -EOPNOTSUPP;
	return SC_REFUSE;
}
