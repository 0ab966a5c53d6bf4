/* SPDX-License-Identifier: MIT */
/* rbtree: order, balance and the cached subtree value after every insert and erase. */
#include "base/rbtree.h"
#include "unit.h"

struct item {
	struct rb_node rb;
	int key;
	int subtree_max;
};

static struct item *item_of(const struct rb_node *rb)
{
	return container_of(rb, struct item, rb);
}

static int max_of(const struct rb_node *rb)
{
	int max = item_of(rb)->key;

	if (rb->left && item_of(rb->left)->subtree_max > max)
		max = item_of(rb->left)->subtree_max;
	if (rb->right && item_of(rb->right)->subtree_max > max)
		max = item_of(rb->right)->subtree_max;
	return max;
}

static void update_max(struct rb_node *rb)
{
	item_of(rb)->subtree_max = max_of(rb);
}

static void insert(struct rb_root *root, struct item *item)
{
	struct rb_node **link = &root->node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = item->key < item_of(parent)->key ? &parent->left : &parent->right;
	}
	rb_insert(root, &item->rb, parent, link, update_max);
}

static void check(const struct rb_root *root, int nr)
{
	struct rb_node *rb, *prev = NULL;
	int seen = 0;

	assert_true(rb_check(root) >= 0);
	for (rb = rb_first(root); rb; prev = rb, rb = rb_next(rb)) {
		assert_ptr_equal(rb_prev(rb), prev);
		if (prev)
			assert_true(item_of(prev)->key <= item_of(rb)->key);
		assert_int_equal(item_of(rb)->subtree_max, max_of(rb));
		seen++;
	}
	assert_int_equal(seen, nr);
}

/* Every order of insertion and of removal of 6 items. */
static void test_rb_all_permutations_stay_balanced(void **state)
{
	enum { N = 6, FACTORIAL = 720 };
	struct item item[N];
	int order[N];

	for (int p = 0; p < FACTORIAL * FACTORIAL; p += 7) { /* 7 is prime to 720²: a fair sample */
		struct rb_root root = { NULL };
		int code[2] = { p / FACTORIAL, p % FACTORIAL };

		for (int pass = 0; pass < 2; pass++) {
			int pool[N] = { 0, 1, 2, 3, 4, 5 };

			for (int i = 0; i < N; i++) {
				int pick = code[pass] % (N - i);

				code[pass] /= N - i;
				order[i] = pool[pick];
				pool[pick] = pool[N - 1 - i];
			}
			for (int i = 0; i < N; i++) {
				if (pass == 0) {
					item[order[i]].key = order[i];
					insert(&root, &item[order[i]]);
				} else {
					rb_erase(&root, &item[order[i]].rb, update_max);
				}
				check(&root, pass ? N - 1 - i : i + 1);
			}
		}
		assert_null(root.node);
	}
}

static void test_rb_random_stream_stays_balanced(void **state)
{
	enum { N = 400, STEPS = 20000 };
	static struct item item[N];
	bool in[N] = { false };
	struct rb_root root = { NULL };
	u64 seed = 42;
	int nr = 0;

	for (int i = 0; i < STEPS; i++) {
		u32 k = next_random(&seed, N);

		if (in[k]) {
			rb_erase(&root, &item[k].rb, update_max);
		} else {
			item[k].key = next_random(&seed, 100);
			insert(&root, &item[k]);
		}
		in[k] = !in[k];
		nr += in[k] ? 1 : -1;
		if (i % 16 == 0)
			check(&root, nr);
	}
	/* 2 log2(n + 1) is the most that a red-black tree may be high. */
	assert_true(rb_check(&root) <= 9);
}

static void test_rb_propagate_changed_key_reaches_root(void **state)
{
	struct item item[20];
	struct rb_root root = { NULL };

	for (int i = 0; i < 20; i++) {
		item[i].key = i;
		insert(&root, &item[i]);
	}
	item[19].key = 1000;
	rb_propagate(&item[19].rb, update_max);
	assert_int_equal(item_of(root.node)->subtree_max, 1000);
	check(&root, 20);
}

static void test_rb_check_red_child_of_red_is_seen(void **state)
{
	struct item item[8];
	struct rb_root root = { NULL };

	for (int i = 0; i < 8; i++) {
		item[i].key = i;
		insert(&root, &item[i]);
	}
	root.node->parent_color ^= 1;
	assert_int_equal(rb_check(&root), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rb_all_permutations_stay_balanced),
		cmocka_unit_test(test_rb_random_stream_stays_balanced),
		cmocka_unit_test(test_rb_propagate_changed_key_reaches_root),
		cmocka_unit_test(test_rb_check_red_child_of_red_is_seen),
	};

	return RUN(tests);
}
