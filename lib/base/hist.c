/* SPDX-License-Identifier: MIT */
#include "base/hist.h"

/* The largest value that falls into a bucket. */
static u64 bucket_top(unsigned int b)
{
	unsigned int shift;

	if (b < (1u << HIST_SUB_BITS))
		return b;
	shift = (b >> HIST_SUB_BITS) - 1;
	return ((((u64)b & ((1u << HIST_SUB_BITS) - 1)) + (1u << HIST_SUB_BITS) + 1) << shift) - 1;
}

u64 hist_percentile(const struct hist *h, double percent)
{
	u64 want = (u64)((double)h->count * percent / 100.0 + 0.999999);
	u64 seen = 0;

	for (unsigned int b = 0; b < HIST_BUCKETS; b++) {
		seen += h->buckets[b];
		if (seen && seen >= want)
			return u64_min(bucket_top(b), h->max);
	}
	return h->max;
}
