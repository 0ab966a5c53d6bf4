/* SPDX-License-Identifier: MIT */
/*
 * prefetch_common.h - what the built-in prefetchers share: cutting a run to size, and streams.
 *
 * Who calls it: prefetch_*.c.
 *
 * A prefetched page is mapped, so using it does not fault.  A well predicted stream is silent
 * until it has run through its window, and its next fault comes exactly one stride after the
 * window's last page (or a little later, where the next pages happen to be resident).  That
 * fault is the proof that the whole window was used; it does what the marker page of Linux's
 * readahead does:
 *
 *         from                          window of 4                        expected
 *      ---- F ---- . ---- P ---- . ---- P ---- . ---- P ---- . ---- P ---- . ---- F ---- P ---- P …
 *           |<------- stride 2 ->|                                                 window of 8
 *
 *      F a fault, P a page that was asked for, . not of this stream
 *
 * How a stream is first seen is the prefetcher's own: readahead.c asks for neighbouring faults,
 * stride.c for a majority of equal deltas.  Linux counterpart: struct file_ra_state and
 * ondemand_readahead(), one stream a file there, many an address space here.
 */
#ifndef UPAGER_PREFETCH_COMMON_H
#define UPAGER_PREFETCH_COMMON_H

#include "policy/prefetch_ops.h"

extern const struct prefetch_ops prefetch_none;
extern const struct prefetch_ops prefetch_cluster;
extern const struct prefetch_ops prefetch_readahead;
extern const struct prefetch_ops prefetch_stride;
extern const struct prefetch_ops prefetch_recorded;

/* hit() or waste() of a prefetcher that does not want to know. */
void prefetch_ignore(void *prefetch, void *mm, u64 vpn);

/* Is the page one of the run's? */
bool prefetch_run_has(const struct prefetch_run *run, u64 vpn);

/*
 * How many of the nr pages from + stride, from + 2 * stride, … lie in the fault's vma, and at
 * most fault->max.  Pre: stride is not 0; from lies in the vma.
 */
u32 prefetch_fit(const struct prefetch_fault *fault, u64 from, s64 stride, u32 nr);

/* Bounds of a stream's window in pages; 1 <= min <= max <= STREAM_MAX. */
struct stream_limits {
	u64 min, max;
};
/* Larger than any window that makes sense, small enough for sums of a few in 32 bits. */
#define STREAM_MAX 65536

/*
 * init() of a prefetcher of streams, whose whole state this is: min=, max=; 4 and 64 unless told.
 * Return: a struct stream_limits; NULL with a message in err[0..len).
 */
void *stream_limits_init(const struct policy_param *params, u32 nr_params, char *err, size_t len);
/* The fini() to it. */
void stream_limits_fini(void *limits);
#define STREAM_HELP "max=N (64), min=N (4): pages of the largest and the first window"

/* A proven stream. */
struct stream {
	u64 from;   /* the fault that the last window was given for */
	s64 stride; /* 0: this entry is free */
	u32 nr;     /* pages that were asked for then, after cutting */
	u32 window; /* pages to ask for next */
	u32 wasted; /* of the nr, how many left unused */
	u64 used;   /* stream_table.clock when it was last advanced */
};

/*
 * The streams of one address space.  Zeroed: there are none.  The one not used for longest is
 * replaced.
 */
#define NR_STREAMS 16
struct stream_table {
	struct stream stream[NR_STREAMS];
	u64 clock;
	struct prefetch_run proven; /* what the last fault has shown to be used; nr == 0: nothing */
};

/*
 * A fault: when a stream expected it, advance that stream and say what to bring next.
 * At the end of its window or a little later: the window was used, the next is twice as large.
 * Inside of it: the page was asked for and is not there (no room for it, or it has left again):
 * half as large.  When only in staging: nothing is brought, nothing changes.
 * Much later: half as large; else random faults that come somewhere ahead would feed a stream
 * that is none.
 * VM_SEQ_READ: as large as may be, at once.
 * Return: the stream, with *run filled (run->nr may be 0); NULL: none expected it, *run is
 * untouched.
 */
struct stream *stream_advance(struct stream_table *table, const struct stream_limits *limits,
			      const struct prefetch_fault *fault, struct prefetch_run *run);

/* The fault begins a stream of `stride` (not 0): remember it and say what to bring.  Fills *run. */
void stream_begin(struct stream_table *table, const struct stream_limits *limits,
		  const struct prefetch_fault *fault, s64 stride, struct prefetch_run *run);

/*
 * A page that was brought left unused.  A stream of whose last window half was wasted is
 * halved, and forgotten when it was at its smallest.  Pages of earlier windows do not count:
 * the fault that came after them has shown that the stream went that way.
 */
void stream_waste(struct stream_table *table, const struct stream_limits *limits, u64 vpn);

#endif /* UPAGER_PREFETCH_COMMON_H */
