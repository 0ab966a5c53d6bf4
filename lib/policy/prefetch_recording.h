/* SPDX-License-Identifier: MIT */
/*
 * prefetch_recording.h - which pages a run faulted on, in order, kept in a file for the next run.
 *
 * Who calls it: prefetch_recorded.c.
 *
 * Addresses change from run to run, so a page is named by its program, its vma and its distance
 * from the vma's start.  A vma that grows downwards (a stack; mappings that are merged from
 * above) keeps its end instead, and distances are from there, negative.  Faults of one vma are
 * an area:
 *
 *	upager-recording 1
 *	area start 256 sort            anchor, the vma's pages when it was first seen, the program
 *	0 17                           the first 17 pages, one after the other
 *	40 1
 *	area end 33 sort
 *	-2 1
 *	end                            without this line the file was cut short
 *
 * Source: Ustiugov et al., "Benchmarking, Analysis, and Optimization of Serverless Function
 * Snapshots" (REAP), ASPLOS'21, which records the set of pages; here their order is
 * kept, as budgets are smaller than the set.
 */
#ifndef UPAGER_PREFETCH_RECORDING_H
#define UPAGER_PREFETCH_RECORDING_H

#include <stdio.h>

#include "base/base.h"
#include "base/list.h"

/* Faults that a recording may hold, of all areas; further ones are not recorded. */
#define RECORDING_MAX_FAULTS (4u << 20)

enum area_anchor {
	AREA_ANY,   /* while recording: neither end has moved yet; written as `start` */
	AREA_START, /* distances are from the vma's start */
	AREA_END,   /* … from its end */
};

/*
 * `count` pages from page `first` on (while recording) or from that distance on (when read),
 * upwards.
 */
struct area_run {
	u64 first;
	u64 count;
};

/* The faults of one vma.  Owned by whoever has it on a list; freed by area_free(). */
struct area {
	struct list_head list;
	char *program;
	enum area_anchor anchor;
	u64 pages;      /* of the vma when first seen */
	u64 start, end; /* of the vma when last seen, in pages; only while recording */
	struct area_run *runs;
	u32 nr_runs, room;
};

/*
 * Is this the vma that had [*start, *end) when last seen?  If so both are brought up to date, and
 * *anchor where only one end is still the same.
 */
bool area_is(enum area_anchor *anchor, u64 *start, u64 *end, u64 vma_start, u64 vma_end);

/* No memory: NULL. */
struct area *area_alloc(const char *program);
void area_free(struct area *area);
/* One more fault.  Returns 0 or -ENOMEM: as before. */
int must_check area_add(struct area *area, u64 first, u64 count);

/* Write the areas of the list.  Returns 0, or -EIO: the stream has an error. */
int must_check recording_write(FILE *file, const struct list_head *areas);
/*
 * Read a file's areas, in its order, onto the end of the list.
 * Return: 0; -EINVAL or -ENOMEM with a message in err[0..len), and what was read so far on the
 * list.
 */
int must_check recording_read(FILE *file, struct list_head *areas, char *err, size_t len);

#endif /* UPAGER_PREFETCH_RECORDING_H */
