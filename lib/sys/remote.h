/* SPDX-License-Identifier: MIT */
/*
 * remote.h - make a stopped tracee run system calls of ours, and put it back as it was.
 *
 * In the manner of rr's AutoRemoteSyscalls: begin saves registers and signal mask, end restores them on
 * every path.  The call is made by a `syscall` instruction that is already mapped (in the vdso, or
 * the program's own at a system call stop): nothing is written to the program's memory.  All signals
 * are held off meanwhile.  SIGSTOP cannot be: its process is stopped then, all but the tracee, which goes on with our
 * calls; at the end it reports its group stop anew, or that it was continued.
 *
 * Only for moments when the tracee cannot wait for us, or only in a way that `idle` serves (its faults): it must
 * not wait for another tracee.
 */
#ifndef UPAGER_REMOTE_H
#define UPAGER_REMOTE_H

#include "base/base.h"
#include "sys/tracee.h"

struct remote {
	pid_t tid;
	u64 site; /* address of a syscall instruction in the tracee */
	sc_regs saved;
	u64 saved_mask;
	bool stopped;              /* its process was stopped in between, and it went on */
	pid_t child;               /* the task that an injected clone made; 0: none */
	void (*idle)(void *arg);   /* see remote_begin() */
	void *idle_arg;
	/*
	 * TE_NONE: it lives.  TE_EXITING, TE_EXITED, TE_KILLED: it died meanwhile.  TE_OTHER: it is a zombie, whose end
	 * the loop is still to hear of.
	 */
	struct tracee_stop death;
};

/*
 * Pre: the task is at a syscall exit stop, or at its first stop.  `site`: of a syscall instruction; 0: of that which made
 * this call, which must not be an execve.  idle(arg), when not NULL, is called again and again while it runs: needed where
 * the tracee may fault, also on the kernel's own account.  Returns 0 or -ESRCH, r->death is TE_NONE then: the next wait tells.
 */
int must_check remote_begin(struct remote *r, pid_t tid, u64 site, void (*idle)(void *arg), void *arg);
/*
 * Pre: the task is at a seccomp stop.  The trapped call is given up; its own syscall instruction is the
 * site; what the program gets instead is for remote_end_with() to say.
 */
int must_check remote_begin_at_call(struct remote *r, pid_t tid, void (*idle)(void *arg), void *arg);
/*
 * Run one call.  *result gets what the kernel returned (-errno as such); -EFAULT also when the site cannot be executed (any
 * more).  Returns 0, or -ESRCH: dead.
 */
int must_check remote_syscall(struct remote *r, long *result, long nr, u64 a0, u64 a1, u64 a2,
			      u64 a3, u64 a4, u64 a5);
/*
 * As remote_syscall for a call that waits until somebody serves it: `serve` is called again and again while
 * it returns -EAGAIN and the tracee lives.
 */
int must_check remote_syscall_served(struct remote *r, long *result, long nr, u64 last_arg,
				     int (*serve)(void *arg), void *arg);
/* Restore.  Returns 0, or -ESRCH: dead; then r->death says how, and nobody else will report that. */
int remote_end(struct remote *r);
/* As remote_end, with `result` for the call that remote_begin_at_call gave up. */
int remote_end_with(struct remote *r, long result);
/* As remote_end; the call that remote_begin_at_call gave up is made anew. */
int remote_end_again(struct remote *r);

/* Instead of an end: the tracee exits, that thread alone; its end is reported as any other's. */
void remote_exit(struct remote *r, u64 last_arg);

/* Offset of a syscall instruction in the vdso of this kernel, or 0 when there is none. */
u64 remote_vdso_site(void);

#endif /* UPAGER_REMOTE_H */
