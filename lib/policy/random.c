/* SPDX-License-Identifier: MIT */
/*
 * random.c - any page, each with the same chance.  The yardstick: no pattern is bad for it.
 *
 * Parameters: seed=N (1): the same seed and the same calls give the same victims.
 *
 * Pages stand in an array in no order.  It has room for the capacity; pages beyond that (there are
 * some after the budget was made smaller, and in an emergency) stand in `spill`, with the same chance.
 * Source: Belady 1966 (RAND); the generator is Steele, Lea, Flood, "Fast splittable pseudorandom
 * number generators", OOPSLA 2014 (splitmix64).
 */
#include <errno.h>

#include "base/alloc.h"
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { SLOT, SPILL };

/* Invariant: slot[node->u32] == node for every node whose `where` is SLOT. */
struct random {
	struct policy policy;
	u64 state;
	struct reclaim_node **slot;
	u64 nr, nr_slots;
	struct queue spill;
};

static u64 next_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

static void *random_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
			 size_t len)
{
	u64 seed = 1;
	const struct policy_value values[] = { { "seed", POLICY_NUMBER, &seed, 0, ~0UL } };
	struct random *p;

	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (!p)
		return NULL;
	p->state = seed;
	p->slot = mem_zalloc(&policy_bytes, capacity * sizeof(p->slot[0]));
	if (!p->slot) {
		policy_free(p, sizeof(*p));
		snprintf(err, len, "no memory");
		return NULL;
	}
	p->nr_slots = capacity;
	queue_init(&p->spill, SPILL);
	return p;
}

static void random_fini(void *policy)
{
	struct random *p = policy;

	mem_free(&policy_bytes, p->slot, p->nr_slots * sizeof(p->slot[0]));
	policy_free(p, sizeof(*p));
}

/* The array only grows: 8 bytes a page of the largest budget that there was. */
static int random_resize(void *policy, u64 capacity)
{
	struct random *p = policy;

	if (capacity > p->nr_slots) {
		struct reclaim_node **slot;

		slot = mem_grow(&policy_bytes, p->slot, p->nr_slots * sizeof(slot[0]),
				capacity * sizeof(slot[0]));
		if (!slot)
			return -ENOMEM;
		p->slot = slot;
		p->nr_slots = capacity;
	}
	p->policy.capacity = capacity;
	return 0;
}

static void random_add(struct random *p, struct reclaim_node *node)
{
	if (p->nr == p->nr_slots) {
		queue_add_newest(&p->spill, node);
		return;
	}
	node->where = SLOT;
	node->u32 = (u32)p->nr;
	p->slot[p->nr++] = node;
}

static void random_del(struct random *p, struct reclaim_node *node)
{
	struct reclaim_node *last;

	if (node->where == SPILL) {
		queue_del(&p->spill, node);
		return;
	}
	last = p->slot[--p->nr];
	last->u32 = node->u32;
	p->slot[last->u32] = last;
}

static void random_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct random *p = policy;

	if (flags & RECLAIM_PREFETCH)
		ahead_insert(&p->policy, node);
	else
		random_add(p, node);
}

static void random_touch(void *policy, struct reclaim_node *node)
{
	struct random *p = policy;

	if (ahead_take(&p->policy, node))
		random_add(p, node);
}

static struct reclaim_node *random_victim(void *policy)
{
	struct random *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->nr + p->spill.nr);
	u64 i;

	if (node || !(p->nr + p->spill.nr))
		return node;
	i = next_random(&p->state) % (p->nr + p->spill.nr);
	if (i >= p->nr)
		return queue_take_oldest(&p->spill);
	node = p->slot[i];
	random_del(p, node);
	return node;
}

static void random_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	random_add(policy, node);
}

static void random_forget(void *policy, struct reclaim_node *node)
{
	struct random *p = policy;

	if (!ahead_take(&p->policy, node))
		random_del(p, node);
}

const struct reclaim_ops random_ops = {
	.name = "random",
	.help = "seed=N (1)",
	.init = random_init,
	.fini = random_fini,
	.resize = random_resize,
	.insert = random_insert,
	.touch = random_touch,
	.victim = random_victim,
	.putback = random_putback,
	.evicted = policy_no_ghost,
	.forget = random_forget,
	.forget_key = policy_no_ghost_key,
};
