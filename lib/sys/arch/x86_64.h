/* SPDX-License-Identifier: MIT */
/*
 * arch/x86_64.h - where a system call's number, arguments and result are in the registers.
 *
 * The only place that names registers.  Counterpart: Linux arch/x86/include/asm/syscall.h.
 */
#ifndef UPAGER_ARCH_X86_64_H
#define UPAGER_ARCH_X86_64_H

#include <stddef.h>

#include "base/base.h" /* before sys/user.h, which has a PAGE_SIZE of its own, equal to ours */

#include <sys/user.h>

typedef struct user_regs_struct sc_regs;

#define SYSCALL_INSN_LEN 2 /* 0f 05 */

static inline long sc_nr(const sc_regs *r)
{
	return (long)r->orig_rax;
}

static inline long sc_result(const sc_regs *r)
{
	return (long)r->rax;
}

/* Argument i (0..5) of a system call. */
static inline u64 sc_arg(const sc_regs *r, int i)
{
	switch (i) {
	case 0:
		return r->rdi;
	case 1:
		return r->rsi;
	case 2:
		return r->rdx;
	case 3:
		return r->r10;
	case 4:
		return r->r8;
	default:
		return r->r9;
	}
}

static inline void sc_set_arg(sc_regs *r, int i, u64 value)
{
	switch (i) {
	case 0:
		r->rdi = value;
		break;
	case 1:
		r->rsi = value;
		break;
	case 2:
		r->rdx = value;
		break;
	case 3:
		r->r10 = value;
		break;
	case 4:
		r->r8 = value;
		break;
	default:
		r->r9 = value;
	}
}

/* At a seccomp stop: do not run the call, return `result` to the program. */
static inline void sc_skip(sc_regs *r, long result)
{
	r->orig_rax = (u64)-1;
	r->rax = (u64)result;
}

/* -ERESTARTSYS to -ERESTART_RESTARTBLOCK: a signal came, nothing was done, and the call is to be made again. */
static inline bool sc_is_restart(long result)
{
	return result <= -512 && result >= -516;
}

/* At a signal's stop in a call: to be made again when no handler runs before (-ERESTARTNOHAND), else EINTR. */
static inline void sc_set_restart(sc_regs *r)
{
	r->rax = (u64)-514;
}

/* At an exit stop. */
static inline void sc_set_result(sc_regs *r, long result)
{
	r->rax = (u64)result;
}

/* At an exit stop: the syscall instruction that made the call. */
static inline u64 sc_site(const sc_regs *r)
{
	return r->rip - SYSCALL_INSN_LEN;
}

/* Registers of a seccomp or exit stop: make that call anew, by the syscall instruction at `site`. */
static inline void sc_again(sc_regs *r, u64 site)
{
	r->rip = site;
	r->rax = r->orig_rax;
	r->orig_rax = (u64)-1;
}

/* Run call `nr` next, by the syscall instruction at `site`. */
static inline void sc_aim(sc_regs *r, u64 site, long nr, const u64 args[6])
{
	r->rip = site;
	r->rax = (u64)nr;
	r->orig_rax = (u64)-1; /* not in a call: no restart */
	for (int i = 0; i < 6; i++)
		sc_set_arg(r, i, args[i]);
}

/* A 64-bit image runs with this code segment; 0x23 is 32-bit. */
static inline bool sc_is_64bit(const sc_regs *r)
{
	return r->cs == 0x33;
}

/* PTRACE_PEEKUSER offset of the result register. */
#define SC_RESULT_OFFSET offsetof(struct user, regs.rax)

#endif /* UPAGER_ARCH_X86_64_H */
