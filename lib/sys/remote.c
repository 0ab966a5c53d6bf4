/* SPDX-License-Identifier: MIT */
#include "sys/remote.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

int remote_begin(struct remote *r, pid_t tid, u64 site, void (*idle)(void *arg), void *arg)
{
	*r = (struct remote){ .tid = tid, .site = site, .idle = idle, .idle_arg = arg };
	if (tracee_get_regs(tid, &r->saved) || tracee_get_sigmask(tid, &r->saved_mask) ||
	    tracee_set_sigmask(tid, ~0UL))
		return -ESRCH;
	if (!site)
		r->site = sc_site(&r->saved);
	return 0;
}

#define SPINS_A_LOOK 256 /* at /proc, which costs more */

/*
 * The kernel itself may touch the tracee's memory on its way in and out (rseq, set_child_tid).
 * A second SIGKILL takes it through its exit stop before we see that; and its end is reported only after
 * those of the other threads of its process, which nobody lets go while we are here.
 */
static struct tracee_stop wait_or_serve(struct remote *r)
{
	struct tracee_stop s;

	if (!r->idle)
		return tracee_wait(r->tid);
	for (u32 spins = 1;; spins++) {
		s = tracee_poll(r->tid);
		if (s.event != TE_NONE)
			return s;
		if (spins % SPINS_A_LOOK == 0 && tracee_is_zombie(r->tid))
			return (struct tracee_stop){ .event = TE_OTHER, .tid = r->tid };
		r->idle(r->idle_arg);
		sched_yield();
	}
}

/* A fault of the tracee's own, not a signal that somebody sent: its syscall instruction is out of reach. */
static bool is_fault(pid_t tid, int sig)
{
	siginfo_t info;

	return (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGTRAP) && !tracee_get_siginfo(tid, &info) &&
	       info.si_code > 0;
}

/* Wait for the syscall stop it was resumed to.  Returns 0, -EFAULT: it cannot get there, or -ESRCH with r->death set. */
static int wait_syscall_stop(struct remote *r)
{
	for (;;) {
		struct tracee_stop s = wait_or_serve(r);
		int sig = 0;

		switch (s.event) {
		case TE_SYSCALL:
			return 0;
		case TE_EXITING: /* only its other threads can let a process end: not ours to wait for */
		case TE_EXITED:
		case TE_KILLED:
		case TE_NO_TASKS:
			r->death = s;
			return -ESRCH;
		case TE_SIGNAL:
			if (is_fault(r->tid, s.status))
				return -EFAULT;
			/* So a SIGCONT that comes later undoes it, as ever. */
			sig = s.status == SIGSTOP ? SIGSTOP : 0;
			break;
		case TE_GROUP_STOP:
			r->stopped = true;
			break;
		case TE_FORKED:
			r->child = (pid_t)s.msg;
			break;
		case TE_LOST:
			continue;
		case TE_NONE:
		case TE_NEW:
		case TE_SECCOMP:
		case TE_EXEC:
			break;
		case TE_OTHER:
			if (!tracee_is_zombie(r->tid))
				break;
			r->death = s;
			return -ESRCH;
		}
		(void)tracee_resume_to_syscall(r->tid, sig); /* dying: the wait tells */
	}
}

static int next_syscall_stop(struct remote *r)
{
	(void)tracee_resume_to_syscall(r->tid, 0);
	return wait_syscall_stop(r);
}

/* Pre: at the exit stop. */
static long call_result(const struct remote *r)
{
	long result;

	if (tracee_get_result(r->tid, &result))
		return -ESRCH; /* killed at the stop: its end is reported at the next resume */
	return result;
}

int remote_begin_at_call(struct remote *r, pid_t tid, void (*idle)(void *arg), void *arg)
{
	sc_regs regs;
	int ret = remote_begin(r, tid, 0, idle, arg);

	if (ret)
		return ret;
	regs = r->saved;
	sc_skip(&regs, -ENOSYS);
	(void)tracee_set_regs(tid, &regs);
	return next_syscall_stop(r); /* the exit of the call that did not run */
}

/* Returns 0: at its exit stop, -EFAULT: the site cannot be executed, or -ESRCH: dead. */
static int try_call(struct remote *r, const sc_regs *regs, int (*serve)(void *arg), void *arg)
{
	siginfo_t info;
	int ret;

	(void)tracee_set_regs(r->tid, regs);
	ret = next_syscall_stop(r); /* entry */
	if (ret)
		return ret;
	(void)tracee_resume_to_syscall(r->tid, 0);
	/* No siginfo: it has not stopped again, or is dead. */
	while (serve && serve(arg) == -EAGAIN && tracee_get_siginfo(r->tid, &info) == -ESRCH &&
	       !tracee_is_zombie(r->tid))
		;
	return wait_syscall_stop(r); /* exit */
}

/* The call of `regs`; `serve`, if there is one, while it runs.  Returns 0, or -ESRCH: dead. */
static int make_call(struct remote *r, long *result, const sc_regs *regs, int (*serve)(void *arg), void *arg)
{
	int ret;

	if (r->death.event != TE_NONE)
		return -ESRCH;
	do {
		ret = try_call(r, regs, serve, arg);
		if (!ret)
			*result = call_result(r);
	} while (!ret && sc_is_restart(*result)); /* a SIGSTOP was pending */
	if (ret == -EFAULT) {
		*result = ret;
		ret = 0;
	}
	return ret;
}

int remote_syscall(struct remote *r, long *result, long nr, u64 a0, u64 a1, u64 a2, u64 a3,
		   u64 a4, u64 a5)
{
	sc_regs regs = r->saved;

	sc_aim(&regs, r->site, nr, (const u64[]){ a0, a1, a2, a3, a4, a5 });
	return make_call(r, result, &regs, NULL, NULL);
}

int remote_syscall_served(struct remote *r, long *result, long nr, u64 last_arg,
			  int (*serve)(void *arg), void *arg)
{
	sc_regs regs = r->saved;

	sc_aim(&regs, r->site, nr, (const u64[]){ 0, 0, 0, 0, 0, last_arg });
	return make_call(r, result, &regs, serve, arg);
}

int remote_end(struct remote *r)
{
	if (r->death.event != TE_NONE)
		return -ESRCH;
	(void)tracee_set_regs(r->tid, &r->saved);
	(void)tracee_set_sigmask(r->tid, r->saved_mask);
	if (r->stopped)
		(void)tracee_interrupt(r->tid);
	return 0;
}

int remote_end_with(struct remote *r, long result)
{
	sc_skip(&r->saved, result);
	return remote_end(r);
}

int remote_end_again(struct remote *r)
{
	sc_again(&r->saved, r->site);
	return remote_end(r);
}

void remote_exit(struct remote *r, u64 last_arg)
{
	sc_regs regs = r->saved;

	sc_aim(&regs, r->site, SYS_exit, (const u64[]){ 0, 0, 0, 0, 0, last_arg });
	(void)tracee_set_regs(r->tid, &regs);
	(void)tracee_resume(r->tid, 0);
}

u64 remote_vdso_site(void)
{
	static const u8 insn[SYSCALL_INSN_LEN] = { 0x0f, 0x05 };
	const u8 *vdso = (const u8 *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *ehdr = (const void *)vdso;
	const Elf64_Phdr *phdr;
	const u8 *at;

	if (!vdso)
		return 0;
	phdr = (const void *)(vdso + ehdr->e_phoff);
	for (int i = 0; i < ehdr->e_phnum; i++) {
		if (phdr[i].p_type != PT_LOAD || !(phdr[i].p_flags & PF_X))
			continue;
		at = memmem(vdso + phdr[i].p_offset, phdr[i].p_filesz, insn, sizeof(insn));
		if (at)
			return (u64)(at - vdso);
	}
	return 0;
}
