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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame_alloc_after_reserve_is_busy_with_one_reference),
		cmocka_unit_test(test_frame_put_with_second_reference_keeps_frame),
		cmocka_unit_test(test_node_two_nodes_grow_in_turn_counts_hold),
		cmocka_unit_test(test_section_emptied_goes_and_its_place_is_used_again),
		cmocka_unit_test(test_frame_reserve_many_all_allocs_succeed),
	};

	return RUN(tests);
}
