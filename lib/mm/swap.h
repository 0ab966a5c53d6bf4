/* SPDX-License-Identifier: MIT */
/*
 * swap.h - the swap area as the model counts it: which slots exist, who names them, what is cached.
 *
 * Who calls it: zap, fork and fault (swap ptes), reclaim (a page goes out).  A slot is a number; the bytes
 * behind it are the backing's (struct backing_ops, in the pager lib/swap).
 *
 * A slot is named by swap ptes, and by at most one frame, its swap cache: a frame that is on its way out, or one
 * that came back and whose bytes may still be those of the slot.
 *
 *      count == swap ptes that name it + 1 if a frame does (I10);  0: free
 *
 * Unlike Linux a page that was read back belongs to one address space only: the machine cannot map one new page
 * into two.  So a slot that is shared after fork is read once for each.
 * Linux counterpart: mm/swapfile.c (swap_map), mm/swap_state.c, mm/workingset.c (the shadow).
 */
#ifndef UPAGER_MM_SWAP_H
#define UPAGER_MM_SWAP_H

#include "base/base.h"

struct frame;
struct mm_world;

/* Not to be calculated with.  0: none. */
typedef struct {
	u32 val;
} swp_entry_t;

struct swap_slot {
	u32 count;    /* 0: free */
	u32 pfn;      /* the frame that caches it, or PFN_NONE; free: the next free slot, 0: none */
	u32 evictions; /* the world's count when the page went out (shadow) */
	u32 out_ms;   /* and the time */
};

/* All slots of a world.  Embedded in mm_world. */
struct swap_info {
	struct swap_slot *slot; /* [0] is never used */
	u32 nr_slots;           /* with [0]; grows in steps, never shrinks */
	u32 free;               /* head of the free ones; 0: none */
	u32 nr_used;
	u32 nr_used_max;
};

void swap_info_fini(struct mm_world *world);
/* A slot with count 1 for the caller.  {0}: no memory. */
swp_entry_t swap_alloc(struct mm_world *world);
/* One more swap pte (fork).  Source: swap_duplicate. */
void swap_duplicate(struct mm_world *world, swp_entry_t entry);
/*
 * One pte or frame less.  The last one frees the slot, tells the backing and the policy.  When only the cache is
 * left of a page in staging, nobody can ask for it any more: the frame is let go.  Source: swap_free.
 */
void swap_free(struct mm_world *world, swp_entry_t entry);
/* The frame that caches the slot, or NULL.  Source: lookup_swap_cache. */
struct frame *swap_cache_lookup(const struct mm_world *world, swp_entry_t entry);
/* The frame names the slot from now on; takes over one count of the caller's. */
void swap_cache_add(struct mm_world *world, struct frame *frame, swp_entry_t entry);
/* The frame names no slot any more (if it did); its count goes. */
void swap_cache_del(struct mm_world *world, struct frame *frame);
struct swap_slot *swap_slot(const struct mm_world *world, swp_entry_t entry);
/*
 * The free list, and each count against `names`, the swap ptes found that name the slot; `all`: in all address
 * spaces, not only in some.  BUG()s.
 */
void swap_verify(const struct mm_world *world, const u32 *names, bool all);

#endif /* UPAGER_MM_SWAP_H */
