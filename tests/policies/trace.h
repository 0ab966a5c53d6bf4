/* SPDX-License-Identifier: MIT */
/*
 * trace.h - run a policy over a sequence of keys, as a cache simulator does: every hit is a touch,
 * and a victim is gone at once.
 *
 * Who calls it: the tests of this folder.  All calls go through the checker of policy/checked.h.
 */
#ifndef UPAGER_TEST_TRACE_H
#define UPAGER_TEST_TRACE_H

#include "policy/checked.h"
#include "policy/reclaim_ops.h"

enum { TRACE_MAX_KEYS = 4096 };

struct trace_page {
	struct reclaim_node node;
	bool resident, was_evicted;
};

struct trace {
	void *checked;
	u64 capacity, nr_resident, nr_misses;
	struct trace_page page[TRACE_MAX_KEYS];
};

/* What became of an access. */
#define TRACE_HIT  (-1) /* it was there */
#define TRACE_FREE (-2) /* a miss, and there was room; else the key that left */

/* `spec` as of --policy; exits with a message when it is wrong. */
void *policy_make(const char *spec, u64 capacity);

void trace_start(struct trace *t, const char *spec, u64 capacity);
/* Pre: key < TRACE_MAX_KEYS.  Return: TRACE_HIT, TRACE_FREE, or the key that was evicted. */
int trace_access(struct trace *t, u32 key);
void trace_end(struct trace *t);

/* The misses of `spec` over keys[0..nr). */
u64 trace_misses(const char *spec, u64 capacity, const u32 *keys, u32 nr);
/* The least number of misses that any policy can have (Belady's OPT). */
u64 trace_opt(u64 capacity, const u32 *keys, u32 nr);

/* Keys of a random trace.  `kind`: see trace.c; all are deterministic in seed. */
enum trace_kind {
	TRACE_UNIFORM, TRACE_ZIPF, TRACE_LOOP, TRACE_SCANS, TRACE_PHASES, NR_TRACE_KINDS
};
extern const char *const trace_kind_name[NR_TRACE_KINDS];
void trace_fill(enum trace_kind kind, u64 seed, u32 nr_keys, u32 *keys, u32 nr);

#endif /* UPAGER_TEST_TRACE_H */
