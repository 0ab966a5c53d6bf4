/* SPDX-License-Identifier: MIT */
/* frames: references, states, nodes. */
#include "fake_hw.h"
#include "unit.h"

static void test_frame_alloc_after_reserve_is_busy_with_one_reference(void **state)
{
	struct mm_world *w = fake_world();
	struct frame *f;

	assert_int_equal(frame_reserve(w, 0, 1), 0);
	f = frame_alloc(w, 0);
	assert_int_equal(f->state, FRAME_BUSY);
	assert_int_equal(f->refcount, 1);
	assert_int_equal(f->mapcount, 0);
	assert_ptr_equal(pfn_to_frame(w, frame_to_pfn(f)), f);
	assert_int_equal(w->frames.nr_used, 1);
	frame_table_verify(w);
	frame_put(w, f);
	assert_int_equal(f->state, FRAME_FREE);
	mm_world_destroy(w);
}

static void test_frame_put_with_second_reference_keeps_frame(void **state)
{
	struct mm_world *w = fake_world();
	struct frame *f;

	assert_int_equal(frame_reserve(w, 0, 1), 0);
	f = frame_alloc(w, 0);
	frame_get(f);
	frame_put(w, f);
	assert_int_equal(f->state, FRAME_BUSY);
	frame_put(w, f);
	assert_int_equal(w->frames.nr_used, 0);
	mm_world_destroy(w);
}

/* 3000 frames of two nodes in turn: sections belong to one node, spans cover the other's. */
static void test_node_two_nodes_grow_in_turn_counts_hold(void **state)
{
	enum { N = 3 * FRAMES_PER_SECTION };
	static struct frame *frame[2][N];
	struct mm_world *w = fake_world();
	const struct node *node = w->frames.node;

	assert_int_equal(frame_reserve(w, 0, 1), 0);
	assert_int_equal(node_online(w, 1), 0);
	for (int i = 0; i < N; i++) {
		for (int n = 0; n < 2; n++) {
			assert_int_equal(frame_reserve(w, n, 1), 0);
			frame[n][i] = frame_alloc(w, n);
			assert_int_equal(frame[n][i]->nid, n);
		}
	}
	frame_table_verify(w);
	for (int n = 0; n < 2; n++) {
		assert_int_equal(node[n].nr_used, N);
		assert_int_equal(node[n].nr_free, 0);
		assert_int_equal(node[n].present_pages, N);
		assert_int_equal(node[n].spanned_pages, 5 * FRAMES_PER_SECTION);
		assert_int_equal(node[n].start_pfn, n * FRAMES_PER_SECTION);
	}
	assert_int_equal(w->frames.nr_used_max, 2 * N);
	for (int i = 0; i < N; i++) {
		frame_put(w, frame[0][i]);
		frame_put(w, frame[1][i]);
	}
	frame_table_verify(w);
	assert_int_equal(w->frames.nr_used, 0);
	for (int n = 0; n < 2; n++) { /* one section each is kept for the next fault */
		assert_int_equal(node[n].present_pages, FRAMES_PER_SECTION);
		assert_int_equal(node[n].spanned_pages, FRAMES_PER_SECTION);
	}
	mm_world_destroy(w);
}

/*   section:  0 1 2  all used;  1 is emptied: kept;  0 is emptied: goes;  its place is used again   */
static void test_section_emptied_goes_and_its_place_is_used_again(void **state)
{
	enum { N = 3 * FRAMES_PER_SECTION };
	static struct frame *frame[N];
	struct mm_world *w = fake_world();
	const struct node *node = w->frames.node;
	u64 bytes;

	for (int i = 0; i < N; i++) {
		assert_int_equal(frame_reserve(w, 0, 1), 0);
		frame[i] = frame_alloc(w, 0);
		assert_int_equal(frame_to_pfn(frame[i]), i);
	}
	bytes = w->bytes;
	for (u32 i = 0; i < FRAMES_PER_SECTION; i++)
		frame_put(w, frame[FRAMES_PER_SECTION + i]);
	assert_int_equal(node->present_pages, N);
	for (u32 i = 0; i < FRAMES_PER_SECTION; i++)
		frame_put(w, frame[i]);
	frame_table_verify(w);
	assert_int_equal(node->present_pages, N - FRAMES_PER_SECTION);
	assert_int_equal(node->start_pfn, FRAMES_PER_SECTION);
	assert_int_equal(w->bytes, bytes - sizeof(struct section));

	for (u32 i = 0; i < 2 * FRAMES_PER_SECTION; i++) {
		assert_int_equal(frame_reserve(w, 0, 1), 0);
		frame[i] = frame_alloc(w, 0);
	}
	frame_table_verify(w);
	assert_int_equal(node->start_pfn, 0);
	assert_int_equal(node->spanned_pages, N);
	assert_int_equal(w->bytes, bytes);
	for (int i = 0; i < N; i++)
		frame_put(w, frame[i]);
	mm_world_destroy(w);
}

static void test_frame_reserve_many_all_allocs_succeed(void **state)
{
	enum { NR = 2 * FRAMES_PER_SECTION + 1 };
	static struct frame *frame[NR];
	struct mm_world *w = fake_world();

	assert_int_equal(frame_reserve(w, 0, NR), 0);
	assert_true(w->frames.node[0].nr_free >= NR);
	alloc_fail_at(1);
	for (int i = 0; i < NR; i++) {
		frame[i] = frame_alloc(w, 0);
		for (int j = i & ~63; j < i; j++)
			assert_ptr_not_equal(frame[i], frame[j]);
	}
	assert_true(alloc_fail_pending());
	alloc_fail_at(0);
	for (int i = 0; i < NR; i++)
		frame_put(w, frame[i]);
	mm_world_destroy(w);
}

/* Take nr frames of the node; give them back. */
static void take(struct mm_world *w, u32 nid, struct frame **frame, u64 nr)
{
	assert_int_equal(frame_reserve(w, nid, nr), 0);
	for (u64 i = 0; i < nr; i++)
		frame[i] = frame_alloc(w, nid);
	frame_table_verify(w);
}

static void give(struct mm_world *w, struct frame **frame, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		frame_put(w, frame[i]);
	frame_table_verify(w);
}

static void test_node_online_brings_one_section_and_only_once(void **state)
{
	struct mm_world *w = fake_world();
	const struct node *node = &w->frames.node[2];

	assert_int_equal(frame_reserve(w, 2, 1), -ENODEV);
	assert_int_equal(node_online(w, 2), 0);
	assert_int_equal(node->present_pages, FRAMES_PER_SECTION);
	assert_int_equal(node->spanned_pages, FRAMES_PER_SECTION);
	frame_table_verify(w);
	assert_int_equal(node_online(w, 2), -EEXIST);
	assert_int_equal(node_online(w, 0), -EEXIST);
	assert_int_equal(node_online(w, MAX_NODES), -EINVAL);
	assert_int_equal(node_online(w, UINT32_MAX), -EINVAL);
	mm_world_destroy(w);
}

/*   section:  0: node 0,  1: node 1,  2: node 0,  3: node 1;   node 1 goes;  node 3 gets its first place   */
static void test_node_offline_when_free_its_pfns_become_anothers(void **state)
{
	static struct frame *low[2 * FRAMES_PER_SECTION], *high[2 * FRAMES_PER_SECTION];
	struct mm_world *w = fake_world();
	const struct node *node = w->frames.node;
	struct frame *one;

	take(w, 0, low, 1);
	assert_int_equal(node_online(w, 1), 0);
	take(w, 0, low + 1, 2 * FRAMES_PER_SECTION - 1);
	take(w, 1, high, 2 * FRAMES_PER_SECTION);
	assert_int_equal(node[1].start_pfn, FRAMES_PER_SECTION);
	assert_int_equal(node[1].spanned_pages, 3 * FRAMES_PER_SECTION);

	give(w, high, 2 * FRAMES_PER_SECTION - 1);
	assert_int_equal(node_offline(w, 1), -EBUSY);
	assert_int_equal(frame_reserve(w, 1, 1), 0);
	give(w, high + 2 * FRAMES_PER_SECTION - 1, 1);
	assert_int_equal(node_offline(w, 1), 0);
	frame_table_verify(w);
	assert_int_equal(node[1].present_pages, 0);
	assert_int_equal(node[1].spanned_pages, 0);
	assert_int_equal(frame_reserve(w, 1, 1), -ENODEV);
	assert_int_equal(node_offline(w, 1), -EINVAL);

	assert_int_equal(node_online(w, 3), 0);
	take(w, 3, &one, 1);
	assert_int_equal(frame_to_pfn(one), FRAMES_PER_SECTION);
	give(w, &one, 1);
	assert_int_equal(node_online(w, 1), 0);
	give(w, low, 2 * FRAMES_PER_SECTION);
	assert_int_equal(node_offline(w, 0), -EINVAL);
	assert_int_equal(node_offline(w, MAX_NODES), -EINVAL);
	mm_world_destroy(w);
}

static void test_node_set_budget_beyond_it_reserve_is_enospc(void **state)
{
	struct mm_world *w = fake_world();
	struct frame *frame[20];

	assert_int_equal(node_online(w, 1), 0);
	node_set_budget(w, 1, 10);
	assert_int_equal(frame_reserve(w, 1, 11), -ENOSPC);
	take(w, 1, frame, 10);
	assert_int_equal(frame_reserve(w, 1, 1), -ENOSPC);
	assert_int_equal(frame_reserve(w, 0, 1), 0); /* another node has its own */
	node_set_budget(w, 1, 12);
	take(w, 1, frame + 10, 2);
	node_set_budget(w, 1, 4); /* those in use stay */
	give(w, frame, 8);
	assert_int_equal(frame_reserve(w, 1, 1), -ENOSPC);
	give(w, frame + 8, 1);
	assert_int_equal(frame_reserve(w, 1, 1), 0);
	assert_int_equal(frame_reserve(w, 1, 2), -ENOSPC);
	node_set_budget(w, 1, 0);
	take(w, 1, frame, 9);
	give(w, frame, 12);
	node_set_budget(w, 1, 1);
	assert_int_equal(node_offline(w, 1), 0);
	assert_int_equal(node_online(w, 1), 0);
	assert_int_equal(frame_reserve(w, 1, 2), 0); /* the budget went with the node */
	mm_world_destroy(w);
}

/* Sections beyond the first eight, so that the table grows too. */
static void test_node_growth_each_failed_allocation_changes_nothing(void **state)
{
	enum { NR = 10 * FRAMES_PER_SECTION };
	struct mm_world *w = fake_world();
	const struct node *node = &w->frames.node[1];
	u64 nth;
	int err;

	for (nth = 1;; nth++) {
		alloc_fail_at(nth);
		err = node_online(w, 1);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_false(node->online);
		frame_table_verify(w);
	}
	assert_true(nth > 2 && alloc_fail_pending());
	for (nth = 1;; nth++) {
		alloc_fail_at(nth);
		err = frame_reserve(w, 1, NR);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(node->present_pages, FRAMES_PER_SECTION);
		assert_int_equal(node->nr_idle, 1);
		frame_table_verify(w);
	}
	assert_true(nth > 9 && alloc_fail_pending());
	alloc_fail_at(0);
	assert_int_equal(node->present_pages, NR);
	mm_world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_alloc_after_reserve_is_busy_with_one_reference),
		cmocka_unit_test(test_frame_put_with_second_reference_keeps_frame),
		cmocka_unit_test(test_node_two_nodes_grow_in_turn_counts_hold),
		cmocka_unit_test(test_section_emptied_goes_and_its_place_is_used_again),
		cmocka_unit_test(test_frame_reserve_many_all_allocs_succeed),
		cmocka_unit_test(test_node_online_brings_one_section_and_only_once),
		cmocka_unit_test(test_node_offline_when_free_its_pfns_become_anothers),
		cmocka_unit_test(test_node_set_budget_beyond_it_reserve_is_enospc),
		cmocka_unit_test(test_node_growth_each_failed_allocation_changes_nothing),
	};

	return RUN(tests);
}
