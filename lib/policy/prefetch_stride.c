/* SPDX-License-Identifier: MIT */
/*
 * prefetch_stride.c - find the stride of the faults by majority vote, and read ahead along it.
 *
 * Parameters: max=N, the largest window (64); min=N, the first (4), in pages.
 * Source: Al Maruf and Chowdhury, "Effectively Prefetching Remote Memory with Leap", ATC'20:
 * the trend is the delta that has a strict majority among the last w, w growing from a quarter
 * of the history to all of it, found by Boyer and Moore's vote (their FindTrend).  So a few
 * faults that do not belong do not hide it, and a short window sees a new trend early.
 * Differences:
 *  - Leap keeps one history for each process, in which streams that alternate hide each other.
 *    Here a history is kept of each place where faults come (a tracker: a fault joins the
 *    nearest within NEAR pages), and one of those that come at new places, which sees strides
 *    larger than that.
 *  - Leap counts hits to size its window; our hits do not fault.  A window grows when the fault
 *    after its end shows that it was used, and shrinks by waste (prefetch_common.h).
 *  - Two steps of one page make a trend at once.
 *  - Without a trend Leap still brings the pages around; here nothing is brought, so random
 *    faults cost nothing.
 * madvise: SEQUENTIAL reads max pages ahead from the first fault on; RANDOM reads nothing.
 */
#include "base/alloc.h"
#include "policy/param.h"
#include "policy/prefetch_common.h"

#define NR_TRACKERS  16
#define NEAR         1024 /* pages; 4 MiB */
#define HISTORY      16   /* deltas; a power of two */
#define FIRST_VOTE   4    /* the smallest window that is voted over: three equal deltas do */

struct tracker {
	u64 last; /* page of its latest fault */
	u64 used; /* stride_mm.clock then; 0: this entry is free */
	s64 delta[HISTORY]; /* a ring; slots not yet written hold 0, which is no trend */
	u32 next; /* slot to be written */
};

struct stride_mm {
	struct stream_table streams;
	struct tracker near[NR_TRACKERS];
	struct tracker wide; /* of the faults that no other tracker was near to */
	u64 clock;
};

static void *stride_mm_init(void *prefetch, const char *name)
{
	return mem_zalloc(&policy_bytes, sizeof(struct stride_mm));
}

static void stride_mm_fini(void *prefetch, void *mm)
{
	mem_free(&policy_bytes, mm, sizeof(struct stride_mm));
}

/* The i-th latest delta; 0 is the latest. */
static s64 tracker_delta(const struct tracker *t, u32 i)
{
	return t->delta[(t->next - 1 - i) % HISTORY];
}

/* The delta that more than half of the last nr are; 0: none.  Boyer and Moore, MJRTY (1981). */
static s64 tracker_majority(const struct tracker *t, u32 nr)
{
	s64 candidate = 0;
	u32 votes = 0, count = 0;

	for (u32 i = 0; i < nr; i++) {
		s64 delta = tracker_delta(t, i);

		if (!votes)
			candidate = delta;
		votes += delta == candidate ? 1 : -1u;
	}
	for (u32 i = 0; i < nr; i++)
		count += tracker_delta(t, i) == candidate;
	return count > nr / 2 ? candidate : 0;
}

/* Leap's FindTrend, but from page to page twice in a row is enough: chance hardly does that. */
static s64 tracker_trend(const struct tracker *t)
{
	s64 latest = tracker_delta(t, 0);

	if ((latest == 1 || latest == -1) && tracker_delta(t, 1) == latest)
		return latest;
	for (u32 nr = FIRST_VOTE; nr <= HISTORY; nr *= 2) {
		s64 trend = tracker_majority(t, nr);

		if (trend)
			return trend;
	}
	return 0;
}

static void tracker_note(struct stride_mm *mm, struct tracker *t, u64 vpn)
{
	/* The same page again says nothing of where the next will be. */
	if (t->used && vpn != t->last)
		t->delta[t->next++ % HISTORY] = (s64)(vpn - t->last);
	t->last = vpn;
	t->used = ++mm->clock;
}

static u64 tracker_distance(const struct tracker *t, u64 vpn)
{
	return t->last > vpn ? t->last - vpn : vpn - t->last;
}

/* The tracker nearest to vpn, or NULL with *oldest the one that a new place is to take. */
static struct tracker *tracker_find(struct stride_mm *mm, u64 vpn, struct tracker **oldest)
{
	struct tracker *best = NULL;

	*oldest = &mm->near[0];
	for (u32 i = 0; i < NR_TRACKERS; i++) {
		struct tracker *t = &mm->near[i];

		if (t->used < (*oldest)->used)
			*oldest = t;
		if (t->used && tracker_distance(t, vpn) <= NEAR &&
		    (!best || tracker_distance(t, vpn) < tracker_distance(best, vpn)))
			best = t;
	}
	return best;
}

/*
 * A fault that no stream expected.  Return: the stride of the stream that it makes, the deltas
 * that have shown it being forgotten; 0: none yet.
 */
static s64 stride_learn(struct stride_mm *mm, u64 vpn)
{
	struct tracker *oldest, *near = tracker_find(mm, vpn, &oldest);
	struct tracker *t = near ? near : &mm->wide;
	s64 trend;

	tracker_note(mm, t, vpn);
	trend = tracker_trend(t);
	if (trend) {
		*t = (struct tracker){ 0 };
	} else if (!near) {
		*oldest = (struct tracker){ 0 };
		tracker_note(mm, oldest, vpn);
	}
	return trend;
}

static u32 stride_fault(void *prefetch, void *mm_state, const struct prefetch_fault *fault,
			struct prefetch_run *run)
{
	struct stride_mm *mm = mm_state;
	s64 trend;

	if (fault->rand) {
		mm->streams.proven.nr = 0;
		return 0;
	}
	if (stream_advance(&mm->streams, prefetch, fault, run))
		return run->nr > 0;
	trend = fault->seq ? 1 : stride_learn(mm, fault->vpn);
	if (!trend)
		return 0;
	stream_begin(&mm->streams, prefetch, fault, trend, run);
	return run->nr > 0;
}

static void stride_waste(void *prefetch, void *mm_state, u64 vpn)
{
	struct stride_mm *mm = mm_state;

	stream_waste(&mm->streams, prefetch, vpn);
}

static u32 stride_proven(void *prefetch, void *mm_state, struct prefetch_run *run)
{
	const struct stride_mm *mm = mm_state;

	*run = mm->streams.proven;
	return run->nr > 0;
}

const struct prefetch_ops prefetch_stride = {
	.name = "stride",
	.help = STREAM_HELP,
	.init = stream_limits_init,
	.fini = stream_limits_fini,
	.mm_init = stride_mm_init,
	.mm_fini = stride_mm_fini,
	.fault = stride_fault,
	.hit = prefetch_ignore,
	.waste = stride_waste,
	.proven = stride_proven,
};
