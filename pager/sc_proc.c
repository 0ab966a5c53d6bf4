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
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "sc.h"
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

	t->call.scratch = flags;
	space->forking = true;
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
	t->call.child_space->lock_future = false; /* MCL_FUTURE is not inherited */
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

enum sc_verdict sc_fork_enter(struct sup *sup, struct task *t)
{
	return fork_begin(t, 0);
}

void sc_fork_leave(struct sup *sup, struct task *t, long result)
{
	fork_undo(t); /* success is told by the fork event */
}

/* ---- clone ---- */

/* A task that shares the mm: the reference is taken now, lest the maker's death free it. */
static enum sc_verdict share_begin(struct task *t, u64 flags)
{
	t->call.scratch = flags;
	if (flags & CLONE_THREAD)
		return SC_PASS;
	t->call.child_space = space_get(t->space);
	return SC_WATCH_FREE;
}

static enum sc_verdict clone_begin(struct task *t, u64 flags)
{
	return flags & CLONE_VM ? share_begin(t, flags) : fork_begin(t, flags);
}

enum sc_verdict sc_clone_enter(struct sup *sup, struct task *t)
{
	sc_regs regs = t->call.regs;
	u64 flags = sc_arg(&regs, 0);

	if (t->call.row->nr == SYS_vfork)
		flags = CLONE_VM | CLONE_VFORK;
	else if (flags & CLONE_UNTRACED) {
		sc_set_arg(&regs, 0, flags & ~(u64)CLONE_UNTRACED);
		(void)tracee_set_regs(t->tid, &regs);
		t->call.regs_changed = true;
		(void)clone_begin(t, flags);
		return flags & CLONE_VM ? SC_WATCH_FREE : SC_WATCH;
	}
	return clone_begin(t, flags);
}

void sc_clone_leave(struct sup *sup, struct task *t, long result)
{
	fork_undo(t);
}

/* clone3 keeps its flags in memory: take CLONE_UNTRACED out there, and put it back when it has run. */
static int clone3_write_flags(struct task *t, u64 flags)
{
	return space_write(t, sc_arg(&t->call.regs, 0), &flags, sizeof(flags));
}

enum sc_verdict sc_clone3_enter(struct sup *sup, struct task *t)
{
	u64 flags;

	if (space_read(t, sc_arg(&t->call.regs, 0), &flags, sizeof(flags)))
		return SC_PASS; /* EFAULT */
	if (flags & CLONE_UNTRACED) {
		t->call.result = -EFAULT;
		if (clone3_write_flags(t, flags & ~(u64)CLONE_UNTRACED))
			return SC_SKIP;
		(void)clone_begin(t, flags);
		return flags & CLONE_VM ? SC_WATCH_FREE : SC_WATCH;
	}
	return clone_begin(t, flags);
}

static void clone_restore_args(struct task *t)
{
	sc_regs regs;

	if (!(t->call.scratch & CLONE_UNTRACED))
		return;
	if (t->call.row->nr == SYS_clone3) {
		(void)clone3_write_flags(t, t->call.scratch); /* gone: nobody will look */
	} else if (!tracee_get_regs(t->tid, &regs)) {
		sc_set_arg(&regs, 0, t->call.scratch);
		(void)tracee_set_regs(t->tid, &regs);
	}
}

void sc_clone3_leave(struct sup *sup, struct task *t, long result)
{
	clone_restore_args(t);
	fork_undo(t);
}

/* ---- the new task ---- */

static void let_child_go(struct task *child)
{
	if (!child->first_stop_seen)
		return; /* on_stop.c resumes it at its first stop, now that it has a space */
	child->state = TASK_RUNNING;
	(void)tracee_resume(child->tid, 0);
}

static bool is_making_task(const struct task *t)
{
	return t->state == TASK_CALLING && t->call.row &&
	       (t->call.row->leave == sc_fork_leave || t->call.row->leave == sc_clone_leave ||
		t->call.row->leave == sc_clone3_leave);
}

void sc_forked(struct sup *sup, struct task *t, pid_t child_tid)
{
	struct task *child = task_get(sup, child_tid);
	struct space *space = t->space;
	bool watched = is_making_task(t);
	bool dup = watched && !(t->call.scratch & CLONE_VM);
	bool thread = !watched || t->call.scratch & CLONE_THREAD;

	if (!space) { /* the child between fork and exec makes no tasks */
		(void)tracee_resume(t->tid, 0);
		return;
	}
	if (dup && t->call.plan)
		fork_commit(space, t, -1);
	child->tgid = thread ? t->tgid : child_tid;
	child->space = watched && t->call.child_space ? t->call.child_space : space_get(space);
	t->call.child_space = NULL;
	if (dup) {
		child->space->pid = child_tid;
		sup->stats.forks++;
		if (check_level >= CHECK_AUDIT)
			audit_space(child->space, "fork");
	}
	if (!thread) {
		child->pidfd = pidfd_of(child_tid);
		sup->stats.processes++;
	}
	if (watched)
		clone_restore_args(t);
	placement_inherit(sup, t, child);
	let_child_go(child);
	t->state = TASK_RUNNING;
	(void)tracee_resume(t->tid, 0);
	if (space->caller == t)
		space_call_done(space);
}

/* ---- makers that die ---- */

struct orphan {
	struct list_head link; /* sup.orphans */
	struct space *space;   /* a reference, for the task that was made */
};

static bool parent_will_name(struct sup *sup, pid_t tid)
{
	pid_t ppid = proc_ppid(tid);
	struct task *t;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (t->tgid == ppid && is_making_task(t))
				return true;
	return false;
}

void sc_adopt_orphan(struct sup *sup, struct task *t)
{
	struct orphan *o;

	if (list_empty(&sup->orphans) || parent_will_name(sup, t->tid))
		return;
	o = list_first_entry(&sup->orphans, struct orphan, link);
	list_del(&o->link);
	t->tgid = t->tid;
	t->pidfd = pidfd_of(t->tid);
	t->space = o->space;
	if (!o->space->pid)
		o->space->pid = t->tid;
	free(o);
	sup->stats.processes++;
	let_child_go(t);
}

static void adopt_newborns(struct sup *sup)
{
	struct task *t, *tmp;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry_safe(t, tmp, &sup->tasks[i], link)
			if (t->state == TASK_NEWBORN && t->first_stop_seen && !t->space)
				sc_adopt_orphan(sup, t);
}

void sc_drop_orphans(struct sup *sup)
{
	struct orphan *o, *tmp;

	list_for_each_entry_safe(o, tmp, &sup->orphans, link) {
		list_del(&o->link);
		space_put(o->space);
		free(o);
	}
}

void sc_abandon(struct sup *sup, struct task *t)
{
	struct space *space = t->space;
	bool held_slot = space->caller == t;

	list_del(&t->wait_link);
	if (t->call.plan) {
		/* Killed inside the call: whether the kernel did it, only maps can tell. */
		mm_plan_abort(t->call.plan);
		t->call.plan = NULL;
		space->resync = true;
	}
	if (t->call.child_space) {
		struct orphan *o = malloc(sizeof(*o));

		BUG_ON(!o);
		o->space = t->call.child_space;
		t->call.child_space = NULL;
		list_add_tail(&o->link, &sup->orphans);
		t->state = TASK_RUNNING; /* no longer a maker */
		adopt_newborns(sup);
	}
	if (held_slot)
		space_call_done(space);
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
