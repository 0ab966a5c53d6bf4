/* SPDX-License-Identifier: MIT */
/* the fault table: each row, each refusal of the machine, fault-around, stack growth. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x10000000UL

static struct vm_fault fault(struct mm_struct *mm, u64 addr, unsigned int flags,
			     enum fault_result expected)
{
	struct vm_fault vmf = { .address = addr, .flags = flags };

	assert_int_equal(mm_handle_fault(mm, &vmf), expected);
	mm_verify(mm);
	return vmf;
}

static struct pte_info pte_at(struct mm_struct *mm, u64 addr)
{
	struct pte_info info;

	mm_lookup_pte(mm, addr, &info);
	return info;
}

static struct mm_struct *mm_with(u64 pages, int prot)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, BASE, pages, prot);
	return mm;
}

static void test_read_of_none_maps_the_zero_page(void **state)
{
	struct mm_struct *mm = mm_with(4, RW);
	struct vm_fault vmf = fault(mm, BASE + P + 123, 0, FAULT_RESOLVED);

	assert_int_equal(vmf.handler, FH_DO_ANONYMOUS_PAGE_ZERO);
	assert_int_equal(vmf.nr_mapped, 1);
	assert_int_equal(fake_hw.nr_map_zero, 1);
	assert_int_equal(fake_hw.last_addr, BASE + P);
	assert_int_equal(pte_at(mm, BASE + P).state, PTE_ZERO);
	assert_true(pte_at(mm, BASE + P).wp);
	assert_int_equal(mm->nr_anon_ptes, 0);
	assert_null(find_vma(mm, BASE)->anon_vma); /* only a write prepares one */
	fake_mm_destroy(mm);
}

static void test_write_of_none_maps_a_new_frame(void **state)
{
	struct mm_struct *mm = mm_with(4, RW);
	struct vm_fault vmf = fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	struct pte_info info = pte_at(mm, BASE);

	assert_int_equal(vmf.handler, FH_DO_ANONYMOUS_PAGE);
	assert_int_equal(fake_hw.nr_map_copy, 1);
	assert_int_equal(info.state, PTE_PRESENT);
	assert_false(info.wp);
	assert_int_equal(info.mapcount, 1);
	assert_int_equal(mm->nr_anon_ptes, 1);
	fake_mm_destroy(mm);
}

static void test_write_to_zero_page_gets_own_frame(void **state)
{
	struct mm_struct *mm = mm_with(4, RW);
	struct vm_fault vmf;

	fault(mm, BASE, 0, FAULT_RESOLVED);
	vmf = fault(mm, BASE, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_WP_PAGE_ZERO);
	assert_int_equal(fake_hw.nr_protect, 1);
	assert_int_equal(fake_hw.last_flags, 0);
	assert_int_equal(pte_at(mm, BASE).state, PTE_PRESENT);
	assert_false(pte_at(mm, BASE).wp);
	assert_int_equal(mm->world->zero_ptes, 0);
	assert_int_equal(mm->world->zero_total, 1);
	fake_mm_destroy(mm);
}

/*   parent, child -> frame 1      first writer copies, the second reuses   */
static void test_write_after_fork_first_copies_second_reuses(void **state)
{
	struct mm_struct *mm = mm_with(1, RW), *child;
	struct vm_fault vmf;
	u64 pfn;

	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	child = do_fork(mm);
	pfn = pte_at(mm, BASE).pfn;
	assert_int_equal(pte_at(child, BASE).pfn, pfn);
	assert_int_equal(pte_at(mm, BASE).mapcount, 2);

	vmf = fault(child, BASE, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_WP_PAGE_COPY);
	assert_int_not_equal(pte_at(child, BASE).pfn, pfn);
	assert_int_equal(pte_at(mm, BASE).mapcount, 1);
	assert_true(pte_at(mm, BASE).wp);

	vmf = fault(mm, BASE, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_WP_PAGE_REUSE);
	assert_int_equal(pte_at(mm, BASE).pfn, pfn);
	assert_false(pte_at(mm, BASE).wp);
	mm_put(child);
	fake_mm_destroy(mm);
}

/* Another thread's fault brought the page: the machine has it. */
static void test_missing_on_present_pte_machine_has_it_only_wakes(void **state)
{
	struct mm_struct *mm = mm_with(1, RW);
	u64 pfn;

	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	pfn = pte_at(mm, BASE).pfn;
	fake_hw.refuse = -EEXIST;
	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_SPURIOUS);
	assert_int_equal(fake_hw.nr_wake, 1);
	assert_int_equal(pte_at(mm, BASE).pfn, pfn);
	assert_int_equal(mm->world->frames.nr_used, 1);
	fake_mm_destroy(mm);
}

/* The kernel dropped it behind our back: the machine takes a new one, and the old frame goes. */
static void test_missing_on_present_pte_machine_lost_it_is_answered_anew(void **state)
{
	struct mm_struct *mm = mm_with(2, RW);
	struct vm_fault vmf;

	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE + P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	vmf = fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_ANONYMOUS_PAGE);
	assert_int_equal(mm->world->frames.nr_used, 2);
	vmf = fault(mm, BASE + P, 0, FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_ANONYMOUS_PAGE_ZERO);
	assert_int_equal(mm->world->frames.nr_used, 1);
	fake_mm_destroy(mm);
}

static void test_missing_on_lazyfree_pte_is_answered_anew(void **state)
{
	struct mm_struct *mm = mm_with(2, RW);
	struct vm_fault vmf;

	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE + P, 0, FAULT_RESOLVED);
	do_madvise(mm, BASE, 2, MADV_FREE);
	assert_true(pte_at(mm, BASE).lazyfree);
	assert_false(pte_at(mm, BASE + P).lazyfree); /* the zero page has nothing to free */
	vmf = fault(mm, BASE, 0, FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_ANONYMOUS_PAGE_ZERO);
	assert_int_equal(mm->world->frames.nr_used, 0);
	fake_mm_destroy(mm);
}

static void test_wp_fault_on_writable_pte_lifts_and_is_spurious(void **state)
{
	struct mm_struct *mm = mm_with(2, RW);

	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_SPURIOUS);
	assert_int_equal(fake_hw.nr_protect, 1);
	fault(mm, BASE + P, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_SPURIOUS);
	assert_int_equal(pte_at(mm, BASE + P).state, PTE_NONE);
	fake_mm_destroy(mm);
}

static void test_fault_where_nothing_is_managed_only_wakes(void **state)
{
	struct mm_struct *mm = mm_with(1, RW);
	struct mmap_args shared = {
		.addr = BASE + 20 * P, .len = P, .prot = RW,
		.flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .unmanaged = true,
	};
	struct mm_plan *plan;

	assert_int_equal(mm_plan_mmap(mm, &shared, &plan), 0);
	mm_plan_commit(plan, shared.addr);
	fault(mm, BASE + 20 * P, FAULT_FLAG_WRITE, FAULT_SPURIOUS);
	fault(mm, BASE + 5 * P, 0, FAULT_SPURIOUS);
	fault(mm, BASE + 50 * P, 0, FAULT_SPURIOUS);
	fault(mm, BASE, FAULT_FLAG_MINOR, FAULT_SPURIOUS);
	assert_int_equal(fake_hw.nr_wake, 4);
	assert_int_equal(mm->pgtables_bytes, PAGE_SIZE);
	fake_mm_destroy(mm);
}

/* mprotect of locked memory to writable fills it inside the call, before the plan is committed. */
static void test_write_fault_in_read_only_vma_is_answered(void **state)
{
	struct mm_struct *mm = mm_with(2, PROT_READ);
	struct mm_plan *plan;

	fault(mm, BASE + P, 0, FAULT_RESOLVED);
	assert_int_equal(mm_plan_mprotect(mm, BASE, 2 * P, RW, &plan), 0);
	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE + P, FAULT_FLAG_WRITE | FAULT_FLAG_WP, FAULT_RESOLVED);
	mm_plan_commit(plan, 0);
	mm_verify(mm);
	assert_int_equal(mm->nr_anon_ptes, 2);
	fake_mm_destroy(mm);
}

/*   |--locked--|+++grown+++|     the kernel fills the growth before mremap returns */
static struct mm_plan *plan_growth_and_fault(struct mm_struct *mm)
{
	struct mm_plan *plan;

	assert_int_equal(mm_plan_mlock(mm, BASE, 2 * P, 0, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm_plan_mremap(mm, BASE, 2 * P, 5 * P, MREMAP_MAYMOVE, 0, &plan), 0);
	fault(mm, BASE + 5 * P, FAULT_FLAG_WRITE, FAULT_SPURIOUS);
	fault(mm, BASE + 2 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE + 4 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	return plan;
}

static void test_fault_in_growth_of_open_mremap_grows_the_vma(void **state)
{
	struct mm_struct *mm = mm_with(2, RW);

	mm_plan_commit(plan_growth_and_fault(mm), BASE);
	mm_verify(mm);
	assert_int_equal(mm_map_count(mm), 1);
	assert_int_equal(mm->total_vm, 5);
	assert_int_equal(mm->nr_anon_ptes, 2);
	fake_mm_destroy(mm);
}

static void test_fault_in_growth_that_did_not_happen_is_undone(void **state)
{
	struct mm_struct *mm = mm_with(2, RW);

	mm_plan_abort(plan_growth_and_fault(mm));
	mm_verify(mm);
	assert_int_equal(mm->total_vm, 2);
	mm_plan_commit(plan_growth_and_fault(mm), BASE + 100 * P);
	mm_verify(mm);
	assert_int_equal(mm->total_vm, 5);
	assert_null(vma_lookup(mm, BASE));
	assert_non_null(vma_lookup(mm, BASE + 104 * P));
	fake_mm_destroy(mm);
}

/* Every answer of the machine to each of the three calls: result, and the model as it was. */
static void test_machine_refuses_model_is_unchanged(void **state)
{
	static const struct {
		int err;
		enum fault_result result;
	} row[] = {
		{ -EAGAIN, FAULT_RETRY }, { -ESRCH, FAULT_GONE }, { -ENOMEM, FAULT_OOM },
		{ -ENOENT, FAULT_SPURIOUS },
	};
	struct mm_struct *mm = mm_with(3, RW);

	fault(mm, BASE + 2 * P, 0, FAULT_RESOLVED);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		u64 used = mm->world->frames.nr_used;

		fake_hw.refuse = row[i].err;
		fault(mm, BASE, 0, row[i].result);
		fake_hw.refuse = row[i].err;
		fault(mm, BASE, FAULT_FLAG_WRITE, row[i].result);
		fake_hw.refuse = row[i].err;
		fault(mm, BASE + 2 * P, FAULT_FLAG_WRITE | FAULT_FLAG_WP, row[i].result);
		assert_int_equal(pte_at(mm, BASE).state, PTE_NONE);
		assert_int_equal(pte_at(mm, BASE + 2 * P).state, PTE_ZERO);
		assert_int_equal(mm->world->frames.nr_used, used);
	}
	fake_mm_destroy(mm);
}

static void test_machine_has_page_already_it_is_adopted(void **state)
{
	struct mm_struct *mm = mm_with(2, RW);

	fake_hw.refuse = -EEXIST;
	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_SPURIOUS);
	assert_int_equal(fake_hw.nr_wake, 1);
	assert_int_equal(pte_at(mm, BASE).state, PTE_PRESENT);
	fake_hw.refuse = -EEXIST;
	fault(mm, BASE + P, 0, FAULT_SPURIOUS);
	assert_int_equal(pte_at(mm, BASE + P).state, PTE_PRESENT);
	fake_mm_destroy(mm);
}

/* ---- fault-around ---- */

static struct mm_struct *mm_with_window(u32 window, u64 pages)
{
	struct mm_struct *mm = mm_alloc(fake_world_with(window), NULL);

	do_mmap(mm, BASE, pages, RW);
	return mm;
}

static void test_fault_around_sequential_doubles_to_the_limit(void **state)
{
	static const u32 expected[] = { 1, 2, 4, 8, 8, 8 };

	for (unsigned int flags = 0; flags <= FAULT_FLAG_WRITE; flags++) {
		struct mm_struct *mm = mm_with_window(8, 31);
		u64 addr = BASE;

		for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
			assert_int_equal(fault(mm, addr, flags, FAULT_RESOLVED).nr_mapped,
					 expected[i]);
			addr += expected[i] * P;
		}
		assert_int_equal(addr, BASE + 31 * P);
		fake_mm_destroy(mm);
	}
}

/* The same from the last page down. */
static void test_fault_around_downwards_doubles_to_the_limit(void **state)
{
	static const u32 expected[] = { 1, 2, 4, 8, 8, 8 };

	for (unsigned int flags = 0; flags <= FAULT_FLAG_WRITE; flags++) {
		struct mm_struct *mm = mm_with_window(8, 31);
		u64 addr = BASE + 30 * P;

		for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
			assert_int_equal(fault(mm, addr, flags, FAULT_RESOLVED).nr_mapped, expected[i]);
			assert_int_not_equal(pte_at(mm, addr - (expected[i] - 1) * P).state, PTE_NONE);
			addr -= expected[i] * P;
		}
		assert_int_equal(addr, BASE - P);
		fake_mm_destroy(mm);
	}
}

/* A window that is there, and not protected: each of its pages counts; and so does one that took a known page's place. */
static void test_unprotected_zero_pages_are_frames(void **state)
{
	struct mm_struct *mm = mm_with_window(8, 8);

	fault(mm, BASE, 0, FAULT_RESOLVED);
	fake_hw.refuse = -EBUSY;
	fake_hw.refuse_after = 2;
	fault(mm, BASE + P, 0, FAULT_RETRY);
	assert_int_equal(pte_at(mm, BASE).state, PTE_ZERO);
	fake_hw.refuse = -EBUSY;
	fake_hw.refuse_after = 1;
	fault(mm, BASE, 0, FAULT_RETRY);
	for (u64 i = 0; i < 3; i++) {
		assert_int_equal(pte_at(mm, BASE + i * P).state, PTE_PRESENT);
		assert_false(pte_at(mm, BASE + i * P).wp);
	}
	assert_int_equal(pte_at(mm, BASE + 3 * P).state, PTE_NONE);
	assert_int_equal(mm->world->frames.nr_used, 3);
	mm_verify(mm);
	fake_hw.refuse_after = 0;
	fake_mm_destroy(mm);
}

/*
 * Upwards from 20 to 34, and to 35 before a page in use; 34 is there.  Then 19, which no stream expects any more, and
 * down from there.  At last the pages below the answer 67 to 74 of another stream are dropped: to go down there is a turn.
 */
static void test_fault_around_turning_begins_with_one_page(void **state)
{
	static const struct { u64 page; u32 nr; } touch[] = { { 20, 1 }, { 21, 2 }, { 23, 4 }, { 27, 8 }, { 35, 1 },
							      { 34, 1 }, { 19, 1 }, { 18, 2 }, { 16, 4 } },
						  before[] = { { 60, 1 }, { 61, 2 }, { 63, 4 }, { 67, 8 } },
						  turn[] = { { 66, 1 }, { 65, 2 }, { 63, 1 } };
	struct mm_struct *mm = mm_with_window(64, 100);

	fault(mm, BASE + 36 * P, 0, FAULT_RESOLVED); /* in the way of 35 */
	for (size_t i = 0; i < ARRAY_SIZE(touch); i++)
		assert_int_equal(fault(mm, BASE + touch[i].page * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).nr_mapped,
				 touch[i].nr);
	for (size_t i = 0; i < ARRAY_SIZE(before); i++)
		assert_int_equal(fault(mm, BASE + before[i].page * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).nr_mapped,
				 before[i].nr);
	do_madvise(mm, BASE + 63 * P, 4, MADV_DONTNEED);
	for (size_t i = 0; i < ARRAY_SIZE(turn); i++)
		assert_int_equal(fault(mm, BASE + turn[i].page * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).nr_mapped,
				 turn[i].nr);
	fake_mm_destroy(mm);
}

static void test_fault_around_downwards_stops_at_used_pte_and_vma_start(void **state)
{
	struct mm_struct *mm = mm_with_window(64, 10);

	fault(mm, BASE + 3 * P, 0, FAULT_RESOLVED);
	fault(mm, BASE + 9 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	assert_int_equal(fault(mm, BASE + 8 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).nr_mapped, 2);
	assert_int_equal(fault(mm, BASE + 6 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).nr_mapped, 3);
	assert_int_equal(fault(mm, BASE + 2 * P, 0, FAULT_RESOLVED).nr_mapped, 2);
	assert_int_equal(fault(mm, BASE, 0, FAULT_RESOLVED).nr_mapped, 1);
	fake_mm_destroy(mm);
}

/* A window that ends with the page that faulted, of which the machine maps the lower half: then that page alone. */
static void test_fault_around_downwards_machine_stops_before_the_page(void **state)
{
	struct mm_struct *mm = mm_with_window(64, 16);

	fault(mm, BASE + 15 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE + 14 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fake_hw.refuse = -EEXIST;
	fake_hw.refuse_after = 2;
	assert_int_equal(fault(mm, BASE + 12 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).nr_mapped, 1);
	assert_int_equal(fake_hw.last_nr_pages, 1);
	assert_int_equal(pte_at(mm, BASE + 9 * P).state, PTE_PRESENT);
	assert_int_equal(pte_at(mm, BASE + 10 * P).state, PTE_PRESENT);
	assert_int_equal(pte_at(mm, BASE + 11 * P).state, PTE_NONE);
	assert_int_equal(pte_at(mm, BASE + 12 * P).state, PTE_PRESENT);
	assert_int_equal(mm->world->frames.nr_used, 6);
	fake_mm_destroy(mm);
}

static void test_fault_around_random_touch_maps_one(void **state)
{
	struct mm_struct *mm = mm_with_window(64, 1000);

	for (u64 i = 0; i < 50; i++)
		assert_int_equal(fault(mm, BASE + (i * 37 % 1000) * P, FAULT_FLAG_WRITE,
				       FAULT_RESOLVED).nr_mapped, 1);
	fake_mm_destroy(mm);
}

/* Eight threads, each filling its own part: none disturbs another. */
static void test_fault_around_interleaved_streams_all_grow(void **state)
{
	struct mm_struct *mm = mm_with_window(16, 8 * 50);

	for (u64 round = 0, at = 0; round < 5; at += 1UL << round, round++) {
		for (u64 s = 0; s < NR_FAULT_STREAMS; s++)
			assert_int_equal(fault(mm, BASE + (s * 50 + at) * P, FAULT_FLAG_WRITE,
					       FAULT_RESOLVED).nr_mapped, 1u << round);
	}
	fake_mm_destroy(mm);
}

/*   touched in order:  0 12 3456|X        the window ends before page 7, which is there */
static void test_fault_around_stops_at_used_pte_and_vma_end(void **state)
{
	struct mm_struct *mm = mm_with_window(64, 10);

	fault(mm, BASE + 6 * P, 0, FAULT_RESOLVED);
	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE + P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	assert_int_equal(fault(mm, BASE + 3 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).nr_mapped, 3);
	assert_int_equal(pte_at(mm, BASE + 6 * P).state, PTE_ZERO);
	assert_int_equal(fault(mm, BASE + 7 * P, 0, FAULT_RESOLVED).nr_mapped, 2);
	assert_int_equal(fault(mm, BASE + 9 * P, 0, FAULT_RESOLVED).nr_mapped, 1);
	fake_mm_destroy(mm);
}

static void test_fault_around_never_in_stacks_and_random_vmas(void **state)
{
	struct mm_struct *mm = mm_with_window(64, 10);
	struct mmap_args stack = {
		.addr = BASE + 1000 * P, .len = 10 * P, .prot = RW,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
	};
	struct mm_plan *plan;

	assert_int_equal(mm_plan_mmap(mm, &stack, &plan), 0);
	mm_plan_commit(plan, stack.addr);
	do_madvise(mm, BASE, 10, MADV_RANDOM);
	for (u64 i = 0; i < 10; i++) {
		assert_int_equal(fault(mm, BASE + i * P, FAULT_FLAG_WRITE,
				       FAULT_RESOLVED).nr_mapped, 1);
		assert_int_equal(fault(mm, stack.addr + i * P, FAULT_FLAG_WRITE,
				       FAULT_RESOLVED).nr_mapped, 1);
	}
	fake_mm_destroy(mm);
}

static void test_fault_around_machine_stops_midway_done_pages_count(void **state)
{
	struct mm_struct *mm = mm_with_window(64, 16);

	fault(mm, BASE, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE + P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fake_hw.refuse = -EEXIST;
	fake_hw.refuse_after = 2;
	assert_int_equal(fault(mm, BASE + 3 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).nr_mapped, 2);
	assert_int_equal(fake_hw.last_nr_pages, 4);
	assert_int_equal(fake_hw.nr_wake, 1);
	assert_int_equal(pte_at(mm, BASE + 4 * P).state, PTE_PRESENT);
	assert_int_equal(pte_at(mm, BASE + 5 * P).state, PTE_NONE);
	assert_int_equal(mm->world->frames.nr_used, 5);
	fake_mm_destroy(mm);
}

/* ---- stack growth ---- */

#define STACK 0x7ff000000000UL

static struct mm_struct *mm_with_stack(void)
{
	struct mm_struct *mm = fake_mm();
	struct vma_desc stack = {
		.start = STACK, .end = STACK + 4 * P, .pgoff = STACK >> PAGE_SHIFT,
		.vm_flags = VM_READ | VM_WRITE | VM_GROWSDOWN,
	};

	assert_int_equal(mm_reconcile(mm, &stack, 1), 0);
	return mm;
}

/*         |--stack--|   ->   |fault.......stack--|  */
static void test_expand_downwards_fault_below_stack_grows_it(void **state)
{
	struct mm_struct *mm = mm_with_stack();
	struct vm_fault vmf;
	struct vma_info vma;

	fault(mm, STACK, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	vmf = fault(mm, STACK - 10 * P + 8, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	assert_true(vmf.grew_stack);
	assert_int_equal(vmf.handler, FH_DO_ANONYMOUS_PAGE);
	assert_true(mm_find_vma(mm, STACK, &vma));
	assert_int_equal(vma.start, STACK - 10 * P);
	assert_int_equal(vma.pgoff, (STACK >> PAGE_SHIFT) - 10);
	assert_int_equal(mm->stack_vm, 14);
	assert_int_equal(mm_map_count(mm), 1);
	vmf = fault(mm, STACK - 5 * P, 0, FAULT_RESOLVED);
	assert_false(vmf.grew_stack);
	fake_mm_destroy(mm);
}

/*   |--heap--|<- gap of 256 pages ->|--stack--|: a fault nearer to the heap than the gap is refused */
static void test_expand_downwards_into_guard_gap_is_refused(void **state)
{
	struct mm_struct *mm = mm_with_stack();
	u64 heap_end = STACK - 1000 * P;

	do_mmap(mm, heap_end - P, 1, RW);
	fault(mm, heap_end + 255 * P, FAULT_FLAG_WRITE, FAULT_SPURIOUS);
	assert_int_equal(mm->stack_vm, 4);
	assert_true(fault(mm, heap_end + 256 * P, FAULT_FLAG_WRITE, FAULT_RESOLVED).grew_stack);
	fake_mm_destroy(mm);
}

static void test_expand_downwards_inaccessible_neighbour_needs_no_gap(void **state)
{
	struct mm_struct *mm = mm_with_stack();
	u64 guard_end = STACK - 1000 * P;

	do_mmap(mm, guard_end - P, 1, PROT_NONE);
	assert_true(fault(mm, guard_end, FAULT_FLAG_WRITE, FAULT_RESOLVED).grew_stack);
	fake_mm_destroy(mm);
}

static void test_expand_downwards_without_memory_leaves_stack(void **state)
{
	struct mm_struct *mm = mm_with_stack();

	alloc_fail_at(1);
	fault(mm, STACK - P, FAULT_FLAG_WRITE, FAULT_OOM);
	assert_false(alloc_fail_pending());
	assert_int_equal(mm->stack_vm, 4);
	fake_mm_destroy(mm);
}

/* Every allocation of every handler fails once: FAULT_OOM, nothing told to the machine, no pte. */
static void test_fault_allocation_fails_at_each_n_nothing_happens(void **state)
{
	for (unsigned int flags = 0; flags <= FAULT_FLAG_WRITE; flags++) {
		struct mm_struct *mm = mm_with(2, RW);
		u64 n = 1;

		for (;; n++) {
			struct vm_fault vmf = { .address = BASE, .flags = flags };
			enum fault_result result;

			alloc_fail_at(n);
			result = mm_handle_fault(mm, &vmf);
			mm_verify(mm);
			if (result == FAULT_RESOLVED)
				break;
			assert_int_equal(result, FAULT_OOM);
			assert_int_equal(fake_hw.nr_map_copy + fake_hw.nr_map_zero, 0);
			assert_int_equal(pte_at(mm, BASE).state, PTE_NONE);
		}
		assert_true(alloc_fail_pending());
		alloc_fail_at(0);
		assert_true(n > 3); /* three tables at least */
		fake_mm_destroy(mm);
	}
}

static void test_mm_adopt_page_kinds_and_refusal(void **state)
{
	struct mm_struct *mm = mm_with(3, RW);

	assert_int_equal(mm_adopt_page(mm, BASE, false, true), 0);
	assert_int_equal(mm_adopt_page(mm, BASE + P, true, true), 0);
	assert_int_equal(pte_at(mm, BASE).state, PTE_PRESENT);
	assert_true(pte_at(mm, BASE).wp);
	assert_int_equal(pte_at(mm, BASE + P).state, PTE_ZERO);
	assert_int_equal(mm_adopt_page(mm, BASE + P, false, false), 0); /* no-op: known */
	assert_int_equal(pte_at(mm, BASE + P).state, PTE_ZERO);
	assert_int_equal(mm_adopt_page(mm, BASE + 9 * P, false, false), -EFAULT);
	mm_verify(mm);
	fake_mm_destroy(mm);
}

/* ---- looking at ptes ---- */

static struct range runs[8];
static int nr_runs;

static int note_run(struct mm_struct *mm, struct range run, void *arg)
{
	runs[nr_runs++] = run;
	return nr_runs == *(int *)arg ? -EINTR : 0;
}

/*   pages  W W z . W W W(wp) W     W writable frame, z zero page (wp) */
static void test_for_each_writable_run_skips_wp_and_holes(void **state)
{
	struct mm_struct *mm = mm_with(8, RW);
	static const int writable[] = { 0, 1, 4, 5, 6, 7 };
	int stop_after = 0;

	for (size_t i = 0; i < ARRAY_SIZE(writable); i++)
		fault(mm, BASE + writable[i] * P, FAULT_FLAG_WRITE, FAULT_RESOLVED);
	fault(mm, BASE + 2 * P, 0, FAULT_RESOLVED);
	mm_mark_wp(mm, range_of(BASE + 6 * P, P));
	nr_runs = 0;
	assert_int_equal(mm_for_each_writable_run(mm, (struct range){ 0, UINT64_MAX }, note_run,
						  &stop_after), 0);
	assert_int_equal(nr_runs, 3);
	assert_int_equal(runs[0].start, BASE);
	assert_int_equal(runs[0].end, BASE + 2 * P);
	assert_int_equal(runs[1].start, BASE + 4 * P);
	assert_int_equal(runs[1].end, BASE + 6 * P);
	assert_int_equal(runs[2].start, BASE + 7 * P);
	assert_int_equal(runs[2].end, BASE + 8 * P);
	nr_runs = 0;
	stop_after = 2;
	assert_int_equal(mm_for_each_writable_run(mm, (struct range){ 0, UINT64_MAX }, note_run,
						  &stop_after), -EINTR);
	assert_int_equal(nr_runs, 2);
	fake_mm_destroy(mm);
}

static void test_mm_next_pte_walks_used_ptes_then_end(void **state)
{
	struct mm_struct *mm = mm_with(1 << 20, RW);
	static const u64 page[] = { 3, 700, 701, 900000 };
	struct pte_info info;
	u64 at = BASE;

	for (size_t i = 0; i < ARRAY_SIZE(page); i++)
		fault(mm, BASE + page[i] * P, i % 2 ? FAULT_FLAG_WRITE : 0, FAULT_RESOLVED);
	for (size_t i = 0; i < ARRAY_SIZE(page); i++) {
		at = mm_next_pte(mm, at, UINT64_MAX, &info);
		assert_int_equal(at, BASE + page[i] * P);
		assert_int_equal(info.state, i % 2 ? PTE_PRESENT : PTE_ZERO);
		at += P;
	}
	assert_true(mm_next_pte(mm, at, UINT64_MAX, &info) == UINT64_MAX);
	assert_int_equal(mm_next_pte(mm, BASE, BASE + 3 * P, &info), BASE + 3 * P);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_of_none_maps_the_zero_page),
		cmocka_unit_test(test_write_of_none_maps_a_new_frame),
		cmocka_unit_test(test_write_to_zero_page_gets_own_frame),
		cmocka_unit_test(test_write_after_fork_first_copies_second_reuses),
		cmocka_unit_test(test_missing_on_present_pte_machine_has_it_only_wakes),
		cmocka_unit_test(
			test_missing_on_present_pte_machine_lost_it_is_answered_anew),
		cmocka_unit_test(test_missing_on_lazyfree_pte_is_answered_anew),
		cmocka_unit_test(test_wp_fault_on_writable_pte_lifts_and_is_spurious),
		cmocka_unit_test(test_fault_where_nothing_is_managed_only_wakes),
		cmocka_unit_test(test_write_fault_in_read_only_vma_is_answered),
		cmocka_unit_test(test_fault_in_growth_of_open_mremap_grows_the_vma),
		cmocka_unit_test(test_fault_in_growth_that_did_not_happen_is_undone),
		cmocka_unit_test(test_machine_refuses_model_is_unchanged),
		cmocka_unit_test(test_machine_has_page_already_it_is_adopted),
		cmocka_unit_test(test_fault_around_sequential_doubles_to_the_limit),
		cmocka_unit_test(test_fault_around_downwards_doubles_to_the_limit),
		cmocka_unit_test(test_unprotected_zero_pages_are_frames),
		cmocka_unit_test(test_fault_around_turning_begins_with_one_page),
		cmocka_unit_test(test_fault_around_downwards_stops_at_used_pte_and_vma_start),
		cmocka_unit_test(test_fault_around_downwards_machine_stops_before_the_page),
		cmocka_unit_test(test_fault_around_random_touch_maps_one),
		cmocka_unit_test(test_fault_around_interleaved_streams_all_grow),
		cmocka_unit_test(test_fault_around_stops_at_used_pte_and_vma_end),
		cmocka_unit_test(test_fault_around_never_in_stacks_and_random_vmas),
		cmocka_unit_test(test_fault_around_machine_stops_midway_done_pages_count),
		cmocka_unit_test(test_expand_downwards_fault_below_stack_grows_it),
		cmocka_unit_test(test_expand_downwards_into_guard_gap_is_refused),
		cmocka_unit_test(test_expand_downwards_inaccessible_neighbour_needs_no_gap),
		cmocka_unit_test(test_expand_downwards_without_memory_leaves_stack),
		cmocka_unit_test(test_fault_allocation_fails_at_each_n_nothing_happens),
		cmocka_unit_test(test_mm_adopt_page_kinds_and_refusal),
		cmocka_unit_test(test_for_each_writable_run_skips_wp_and_holes),
		cmocka_unit_test(test_mm_next_pte_walks_used_ptes_then_end),
	};

	return RUN(tests);
}
