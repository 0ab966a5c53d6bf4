/* SPDX-License-Identifier: MIT */
/*
 * fifo.c - first in, first out: the page that came in longest ago leaves first, used or not.
 *
 * Parameters: none.  A rescue from probation counts as coming in anew, for a page that is needed
 * now would otherwise leave at once again; nothing else is taken as a use.
 * Source: Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems
 * Journal 5(2), 1966.
 */
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

struct fifo {
	struct policy policy;
	struct queue all;
};

static void *fifo_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
		       size_t len)
{
	struct fifo *p;

	if (policy_params_read(params, nr_params, NULL, 0, err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (p)
		queue_init(&p->all, 0);
	return p;
}

static void fifo_fini(void *policy)
{
	policy_free(policy, sizeof(struct fifo));
}

static void fifo_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct fifo *p = policy;

	if (flags & RECLAIM_PREFETCH)
		ahead_insert(&p->policy, node);
	else
		queue_add_newest(&p->all, node);
}

static void fifo_touch(void *policy, struct reclaim_node *node)
{
	struct fifo *p = policy;

	if (ahead_take(&p->policy, node))
		queue_add_newest(&p->all, node);
}

static struct reclaim_node *fifo_victim(void *policy)
{
	struct fifo *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->all.nr);

	return node ? node : queue_take_oldest(&p->all);
}

static void fifo_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct fifo *p = policy;

	queue_add_newest(&p->all, node);
}

static void fifo_forget(void *policy, struct reclaim_node *node)
{
	struct fifo *p = policy;

	if (!ahead_take(&p->policy, node))
		queue_del(&p->all, node);
}

const struct reclaim_ops fifo_ops = {
	.name = "fifo",
	.help = "",
	.init = fifo_init,
	.fini = fifo_fini,
	.resize = policy_resize,
	.insert = fifo_insert,
	.touch = fifo_touch,
	.victim = fifo_victim,
	.putback = fifo_putback,
	.evicted = policy_no_ghost,
	.forget = fifo_forget,
	.forget_key = policy_no_ghost_key,
};
