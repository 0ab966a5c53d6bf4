/* SPDX-License-Identifier: MIT */
/*
 * sc_futex.c - futex operations that write to the futex's word: those of priority inheritance, and FUTEX_WAKE_OP.
 *
 * The kernel writes with page faults off, and when that fails asks for the page by fixup_user_fault() in a way that may
 * not wait (fault_in_user_writeable, kernel/futex/core.c).  A userfaultfd can do nothing then: EFAULT, for a page that is
 * missing, evicted, or write-protected.  So the page is brought before the call, and when it is gone again by the time
 * that the kernel wants it, the call is made once more: with EFAULT it has done nothing.
 *
 * Called by on_stop.c.  The call may sleep as long as it likes: it does not hold the mm's call slot.
 */
#include <errno.h>
#include <linux/futex.h>

#include "mm/mm_query.h"
#include "reclaim.h"
#include "sc.h"
#include "sys/tracee.h"

/* A page that another fault brought meanwhile is worth so many calls; then the EFAULT is about something else. */
#define FUTEX_AGAIN 16

/* The word that the kernel writes to. */
static u64 written_word(const struct task *t)
{
	switch (sc_arg(&t->call.regs, 1) & (u64)FUTEX_CMD_MASK) {
	case FUTEX_WAKE_OP:
	case FUTEX_WAIT_REQUEUE_PI:
	case FUTEX_CMP_REQUEUE_PI:
		return sc_arg(&t->call.regs, 4);
	default:
		return sc_arg(&t->call.regs, 0);
	}
}

/* Is it memory of ours that the program may write to? */
static bool is_ours(struct space *space, u64 addr)
{
	struct vma_info v;

	return mm_find_vma(space->mm, addr, &v) && v.start <= addr && v.vm_flags & VM_WRITE &&
	       !(v.vm_flags & VM_UNMANAGED);
}

static void bring(struct task *t, u64 addr)
{
	bool wait = true;

	if (is_ours(t->space, addr))
		(void)!sc_bring_writable(t->space, page_align_down(addr), &wait);
}

enum sc_verdict sc_futex_enter(struct sup *sup, struct task *t)
{
	u64 addr = written_word(t);

	if (!is_ours(t->space, addr))
		return SC_PASS;
	bring(t, addr);
	return SC_WATCH_FREE;
}

void sc_futex_leave(struct sup *sup, struct task *t, long result)
{
	u64 addr = written_word(t);

	if (result != -EFAULT || !is_ours(t->space, addr)) {
		t->futex_again = 0;
		return;
	}
	if (sc_is_writable(t->space, addr) && ++t->futex_again > FUTEX_AGAIN) {
		t->futex_again = 0;
		return;
	}
	bring(t, addr);
	sc_again(&t->call.regs, sc_site(&t->call.regs));
	(void)tracee_set_regs(t->tid, &t->call.regs);
}
