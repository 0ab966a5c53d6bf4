/* SPDX-License-Identifier: MIT */
/*
 * on_fault.c - a userfaultfd speaks: decode, let the model answer, or park.
 *
 * Called by the loop, and again for parked faults when what they waited for is over; each time from the
 * top, because anything may have changed.  The answer itself is mm_handle_fault()'s.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "reclaim.h"
#include "sc.h"
#include "stager.h"
#include "sup.h"
#include "sys/uffd.h"

#define READ_BATCH 16

static void park(struct space *space, const struct parked_fault *f)
{
	struct parked_fault *copy = malloc(sizeof(*copy));

	BUG_ON(!copy);
	*copy = *f;
	list_add_tail(&copy->link, &space->parked);
}

/*
 * A thread that is in the kernel and has a signal, or work of an io_uring, does not sleep in its fault: it meets it again
 * and again, and each time we hear of it.
 */
static bool is_parked(const struct space *space, const struct parked_fault *f)
{
	const struct parked_fault *p;

	list_for_each_entry(p, &space->parked, link)
		if (p->tid == f->tid && p->address == f->address && p->flags == f->flags)
			return true;
	return false;
}

enum when {
	NOW,	/* the model can answer */
	LATER,	/* when the call that is in the kernel is over */
	RAW,	/* without the model, which will look at its end what came of it */
};

/* A tid that names none of our tasks of this space is of another pid namespace, and may be the caller's.  Pre: caller. */
static bool may_be_caller(const struct space *space, pid_t tid)
{
	const struct task *t = task_find(space->sup, tid);

	return t == space->caller || !t || t->space != space;
}

/* Can this fault be answered while a call of the same mm is in the kernel? */
static enum when when_to_answer(const struct space *space, const struct parked_fault *f)
{
	const struct task *caller = space->caller;
	struct vma_info v;

	if (!caller)
		return NOW;
	/* What is mapped now may or may not reach the child; only the forker itself cannot wait. */
	if (space->forking)
		return f->tid == caller->tid ? NOW : LATER;
	if (!caller->call.plan)
		return NOW;
	/*
	 * The call itself fills pages (of locked memory that it moved or grew), which the model has only
	 * after commit.  It must not wait for its own end.
	 */
	if (f->tid == caller->tid)
		mm_plan_filling(caller->call.plan);
	if (may_be_caller(space, f->tid)) {
		if (range_contains(mm_plan_zaps(caller->call.plan), f->address) ||
		    !mm_find_vma(space->mm, f->address, &v) || f->address < v.start)
			return f->flags & FAULT_FLAG_WP ? NOW : RAW;
		return NOW;
	}
	/* The kernel may have dropped the page already; the model will only with commit. */
	if (range_contains(mm_plan_zaps(caller->call.plan), f->address))
		return LATER;
	/* Below a stack it grows, unless the call has just put something there. */
	return mm_find_vma(space->mm, f->address, &v) && f->address >= v.start ? NOW : LATER;
}

/* Give it a zeroed page; the call's end takes it into the model (space_arm with adopt). */
static void answer_raw(struct space *space, const struct parked_fault *f)
{
	int ret = hw_linux.map_copy(space->mm, f->address, 1, NULL, 0, NULL);

	/*
	 * mremap fills what it grew of locked memory before it sends its event, and until that is read
	 * nothing can be resolved: neither can go first.  So the kernel fills that part alone; it is armed
	 * again, and taken over, at the call's end.
	 */
	if (ret == -EAGAIN)
		ret = hw_linux.disarm(space->mm, sc_mremap_grown(space->caller, f->address));
	if (ret)
		(void)hw_linux.wake(space->mm, range_of(f->address, PAGE_SIZE)); /* or gone */
	space->adopt = true;
}

static void count_handled(struct stats *stats, const struct vm_fault *vmf, u64 since_ns, u64 now)
{
	if (vmf->handler != FH_NONE)
		hist_add(&stats->latency[vmf->handler], now - since_ns);
	stats->stalled_ns += now - since_ns;
}

/* The bytes of a page cannot be had any more: that access gets SIGBUS. */
static void lost_page(struct space *space, const struct parked_fault *f)
{
	if (space_is_over(space))
		return; /* its bytes went with the process, and nobody waits for them */
	fprintf(stderr, "upager: a page of process %d at %llx cannot be read back from swap; the access gets SIGBUS\n",
		space->pid, (unsigned long long)f->address);
	space->sup->stats.lost++;
	if (uffd_poison(space->uffd, range_of(f->address, PAGE_SIZE)))
		(void)kill(f->tid ? f->tid : space->pid, SIGBUS); /* before 6.6 */
}

/*
 * May the fault exceed the budget?  The kernel writes a new task's tid into its memory before its first stop.  All pages
 * are its parent's still, and none of them can leave before the new address space has a stager.  So it is in a space
 * that has lost its stub (a thread is in execve, which ends all others) until it has another; and where a fork, or a call
 * of which the model has no plan, is in the kernel, for its own arguments: nothing leaves before its end (may_evict).
 */
static bool cannot_wait(const struct space *space, pid_t tid)
{
	const struct task *caller = space->caller;

	if (space->newborn || space->restage)
		return true;
	if (!caller || (caller->call.plan && !space->forking))
		return false;
	return may_be_caller(space, tid);
}

static enum fault_result answer(struct space *space, pid_t tid, struct vm_fault *vmf)
{
	struct reclaim *r = mm_reclaim(space->sup->world);
	u32 pass = cannot_wait(space, tid);
	enum fault_result result;

	r->emergency += pass;
	result = mm_handle_fault(space->mm, vmf);
	r->emergency -= pass;
	return result;
}

/* Answer one fault or park it. */
static void handle(struct space *space, const struct parked_fault *f)
{
	struct sup *sup = space->sup;
	struct vm_fault vmf = { .address = f->address, .flags = f->flags };

	switch (when_to_answer(space, f)) {
	case LATER:
		park(space, f);
		return;
	case RAW:
		answer_raw(space, f);
		return;
	case NOW:
		break;
	}
	switch (answer(space, f->tid, &vmf)) {
	case FAULT_RESOLVED:
		reclaim_answered(space, f->address);
		count_handled(&sup->stats, &vmf, f->since_ns, now_ns());
		if (vmf.handler == FH_DO_SWAP_PAGE || vmf.handler == FH_DO_SWAP_PAGE_SOFT)
			reclaim_prefetch(space, &vmf);
		break;
	case FAULT_SPURIOUS:
		sup->stats.spurious++;
		staging_touched(space, f->address);
		break;
	case FAULT_RETRY:
	case FAULT_PARKED:
	case FAULT_OOM:
		park(space, f);
		sup_need_tick(sup);
		break;
	case FAULT_GONE:
		break; /* its tasks' ends are about to be reported */
	case FAULT_SIGBUS:
		lost_page(space, f);
		break;
	}
	if (check_level >= CHECK_VERIFY)
		space_verify(space);
}

static void on_pagefault(struct space *space, const struct uffd_msg *msg, u64 now)
{
	struct stats *stats = &space->sup->stats;
	u64 flags = msg->arg.pagefault.flags;
	struct parked_fault f = {
		.address = page_align_down(msg->arg.pagefault.address),
		.tid = (pid_t)msg->arg.pagefault.feat.ptid,
		.since_ns = now,
	};
	struct task *t;

	if (flags & UFFD_PAGEFAULT_FLAG_WRITE)
		f.flags |= FAULT_FLAG_WRITE;
	if (flags & UFFD_PAGEFAULT_FLAG_WP) {
		f.flags |= FAULT_FLAG_WP | FAULT_FLAG_WRITE;
		stats->wp++;
	} else if (flags & UFFD_PAGEFAULT_FLAG_MINOR) {
		f.flags |= FAULT_FLAG_MINOR;
		stats->minor++;
	} else {
		stats->missing++;
	}
	t = task_find(space->sup, f.tid);
	if (!t && space->stager && f.tid == space->stager->vpid) {
		answer_raw(space, &f); /* what the stub finds missing was dropped behind our back */
		return;
	}
	if (t && t->space == space)
		placement_event(space->sup, t, now);
	if (!is_parked(space, &f))
		handle(space, &f);
}

static void on_message(struct space *space, const struct uffd_msg *msg, u64 now)
{
	switch (msg->event) {
	case UFFD_EVENT_PAGEFAULT:
		on_pagefault(space, msg, now);
		break;
	case UFFD_EVENT_FORK:
		sc_fork_event(space, (int)msg->arg.fork.ufd);
		break;
	case UFFD_EVENT_REMAP:
		break; /* mremap's exit stop tells the same; reading it lets the caller go on */
	default:
		BUG("userfaultfd event %d, which was not asked for", msg->event);
	}
}

int on_uffd(struct space *space)
{
	struct uffd_msg msgs[READ_BATCH];
	u64 now = now_ns();
	int n, nr = 0;

	do {
		n = uffd_read(space->uffd, msgs, READ_BATCH);
		if (n < 0) { /* a fork's userfaultfd found no descriptor */
			sup_fail(space->sup, "cannot take over a forked process: %s; raise the "
				 "limit on open files (ulimit -n)", strerror(-n));
			break;
		}
		for (int i = 0; i < n; i++)
			on_message(space, &msgs[i], now);
		nr += n;
	} while (n == READ_BATCH);
	return nr;
}

void faults_retry(struct space *space)
{
	struct list_head again;
	struct parked_fault *f;

	if (list_empty(&space->parked))
		return;
	/* Take the list over: handle() may park anew. */
	again = space->parked;
	again.next->prev = &again;
	again.prev->next = &again;
	list_init(&space->parked);
	while (!list_empty(&again)) {
		f = list_first_entry(&again, struct parked_fault, link);
		list_del(&f->link);
		handle(space, f);
		free(f);
	}
}

void faults_serve(void *arg)
{
	struct space *space = arg;

	(void)on_uffd(space);
	stager_serve(space);
	if (!list_empty(&space->parked)) {
		reclaim_pump(space->sup);
		faults_retry(space);
	}
}
