/* SPDX-License-Identifier: MIT */
/*
 * prefetch_ops.h - what a prefetcher is: after a fault of a page that was swapped out, which other pages of
 * the same address space are to be brought in with it.
 *
 * Who calls it: pager/prefetch.c, after the faulting thread was answered ("wake first, then fill around"), and the
 * trace tests.  The mechanism brings only those of the answer that are swapped out, lie in the same vma and find
 * room in the budget; it tells with hit() and waste() what became of each.
 * Linux counterpart: mm/swap_state.c (swap_cluster_readahead, swap_vma_readahead), mm/readahead.c.
 */
#ifndef UPAGER_PREFETCH_OPS_H
#define UPAGER_PREFETCH_OPS_H

#include "policy/reclaim_ops.h"

/* A run of pages `stride` pages apart: first, first + stride, … nr of them.  nr == 0: nothing. */
struct prefetch_run {
	u64 vpn;    /* the first; the faulting page itself is never in it */
	s64 stride; /* not 0; may be negative */
	u32 nr;
};
#define PREFETCH_MAX_RUNS 16

struct prefetch_fault {
	u64 vpn;               /* page number (address >> PAGE_SHIFT) */
	u64 vma_start, vma_end; /* page numbers; a run that leaves them is cut */
	bool write;
	bool seq, rand;        /* VM_SEQ_READ, VM_RAND_READ */
	bool soft;             /* it was still in staging: no I/O was needed */
	u32 max;               /* at most so many pages in all runs together; may be 0 */
	u32 mm;                /* id of the address space, as in reclaim_ops.mm_created() */
};

struct prefetch_ops {
	const char *name;
	const char *help; /* its parameters in a line, "" when it has none */
	/* As reclaim_ops.init. */
	void *(*init)(const struct policy_param *params, u32 nr_params, char *err, size_t len);
	void (*fini)(void *prefetch);
	/* State for one address space (`name`: of its program, for recorded); NULL: no memory, then none is made. */
	void *(*mm_init)(void *prefetch, const char *name);
	void (*mm_fini)(void *prefetch, void *mm);
	/* What to bring.  Fills run[0..return).  At most PREFETCH_MAX_RUNS. */
	u32 (*fault)(void *prefetch, void *mm, const struct prefetch_fault *fault, struct prefetch_run *run);
	/* A page that was prefetched was used, or left again unused. */
	void (*hit)(void *prefetch, void *mm, u64 vpn);
	void (*waste)(void *prefetch, void *mm, u64 vpn);
	/*
	 * Which pages of an earlier answer the last fault() has shown to be used: their use does not fault, but
	 * a stream that goes on behind them went through them.  Fills run[0..return), as fault().  NULL: it
	 * never knows.
	 */
	u32 (*proven)(void *prefetch, void *mm, struct prefetch_run *run);
};

extern const struct prefetch_ops *const prefetchers[];
const struct prefetch_ops *prefetcher_find(const char *name);

#endif /* UPAGER_PREFETCH_OPS_H */
