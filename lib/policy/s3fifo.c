/* SPDX-License-Identifier: MIT */
/*
 * s3fifo.c - three FIFO queues: small and main hold pages, ghost the keys of pages that left by small.
 *
 *	 insert --> [ small, 10 % ] --used--> [ main ] <-- insert with a key that is in ghost
 *	                  |                     | ^ |
 *	                not used             used'-'  not used
 *	                  v                           v
 *	               [ ghost ]                     gone
 *
 * Parameters: small=R (10%) of the capacity; ghost=R (90%) of the capacity, in keys; promote=N (2): so many
 * uses in small move a page to main; max=N (3): the most uses that a page's counter holds.
 *
 * Rescued from probation: a page of small has shown in the harshest way that it is used, and goes to main.  One
 * of main goes to its newest end with that use counted, as if the hand had come after the use.
 * Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023,
 * algorithm 1.  It looks the key up before it makes room, here room is made ahead of need.
 */
#include "policy/ghost.h"
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { SMALL, MAIN };

struct s3fifo {
	u64 capacity;
	u64 small_ratio, ghost_ratio; /* millionths of the capacity */
	u64 promote, ref_max;
	struct queue small, main, ahead;
	struct ghost_table table;
	struct ghost_list ghosts;
};

static struct queue *queue_of(struct s3fifo *p, const struct reclaim_node *node)
{
	return ahead_holds(node) ? &p->ahead : node->where == MAIN ? &p->main : &p->small;
}

static u64 ghost_max(const struct s3fifo *p)
{
	return u64_max(policy_ratio_of(p->ghost_ratio, p->capacity), 1);
}

static void *s3fifo_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err, size_t len)
{
	struct s3fifo init = { .capacity = capacity, .small_ratio = POLICY_RATIO_ONE / 10,
			       .ghost_ratio = POLICY_RATIO_ONE / 10 * 9, .promote = 2, .ref_max = 3 };
	const struct policy_value values[] = {
		{ "small", POLICY_RATIO, &init.small_ratio, 0, POLICY_RATIO_ONE },
		{ "ghost", POLICY_RATIO, &init.ghost_ratio, 0, 10 * POLICY_RATIO_ONE },
		{ "promote", POLICY_NUMBER, &init.promote, 1, 255 },
		{ "max", POLICY_NUMBER, &init.ref_max, 1, 255 },
	};
	struct s3fifo *p;

	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len))
		return NULL;
	if (init.promote > init.ref_max) {
		snprintf(err, len, "promote=%lu: more than max=%lu", init.promote, init.ref_max);
		return NULL;
	}
	p = policy_zalloc(sizeof(*p), err, len);
	if (!p)
		return NULL;
	*p = init;
	if (ghost_table_init(&p->table, ghost_max(p))) {
		policy_free(p, sizeof(*p));
		snprintf(err, len, "no memory");
		return NULL;
	}
	queue_init(&p->small, SMALL);
	queue_init(&p->main, MAIN);
	ahead_init(&p->ahead);
	ghost_list_init(&p->ghosts, 0);
	return p;
}

static void s3fifo_fini(void *policy)
{
	struct s3fifo *p = policy;

	ghost_table_fini(&p->table);
	policy_free(p, sizeof(*p));
}

static int s3fifo_resize(void *policy, u64 capacity)
{
	struct s3fifo *p = policy;
	u64 old = p->capacity;
	int ret;

	p->capacity = capacity;
	ret = ghost_table_resize(&p->table, ghost_max(p));
	if (ret)
		p->capacity = old;
	else
		ghost_trim(&p->table, &p->ghosts, ghost_max(p));
	return ret;
}

static void s3fifo_forget_key(void *policy, u64 key)
{
	struct s3fifo *p = policy;
	struct ghost *g = ghost_find(&p->table, key);

	if (g)
		ghost_del(&p->table, &p->ghosts, g);
}

static void s3fifo_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct s3fifo *p = policy;
	struct ghost *g = ghost_find(&p->table, key);
	struct queue *q = g ? &p->main : &p->small;

	if (g)
		ghost_del(&p->table, &p->ghosts, g);
	queue_add_newest(flags & RECLAIM_PREFETCH ? &p->ahead : q, node);
}

static void s3fifo_touch(void *policy, struct reclaim_node *node)
{
	struct s3fifo *p = policy;

	if (ahead_holds(node)) {
		queue_del(&p->ahead, node);
		queue_add_newest(&p->small, node);
	} else if (node->ref < p->ref_max) {
		node->ref++;
	}
}

/* EVICTS of the paper: uses have been counted, so those that earned it move on. */
static struct reclaim_node *victim_of_small(struct s3fifo *p)
{
	struct reclaim_node *node;

	while ((node = queue_take_oldest(&p->small)) && node->ref >= p->promote) {
		node->ref = 0;
		queue_add_newest(&p->main, node);
	}
	return node;
}

/* EVICTM of the paper.  Ends: each step takes one from a counter. */
static struct reclaim_node *victim_of_main(struct s3fifo *p)
{
	struct reclaim_node *node;

	while ((node = queue_oldest(&p->main)) && node->ref) {
		node->ref--;
		queue_renew(&p->main, node);
	}
	return queue_take_oldest(&p->main);
}

static struct reclaim_node *s3fifo_victim(void *policy)
{
	struct s3fifo *p = policy;
	struct reclaim_node *node = ahead_victim(&p->ahead, p->capacity, p->small.nr + p->main.nr);

	if (!node && p->small.nr >= u64_max(policy_ratio_of(p->small_ratio, p->capacity), 1))
		node = victim_of_small(p);
	if (!node)
		node = victim_of_main(p);
	/* Main may be empty while small is below its share: a cache that was just made smaller or emptied. */
	return node ? node : victim_of_small(p);
}

static void s3fifo_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct s3fifo *p = policy;

	if (ahead_holds(node)) {
		queue_add_newest(&p->small, node);
	} else if (why == RECLAIM_REFUSED) {
		node->ref = 0;
		queue_add_newest(queue_of(p, node), node);
	} else {
		node->ref = node->where == MAIN;
		queue_add_newest(&p->main, node);
	}
}

static void s3fifo_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	struct s3fifo *p = policy;

	if (node->where == MAIN)
		return;
	ghost_trim(&p->table, &p->ghosts, ghost_max(p) - 1);
	ghost_add(&p->table, &p->ghosts, key);
}

static void s3fifo_forget(void *policy, struct reclaim_node *node)
{
	queue_del(queue_of(policy, node), node);
}

const struct reclaim_ops s3fifo_ops = {
	.name = "s3fifo",
	.help = "small=R (10%), ghost=R (90%), promote=N (2), max=N (3)",
	.init = s3fifo_init,
	.fini = s3fifo_fini,
	.resize = s3fifo_resize,
	.insert = s3fifo_insert,
	.touch = s3fifo_touch,
	.victim = s3fifo_victim,
	.putback = s3fifo_putback,
	.evicted = s3fifo_evicted,
	.forget = s3fifo_forget,
	.forget_key = s3fifo_forget_key,
};
