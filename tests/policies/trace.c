/* SPDX-License-Identifier: MIT */
/* trace.c - see trace.h. */
#include "trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

void *policy_make(const char *arg, u64 capacity)
{
	const struct reclaim_ops *ops = NULL;
	struct policy_spec spec;
	void *policy = NULL, *checked = NULL;
	char err[200] = "no such policy";

	if (!policy_spec_parse(&spec, arg, err, sizeof(err)))
		ops = reclaim_policy_find(spec.name);
	if (ops)
		policy = ops->init(spec.params, spec.nr_params, capacity, err, sizeof(err));
	if (policy)
		checked = checked_new(ops, policy, CHECKED_BUG);
	if (!checked) {
		fprintf(stderr, "%s: %s\n", arg, err);
		exit(2);
	}
	return checked;
}

void trace_start(struct trace *t, const char *spec, u64 capacity)
{
	memset(t, 0, sizeof(*t));
	t->capacity = capacity;
	t->checked = policy_make(spec, capacity);
}

/* Keys of policies are not 0. */
static u64 policy_key(u32 key)
{
	return key + 1UL;
}

int trace_access(struct trace *t, u32 key)
{
	struct trace_page *page = &t->page[key], *out;
	int result = TRACE_FREE;

	BUG_ON(key >= TRACE_MAX_KEYS);
	if (page->resident) {
		checked_ops.touch(t->checked, &page->node);
		return TRACE_HIT;
	}
	t->nr_misses++;
	if (t->nr_resident == t->capacity) {
		out = container_of(checked_ops.victim(t->checked), struct trace_page, node);
		result = (int)(out - t->page);
		checked_ops.evicted(t->checked, &out->node, policy_key((u32)result));
		out->resident = false;
		out->was_evicted = true;
		t->nr_resident--;
	}
	memset(&page->node, 0, sizeof(page->node));
	checked_ops.insert(t->checked, &page->node, policy_key(key),
			   page->was_evicted ? RECLAIM_REFAULT : 0);
	page->resident = true;
	t->nr_resident++;
	return result;
}

void trace_end(struct trace *t)
{
	checked_ops.fini(t->checked);
}

u64 trace_misses(const char *spec, u64 capacity, const u32 *keys, u32 nr)
{
	struct trace *t = malloc(sizeof(*t));
	u64 misses;

	BUG_ON(!t);
	trace_start(t, spec, capacity);
	for (u32 i = 0; i < nr; i++)
		trace_access(t, keys[i]);
	misses = t->nr_misses;
	trace_end(t);
	free(t);
	return misses;
}

/* Where keys[i] is used next; nr: never. */
static u32 next_use(const u32 *keys, u32 nr, u32 i)
{
	u32 j = i + 1;

	while (j < nr && keys[j] != keys[i])
		j++;
	return j;
}

u64 trace_opt(u64 capacity, const u32 *keys, u32 nr)
{
	u32 in[TRACE_MAX_KEYS], until[TRACE_MAX_KEYS]; /* resident keys, their next uses */
	u64 nr_in = 0, misses = 0;

	for (u32 i = 0; i < nr; i++) {
		u64 at = 0;

		while (at < nr_in && in[at] != keys[i])
			at++;
		if (at == nr_in) {
			misses++;
			if (nr_in < capacity) {
				nr_in++;
			} else {
				at = 0;
				for (u64 j = 1; j < nr_in; j++)
					if (until[j] > until[at])
						at = j;
			}
		}
		in[at] = keys[i];
		until[at] = next_use(keys, nr, i);
	}
	return misses;
}

const char *const trace_kind_name[] = { "uniform", "zipf", "loop", "scans", "phases" };

static u64 random_u64(u64 *seed)
{
	u64 z = *seed += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

/* Roughly Zipf with exponent 1: the logarithm of the rank is uniform. */
static u32 random_zipf(u64 *seed, u32 nr_keys)
{
	double u = (double)(random_u64(seed) >> 11) / 9007199254740992.0;

	return (u32)(exp(u * log((double)nr_keys + 1)) - 1) % nr_keys;
}

/*
 * uniform, zipf: independent.  loop: 0, 1, … round and round.  scans: zipf, but now and then a run
 * of keys in order.  phases: zipf over a quarter of the keys, another quarter every so often.
 */
void trace_fill(enum trace_kind kind, u64 seed, u32 nr_keys, u32 *keys, u32 nr)
{
	u32 scan_left = 0, scan_at = 0;

	for (u32 i = 0; i < nr; i++) {
		switch (kind) {
		case TRACE_UNIFORM:
			keys[i] = (u32)(random_u64(&seed) % nr_keys);
			break;
		case TRACE_ZIPF:
			keys[i] = random_zipf(&seed, nr_keys);
			break;
		case TRACE_LOOP:
			keys[i] = i % nr_keys;
			break;
		case TRACE_SCANS:
			if (!scan_left && random_u64(&seed) % 40 == 0)
				scan_left = 1 + (u32)(random_u64(&seed) % nr_keys);
			if (scan_left) {
				scan_left--;
				keys[i] = scan_at++ % nr_keys;
			} else {
				keys[i] = random_zipf(&seed, nr_keys);
			}
			break;
		case TRACE_PHASES:
			keys[i] = i / (8 * nr_keys) * (nr_keys / 4);
			keys[i] = (keys[i] + random_zipf(&seed, nr_keys / 4 + 1)) % nr_keys;
			break;
		case NR_TRACE_KINDS:
			BUG("no kind of trace");
		}
	}
}
