/* SPDX-License-Identifier: MIT */
/*
 * sieve.c - one queue and a hand that walks from its oldest to its newest end and spares used pages
 * where they are.
 *
 * Unlike CLOCK, a spared page does not move, so new pages that are used once are sifted out close
 * to the newest end while old favourites stay.
 *
 * Parameters: none.  Rescued from probation: the hand had just passed, so the page takes its old
 * place again, behind the hand, with the use counted for the next round.
 * Source: Zhang, Yang, Yue, Vigfusson, Rashmi, "SIEVE is simpler than LRU", NSDI 2024, algorithm 1.
 */
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

struct sieve {
	struct policy policy;
	struct queue all;
	struct reclaim_node *hand; /* the next to look at, on `all`; NULL: the oldest */
};

static void *sieve_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
			size_t len)
{
	struct sieve *p;

	if (policy_params_read(params, nr_params, NULL, 0, err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (p)
		queue_init(&p->all, 0);
	return p;
}

static void sieve_fini(void *policy)
{
	policy_free(policy, sizeof(struct sieve));
}

static void sieve_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct sieve *p = policy;

	if (flags & RECLAIM_PREFETCH)
		ahead_insert(&p->policy, node);
	else
		queue_add_newest(&p->all, node);
}

static void sieve_touch(void *policy, struct reclaim_node *node)
{
	struct sieve *p = policy;

	if (ahead_take(&p->policy, node))
		queue_add_newest(&p->all, node);
	else
		node->ref = 1;
}

/* The next newer one, or NULL. */
static struct reclaim_node *newer(const struct sieve *p, const struct reclaim_node *node)
{
	if (node->list.prev == &p->all.list)
		return NULL;
	return list_entry(node->list.prev, struct reclaim_node, list);
}

/* Take node out of the queue; a hand on it moves on. */
static void sieve_del(struct sieve *p, struct reclaim_node *node)
{
	if (p->hand == node)
		p->hand = newer(p, node);
	queue_del(&p->all, node);
}

static struct reclaim_node *sieve_victim(void *policy)
{
	struct sieve *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->all.nr);

	if (node || !p->all.nr)
		return node;
	node = p->hand ? p->hand : queue_oldest(&p->all);
	/* Ends: each step clears a bit. */
	while (node->ref) {
		node->ref = 0;
		node = newer(p, node);
		if (!node)
			node = queue_oldest(&p->all);
	}
	p->hand = node;
	sieve_del(p, node);
	return node;
}

static void sieve_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct sieve *p = policy;

	bool was_ahead = ahead_held(node);

	node->ref = why == RECLAIM_TOUCHED && !was_ahead;
	queue_add_newest(&p->all, node);
	/* NULL: the hand had reached the newest end, so that is the place behind it. */
	if (p->hand && !was_ahead) {
		list_del(&node->list);
		list_add(&node->list, &p->hand->list);
	}
}

static void sieve_forget(void *policy, struct reclaim_node *node)
{
	struct sieve *p = policy;

	if (!ahead_take(&p->policy, node))
		sieve_del(p, node);
}

const struct reclaim_ops sieve_ops = {
	.name = "sieve",
	.help = "",
	.init = sieve_init,
	.fini = sieve_fini,
	.resize = policy_resize,
	.insert = sieve_insert,
	.touch = sieve_touch,
	.victim = sieve_victim,
	.putback = sieve_putback,
	.evicted = policy_no_ghost,
	.forget = sieve_forget,
	.forget_key = policy_no_ghost_key,
};
