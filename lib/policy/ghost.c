/* SPDX-License-Identifier: MIT */
/* ghost.c - see ghost.h. */
#include "policy/ghost.h"

#include <errno.h>

#include "base/check.h"
#include "policy/param.h"


static struct ghost **bucket_of(const struct ghost_table *t, u64 key)
{
	/* Fibonacci hashing: the upper half of the product depends on all of the key. */
	return &t->bucket[(key * 0x9e3779b97f4a7c15UL >> 32) & (t->nr_buckets - 1)];
}

static u64 buckets_for(u64 max)
{
	u64 nr = 16;

	while (nr < max && nr < 1UL << 31)
		nr *= 2;
	return nr;
}

int ghost_table_init(struct ghost_table *t, u64 max)
{
	t->nr = 0;
	t->nr_buckets = buckets_for(max);
	t->bucket = mem_zalloc(&policy_bytes, t->nr_buckets * sizeof(t->bucket[0]));
	if (!t->bucket)
		return -ENOMEM;
	slab_init(&t->slab, sizeof(struct ghost), &policy_bytes);
	return 0;
}

void ghost_table_fini(struct ghost_table *t)
{
	for (u64 i = 0; i < t->nr_buckets; i++) {
		struct ghost *g = t->bucket[i], *next;

		for (; g; g = next) {
			next = g->next;
			slab_free(&t->slab, g);
		}
	}
	slab_fini(&t->slab);
	mem_free(&policy_bytes, t->bucket, t->nr_buckets * sizeof(t->bucket[0]));
}

int ghost_table_resize(struct ghost_table *t, u64 max)
{
	struct ghost **old = t->bucket, **bucket;
	u64 nr_old = t->nr_buckets, nr = buckets_for(max);

	if (nr == nr_old)
		return 0;
	bucket = mem_zalloc(&policy_bytes, nr * sizeof(bucket[0]));
	if (!bucket)
		return -ENOMEM;
	t->bucket = bucket;
	t->nr_buckets = nr;
	for (u64 i = 0; i < nr_old; i++) {
		struct ghost *g = old[i], *next;

		for (; g; g = next) {
			struct ghost **b = bucket_of(t, g->key);

			next = g->next;
			g->next = *b;
			*b = g;
		}
	}
	mem_free(&policy_bytes, old, nr_old * sizeof(old[0]));
	return 0;
}

void ghost_list_init(struct ghost_list *l, u8 id)
{
	list_init(&l->list);
	l->nr = 0;
	l->id = id;
}

struct ghost *ghost_find(const struct ghost_table *t, u64 key)
{
	struct ghost *g = *bucket_of(t, key);

	while (g && g->key != key)
		g = g->next;
	return g;
}

struct ghost *ghost_add(struct ghost_table *t, struct ghost_list *l, u64 key)
{
	struct ghost **b = bucket_of(t, key);
	struct ghost *g;

	CHECK(key && !ghost_find(t, key));
	g = slab_alloc(&t->slab);
	if (!g)
		return NULL;
	g->key = key;
	g->id = l->id;
	g->next = *b;
	*b = g;
	t->nr++;
	list_add(&g->list, &l->list);
	l->nr++;
	return g;
}

void ghost_del(struct ghost_table *t, struct ghost_list *l, struct ghost *g)
{
	struct ghost **b = bucket_of(t, g->key);

	CHECK(g->id == l->id);
	while (*b != g)
		b = &(*b)->next;
	*b = g->next;
	t->nr--;
	list_del(&g->list);
	l->nr--;
	slab_free(&t->slab, g);
}

bool ghost_forget(struct ghost_table *t, struct ghost_list *l, u64 key)
{
	struct ghost *g = ghost_find(t, key);

	if (!g || g->id != l->id)
		return false;
	ghost_del(t, l, g);
	return true;
}

struct ghost *ghost_push(struct ghost_table *t, struct ghost_list *l, u64 key, u64 max)
{
	ghost_trim(t, l, max - 1);
	return ghost_add(t, l, key);
}

void ghost_trim(struct ghost_table *t, struct ghost_list *l, u64 max)
{
	while (l->nr > max)
		ghost_del(t, l, list_entry(l->list.prev, struct ghost, list));
}
