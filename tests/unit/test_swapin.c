/* SPDX-License-Identifier: MIT */
/* swap-in: each way in which do_swap_page answers, what fork does with swap ptes, and which slots are used again. */
#include "policy/checked.h"
#include "reclaim_steps.h"

static void test_fault_of_staged_page_with_room_is_a_copy(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v = stage(mm, 3);
	struct vm_fault vmf;

	fake_hw.peeked = 0x5a;
	vmf = fault(mm, 0, 0, FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_SWAP_PAGE_SOFT);
	assert_int_equal(fake_hw.nr_unstage, 0);
	assert_int_equal(fake_hw.nr_peek, 1);
	assert_int_equal(fake_hw.last_byte, 0x5a);
	assert_int_equal(fake_backing.nr_read, 0);
	assert_int_equal(pte_at(mm, 0).state, PTE_PRESENT);
	assert_int_not_equal(pte_at(mm, 0).pfn, v.pfn);
	assert_int_equal(fake_hw.nr_unstage_drop, 1);
	assert_int_equal(fake_hw.last_pfn, v.pfn);
	assert_int_equal(fake_hw.last_index, 3);
	assert_true(mm_staged_unwanted(mm->world, v.pfn));
	assert_int_equal(checked_nr_out(mm->world->reclaim.policy), 0); /* evicted, and inserted again */
	assert_int_equal(stats(mm).rescued, 1);
	assert_int_equal(stats(mm).refaults, 0);
	expect_pages(mm, 3, 2, 2, 0, 1); /* old, in staging; new; the other */
	mm_evicted(mm->world, v.pfn, false);
	assert_int_equal(stats(mm).evicted, 0);
	expect_pages(mm, 2, 2, 2, 0, 1);
	fake_mm_destroy(mm);
}

static void test_fault_of_staged_page_without_room_moves_it_back(void **state)
{
	struct mm_struct *mm = filled_mm(2, 2);
	struct victim v = stage(mm, 3);
	struct vm_fault vmf = fault(mm, 0, FAULT_FLAG_WRITE, FAULT_RESOLVED);

	assert_int_equal(vmf.handler, FH_DO_SWAP_PAGE_SOFT);
	assert_int_equal(fake_hw.nr_unstage, 1);
	assert_ptr_equal(fake_hw.last_stage, mm);
	assert_int_equal(fake_hw.last_index, 3);
	assert_int_equal(fake_hw.last_addr, BASE);
	assert_int_equal(frame_of(mm, &v)->state, FRAME_BUSY);
	fault(mm, 0, 0, FAULT_PARKED); /* another thread */
	expect_pages(mm, 2, 1, 1, 1, 1);
	mm_unstaged(mm->world, v.pfn, mm, BASE, 0);
	assert_int_equal(pte_at(mm, 0).state, PTE_PRESENT);
	assert_int_equal(pte_at(mm, 0).pfn, v.pfn);
	assert_false(pte_at(mm, 0).wp);
	assert_int_equal(stats(mm).rescued, 1);
	expect_pages(mm, 2, 2, 2, 0, 1);
	fake_mm_destroy(mm);
}

/* the machine refused once (a lock or a key that the model does not see): it goes the long way */
static void test_unstaged_with_error_is_staged_and_not_moved_again(void **state)
{
	struct mm_struct *mm = filled_mm(1, 1);
	struct victim v = stage(mm, 3);

	fault(mm, 0, 0, FAULT_RESOLVED);
	mm_unstaged(mm->world, v.pfn, mm, BASE, -EINVAL);
	assert_int_equal(frame_of(mm, &v)->state, FRAME_STAGED);
	assert_int_equal(stats(mm).rescued, 0);
	expect_pages(mm, 1, 0, 0, 1, 1);
	fault(mm, 0, 0, FAULT_PARKED);
	assert_int_equal(fake_hw.nr_unstage, 1);
	mm_write_begin(mm->world, v.pfn);
	mm_evicted(mm->world, v.pfn, false);
	fault(mm, 0, 0, FAULT_RESOLVED);
	expect_pages(mm, 1, 1, 1, 0, 1);
	fake_mm_destroy(mm);
}

/* the machine cannot, and there is no room: the fault waits until there is */
static void test_fault_of_staged_page_machine_cannot_move_waits_for_room(void **state)
{
	struct mm_struct *mm = filled_mm(2, 2);
	struct victim v = stage(mm, 3);

	fake_hw.unstage = -EXDEV;
	fault(mm, 0, 0, FAULT_PARKED);
	assert_int_equal(mm->world->reclaim.need, 1);
	assert_int_equal(frame_of(mm, &v)->state, FRAME_STAGED);
	mm_write_begin(mm->world, v.pfn);
	mm_evicted(mm->world, v.pfn, false);
	assert_int_equal(fault(mm, 0, 0, FAULT_RESOLVED).handler, FH_DO_SWAP_PAGE);
	expect_pages(mm, 2, 2, 2, 0, 1);
	fake_mm_destroy(mm);
}

/* not RW any more, or locked: the machine could not map it back by moving */
static void test_fault_of_staged_page_in_changed_vma_is_not_moved(void **state)
{
	struct mm_struct *mm = filled_mm(2, 2);
	struct victim v = stage(mm, 0);

	do_protect(mm, BASE, 1, PROT_READ);
	fault(mm, 0, 0, FAULT_PARKED);
	assert_int_equal(fake_hw.nr_unstage, 0);
	mm_write_begin(mm->world, v.pfn);
	mm_evicted(mm->world, v.pfn, false);
	fault(mm, 0, 0, FAULT_RESOLVED);
	fake_mm_destroy(mm);
}

/* shared after fork: a copy for the first, who leaves staging to the other; a copy for the last */
static void test_fault_of_staged_page_shared_by_fork_copies_for_each(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8), *child;
	struct victim v = stage(mm, 0);

	child = do_fork(mm);
	assert_int_equal(slot_count(mm, v.slot), 3);
	mm_set_budget(mm->world, 1);
	fault(child, 0, 0, FAULT_PARKED); /* it is never moved */
	assert_int_equal(fake_hw.nr_unstage, 0);
	mm_set_budget(mm->world, 8);
	fault(child, 0, 0, FAULT_RESOLVED);
	assert_int_equal(fake_hw.nr_unstage_drop, 0);
	assert_int_equal(slot_count(mm, v.slot), 2);
	expect_pages(mm, 2, 1, 0, 1, 1);
	fault(mm, 0, 0, FAULT_RESOLVED);
	assert_int_equal(fake_hw.nr_unstage_drop, 1);
	assert_int_not_equal(pte_at(mm, 0).pfn, pte_at(child, 0).pfn);
	mm_evicted(mm->world, v.pfn, false);
	expect_pages(mm, 2, 2, 1, 0, 1);
	mm_put(child);
	fake_mm_destroy(mm);
}

static void test_fault_from_slot_is_a_copy_and_keeps_the_slot(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v = evict(mm);
	struct vm_fault vmf;

	fake_backing.byte = 0x77;
	vmf = fault(mm, 0, 0, FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_SWAP_PAGE);
	assert_int_equal(fake_backing.last_slot, v.slot);
	assert_int_equal(fake_hw.last_byte, 0x77);
	assert_int_equal(mm_frame_slot(mm->world, pte_at(mm, 0).pfn), v.slot);
	assert_int_equal(slot_count(mm, v.slot), 1);
	assert_int_equal(stats(mm).swapped_in, 1);
	assert_int_equal(stats(mm).refaults, 1);
	expect_pages(mm, 2, 2, 2, 0, 1);
	fake_mm_destroy(mm);
}

static void test_fault_from_slot_when_store_is_tight_gives_it_up(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);

	evict(mm);
	fake_backing.tight = true;
	fault(mm, 0, 0, FAULT_RESOLVED);
	assert_int_equal(fake_backing.nr_drop, 1);
	assert_int_equal(mm_frame_slot(mm->world, pte_at(mm, 0).pfn), 0);
	expect_pages(mm, 1, 1, 1, 0, 0);
	fake_mm_destroy(mm);
}

static void test_fault_from_slot_waits_for_read_or_room_or_fails(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);

	evict(mm);
	fake_backing.read = -EINPROGRESS;
	fault(mm, 0, 0, FAULT_PARKED);
	fake_backing.read = -EIO;
	fault(mm, 0, 0, FAULT_SIGBUS);
	fake_backing.read = 0;
	do_mmap(mm, BASE + 16 * P, 1, RW);
	assert_int_equal(touch_write(mm, BASE + 16 * P), FAULT_RESOLVED);
	mm_set_budget(mm->world, 1);
	fault(mm, 0, 0, FAULT_PARKED);
	expect_pages(mm, 1, 1, 1, 1, 1);
	mm->world->reclaim.emergency = 1;
	fault(mm, 0, 0, FAULT_RESOLVED);
	expect_pages(mm, 2, 2, 2, 0, 1);
	fake_mm_destroy(mm);
}

static void test_fault_of_lost_staged_page_is_sigbus(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim v = stage(mm, 0);

	fake_hw.peek = -EIO;
	fault(mm, 0, 0, FAULT_SIGBUS);
	expect_pages(mm, 1, 0, 0, 1, 1);
	mm_evicted(mm->world, v.pfn, false);
	fake_mm_destroy(mm);
}

static void test_swap_fault_machine_refuses_changes_nothing(void **state)
{
	static const struct {
		int err;
		enum fault_result result;
	} rows[] = { { -EAGAIN, FAULT_RETRY }, { -ENOENT, FAULT_SPURIOUS }, { -EEXIST, FAULT_SPURIOUS },
		     { -ESRCH, FAULT_GONE }, { -ENOMEM, FAULT_OOM } };
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim v = evict(mm);

	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_hw.refuse = rows[i].err;
		fault(mm, 0, 0, rows[i].result);
		assert_int_equal(slot_count(mm, v.slot), 1);
		expect_pages(mm, 0, 0, 0, 1, 1);
	}
	fake_mm_destroy(mm);
}

/* every allocation on the way fails once: FAULT_OOM, and nothing has changed */
static void test_swap_fault_out_of_memory_changes_nothing(void **state)
{
	for (int staged = 0; staged < 2; staged++) {
		struct mm_struct *mm = filled_mm(1, 8);
		struct victim v = stage(mm, 0);
		u64 n;

		if (!staged)
			mm_evicted(mm->world, v.pfn, false);
		for (n = 1;; n++) {
			struct vm_fault vmf = { .address = BASE };
			enum fault_result r;

			alloc_fail_at(n);
			r = mm_handle_fault(mm, &vmf);
			if (alloc_fail_pending()) {
				assert_int_equal(r, FAULT_RESOLVED);
				break;
			}
			assert_int_equal(r, FAULT_OOM);
			expect_pages(mm, staged, 0, 0, 1, 1);
		}
		alloc_fail_at(0);
		assert_true(n > 1 || !staged); /* the buffer at least */
		if (staged)
			mm_evicted(mm->world, v.pfn, false);
		fake_mm_destroy(mm);
	}
}

/* ---- fork ---- */

static void test_fork_duplicates_swap_ptes(void **state)
{
	struct mm_struct *mm = filled_mm(3, 8), *child;
	struct victim out = evict(mm), staged = stage(mm, 1);

	child = do_fork(mm);
	assert_int_equal(slot_count(mm, out.slot), 2);
	assert_int_equal(slot_count(mm, staged.slot), 3);
	assert_int_equal(child->nr_swap_ptes, 2);
	assert_int_equal(pte_at(child, 0).state, PTE_SWAP);
	mm_put(child);
	assert_int_equal(slot_count(mm, out.slot), 1);
	assert_int_equal(slot_count(mm, staged.slot), 2);
	assert_int_equal(fake_hw.nr_unstage_drop, 0);
	do_unmap(mm, BASE, 3);
	assert_int_equal(fake_hw.nr_unstage_drop, 1);
	mm_evicted(mm->world, staged.pfn, false);
	expect_pages(mm, 0, 0, 0, 0, 0);
	fake_mm_destroy(mm);
}

/* fork runs out of memory half way: each duplicate is taken back */
static void test_fork_without_memory_takes_duplicates_back(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v = evict(mm);

	mm_mark_wp(mm, (struct range){ 0, TASK_SIZE });
	for (u64 n = 1;; n++) {
		struct mm_struct *child;
		struct mm_plan *plan;
		int err;

		alloc_fail_at(n);
		err = mm_plan_fork(mm, &plan, &child);
		if (alloc_fail_pending()) {
			alloc_fail_at(0);
			assert_int_equal(err, 0);
			assert_int_equal(slot_count(mm, v.slot), 2);
			mm_plan_abort(plan);
			break;
		}
		assert_int_equal(err, -ENOMEM);
		expect_pages(mm, 1, 1, 1, 1, 1);
	}
	expect_pages(mm, 1, 1, 1, 1, 1);
	fake_mm_destroy(mm);
}

/* ---- slots of pages that came back ---- */

static void test_page_that_came_back_goes_out_under_its_slot(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim first = evict(mm), second;

	fault(mm, 0, 0, FAULT_RESOLVED);
	second = stage(mm, 0);
	assert_int_equal(second.slot, first.slot);
	mm_write_begin(mm->world, second.pfn);
	mm_evicted(mm->world, second.pfn, true);
	assert_int_equal(stats(mm).clean, 1);
	assert_int_equal(stats(mm).evicted, 2);
	assert_int_equal(fake_backing.nr_drop, 0);
	expect_pages(mm, 0, 0, 0, 1, 1);
	fake_mm_destroy(mm);
}

/* the child still needs what is in the slot: the parent's page gets another one */
static void test_slot_shared_by_fork_is_not_reused(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8), *child;
	struct victim first = evict(mm), second;

	child = do_fork(mm);
	fault(mm, 0, 0, FAULT_RESOLVED);
	assert_int_equal(mm_frame_slot(mm->world, pte_at(mm, 0).pfn), 0);
	assert_int_equal(slot_count(mm, first.slot), 1);
	second = evict(mm);
	assert_int_not_equal(second.slot, first.slot);
	expect_pages(mm, 0, 0, 0, 1, 2);
	mm_put(child);
	expect_pages(mm, 0, 0, 0, 1, 1);
	fake_mm_destroy(mm);
}

static void test_refault_counts_distance_and_time(void **state)
{
	struct mm_struct *mm = filled_mm(4, 8);

	mm->world->reclaim.now_ms = 100;
	evict(mm);
	mm->world->reclaim.now_ms = 130;
	evict(mm);
	evict(mm);
	mm->world->reclaim.now_ms = 145;
	fault(mm, 0, 0, FAULT_RESOLVED);
	assert_int_equal(stats(mm).refaults, 1);
	assert_int_equal(stats(mm).refault_distance, 3);
	assert_int_equal(stats(mm).refault_ms, 45);
	fault(mm, 2, 0, FAULT_RESOLVED);
	assert_int_equal(stats(mm).refault_distance, 4);
	assert_int_equal(stats(mm).refault_ms, 60);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fault_of_staged_page_with_room_is_a_copy),
		cmocka_unit_test(test_fault_of_staged_page_without_room_moves_it_back),
		cmocka_unit_test(test_unstaged_with_error_is_staged_and_not_moved_again),
		cmocka_unit_test(test_fault_of_staged_page_machine_cannot_move_waits_for_room),
		cmocka_unit_test(test_fault_of_staged_page_in_changed_vma_is_not_moved),
		cmocka_unit_test(test_fault_of_staged_page_shared_by_fork_copies_for_each),
		cmocka_unit_test(test_fault_from_slot_is_a_copy_and_keeps_the_slot),
		cmocka_unit_test(test_fault_from_slot_when_store_is_tight_gives_it_up),
		cmocka_unit_test(test_fault_from_slot_waits_for_read_or_room_or_fails),
		cmocka_unit_test(test_fault_of_lost_staged_page_is_sigbus),
		cmocka_unit_test(test_swap_fault_machine_refuses_changes_nothing),
		cmocka_unit_test(test_swap_fault_out_of_memory_changes_nothing),
		cmocka_unit_test(test_fork_duplicates_swap_ptes),
		cmocka_unit_test(test_fork_without_memory_takes_duplicates_back),
		cmocka_unit_test(test_page_that_came_back_goes_out_under_its_slot),
		cmocka_unit_test(test_slot_shared_by_fork_is_not_reused),
		cmocka_unit_test(test_refault_counts_distance_and_time),
	};

	return RUN(tests);
}
