/* SPDX-License-Identifier: MIT */
/*
 * reclaimer.h - the reclaimer's inside, shared by the files that it is made of, and known to nobody else:
 *
 *   reclaim.c      who goes when, and who waits for that     reclaim_ctl.c  start, end, settings, figures
 *   staging.c      victims that can be moved                 stager.c       their stub and staging area
 *   zap.c          those that cannot                         packer.c       the thread that reads and compresses
 *   writeout.c     jobs for the packer, results to the store
 *   swap.c         the store, and reads that take time       prefetch.c, oom.c
 *
 * docs/ARCHITECTURE.md, "Less memory", tells how they go together.
 */
#ifndef UPAGER_RECLAIMER_H
#define UPAGER_RECLAIMER_H

#include "packer.h"
#include "policy/prefetch_ops.h"
#include "plugin.h"
#include "policy/reclaim_ops.h"
#include "reclaim.h"
#include "stager.h"
#include "sup.h"
#include "swap/store.h"

/* Ring tags; [TAG_STORE, TAG_STORE + 2^32) is the store's. */
#define TAG_STUBS  (4ULL << 32)
#define TAG_PACKER (5ULL << 32)
#define TAG_STORE  (6ULL << 32)

#define NR_JOBS 4

/* A page that is read back from the swap file. */
struct swap_read {
	struct list_head link; /* reclaimer.reads */
	u32 slot;
	u32 space_id;          /* prefetch: to be mapped there when it has come; 0: a fault asks again */
	u64 addr;
	bool done;
	bool dropped;          /* the slot was freed meanwhile */
	int err;
	u8 *page;              /* aligned; owned */
};

/*
 * A page that leaves without staging: EVICT_ZAP.  Each mapping holds its space, so that none can go or be added
 * until it is over.
 */
#define ZAP_MAX_MAPS 64
struct zap {
	struct list_head link; /* reclaimer.zaps_new, then .zaps */
	u32 pfn;
	u32 to_drop;           /* mappings whose DONTNEED is not done yet */
	bool clean;
	bool storing;          /* its bytes are on their way to the file */
	u32 nr;
	struct zap_map {
		struct zap *zap;
		struct space *space;
		u64 addr;
		bool failed;   /* it could not be dropped here */
	} map[];
};

struct reclaimer {
	bool can_move;         /* UFFDIO_MOVE */
	u64 budget;            /* pages */
	u64 low, high;         /* room, in pages: below low it begins, at high it ends */
	u64 ahead;             /* pages brought ahead of need by a fault, average of the last 64 or so, times 64 */
	u64 staged_target;     /* pages to keep in staging: the second chance */
	u64 nr_staged, nr_filling; /* over all stagers */
	u64 nr_leaving;        /* frames that will soon be free: being read, stored, dropped, zapped */
	u32 turn;              /* whose oldest page goes next: stagers whose turn differs */

	struct swap_store *store;
	struct packer *packer;
	struct pack_job *jobs[NR_JOBS]; /* idle ones */
	int nr_idle_jobs;
	struct list_head puts;     /* spaces with references to be given back */
	struct list_head zaps_new; /* protected; to be packed */
	struct list_head zaps;     /* being packed, stored, dropped */
	struct list_head reads;
	u32 nr_reads;
	u8 *page;              /* scratch for one page, aligned */
	bool swap_full;        /* the store had no room; until a slot is dropped */
	bool freed;            /* frames came free: whoever waits may try again */

	const struct prefetch_ops *prefetch;
	void *prefetcher;

	u64 idle_since_ns;     /* somebody waits for memory and nothing leaves; 0: not so */
	u64 oom_checked_ns;    /* when oom_check() was last asked */
	u64 idle_progress;     /* progress() then */
	u64 ticks, idle_ticks; /* of the timer; then */
	u32 oom_space;         /* id of the space that was killed and is not yet gone; 0: none */
	u32 pass;              /* of reclaim_work: what may_evict() found out of a space holds for one pass */
	u32 fresh_space;       /* id of the space whose fault was answered last, */
	u64 fresh_addr;        /* its page, */
	u64 fresh_tick;        /* and `ticks` then */
	bool running;          /* between low and high */
	bool waiting;          /* a fault found no room when it was last tried */
	bool flushing;         /* a fork waits for an empty staging area */
	bool calls_due;        /* a space has calls that waited for evictions, which are over */
	char policy_spec[4096]; /* as the user said */

	u64 pool_bytes, file_bytes; /* what the store may use */
	int swap_fd;           /* -1: none */
	struct policy_host policy_host;
	u64 out_pages, out_bytes; /* that were stored; bytes as packed */
	u64 background, direct, flushed, staged_max;
	u64 oom_kills, soft_failed, write_errors;
};

/* ---- reclaim_ctl.c ---- */
/* The marks, after a change of the budget or of `ahead`. */
void reclaim_set_marks(struct reclaimer *r);

/* ---- reclaim.c ---- */
/* A command that touches pages of the program is under way: calls of that space wait. */
void evicting_begin(struct space *space);
void evicting_end(struct space *space);
/* The machine has dropped the page: its frame is free. */
void frame_left(struct sup *sup, u32 pfn, bool clean);

/* ---- staging.c ---- */
#define VICTIM_BATCH 64
/* Victims that are neighbours in one address space, to be moved by one command. */
struct fill_run {
	struct stager *st;
	u64 addr;
	u32 nr;
	u32 pfn[VICTIM_BATCH];
	bool unshare;
};
/* Have a victim moved into staging, with those before it where they are neighbours; flush sends the last. */
void staging_add(struct fill_run *run, const struct victim *v);
void staging_flush(struct fill_run *run);
/* Take up to `want` of the oldest staged pages, of each stager in turn, to the packer.  Returns how many. */
u32 staging_write_out(struct sup *sup, u64 want);
/* All pages of those stagers that are to be emptied. */
void staging_flush_stuck(struct sup *sup);
/* A job of staged pages is packed. */
void staging_packed(struct sup *sup, struct pack_job *job);
/* It cannot be stored: it stays in staging, where a fault finds it. */
void staging_stay(struct stager *st, u32 place);
/* Nobody needs what is in the place: it is dropped with its neighbours (staging_drop_due). */
void staging_place_due(struct stager *st, u32 place);
void staging_find_unwanted(struct stager *st);
void staging_drop_due(struct stager *st);
/* Act on what the stub has done. */
void staging_collect(struct stager *st);

/* ---- zap.c ---- */
void zap_begin(struct sup *sup, const struct victim *v);
/* Send what was begun to the packer. */
void zaps_submit(struct sup *sup);
void zap_packed(struct sup *sup, struct pack_page *page);
/* Its bytes are stored: out of every address space with it. */
void zap_drop(struct sup *sup, struct zap *z);
/* It stays. */
void zap_undo(struct sup *sup, struct zap *z);
/* The stub has dropped one mapping of it. */
void zap_dropped(struct stager *st, const struct stager_op *op, s64 err);

/* ---- writeout.c ---- */
u32 slot_of(const struct sup *sup, u32 pfn);
/* An idle job, or NULL. */
struct pack_job *job_get(struct reclaimer *r);
void job_put(struct reclaimer *r, struct pack_job *job);
struct pack_page *job_add(struct sup *sup, struct pack_job *job, u64 addr, u32 pfn, u32 place);
/* To the packer; it may be done when this returns. */
void job_submit(struct sup *sup, struct pack_job *job);
/* Take the jobs that are done. */
void jobs_collect(struct sup *sup);
/* Put packed bytes under the slot.  Returns as swap_store_put(). */
int must_check store_page(struct sup *sup, u32 slot, const struct pack_page *page);

/* ---- swap.c ---- */
int must_check swap_init(struct sup *sup, char *err, size_t len);
void swap_fini(struct sup *sup);
/* The store's events. */
void swap_event(struct sup *sup, const struct ring_event *ev);
/* Have `slot` read for a prefetch into addr of space. */
void swap_read_ahead(struct space *space, u64 addr, u32 slot);
/* A write to the file has ended (writeout.c). */
void reclaim_written(struct sup *sup, u32 slot, int err);

/* ---- oom.c ---- */
/* Somebody waits for memory in vain. */
void oom_check(struct sup *sup);
void oom_forget(struct sup *sup, const struct space *space);

/* ---- prefetch.c ---- */
/* A page brought ahead was used, or leaves and is not known to have been. */
void prefetch_told(struct space *space, u64 addr, bool used);
int must_check prefetch_init(struct sup *sup, char *err, size_t len);
void prefetch_fini(struct sup *sup);

#endif /* UPAGER_RECLAIMER_H */
