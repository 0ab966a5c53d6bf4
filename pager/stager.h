/* SPDX-License-Identifier: MIT */
/*
 * stager.h - the machine's hands inside one address space: its stub, and its staging area.
 *
 * Who calls it: staging.c and zap.c, which know what the commands are for; space.c and sc_proc.c when an address space
 * is made; on_stop.c when a stub stops or ends.  It knows places and frames' numbers, not why.
 *
 * Made with the address space when the run has a budget: the area (code, commands, results), then the staging area,
 * a plain private mapping that is registered with the space's userfaultfd so that UFFDIO_MOVE may go there.
 *
 *      [ code | commands | results, scratch | staging ... | guard ]     one mapping's room; not for children of a fork
 *
 * The stub is a thread of the program's process: a process of its own would be a child that waits (__WALL) and
 * subreapers see.  So it ends when its process does, and must be told to when the last thread leaves without
 * exit_group; and it must be away when the kernel is asked for what only a process of one thread gets
 * (stager_suspend).  Its staging area stays readable (mem) as long as anybody uses the address space; a stager lives
 * until nobody wants what is in there.
 */
#ifndef UPAGER_STAGER_H
#define UPAGER_STAGER_H

#include <sys/types.h>

#include "base/base.h"
#include "base/list.h"
#include "sys/stub.h"
#include "sys/tracee.h"

struct space;
struct sup;
struct task;

#define STAGING_PAGES 1024u
#define STAGING_BYTES (STAGING_PAGES * PAGE_SIZE)

enum place_state {
	PLACE_FREE,
	PLACE_FILLING,  /* the stub moves a page in */
	PLACE_STAGED,
	PLACE_READING,  /* the packer reads it */
	PLACE_STORING,  /* its bytes are on their way to the file */
	PLACE_MOVING,   /* the stub moves it back, for a fault */
	PLACE_DUE,      /* nobody needs what is in it: to be dropped */
	PLACE_DROPPING, /* the stub drops it */
	PLACE_HELD,     /* the program itself reached for it: its zero page, or what it wrote since */
};

struct place {
	u32 pfn;
	u8 state;      /* enum place_state */
	bool clean;    /* DUE, DROPPING: its slot held its bytes already */
	bool lost;     /* it could not be read */
	bool unwanted; /* the program has freed the page: to be dropped when nobody is at it */
	bool touched;  /* DUE, DROPPING: no frame of the model, but the zero page, for the program looked there */
};

/* What a command was for; by its number modulo STUB_RING. */
enum stager_op_kind {
	OP_NONE,    /* its result does not matter */
	OP_FURNISH, /* of its birth; `err` has why one failed */
	OP_FILL,    /* MOVE into places [place, place + nr) from addr */
	OP_UNSHARE, /* POPULATE_WRITE before a FILL; failing is found out by that */
	OP_RESCUE,  /* MOVE place back to addr */
	OP_DROP,    /* DONTNEED places [place, place + nr) */
	OP_ZAP,     /* DONTNEED the program's page at addr */
};

struct stager_op {
	enum stager_op_kind kind;
	u32 place, nr;
	u64 addr;
	void *cookie; /* ZAP: the caller's */
};

struct stager {
	struct list_head link;  /* sup.stagers */
	struct sup *sup;
	struct space *space;    /* NULL: gone */
	pid_t pid;              /* the stub; 0: it is gone */
	pid_t tgid;             /* of the process that it is a thread of */
	int cpu;                /* to which it was pinned; -1: not yet */
	pid_t vpid;             /* as its own pid namespace has it */
	struct stub stub;
	u64 staging;            /* address of the staging area in the program */
	struct range area;      /* all of it */
	int uffd;               /* the stub's descriptor of the space's userfaultfd */
	int mem;                /* /proc/PID/mem; -1 */
	u32 nr_used;            /* places that are not FREE */
	u32 nr_held;            /* places that are HELD */
	u32 held_hand;          /* the next of them to go */
	u32 nr_staged;          /* places STAGED */
	u32 fill_hand;          /* where the next page goes; places are filled round and round */
	u32 write_hand;         /* behind the place that was written out last: there the oldest are */
	u32 due_hand;           /* no place before this one is DUE */
	u32 turn;               /* reclaimer.turn when its oldest pages were last written */
	u32 jobs;               /* packer jobs that read its pages */
	u32 nr_due;             /* places DUE */
	bool has_unwanted;      /* some place is `unwanted` */
	bool stuck;             /* a page could not be moved back: write soon */
	u32 nr_ops;             /* commands whose results are to come */
	int err;                /* of the last of its birth's commands that failed, -errno; 0: none did */
	bool closed;            /* between stager_close() and stager_open() */
	bool stopped;           /* with its process (SIGSTOP) */
	u32 nr_queued;          /* pages of the commands since the last kick */
	bool dying;             /* it was told to end, or has */
	struct place place[STAGING_PAGES];
	struct stager_op op[STUB_RING];
};

/*
 * Make one in the address space of `t`, which is at a syscall exit stop or its first stop, with a userfaultfd.
 * The injected calls may fault: faults of the space are answered meanwhile.  space->stager stays NULL when it
 * cannot be had: its pages then cannot be evicted.  One line says so, once, but not of a task that can have no thread
 * because of its namespaces: most only wait for a child.
 * Returns 0, or -ESRCH: t died (*death).
 */
int must_check stager_create(struct task *t, struct tracee_stop *death);
/* Is addr in an area of ours in that space? */
bool stager_owns(const struct space *space, u64 addr);
/* The space is gone, and with it what its stagers have. */
void stagers_detach(struct space *space);
/*
 * A task of the program is about to end with that wait status.  The stub must not be left alone in its process; and
 * as it may be the last to go, it goes with the same status, which then is the process's: an exit code, or a signal, by
 * which one thread alone can die, too (SECCOMP_RET_KILL_THREAD).  Linux: synchronize_group_exit.
 */
void stager_leave(struct task *t, int status);
/*
 * End the space's stub, wait for that, and unmap its area by t, which is at a seccomp stop and makes its call anew when
 * it is resumed.  stager_create() may follow.  Pre: no place is used.  Returns 0, or -ESRCH: t dies (*death).
 */
int must_check stager_remove(struct task *t, struct tracee_stop *death);
/* The stager whose stub is task `tid`; NULL: none. */
struct stager *stager_of_stub(struct sup *sup, pid_t tid);
/* Its stub stopped or ended. */
void stager_stop(struct stager *st, struct tracee_stop s);
/* Serve the stops of the space's stubs, which the loop cannot now.  A process that is killed ends with its stub. */
void stager_serve(struct space *space);

/*
 * mlockall(MCL_CURRENT) locks and fills every mapping, ours too.  Around it: close lets the kernel fill the staging
 * area alone (pre: no place is used); open unlocks it, in the kernel and in the model, empties it and goes on.
 */
void stager_close(struct stager *st);
void stager_open(struct stager *st);

/* Room for `nr` more commands? */
bool stager_room(const struct stager *st, u32 nr);
/* `nr` FREE places next to each other, at most max, as many as there are at the hand; 0: none.  *first. */
u32 stager_free_places(struct stager *st, u32 max, u32 *first);
/* Queue commands; sent by stager_kick().  Pre: room. */
void stager_fill(struct stager *st, u64 addr, u32 place, u32 nr);
void stager_unshare(struct stager *st, u64 addr, u32 nr);
void stager_rescue(struct stager *st, u32 place, u64 addr);
void stager_drop(struct stager *st, u32 place, u32 nr);
void stager_zap(struct stager *st, u64 addr, void *cookie);
void stager_kick(struct stager *st);
/* The address of a place in the program. */
u64 stager_addr(const struct stager *st, u32 place);
/*
 * The next command that is done: what it was, and what came of it: 0 or -errno; *moved: pages, for FILL and
 * RESCUE.  Returns false when there is none yet.
 */
bool stager_next(struct stager *st, struct stager_op *op, s64 *result, u32 *moved);
/* The oldest command that a dead stub never answered.  Pre: nr_ops. */
struct stager_op stager_next_lost(struct stager *st);
/*
 * Nobody needs its stub any more: it is told to end.  When it has ended, nobody waits for what it was to drop, and
 * the stager goes with the last page of an area that is no longer mapped.  Pre: no job is out.
 */
void stager_end(struct stager *st);

#endif /* UPAGER_STAGER_H */
