/* SPDX-License-Identifier: MIT */
/*
 * machine.h - a machine that is simulated for prefetchers: a program of one vma, fewer frames
 * than it has pages, and a prefetcher that is asked at each fault.
 *
 * Who calls it: test_machine.c (what each prefetcher must reach), test_recorded.c, and table.c
 * (the figures, to be read).
 * Pages leave in the order in which they came, whether used or not: the simplest of
 * policies, so that what is measured is the prefetcher.
 */
#ifndef PREFETCH_MACHINE_H
#define PREFETCH_MACHINE_H

#include "policy/prefetch_ops.h"

/* The next page that the program uses, below nr_pages; `i` counts the uses from 0. */
struct pattern {
	const char *name;
	u64 (*page)(u64 i, u64 nr_pages, u64 *seed);
};
extern const struct pattern patterns[]; /* a NULL name ends them */
const struct pattern *pattern_find(const char *name);

struct machine_setup {
	u64 nr_pages, nr_frames;
	u64 nr_uses;
	/*
	 * Uses are invisible, as on the real machine: no hit() is told, and every prefetched
	 * page that leaves is told as waste but for those that proven() named.
	 */
	bool blind;
	bool random_victims; /* what stays resident is scattered */
};

struct machine_result {
	u64 uses, faults;
	u64 brought; /* pages prefetched */
	u64 wasted;  /* of those, how many left without use */
};

/* Run the pattern under "NAME:key=value".  The answers of the prefetcher are checked (cmocka). */
struct machine_result machine_run(const struct machine_setup *setup, const char *spec,
				  const struct pattern *pattern);

#endif /* PREFETCH_MACHINE_H */
