/* SPDX-License-Identifier: MIT */
/* pages ahead of need: mm_prefetch, and where it and its kin must end. */
#include "reclaim_steps.h"

/* pages 0..n-1 are out, in this order */
static struct mm_struct *swapped_mm(u64 pages, u64 budget)
{
	struct mm_struct *mm = filled_mm(pages, pages);

	for (u64 i = 0; i < pages; i++)
		evict(mm);
	mm_set_budget(mm->world, budget);
	return mm;
}

static void test_prefetch_brings_a_run_in_one_call(void **state)
{
	struct mm_struct *mm = swapped_mm(8, 64);
	u32 slot = 99;

	fake_hw.nr_map_copy = 0;
	assert_int_equal(mm_prefetch(mm, BASE + 2 * P, 4, &slot), 4);
	assert_int_equal(slot, 0);
	assert_int_equal(fake_hw.nr_map_copy, 1);
	assert_int_equal(fake_hw.last_addr, BASE + 2 * P);
	assert_int_equal(fake_hw.last_nr_pages, 4);
	assert_int_equal(stats(mm).prefetched, 4);
	assert_int_equal(stats(mm).swapped_in, 4);
	expect_pages(mm, 4, 4, 4, 4, 8);
	fake_mm_destroy(mm);
}

static void test_prefetch_ends_at_hole_page_at_hand_and_vma_end(void **state)
{
	struct mm_struct *mm = swapped_mm(8, 64);
	u32 slot;

	do_madvise(mm, BASE + 2 * P, 1, MADV_DONTNEED);
	assert_int_equal(mm_prefetch(mm, BASE, 8, &slot), 2);
	assert_int_equal(mm_prefetch(mm, BASE, 8, &slot), 0); /* it is here */
	assert_int_equal(mm_prefetch(mm, BASE + 2 * P, 8, &slot), 0);
	assert_int_equal(mm_prefetch(mm, BASE + 6 * P, 8, &slot), 2);
	assert_int_equal(mm_prefetch(mm, BASE + 8 * P, 8, &slot), 0);
	do_protect(mm, BASE + 4 * P, 1, PROT_READ); /* page 4 is a vma of its own */
	assert_int_equal(mm_prefetch(mm, BASE + 3 * P, 8, &slot), 1);
	expect_pages(mm, 5, 5, 5, 2, 7);
	fake_mm_destroy(mm);
}

static void test_prefetch_keeps_room_for_faults(void **state)
{
	struct mm_struct *mm = swapped_mm(8, 3);
	u32 slot;

	assert_int_equal(mm_prefetch(mm, BASE, 8, &slot), 3);
	assert_int_equal(mm_prefetch(mm, BASE + 3 * P, 8, &slot), 0);
	expect_pages(mm, 3, 3, 3, 5, 8);
	mm_set_budget(mm->world, 2048); /* a 1024th is kept */
	do_mmap(mm, BASE + 512 * P, 2100, RW);
	for (u64 i = 0; i < 2043; i++)
		assert_int_equal(touch_write(mm, BASE + (512 + i) * P), FAULT_RESOLVED);
	assert_int_equal(mm_room(mm->world), 2);
	assert_int_equal(mm_prefetch(mm, BASE + 3 * P, 8, &slot), 0);
	fake_mm_destroy(mm);
}

/* told once when it is used, and when it leaves before; a page that a fault asked for is nobody's news */
static void test_what_came_of_a_prefetched_page_is_told(void **state)
{
	struct mm_struct *mm = swapped_mm(4, 64);
	struct victim v;
	u32 slot;

	assert_int_equal(touch_write(mm, BASE + 3 * P), FAULT_RESOLVED);
	assert_int_equal(mm_prefetch(mm, BASE, 3, &slot), 3);
	mm_prefetch_used(mm, BASE);
	mm_prefetch_used(mm, BASE);
	assert_int_equal(fake_backing.nr_used, 1);
	assert_int_equal(fake_backing.last_told, BASE);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), 0);
		assert_true(mm_stage(mm->world, v.pfn, mm, 0));
		mm_write_begin(mm->world, v.pfn);
		mm_evicted(mm->world, v.pfn, true);
	}
	assert_int_equal(fake_backing.nr_left, 2);
	assert_int_equal(fake_backing.nr_used, 1);
	assert_int_equal(stats(mm).prefetch_used, 1);
	assert_int_equal(stats(mm).prefetch_wasted, 2);
	fake_mm_destroy(mm);
}

static void test_prefetch_stops_at_page_to_be_waited_for_and_names_its_slot(void **state)
{
	struct mm_struct *mm = swapped_mm(4, 64);
	u32 slot = 0;

	fake_backing.after = 2;
	fake_backing.read_now = -EAGAIN;
	assert_int_equal(mm_prefetch(mm, BASE, 4, &slot), 2);
	assert_int_equal(slot, pte_to_swp_entry(pte_lookup(mm, BASE + 2 * P)).val);
	fake_backing.nr_read_now = 0;
	fake_backing.read_now = -EIO; /* left to the fault that it belongs to */
	fake_backing.after = 0;
	assert_int_equal(mm_prefetch(mm, BASE + 2 * P, 2, &slot), 0);
	assert_int_equal(slot, 0);
	expect_pages(mm, 2, 2, 2, 2, 4);
	fake_mm_destroy(mm);
}

static void test_prefetch_passes_over_staged_locked_and_refused(void **state)
{
	struct mm_struct *mm = filled_mm(4, 64);
	struct victim v = stage(mm, 0);
	u32 slot;

	assert_int_equal(mm_prefetch(mm, BASE, 4, &slot), 0); /* it is in staging: a soft fault */
	mm_evicted(mm->world, v.pfn, false);
	evict(mm);
	evict(mm);
	fake_hw.refuse = -EAGAIN;
	fake_hw.refuse_after = 1;
	assert_int_equal(mm_prefetch(mm, BASE, 3, &slot), 1);
	expect_pages(mm, 2, 2, 2, 2, 3);
	do_lock(mm, 1, 2, true);
	assert_int_equal(mm_prefetch(mm, BASE + P, 2, &slot), 0);
	fake_mm_destroy(mm);
}

/* what the kernel has dropped must not come back with its old bytes before the model has heard of it */
static void test_prefetch_stops_before_what_an_open_plan_drops(void **state)
{
	struct mm_struct *mm = swapped_mm(8, 64);
	struct mm_plan *plan;
	u32 slot;

	assert_int_equal(mm_plan_madvise(mm, BASE + 2 * P, 2 * P, MADV_DONTNEED, &plan), 0);
	assert_int_equal(mm_prefetch(mm, BASE + 2 * P, 4, &slot), 0);
	assert_int_equal(mm_prefetch(mm, BASE, 8, &slot), 2);
	assert_int_equal(mm_prefetch(mm, BASE + 4 * P, 2, &slot), 2);
	mm_plan_commit(plan, 0);
	expect_pages(mm, 4, 4, 4, 2, 6);
	assert_int_equal(mm_prefetch(mm, BASE + 6 * P, 8, &slot), 2);
	fake_mm_destroy(mm);
}

/* as above, with fresh pages: the model would forget them with commit */
static void test_fault_around_stops_before_what_an_open_plan_drops(void **state)
{
	struct mm_world *w = fake_world_with(16);
	struct mm_struct *mm = mm_alloc(w, NULL);
	struct mm_plan *plan;

	do_mmap(mm, BASE, 16, RW);
	assert_int_equal(touch_write(mm, BASE), FAULT_RESOLVED);
	assert_int_equal(touch_write(mm, BASE + P), FAULT_RESOLVED); /* the window is 2 now, then 4, then 8 */
	assert_int_equal(touch_write(mm, BASE + 3 * P), FAULT_RESOLVED);
	assert_int_equal(mm->nr_anon_ptes, 7);
	assert_int_equal(mm_plan_madvise(mm, BASE + 9 * P, P, MADV_DONTNEED, &plan), 0);
	assert_int_equal(touch_write(mm, BASE + 7 * P), FAULT_RESOLVED);
	assert_int_equal(mm->nr_anon_ptes, 9);
	mm_plan_commit(plan, 0);
	fake_mm_destroy(mm);
}

/* a prefetcher, perhaps the user's own, may name any page */
static void test_prefetch_beyond_the_address_space_brings_nothing(void **state)
{
	struct mm_struct *mm = swapped_mm(1, 64);
	u32 slot;

	assert_int_equal(mm_prefetch(mm, TASK_SIZE, 1, &slot), 0);
	assert_int_equal(mm_prefetch(mm, -P, 1, &slot), 0);
	mm_prefetch_used(mm, TASK_SIZE);
	fake_mm_destroy(mm);
}

static void test_prefetched_page_is_counted_used_or_wasted_once(void **state)
{
	struct mm_struct *mm = swapped_mm(3, 64);
	u32 slot;

	assert_int_equal(mm_prefetch(mm, BASE, 3, &slot), 3);
	mm_prefetch_used(mm, BASE);
	mm_prefetch_used(mm, BASE);
	assert_int_equal(stats(mm).prefetch_used, 1);
	for (int i = 0; i < 3; i++)
		evict(mm);
	assert_int_equal(stats(mm).prefetch_used, 1);
	assert_int_equal(stats(mm).prefetch_wasted, 2);
	mm_prefetch_used(mm, BASE); /* it is out: nothing */
	assert_int_equal(stats(mm).prefetch_used, 1);
	fake_mm_destroy(mm);
}

/* the kernel may have mapped something else in the range; a page protected there must not be lifted unheard of */
static void test_cow_around_stops_before_and_behind_what_an_open_plan_drops(void **state)
{
	struct mm_struct *mm = filled_mm(8, 64);
	struct mm_plan *plan;

	mm->world->config.cow_around = 8;
	mm_put(do_fork(mm));
	assert_int_equal(mm_plan_munmap(mm, BASE + 3 * P, 2 * P, &plan), 0);
	fault(mm, 1, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	assert_int_equal(fake_hw.last_addr, BASE);
	assert_int_equal(fake_hw.last_nr_pages, 3);
	fault(mm, 6, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	assert_int_equal(fake_hw.last_addr, BASE + 5 * P);
	assert_int_equal(fake_hw.last_nr_pages, 3);
	mm_plan_commit(plan, 0);
	fake_mm_destroy(mm);
}

/* with room for 40 pages a window of 16 is cut to a quarter of what is left, not to one page; in both directions */
static void test_fault_around_near_the_budget_takes_a_part_of_the_room(void **state)
{
	static const u32 windows[] = { 1, 2, 4, 8 }; /* 15 pages: 25 are left */
	struct mm_struct *mm = fake_mm();

	mm->world->config.prefetch_max_pages = 16;
	fake_budget(mm->world, 40, "fifo");
	do_mmap(mm, BASE, 64, RW);
	for (u32 i = 0, page = 0; i < ARRAY_SIZE(windows); page += windows[i++]) {
		fault(mm, page, FAULT_FLAG_WRITE, FAULT_RESOLVED);
		assert_int_equal(fake_hw.last_nr_pages, windows[i]);
	}
	fault(mm, 15, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	assert_int_equal(fake_hw.last_nr_pages, 25 / 4);
	fault(mm, 21, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	assert_int_equal(fake_hw.last_nr_pages, 19 / 4);
	fault(mm, 63, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, 62, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, 60, FAULT_FLAG_WRITE, FAULT_RESOLVED); /* a window of 4, and room for 12 */
	assert_int_equal(fake_hw.last_addr, BASE + 58 * P);
	assert_int_equal(fake_hw.last_nr_pages, 3);
	mm_world_verify(mm->world);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefetch_brings_a_run_in_one_call),
		cmocka_unit_test(test_prefetch_ends_at_hole_page_at_hand_and_vma_end),
		cmocka_unit_test(test_prefetch_keeps_room_for_faults),
		cmocka_unit_test(test_what_came_of_a_prefetched_page_is_told),
		cmocka_unit_test(test_prefetch_stops_at_page_to_be_waited_for_and_names_its_slot),
		cmocka_unit_test(test_prefetch_passes_over_staged_locked_and_refused),
		cmocka_unit_test(test_prefetch_stops_before_what_an_open_plan_drops),
		cmocka_unit_test(test_fault_around_stops_before_what_an_open_plan_drops),
		cmocka_unit_test(test_fault_around_near_the_budget_takes_a_part_of_the_room),
		cmocka_unit_test(test_prefetch_beyond_the_address_space_brings_nothing),
		cmocka_unit_test(test_prefetched_page_is_counted_used_or_wasted_once),
		cmocka_unit_test(test_cow_around_stops_before_and_behind_what_an_open_plan_drops),
	};

	return RUN(tests);
}
