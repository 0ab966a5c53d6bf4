/* SPDX-License-Identifier: MIT */
/*
 * sfifo.c - segmented FIFO, as VMS did where the machine had no reference bits: a primary FIFO, and
 * behind it a second segment in which a page waits before it leaves; one that is used there goes
 * back to the primary.
 *
 *	  insert --> [ primary ] --oldest, when too many--> [ second ] --oldest--> victim
 *	                 ^                                      |                     |
 *	                 '------------------ touch -------------'                     |
 *	                 '------------------ rescued from probation ------------------'
 *
 * Parameters: tail=R (25%) of the capacity is the second segment.  A touch in the primary changes
 * nothing.  On a live system the pages on probation are one more such segment, the only one in
 * which a use is seen.
 * Source: Turner, Levy, "Segmented FIFO page replacement", SIGMETRICS 1981.
 */
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { PRIMARY, SECOND };

struct sfifo {
	struct policy policy;
	u64 tail_ratio; /* millionths of the capacity */
	struct queue primary, second;
};

static void *sfifo_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
			size_t len)
{
	u64 tail = POLICY_RATIO_ONE / 4;
	const struct policy_value values[] = {
		{ "tail", POLICY_RATIO, &tail, 0, POLICY_RATIO_ONE },
	};
	struct sfifo *p;

	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (!p)
		return NULL;
	p->tail_ratio = tail;
	queue_init(&p->primary, PRIMARY);
	queue_init(&p->second, SECOND);
	return p;
}

static void sfifo_fini(void *policy)
{
	policy_free(policy, sizeof(struct sfifo));
}

static void sfifo_add(struct sfifo *p, struct reclaim_node *node)
{
	u64 tail = policy_ratio_of(p->tail_ratio, p->policy.capacity);

	queue_add_newest(&p->primary, node);
	while (p->primary.nr > u64_max(p->policy.capacity - tail, 1))
		queue_add_newest(&p->second, queue_take_oldest(&p->primary));
}

static void sfifo_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct sfifo *p = policy;

	if (flags & RECLAIM_PREFETCH)
		ahead_insert(&p->policy, node);
	else
		sfifo_add(p, node);
}

static void sfifo_touch(void *policy, struct reclaim_node *node)
{
	struct sfifo *p = policy;

	if (ahead_take(&p->policy, node)) {
		sfifo_add(p, node);
	} else if (node->where == SECOND) {
		queue_del(&p->second, node);
		sfifo_add(p, node);
	}
}

static struct reclaim_node *sfifo_victim(void *policy)
{
	struct sfifo *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->primary.nr + p->second.nr);

	if (!node)
		node = queue_take_oldest(&p->second);
	return node ? node : queue_take_oldest(&p->primary);
}

static void sfifo_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	sfifo_add(policy, node);
}

static void sfifo_forget(void *policy, struct reclaim_node *node)
{
	struct sfifo *p = policy;

	if (!ahead_take(&p->policy, node))
		queue_del(node->where == SECOND ? &p->second : &p->primary, node);
}

const struct reclaim_ops sfifo_ops = {
	.name = "sfifo",
	.help = "tail=R (25%)",
	.init = sfifo_init,
	.fini = sfifo_fini,
	.resize = policy_resize,
	.insert = sfifo_insert,
	.touch = sfifo_touch,
	.victim = sfifo_victim,
	.putback = sfifo_putback,
	.evicted = policy_no_ghost,
	.forget = sfifo_forget,
	.forget_key = policy_no_ghost_key,
};
