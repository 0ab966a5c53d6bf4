/* SPDX-License-Identifier: MIT */
/*
 * 2q.c - a page must be asked for again some time after it came in before it is thought worth
 * keeping.
 *
 *	insert --> [ A1in, a FIFO ] --oldest--> gone, key to { A1out }
 *	                                                       | asked for again
 *	           [ Am, an LRU ] <----------------------------'
 *	                 '--oldest--> gone
 *
 * Parameters: in=R (25%) of the capacity is A1in's share; out=R (50%) of the capacity, in keys,
 * A1out's.
 *
 * A touch in A1in changes nothing: it belongs to the burst that brought the page.  Rescued from
 * probation: it came after the page's time in A1in, so it is the second request that the policy
 * waits for: Am.  Refused: the other queue's newest end, for a queue full of pages that cannot
 * leave must not hide the other one.
 * Source: Johnson, Shasha, "2Q: a low overhead high performance buffer management replacement
 * algorithm", VLDB 1994, the full version.
 */

#include "policy/ghost.h"
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { A1IN, AM };

struct twoq {
	struct policy policy;
	u64 in_ratio, out_ratio; /* millionths of the capacity: the paper's Kin and Kout */
	struct queue a1in, am;
	struct ghost_table table;
	struct ghost_list a1out;
};

static u64 kout(const struct twoq *p, u64 capacity)
{
	return u64_max(policy_ratio_of(p->out_ratio, capacity), 1);
}

static void *twoq_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
		       size_t len)
{
	u64 in = POLICY_RATIO_ONE / 4, out = POLICY_RATIO_ONE / 2;
	const struct policy_value values[] = {
		{ "in", POLICY_RATIO, &in, 0, POLICY_RATIO_ONE },
		{ "out", POLICY_RATIO, &out, 0, 10 * POLICY_RATIO_ONE },
	};
	struct twoq *p;

	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (!p)
		return NULL;
	p->in_ratio = in;
	p->out_ratio = out;
	ghost_table_init(&p->table);
	queue_init(&p->a1in, A1IN);
	queue_init(&p->am, AM);
	ghost_list_init(&p->a1out, 1);
	return p;
}

static void twoq_fini(void *policy)
{
	struct twoq *p = policy;

	ghost_table_fini(&p->table);
	policy_free(p, sizeof(*p));
}

static int twoq_resize(void *policy, u64 capacity)
{
	struct twoq *p = policy;

	p->policy.capacity = capacity;
	ghost_trim(&p->table, &p->a1out, kout(p, capacity));
	return 0;
}

static void twoq_forget_key(void *policy, u64 key)
{
	struct twoq *p = policy;

	ghost_forget(&p->table, &p->a1out, key);
}

static void twoq_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct twoq *p = policy;
	bool again = ghost_forget(&p->table, &p->a1out, key);

	ghost_trim(&p->table, &p->a1out, kout(p, p->policy.capacity));
	if (flags & RECLAIM_PREFETCH)
		ahead_insert(&p->policy, node);
	else
		queue_add_newest(again ? &p->am : &p->a1in, node);
}

static void twoq_touch(void *policy, struct reclaim_node *node)
{
	struct twoq *p = policy;

	if (ahead_take(&p->policy, node))
		queue_add_newest(&p->a1in, node);
	else if (node->where == AM)
		queue_renew(&p->am, node);
}

/* The paper's reclaimfor. */
static struct reclaim_node *twoq_victim(void *policy)
{
	struct twoq *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->a1in.nr + p->am.nr);

	if (node)
		return node;
	if (p->a1in.nr > policy_ratio_of(p->in_ratio, p->policy.capacity) || !p->am.nr)
		return queue_take_oldest(&p->a1in);
	return queue_take_oldest(&p->am);
}

static void twoq_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct twoq *p = policy;
	bool a1in = why == RECLAIM_TOUCHED ? ahead_held(node) : node->where == AM;

	queue_add_newest(a1in ? &p->a1in : &p->am, node);
}

static void twoq_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	struct twoq *p = policy;

	/*
	 * One more than Kout until the next insert: that page's key may be the oldest, and is in
	 * A1out still.
	 */
	if (node->where != AM)
		ghost_push(&p->table, &p->a1out, key, kout(p, p->policy.capacity) + 1);
}

static void twoq_forget(void *policy, struct reclaim_node *node)
{
	struct twoq *p = policy;

	if (!ahead_take(&p->policy, node))
		queue_del(node->where == AM ? &p->am : &p->a1in, node);
}

const struct reclaim_ops twoq_ops = {
	.name = "2q",
	.help = "in=R (25%), out=R (50%)",
	.init = twoq_init,
	.fini = twoq_fini,
	.resize = twoq_resize,
	.insert = twoq_insert,
	.touch = twoq_touch,
	.victim = twoq_victim,
	.putback = twoq_putback,
	.evicted = twoq_evicted,
	.forget = twoq_forget,
	.forget_key = twoq_forget_key,
};
