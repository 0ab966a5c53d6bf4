/* SPDX-License-Identifier: MIT */
/*
 * arc.c - adaptive replacement cache: recency (T1) against frequency (T2), the border moved by what
 * is missed.
 *
 *	   insert --> [ T1: asked for once ] ----used----> [ T2: asked for again, an LRU ]
 *	                   | oldest                             | oldest
 *	                   v                                    v
 *	                { B1 } --asked for: T1 gets more    { B2 } --asked for: T2 gets more
 *
 * p is the size that T1 should have, c the capacity.  A key found in B1 or B2 makes its page start
 * in T2.  Invariants, after each insert: |T1| + |B1| <= c; |T1| + |T2| + |B1| + |B2| <= 2c.
 *
 * Parameters: none.  Rescued from probation: a use like any other, T2.  Refused: the other list's
 * newest end, for a list full of pages that cannot leave must not hide the other one.
 * Source: Megiddo, Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003, figure
 * 4.  The paper looks the key up before it makes room, here room is made ahead of need: REPLACE
 * works with the p of before this request, and does not know whether the page that is to come was
 * in B2.
 */

#include "policy/ghost.h"
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { T1, T2 };
enum { B1 = 1, B2 };

struct arc {
	struct policy policy;
	u64 p; /* the size that T1 should have, 0..capacity */
	struct queue t1, t2;
	struct ghost_table table;
	struct ghost_list b1, b2;
};

static void *arc_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
		      size_t len)
{
	struct arc *p;

	if (policy_params_read(params, nr_params, NULL, 0, err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (!p)
		return NULL;
	ghost_table_init(&p->table);
	queue_init(&p->t1, T1);
	queue_init(&p->t2, T2);
	ghost_list_init(&p->b1, B1);
	ghost_list_init(&p->b2, B2);
	return p;
}

static void arc_fini(void *policy)
{
	struct arc *p = policy;

	ghost_table_fini(&p->table);
	policy_free(p, sizeof(*p));
}

static u64 less(u64 a, u64 b)
{
	return a > b ? a - b : 0;
}

/* Keep the invariants of the head comment. */
static void trim_ghosts(struct arc *p)
{
	u64 c = p->policy.capacity;

	ghost_trim(&p->table, &p->b1, less(c, p->t1.nr));
	ghost_trim(&p->table, &p->b2, less(2 * c, p->t1.nr + p->t2.nr + p->b1.nr));
}

static int arc_resize(void *policy, u64 capacity)
{
	struct arc *p = policy;

	/* T1's share of the whole stays the same.  No overflow below 2^32 pages, 16 TiB. */
	p->p = p->p * capacity / p->policy.capacity;
	p->policy.capacity = capacity;
	trim_ghosts(p);
	return 0;
}

/*
 * Forget key's ghost, if there is one; it was asked for, so p learns from it.  Returns whether
 * there was.
 */
static bool learn_from_ghost(struct arc *p, u64 key)
{
	struct ghost *g = ghost_find(&p->table, key);

	if (!g)
		return false;
	if (g->id == B1) {
		p->p = u64_min(p->p + u64_max(p->b2.nr / p->b1.nr, 1), p->policy.capacity);
		ghost_del(&p->table, &p->b1, g);
	} else {
		p->p = less(p->p, u64_max(p->b1.nr / p->b2.nr, 1));
		ghost_del(&p->table, &p->b2, g);
	}
	return true;
}

static void arc_forget_key(void *policy, u64 key)
{
	struct arc *p = policy;
	struct ghost *g = ghost_find(&p->table, key);

	if (g)
		ghost_del(&p->table, g->id == B1 ? &p->b1 : &p->b2, g);
}

static void arc_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct arc *p = policy;

	if (flags & RECLAIM_PREFETCH) {
		arc_forget_key(p, key);
		ahead_insert(&p->policy, node);
	} else if (learn_from_ghost(p, key)) {
		queue_add_newest(&p->t2, node);
	} else {
		queue_add_newest(&p->t1, node);
	}
	trim_ghosts(p);
}

static void arc_touch(void *policy, struct reclaim_node *node)
{
	struct arc *p = policy;

	if (ahead_take(&p->policy, node)) {
		queue_add_newest(&p->t1, node);
	} else {
		queue_del(node->where == T1 ? &p->t1 : &p->t2, node);
		queue_add_newest(&p->t2, node);
	}
}

/* The paper's REPLACE. */
static struct reclaim_node *arc_victim(void *policy)
{
	struct arc *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->t1.nr + p->t2.nr);

	if (node)
		return node;
	return queue_take_oldest(p->t1.nr > p->p || !p->t2.nr ? &p->t1 : &p->t2);
}

static void arc_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct arc *p = policy;
	bool t1 = why == RECLAIM_TOUCHED ? ahead_held(node) : node->where == T2;

	queue_add_newest(t1 ? &p->t1 : &p->t2, node);
}

static void arc_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	struct arc *p = policy;
	u64 c = p->policy.capacity;

	/* The bounds proper are kept by insert(); these hold while pages only leave. */
	if (node->where == T2)
		ghost_push(&p->table, &p->b2, key, 2 * c);
	else
		ghost_push(&p->table, &p->b1, key, c);
}

static void arc_forget(void *policy, struct reclaim_node *node)
{
	struct arc *p = policy;

	if (!ahead_take(&p->policy, node))
		queue_del(node->where == T1 ? &p->t1 : &p->t2, node);
}

const struct reclaim_ops arc_ops = {
	.name = "arc",
	.help = "",
	.init = arc_init,
	.fini = arc_fini,
	.resize = arc_resize,
	.insert = arc_insert,
	.touch = arc_touch,
	.victim = arc_victim,
	.putback = arc_putback,
	.evicted = arc_evicted,
	.forget = arc_forget,
	.forget_key = arc_forget_key,
};
