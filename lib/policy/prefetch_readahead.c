/* SPDX-License-Identifier: MIT */
/*
 * prefetch_readahead.c - read ahead of faults that go from page to page, up or down.
 *
 * Parameters: max=N, the largest window (64); min=N, the first (4), in pages. A stream is three
 * faults in a row of neighbouring pages; it reads min pages ahead, and twice as many each time
 * it has run through them (prefetch_common.h).  Several streams may go on at once.
 * madvise: SEQUENTIAL reads max pages ahead from the first fault on; RANDOM reads nothing.
 * Linux counterpart: mm/readahead.c ondemand_readahead(), and madvise(2)'s flags as
 * do_sync_mmap_readahead() takes them.  Linux starts after one step; here it takes two, since
 * one costs uniform random faults in a small area a percent or two of waste.
 */
#include "base/alloc.h"
#include "policy/param.h"
#include "policy/prefetch_common.h"

/* Faults that may become a stream. */
#define NR_CANDIDATES 16

struct candidate {
	u64 last;  /* page of its latest fault */
	s64 step;  /* from the one before: 1 or -1; 0: there was none */
	u64 used;  /* readahead_mm.clock then; 0: this entry is free */
};

struct readahead_mm {
	struct stream_table streams;
	struct candidate candidate[NR_CANDIDATES];
	u64 clock;
};

static void *readahead_mm_init(void *prefetch, const char *name)
{
	return mem_zalloc(&policy_bytes, sizeof(struct readahead_mm));
}

static void readahead_mm_fini(void *prefetch, void *mm)
{
	mem_free(&policy_bytes, mm, sizeof(struct readahead_mm));
}

/*
 * Add a fault that no stream expected to the candidate that it is next to, or to a new one in
 * place of the oldest.  Return: the step of the stream that this makes, the candidate being
 * free again; 0: not yet one.
 */
static s64 candidate_note(struct readahead_mm *mm, u64 vpn)
{
	struct candidate *oldest = &mm->candidate[0];

	for (u32 i = 0; i < NR_CANDIDATES; i++) {
		struct candidate *c = &mm->candidate[i];
		s64 step = (s64)(vpn - c->last);

		if (c->used && (step == 1 || step == -1)) {
			bool again = c->step == step;

			*c = again ? (struct candidate){ 0 } :
				     (struct candidate){ vpn, step, ++mm->clock };
			return again ? step : 0;
		}
		if (c->used < oldest->used)
			oldest = c;
	}
	*oldest = (struct candidate){ vpn, 0, ++mm->clock };
	return 0;
}

static u32 readahead_fault(void *prefetch, void *mm_state, const struct prefetch_fault *fault,
			   struct prefetch_run *run)
{
	struct readahead_mm *mm = mm_state;
	s64 step;

	if (fault->rand) {
		mm->streams.proven.nr = 0;
		return 0;
	}
	if (stream_advance(&mm->streams, prefetch, fault, run))
		return run->nr > 0;
	step = fault->seq ? 1 : candidate_note(mm, fault->vpn);
	if (!step)
		return 0;
	stream_begin(&mm->streams, prefetch, fault, step, run);
	return run->nr > 0;
}

static void readahead_waste(void *prefetch, void *mm_state, u64 vpn)
{
	struct readahead_mm *mm = mm_state;

	stream_waste(&mm->streams, prefetch, vpn);
}

static u32 readahead_proven(void *prefetch, void *mm_state, struct prefetch_run *run)
{
	const struct readahead_mm *mm = mm_state;

	*run = mm->streams.proven;
	return run->nr > 0;
}

const struct prefetch_ops prefetch_readahead = {
	.name = "readahead",
	.help = STREAM_HELP,
	.init = stream_limits_init,
	.fini = stream_limits_fini,
	.mm_init = readahead_mm_init,
	.mm_fini = readahead_mm_fini,
	.fault = readahead_fault,
	.hit = prefetch_ignore,
	.waste = readahead_waste,
	.proven = readahead_proven,
};
