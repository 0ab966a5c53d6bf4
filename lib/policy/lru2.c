/* SPDX-License-Identifier: MIT */
/*
 * lru2.c - Linux's two lists, active and inactive, with the refault distance.
 *
 *	insert --> [ inactive ] --used when it is scanned--> [ active ] <-- refault within reach
 *	               |   ^                                    |
 *	             not   '---- oldest, when inactive is low --'
 *	             used                (used or not)
 *	               v
 *	             gone (its key and the time are kept)
 *
 * Parameters: inactive=R (50%): share of the pages that the inactive list is to have (Linux: 50 %
 * below 1 GiB); ghost=R (100%) of the capacity, in keys.
 *
 * As for Linux's anonymous pages: a touch only sets a bit, which is read when the page is the
 * oldest inactive one; the active list's oldest are moved down without asking.  Time is counted in
 * evictions and activations; a page that comes back after no more of these than the active list has
 * pages would have stayed if it had been there, and starts active.  Rescued from probation: that
 * was the scan, and it was used: active.  Refused: active too, as Linux does with pages that it
 * could not take.
 * Source: Linux mm/vmscan.c (shrink_folio_list, shrink_active_list, inactive_is_low),
 * mm/workingset.c.
 */

#include "policy/ghost.h"
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { INACTIVE, ACTIVE };

struct lru2 {
	struct policy policy;
	u64 inactive_ratio, ghost_ratio; /* millionths */
	u32 age;                         /* evictions and activations so far; wraps */
	struct queue inactive, active;
	struct ghost_table table;
	struct ghost_list ghosts; /* data: the age at eviction */
};

static u64 ghost_max(const struct lru2 *p, u64 capacity)
{
	return u64_max(policy_ratio_of(p->ghost_ratio, capacity), 1);
}

static void *lru2_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
		       size_t len)
{
	u64 inactive = POLICY_RATIO_ONE / 2, ghost = POLICY_RATIO_ONE;
	const struct policy_value values[] = {
		{ "inactive", POLICY_RATIO, &inactive, 0, POLICY_RATIO_ONE },
		{ "ghost", POLICY_RATIO, &ghost, 0, 10 * POLICY_RATIO_ONE },
	};
	struct lru2 *p;

	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (!p)
		return NULL;
	p->inactive_ratio = inactive;
	p->ghost_ratio = ghost;
	ghost_table_init(&p->table);
	queue_init(&p->inactive, INACTIVE);
	queue_init(&p->active, ACTIVE);
	ghost_list_init(&p->ghosts, 1);
	return p;
}

static void lru2_fini(void *policy)
{
	struct lru2 *p = policy;

	ghost_table_fini(&p->table);
	policy_free(p, sizeof(*p));
}

static int lru2_resize(void *policy, u64 capacity)
{
	struct lru2 *p = policy;

	p->policy.capacity = capacity;
	ghost_trim(&p->table, &p->ghosts, ghost_max(p, capacity));
	return 0;
}

static void activate(struct lru2 *p, struct reclaim_node *node)
{
	node->ref = 0;
	p->age++;
	queue_add_newest(&p->active, node);
}

static void lru2_forget_key(void *policy, u64 key)
{
	struct lru2 *p = policy;

	ghost_forget(&p->table, &p->ghosts, key);
}

static void lru2_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct lru2 *p = policy;
	struct ghost *g = ghost_find(&p->table, key);
	bool within_reach = g && p->age - g->data <= p->active.nr;

	if (g)
		ghost_del(&p->table, &p->ghosts, g);
	if (flags & RECLAIM_PREFETCH)
		ahead_insert(&p->policy, node);
	else if (within_reach)
		activate(p, node);
	else
		queue_add_newest(&p->inactive, node);
}

static void lru2_touch(void *policy, struct reclaim_node *node)
{
	struct lru2 *p = policy;

	if (ahead_take(&p->policy, node))
		queue_add_newest(&p->inactive, node);
	else
		node->ref = 1;
}

static bool inactive_is_low(const struct lru2 *p)
{
	return p->inactive.nr < policy_ratio_of(p->inactive_ratio, p->inactive.nr + p->active.nr);
}

static struct reclaim_node *lru2_victim(void *policy)
{
	struct lru2 *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->inactive.nr + p->active.nr);

	/*
	 * Ends: a page that was made active has its bit cleared, and those moved down are not
	 * asked.
	 */
	while (!node && p->inactive.nr + p->active.nr) {
		while (p->active.nr && (inactive_is_low(p) || !p->inactive.nr)) {
			node = queue_take_oldest(&p->active);
			node->ref = 0;
			queue_add_newest(&p->inactive, node);
		}
		node = queue_take_oldest(&p->inactive);
		if (node->ref) {
			activate(p, node);
			node = NULL;
		}
	}
	return node;
}

static void lru2_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct lru2 *p = policy;

	if (why == RECLAIM_TOUCHED && ahead_held(node))
		queue_add_newest(&p->inactive, node);
	else
		activate(p, node);
}

static void lru2_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	struct lru2 *p = policy;
	struct ghost *g = ghost_push(&p->table, &p->ghosts, key, ghost_max(p, p->policy.capacity));

	if (g)
		g->data = p->age;
	p->age++;
}

static void lru2_forget(void *policy, struct reclaim_node *node)
{
	struct lru2 *p = policy;

	if (!ahead_take(&p->policy, node))
		queue_del(node->where == ACTIVE ? &p->active : &p->inactive, node);
}

const struct reclaim_ops lru2_ops = {
	.name = "lru2",
	.help = "inactive=R (50%), ghost=R (100%)",
	.init = lru2_init,
	.fini = lru2_fini,
	.resize = lru2_resize,
	.insert = lru2_insert,
	.touch = lru2_touch,
	.victim = lru2_victim,
	.putback = lru2_putback,
	.evicted = lru2_evicted,
	.forget = lru2_forget,
	.forget_key = lru2_forget_key,
};
