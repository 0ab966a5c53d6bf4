/* SPDX-License-Identifier: MIT */
/* ghost.c - see ghost.h. */
#include "policy/ghost.h"

#include "base/check.h"
#include "policy/param.h"

#define KEYS_STEP 1024ul
#define STEPS_MAX 64 /* the table doubles, but grows by at most so many steps at once */

void ghost_table_init(struct ghost_table *t)
{
	*t = (struct ghost_table){ 0 };
}

void ghost_table_fini(struct ghost_table *t)
{
	mem_free(&policy_bytes, t->ghost, t->nr_keys * sizeof(t->ghost[0]));
	ghost_table_init(t);
}

/* Have memory for `key`. */
static bool table_reach(struct ghost_table *t, u64 key)
{
	u64 want = key - key % KEYS_STEP + KEYS_STEP;
	struct ghost *grown;

	if (key < t->nr_keys)
		return true;
	want = u64_max(want, t->nr_keys + u64_min(t->nr_keys, STEPS_MAX * KEYS_STEP));
	grown = mem_grow(&policy_bytes, t->ghost, t->nr_keys * sizeof(*grown), want * sizeof(*grown));
	if (!grown)
		return false;
	t->ghost = grown;
	t->nr_keys = want;
	return true;
}

void ghost_list_init(struct ghost_list *l, u8 id)
{
	BUG_ON(!id);
	*l = (struct ghost_list){ .id = id };
}

struct ghost *ghost_find(const struct ghost_table *t, u64 key)
{
	return key < t->nr_keys && t->ghost[key].id ? &t->ghost[key] : NULL;
}

struct ghost *ghost_oldest(const struct ghost_table *t, const struct ghost_list *l)
{
	return l->oldest ? &t->ghost[l->oldest] : NULL;
}

struct ghost *ghost_add(struct ghost_table *t, struct ghost_list *l, u64 key)
{
	struct ghost *g;

	CHECK(key && key <= UINT32_MAX && !ghost_find(t, key));
	if (!table_reach(t, key))
		return NULL;
	g = &t->ghost[key];
	*g = (struct ghost){ .older = l->newest, .id = l->id };
	*(l->newest ? &t->ghost[l->newest].newer : &l->oldest) = (u32)key;
	l->newest = (u32)key;
	l->nr++;
	t->nr++;
	return g;
}

void ghost_del(struct ghost_table *t, struct ghost_list *l, struct ghost *g)
{
	CHECK(g->id == l->id);
	*(g->newer ? &t->ghost[g->newer].older : &l->newest) = g->older;
	*(g->older ? &t->ghost[g->older].newer : &l->oldest) = g->newer;
	g->id = 0;
	l->nr--;
	t->nr--;
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
		ghost_del(t, l, ghost_oldest(t, l));
}
