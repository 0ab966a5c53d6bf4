/* SPDX-License-Identifier: MIT */
/*
 * sup.h - the supervisor: what it knows of the run, its processes and their address spaces.
 *
 * Start reading here for pager/.  One thread owns everything in this file; there are no locks.
 * The flow: loop.c waits and classifies; on_fault.c answers faults; on_stop.c answers ptrace stops, with
 * sc_table.c naming the trapped calls and sc_*.c knowing what each does to the model; hw_linux.c is
 * the model's hand on the machine; placement.c keeps a faulting thread and us on one CPU.
 */
#ifndef UPAGER_SUP_H
#define UPAGER_SUP_H

#include <stdio.h>
#include <sys/types.h>

#include "base/base.h"
#include "base/list.h"
#include "mm/mm_api.h"
#include "options.h"
#include "placement.h"
#include "stats.h"
#include "sys/procmaps.h"
#include "sys/ring.h"
#include "sys/tracee.h"

struct control;
struct sc_row;
struct run_shared;
struct reclaimer;
struct space_prefetch;
struct stager;

/* A fault whose answer waits: for an open plan that will change its page, for a fork, or for a retry. */
struct parked_fault {
	struct list_head link; /* space.parked */
	u64 address;
	unsigned int flags; /* enum fault_flags */
	pid_t tid;          /* as the message says; 0: unknown */
	u64 since_ns;       /* when the message was read */
};

/*
 * The machine's side of one mm_struct: 1:1 with it, made at exec or fork, freed with the mm's last
 * user.  Owned by the tasks that use it (space_get, space_put keep mm_users).
 */
struct space {
	struct sup *sup;
	struct mm_struct *mm;
	struct list_head link;    /* sup.spaces */
	struct list_head id_link; /* bucket of sup.spaces_by_id */
	u32 id;                   /* never used again in a run: names it in ring tags */
	int uffd;                 /* -1: none could be made; the kernel pages this one alone */
	int pagemap;              /* /proc/PID/pagemap, opened on first need; -1 */
	pid_t pid;                /* a process that uses it, for /proc/PID */
	struct task *caller;      /* whose trapped call is in the kernel; NULL: none */
	struct list_head waiters; /* tasks stopped at a trapped call until `caller` is done */
	struct list_head exit_waiters; /* tasks at their exit stop (on_exit.c) */
	bool fork_waits;          /* the first of them is a fork that must wait for a thread's exit */
	struct list_head parked;  /* struct parked_fault */
	bool forking;             /* caller is in fork: the model is frozen until the event comes */
	bool lock_future;         /* mlockall(MCL_FUTURE): the kernel fills new mappings itself */
	bool adopt;               /* pages were filled behind the model's back during this call */
	bool resync;              /* the model may differ from the kernel: read maps at the next stop */
	u32 verify_in;            /* events until the next mm_verify() */
	u32 calls_audited;        /* for sampling the audit of very large spaces */
	bool may_lag;             /* audit_frames.c, R15 */
	bool had_threads;         /* audit.c, R22 */
	u32 forked_from;          /* id of the parent's space, until the child first runs; 0: no fork's */
	u64 vdso_site;            /* address of a syscall instruction; 0: none known, or gone (space_check_vdso) */
	struct range args;        /* arguments and environment */
	char name[16];            /* of its program, as /proc/PID/comm has it */
	struct stager *stager;    /* NULL: none, its pages stay */
	u32 evicting;             /* commands to stubs that touch its pages: calls wait */
	bool newborn;             /* a fork's, whose first task has not stopped yet */
	u32 puts_due;             /* references that evictions held and no longer need */
	struct list_head put_link; /* reclaimer.puts */
	bool restage;             /* its stager is gone: make another when a call ends */
	bool keep;                /* its pages are to stay */
	struct range wanted;      /* those too: we are bringing them, to read them */
	bool pins_stay;           /* it has pinned pages that VmPin does not count (sc_uring.c) */
	u32 nr_exiting;           /* tasks between their exit stop and their end */
	u32 pass;                 /* reclaimer.pass when pass_may was found out */
	bool pass_may;
	struct space_prefetch *prefetch; /* prefetch.c; NULL: none yet */
};

enum task_state {
	TASK_RUNNING,  /* or about to be: nothing of ours is pending */
	TASK_NEWBORN,  /* its first stop or its parent's event is still to come */
	TASK_WAITING,  /* stopped at a trapped call, on space.waiters */
	TASK_CALLING,  /* in a trapped call; its exit stop (or fork event) is to come */
	TASK_EXECING,  /* past PTRACE_EVENT_EXEC; the exit stop of execve is to come */
};

/* The trapped call a task is in. */
struct call {
	const struct sc_row *row;
	sc_regs regs;             /* as they were at the stop */
	struct mm_plan *plan;     /* NULL: none open */
	struct mm_struct *child;  /* fork: valid after the plan's commit */
	struct space *child_space; /* fork, vfork, CLONE_VM: for the new task, a reference held */
	long result;              /* SC_SKIP: what the program gets */
	bool regs_changed;        /* restore `regs` (but the result) at the exit stop */
	bool froze;               /* it holds placement_freeze() */
	u64 scratch;              /* a row's own */
	u64 child_tid;            /* clone: CLONE_CHILD_CLEARTID's address, or 0 */
	struct tracee_stop death; /* SC_DIED */
};

#define NO_FD (~0UL)

/* One thread of the tree. */
struct task {
	struct list_head link;       /* bucket of sup.tasks */
	struct list_head wait_link;  /* space.waiters */
	struct list_head vm_write_link; /* sup.vm_writes: it is in process_vm_writev() */
	struct range vm_write;          /* to this */
	pid_t tid;
	pid_t tgid;                  /* 0 until known */
	int pidfd;                   /* of a process's first task, for the guardian (front.c); -1 */
	struct space *space;         /* NULL: before the first exec, or not yet known */
	enum task_state state;
	bool first_stop_seen;        /* NEWBORN: it is stopped and waits for its parent's event */
	u32 futex_again;             /* sc_futex.c: calls made anew, in a row, for a page that was there */
	u64 clear_tid;               /* where the kernel writes 0 when it exits; 0: nowhere */
	bool exiting;                /* past PTRACE_EVENT_EXIT */
	enum { INIT_UNKNOWN, INIT_NO, INIT_YES } init; /* it is of the first process of a PID namespace */
	int seccomp;                 /* its own mode, SECCOMP_MODE_*; 0: none, or whatever we are in ourselves */
	struct call call;
	struct listing {
		u32 calls; /* more that are followed; 0: it does not count threads */
		u64 fd;    /* of the directory; NO_FD: none is open */
		u32 stub_changes; /* sup's, before the call */
	} listing;                   /* sc_listing.c's */
	struct placed placed;        /* placement.c's */
};

#define TASK_BUCKETS  1024
#define SPACE_BUCKETS 64

/* Linux's default; the kernel tells nobody what its stack_guard_gap= was. */
#define STACK_GUARD_GAP (256 * PAGE_SIZE)

struct sup {
	const struct run_options *opt;
	struct run_shared *shared;
	struct mm_world *world;
	struct ring ring;
	int sigfd;
	int tickfd;               /* timer: parked retries, placement */
	bool ticking;
	struct list_head tasks[TASK_BUCKETS];
	u32 nr_tasks;
	struct list_head spaces;
	u32 nr_spaces;
	struct list_head spaces_by_id[SPACE_BUCKETS];
	struct list_head vm_writes; /* sc_vmwrite.c: tasks in that call */
	struct list_head orphans; /* orphan.c: spaces whose maker died before naming the new task */
	u32 next_space_id;
	pid_t root;
	u64 uffd_features;
	int listener;             /* of our filter: how a task is given uffd_dev; -1 */
	int uffd_dev;             /* /dev/userfaultfd; -1 */
	bool merges_exactly;      /* the kernel's rule for merging vmas is the model's: audit.c, R22 */
	u64 secret;               /* last argument of calls we inject (sc_seccomp.c) */
	u64 vdso_site;            /* offset of a syscall instruction in the vdso; 0: none */
	struct placement placement;
	struct reclaimer *reclaim; /* NULL: no budget */
	struct list_head stagers;
	int stub_fd;              /* eventfd: a stub has run dry */
	u32 stub_changes;         /* counts stubs that came and went */
	bool said_no_stager;
	struct ring_event *queue; /* events taken from the ring, not yet handled */
	u32 nr_queued, max_queued;
	struct tracee_stop *stops; /* drain_stops(): taken from the kernel, not all answered yet */
	u32 max_stops;
	u32 burst;                /* id of the space whose userfaultfd spoke last; 0: none */
	struct control *control;  /* control.c; NULL: no socket could be had */
	FILE *dump;               /* --dump-mm; NULL: none */
	struct stats stats;
	struct maps maps;         /* scratch */
	struct vma_desc *descs;   /* scratch */
	size_t nr_descs;
	struct maps audit_maps;   /* scratch of the audit */
	u32 frame_audits;         /* for sampling in audit_frames.c */
	bool failed;              /* an audit mismatch or a fault of our own: exit 125 */
	bool ending;              /* the tree is being killed */
};

/* ---- loop.c ---- */

/*
 * Supervise the task `root`, which waits to be told to start, and all that it starts, until the last
 * has ended.  `go_fd`: one byte written there lets it go on to exec.
 * Returns 0, or 125 with one line said on stderr.
 */
int supervise(const struct run_options *opt, struct run_shared *shared, pid_t root, int go_fd);
/* Say one line, kill the whole tree, make the run exit 125. */
void sup_fail(struct sup *sup, const char *fmt, ...) printf_like(2, 3);
/* Have tick work done some time soon (parked faults to retry, placement to review). */
void sup_need_tick(struct sup *sup);

/* Append an event to the loop's queue, or take the i-th out of it. */
void sup_queue(struct sup *sup, const struct ring_event *ev);
struct ring_event sup_unqueue(struct sup *sup, u32 i);

/* ---- limits.c ---- */
/* Bytes that --overcommit compares with: --commit-limit, else what this machine has.  0: unknown. */
u64 commit_limit(const struct run_options *opt);

/* ---- task.c ---- */
/* A pidfd, which the front waits on should we die; -1 when it cannot be had. */
int pidfd_of(pid_t tgid);
/* A copy of descriptor `fd` of that process, or -errno. */
int pidfd_getfd_of(int pidfd, int fd);
struct task *task_find(struct sup *sup, pid_t tid);
/* Find or make. */
struct task *task_get(struct sup *sup, pid_t tid);
void task_free(struct sup *sup, struct task *t);
/* Some task of that process that is not at its exit stop or past it, or NULL. */
struct task *task_of_process(struct sup *sup, pid_t tgid);
/* Some other task of its process, or NULL.  Pre: that is known. */
struct task *task_beside(struct sup *sup, const struct task *of);
/* Some living task other than `except` that uses `space`, or NULL. */
struct task *task_of_space(struct sup *sup, const struct space *space, const struct task *except);

/* ---- space.c ---- */

/*
 * A space around `mm` (owned from now on), polled on `uffd` (-1: none).
 * Never NULL: lack of memory here is fatal (BUG).
 */
struct space *space_create(struct sup *sup, struct mm_struct *mm, int uffd, pid_t pid);
struct space *space_get(struct space *space);
void space_put(struct space *space);
struct space *space_by_id(struct sup *sup, u32 id);
/*
 * Give `t`, stopped at the exit stop of its execve, a space: userfaultfd made inside it, model seeded from
 * maps, every private anonymous mapping armed.  Returns 0, or -ESRCH: it died meanwhile (reported in *death).
 */
int space_from_exec(struct sup *sup, struct task *t, struct tracee_stop *death);
/* Forget the vdso's syscall instruction when the program has unmapped it, or put something else there. */
void space_check_vdso(struct space *space);
/*
 * May calls be injected into `t`, of that space, at its stop at the end of a call?  Not where there is no vdso, and its own
 * system call instruction cannot be executed any more: a fault there would take the program's handler from it.
 */
bool space_may_call(struct space *space, const struct task *t);
/* Read /proc/PID/maps by any of its tasks.  Returns 0, or -ESRCH when none has an address space any more. */
int must_check space_read_maps(struct space *space, struct maps *maps);
/* Read /proc/PID/maps and make the model agree; arm and adopt what is new. */
void space_resync(struct space *space);
/* Its mappings alone: what came or went is not managed.  Returns false: the process is gone. */
bool space_relist(struct space *space);
/* The VM_* that the kernel gives to a mapping of that file by itself. */
u64 space_file_vm_flags(u64 dev, const char *name);
/* Take over the pages of `r` that the kernel has and the model has not. */
void space_adopt(struct space *space, struct range r);
/* Arm `r` and take over pages that are already there (if `adopt`). */
void space_arm(struct space *space, struct range r, bool adopt);
/* A descriptor of the space's /proc/PID/pagemap, kept open; or -errno. */
int space_pagemap(struct space *space);
/* mm_verify(), as often as its cost allows (check level 2 and above). */
void space_verify(struct space *space);
/* Open the call slot: retry what was parked, resume who waits. */
void space_call_done(struct space *space);
/* Read a stopped task's memory, filling missing pages first.  Returns 0, -EFAULT, -ESRCH. */
int must_check space_read(struct task *t, u64 addr, void *dst, size_t len);
/* As space_read, but -EAGAIN when a page is out and must be waited for. */
int must_check space_read_now(struct task *t, u64 addr, void *dst, size_t len);
/* Read what is there, without filling anything.  Returns 0, -EIO, -ESRCH. */
int must_check space_peek(struct space *space, u64 addr, void *dst, size_t len);
/*
 * Bring a page that is missing.  Returns 0; -EAGAIN: it is on its way, the caller does not wait (`now`);
 * -EFAULT: it cannot be had.
 */
int must_check space_bring(struct space *space, u64 addr, unsigned int flags, bool now);
/* Has the last task let go of it?  Some may be far from their ends all the same, and have no memory any more. */
bool space_is_over(const struct space *space);
/* Bring all pages that are out, whatever the budget says, and keep them: the kernel is to dump them. */
void space_bring_all(struct space *space);
int must_check space_write(struct task *t, u64 addr, const void *src, size_t len);

/* ---- on_fault.c ---- */
/* Read and answer all that a space's userfaultfd has to say.  Returns how many messages there were. */
int on_uffd(struct space *space);
/* Try the parked faults again, from the top. */
void faults_retry(struct space *space);
/* One turn of both, and of what parked faults wait for; `space` is for remote.idle to pass. */
void faults_serve(void *space);

/* ---- cow.c ---- */
/*
 * --cow eager: the child of a fork, stopped before its first instruction, gets memory of its own.
 * Return: 0; -ESRCH: it died meanwhile, and *death says how.
 */
int must_check cow_separate(struct task *t, struct tracee_stop *death);

/* ---- on_exit.c ---- */
/* `t` is at PTRACE_EVENT_EXIT, to end with wait status `status`: make the pages ready that the kernel will write, then let it die. */
void exit_begin(struct task *t, int status);
/* Try again for those who could not be let go yet. */
void exits_retry(struct space *space);
/* Some task of `space` may still write such pages: it must not be forked now. */
bool exit_pending(struct sup *sup, const struct space *space);

/* ---- on_stop.c ---- */
void on_stop(struct sup *sup, struct tracee_stop s);
/* The mm's call slot is free: start the trapped call that `t` was stopped at. */
void on_stop_call(struct sup *sup, struct task *t);

/* ---- hw_linux.c ---- */
extern const struct hw_ops hw_linux;

/* ---- audit.c ---- */
/*
 * Compare the model with the kernel (I14): vmas with /proc/PID/maps, present and wp bits with pagemap.
 * A difference is printed, both sides, and fails the run.  `after`: what happened, for the message.
 * Pre: no call of this space is in the kernel.
 */
void audit_space(struct space *space, const char *after);

#endif /* UPAGER_SUP_H */
