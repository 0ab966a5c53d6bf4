/* SPDX-License-Identifier: MIT */
/* naive_ghosts.c - see naive.h: the policies that remember pages that are gone. */
#include "naive.h"

static u32 at_least_1(u32 n)
{
	return n ? n : 1;
}

static void seq_limit(struct seq *s, u32 max)
{
	while (s->nr > max)
		seq_pop_oldest(s);
}

/*
 * The full version of the VLDB paper: a is A1in, b is Am, ghosts_a is A1out; Kin 25 %, Kout 50 %.
 */
static bool twoq_access(struct naive *n, u32 key)
{
	bool in_a1out = seq_has(&n->ghosts_a, key);

	if (seq_has(&n->b, key)) {
		seq_remove(&n->b, key);
		seq_push(&n->b, key);
		return true;
	}
	if (seq_has(&n->a, key))
		return true;
	if (in_a1out)
		seq_remove(&n->ghosts_a, key);
	if (n->a.nr + n->b.nr == n->capacity) { /* reclaimfor */
		if (n->a.nr > n->capacity / 4 || !n->b.nr) {
			seq_push(&n->ghosts_a, seq_pop_oldest(&n->a));
			seq_limit(&n->ghosts_a, at_least_1(n->capacity / 2));
		} else {
			seq_pop_oldest(&n->b);
		}
	}
	seq_push(in_a1out ? &n->b : &n->a, key);
	return false;
}

/* Algorithm 1 of the SOSP paper: a is S, b is M, ghosts_a is G.  Return: who leaves, or NOBODY. */
#define NOBODY NAIVE_KEYS

static u32 s3fifo_evict_s(struct naive *n)
{
	while (n->a.nr) {
		u32 t = seq_pop_oldest(&n->a);

		if (n->use[t] <= 1)
			return t;
		n->use[t] = 0;
		seq_push(&n->b, t);
	}
	return NOBODY;
}

static u32 s3fifo_evict_m(struct naive *n)
{
	while (n->b.nr) {
		u32 t = seq_pop_oldest(&n->b);

		if (!n->use[t])
			return t;
		n->use[t]--;
		seq_push(&n->b, t);
	}
	return NOBODY;
}

/* *by_s: it leaves by S, not by M. */
static u32 s3fifo_evict(struct naive *n, u32 small, bool *by_s)
{
	u32 t = NOBODY;

	while (t == NOBODY) {
		*by_s = n->a.nr >= small || !n->b.nr;
		t = *by_s ? s3fifo_evict_s(n) : s3fifo_evict_m(n);
	}
	return t;
}

static bool s3fifo_hit(struct naive *n, u32 key)
{
	bool hit = seq_has(&n->a, key) || seq_has(&n->b, key);

	n->use[key] += hit && n->use[key] < 3;
	return hit;
}

static bool s3fifo_access(struct naive *n, u32 key)
{
	if (s3fifo_hit(n, key))
		return true;
	if (n->a.nr + n->b.nr == n->capacity) {
		bool by_s;
		u32 t = s3fifo_evict(n, at_least_1(n->capacity / 10), &by_s);

		if (by_s)
			seq_push(&n->ghosts_a, t);
		seq_limit(&n->ghosts_a, at_least_1(n->capacity * 9 / 10));
	}
	n->use[key] = 0;
	if (seq_has(&n->ghosts_a, key)) {
		seq_remove(&n->ghosts_a, key);
		seq_push(&n->b, key);
	} else {
		seq_push(&n->a, key);
	}
	return false;
}

/*
 * What lib/policy/s3fifo.c adds, as its first comment tells it, with small=5%, of which there is more to see.  Nobody is forgotten here: all goes
 * by the number of the eviction by which a page left.  The shares have the same arithmetic, for they
 * are to cross their bounds at the same access.
 */
static bool s3fifo_is_loop(const struct naive *n, bool loops)
{
	return loops && n->order > 1024 * 7 / 8;
}

static void s3fifo_ours_evict(struct naive *n, bool loops)
{
	u32 t = NOBODY;
	bool by_s;

	if (s3fifo_is_loop(n, loops))
		t = n->b.nr > n->capacity / 5 * 4 ? s3fifo_evict_m(n) : s3fifo_evict_s(n);
	if (t == NOBODY)
		t = s3fifo_evict(n, at_least_1(n->capacity / 20), &by_s);
	n->left[t] = ++n->evictions;
}

/* Does `key`, which comes in, begin in M at a level?  What can be learnt from its coming is. */
static bool s3fifo_learn(struct naive *n, u32 key, bool loops)
{
	u32 age = n->evictions - n->left[key], ghost = at_least_1(n->capacity * 9 / 10);
	bool known = n->left[key] && age < (loops ? 4 * n->capacity : ghost);
	bool soon = known && age < ghost, near = soon && age < at_least_1(n->capacity * 3 / 10);
	bool wanted;

	n->far = n->far - n->far / 256 + (soon && !near ? 256 : 0);
	wanted = near || (soon && n->far > 65536 / 10 * 9);
	if (!wanted)
		n->level[key] = 0;
	if (known) {
		u32 distance = n->left[key] - n->last_left + 32;

		n->order = n->order - n->order / 64 + (!soon && distance < 64 ? 16 : 0);
		n->last_left = n->left[key];
	}
	return wanted && !s3fifo_is_loop(n, loops);
}

static bool s3fifo_ours(struct naive *n, u32 key, bool loops)
{
	if (s3fifo_hit(n, key))
		return true;
	if (n->a.nr + n->b.nr == n->capacity)
		s3fifo_ours_evict(n, loops);
	n->use[key] = 0;
	if (s3fifo_learn(n, key, loops)) {
		static const u32 rounds[] = { 0, 1, 3, 7, 15 };

		n->level[key] += n->level[key] < 4;
		n->use[key] = rounds[n->level[key]];
		seq_push(&n->b, key);
	} else if (s3fifo_is_loop(n, loops) && (n->b.nr < n->capacity / 5 * 4 || n->mix++ % 16 == 0)) {
		seq_push(&n->b, key);
	} else {
		seq_push(&n->a, key);
	}
	return false;
}

static bool s3fifo_ours_access(struct naive *n, u32 key)
{
	return s3fifo_ours(n, key, true);
}

static bool s3fifo_without_loops_access(struct naive *n, u32 key)
{
	return s3fifo_ours(n, key, false);
}

/* Figure 4 of the FAST paper: a is T1, b is T2. */
static void arc_replace(struct naive *n, bool in_b2)
{
	if (n->a.nr && ((in_b2 && n->a.nr == n->p) || n->a.nr > n->p || !n->b.nr))
		seq_push(&n->ghosts_a, seq_pop_oldest(&n->a));
	else
		seq_push(&n->ghosts_b, seq_pop_oldest(&n->b));
}

static void arc_adapt(struct naive *n, bool in_b1)
{
	s64 b1 = n->ghosts_a.nr, b2 = n->ghosts_b.nr;

	if (in_b1) {
		n->p += b1 >= b2 ? 1 : b2 / b1;
		if (n->p > n->capacity)
			n->p = n->capacity;
	} else {
		n->p -= b2 >= b1 ? 1 : b1 / b2;
		if (n->p < 0)
			n->p = 0;
	}
}

/*
 * early: as printed; else REPLACE comes first and knows nothing of the page to come, as lib/policy
 * has it.
 */
static bool arc_access(struct naive *n, u32 key, bool early)
{
	bool in_b1 = seq_has(&n->ghosts_a, key), in_b2 = seq_has(&n->ghosts_b, key);
	u32 l1 = n->a.nr + n->ghosts_a.nr, l2 = n->b.nr + n->ghosts_b.nr;

	if (seq_has(&n->a, key) || seq_has(&n->b, key)) { /* case I */
		seq_remove(seq_has(&n->a, key) ? &n->a : &n->b, key);
		seq_push(&n->b, key);
		return true;
	}
	if (in_b1 || in_b2) { /* cases II and III */
		if (early)
			arc_adapt(n, in_b1);
		arc_replace(n, early && in_b2);
		if (!early)
			arc_adapt(n, in_b1);
		seq_remove(in_b1 ? &n->ghosts_a : &n->ghosts_b, key);
		seq_push(&n->b, key);
		return false;
	}
	if (l1 == n->capacity) { /* case IV A */
		if (n->a.nr < n->capacity) {
			seq_pop_oldest(&n->ghosts_a);
			arc_replace(n, false);
		} else {
			seq_pop_oldest(&n->a);
		}
	} else if (l1 + l2 >= n->capacity) { /* case IV B */
		if (l1 + l2 == 2 * n->capacity)
			seq_pop_oldest(&n->ghosts_b);
		arc_replace(n, false);
	}
	seq_push(&n->a, key);
	return false;
}

static bool arc_access_late(struct naive *n, u32 key)
{
	return arc_access(n, key, false);
}

static bool arc_access_early(struct naive *n, u32 key)
{
	return arc_access(n, key, true);
}

/*
 * Section 3.3 of the SIGMETRICS paper: a is the stack S, top first, b the queue Q, ghosts_a those
 * that left.
 */
static void lirs_prune(struct naive *n)
{
	while (n->a.nr && !n->lir[n->a.key[n->a.nr - 1]]) {
		u32 bottom = seq_pop_oldest(&n->a);

		if (!n->resident[bottom])
			seq_remove(&n->ghosts_a, bottom);
	}
}

static void lirs_to_lir(struct naive *n, u32 key)
{
	seq_push(&n->a, key);
	n->lir[key] = true;
}

static void lirs_bottom_to_q(struct naive *n)
{
	u32 bottom = seq_pop_oldest(&n->a);

	n->lir[bottom] = false;
	seq_push(&n->b, bottom);
	lirs_prune(n);
}

static void lirs_evict(struct naive *n)
{
	u32 out = seq_pop_oldest(&n->b);

	n->resident[out] = false;
	if (!seq_has(&n->a, out))
		return;
	seq_push(&n->ghosts_a, out);
	if (n->ghosts_a.nr > 2 * n->capacity)
		seq_remove(&n->a, seq_pop_oldest(&n->ghosts_a));
}

static u32 lirs_nr_lir(const struct naive *n)
{
	u32 nr = 0;

	for (u32 key = 0; key < NAIVE_KEYS; key++)
		nr += n->lir[key];
	return nr;
}

static bool lirs_access(struct naive *n, u32 key)
{
	bool hit = n->resident[key];
	u32 lir_max = n->capacity - at_least_1(n->capacity / 100);
	bool in_s;

	if (!hit && n->b.nr + lirs_nr_lir(n) == n->capacity)
		lirs_evict(n);
	in_s = seq_has(&n->a, key);
	if (in_s)
		seq_remove(&n->a, key);
	if (in_s && !hit)
		seq_remove(&n->ghosts_a, key);
	if (hit && !n->lir[key])
		seq_remove(&n->b, key);
	n->resident[key] = true;
	if (n->lir[key]) {
		seq_push(&n->a, key);
	} else if (in_s) {
		lirs_to_lir(n, key);
		if (lirs_nr_lir(n) > lir_max)
			lirs_bottom_to_q(n);
	} else if (lirs_nr_lir(n) < lir_max) {
		lirs_to_lir(n, key);
	} else {
		seq_push(&n->a, key);
		seq_push(&n->b, key);
	}
	lirs_prune(n);
	return hit;
}

/*
 * Linux: a is inactive, b is active, use[] of a page its young bit, of a ghost the age at which it
 * left.
 */
static void lru2_activate(struct naive *n, u32 key)
{
	n->use[key] = 0;
	n->age++;
	seq_push(&n->b, key);
}

static void lru2_evict(struct naive *n)
{
	for (;;) {
		u32 page;

		while (n->b.nr && (n->a.nr < (n->a.nr + n->b.nr) / 2 || !n->a.nr)) {
			page = seq_pop_oldest(&n->b);
			n->use[page] = 0;
			seq_push(&n->a, page);
		}
		page = seq_pop_oldest(&n->a);
		if (!n->use[page]) {
			seq_push(&n->ghosts_a, page);
			seq_limit(&n->ghosts_a, n->capacity);
			n->use[page] = n->age++;
			return;
		}
		lru2_activate(n, page);
	}
}

static bool lru2_access(struct naive *n, u32 key)
{
	if (seq_has(&n->a, key) || seq_has(&n->b, key)) {
		n->use[key] = 1;
		return true;
	}
	if (n->a.nr + n->b.nr == n->capacity)
		lru2_evict(n);
	if (seq_has(&n->ghosts_a, key)) {
		seq_remove(&n->ghosts_a, key);
		if (n->age - n->use[key] <= n->b.nr) {
			lru2_activate(n, key);
			return false;
		}
	}
	n->use[key] = 0;
	seq_push(&n->a, key);
	return false;
}

const struct naive_policy naive_ghost_policies[] = {
	{ "lru2", lru2_access },
	{ "2q", twoq_access },
	{ "arc", arc_access_late },
	{ "arc", arc_access_early, .approximate = true },
	{ "lirs:hir=1%", lirs_access },
	{ "s3fifo:small=10%,learn=0", s3fifo_access },
	{ "s3fifo:small=5%,loop=0", s3fifo_without_loops_access },
	{ "s3fifo:small=5%", s3fifo_ours_access },
	{ NULL },
};
