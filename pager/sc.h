/* SPDX-License-Identifier: MIT */
/*
 * sc.h - the trapped system calls as data: one row each (strace's syscallent.h is the model).
 *
 * sc_table.c holds the rows; sc_mm.c, sc_proc.c, sc_area.c, sc_listing.c, sc_sched.c, sc_seccomp.c and sc_uring.c what
 * they do.  sc_restart.c is about calls that do not stop.
 * A call goes: enter() at the seccomp stop, before the kernel runs it; then, if enter() said
 * SC_WATCH, leave() at its exit stop with the kernel's result.
 */
#ifndef UPAGER_SC_H
#define UPAGER_SC_H

#include <sys/syscall.h>

#include "sup.h"
#include "sys/filter.h"

enum sc_verdict {
	SC_PASS,  /* let it run; we need not hear of its end */
	SC_WATCH, /* let it run; leave() is called at its exit */
	SC_WATCH_FREE, /* as SC_WATCH, but other calls of this mm may run meanwhile (vfork, threads) */
	SC_SKIP,  /* do not run it: the program gets task->call.result */
	SC_REFUSE, /* as SC_SKIP, counted as refused */
	SC_DONE,  /* enter() has run it by injection and set the result: only resume */
	SC_DIED,  /* the task died under enter()'s hands: task->call.death */
};

enum sc_flags {
	SC_MM = 1 << 0,     /* takes the mm's call slot: one at a time in each address space */
	SC_FORK = 1 << 2,   /* makes a task */
	SC_STUB = 1 << 3,   /* stubs make it too, with our secret as its last argument: not trapped then */
	SC_PROMPT = 1 << 1, /* waits for nobody (see is_prompt) */
	SC_STAGED = 1 << 4, /* only where there are stubs: with a budget */
};

struct sc_row {
	int nr;
	const char *name;
	unsigned int flags;
	enum sc_verdict (*enter)(struct sup *sup, struct task *t);
	/* `result` may be any errno, also -ERESTART*: the call did nothing then and will come again. */
	void (*leave)(struct sup *sup, struct task *t, long result);
	struct filter_rule when[4]; /* .nr is filled in; none: always */
	int nr_when;
};

extern const struct sc_row sc_table[];
extern const size_t sc_table_len;

/* The row of call `nr`, or NULL. */
const struct sc_row *sc_row_find(long nr);
/* Its index, for the counters of struct stats. */
size_t sc_row_index(const struct sc_row *row);
/* A call that no program makes any more; with our secret as its last argument it is a request of ours. */
#define SC_GIVE_FD SYS_lookup_dcookie
/*
 * The filter that stops at the table's calls; `staged`: at those of SC_STAGED too.  `secret`: in the last argument it
 * marks calls that we inject.  Returns 0 or -errno.
 */
int must_check sc_build_filter(struct sock_fprog *prog, u64 secret, bool staged);

/* on_stop.c */
/* Let the call that t is stopped at run with argument n changed.  The program does not see that in its registers. */
void sc_change_arg(struct task *t, int n, u64 value);

/* sc_restart.c */
/* `sig` is about to be delivered: if t ignores it, and it ended a call that would wait on natively, have that wait on. */
void sc_restart_if_ignored(struct task *t, int sig);

/* sc_mm.c */
#define SC_DECLARE(name)                                          \
	enum sc_verdict sc_##name##_enter(struct sup *, struct task *); \
	void sc_##name##_leave(struct sup *, struct task *, long)
SC_DECLARE(mmap);
SC_DECLARE(munmap);
SC_DECLARE(mremap);
SC_DECLARE(brk);
SC_DECLARE(mprotect);
SC_DECLARE(madvise);
SC_DECLARE(mlock);
SC_DECLARE(mlock2);
SC_DECLARE(munlock);
SC_DECLARE(mlockall);
SC_DECLARE(munlockall);
SC_DECLARE(mseal);
SC_DECLARE(shmat);
SC_DECLARE(opaque); /* an effect that is read back from maps: shmdt, io_setup … */
void sc_remap_file_pages_leave(struct sup *sup, struct task *t, long result);

/* What a trapped mremap grows its mapping by, when that begins at `addr`. */
struct range sc_mremap_grown(const struct task *t, u64 addr);
/* An mmap that neither touches pages nor asks a file. */
bool sc_mmap_is_prompt(const sc_regs *regs);

/* sc_place.c: `--layout`; each changes the registers of a call that lets the kernel choose the address */
void place_mmap(struct sup *sup, struct task *t);
void place_mremap(struct sup *sup, struct task *t);
void place_shmat(struct sup *sup, struct task *t);
/* Where mappings of a fresh image begin; 0: the kernel's business. */
u64 place_mmap_base(const struct sup *sup, pid_t pid, u64 stack_guard_gap);

/* sc_proc.c */
SC_DECLARE(clone);
/* The SC_FORK call that `t` is stopped at copies the mm. */
bool sc_copies_mm(struct task *t);
enum sc_verdict sc_wait_enter(struct sup *, struct task *);
enum sc_verdict sc_set_tid_address_enter(struct sup *, struct task *);
/* The kernel has copied space's mm; `uffd` is the child's. */
void sc_fork_event(struct space *space, int uffd);
/* PTRACE_EVENT_{FORK,VFORK,CLONE}: `t` made task `child_tid`. */
void sc_forked(struct sup *sup, struct task *t, pid_t child_tid);
/* A new task, with its space, goes for the first time. */
void sc_first_run(struct task *t);
/* `t` is gone, or about to be: close what its call left open. */
void sc_abandon(struct sup *sup, struct task *t);
/* `t` is in a call that makes a task, and has not named it yet. */
bool sc_is_making_task(const struct task *t);
enum sc_verdict sc_refuse_eperm(struct sup *, struct task *);
enum sc_verdict sc_refuse_einval(struct sup *, struct task *);
enum sc_verdict sc_refuse_eopnotsupp(struct sup *, struct task *);

/* orphan.c */
/* `t` dies in a call that has made an address space, or shares its own, and has not named who has it. */
void orphan_leave(struct sup *sup, struct task *t);
/* `t`, new and stopped, has no space: if its maker died before naming it, it gets what that left. */
void orphan_adopt(struct sup *sup, struct task *t);
/* The same of all such: a maker named its child, or died. */
void orphans_settle(struct sup *sup);
/* Let go of what nobody claimed, at the end of the run. */
void orphans_drop(struct sup *sup);

/* sc_vmwrite.c */
SC_DECLARE(vm_write);
/* Is somebody's process_vm_writev() about to write to that address, in whatever process? */
bool vm_writes_to(const struct sup *sup, u64 addr);

/* sc_area.c: calls that our stub is in the way of */
SC_DECLARE(alone);
/* Is it about nothing but our area?  Then it is answered with 0. */
bool sc_is_for_area(const struct task *t);
/* Must what is in staging go first?  Forks apart. */
bool sc_wants_flush(const struct task *t);
/* Must our stub and its area go before the call?  Pre: t has a space. */
bool sc_wants_way(const struct task *t);
/* They go; t will come with the call again; or, with swap full, gets -ENOMEM.  Pre: sc_wants_way(), flushed. */
enum sc_verdict sc_make_way(struct task *t);

/* sc_listing.c: calls that count threads */
enum sc_verdict sc_listing_enter(struct sup *, struct task *);
/*
 * `t`, which is followed because it counts threads, is at a syscall stop.  Is it the end of a call that has told it of some?
 * Then t->call is another one, to be started like one that it makes: what it was told is put right, and it goes on.
 */
bool sc_listing_told(struct task *t);

/* sc_sched.c */
SC_DECLARE(affinity);

/* sc_uring.c */
SC_DECLARE(uring_register);
/* Is the page at `addr` present, its own and not protected? */
bool sc_is_writable(const struct space *space, u64 addr);
/*
 * Make the page at `addr` present, its own and not protected.  *wait: something else may leave for it; false once that was
 * in vain.  Returns 0, or -EFAULT.
 */
int sc_bring_writable(struct space *space, u64 addr, bool *wait);

/* sc_futex.c */
SC_DECLARE(futex);

/* sc_seccomp.c: a program's own filter, rewritten so that ours survives it */
enum sc_verdict sc_seccomp_enter(struct sup *, struct task *);
enum sc_verdict sc_prctl_enter(struct sup *, struct task *);

#endif /* UPAGER_SC_H */
