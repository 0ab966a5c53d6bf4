/* SPDX-License-Identifier: MIT */
/*
 * sc_seccomp.c - a program that installs a seccomp filter of its own.
 *
 * Its filter stays on through fork and exec and might forbid what upager must inject there.  So the
 * program it hands the kernel is copied, with two changes:
 *  - a prologue that allows the few calls we inject, known by a secret in their last argument;
 *  - RET_TRACE never has our data: so we know that the stop is not ours, and it is what it is natively where
 *    nobody traces, ENOSYS (on_seccomp).  It must stay RET_TRACE: any RET_ERRNO goes before it.
 * Our own filter needs no help: of two verdicts the kernel takes the stricter, and any verdict stricter
 * than TRACE keeps the call from running at all.
 *
 * The copy lives in a page that is mapped for the moment of the call.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/check.h"
#include "sc.h"
#include "sup.h"
#include "sys/remote.h"

#define DATA(field) (u32)offsetof(struct seccomp_data, field)

/* What remote.c, space.c and stager.c inject, and what a stub calls. */
static const int injected[] = { SYS_userfaultfd, SYS_close,	  SYS_mmap,	   SYS_munmap,
				SYS_mprotect,	 SYS_munlock,	  SYS_madvise,	  SYS_seccomp,	   SYS_prctl,
				SYS_ioctl,	 SYS_clone,	  SYS_setsid,	   SYS_close_range,
				SYS_futex,	 SYS_write,	  SYS_exit,	   SYS_rt_sigaction,
				SYS_rt_sigprocmask, SC_GIVE_FD };

/* Both seccomp(2) and prctl(2) take the program as their third argument. */
#define FPROG_ARG 2

#define PROLOGUE_MAX (8 + ARRAY_SIZE(injected))

static struct sock_filter stmt(u16 code, u32 k)
{
	return (struct sock_filter)BPF_STMT(code, k);
}

static struct sock_filter jeq(u32 k, size_t if_not)
{
	return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, 0, (u8)if_not);
}

/* Returns its length.  A and X are zero at its end, as at the start of any filter. */
static size_t prologue(struct sock_filter *p, u64 secret)
{
	const size_t n = ARRAY_SIZE(injected);
	size_t at = 0;

	/* The secret's two halves, or go on to the program. */
	p[at++] = stmt(BPF_LD | BPF_W | BPF_ABS, DATA(args[5]));
	p[at++] = jeq((u32)secret, n + 4);
	p[at++] = stmt(BPF_LD | BPF_W | BPF_ABS, DATA(args[5]) + 4);
	p[at++] = jeq((u32)(secret >> 32), n + 2);
	p[at++] = stmt(BPF_LD | BPF_W | BPF_ABS, DATA(nr));
	for (size_t i = 0; i < n; i++) { /* one of ours: on to the ALLOW behind the list */
		u8 if_not = i + 1 == n ? 1 : 0;

		p[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
						       (u32)injected[i], (u8)(n - 1 - i), if_not);
	}
	p[at++] = stmt(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	p[at++] = stmt(BPF_LD | BPF_IMM, 0);
	return at;
}

static void disown(struct sock_filter *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].code == (BPF_RET | BPF_K) && p[i].k == (SECCOMP_RET_TRACE | FILTER_TRACE_DATA))
			p[i].k ^= 1;
}

/* Read the caller's filter and make our version of it.  Returns its length, or -errno. */
static long rewrite(struct task *t, u64 fprog_addr, struct sock_filter **out)
{
	struct sock_fprog user;
	struct sock_filter *p;
	size_t at;
	int ret = space_read(t, fprog_addr, &user, sizeof(user));

	if (ret)
		return ret;
	if (!user.len || user.len + PROLOGUE_MAX > BPF_MAXINSNS)
		return -EINVAL;
	p = calloc(user.len + PROLOGUE_MAX, sizeof(*p));
	BUG_ON(!p);
	at = prologue(p, t->space->sup->secret);
	ret = space_read(t, (u64)user.filter, p + at, user.len * sizeof(*p));
	if (ret) {
		free(p);
		return ret;
	}
	disown(p + at, user.len);
	*out = p;
	return (long)(at + user.len);
}

/* Run the trapped call with `filter` in place of the program's.  *result: what the kernel said. */
static int install(struct sup *sup, struct task *t, const struct sock_filter *filter, size_t len,
		   struct remote *r, long *result)
{
	const sc_regs *regs = &t->call.regs;
	struct sock_fprog prog = { .len = (unsigned short)len };
	u64 bytes = page_align_up(sizeof(prog) + len * sizeof(*filter));
	u64 a[5];
	long page, unused;
	int ret = remote_syscall(r, &page, SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, (u64)-1, sup->secret);

	if (ret)
		return ret;
	*result = page;
	if (page < 0 && page > -4096)
		return 0;
	prog.filter = (struct sock_filter *)((u64)page + sizeof(prog));
	if (tracee_write(t->tid, (u64)page, &prog, sizeof(prog)) ||
	    tracee_write(t->tid, (u64)prog.filter, filter, len * sizeof(*filter)))
		return -ESRCH;
	for (int i = 0; i < 5; i++)
		a[i] = i == FPROG_ARG ? (u64)page : sc_arg(regs, i);
	ret = remote_syscall(r, result, sc_nr(regs), a[0], a[1], a[2], a[3], a[4], sup->secret);
	if (ret)
		return ret;
	return remote_syscall(r, &unused, SYS_munmap, (u64)page, bytes, 0, 0, 0, sup->secret);
}

/* The caller, or all threads of its process, are in that mode of their own. */
static void note_mode(struct sup *sup, struct task *t, int mode, bool all)
{
	struct task *other;

	t->seccomp = mode;
	for (int i = 0; all && i < TASK_BUCKETS; i++)
		list_for_each_entry(other, &sup->tasks[i], link)
			if (other->tgid == t->tgid)
				other->seccomp = mode;
}

/* Put `filter` on the caller by its own trapped call: it is in `mode` then.  Frees it. */
static enum sc_verdict install_filter(struct sup *sup, struct task *t, struct sock_filter *filter, size_t len, int mode)
{
	bool all = sc_nr(&t->call.regs) == SYS_seccomp && mode == SECCOMP_MODE_FILTER &&
		   (sc_arg(&t->call.regs, 1) & SECCOMP_FILTER_FLAG_TSYNC);
	struct remote r;
	long result = -ENOMEM;
	int ret = remote_begin_at_call(&r, t->tid, faults_serve, t->space);

	if (!ret && mode == SECCOMP_MODE_STRICT) /* which asks for no privilege; and nothing is executed after it */
		ret = remote_syscall(&r, &result, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, sup->secret);
	if (!ret)
		ret = install(sup, t, filter, len, &r, &result);
	free(filter);
	if (!ret)
		ret = remote_end_with(&r, result);
	if (ret && r.death.event != TE_NONE) {
		t->call.death = r.death;
		return SC_DIED;
	}
	if (!ret && !result)
		note_mode(sup, t, mode, all);
	return SC_DONE;
}

static enum sc_verdict install_rewritten(struct sup *sup, struct task *t)
{
	struct sock_filter *filter = NULL;
	long len = rewrite(t, sc_arg(&t->call.regs, FPROG_ARG), &filter);

	if (len < 0)
		return SC_PASS; /* the kernel says what is wrong with it */
	return install_filter(sup, t, filter, (size_t)len, SECCOMP_MODE_FILTER);
}

/* What it would be in natively: we are not under our own filter. */
static int native_mode(const struct task *t)
{
	return t->seccomp ? t->seccomp : prctl(PR_GET_SECCOMP);
}

/*
 * Strict mode: read, write, exit and sigreturn, or SIGKILL.  The kernel refuses it to a task that has a
 * filter, as all of ours have; so it is made of a filter that brings every other call to us.
 */
static enum sc_verdict install_strict(struct sup *sup, struct task *t, int mode_arg, u64 filter_mode)
{
	u64 strict_mode = sc_arg(&t->call.regs, mode_arg);
	static const int allowed[] = { SYS_read, SYS_write, SYS_exit, SYS_rt_sigreturn };
	struct sock_filter *p;
	enum sc_verdict verdict;
	size_t at;

	if (native_mode(t) == SECCOMP_MODE_FILTER)
		return SC_PASS; /* EINVAL, here, too */
	p = calloc(PROLOGUE_MAX + 2 * ARRAY_SIZE(allowed) + 2, sizeof(*p));
	BUG_ON(!p);
	at = prologue(p, sup->secret);
	p[at++] = stmt(BPF_LD | BPF_W | BPF_ABS, DATA(nr));
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		p[at++] = jeq((u32)allowed[i], 1);
		p[at++] = stmt(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	p[at++] = stmt(BPF_RET | BPF_K, SECCOMP_RET_TRACE | FILTER_TRACE_DATA);
	sc_set_arg(&t->call.regs, mode_arg, filter_mode);
	verdict = install_filter(sup, t, p, at, SECCOMP_MODE_STRICT);
	sc_set_arg(&t->call.regs, mode_arg, strict_mode);
	return verdict;
}

enum sc_verdict sc_seccomp_enter(struct sup *sup, struct task *t)
{
	const sc_regs *regs = &t->call.regs;

	switch ((u32)sc_arg(regs, 0)) {
	case SECCOMP_SET_MODE_FILTER:
		return install_rewritten(sup, t);
	case SECCOMP_SET_MODE_STRICT:
		if ((u32)sc_arg(regs, 1) || sc_arg(regs, 2))
			return SC_PASS; /* EINVAL */
		return install_strict(sup, t, 0, SECCOMP_SET_MODE_FILTER);
	default:
		return SC_PASS;
	}
}

enum sc_verdict sc_prctl_enter(struct sup *sup, struct task *t)
{
	switch ((int)sc_arg(&t->call.regs, 0)) {
	case PR_SET_MM:
		return sc_refuse_eperm(sup, t);
	case PR_GET_SECCOMP:
		t->call.result = native_mode(t);
		return SC_SKIP;
	}
	switch (sc_arg(&t->call.regs, 1)) {
	case SECCOMP_MODE_FILTER:
		return install_rewritten(sup, t);
	case SECCOMP_MODE_STRICT:
		return install_strict(sup, t, 1, SECCOMP_MODE_FILTER);
	default:
		return SC_PASS;
	}
}
