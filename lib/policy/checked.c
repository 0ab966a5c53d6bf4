/* SPDX-License-Identifier: MIT */
/*
 * checked.c - see checked.h.
 *
 * What is known of a node is kept beside it, in a hash table by its address, because a node's
 * fields are the policy's.  A page that is freed on probation tells nobody; its entry stays OUT and
 * is taken over when the same node is inserted again.
 */
#include "policy/checked.h"

#include <errno.h>
#include <stdarg.h>

#include "base/alloc.h"
#include "base/check.h"
#include "policy/param.h"

enum entry_state { EMPTY, HELD, OUT };

struct entry {
	const struct reclaim_node *node;
	enum entry_state state;
};

/* Open addressing with linear probing; at most half full. */
struct checked {
	const struct reclaim_ops *ops;
	void *policy;
	enum checked_mode mode;
	struct entry *table;
	u64 nr_slots; /* a power of two */
	u64 nr_held, nr_out;
	bool failed;
	char error[160];
};
#define CHECKED_MIN_SLOTS 256

static u64 home(const struct checked *c, const struct reclaim_node *node)
{
	return ((u64)node * 0x9e3779b97f4a7c15UL >> 32) & (c->nr_slots - 1);
}

/* Its entry, or the empty one where it would go. */
static struct entry *entry_find(const struct checked *c, const struct reclaim_node *node)
{
	u64 i = home(c, node);

	while (c->table[i].state != EMPTY && c->table[i].node != node)
		i = (i + 1) & (c->nr_slots - 1);
	return &c->table[i];
}

/* Remove e, and move up what was pushed past its place. */
static void entry_del(struct checked *c, struct entry *e)
{
	u64 hole = (u64)(e - c->table), mask = c->nr_slots - 1;

	for (u64 i = (hole + 1) & mask; c->table[i].state != EMPTY; i = (i + 1) & mask) {
		u64 wanted = home(c, c->table[i].node);

		if (((i - wanted) & mask) >= ((i - hole) & mask)) {
			c->table[hole] = c->table[i];
			hole = i;
		}
	}
	c->table[hole].state = EMPTY;
}

/* Return: 0, or -ENOMEM with the table as it was. */
static int table_grow(struct checked *c)
{
	struct checked bigger = *c;

	bigger.nr_slots = c->nr_slots ? 2 * c->nr_slots : CHECKED_MIN_SLOTS;
	bigger.table = mem_zalloc(&policy_bytes, bigger.nr_slots * sizeof(struct entry));
	if (!bigger.table)
		return -ENOMEM;
	for (u64 i = 0; i < c->nr_slots; i++)
		if (c->table[i].state != EMPTY)
			*entry_find(&bigger, c->table[i].node) = c->table[i];
	mem_free(&policy_bytes, c->table, c->nr_slots * sizeof(struct entry));
	*c = bigger;
	return 0;
}

void *checked_new(const struct reclaim_ops *ops, void *policy, enum checked_mode mode)
{
	struct checked *c = mem_zalloc(&policy_bytes, sizeof(*c));

	if (!c)
		return NULL;
	c->ops = ops;
	c->policy = policy;
	c->mode = mode;
	if (table_grow(c)) {
		mem_free(&policy_bytes, c, sizeof(*c));
		return NULL;
	}
	return c;
}

static void checked_fini(void *policy)
{
	struct checked *c = policy;

	c->ops->fini(c->policy);
	mem_free(&policy_bytes, c->table, c->nr_slots * sizeof(struct entry));
	mem_free(&policy_bytes, c, sizeof(*c));
}

const char *checked_error(const void *checked)
{
	const struct checked *c = checked;

	return c->failed ? c->error : NULL;
}

u64 checked_nr_held(const void *checked)
{
	return ((const struct checked *)checked)->nr_held;
}

u64 checked_nr_out(const void *checked)
{
	return ((const struct checked *)checked)->nr_out;
}

static void printf_like(2, 3) fail(struct checked *c, const char *fmt, ...)
{
	va_list ap;

	c->failed = true;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof(c->error), fmt, ap);
	va_end(ap);
	if (c->mode == CHECKED_BUG)
		BUG("policy %s: %s", c->ops->name, c->error);
}

static int checked_resize(void *policy, u64 capacity)
{
	struct checked *c = policy;

	BUG_ON(!capacity);
	return c->failed ? 0 : c->ops->resize(c->policy, capacity);
}

static void checked_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct checked *c = policy;
	struct entry *e;

	if (c->failed)
		return;
	if (2 * (c->nr_held + c->nr_out + 1) > c->nr_slots && table_grow(c)) {
		fail(c, "no memory to check it");
		return;
	}
	e = entry_find(c, node);
	BUG_ON(e->state == HELD);
	BUG_ON((flags & RECLAIM_REFAULT) && !key);
	if (e->state == OUT)
		c->nr_out--;
	*e = (struct entry){ node, HELD };
	c->nr_held++;
	c->ops->insert(c->policy, node, key, flags);
}

static void checked_touch(void *policy, struct reclaim_node *node)
{
	struct checked *c = policy;

	if (c->failed)
		return;
	BUG_ON(entry_find(c, node)->state != HELD);
	c->ops->touch(c->policy, node);
}

static struct reclaim_node *checked_victim(void *policy)
{
	struct checked *c = policy;
	struct reclaim_node *node;
	struct entry *e;

	if (c->failed)
		return NULL;
	node = c->ops->victim(c->policy);
	if (!node) {
		if (c->nr_held)
			fail(c, "names no victim, but holds %lu pages", c->nr_held);
		return NULL;
	}
	e = entry_find(c, node);
	if (e->state != HELD) {
		fail(c, e->state == OUT ? "names a victim that is on probation already" :
					  "names a victim that it does not hold");
		return NULL;
	}
	e->state = OUT;
	c->nr_held--;
	c->nr_out++;
	return node;
}

static void checked_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct checked *c = policy;
	struct entry *e;

	if (c->failed)
		return;
	e = entry_find(c, node);
	BUG_ON(e->state != OUT);
	e->state = HELD;
	c->nr_out--;
	c->nr_held++;
	c->ops->putback(c->policy, node, why);
}

static void checked_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	struct checked *c = policy;
	struct entry *e;

	if (c->failed)
		return;
	e = entry_find(c, node);
	BUG_ON(e->state != OUT || !key);
	c->nr_out--;
	entry_del(c, e);
	c->ops->evicted(c->policy, node, key);
}

static void checked_forget(void *policy, struct reclaim_node *node)
{
	struct checked *c = policy;
	struct entry *e;

	if (c->failed)
		return;
	e = entry_find(c, node);
	BUG_ON(e->state != HELD);
	c->nr_held--;
	entry_del(c, e);
	c->ops->forget(c->policy, node);
}

static void checked_forget_key(void *policy, u64 key)
{
	struct checked *c = policy;

	BUG_ON(!key);
	if (!c->failed)
		c->ops->forget_key(c->policy, key);
}

const struct reclaim_ops checked_ops = {
	.name = "checked",
	.help = "",
	.fini = checked_fini,
	.resize = checked_resize,
	.insert = checked_insert,
	.touch = checked_touch,
	.victim = checked_victim,
	.putback = checked_putback,
	.evicted = checked_evicted,
	.forget = checked_forget,
	.forget_key = checked_forget_key,
};
