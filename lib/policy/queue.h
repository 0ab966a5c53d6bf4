/* SPDX-License-Identifier: MIT */
/*
 * queue.h - what most policies are made of: a counted list of nodes with a newest and an oldest
 * end, and the waiting room of pages that were prefetched.
 *
 * Who calls it: the policies of this folder.  A node's `where` says which queue holds it, or held
 * it last.
 */
#ifndef UPAGER_POLICY_QUEUE_H
#define UPAGER_POLICY_QUEUE_H

#include "policy/reclaim_ops.h"

/* Owns its links, not the nodes.  Invariant: every node on it has node->where == id. */
struct queue {
	struct list_head list; /* the newest first */
	u64 nr;
	u8 id;
};

static inline void queue_init(struct queue *q, u8 id)
{
	list_init(&q->list);
	q->nr = 0;
	q->id = id;
}

static inline void queue_add_newest(struct queue *q, struct reclaim_node *node)
{
	list_add(&node->list, &q->list);
	node->where = q->id;
	q->nr++;
}

static inline void queue_add_oldest(struct queue *q, struct reclaim_node *node)
{
	list_add_tail(&node->list, &q->list);
	node->where = q->id;
	q->nr++;
}

static inline void queue_del(struct queue *q, struct reclaim_node *node)
{
	list_del(&node->list);
	q->nr--;
}

static inline struct reclaim_node *queue_oldest(const struct queue *q)
{
	return q->nr ? list_entry(q->list.prev, struct reclaim_node, list) : NULL;
}

/* The oldest, taken out; NULL: empty. */
static inline struct reclaim_node *queue_take_oldest(struct queue *q)
{
	struct reclaim_node *node = queue_oldest(q);

	if (node)
		queue_del(q, node);
	return node;
}

/* From anywhere in q to its newest end. */
static inline void queue_renew(struct queue *q, struct reclaim_node *node)
{
	queue_del(q, node);
	queue_add_newest(q, node);
}

/*
 * What every policy begins with.  Pages that were brought ahead of need and not yet asked for wait
 * in `ahead`, the same for every policy: they leave before all others once they are more than 1/16
 * of the capacity.  Until then they are given time to be used, because a use that is not a touch
 * cannot be seen.  The first touch makes an ordinary page of one, and so does being put back.
 */
struct policy {
	u64 capacity; /* pages, at least 1 */
	struct queue ahead;
};
#define QUEUE_AHEAD 255

/*
 * A zeroed instance of `bytes`, whose first member is its struct policy, for init().  NULL: no
 * memory, which is said in err[0..len).  Freed with policy_free().
 */
void *policy_new(size_t bytes, u64 capacity, char *err, size_t len);

static inline void ahead_insert(struct policy *p, struct reclaim_node *node)
{
	queue_add_newest(&p->ahead, node);
}

/* True: it waits there, or did when it became a victim. */
static inline bool ahead_held(const struct reclaim_node *node)
{
	return node->where == QUEUE_AHEAD;
}

/* Take it out if it waits there; false: it is an ordinary page, and nothing is done. */
static inline bool ahead_take(struct policy *p, struct reclaim_node *node)
{
	if (!ahead_held(node))
		return false;
	queue_del(&p->ahead, node);
	return true;
}

/*
 * The next victim if it is one of these, taken out, else NULL.  `others`: pages in the policy's own
 * lists.
 */
static inline struct reclaim_node *ahead_victim(struct policy *p, u64 others)
{
	return p->ahead.nr > p->capacity / 16 || !others ? queue_take_oldest(&p->ahead) : NULL;
}

/* reclaim_ops.resize, evicted and forget_key of policies that have nothing to do then. */
int policy_resize(void *policy, u64 capacity);
void policy_no_ghost(void *policy, struct reclaim_node *node, u64 key);
void policy_no_ghost_key(void *policy, u64 key);

#endif /* UPAGER_POLICY_QUEUE_H */
