/* SPDX-License-Identifier: MIT */
/*
 * reclaim: each arrow of the picture in mm/reclaim.h with the counters before and after, each way in which
 * do_swap_page answers, and what fork, unmapping, mlock, a new policy and a new budget do at every stage.
 */
#include <sys/mman.h>

#include "fake_hw.h"
#include "policy/checked.h"
#include "unit.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x10000000UL

/* `pages` of RW memory, all written to, under a budget of `budget` pages and FIFO: page 0 goes first. */
static struct mm_struct *filled_mm(u64 pages, u64 budget)
{
	struct mm_struct *mm = fake_mm();

	fake_budget(mm->world, budget, "fifo");
	do_mmap(mm, BASE, pages, RW);
	for (u64 i = 0; i < pages; i++)
		assert_int_equal(touch_write(mm, BASE + i * P), FAULT_RESOLVED);
	mm_world_verify(mm->world);
	return mm;
}

static struct pte_info pte_at(struct mm_struct *mm, u64 page)
{
	struct pte_info info;

	mm_lookup_pte(mm, BASE + page * P, &info);
	return info;
}

static struct frame *frame_of(struct mm_struct *mm, const struct victim *v)
{
	return pfn_to_frame(mm->world, v->pfn);
}

static u32 slot_count(struct mm_struct *mm, u32 slot)
{
	return swap_slot(mm->world, (swp_entry_t){ slot })->count;
}

static struct victim isolate(struct mm_struct *mm)
{
	struct victim v;

	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), 0);
	mm_world_verify(mm->world);
	return v;
}

/* The next victim goes into place `index` of mm's staging area (mm is the handle). */
static struct victim stage(struct mm_struct *mm, u32 index)
{
	struct victim v = isolate(mm);

	assert_true(mm_stage(mm->world, v.pfn, mm, index));
	mm_world_verify(mm->world);
	return v;
}

static struct victim evict(struct mm_struct *mm)
{
	struct victim v = stage(mm, 0);

	mm_write_begin(mm->world, v.pfn);
	mm_evicted(mm->world, v.pfn, false);
	mm_world_verify(mm->world);
	return v;
}

#define expect_pages(mm, used, listed, rss, swapped, slots)                  \
	do {                                                                 \
		assert_int_equal((mm)->world->frames.nr_used, used);         \
		assert_int_equal((mm)->world->reclaim.nr_listed, listed);    \
		assert_int_equal((mm)->nr_anon_ptes, rss);                   \
		assert_int_equal((mm)->nr_swap_ptes, swapped);               \
		assert_int_equal((mm)->world->swap.nr_used, slots);          \
		mm_world_verify((mm)->world);                                \
	} while (0)

#define stats(mm) ((mm)->world->reclaim_stats)

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
	mm_readopt(child, BASE);
	assert_int_equal(pte_at(child, 0).state, PTE_PRESENT);
	assert_true(pte_at(child, 0).wp);
	assert_int_equal(slot_count(mm, v.slot), 1);
	expect_pages(mm, 1, 1, 0, 1, 1);
	mm_put(child);
	fake_mm_destroy(mm);
}

/* ---- do_swap_page ---- */

static struct vm_fault fault(struct mm_struct *mm, u64 page, unsigned int flags, enum fault_result expected)
{
	struct vm_fault vmf = { .address = BASE + page * P + 12, .flags = flags };

	assert_int_equal(mm_handle_fault(mm, &vmf), expected);
	mm_world_verify(mm->world);
	return vmf;
}

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

/* ---- fork, and the program lets go at every stage ---- */

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

static void do_lock(struct mm_struct *mm, u64 page, u64 pages, bool lock)
{
	struct mm_plan *plan;

	if (lock)
		assert_int_equal(mm_plan_mlock(mm, BASE + page * P, pages * P, 0, &plan), 0);
	else
		assert_int_equal(mm_plan_munlock(mm, BASE + page * P, pages * P, &plan), 0);
	mm_plan_commit(plan, 0);
	mm_world_verify(mm->world);
}

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

/* ---- prefetch ---- */

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
	mm_set_budget(mm->world, 256); /* a 128th is kept */
	do_mmap(mm, BASE + 512 * P, 260, RW);
	for (u64 i = 0; i < 251; i++)
		assert_int_equal(touch_write(mm, BASE + (512 + i) * P), FAULT_RESOLVED);
	assert_int_equal(mm_room(mm->world), 2);
	assert_int_equal(mm_prefetch(mm, BASE + 3 * P, 8, &slot), 0);
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
		cmocka_unit_test(test_isolate_without_memory_for_slots_putbacks),
		cmocka_unit_test(test_stage_names_slot_and_keeps_frame),
		cmocka_unit_test(test_write_begin_busies_and_write_failed_stages_again),
		cmocka_unit_test(test_evicted_from_staging_frees_frame_and_keeps_slot),
		cmocka_unit_test(test_evicted_of_zapped_page_unmaps_it_from_all),
		cmocka_unit_test(test_putback_lists_again_and_counts),
		cmocka_unit_test(test_readopt_of_page_that_stayed_is_own_protected_page),
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
		cmocka_unit_test(test_page_that_came_back_goes_out_under_its_slot),
		cmocka_unit_test(test_slot_shared_by_fork_is_not_reused),
		cmocka_unit_test(test_refault_counts_distance_and_time),
		cmocka_unit_test(test_prefetch_brings_a_run_in_one_call),
		cmocka_unit_test(test_prefetch_ends_at_hole_page_at_hand_and_vma_end),
		cmocka_unit_test(test_prefetch_keeps_room_for_faults),
		cmocka_unit_test(test_prefetch_stops_at_page_to_be_waited_for_and_names_its_slot),
		cmocka_unit_test(test_prefetch_passes_over_staged_locked_and_refused),
		cmocka_unit_test(test_prefetch_stops_before_what_an_open_plan_drops),
		cmocka_unit_test(test_fault_around_stops_before_what_an_open_plan_drops),
		cmocka_unit_test(test_prefetch_beyond_the_address_space_brings_nothing),
		cmocka_unit_test(test_prefetched_page_is_counted_used_or_wasted_once),
		cmocka_unit_test(test_page_info_tells_first_mapping_and_age),
	};

	return RUN(tests);
}
