/* SPDX-License-Identifier: MIT */
/* interval tree: what it finds is what a linear search finds, in order, each once. */
#include "base/interval.h"
#include "unit.h"

enum { N = 200, SPACE = 120 };

static struct interval_node node[N];
static bool in[N];

static void compare_with_linear(const struct interval_tree *tree, struct range r)
{
	struct interval_node *found;
	bool seen[N] = { false };
	u64 last_start = 0;
	int nr_found = 0, nr_expected = 0;

	interval_for_each(found, tree, r) {
		long i = found - node;

		assert_true(in[i] && !seen[i] && range_overlaps(found->range, r));
		assert_true(found->range.start >= last_start);
		last_start = found->range.start;
		seen[i] = true;
		nr_found++;
	}
	for (int i = 0; i < N; i++)
		nr_expected += in[i] && range_overlaps(node[i].range, r);
	assert_int_equal(nr_found, nr_expected);
}

static void test_interval_random_stream_equals_linear_search(void **state)
{
	struct interval_tree tree = { 0 };
	u64 seed = 7;

	for (int step = 0; step < 30000; step++) {
		u32 i = next_random(&seed, N);

		if (in[i]) {
			interval_remove(&tree, &node[i]);
		} else {
			u64 start = next_random(&seed, SPACE);

			node[i].range = range_of(start, 1 + next_random(&seed, 20));
			interval_insert(&tree, &node[i]);
		}
		in[i] = !in[i];
		compare_with_linear(&tree, range_of(next_random(&seed, SPACE), 1));
		compare_with_linear(&tree, range_of(next_random(&seed, SPACE),
						    1 + next_random(&seed, SPACE)));
	}
}

/*   |--a--|--b--|     asked for the border page, only b answers: intervals are half open */
static void test_interval_first_touching_interval_is_not_found(void **state)
{
	struct interval_tree tree = { 0 };
	struct interval_node a = { .range = { 0, 4 } }, b = { .range = { 4, 8 } };

	assert_true(interval_empty(&tree));
	interval_insert(&tree, &a);
	interval_insert(&tree, &b);
	assert_ptr_equal(interval_first(&tree, range_of(4, 1)), &b);
	assert_null(interval_next(&b, range_of(4, 1)));
	assert_null(interval_first(&tree, range_of(8, 100)));
	interval_remove(&tree, &a);
	interval_remove(&tree, &b);
	assert_true(interval_empty(&tree));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interval_random_stream_equals_linear_search),
		cmocka_unit_test(test_interval_first_touching_interval_is_not_found),
	};

	return RUN(tests);
}
