/* SPDX-License-Identifier: MIT */
/*
 * reclaim.h - keeping the tree within its budget: who goes when, and the machine's part of it.
 *
 * Who calls it: the loop, after each batch of events (reclaim_work); on_fault.c and space.c when pages that are
 * out are needed; the control socket.  What a step means to the model is lib/mm/reclaim.h's.
 *
 *   room < low:   victims ---FILL---> staging ---packer---> store ---DROP---> room
 *                    '-------------- protect, packer, store, ZAP ------------> room
 *
 * All of it is asynchronous: commands to stubs, jobs to the packer, writes to the swap file; each end is an event.
 * While a command that touches the program's own pages is under way, calls of that address space wait
 * (space->evicting), as the command waits for a call that is in the kernel.
 * Linux counterpart: mm/vmscan.c (kswapd, shrink_node), mm/oom_kill.c.
 */
#ifndef UPAGER_RECLAIM_H
#define UPAGER_RECLAIM_H

#include <stdio.h>

#include "base/base.h"
#include "mm/hw.h"
#include "mm/reclaim.h"
#include "sys/ring.h"

struct reclaimer;
struct space;
struct stager;
struct sup;
struct vm_fault;

/*
 * Set the run's budget, policy, prefetcher, store and packer up as the options say; nothing without --memory.
 * Returns 0, or -errno with one line of why in err[0..len).
 */
int must_check reclaim_init(struct sup *sup, char *err, size_t len);
/* Pre: every space is gone, every stub too. */
void reclaim_fini(struct sup *sup);

/* Give back the references of evictions that are over: spaces may end. */
void reclaim_put_spaces(struct sup *sup);
/* The tick is about to let everybody who waits try again. */
void reclaim_tick(struct sup *sup);
/* Keep room; let go on who waits for it.  To be called when events have been handled.  O(1) when there is room. */
void reclaim_work(struct sup *sup);
/*
 * May the kernel fill so many pages by itself, at once?  A quarter of the budget, up to 1 MiB, may stand above it
 * until as many others have left.
 */
bool reclaim_has_room(const struct sup *sup, u64 nr_pages);
/* Send the stubs what reclaim_work() has left for later.  To be called before any wait. */
void reclaim_kick(struct sup *sup);
/* Is this completion for the reclaimer?  Then act on it. */
bool reclaim_event(struct sup *sup, const struct ring_event *ev);
/* Has reclaim_work() left a call that can start now?  Then it is to be called again before any wait. */
bool reclaim_due(struct sup *sup);
/* Something that waits is looked at by the tick: must it go on? */
bool reclaim_waits(const struct sup *sup);
/*
 * Handle the reclaimer's events that are there now, without waiting; others are kept for the loop.  For the few
 * moments in which a stopped task's memory is needed on the spot.
 */
void reclaim_pump(struct sup *sup);
/* A fault of a page that was out has been answered: bring what the prefetcher names. */
void reclaim_prefetch(struct space *space, const struct vm_fault *vmf);

/*
 * Before a fork, which would share the slots of staged pages: have all of them written.  Returns false when there
 * are such pages: calls that wait are started when there are none.
 */
bool reclaim_flushed(struct space *space);
/* Its stub is gone, and its space: forget the pages that nobody wants. */
void reclaim_forget_places(struct stager *st);
/* Its stub has ended; nothing that it was told can be relied on. */
void reclaim_stub_died(struct stager *st);
/* The space has got its id and its name. */
void reclaim_mm_created(struct space *space);
void reclaim_mm_gone(struct space *space);

/* Where swapped pages are; the arg is the sup. */
extern const struct backing_ops swap_backing;
/* hw_linux.c's: soft faults. */
int reclaim_unstage(struct mm_struct *mm, u64 addr, void *stage, u32 index, u32 pfn);
int reclaim_peek(void *stage, u32 index, void *page);
void reclaim_unstage_drop(void *stage, u32 index, u32 pfn);

/* A fault of the page at addr has been answered: see is_fresh(). */
void reclaim_answered(struct space *space, u64 addr);

/*
 * A spurious fault: did the program reach for a place of a staging area, which it can have from /proc/PID/maps (who looks
 * for pointers, or for leaks, reads all that can be written to)?  It gets zeroes; the place is dropped before it is used.
 */
void staging_touched(struct space *space, u64 addr);

/*
 * A new budget, in bytes (MEMORY_MIN_PAGES pages at least, whole pages).  Returns 0, or -errno with one line of
 * why in err[0..len) and the old budget kept.
 */
int must_check reclaim_set_memory(struct sup *sup, u64 bytes, char *err, size_t len);
/*
 * Another policy: "NAME[:k=v,…]", or the absolute path of a plug-in, "/FILE[:args]".  All pages go over to it.
 * Returns 0, or -errno with one line of why and the old policy kept.
 */
int must_check reclaim_set_policy(struct sup *sup, const char *spec, char *err, size_t len);
/* What the summary (--stat) says of a run with a budget. */
struct reclaim_summary {
	struct reclaim_stats model;
	u64 budget, staged_max;    /* pages */
	u64 background, direct;    /* victims taken ahead of need; while somebody waited */
	u64 flushed;               /* pages written out for a fork */
	u64 out_pages, out_bytes;  /* stored; bytes as packed */
	u64 soft_failed, oom_kills, write_errors, read_errors;
	u64 pool_bytes, pool_bytes_max, pool_pages, packed_bytes, same_pages;
	u64 file_pages, file_bytes_written, file_bytes_read, spilled;
	char policy[160], prefetch[160];
};
/* Returns false: this run has no budget. */
bool reclaim_summary(const struct sup *sup, struct reclaim_summary *out);
/* Settings and figures as key=value lines, sizes in bytes. */
void reclaim_show(struct sup *sup, FILE *out);

#endif /* UPAGER_RECLAIM_H */
