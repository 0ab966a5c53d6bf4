/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what happened in a run: counted as it happens, written once at the end.
 *
 * Text for people (in the manner of perf stat), JSON with stable keys for programs.
 */
#ifndef UPAGER_STATS_H
#define UPAGER_STATS_H

#include <stdio.h>

#include "base/base.h"
#include "base/hist.h"
#include "mm/mm_api.h"

struct reclaim_summary;
struct run_options;

#define STATS_MAX_CALLS 64

struct stats {
	u64 start_ns;
	u64 missing, wp, minor, spurious; /* messages, by kind; and those that needed no answer */
	struct hist latency[NR_FAULT_HANDLERS]; /* ns from the message's read to the thread's wake */
	u64 processes, execs, forks;
	u64 traps[STATS_MAX_CALLS];   /* by row of the call table */
	u64 refused[STATS_MAX_CALLS];
	u64 surprises;                /* the kernel did what the model would have refused */
	u64 unmanaged_images;         /* execs that could not be given a userfaultfd */
	u64 holds;                    /* times a thread was held on our CPU */
	u64 separated;                /* pages copied at a fork (--cow eager) */
	u64 stalled_ns;               /* threads asleep in faults, all together */
	u64 lost;                     /* accesses that got SIGBUS: their page could not be read back */
	int root_status;              /* PROG's, as waitpid gives it */
};

u64 now_ns(void);
void stats_start(struct stats *stats);

/*
 * Write the summary to opt->output (or stderr).  reclaim: NULL without a budget.
 * Returns 0, or 125 with one line said when the file cannot be written.
 */
int stats_write(const struct stats *stats, const struct mm_world_stats *pages,
		const struct reclaim_summary *reclaim, const struct run_options *opt);

#endif /* UPAGER_STATS_H */
