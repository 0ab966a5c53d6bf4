/* SPDX-License-Identifier: MIT */
/*
 * on_exit.c - the last writes of a dying thread.
 *
 * When a thread exits, the kernel itself writes to its memory: the tid that pthread_join() waits for
 * (set_tid_address, CLONE_CHILD_CLEARTID) and the futexes of its robust list.  By then the task is
 * PF_EXITING, for which the kernel does no userfaultfd handling: a page that is missing or
 * write-protected then (after a fork by another thread) would simply not be written, and the joiner
 * would sleep for ever.  So at PTRACE_EVENT_EXIT those pages are made present and writable, and a fork
 * of the same mm, which would protect them again, waits until the writes are over.
 *
 * Linux: fs/userfaultfd.c handle_userfault ("the final child pid update"), kernel/fork.c mm_release,
 * kernel/futex/core.c exit_robust_list.
 */
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "sup.h"

/* The kernel walks no further either. */
#define ROBUST_LIST_MAX 2048

/* Make the page at addr present and writable, as a write by the program would. */
static void make_writable(struct space *space, u64 addr)
{
	struct pte_info pte;
	struct vm_fault vmf = { .address = page_align_down(addr), .flags = FAULT_FLAG_WRITE };

	mm_lookup_pte(space->mm, addr, &pte);
	if (pte.state != PTE_NONE && !pte.wp)
		return;
	if (pte.wp)
		vmf.flags |= FAULT_FLAG_WP;
	(void)mm_handle_fault(space->mm, &vmf); /* not ours, or gone: the kernel's business */
}

static void prepare_robust_list(struct task *t)
{
	struct robust_list_head *addr, head;
	struct robust_list entry;
	size_t len;
	u64 at;

	if (syscall(SYS_get_robust_list, t->tid, &addr, &len) || !addr || len != sizeof(head) ||
	    space_read(t, (u64)addr, &head, sizeof(head)))
		return;
	if (head.list_op_pending)
		make_writable(t->space, ((u64)head.list_op_pending & ~1UL) + (u64)head.futex_offset);
	at = (u64)head.list.next & ~1UL;
	for (int i = 0; i < ROBUST_LIST_MAX && at && at != (u64)addr; i++) {
		make_writable(t->space, at + (u64)head.futex_offset);
		if (space_read(t, at, &entry, sizeof(entry)))
			return;
		at = (u64)entry.next & ~1UL;
	}
}

void exit_prepare(struct task *t)
{
	struct space *space = t->space;

	t->exiting = true;
	if (!space || space->uffd < 0)
		return;
	if (t->clear_tid && mm_users(space->mm) > 1)
		make_writable(space, t->clear_tid);
	prepare_robust_list(t);
}

bool exit_pending(struct sup *sup, const struct space *space)
{
	struct task *t;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (t->space == space && t->exiting && proc_task_alive(t->tid))
				return true;
	return false;
}
