/* SPDX-License-Identifier: MIT */
/*
 * placement.h - keeping a faulting thread and the supervisor on one CPU.
 *
 * Where a wake-up of an idle CPU is dear (virtual machines), a fault answered on the faulting thread's CPU
 * costs a sixth of one answered on another (KERNEL.md).  Following alone does not do, because the
 * scheduler moves the woken thread to the idle CPU.  So a thread in a burst of faults, traps or signals is *held*:
 * both it and we are pinned to the CPU where it is.
 *
 *  - The first FREE_EVENTS of a burst are left to the scheduler.  They show where it wants the thread
 *    to be, and what an event costs here without holding.
 *  - A thread is held until it has been quiet for HOLD_QUIET_NS.  Every HOLD_MAX_NS all are let go for
 *    FREE_EVENTS, so that a busy neighbour can be escaped and the two costs stay measured.
 *  - Where holding costs more than it saves (cheap wake-ups, a busy neighbour) it is given up for a while.
 *  - Nobody is held while several tasks are at work (threads that fault in turns, make -j): they would
 *    lose their parallelism, and no CPU is idle then.  A parent and the child it waits for may be held.
 *  - But with a budget, when there are so many events that we are what everybody waits for, one or many, a contest
 *    decides: what is (all free, or all held) is tried against the contrary, CONTEST_NS each, every SETTLED_NS, and
 *    gives way to what lets a tenth more events through.
 *
 * Invisible: sched_getaffinity and sched_setaffinity release the thread first (sc_sched.c); a new task
 * inherits the program's mask with the hold.
 */
#ifndef UPAGER_PLACEMENT_H
#define UPAGER_PLACEMENT_H

#include <sched.h>
#include <sys/types.h>

#include "base/base.h"
#include "base/list.h"

struct sup;
struct task;

/* placement's part of a task. */
struct placed {
	struct list_head held_link; /* placement.held; empty: not held */
	cpu_set_t own;              /* the program's mask, valid while held */
	u64 last_ns;                /* its last fault, trap or signal */
	u32 streak;                 /* events in the current burst */
	bool making;                /* it was held when it began to make a task, */
	cpu_set_t making_own;       /* and this was its own mask */
};

enum contest {
	CONTEST_OFF,     /* too few events: the other rules hold */
	CONTEST_SETTLED, /* as was decided last */
	CONTEST_COUNT,   /* the same, counting */
	CONTEST_TRIAL,   /* the contrary, counting */
};

struct placement {
	bool enabled;
	u32 frozen;            /* calls in the kernel that look at or set masks: nobody is held anew */
	int cpu;               /* where we are pinned; -1: free */
	struct list_head held; /* struct task, by placed.held_link */
	cpu_set_t all;         /* our own mask when free */
	u64 since_ns;          /* when this hold began */
	u32 free_ns;           /* the shortest recent gap between two events without holding; 0: unknown */
	u32 held_ns;           /* the same with holding */
	u64 given_up_until_ns; /* do not hold before */
	u32 nr_held_gaps;      /* since the last comparison of the two */
	pid_t last_tid;        /* who came to us last */
	u32 turns;             /* how often somebody else came next: smoothed, TURNS_ONE = always */
	enum contest contest;
	bool together;         /* what was decided: all are held */
	u64 contest_ns;        /* since when it stands so */
	u32 nr_events;         /* since then */
	u32 rate;              /* events in a second of CONTEST_COUNT */
};

void placement_init(struct placement *p, bool enabled);
/* `t` raised a fault, or stopped at a trapped call or a signal, at `now`.  May pin it and us. */
void placement_event(struct sup *sup, struct task *t, u64 now);
/* Release what has been quiet.  Returns true while something is held (tick again). */
bool placement_tick(struct sup *sup, u64 now);
/* Give `t` its own mask back. */
void placement_release(struct sup *sup, struct task *t);
void placement_release_all(struct sup *sup);
/* `t` is dead: forget it. */
void placement_forget(struct sup *sup, struct task *t);
/*
 * From here to placement_thaw() everybody has the mask that the program knows, for a call that looks at
 * masks or sets them.
 */
void placement_freeze(struct sup *sup);
void placement_thaw(struct sup *sup);
/* `t` is about to make a task, which will inherit the mask that it has now. */
void placement_making(struct sup *sup, struct task *t);
/* `parent` made `child`. */
void placement_inherit(struct sup *sup, struct task *parent, struct task *child);

#endif /* UPAGER_PLACEMENT_H */
