/* SPDX-License-Identifier: MIT */
/*
 * mru.c - the page used last leaves first.  Right for loops over more than fits: what was just used
 * will not be needed for longest.  On anything else, bad.
 *
 * Parameters: keep=N (0): so many of the most recently used pages are passed over, for a page that
 * has just been faulted in is about to be used by the thread that asked for it.  stale=N (8): each
 * Nth victim is the page used longest ago instead, 0: never, which is the algorithm of the paper.
 * With that alone, pages that a program is done with fill the memory for good, and its next phase
 * has what is left; with this a loop misses 1/(N - 1) more.
 *
 * Rescued from probation: that page was not done with, so it leaves last now.  To call it the most
 * recently used would hand it out again at once.
 * Source: Chou, DeWitt, "An evaluation of buffer management strategies for relational database
 * systems", VLDB 1985.
 */
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { REST, RECENT, RESCUED };

/* Every page in `recent` was used after every page in `rest`. */
struct mru {
	struct policy policy;
	u64 keep, stale;
	u64 nr_victims; /* since the last stale one */
	struct queue rest;
	struct queue recent;  /* the last `keep` used */
	struct queue rescued; /* put back: they leave after the rest, in their order */
};

static void *mru_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
		      size_t len)
{
	u64 keep = 0, stale = 8;
	const struct policy_value values[] = {
		{ "keep", POLICY_NUMBER, &keep, 0, 1UL << 40 },
		{ "stale", POLICY_NUMBER, &stale, 0, 1UL << 40 },
	};
	struct mru *p;

	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (!p)
		return NULL;
	p->keep = keep;
	p->stale = stale;
	queue_init(&p->rest, REST);
	queue_init(&p->recent, RECENT);
	queue_init(&p->rescued, RESCUED);
	return p;
}

static void mru_fini(void *policy)
{
	policy_free(policy, sizeof(struct mru));
}

static void mru_add(struct mru *p, struct reclaim_node *node)
{
	queue_add_newest(&p->recent, node);
	if (p->recent.nr > p->keep)
		queue_add_newest(&p->rest, queue_take_oldest(&p->recent));
}

static void mru_del(struct mru *p, struct reclaim_node *node)
{
	queue_del(node->where == RECENT	   ? &p->recent
		  : node->where == RESCUED ? &p->rescued
					   : &p->rest,
		  node);
}

static void mru_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct mru *p = policy;

	if (flags & RECLAIM_PREFETCH)
		ahead_insert(&p->policy, node);
	else
		mru_add(p, node);
}

static void mru_touch(void *policy, struct reclaim_node *node)
{
	struct mru *p = policy;

	if (!ahead_take(&p->policy, node))
		mru_del(p, node);
	mru_add(p, node);
}

static struct reclaim_node *mru_victim(void *policy)
{
	struct mru *p = policy;
	struct reclaim_node *node =
		ahead_victim(&p->policy, p->rest.nr + p->recent.nr + p->rescued.nr);

	if (node)
		return node;
	if (p->stale && ++p->nr_victims >= p->stale) {
		p->nr_victims = 0;
		/* The ages of the two are not known to each other: in turn, by size. */
		node = queue_take_oldest(p->rescued.nr > p->rest.nr ? &p->rescued : &p->rest);
		if (node)
			return node;
	}
	if (p->rest.nr) {
		node = list_first_entry(&p->rest.list, struct reclaim_node, list);
		queue_del(&p->rest, node);
		return node;
	}
	return queue_take_oldest(p->rescued.nr ? &p->rescued : &p->recent);
}

static void mru_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct mru *p = policy;

	queue_add_newest(&p->rescued, node);
	/* Pages that cannot leave must not hide those that are kept. */
	if (why == RECLAIM_REFUSED && p->recent.nr)
		queue_add_newest(&p->rest, queue_take_oldest(&p->recent));
}

static void mru_forget(void *policy, struct reclaim_node *node)
{
	struct mru *p = policy;

	if (!ahead_take(&p->policy, node))
		mru_del(p, node);
}

const struct reclaim_ops mru_ops = {
	.name = "mru",
	.help = "keep=N (0): the N most recently used stay; stale=N (8): each Nth victim is the "
		"oldest page",
	.init = mru_init,
	.fini = mru_fini,
	.resize = policy_resize,
	.insert = mru_insert,
	.touch = mru_touch,
	.victim = mru_victim,
	.putback = mru_putback,
	.evicted = policy_no_ghost,
	.forget = mru_forget,
	.forget_key = policy_no_ghost_key,
};
