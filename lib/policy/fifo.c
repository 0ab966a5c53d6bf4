/* SPDX-License-Identifier: MIT */
/*
 * fifo.c - first in, first out: the page that came in longest ago leaves first, used or not.
 *
 * Parameters: none.  A rescue from probation counts as coming in anew, for a page that is needed now would
 * otherwise leave at once again; nothing else is taken as a use.
 * Source: Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal
 * 5(2), 1966.
 */
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

struct fifo {
	u64 capacity;
	struct queue all, ahead;
};

static void *fifo_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err, size_t len)
{
	struct fifo *p;

	if (policy_params_read(params, nr_params, NULL, 0, err, len))
		return NULL;
	p = policy_zalloc(sizeof(*p), err, len);
	if (!p)
		return NULL;
	p->capacity = capacity;
	queue_init(&p->all, 0);
	ahead_init(&p->ahead);
	return p;
}

static void fifo_fini(void *policy)
{
	policy_free(policy, sizeof(struct fifo));
}

static int fifo_resize(void *policy, u64 capacity)
{
	struct fifo *p = policy;

	p->capacity = capacity;
	return 0;
}

static void fifo_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct fifo *p = policy;

	queue_add_newest(flags & RECLAIM_PREFETCH ? &p->ahead : &p->all, node);
}

static void fifo_touch(void *policy, struct reclaim_node *node)
{
	struct fifo *p = policy;

	if (ahead_holds(node)) {
		queue_del(&p->ahead, node);
		queue_add_newest(&p->all, node);
	}
}

static struct reclaim_node *fifo_victim(void *policy)
{
	struct fifo *p = policy;
	struct reclaim_node *node = ahead_victim(&p->ahead, p->capacity, p->all.nr);

	return node ? node : queue_take_oldest(&p->all);
}

static void fifo_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct fifo *p = policy;

	queue_add_newest(&p->all, node);
}

static void fifo_evicted(void *policy, struct reclaim_node *node, u64 key)
{
}

static void fifo_forget(void *policy, struct reclaim_node *node)
{
	struct fifo *p = policy;

	queue_del(ahead_holds(node) ? &p->ahead : &p->all, node);
}

static void fifo_forget_key(void *policy, u64 key)
{
}

const struct reclaim_ops fifo_ops = {
	.name = "fifo",
	.help = "",
	.init = fifo_init,
	.fini = fifo_fini,
	.resize = fifo_resize,
	.insert = fifo_insert,
	.touch = fifo_touch,
	.victim = fifo_victim,
	.putback = fifo_putback,
	.evicted = fifo_evicted,
	.forget = fifo_forget,
	.forget_key = fifo_forget_key,
};
