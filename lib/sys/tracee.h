/* SPDX-License-Identifier: MIT */
/*
 * tracee.h - ptrace(2) for the life cycle of the program's tasks: seize, wait, classify, resume.
 *
 * In the manner of strace's trace_event.h: the wait status is classified in one place
 * (tracee_next), acted upon in another (pager/on_stop.c).  A function that returns -ESRCH means: the
 * task is dying or dead; its exit will be reported by tracee_next.  Nothing here knows the model.
 */
#ifndef UPAGER_TRACEE_H
#define UPAGER_TRACEE_H

#include <signal.h>
#include <sys/types.h>

#include "base/base.h"
#include "sys/arch/x86_64.h"

enum tracee_event {
	TE_NONE,         /* nothing is reported now */
	TE_NO_TASKS,     /* no task is traced any more */
	TE_EXITED,       /* gone; .status is the exit code */
	TE_KILLED,       /* gone; .status is the signal */
	TE_SIGNAL,       /* about to be delivered: .status is the signal; resume with it */
	TE_GROUP_STOP,   /* job control stopped it: tracee_listen() */
	TE_NEW,          /* a new task's first stop, or the end of a group stop, or an interrupt */
	TE_SECCOMP,      /* at a trapped call, before it runs */
	TE_SYSCALL,      /* at a syscall entry or exit stop (after tracee_resume_to_syscall) */
	TE_FORKED,       /* fork, vfork or clone made task .msg */
	TE_EXEC,         /* a new image; .msg is the tid the caller had before */
	TE_EXITING,      /* about to exit; .msg is the wait status to come */
	TE_LOST,         /* a FORKED or EXEC whose .msg was not to be had: it was killed there, and stops no more but to exit */
	TE_OTHER,        /* resume */
};

struct tracee_stop {
	enum tracee_event event;
	pid_t tid;
	int status;
	u64 msg;
};

/* Attach to a running task and its future children.  Returns 0, -EPERM, -ESRCH. */
int tracee_seize(pid_t tid);

/* What waitpid() said of a tracee, which is at that stop still, or was killed there, or is gone. */
struct tracee_stop tracee_classify(pid_t tid, int status);
/* Report one event of any tracee without waiting (TE_NONE, TE_NO_TASKS when there is none). */
struct tracee_stop tracee_next(void);
/* Wait for an event of `tid` alone. */
struct tracee_stop tracee_wait(pid_t tid);
/* The same without waiting: TE_NONE when there is none. */
struct tracee_stop tracee_poll(pid_t tid);

/* Do we trace it, dead or alive?  No longer when its end was reported. */
bool tracee_is_traced(pid_t tid);
/* Is it dead, but not reported so: for as long as its process has other threads? */
bool tracee_is_zombie(pid_t tid);
/*
 * The same, or on its way there, or killed: what /proc says of its memory may be a part of it, and no call of ours is made
 * there any more.  Reaped counts.
 */
bool tracee_is_exiting(pid_t tid);

/* Resume, delivering `sig` (0: none). */
int tracee_resume(pid_t tid, int sig);
/* Resume until the next entry to or exit from a system call. */
int tracee_resume_to_syscall(pid_t tid, int sig);
/* Have a running or listening task report a stop. */
int tracee_interrupt(pid_t tid);
/* Leave a group-stopped task stopped, and hear of its continuation. */
int tracee_listen(pid_t tid);

int tracee_get_regs(pid_t tid, sc_regs *regs);
int tracee_set_regs(pid_t tid, const sc_regs *regs);
/* The result register alone; cheaper than all.  Pre: at a syscall exit stop. */
int tracee_get_result(pid_t tid, long *result);
/* Is it at the entry of a call?  Pre: at a syscall stop. */
bool tracee_at_entry(pid_t tid);
/* What the filter said with SECCOMP_RET_TRACE (SECCOMP_RET_DATA); 0: gone.  Pre: at a seccomp stop. */
u32 tracee_seccomp_data(pid_t tid);
int tracee_get_siginfo(pid_t tid, siginfo_t *info);
/* The signal mask of a stopped task. */
int tracee_get_sigmask(pid_t tid, u64 *mask);
int tracee_set_sigmask(pid_t tid, u64 mask);

/*
 * Copy from and to a tracee's memory by /proc/PID/mem, which fails rather than waits when a page is
 * missing (process_vm_readv would block on our own userfaultfd).
 * Returns 0, -EIO (a page is missing or not mapped), -ESRCH.
 */
int tracee_read(pid_t tid, u64 addr, void *dst, size_t len);
int tracee_write(pid_t tid, u64 addr, const void *src, size_t len);

#endif /* UPAGER_TRACEE_H */
