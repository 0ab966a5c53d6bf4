/* SPDX-License-Identifier: MIT */
/*
 * swapper.h - what pager/reclaim.c and its kin do around the model, on the fake machine: staging areas, commands to
 * stubs, a store, and all of it in any order.
 *
 * Who calls it: stream.c for the operations, machine.c when a fault must wait, tasks.c at the ends of spaces.
 * Every step that takes time on Linux is a job of several phases: what the machine does and what the model is told
 * of it come apart, and other operations go in between.
 *
 *   swapper.c  victims, staging, writing out, soft faults
 *   zap.c      pages that cannot be moved: protected, stored, dropped from every address space
 *   store.c    the bytes of slots, and reads that take time
 */
#ifndef UPAGER_SIM_SWAPPER_H
#define UPAGER_SIM_SWAPPER_H

#include "sim/sim.h"

#define SIM_PLACES 12u
#define SIM_SLOTS  8192u
#define SIM_READS  8u

enum sim_place_state {
	SIM_PLACE_FREE,
	SIM_PLACE_TAKEN,  /* a job is at it */
	SIM_PLACE_STAGED,
};

struct sim_place {
	u32 pfn;
	u16 frame;     /* what is in it, while `full` */
	u8 state;      /* enum sim_place_state */
	bool full, clean;
	bool unwanted; /* the model has said so; to be dropped */
};

/* A staging area.  Lives as long as its space, or something is in it. */
struct sim_stage {
	struct list_head link;
	struct sim *sim;
	struct sim_space *space; /* NULL: gone */
	u32 nr_used;
	struct sim_place place[SIM_PLACES];
};

enum sim_job_kind {
	SIM_FILL,   /* a page -> a place */
	SIM_RESCUE, /* a place -> a page */
	SIM_WRITE,  /* a place -> the store */
	SIM_DROP,   /* a place -> nothing */
	SIM_ZAP,    /* a page of several spaces -> the store, and out of all */
};

/* A page of a SIM_ZAP. */
struct sim_map {
	struct sim_space *space;
	u64 addr;
	bool failed; /* the machine would not drop it */
};

struct sim_job {
	struct list_head link;
	enum sim_job_kind kind;
	u32 phase;
	u32 pfn;
	int err;
	u8 tag;          /* WRITE, ZAP: the bytes that were read */
	bool clean;
	bool stored;     /* ZAP */
	/* all but ZAP */
	struct sim_stage *stage;
	u32 place;
	/* FILL, RESCUE */
	struct sim_space *space;
	u64 addr;
	bool unshare;
	/* ZAP */
	u32 nr_maps, nr_dropped;
	struct sim_map map[SIM_SPACES];
};

enum sim_read_state { SIM_READ_NONE, SIM_READ_PENDING, SIM_READ_DONE, SIM_READ_DROPPED };

/* A slot on its way from the store. */
struct sim_read {
	enum sim_read_state state;
	u32 slot;
	u8 tag;
	int err;
	u32 space_id; /* ahead of need: for this page; 0: for a fault */
	u64 addr;
};

struct sim_slot {
	bool has;
	u8 tag;
};

struct sim_swap {
	struct list_head stages, jobs;
	u32 nr_jobs;
	u64 random;
	struct sim_slot slot[SIM_SLOTS];
	struct sim_read read[SIM_READS];
	u8 page[PAGE_SIZE]; /* lent by backing.read() */
	bool tight, can_move;
	u32 nr_fail;        /* so many requests to come fail … */
	int fail_err;       /* with this */
};

/* ---- swapper.c ---- */

void sim_swap_init(struct sim *sim);
/* Everything comes to its end; what is left over is a BUG(). */
void sim_swap_fini(struct sim *sim);
/* A policy by its index, checked, for the current budget. */
void sim_set_policy(struct sim *sim, u32 index);
/* `pages`: 0 is none. */
void sim_set_budget(struct sim *sim, u64 pages);
/* Begin with up to `nr` victims.  Returns how many. */
u32 sim_evict(struct sim *sim, u32 nr);
/* Begin to write up to `nr` staged pages.  Returns how many. */
u32 sim_write_out(struct sim *sim, u32 nr);
/* One phase of one job or read, which one at random.  Returns false when there is none. */
bool sim_step(struct sim *sim);
/* A fault waits: do something that may help.  Returns false when nothing can be done. */
bool sim_make_progress(struct sim *sim);
/* Until no command touches pages of s: a call may start. */
void sim_wait_for_commands(struct sim_space *s);
/* mm_prefetch(), and a read ahead of what it stopped at. */
void sim_prefetch(struct sim_space *s, u64 addr, u32 nr);
/* mm_prefetch(), which must keep within the room there is.  Returns as it. */
u32 sim_bring(struct sim_space *s, u64 addr, u32 nr, u32 *slot);
/* Its staging area is its own no more. */
void sim_stage_detach(struct sim_space *s);
/* Is the page being brought back: on the machine already, in the model not yet? */
bool sim_is_rescued(const struct sim_space *s, u64 addr);
/*
 * A page that the machine does not have at addr: its byte, wherever it is.  Returns false when nobody has it.
 */
bool sim_find_swapped(const struct sim_space *s, u64 addr, u8 *tag);
/* The model does not hold more than it may. */
void sim_swap_check(struct sim *sim);

int sim_unstage(struct mm_struct *mm, u64 addr, void *stage, u32 index, u32 pfn);
int sim_peek(void *stage, u32 index, void *page);
void sim_unstage_drop(void *stage, u32 index, u32 pfn);

/* For the files of the swapper. */
u32 sim_random(struct sim *sim, u32 below);
struct sim_job *sim_job_new(struct sim *sim, enum sim_job_kind kind, u32 pfn);
void sim_job_end(struct sim *sim, struct sim_job *job);
void sim_commands_begin(struct sim_space *s);
void sim_commands_end(struct sim_space *s);

/* ---- zap.c ---- */

/* Begin, or put it back. */
void sim_zap_begin(struct sim *sim, u32 pfn);
void sim_zap_step(struct sim *sim, struct sim_job *job);

/* ---- store.c ---- */

extern const struct backing_ops sim_backing;
/* Put a page's byte under the slot.  Returns 0, -EINPROGRESS: ask again with `again`; -EIO or -ENOSPC. */
int sim_store_put(struct sim *sim, u32 slot, u8 tag, bool again);
/* Does the slot hold this byte already? */
bool sim_store_has(const struct sim *sim, u32 slot, u8 tag);
/* Begin to read for a page ahead of need. */
void sim_read_ahead(struct sim_space *s, u64 addr, u32 slot);
u32 sim_nr_reads(const struct sim *sim);
/* The nth pending read comes to its end. */
void sim_read_step(struct sim *sim, u32 n);

#endif /* UPAGER_SIM_SWAPPER_H */
