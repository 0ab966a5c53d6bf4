/* SPDX-License-Identifier: MIT */
/*
 * ghost.h - what a policy remembers of pages that are gone: their keys, in lists ordered by age,
 * found by hash.
 *
 * Who calls it: 2q, arc, lru2, s3fifo; lirs keeps marks of its own.  Several lists may share one
 * table; each key is in at most one of them.  Every operation is O(1).  When memory for a ghost
 * cannot be had, the page is simply not remembered.
 * Linux counterpart: the shadow entries of mm/workingset.c, which live in the page cache's tree
 * instead.
 */
#ifndef UPAGER_POLICY_GHOST_H
#define UPAGER_POLICY_GHOST_H

#include "base/alloc.h"
#include "base/list.h"

/* Owned by its table.  It is on exactly one list. */
struct ghost {
	struct list_head list;
	struct ghost *next; /* in its hash bucket */
	u64 key;
	u32 data; /* the policy's own; 0 at first */
	u8 id;    /* of its list */
};

struct ghost_table {
	struct ghost **bucket;
	u64 nr_buckets; /* a power of two */
	u64 nr;         /* ghosts in all lists */
	struct slab slab;
};

struct ghost_list {
	struct list_head list; /* the newest first */
	u64 nr;
	u8 id;
};

/*
 * Sized for about max ghosts; more still work, slower.  Return: 0, or -ENOMEM with nothing to undo.
 */
int must_check ghost_table_init(struct ghost_table *t, u64 max);
/* Frees all ghosts; the lists are not to be used any more. */
void ghost_table_fini(struct ghost_table *t);
/* Size it anew; no ghost is lost or moved.  Return: 0, or -ENOMEM: it stays as it was. */
int must_check ghost_table_resize(struct ghost_table *t, u64 max);

void ghost_list_init(struct ghost_list *l, u8 id);

/* Return: the ghost of `key`, whichever list it is on, or NULL. */
struct ghost *ghost_find(const struct ghost_table *t, u64 key);
/*
 * Remember `key` as the newest of `l`.  Pre: key is not 0 and has no ghost.  Return: the ghost, or
 * NULL for lack of memory.
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
