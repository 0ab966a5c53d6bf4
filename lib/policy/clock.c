/* SPDX-License-Identifier: MIT */
/*
 * clock.c - FIFO with a second chance: the hand passes over pages used since it last came by.
 *
 * Parameters: bits=N (1), the size of each page's use counter; with more than one bit it is GCLOCK:
 * a page used n times survives n passes of the hand.
 *
 * The circle is kept as a queue whose oldest end is where the hand stands: passing over a page
 * moves it from there to the newest end, which is the place just behind the hand.  A new page is
 * put there too, as on the circle, where it takes the victim's place and the hand moves on.
 *
 * Rescued from probation: the hand had passed already when the use came, so the page goes behind
 * the hand with that use still counted.  The next pass is then free, and a page in steady use costs
 * a rescue only every second round.
 * Source: Corbato, "A paging experiment with the Multics system", MIT Project MAC report, 1968;
 * Smith, "Sequentiality and prefetching in database systems", TODS 3(3), 1978 (GCLOCK).
 * Linux counterpart: the second chance of mm/vmscan.c before 2.6.
 */
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

struct clock {
	struct policy policy;
	u8 ref_max;
	struct queue all; /* the hand is at its oldest end */
};

static void *clock_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
			size_t len)
{
	u64 bits = 1;
	const struct policy_value values[] = { { "bits", POLICY_NUMBER, &bits, 1, 7 } };
	struct clock *p;

	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (!p)
		return NULL;
	p->ref_max = (u8)((1U << bits) - 1);
	queue_init(&p->all, 0);
	return p;
}

static void clock_fini(void *policy)
{
	policy_free(policy, sizeof(struct clock));
}

static void clock_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct clock *p = policy;

	if (flags & RECLAIM_PREFETCH)
		ahead_insert(&p->policy, node);
	else
		queue_add_newest(&p->all, node);
}

static void clock_touch(void *policy, struct reclaim_node *node)
{
	struct clock *p = policy;

	if (ahead_take(&p->policy, node))
		queue_add_newest(&p->all, node);
	else if (node->ref < p->ref_max)
		node->ref++;
}

static struct reclaim_node *clock_victim(void *policy)
{
	struct clock *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->all.nr);

	if (node)
		return node;
	/* Ends: each step takes one from a counter. */
	while ((node = queue_oldest(&p->all)) && node->ref) {
		node->ref--;
		queue_renew(&p->all, node);
	}
	return queue_take_oldest(&p->all);
}

static void clock_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct clock *p = policy;

	node->ref = why == RECLAIM_TOUCHED && !ahead_held(node);
	queue_add_newest(&p->all, node);
}

static void clock_forget(void *policy, struct reclaim_node *node)
{
	struct clock *p = policy;

	if (!ahead_take(&p->policy, node))
		queue_del(&p->all, node);
}

const struct reclaim_ops clock_ops = {
	.name = "clock",
	.help = "bits=N (1): size of a page's use counter",
	.init = clock_init,
	.fini = clock_fini,
	.resize = policy_resize,
	.insert = clock_insert,
	.touch = clock_touch,
	.victim = clock_victim,
	.putback = clock_putback,
	.evicted = policy_no_ghost,
	.forget = clock_forget,
	.forget_key = policy_no_ghost_key,
};
