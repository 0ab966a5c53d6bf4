/* SPDX-License-Identifier: MIT */
/*
 * naive.h - the policies once more, written straight from their papers with arrays and linear
 * searches.
 *
 * Who calls it: test_naive.c, which demands the same hit or miss at every access.  Nothing here
 * knows lib/policy; nothing is made fast.
 */
#ifndef UPAGER_TEST_NAIVE_H
#define UPAGER_TEST_NAIVE_H

#include "base/base.h"

enum { NAIVE_KEYS = 512 };

/* Keys in an order, the newest first. */
struct seq {
	u32 nr;
	u32 key[NAIVE_KEYS];
};

/* What all of them are made of; each uses what its paper has. */
struct naive {
	u32 capacity;
	struct seq a, b;             /* resident pages */
	struct seq ghosts_a, ghosts_b;
	u32 use[NAIVE_KEYS];         /* use bits or counters; for lru2 of ghosts the age */
	bool lir[NAIVE_KEYS], resident[NAIVE_KEYS];
	u32 frame[NAIVE_KEYS], hand; /* clock */
	s64 p;                       /* arc */
	u32 age;                     /* lru2 */
	/* s3fifo with what is ours: of a key the eviction by which it left (0: it never did); its level */
	u32 left[NAIVE_KEYS], level[NAIVE_KEYS];
	u32 evictions, last_left, mix;
	u32 far, order;              /* shares of 65536 and of 1024 */
};

struct naive_policy {
	const char *spec; /* the same policy as of lib/policy */
	/* True: a hit. */
	bool (*access)(struct naive *n, u32 key);
	bool approximate; /* see arc_by_the_paper */
};

/* The last has no spec. */
extern const struct naive_policy naive_policies[];
extern const struct naive_policy naive_ghost_policies[];

bool seq_has(const struct seq *s, u32 key);
void seq_push(struct seq *s, u32 key);
/* At place i, those from there on become older. */
void seq_insert(struct seq *s, u32 i, u32 key);
/* Pre: it is there. */
void seq_remove(struct seq *s, u32 key);
u32 seq_pop_oldest(struct seq *s);
u32 seq_index(const struct seq *s, u32 key);

#endif /* UPAGER_TEST_NAIVE_H */
