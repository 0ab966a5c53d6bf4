/* SPDX-License-Identifier: MIT */
/*
 * reclaim.h - the budget, and how a page leaves memory: what the model decides and remembers of it.
 *
 * Who calls it: the pager's reclaim (pager/reclaim.c) and the simulation, which do the machine's part between the
 * steps; inside the model: faults and rmap tell it of frames that come and go.
 *
 *   mm_isolate      the policy names a victim: RESIDENT -> BUSY; faults on its ptes wait
 *     |
 *     |  EVICT_MOVE, EVICT_UNSHARE            the machine moves the page into a staging area
 *     +--> mm_stage       BUSY -> STAGED: the pte names the slot, the frame is its cache
 *     |      |                               a touch: do_swap_page -> a copy; or, when there is no room for
 *     |      |                               one, hw->unstage -> mm_unstaged: RESIDENT
 *     |      '--> mm_write_begin  STAGED -> BUSY: its bytes are read, compressed, stored
 *     |              '--> mm_evicted          stored, and dropped by the machine: the frame is free
 *     |
 *     |  EVICT_ZAP                            the machine protects the page wherever it is mapped, its bytes
 *     |                                       are read and stored, and the page is dropped from all
 *     +--> mm_evicted     the ptes name the slot, the frame is free
 *     |
 *     '--> mm_putback     the machine refused, or there is no room: RESIDENT again
 *
 * Invariant I12: the bytes of a slot are those of the page when it was stored; whether a frame that names it
 * still has them, only a comparison of hashes tells (dirty bits would cost a fault each).
 * Linux counterpart: mm/vmscan.c (shrink_folio_list), mm/rmap.c (try_to_unmap), mm/swapfile.c.
 */
#ifndef UPAGER_MM_RECLAIM_H
#define UPAGER_MM_RECLAIM_H

#include "base/base.h"
#include "mm/swap.h"
#include "policy/reclaim_ops.h"

struct frame;
struct mm_struct;
struct mm_world;
struct vm_area_struct;

/* Where the bytes of slots are.  `arg` is mm_config.backing_arg. */
struct backing_ops {
	/*
	 * The page of `slot`, borrowed until the next call; *page.  Returns 0; -EINPROGRESS: it is being
	 * read, come again; -EIO: lost.
	 */
	int (*read)(void *arg, u32 slot, const void **page);
	/* As read, but -EAGAIN rather than wait. */
	int (*read_now)(void *arg, u32 slot, void *page);
	/* Nobody will ask for it again; it will be used for another page. */
	void (*drop)(void *arg, u32 slot);
	/* Better not to keep the slots of pages that came back (Linux: vm_swap_full). */
	bool (*is_tight)(void *arg);
	/*
	 * A page that mm_prefetch() brought was used, or leaves and is not known to have been (from staging it may
	 * come back, and then was).  NULL: nobody asks.
	 */
	void (*prefetched)(void *arg, struct mm_struct *mm, u64 addr, bool used);
	/* read() of `slot` follows soon: its bytes may be fetched into the cache.  May be NULL. */
	void (*expect)(void *arg, u32 slot);
};

/* The model's part of reclaim.  Embedded in mm_world. */
struct reclaim {
	u64 budget;     /* frames there may be; 0: no limit, and no policy */
	const struct reclaim_ops *ops;
	void *policy;
	u64 nr_listed;  /* frames that the policy has */
	u64 nr_pinned;  /* frames in FRAME_PINNED: it has been found out that they cannot go */
	u64 need;       /* frames that a fault asked for in vain since this was last set to 0 */
	u32 emergency;  /* not 0: the budget may be exceeded: a thread that we wait for must go on */
	u32 evictions;  /* pages that went out, ever (wraps): the refault clock */
	u32 now_ms;     /* set by the pager */
};

struct reclaim_stats {
	u64 isolated, staged, rescued, evicted;
	u64 refused;    /* putbacks */
	u64 swapped_in; /* pages read back, prefetched ones among them */
	u64 prefetched; /* of those */
	u64 prefetch_used, prefetch_wasted;
	u64 refaults;
	u64 refault_distance; /* sum over refaults, in evictions */
	u64 refault_ms;       /* sum of how long they had been out */
	u64 clean;      /* evicted without a write */
};

/* `pages`: 0 takes the limit away.  The policy is resized.  Pre for not 0: there is a policy. */
void mm_set_budget(struct mm_world *world, u64 pages);
/*
 * Every evictable frame is given to the new policy, in order of pfn; the old one is ended with fini().
 * ops == NULL: none.
 */
void mm_set_policy(struct mm_world *world, const struct reclaim_ops *ops, void *policy);
/* Frames that may still be taken; 0 when over the budget, UINT64_MAX without one. */
u64 mm_room(const struct mm_world *world);
struct reclaim *mm_reclaim(struct mm_world *world);
const struct reclaim_stats *mm_reclaim_stats(const struct mm_world *world);

enum evict_how {
	EVICT_MOVE,    /* mapped once, by a vma whose pages the machine can move */
	EVICT_UNSHARE, /* as MOVE, but was shared by a fork since its last write: to be made exclusive first */
	EVICT_ZAP,     /* mapped more than once, or by a vma of another kind */
};

/* A page that is to leave.  Held by whoever isolated it, until putback or evicted. */
struct victim {
	u32 pfn;
	u32 slot;
	u32 nr_maps;
	enum evict_how how;
	struct mm_struct *mm; /* of the first mapping: the only one unless ZAP */
	u64 addr;
	u64 vm_flags;         /* of its vma */
};

/*
 * May the page at addr of mm, which is one mapping of a candidate, be taken now?  (Is a call in the kernel that
 * changes it, …).  It must not change the model.
 */
typedef bool (*may_evict_fn)(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg);
/*
 * The policy's next victim that may be taken.  can_move: the machine has a way to move pages.
 * Returns 0; -EAGAIN: there are frames, but none of those looked at may be taken now; -ENOENT: the policy has
 * none; -ENOMEM.
 */
int must_check mm_isolate(struct mm_world *world, bool can_move, may_evict_fn may_evict, void *arg,
			  struct victim *out);
/* Each mapping of a BUSY frame.  fn must not change the model. */
int mm_victim_walk(struct mm_world *world, u32 pfn,
		   int (*fn)(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg), void *arg);
/* Is it a page that a device may hold?  Then it may be moved, but not dropped. */
bool mm_victim_pinned(const struct mm_world *world, u32 pfn);
/* The slot of a victim, or of a page in staging. */
u32 mm_frame_slot(const struct mm_world *world, u32 pfn);
/* The frame that caches the slot; PFN_NONE (UINT32_MAX): none. */
u32 mm_slot_frame(const struct mm_world *world, u32 slot);
/* Is that in staging (or was, and is BUSY on its way out of it)?  Then where. */
bool mm_slot_place(const struct mm_world *world, u32 slot, void **stage, u32 *index);
/* Frames in use beyond the budget. */
u64 mm_over(const struct mm_world *world);
/* How many ptes still map it; 0: the program has freed it meanwhile. */
u32 mm_victim_mapped(struct mm_world *world, u32 pfn);
/* EVICT_UNSHARE: the machine has lifted the protection. */
void mm_victim_unprotected(struct mm_world *world, u32 pfn);
/* EVICT_ZAP: the machine has protected every mapping. */
void mm_victim_protected(struct mm_world *world, u32 pfn);
/* It stays.  Also right when the program has freed it: then the frame goes. */
void mm_putback(struct mm_world *world, u32 pfn);
/*
 * It is in place `index` of the staging area `stage`, a handle of the machine's.  Returns false when the program has
 * freed it meanwhile: the machine still has it there, to be dropped; then mm_evicted().
 */
bool mm_stage(struct mm_world *world, u32 pfn, void *stage, u32 index);
/* STAGED -> BUSY: faults wait until mm_evicted() or mm_write_failed(). */
void mm_write_begin(struct mm_world *world, u32 pfn);
/* BUSY -> STAGED. */
void mm_write_failed(struct mm_world *world, u32 pfn);
/* Nobody names its slot any more: it need not be written. */
bool mm_staged_unwanted(const struct mm_world *world, u32 pfn);
/* STAGED or BUSY -> RESIDENT: the machine has moved it back to addr of mm, for a fault.  err: or has not. */
void mm_unstaged(struct mm_world *world, u32 pfn, struct mm_struct *mm, u64 addr, int err);
/* The machine has no copy any more; the slot holds its bytes (`clean`: and did already). */
void mm_evicted(struct mm_world *world, u32 pfn, bool clean);

/*
 * The pte at addr is a swap pte or names the zero page or a frame that is shared, but the machine has a page there, which
 * is mm's own: a new frame.  `wp`: the machine has it write-protected.
 */
void mm_readopt(struct mm_struct *mm, u64 addr, bool wp);

/*
 * The machine has given one mapping of a shared page a page of its own, without a fault: it was pinned at a fork, or
 * pinned for reading while it was shared (FAULT_FLAG_UNSHARE).  It gets a frame of its own, beyond the budget if need be.
 * Pre: pfn, isolated, is mapped at addr and elsewhere.  Returns false when that cannot be told now; nothing is changed then.
 */
bool mm_unshared(struct mm_struct *mm, u64 addr, u32 pfn);

/*
 * Bring the pages from addr on ahead of need, as long as they are swapped out, of one vma, and at hand, and
 * there is room; at most nr, at most SWAP_BUF_PAGES.  *slot: 0, or the slot of the page at which it ended because
 * its bytes must be waited for.  Returns pages brought.
 */
u32 mm_prefetch(struct mm_struct *mm, u64 addr, u32 nr, u32 *slot);
/* mm_prefetch() of addr follows soon: where it is swapped out, its bytes may be fetched into the cache. */
void mm_prefetch_expect(struct mm_struct *mm, u64 addr);
/* A prefetched page is known to have been used: its stream went on behind it. */
void mm_prefetch_used(struct mm_struct *mm, u64 addr);
#define SWAP_BUF_PAGES 64u
#define SWAP_BUF_BYTES (SWAP_BUF_PAGES * PAGE_SIZE)

/* What a policy of the user's own may ask of a page (include/upager/policy.h). */
struct mm_page_info {
	const struct mm_struct *mm; /* of its first mapping; NULL: unmapped */
	u64 addr, vm_flags;
	u32 age_ms;         /* since it came in */
	u32 mapcount;
};
void mm_page_info(const struct mm_world *world, const struct reclaim_node *node,
		  struct mm_page_info *out);

/* ---- for the model's own files ---- */

/* Room for `nr` more frames?  Else the need is noted, and the fault must wait.  O(1). */
bool reclaim_charge(struct mm_world *world, u64 nr);
/* `key`: the slot that it was out under; 0: none. */
void reclaim_insert(struct mm_world *world, struct frame *frame, u32 key, unsigned int flags);
/* The frame is not to be chosen any more. */
void reclaim_forget(struct mm_world *world, struct frame *frame);
void reclaim_forget_key(struct mm_world *world, swp_entry_t entry);
/* The vma is not locked any more: its pages may be chosen again. */
void reclaim_unpin(struct mm_world *world, struct frame *frame);
/* A victim of the policy's is in its hands again. */
void reclaim_putback(struct mm_world *world, struct frame *frame, enum reclaim_putback why);
/* A copy of the staged page was made for who reached for it: to the policy it was evicted, and comes back. */
void reclaim_rescued(struct mm_world *world, struct frame *frame);
/* What is known of a frame that was brought ahead; nothing when it was not. */
void reclaim_tell_prefetched(struct frame *frame, struct mm_struct *mm, u64 addr, bool used);
/* It was out under `entry`: count how long. */
void reclaim_refault(struct mm_world *world, swp_entry_t entry);

#endif /* UPAGER_MM_RECLAIM_H */
