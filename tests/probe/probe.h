/* SPDX-License-Identifier: MIT */
/*
 * probe.h - the frame for the probes: one small function for each kernel fact that upager relies on.
 *
 * A probe returns when the fact holds; EXPECT() ends it as failed, SKIP() as skipped with its reason.
 * Each runs in a process of its own (probe.c), so it may leave processes and mappings behind.  All
 * probes are one program, which also links statically and runs in a bare initramfs (that is why this is
 * not cmocka, which Debian ships without a static library).  The facts are those of docs/KERNEL.md.
 *
 * Most probes look at a `struct subject`: a child with armed memory whose userfaultfd we hold.  Child and
 * parent share a `struct lab` and take turns by numbered steps.
 */
#ifndef UPAGER_PROBE_H
#define UPAGER_PROBE_H

#include <stdatomic.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#include "base/base.h"
#include "sys/uffd.h"

/* ---- registration and verdicts ---- */

struct probe {
	const char *name;
	const char *fact; /* one sentence, as in KERNEL.md */
	void (*run)(void);
	struct probe *next;
};

void probe_register(struct probe *p);
noreturn void probe_fail(const char *file, int line, const char *fmt, ...) printf_like(3, 4);
noreturn void probe_skip(const char *reason);

/* Print the table of costs (costs.c). */
void probe_costs(void);

#define PROBE(id, text)                                                                 \
	static void probe_##id(void);                                                   \
	static struct probe entry_##id = { #id, text, probe_##id, NULL };               \
	__attribute__((constructor)) static void register_##id(void)                    \
	{                                                                               \
		probe_register(&entry_##id);                                            \
	}                                                                               \
	static void probe_##id(void)

#define EXPECT(cond)                                                                    \
	do {                                                                            \
		if (!(cond))                                                            \
			probe_fail(__FILE__, __LINE__, "not so: %s", #cond);            \
	} while (0)

/* Both are integers; says what it got. */
#define EXPECT_EQ(got, want)                                                            \
	do {                                                                            \
		long long got_ = (long long)(got), want_ = (long long)(want);           \
		if (got_ != want_)                                                      \
			probe_fail(__FILE__, __LINE__, "%s is %lld (0x%llx), not %s", #got, \
				   got_, got_, #want);                                  \
	} while (0)

#define SKIP(reason) probe_skip(reason)

/* ---- the lab: memory shared by a probe and its children ---- */

struct lab {
	_Atomic u32 child_step;	 /* the child has come so far */
	_Atomic u32 parent_step; /* and may go on so far */
	u64 mem;		 /* the subject's memory: nr_pages, guarded on both sides */
	u64 nr_pages;
	_Atomic int uffd;	 /* fd number in the child; -errno when refused */
	_Atomic bool keep_uffd;	 /* the child keeps its copy of the descriptor (stubbed.h) */
	_Atomic long value[16];	 /* what the probe and the child agree on */
};

/* A zeroed lab.  Lives until the probe ends. */
struct lab *lab_new(void);

/* Child: say that step n is reached.  Parent: wait for it (10 s). */
void lab_reach(struct lab *lab, u32 n);
void lab_await(struct lab *lab, u32 n);
/* Parent: let the child go on to step n.  Child: wait for that. */
void lab_let(struct lab *lab, u32 n);
void lab_hold(struct lab *lab, u32 n);

/* ---- the subject ---- */

struct subject {
	pid_t pid;
	int uffd;
	struct lab *lab;
	u64 mem;      /* same as lab->mem */
	u64 len;
};

/* What `upager run` asks for at least. */
#define FEATURES_RUN UFFD_FEATURES_REQUIRED

/*
 * Fork a child that maps nr_pages of private anonymous memory, creates a userfaultfd and runs fn(lab)
 * once the parent has taken the fd (by pidfd_getfd), made the handshake and armed the memory.
 * The child's copy of the fd is closed, unless lab->keep_uffd.  fn returning ends the child with status 0.
 */
struct subject subject_start(u64 nr_pages, u64 features, void (*fn)(struct lab *lab));
/* The same in two halves: nothing is armed yet and fn has not begun; then let it begin. */
struct subject subject_prepare(u64 nr_pages, u64 features, void (*fn)(struct lab *lab));
void subject_begin(struct subject *s);
/* Wait for the child's end.  Fails the probe unless it exited with 0. */
void subject_end(struct subject *s);

/* Map nr_pages of private anonymous memory with a page of nothing on both sides.  Returns its address. */
u64 map_guarded(u64 nr_pages);

/* The features that the running kernel has. */
u64 probe_uffd_features(void);

/* ---- messages ---- */

/* Wait up to 5 s for one message. */
struct uffd_msg next_msg(int uffd);
/* No message within `ms`. */
void expect_silence(int uffd, int ms);
/* The next message is a fault in the page `addr` with exactly these UFFD_PAGEFAULT_FLAG_*. */
struct uffd_msg expect_fault(int uffd, u64 addr, u64 flags);
/* The next message is a fork; returns the child's userfaultfd. */
int expect_fork(int uffd);

/* ---- answers; each returns 0 or -errno ---- */

/* A page filled with `byte`; `mode` UFFDIO_COPY_MODE_*. */
int fill_page(int uffd, u64 addr, u8 byte, u64 mode);
int zero_page(int uffd, u64 addr, u64 mode);
int protect_page(int uffd, u64 addr, bool wp);

/* ---- small things ---- */

u64 pagemap_entry(pid_t pid, u64 addr);
/* Where the vdso of `pid` is mapped; 0: nowhere. */
u64 vdso_base(pid_t pid);
void sleep_ms(int ms);
/* Reap `pid`; returns the wait status. */
int reap(pid_t pid);
/* Fork a child of the probe that dies with it. */
pid_t fork_child(void);
/* Stop at `nr` with SECCOMP_RET_TRACE | 7 in the calling process; returns 0 or -errno. */
int seccomp_trace_call(int nr);
/* execve() this program as `probe --victim HOW` ("pause": wait for ever; else end with 0). */
noreturn void exec_victim(const char *how);

static inline u8 peek(u64 addr)
{
	return *(volatile u8 *)addr;
}

static inline void poke(u64 addr, u8 value)
{
	*(volatile u8 *)addr = value;
}

#endif /* UPAGER_PROBE_H */
