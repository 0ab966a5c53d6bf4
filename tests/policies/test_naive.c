/* SPDX-License-Identifier: MIT */
/*
 * Every deterministic policy against a naive one written from its paper (naive.h): the same hit or
 * miss at each access of many traces.  And against OPT, which nothing can beat.
 *
 * The exact counts that libCacheSim's tests hold for a trace of CloudPhysics cannot stand here:
 * they are of caches measured in bytes, for objects of many sizes.
 */
#include "naive.h"
#include "trace.h"
#include "unit.h"

enum { LEN = 3000 };

static u32 keys[LEN];
static struct trace trace;
static struct naive naive;

/* Both over keys[]; stops at the first difference. */
static void compare(const struct naive_policy *policy, u32 capacity, const char *what)
{
	naive = (struct naive){ .capacity = capacity };
	trace_start(&trace, policy->spec, capacity);
	for (u32 i = 0; i < LEN; i++) {
		bool expected = policy->access(&naive, keys[i]);

		if ((trace_access(&trace, keys[i]) == TRACE_HIT) != expected)
			fail_msg("%s, %s, %u frames: access %u (page %u) should be a %s",
				 policy->spec, what, capacity, i, keys[i],
				 expected ? "hit" : "miss");
	}
	trace_end(&trace);
}

static void compare_all_traces(const struct naive_policy *policy)
{
	static const u32 capacities[] = { 1, 2, 3, 4, 7, 12, 30, 64, 100 };

	for (u32 kind = 0; kind < NR_TRACE_KINDS; kind++)
		for (u32 nr_keys = 4; nr_keys <= 256; nr_keys *= 4) {
			trace_fill(kind, kind + nr_keys, nr_keys, keys, LEN);
			for (u32 i = 0; i < ARRAY_SIZE(capacities); i++)
				compare(policy, capacities[i], trace_kind_name[kind]);
		}
}

static void test_each_policy_hits_where_the_naive_one_hits(void **state)
{
	for (const struct naive_policy *p = naive_policies; p->spec; p++)
		compare_all_traces(p);
	for (const struct naive_policy *p = naive_ghost_policies; p->spec; p++)
		if (!p->approximate)
			compare_all_traces(p);
}

/*
 * What it costs that room is made before the key is looked up: less than 1 % of the accesses,
 * either way.
 */
static void test_arc_is_as_good_as_in_the_papers_order(void **state)
{
	const struct naive_policy *p = naive_ghost_policies;

	while (!p->approximate)
		p++;
	for (u32 kind = 0; kind < NR_TRACE_KINDS; kind++) {
		u64 expected = 0, got;

		trace_fill(kind, 9, 256, keys, LEN);
		naive = (struct naive){ .capacity = 100 };
		for (u32 i = 0; i < LEN; i++)
			expected += !p->access(&naive, keys[i]);
		got = trace_misses(p->spec, 100, keys, LEN);
		print_message("%s: %lu misses, in the paper's order %lu\n", trace_kind_name[kind],
			      got, expected);
		assert_in_range(got, expected - LEN / 100, expected + LEN / 100);
	}
}

static void test_no_policy_beats_opt(void **state)
{
	for (u32 kind = 0; kind < NR_TRACE_KINDS; kind++) {
		u64 opt;

		trace_fill(kind, 11, 64, keys, LEN);
		opt = trace_opt(20, keys, LEN);
		for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++)
			assert_true(trace_misses((*ops)->name, 20, keys, LEN) >= opt);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_policy_hits_where_the_naive_one_hits),
		cmocka_unit_test(test_arc_is_as_good_as_in_the_papers_order),
		cmocka_unit_test(test_no_policy_beats_opt),
	};

	return RUN(tests);
}
