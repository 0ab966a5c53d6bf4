/* SPDX-License-Identifier: MIT */
/*
 * on_exit.c - the last writes of a dying thread.
 *
 * When a thread exits, the kernel itself writes to its memory: the tid that pthread_join() waits for
 * (set_tid_address, CLONE_CHILD_CLEARTID) and the futexes of its robust list.  By then the task is
 * PF_EXITING, for which the kernel does no userfaultfd handling: a page that is missing or
 * write-protected then (after a fork by another thread) would simply not be written, and the joiner
 * would sleep for ever.  So at PTRACE_EVENT_EXIT those pages are made present and writable; and a fork
 * of the same mm, which would protect them again, waits until the writes are over, as the dying thread
 * waits at its exit stop while a fork is under way, when no page can be changed.
 *
 * Linux: fs/userfaultfd.c handle_userfault ("the final child pid update"), kernel/fork.c mm_release,
 * kernel/futex/core.c exit_robust_list.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "mm/reclaim.h"
#include "stager.h"
#include "sup.h"

/* The kernel walks no further either. */
#define ROBUST_LIST_MAX 2048

/*
 * Make the page at addr present and writable, as a write by the program would.
 * Returns false when that is not possible now.
 */
static bool make_writable(struct space *space, u64 addr)
{
	struct pte_info pte;
	struct vm_fault vmf = { .address = page_align_down(addr), .flags = FAULT_FLAG_WRITE };

	mm_lookup_pte(space->mm, addr, &pte);
	if (pte.busy)
		return false;
	if (pte.state != PTE_NONE && pte.state != PTE_SWAP && !pte.wp)
		return true;
	if (pte.wp)
		vmf.flags |= FAULT_FLAG_WP;
	switch (mm_handle_fault(space->mm, &vmf)) {
	case FAULT_RETRY:
	case FAULT_PARKED:
	case FAULT_OOM:
		return false;
	case FAULT_RESOLVED:
		return vmf.handler != FH_DO_SWAP_PAGE_SOFT; /* that is on its way */
	case FAULT_SPURIOUS: /* not ours: the kernel's business */
	case FAULT_SIGBUS:
	case FAULT_GONE:
		break;
	}
	return true;
}

static bool prepare_robust_list(struct task *t)
{
	struct robust_list_head *addr, head;
	struct robust_list entry;
	bool ready = true;
	u64 at, mark = 0; /* an entry that was met before (Brent's cycle detection) */
	size_t len;
	int ret;

	if (syscall(SYS_get_robust_list, t->tid, &addr, &len) || !addr || len != sizeof(head))
		return true;
	ret = space_read_now(t, (u64)addr, &head, sizeof(head));
	if (ret)
		return ret != -EAGAIN;
	if (head.list_op_pending)
		ready &= make_writable(t->space, ((u64)head.list_op_pending & ~1UL) +
							 (u64)head.futex_offset);
	at = (u64)head.list.next & ~1UL;
	/* A list whose head is a copy of another's does not come back to it, and goes round: once is enough. */
	for (int i = 0; i < ROBUST_LIST_MAX && at && at != (u64)addr && at != mark; i++) {
		if (!(i & (i - 1)))
			mark = at;
		ready &= make_writable(t->space, at + (u64)head.futex_offset);
		ret = space_read_now(t, at, &entry, sizeof(entry));
		if (ret)
			return ret != -EAGAIN && ready;
		at = (u64)entry.next & ~1UL;
	}
	return ready;
}

/* Returns false when the pages cannot be changed now. */
static bool prepare(struct task *t)
{
	struct space *space = t->space;
	bool ready = true;

	if (!space || space->uffd < 0)
		return true;
	if (space->sup->ending) /* nobody is left to wait for it */
		return true;
	if (space->forking)
		return false;
	/* Nothing is evicted from this space until the thread is gone: it must not wait for that. */
	mm_reclaim(space->sup->world)->emergency++;
	if (t->clear_tid && mm_users(space->mm) > 1)
		ready = make_writable(space, t->clear_tid);
	ready &= prepare_robust_list(t);
	mm_reclaim(space->sup->world)->emergency--;
	return ready;
}

void exit_begin(struct task *t, int status)
{
	t->exiting = true;
	if (t->space) {
		t->space->nr_exiting++;
		stager_leave(t, status);
	}
	if (prepare(t)) {
		(void)tracee_resume(t->tid, 0);
		return;
	}
	list_add_tail(&t->wait_link, &t->space->exit_waiters);
	sup_need_tick(t->space->sup);
}

void exits_retry(struct space *space)
{
	struct task *t, *tmp;

	list_for_each_entry_safe(t, tmp, &space->exit_waiters, wait_link) {
		if (!prepare(t))
			continue;
		list_del(&t->wait_link);
		(void)tracee_resume(t->tid, 0);
	}
}

bool exit_pending(struct sup *sup, const struct space *space)
{
	struct task *t;

	if (!space->nr_exiting)
		return false;
	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (t->space == space && t->exiting && proc_task_has_mm(t->tid))
				return true;
	return false;
}
