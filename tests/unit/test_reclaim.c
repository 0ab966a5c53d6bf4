/* SPDX-License-Identifier: MIT */
/*
 * reclaim: each arrow of the picture in mm/reclaim.h with the counters before and after, and what unmapping, mlock, a
 * new policy and a new budget do at every stage.
 */
#include "reclaim_steps.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* ---- the arrows ---- */

static void test_isolate_of_own_page_is_busy_and_moves(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v = isolate(mm);

	assert_int_equal(v.how, EVICT_MOVE);
	assert_int_equal(v.nr_maps, 1);
	assert_ptr_equal(v.mm, mm);
	assert_int_equal(v.addr, BASE);
	assert_int_equal(v.slot, mm_frame_slot(mm->world, v.pfn));
	assert_int_equal(frame_of(mm, &v)->state, FRAME_BUSY);
	assert_true(pte_at(mm, 0).busy);
	assert_int_equal(stats(mm).isolated, 1);
	expect_pages(mm, 2, 1, 2, 0, 1);
	mm_putback(mm->world, v.pfn);
	fake_mm_destroy(mm);
}

static void test_isolate_of_page_shared_once_is_unshared_first(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim v;

	mm_put(do_fork(mm));
	v = isolate(mm);
	assert_int_equal(v.how, EVICT_UNSHARE);
	assert_true(pte_at(mm, 0).wp);
	mm_victim_unprotected(mm->world, v.pfn);
	assert_false(pte_at(mm, 0).wp);
	mm_putback(mm->world, v.pfn);
	expect_pages(mm, 1, 1, 1, 0, 1);
	fake_mm_destroy(mm);
}

static int count_one(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	++*(u32 *)arg;
	return 0;
}

static void test_isolate_of_page_of_two_mms_is_zapped(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8), *child = do_fork(mm);
	struct victim v = isolate(mm);
	u32 seen = 0;

	assert_int_equal(v.how, EVICT_ZAP);
	assert_int_equal(v.nr_maps, 2);
	assert_int_equal(mm_victim_mapped(mm->world, v.pfn), 2);
	assert_int_equal(mm_victim_walk(mm->world, v.pfn, count_one, &seen), 0);
	assert_int_equal(seen, 2);
	mm_putback(mm->world, v.pfn);
	mm_put(child);
	fake_mm_destroy(mm);
}

static void test_isolate_is_zapped_in_readonly_vma_and_without_move(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v;

	do_protect(mm, BASE, 1, PROT_READ);
	v = isolate(mm);
	assert_int_equal(v.how, EVICT_ZAP);
	mm_putback(mm->world, v.pfn);
	assert_int_equal(mm_isolate(mm->world, false, NULL, NULL, &v), 0);
	assert_int_equal(v.addr, BASE + P);
	assert_int_equal(v.how, EVICT_ZAP);
	mm_victim_protected(mm->world, v.pfn);
	assert_true(pte_at(mm, 1).wp);
	mm_putback(mm->world, v.pfn);
	fake_mm_destroy(mm);
}

static bool never(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	++*(u32 *)arg;
	return false;
}

static void test_isolate_asks_and_goes_without_when_refused(void **state)
{
	struct mm_struct *mm = filled_mm(3, 8);
	struct victim v;
	u32 asked = 0;

	assert_int_equal(mm_isolate(mm->world, true, never, &asked, &v), -EAGAIN);
	assert_true(asked >= 3);
	expect_pages(mm, 3, 3, 3, 0, 0);
	do_unmap(mm, BASE, 3);
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), -ENOENT);
	fake_mm_destroy(mm);
}

/* A policy (FIFO otherwise) that names what it was given back again, at once. */
static struct reclaim_node *again;

static struct reclaim_node *stubborn_victim(void *policy)
{
	struct reclaim_node *node = again ? again : reclaim_policy_find("fifo")->victim(policy);

	again = NULL;
	return node;
}

static void stubborn_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	if (again)
		reclaim_policy_find("fifo")->putback(policy, again, why);
	again = node;
}

static void stubborn_forget(void *policy, struct reclaim_node *node)
{
	if (node == again)
		again = NULL;
	else
		reclaim_policy_find("fifo")->forget(policy, node);
}

static bool not_the_first(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	return addr != BASE;
}

static void test_isolate_is_not_caught_by_a_policy_that_insists(void **state)
{
	struct reclaim_ops stubborn = *reclaim_policy_find("fifo");
	struct mm_struct *mm = filled_mm(3, 8);
	struct victim v;
	char err[80];

	stubborn.victim = stubborn_victim;
	stubborn.putback = stubborn_putback;
	stubborn.forget = stubborn_forget;
	mm_set_policy(mm->world, &stubborn, stubborn.init(NULL, 0, 8, err, sizeof(err)));
	assert_int_equal(mm_isolate(mm->world, true, not_the_first, NULL, &v), 0);
	assert_int_equal(v.addr, BASE + P);
	mm_putback(mm->world, v.pfn);
	do_unmap(mm, BASE, 3);
	fake_mm_destroy(mm);
}

/* no memory for the slot's table: the page is put back, the next one is tried */
static void test_isolate_without_memory_for_slots_putbacks(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v;

	alloc_fail_at(1);
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), 0);
	assert_false(alloc_fail_pending());
	assert_int_equal(v.addr, BASE + P);
	expect_pages(mm, 2, 1, 2, 0, 1);
	mm_putback(mm->world, v.pfn);
	fake_mm_destroy(mm);
}

static void test_stage_names_slot_and_keeps_frame(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v = isolate(mm);
	void *where;
	u32 index;

	assert_false(mm_slot_place(mm->world, v.slot, &where, &index)); /* it is still mapped */
	assert_true(mm_stage(mm->world, v.pfn, mm, 7));
	assert_int_equal(frame_of(mm, &v)->state, FRAME_STAGED);
	assert_int_equal(pte_at(mm, 0).state, PTE_SWAP);
	assert_false(pte_at(mm, 0).busy);
	assert_int_equal(slot_count(mm, v.slot), 2);
	assert_int_equal(mm_slot_frame(mm->world, v.slot), v.pfn);
	assert_true(mm_slot_place(mm->world, v.slot, &where, &index));
	assert_ptr_equal(where, mm);
	assert_int_equal(index, 7);
	assert_false(mm_staged_unwanted(mm->world, v.pfn));
	assert_int_equal(stats(mm).staged, 1);
	expect_pages(mm, 2, 1, 1, 1, 1);
	do_unmap(mm, BASE, 2);
	mm_evicted(mm->world, v.pfn, false);
	fake_mm_destroy(mm);
}

static void test_write_begin_busies_and_write_failed_stages_again(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim v = stage(mm, 0);

	mm_write_begin(mm->world, v.pfn);
	assert_int_equal(frame_of(mm, &v)->state, FRAME_BUSY);
	assert_true(pte_at(mm, 0).busy);
	assert_int_equal(touch_read(mm, BASE), FAULT_PARKED);
	expect_pages(mm, 1, 0, 0, 1, 1);
	mm_write_failed(mm->world, v.pfn);
	assert_int_equal(frame_of(mm, &v)->state, FRAME_STAGED);
	expect_pages(mm, 1, 0, 0, 1, 1);
	assert_int_equal(touch_read(mm, BASE), FAULT_RESOLVED);
	assert_int_equal(stats(mm).evicted, 0);
	mm_evicted(mm->world, v.pfn, false); /* the copy was made; staging is nobody's */
	expect_pages(mm, 1, 1, 1, 0, 1);
	fake_mm_destroy(mm);
}

static void test_evicted_from_staging_frees_frame_and_keeps_slot(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v = evict(mm);

	assert_int_equal(pte_at(mm, 0).state, PTE_SWAP);
	assert_int_equal(slot_count(mm, v.slot), 1);
	assert_int_equal(mm_slot_frame(mm->world, v.slot), PFN_NONE);
	assert_int_equal(stats(mm).evicted, 1);
	assert_int_equal(stats(mm).clean, 0);
	expect_pages(mm, 1, 1, 1, 1, 1);
	fake_mm_destroy(mm);
}

static void test_evicted_of_zapped_page_unmaps_it_from_all(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8), *child = do_fork(mm);
	struct victim v = isolate(mm);

	mm_victim_protected(mm->world, v.pfn);
	assert_int_equal(touch_write(mm, BASE), FAULT_PARKED);
	mm_evicted(mm->world, v.pfn, false);
	assert_int_equal(pte_at(mm, 0).state, PTE_SWAP);
	assert_int_equal(pte_at(child, 0).state, PTE_SWAP);
	assert_int_equal(slot_count(mm, v.slot), 2);
	expect_pages(mm, 0, 0, 0, 1, 1);
	mm_put(child);
	assert_int_equal(slot_count(mm, v.slot), 1);
	fake_mm_destroy(mm);
}

static void test_putback_lists_again_and_counts(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	struct victim v = isolate(mm);

	mm_putback(mm->world, v.pfn);
	assert_int_equal(frame_of(mm, &v)->state, FRAME_RESIDENT);
	assert_int_equal(stats(mm).refused, 1);
	expect_pages(mm, 2, 2, 2, 0, 1); /* it keeps its slot */
	assert_int_equal(touch_write(mm, BASE), FAULT_SPURIOUS);
	fake_mm_destroy(mm);
}

static void test_readopt_of_page_that_stayed_is_own_protected_page(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8), *child = do_fork(mm);
	struct victim v = isolate(mm);

	mm_evicted(mm->world, v.pfn, false);
	mm_readopt(child, BASE, true);
	assert_int_equal(pte_at(child, 0).state, PTE_PRESENT);
	assert_true(pte_at(child, 0).wp);
	assert_int_equal(slot_count(mm, v.slot), 1);
	expect_pages(mm, 1, 1, 0, 1, 1);
	mm_put(child);
	fake_mm_destroy(mm);
}

/* ---- the program lets go at every stage ---- */

enum let_go { BY_MUNMAP, BY_DONTNEED, BY_FREE, BY_EXIT, NR_WAYS };

static void let_go(struct mm_struct *mm, enum let_go how)
{
	switch (how) {
	case BY_MUNMAP:
		do_unmap(mm, BASE, 1);
		return;
	case BY_DONTNEED:
		do_madvise(mm, BASE, 1, MADV_DONTNEED);
		return;
	case BY_FREE:
		do_madvise(mm, BASE, 1, MADV_FREE);
		return;
	case BY_EXIT:
		mm_put(mm);
		return;
	case NR_WAYS:
		break;
	}
	fail();
}

enum at_stage { AT_ISOLATED, AT_STAGED, AT_WRITING, AT_OUT, NR_STAGES };

static struct victim bring_to(struct mm_struct *mm, enum at_stage at)
{
	struct victim v = isolate(mm);

	if (at >= AT_STAGED)
		assert_true(mm_stage(mm->world, v.pfn, mm, 0));
	if (at >= AT_WRITING)
		mm_write_begin(mm->world, v.pfn);
	if (at == AT_OUT)
		mm_evicted(mm->world, v.pfn, false);
	return v;
}

/* What the machine does next finds the page freed, at each stage and however it was freed. */
static void let_go_at(enum at_stage at, enum let_go how)
{
	struct mm_struct *mm = filled_mm(1, 8), *other = mm_alloc(mm->world, NULL);
	struct mm_world *w = mm->world;
	bool kept = how == BY_FREE && at == AT_ISOLATED; /* a present page is only marked */
	struct victim v = bring_to(mm, at);

	let_go(mm, how);
	assert_int_equal(fake_hw.nr_unstage_drop, at == AT_STAGED);
	mm_world_verify(w);
	switch (at) {
	case AT_ISOLATED:
		assert_int_equal(mm_victim_mapped(w, v.pfn), kept);
		assert_int_equal(mm_stage(w, v.pfn, mm, 0), kept);
		if (kept)
			let_go(mm, BY_MUNMAP);
		break;
	case AT_STAGED:
	case AT_WRITING:
		assert_true(mm_staged_unwanted(w, v.pfn));
		break;
	case AT_OUT:
	case NR_STAGES:
		break;
	}
	if (at == AT_WRITING) { /* it failed, too late: the machine sees that nobody wants it */
		mm_write_failed(w, v.pfn);
		assert_true(mm_staged_unwanted(w, v.pfn));
	}
	if (at != AT_OUT)
		mm_evicted(w, v.pfn, false);
	assert_int_equal(w->reclaim_stats.evicted, at == AT_OUT);
	assert_int_equal(fake_backing.nr_drop, 1);
	expect_pages(other, 0, 0, 0, 0, 0);
	if (how != BY_EXIT)
		mm_put(mm);
	fake_mm_destroy(other);
}

static void test_letting_go_at_each_stage_leaves_nothing(void **state)
{
	for (u32 at = 0; at < NR_STAGES; at++) {
		for (u32 how = 0; how < NR_WAYS; how++)
			let_go_at(at, how);
	}
}

static void test_putback_of_freed_page_frees_the_frame(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim v = isolate(mm);

	do_unmap(mm, BASE, 1);
	expect_pages(mm, 1, 0, 0, 0, 1);
	mm_putback(mm->world, v.pfn);
	expect_pages(mm, 0, 0, 0, 0, 0);
	fake_mm_destroy(mm);
}

/* the machine holds the address space while it moves a page back: exit waits for it */
static void test_exit_while_being_unstaged_drops_the_page_afterwards(void **state)
{
	struct mm_struct *mm = filled_mm(1, 1), *other = mm_alloc(mm->world, NULL);
	struct victim v = stage(mm, 0);

	fault(mm, 0, 0, FAULT_RESOLVED);
	mm_get(mm);
	mm_put(mm); /* the last task is gone */
	mm_unstaged(mm->world, v.pfn, mm, BASE, 0);
	mm_put(mm);
	expect_pages(other, 0, 0, 0, 0, 0);
	fake_mm_destroy(other);
}

/* the kernel has done it, the model not yet: pages must neither come back nor go out in between */
static void test_calls_that_drop_slots_name_the_range_as_zapped(void **state)
{
	static const int advices[] = { MADV_DONTNEED, MADV_FREE };
	struct mm_struct *mm = filled_mm(2, 8);
	struct range r = range_of(BASE, P);

	for (u32 i = 0; i < ARRAY_SIZE(advices); i++) {
		struct mm_plan *plan;

		assert_int_equal(mm_plan_madvise(mm, r.start, range_len(r), advices[i], &plan), 0);
		assert_true(range_contains(mm_plan_zaps(plan), r.start));
		assert_false(range_contains(mm_plan_zaps(plan), r.end));
		mm_plan_abort(plan);
	}
	fake_mm_destroy(mm);
}

/* ---- mlock ---- */

static void test_locked_page_is_found_by_isolate_and_pinned(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	u32 pfn = pte_at(mm, 0).pfn;
	struct victim v;

	do_lock(mm, 0, 1, true);
	assert_int_equal(pfn_to_frame(mm->world, pfn)->state, FRAME_RESIDENT); /* lazily */
	v = isolate(mm);
	assert_int_equal(v.addr, BASE + P);
	assert_int_equal(pfn_to_frame(mm->world, pfn)->state, FRAME_PINNED);
	expect_pages(mm, 2, 0, 2, 0, 1);
	mm_putback(mm->world, v.pfn);
	do_lock(mm, 0, 1, false);
	assert_int_equal(pfn_to_frame(mm->world, pfn)->state, FRAME_RESIDENT);
	expect_pages(mm, 2, 2, 2, 0, 1);
	fake_mm_destroy(mm);
}

/* pinned for one of two; when that one lets go, it may be taken again */
static void test_pinned_page_of_two_mms_is_unpinned_when_one_goes(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8), *child = do_fork(mm);
	u32 pfn = pte_at(mm, 0).pfn;
	struct victim v;

	do_lock(child, 0, 1, true);
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), -ENOENT);
	assert_int_equal(pfn_to_frame(mm->world, pfn)->state, FRAME_PINNED);
	mm_put(child);
	assert_int_equal(pfn_to_frame(mm->world, pfn)->state, FRAME_RESIDENT);
	v = isolate(mm);
	assert_int_equal(v.pfn, pfn);
	mm_putback(mm->world, v.pfn);
	fake_mm_destroy(mm);
}

/* MREMAP_DONTUNMAP unlocks the whole vma that it leaves behind, of which page 0 alone is moved */
static void test_pinned_page_left_behind_by_mremap_is_unpinned(void **state)
{
	struct mm_struct *mm = filled_mm(2, 8);
	u32 moved = pte_at(mm, 0).pfn, left = pte_at(mm, 1).pfn;
	struct mm_plan *plan;
	struct victim v;

	do_lock(mm, 0, 2, true);
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), -ENOENT);
	assert_int_equal(mm_plan_mremap(mm, BASE, P, P, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0, &plan), 0);
	mm_plan_commit(plan, BASE + 64 * P);
	mm_world_verify(mm->world);
	assert_int_equal(pfn_to_frame(mm->world, moved)->state, FRAME_PINNED);
	assert_int_equal(pfn_to_frame(mm->world, left)->state, FRAME_RESIDENT);
	fake_mm_destroy(mm);
}

static void test_pinned_page_freed_is_gone(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct victim v;

	do_lock(mm, 0, 1, true);
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), -ENOENT);
	do_unmap(mm, BASE, 1);
	expect_pages(mm, 0, 0, 0, 0, 0);
	fake_mm_destroy(mm);
}

/* ---- another policy, another budget ---- */

/* one page at each stage when the policy changes; then the old one's victims come back, or go */
static void test_new_policy_gets_resident_pages_and_later_the_old_ones_victims(void **state)
{
	struct mm_struct *mm = filled_mm(5, 5);
	struct victim busy = isolate(mm), staged = stage(mm, 1), moving = stage(mm, 2), writing = stage(mm, 3);

	mm_write_begin(mm->world, writing.pfn);
	fault(mm, (moving.addr - BASE) / P, 0, FAULT_RESOLVED);
	expect_pages(mm, 5, 1, 2, 3, 4);
	fake_budget(mm->world, 5, "lirs");
	expect_pages(mm, 5, 1, 2, 3, 4);
	mm_putback(mm->world, busy.pfn);
	expect_pages(mm, 5, 2, 2, 3, 4);
	mm_unstaged(mm->world, moving.pfn, mm, moving.addr, 0);
	expect_pages(mm, 5, 3, 3, 2, 4);
	mm_evicted(mm->world, writing.pfn, false);
	expect_pages(mm, 4, 3, 3, 2, 4);
	fault(mm, (staged.addr - BASE) / P, 0, FAULT_RESOLVED); /* by a copy: there is room now */
	mm_evicted(mm->world, staged.pfn, false);
	expect_pages(mm, 4, 4, 4, 1, 4);
	fake_mm_destroy(mm);
}

static void test_every_policy_takes_all_pages_and_gives_them_back(void **state)
{
	for (u32 i = 0; reclaim_policies[i]; i++) {
		struct mm_struct *mm = filled_mm(8, 8);

		fake_budget(mm->world, 8, reclaim_policies[i]->name);
		for (u64 n = 0; n < 8; n++)
			evict(mm);
		expect_pages(mm, 0, 0, 0, 8, 8);
		for (u64 n = 0; n < 8; n++)
			fault(mm, n, 0, FAULT_RESOLVED);
		expect_pages(mm, 8, 8, 8, 0, 8);
		fake_mm_destroy(mm);
	}
}

static void test_budget_below_use_is_over_until_pages_go(void **state)
{
	struct mm_struct *mm = filled_mm(4, 8);

	do_mmap(mm, BASE + 16 * P, 4, RW);
	assert_int_equal(mm_room(mm->world), 4);
	assert_int_equal(mm_over(mm->world), 0);
	mm_set_budget(mm->world, 2);
	assert_int_equal(mm_room(mm->world), 0);
	assert_int_equal(mm_over(mm->world), 2);
	fault(mm, 16, FAULT_FLAG_WRITE, FAULT_PARKED);
	fault(mm, 16, 0, FAULT_RESOLVED); /* the zero page costs no frame */
	fault(mm, 16, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_PARKED);
	evict(mm);
	evict(mm);
	assert_int_equal(mm_over(mm->world), 0);
	fault(mm, 16, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_PARKED);
	assert_int_equal(mm->world->reclaim.need, 3);
	evict(mm);
	fault(mm, 16, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	expect_pages(mm, 2, 2, 2, 3, 3);
	mm_set_budget(mm->world, 0);
	assert_true(mm_room(mm->world) == UINT64_MAX);
	fake_mm_destroy(mm);
}

/* an old message (its page has been moved back meanwhile) must not wait for room, nor have pages evicted for it */
static void test_missing_on_present_page_without_room_asks_for_none(void **state)
{
	struct mm_struct *mm = filled_mm(1, 1);

	fake_hw.refuse = -EEXIST;
	fault(mm, 0, FAULT_FLAG_WRITE, FAULT_SPURIOUS);
	assert_int_equal(mm->world->reclaim.need, 0);
	expect_pages(mm, 1, 1, 1, 0, 0);
	/* the kernel has dropped it: the zero page, and the write waits as a WP fault, for the room that this gave */
	assert_int_equal(fault(mm, 0, FAULT_FLAG_WRITE, FAULT_RESOLVED).handler, FH_DO_ANONYMOUS_PAGE_ZERO);
	assert_true(pte_at(mm, 0).wp);
	expect_pages(mm, 0, 0, 0, 0, 0);
	fault(mm, 0, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	expect_pages(mm, 1, 1, 1, 0, 0);
	fake_mm_destroy(mm);
}

static void test_cow_copy_waits_for_room_and_reuse_does_not(void **state)
{
	struct mm_struct *mm = filled_mm(1, 1), *child = do_fork(mm);

	fault(mm, 0, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_PARKED);
	mm_put(child);
	assert_int_equal(fault(mm, 0, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED).handler,
			 FH_DO_WP_PAGE_REUSE);
	fake_mm_destroy(mm);
}

/* ---- what others may look at ---- */

static void test_page_info_tells_first_mapping_and_age(void **state)
{
	struct mm_struct *mm = filled_mm(1, 8);
	struct mm_page_info info;
	struct victim v;

	mm->world->reclaim.now_ms = 70;
	v = isolate(mm);
	mm_page_info(mm->world, &frame_of(mm, &v)->reclaim, &info);
	assert_ptr_equal(info.mm, mm);
	assert_int_equal(info.addr, BASE);
	assert_int_equal(info.age_ms, 70);
	assert_int_equal(info.mapcount, 1);
	do_unmap(mm, BASE, 1);
	mm_page_info(mm->world, &frame_of(mm, &v)->reclaim, &info);
	assert_null(info.mm);
	assert_int_equal(info.mapcount, 0);
	mm_putback(mm->world, v.pfn);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_isolate_of_own_page_is_busy_and_moves),
		cmocka_unit_test(test_isolate_of_page_shared_once_is_unshared_first),
		cmocka_unit_test(test_isolate_of_page_of_two_mms_is_zapped),
		cmocka_unit_test(test_isolate_is_zapped_in_readonly_vma_and_without_move),
		cmocka_unit_test(test_isolate_asks_and_goes_without_when_refused),
		cmocka_unit_test(test_isolate_is_not_caught_by_a_policy_that_insists),
		cmocka_unit_test(test_isolate_without_memory_for_slots_putbacks),
		cmocka_unit_test(test_stage_names_slot_and_keeps_frame),
		cmocka_unit_test(test_write_begin_busies_and_write_failed_stages_again),
		cmocka_unit_test(test_evicted_from_staging_frees_frame_and_keeps_slot),
		cmocka_unit_test(test_evicted_of_zapped_page_unmaps_it_from_all),
		cmocka_unit_test(test_putback_lists_again_and_counts),
		cmocka_unit_test(test_readopt_of_page_that_stayed_is_own_protected_page),
		cmocka_unit_test(test_letting_go_at_each_stage_leaves_nothing),
		cmocka_unit_test(test_putback_of_freed_page_frees_the_frame),
		cmocka_unit_test(test_exit_while_being_unstaged_drops_the_page_afterwards),
		cmocka_unit_test(test_calls_that_drop_slots_name_the_range_as_zapped),
		cmocka_unit_test(test_locked_page_is_found_by_isolate_and_pinned),
		cmocka_unit_test(test_pinned_page_of_two_mms_is_unpinned_when_one_goes),
		cmocka_unit_test(test_pinned_page_left_behind_by_mremap_is_unpinned),
		cmocka_unit_test(test_pinned_page_freed_is_gone),
		cmocka_unit_test(test_new_policy_gets_resident_pages_and_later_the_old_ones_victims),
		cmocka_unit_test(test_every_policy_takes_all_pages_and_gives_them_back),
		cmocka_unit_test(test_budget_below_use_is_over_until_pages_go),
		cmocka_unit_test(test_missing_on_present_page_without_room_asks_for_none),
		cmocka_unit_test(test_cow_copy_waits_for_room_and_reuse_does_not),
		cmocka_unit_test(test_page_info_tells_first_mapping_and_age),
	};

	return RUN(tests);
}
