/* SPDX-License-Identifier: MIT */
/*
 * sc_restart.c - a signal that the program ignores does not end its calls.
 *
 * Natively such a signal is not even queued (sig_ignored, kernel/signal.c).  For a process that is traced it is, which
 * ends every sleep; most calls begin again by themselves when no handler runs, but some say EINTR.  Those are given the
 * result of the others, -ERESTARTNOHAND: with no handler the kernel makes the call again, with one it is EINTR after
 * all.  A call with a timeout is left alone, for the time that has passed is not known.
 *
 * Called by on_stop.c at the signal's stop, where the task is on its way out of the call.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>

#include "sc.h"
#include "sys/procmaps.h"
#include "sys/tracee.h"

/* It says EINTR for any signal, has done nothing then, and would have waited for ever.  Source: signal(7). */
static bool waits_for_ever(const sc_regs *regs)
{
	switch (sc_nr(regs)) {
	case SYS_semop:
		return true;
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
		return (int)sc_arg(regs, 3) < 0;
	case SYS_epoll_pwait2:
	case SYS_semtimedop:
		return !sc_arg(regs, 3);
	case SYS_rt_sigtimedwait:
		return !sc_arg(regs, 2);
	case SYS_io_getevents:
		return !sc_arg(regs, 4);
	case SYS_io_uring_enter:
		return !(sc_arg(regs, 3) & IORING_ENTER_EXT_ARG);
	}
	return false;
}

/* Was it blocked before the call, which let it through?  Natively it was queued, then. */
static bool was_blocked(pid_t tid, int sig)
{
	u64 mask;

	return tracee_get_sigmask(tid, &mask) || mask & 1ULL << (sig - 1);
}

void sc_restart_if_ignored(struct task *t, int sig)
{
	sc_regs regs;

	/* SIGCONT is said to end these calls, by whoever stopped the process before. */
	if (sig == SIGCONT || tracee_get_regs(t->tid, &regs))
		return;
	if (sc_result(&regs) != -EINTR || !waits_for_ever(&regs) || was_blocked(t->tid, sig) ||
	    !proc_ignores(t->tid, sig))
		return;
	sc_set_restart(&regs);
	(void)tracee_set_regs(t->tid, &regs);
}
