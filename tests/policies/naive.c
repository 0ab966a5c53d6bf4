/* SPDX-License-Identifier: MIT */
/*
 * naive.c - see naive.h: sequences, and the policies that remember nothing of pages that are gone.
 */
#include "naive.h"

#include <string.h>

#include "base/check.h"

u32 seq_index(const struct seq *s, u32 key)
{
	u32 i = 0;

	while (i < s->nr && s->key[i] != key)
		i++;
	return i;
}

bool seq_has(const struct seq *s, u32 key)
{
	return seq_index(s, key) < s->nr;
}

void seq_insert(struct seq *s, u32 i, u32 key)
{
	BUG_ON(s->nr == NAIVE_KEYS || i > s->nr);
	memmove(&s->key[i + 1], &s->key[i], (s->nr - i) * sizeof(u32));
	s->key[i] = key;
	s->nr++;
}

void seq_push(struct seq *s, u32 key)
{
	seq_insert(s, 0, key);
}

void seq_remove(struct seq *s, u32 key)
{
	u32 i = seq_index(s, key);

	BUG_ON(i == s->nr);
	s->nr--;
	memmove(&s->key[i], &s->key[i + 1], (s->nr - i) * sizeof(u32));
}

u32 seq_pop_oldest(struct seq *s)
{
	BUG_ON(!s->nr);
	return s->key[--s->nr];
}

static bool fifo_access(struct naive *n, u32 key)
{
	if (seq_has(&n->a, key))
		return true;
	if (n->a.nr == n->capacity)
		seq_pop_oldest(&n->a);
	seq_push(&n->a, key);
	return false;
}

static bool lru_access(struct naive *n, u32 key)
{
	bool hit = seq_has(&n->a, key);

	if (hit)
		seq_remove(&n->a, key);
	else if (n->a.nr == n->capacity)
		seq_pop_oldest(&n->a);
	seq_push(&n->a, key);
	return hit;
}

static bool mru_access(struct naive *n, u32 key)
{
	bool hit = seq_has(&n->a, key);

	if (hit)
		seq_remove(&n->a, key);
	else if (n->a.nr == n->capacity)
		seq_remove(&n->a, n->a.key[0]);
	seq_push(&n->a, key);
	return hit;
}

/* Frames in a circle and a hand that goes round, as in the textbooks. */
static bool clock_access_max(struct naive *n, u32 key, u32 max)
{
	u32 i = 0;

	while (i < n->a.nr && n->frame[i] != key)
		i++;
	if (i < n->a.nr) {
		n->use[i] += n->use[i] < max;
		return true;
	}
	if (n->a.nr < n->capacity) {
		n->frame[n->a.nr++] = key; /* a.nr alone is used: the frames that are taken */
		return false;
	}
	while (n->use[n->hand]) {
		n->use[n->hand]--;
		n->hand = (n->hand + 1) % n->capacity;
	}
	n->frame[n->hand] = key;
	n->hand = (n->hand + 1) % n->capacity;
	return false;
}

static bool clock_access(struct naive *n, u32 key)
{
	return clock_access_max(n, key, 1);
}

static bool gclock_access(struct naive *n, u32 key)
{
	return clock_access_max(n, key, 7);
}

/* Algorithm 1 of the NSDI paper.  `hand` is a key plus one; 0 is its NULL. */
static bool sieve_access(struct naive *n, u32 key)
{
	if (seq_has(&n->a, key)) {
		n->use[key] = 1;
		return true;
	}
	if (n->a.nr == n->capacity) {
		u32 i = n->hand ? seq_index(&n->a, n->hand - 1) : n->a.nr - 1;

		while (n->use[n->a.key[i]]) {
			n->use[n->a.key[i]] = 0;
			i = i ? i - 1 : n->a.nr - 1;
		}
		n->hand = i ? n->a.key[i - 1] + 1 : 0;
		seq_remove(&n->a, n->a.key[i]);
	}
	seq_push(&n->a, key);
	n->use[key] = 0;
	return false;
}

/* Primary a, second b of a quarter of the capacity. */
static bool sfifo_access(struct naive *n, u32 key)
{
	bool hit = seq_has(&n->a, key);

	if (hit)
		return true;
	hit = seq_has(&n->b, key);
	if (hit)
		seq_remove(&n->b, key);
	else if (n->a.nr + n->b.nr == n->capacity)
		seq_pop_oldest(n->b.nr ? &n->b : &n->a);
	seq_push(&n->a, key);
	if (n->a.nr > n->capacity - n->capacity / 4)
		seq_push(&n->b, seq_pop_oldest(&n->a));
	return hit;
}

const struct naive_policy naive_policies[] = {
	{ "fifo", fifo_access },
	{ "sfifo:tail=100%", lru_access },
	{ "mru:stale=0", mru_access },
	{ "clock", clock_access },
	{ "clock:bits=3", gclock_access },
	{ "sieve", sieve_access },
	{ "sfifo", sfifo_access },
	{ NULL },
};
