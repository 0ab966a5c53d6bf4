/* SPDX-License-Identifier: MIT */
/*
 * hist.h - a latency histogram of fixed size: 16 linear steps in each power of two.
 *
 * A value is known to within 1/16 (6 %).  The layout is Gil Tene's HdrHistogram with four bits of
 * precision; Debian has no C library of it.
 */
#ifndef UPAGER_HIST_H
#define UPAGER_HIST_H

#include "base/base.h"

#define HIST_SUB_BITS 4
#define HIST_BUCKETS  ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

struct hist {
	u64 count;
	u64 sum;
	u64 max;
	u32 buckets[HIST_BUCKETS];
};

static inline unsigned int hist_bucket(u64 value)
{
	unsigned int shift;

	if (value < (1u << HIST_SUB_BITS))
		return (unsigned int)value;
	shift = (unsigned int)(63 - __builtin_clzll(value)) - HIST_SUB_BITS;
	return ((shift + 1) << HIST_SUB_BITS) + (unsigned int)(value >> shift) -
	       (1u << HIST_SUB_BITS);
}

static inline void hist_add(struct hist *h, u64 value)
{
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
	h->buckets[hist_bucket(value)]++;
}

/*
 * The value that `percent` (0 < percent <= 100) of the samples do not exceed, to within a step and never
 * above the largest.  0 when there are no samples.
 */
u64 hist_percentile(const struct hist *h, double percent);

#endif /* UPAGER_HIST_H */
