/* SPDX-License-Identifier: MIT */
/*
 * ghost.h - what a policy remembers of pages that are gone: their keys, in lists ordered by age.
 *
 * Who calls it: 2q, arc, lru2, s3fifo; lirs keeps marks of its own.  Several lists may share one
 * table; each key is in at most one of them.  Every operation is O(1).  When memory for a ghost
 * cannot be had, the page is simply not remembered.
 * Keys are small (the numbers of swap slots), so a ghost stands at its key and is linked by keys: a page
 * that comes back at random costs the cache misses of 16 bytes and their two neighbours, and no search.
 * Linux counterpart: the shadow entries of mm/workingset.c, which live in the page cache's tree
 * instead.
 */
#ifndef UPAGER_POLICY_GHOST_H
#define UPAGER_POLICY_GHOST_H

#include "base/alloc.h"

/* Zeroed: its key is not remembered. */
struct ghost {
	u32 newer, older; /* keys; 0: the end of the list */
	u32 data;         /* the policy's own; 0 at first */
	u8 id;            /* of its list; 0: on none */
};

struct ghost_table {
	struct ghost *ghost; /* by key */
	u64 nr_keys;         /* that there is memory for */
	u64 nr;              /* ghosts in all lists */
};

struct ghost_list {
	u32 newest, oldest; /* keys; 0: empty */
	u64 nr;
	u8 id;
};

/* It takes memory as keys come. */
void ghost_table_init(struct ghost_table *t);
/* Forgets all ghosts; the lists are not to be used any more. */
void ghost_table_fini(struct ghost_table *t);

/* Pre: id is not 0. */
void ghost_list_init(struct ghost_list *l, u8 id);

/* A ghost that is returned is good until the next ghost_add(). */

/* Return: the ghost of `key`, whichever list it is on, or NULL. */
struct ghost *ghost_find(const struct ghost_table *t, u64 key);
/* Have the ghost of `key` fetched into the cache. */
static inline void ghost_expect(const struct ghost_table *t, u64 key)
{
	if (key < t->nr_keys)
		__builtin_prefetch(&t->ghost[key]);
}

/* Return: the oldest of the list, or NULL. */
struct ghost *ghost_oldest(const struct ghost_table *t, const struct ghost_list *l);
/*
 * Remember `key` as the newest of `l`.  Pre: key is not 0, has no ghost, and is less than 2^32.  Return: the
 * ghost, or NULL for lack of memory.
 */
struct ghost *ghost_add(struct ghost_table *t, struct ghost_list *l, u64 key);
/* Pre: g is on l. */
void ghost_del(struct ghost_table *t, struct ghost_list *l, struct ghost *g);
/* Forget `key` if it is on l.  Return: whether it was. */
bool ghost_forget(struct ghost_table *t, struct ghost_list *l, u64 key);
/* ghost_add(), forgetting the oldest of l so that at most max (not 0) are on it. */
struct ghost *ghost_push(struct ghost_table *t, struct ghost_list *l, u64 key, u64 max);
/* Forget the oldest of l until at most max are left. */
void ghost_trim(struct ghost_table *t, struct ghost_list *l, u64 max);

#endif /* UPAGER_POLICY_GHOST_H */
