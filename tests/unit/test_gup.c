/* SPDX-License-Identifier: MIT */
/*
 * gup: pages that a device holds are moved or stay, but are not dropped: while the call that pins them runs, and as long
 * as the mark on their frame says so.
 */
#include "reclaim_steps.h"

static void do_pin(struct mm_struct *mm, u64 page, u64 pages)
{
	struct range r = range_of(BASE + page * P, pages * P);
	struct mm_plan *plan;

	assert_int_equal(mm_plan_pin(mm, &r, 1, &plan), 0);
	mm_plan_commit(plan, 0);
	mm_world_verify(mm->world);
}

static int isolate_to_zap(struct mm_struct *mm, struct victim *v)
{
	int ret = mm_isolate(mm->world, false, NULL, NULL, v);

	mm_world_verify(mm->world);
	return ret;
}

static bool is_pinned(struct mm_struct *mm, u32 pfn)
{
	return pfn_to_frame(mm->world, pfn)->state == FRAME_PINNED;
}

static void test_plan_pin_names_its_pages_until_it_is_closed(void **state)
{
	struct mm_struct *mm = filled_mm(4, 8);
	struct range r[] = { range_of(BASE, P), range_of(BASE + 2 * P, P) };
	struct mm_plan *plan;

	assert_int_equal(mm_plan_pin(mm, r, ARRAY_SIZE(r), &plan), 0);
	for (u64 i = 0; i < 4; i++)
		assert_int_equal(mm_plan_pins(plan, BASE + i * P + 5), i % 2 == 0);
	assert_true(range_empty(mm_plan_zaps(plan)));
	mm_plan_abort(plan);
	assert_false(mm_has_pinned(mm));
	assert_int_equal(mm_plan_madvise(mm, BASE, 4 * P, MADV_FREE, &plan), 0);
	assert_false(mm_plan_pins(plan, BASE));
	mm_plan_abort(plan);
	fake_mm_destroy(mm);
}

static void test_plan_pin_without_memory_changes_nothing(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct range r = range_of(BASE, P);
	struct mm_plan *plan;
	u64 nth = 0;

	do {
		alloc_fail_at(++nth);
		if (mm_plan_pin(mm, &r, 1, &plan) == 0)
			break;
		assert_false(alloc_fail_pending());
		assert_true(mm_plan_is_ours(mm));
		assert_null(mm->plan);
	} while (true);
	assert_true(nth > 1);
	alloc_fail_at(0);
	mm_plan_abort(plan);
	fake_mm_destroy(mm);
}

/* page 1 is held: it may be moved, which the machine refuses while it is, but not dropped */
static void test_pinned_page_is_moved_but_never_zapped(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v;

	do_pin(mm, 1, 1);
	assert_int_equal(isolate_to_zap(mm, &v), 0);
	assert_int_equal(v.addr, BASE);
	mm_evicted(mm->world, v.pfn, false);
	v = isolate(mm);
	assert_int_equal(v.addr, BASE + P);
	assert_int_equal(v.how, EVICT_MOVE);
	assert_true(mm_victim_pinned(mm->world, v.pfn));
	mm_putback(mm->world, v.pfn); /* as the machine said */
	assert_int_equal(isolate_to_zap(mm, &v), -ENOENT);
	assert_true(is_pinned(mm, pte_at(mm, 1).pfn));
	expect_pages(mm, 1, 0, 1, 1, 2);
	fake_mm_destroy(mm);
}

static void test_pinned_page_in_executable_vma_is_not_chosen(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim v;

	do_protect(mm, BASE, 1, RW | PROT_EXEC);
	do_pin(mm, 0, 1);
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), -ENOENT);
	assert_true(is_pinned(mm, pte_at(mm, 0).pfn));
	fake_mm_destroy(mm);
}

/* what was moved was held no more; it comes back as any other page */
static void test_pinned_page_that_was_moved_is_forgotten(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim v;

	do_pin(mm, 0, 1);
	v = stage(mm, 0);
	assert_false(mm_victim_pinned(mm->world, v.pfn));
	assert_int_equal(fault(mm, 0, FAULT_FLAG_WRITE, FAULT_RESOLVED).handler, FH_DO_SWAP_PAGE_SOFT);
	mm_evicted(mm->world, v.pfn, true); /* a copy came back; the page itself goes */
	assert_int_equal(isolate_to_zap(mm, &v), 0);
	mm_putback(mm->world, v.pfn);
	fake_mm_destroy(mm);
}

/* the device holds the page, not the address */
static void test_pinned_page_is_followed_by_mremap_and_ends_with_dontneed(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	u32 pfn = pte_at(mm, 0).pfn;
	struct mm_plan *plan;
	struct pte_info pte;
	struct victim v;

	do_pin(mm, 0, 1);
	assert_int_equal(mm_plan_mremap(mm, BASE, P, P, MREMAP_MAYMOVE | MREMAP_FIXED, BASE + 8 * P, &plan), 0);
	mm_plan_commit(plan, BASE + 8 * P);
	mm_lookup_pte(mm, BASE + 8 * P, &pte);
	assert_int_equal(pte.pfn, pfn);
	assert_int_equal(isolate_to_zap(mm, &v), -ENOENT);
	assert_true(is_pinned(mm, pfn));
	assert_int_equal(mm_plan_madvise(mm, BASE + 8 * P, P, MADV_DONTNEED, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(touch_write(mm, BASE + 8 * P), FAULT_RESOLVED);
	assert_int_equal(isolate_to_zap(mm, &v), 0);
	mm_putback(mm->world, v.pfn);
	fake_mm_destroy(mm);
}

/*
 *          fork            parent writes
 *   F held ----> F shared ---------------> parent: its copy, in the kernel the page that is held
 *                                          child: F, which holds nobody
 */
static void test_pinned_page_stays_the_parents_over_fork(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8), *child;
	u32 old = pte_at(mm, 0).pfn;
	struct victim v;

	do_pin(mm, 0, 1);
	child = do_fork(mm);
	assert_false(mm_has_pinned(child));
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), -ENOENT);
	assert_true(is_pinned(mm, old));
	fault(mm, 0, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	assert_int_not_equal(pte_at(mm, 0).pfn, old);
	assert_int_equal(isolate_to_zap(mm, &v), 0);
	assert_ptr_equal(v.mm, child);
	mm_putback(mm->world, v.pfn);
	mm_put(child);
	assert_int_equal(isolate_to_zap(mm, &v), -ENOENT);
	assert_true(is_pinned(mm, pte_at(mm, 0).pfn));
	fake_mm_destroy(mm);
}

/* the child's write makes a copy of its own, and the parent keeps what it holds */
static void test_pinned_page_written_by_child_is_copied_without_the_mark(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8), *child;
	struct victim v;

	do_pin(mm, 0, 1);
	child = do_fork(mm);
	fault(child, 0, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	assert_int_equal(isolate_to_zap(mm, &v), 0);
	assert_ptr_equal(v.mm, child);
	mm_putback(mm->world, v.pfn);
	mm_put(child);
	assert_int_equal(isolate_to_zap(mm, &v), -ENOENT);
	fake_mm_destroy(mm);
}

static void test_unpin_frees_own_pages_and_leaves_marks_of_shared_ones(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8), *child;
	struct victim v;

	do_pin(mm, 0, 2);
	assert_int_equal(isolate_to_zap(mm, &v), -ENOENT);
	mm_unpin(mm);
	expect_pages(mm, 2, 2, 2, 0, 0);
	assert_int_equal(isolate_to_zap(mm, &v), 0);
	mm_putback(mm->world, v.pfn);

	do_pin(mm, 0, 1);
	child = do_fork(mm);
	fault(child, 1, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED); /* as the kernel does, to pin it */
	do_pin(child, 1, 1);
	mm_unpin(child); /* says nothing of what the parent holds */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(isolate_to_zap(mm, &v), 0);
		assert_int_equal(v.addr, BASE + P);
		mm_putback(mm->world, v.pfn);
	}
	assert_true(is_pinned(mm, pte_at(mm, 0).pfn));
	mm_put(child);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_pin_names_its_pages_until_it_is_closed),
		cmocka_unit_test(test_plan_pin_without_memory_changes_nothing),
		cmocka_unit_test(test_pinned_page_is_moved_but_never_zapped),
		cmocka_unit_test(test_pinned_page_in_executable_vma_is_not_chosen),
		cmocka_unit_test(test_pinned_page_that_was_moved_is_forgotten),
		cmocka_unit_test(test_pinned_page_is_followed_by_mremap_and_ends_with_dontneed),
		cmocka_unit_test(test_pinned_page_stays_the_parents_over_fork),
		cmocka_unit_test(test_pinned_page_written_by_child_is_copied_without_the_mark),
		cmocka_unit_test(test_unpin_frees_own_pages_and_leaves_marks_of_shared_ones),
	};

	return RUN(tests);
}
