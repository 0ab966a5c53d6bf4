/* SPDX-License-Identifier: MIT */
/* COW policies: what a fault does to its neighbours, and what a fork separates at once. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x200000UL /* a table of ptes begins here, and a block of any power of two */

static struct pte_info pte_at(struct mm_struct *mm, u64 page)
{
	struct pte_info info;

	mm_lookup_pte(mm, BASE + page * P, &info);
	return info;
}

/* `nr` pages from `page` on: are they protected (w), writable (-), missing (.)? */
static void assert_ptes(struct mm_struct *mm, u64 page, const char *expected)
{
	for (; *expected; expected++, page++) {
		struct pte_info info = pte_at(mm, page);
		char is = info.state == PTE_NONE ? '.' : info.wp ? 'w' : '-';

		if (is != *expected)
			fail_msg("page %lu is '%c', not '%c'", page, is, *expected);
	}
}

/* An mm with nr_pages written to, after a fork whose child is gone. */
static struct mm_struct *once_forked_mm(u64 nr_pages, u32 cow_around)
{
	struct mm_struct *mm = fake_mm();

	mm->world->config.cow_around = cow_around;
	do_mmap(mm, BASE, nr_pages, RW);
	for (u64 i = 0; i < nr_pages; i++)
		touch_write(mm, BASE + i * P);
	mm_put(do_fork(mm));
	fake_hw.nr_protect = 0;
	return mm;
}

static void assert_protect_call(u64 page, u64 nr_pages)
{
	assert_int_equal(fake_hw.last_addr, BASE + page * P);
	assert_int_equal(fake_hw.last_nr_pages, nr_pages);
	assert_int_equal(fake_hw.last_flags, 0);
}

/* ---- around ---- */

static void test_do_wp_page_lazy_neighbours_stay(void **state)
{
	struct mm_struct *mm = once_forked_mm(4, 1);

	assert_int_equal(touch_write(mm, BASE + P), FAULT_RESOLVED);
	assert_ptes(mm, 0, "w-ww");
	fake_mm_destroy(mm);
}

/*   |0 .. 7|8 .. * .. 15|16 .. 19    blocks of 8 */
static void test_do_wp_page_around_the_block_is_lifted_by_one_call(void **state)
{
	struct mm_struct *mm = once_forked_mm(20, 8);
	struct vm_fault vmf = {
		.address = BASE + 11 * P + 5,
		.flags = FAULT_FLAG_WRITE | FAULT_FLAG_WP,
	};

	assert_int_equal(mm_handle_fault(mm, &vmf), FAULT_RESOLVED);
	assert_int_equal(vmf.handler, FH_DO_WP_PAGE_REUSE);
	assert_int_equal(vmf.nr_mapped, 8);
	assert_int_equal(fake_hw.nr_protect, 1);
	assert_protect_call(8, 8);
	assert_ptes(mm, 0, "wwwwwwww--------wwww");
	assert_int_equal(mm->world->frames.nr_used, 20);
	fake_mm_destroy(mm);
}

/* Blocks of 100 pages: the sixth reaches into the next table of ptes (512), where the run ends. */
static void test_do_wp_page_around_ends_with_the_page_table(void **state)
{
	struct mm_struct *mm = once_forked_mm(600, 100);
	u64 first = BASE / P - BASE / P % 100, begin = first;

	while (begin + 100 <= BASE / P + 511)
		begin += 100;
	touch_write(mm, BASE + 511 * P);
	assert_protect_call(begin - BASE / P, BASE / P + 512 - begin);
	assert_ptes(mm, 511, "-w");
	fake_mm_destroy(mm);
}

/*
 *   page:      0 1 2 3 4 5 6 7
 *   parent:    r s r r * r - r      s: shared with the child; -: not there
 */
static void test_do_wp_page_around_shared_and_missing_pages_end_the_run(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;

	mm->world->config.cow_around = 8;
	do_mmap(mm, BASE, 8, RW);
	for (int i = 0; i < 8; i++)
		if (i != 6)
			touch_write(mm, BASE + i * P);
	child = do_fork(mm);
	mm->world->config.cow_around = 1;
	for (int i = 0; i < 8; i++)
		if (i != 1 && i != 4 && i != 6)
			touch_write(child, BASE + i * P);
	mm->world->config.cow_around = 8;
	assert_ptes(mm, 0, "wwwwww.w");
	touch_write(mm, BASE + 4 * P); /* itself shared: a copy, and what is next to it */
	assert_protect_call(2, 4);
	assert_ptes(mm, 0, "ww----.w");
	assert_ptes(child, 0, "-w--w-.-");
	assert_int_not_equal(pte_at(mm, 4).pfn, pte_at(child, 4).pfn);
	assert_int_equal(pte_at(mm, 1).pfn, pte_at(child, 1).pfn);
	mm_world_verify(mm->world);
	mm_put(child);
	fake_mm_destroy(mm);
}

/* A page on its way out is protected so that its bytes stay; one that was MADV_FREE'd may be gone. */
static void test_do_wp_page_around_busy_zero_and_lazyfree_pages_end_the_run(void **state)
{
	struct mm_struct *mm = once_forked_mm(4, 8);
	struct frame *busy = pfn_to_frame(mm->world, (u32)pte_at(mm, 0).pfn);

	do_madvise(mm, BASE + 2 * P, 1, MADV_FREE);
	frame_set_state(busy, FRAME_BUSY);
	touch_write(mm, BASE + P);
	assert_protect_call(1, 1);
	frame_set_state(busy, FRAME_RESIDENT);
	do_unmap(mm, BASE, 1);
	do_mmap(mm, BASE, 1, RW);
	touch_read(mm, BASE); /* the zero page */
	mm_mark_wp(mm, range_of(BASE, 2 * P));
	touch_write(mm, BASE + P);
	assert_protect_call(1, 1);
	assert_ptes(mm, 0, "w-ww");
	fake_mm_destroy(mm);
}

/* The model's vma is two of the machine's: ENOENT for the block, and then the page alone. */
static void test_do_wp_page_around_machine_refuses_the_block_lifts_the_page(void **state)
{
	struct mm_struct *mm = once_forked_mm(8, 8);

	fake_hw.refuse = -ENOENT;
	assert_int_equal(touch_write(mm, BASE + 3 * P), FAULT_RESOLVED);
	assert_int_equal(fake_hw.nr_protect, 2);
	assert_protect_call(3, 1);
	assert_ptes(mm, 0, "www-wwww");
	fake_mm_destroy(mm);
}

static void test_do_wp_page_around_machine_says_again_nothing_changes(void **state)
{
	struct mm_struct *mm = once_forked_mm(8, 8);

	fake_hw.refuse = -EAGAIN;
	assert_int_equal(touch_write(mm, BASE + 3 * P), FAULT_RETRY);
	assert_ptes(mm, 0, "wwwwwwww");
	fake_mm_destroy(mm);
}

/* The kernel does not hold it as this mapping's own until it is written to: MOVE would refuse it. */
static void test_isolate_page_lifted_without_a_write_is_to_be_unshared(void **state)
{
	struct mm_struct *mm = once_forked_mm(2, 2);
	struct victim v;

	fake_budget(mm->world, 16, "fifo"); /* takes them in order */
	touch_write(mm, BASE + P);
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), 0);
	assert_int_equal(v.addr, BASE);
	assert_int_equal(v.how, EVICT_UNSHARE);
	mm_putback(mm->world, v.pfn);
	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), 0);
	assert_int_equal(v.addr, BASE + P);
	assert_int_equal(v.how, EVICT_MOVE);
	mm_putback(mm->world, v.pfn);
	mm_set_budget(mm->world, 0);
	mm_set_policy(mm->world, NULL, NULL);
	fake_mm_destroy(mm);
}

/* ---- eager ---- */

/*
 *   page:     0 1   2     3 4 5 (read-only)   6 7
 *             r r   zero  r r r               r .
 */
static struct mm_struct *to_be_separated(struct mm_struct **child)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, BASE, 8, RW);
	for (int i = 0; i < 7; i++)
		if (i != 2)
			touch_write(mm, BASE + i * P);
	touch_read(mm, BASE + 2 * P);
	do_protect(mm, BASE + 5 * P, 1, PROT_READ);
	*child = do_fork(mm);
	return mm;
}

static void assert_run(struct range run, u64 page, u64 nr_pages)
{
	assert_int_equal(run.start, BASE + page * P);
	assert_int_equal(run.end, BASE + (page + nr_pages) * P);
}

static void test_cow_next_shared_names_each_writable_shared_page_once(void **state)
{
	struct mm_struct *child, *mm = to_be_separated(&child);
	struct range run;

	run = mm_cow_next_shared(child, 0);
	assert_run(run, 0, 2);
	run = mm_cow_next_shared(child, run.end);
	assert_run(run, 3, 2);
	run = mm_cow_next_shared(child, run.end);
	assert_run(run, 6, 1);
	run = mm_cow_next_shared(child, run.end);
	assert_true(range_empty(run));
	mm_put(mm); /* nobody shares any more */
	assert_true(range_empty(mm_cow_next_shared(child, 0)));
	fake_mm_destroy(child);
}

static void separate_all(struct mm_struct *child)
{
	struct range run = { 0, 0 };

	while (!range_empty(run = mm_cow_next_shared(child, run.end)))
		assert_int_equal(mm_cow_separate(child, run), 0);
}

static void test_cow_separate_child_and_parent_have_frames_of_their_own(void **state)
{
	struct mm_struct *child, *mm = to_be_separated(&child);

	separate_all(child);
	assert_ptes(child, 0, "--w--w-.");
	assert_ptes(mm, 0, "wwwwwww.");
	assert_int_equal(mm->world->frames.nr_used, 6 + 5);
	for (int i = 0; i < 7; i++) {
		if (i == 2)
			continue;
		assert_int_equal(pte_at(mm, i).mapcount, i == 5 ? 2 : 1);
		assert_int_equal(pte_at(mm, i).pfn == pte_at(child, i).pfn, i == 5);
	}
	mm_world_verify(mm->world);
	mm_cow_reuse(mm);
	assert_ptes(mm, 0, "--w--w-.");
	mm_world_verify(mm->world);
	mm_put(child);
	fake_mm_destroy(mm);
}

/* All is as if the child had written: a second fork shares again, and so on. */
static void test_cow_separate_then_fork_shares_again(void **state)
{
	struct mm_struct *child, *grandchild, *mm = to_be_separated(&child);

	separate_all(child);
	grandchild = do_fork(child);
	assert_int_equal(pte_at(child, 0).pfn, pte_at(grandchild, 0).pfn);
	assert_ptes(child, 0, "wwwwwww.");
	separate_all(grandchild);
	assert_int_equal(mm->world->frames.nr_used, 6 + 5 + 5);
	mm_put(mm);
	mm_put(child);
	fake_mm_destroy(grandchild);
}

static void test_cow_separate_machine_refuses_nothing_changes(void **state)
{
	struct mm_struct *child, *mm = to_be_separated(&child);
	char *before = dump_text(mm->world), *after;

	fake_hw.refuse = -EAGAIN;
	assert_int_equal(mm_cow_separate(child, mm_cow_next_shared(child, 0)), -EAGAIN);
	after = dump_text(mm->world);
	assert_string_equal(before, after);
	fake_hw.refuse = -ENOENT;
	mm_cow_reuse(child); /* nothing is mapped once */
	assert_int_equal(fake_hw.refuse, -ENOENT);
	mm_put(mm);
	mm_cow_reuse(child); /* refused for the first run, not for the others */
	assert_ptes(child, 0, "www--w-.");
	free(before);
	free(after);
	fake_mm_destroy(child);
}

static void test_cow_separate_allocation_fails_at_each_n_nothing_changes(void **state)
{
	struct mm_struct *child, *mm = to_be_separated(&child);
	char *before = dump_text(mm->world);
	int err = -ENOMEM;

	for (u64 n = 1; err; n++) {
		char *after;

		alloc_fail_at(n);
		err = mm_cow_separate(child, mm_cow_next_shared(child, 0));
		if (err) {
			assert_int_equal(err, -ENOMEM);
			after = dump_text(mm->world);
			assert_string_equal(before, after);
			free(after);
		}
	}
	alloc_fail_at(0);
	free(before);
	mm_put(child);
	fake_mm_destroy(mm);
}

/* Half of the room is left to faults; without room all stays lazy. */
static void test_cow_next_shared_budget_leaves_half_of_the_room(void **state)
{
	struct mm_struct *child, *mm = to_be_separated(&child);

	fake_budget(mm->world, 6 + 4, "fifo");
	assert_run(mm_cow_next_shared(child, BASE), 0, 2);
	mm_set_budget(mm->world, 6 + 2);
	assert_run(mm_cow_next_shared(child, BASE), 0, 1);
	mm_set_budget(mm->world, 6 + 1);
	assert_true(range_empty(mm_cow_next_shared(child, BASE)));
	mm_set_budget(mm->world, 0);
	mm_set_policy(mm->world, NULL, NULL);
	mm_put(child);
	fake_mm_destroy(mm);
}

/* A run is never longer than a table of ptes, nor in two vmas. */
static void test_cow_next_shared_runs_end_with_tables_and_vmas(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;
	struct range run;

	do_mmap(mm, BASE, 600, RW);
	for (u64 i = 0; i < 600; i++)
		touch_write(mm, BASE + i * P);
	do_madvise(mm, BASE + 10 * P, 590, MADV_SEQUENTIAL);
	child = do_fork(mm);
	run = mm_cow_next_shared(child, 0);
	assert_run(run, 0, 10);
	run = mm_cow_next_shared(child, run.end);
	assert_run(run, 10, 502);
	run = mm_cow_next_shared(child, run.end);
	assert_run(run, 512, 88);
	mm_put(child);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_do_wp_page_lazy_neighbours_stay),
		cmocka_unit_test(test_do_wp_page_around_the_block_is_lifted_by_one_call),
		cmocka_unit_test(test_do_wp_page_around_ends_with_the_page_table),
		cmocka_unit_test(test_do_wp_page_around_shared_and_missing_pages_end_the_run),
		cmocka_unit_test(test_do_wp_page_around_busy_zero_and_lazyfree_pages_end_the_run),
		cmocka_unit_test(test_do_wp_page_around_machine_refuses_the_block_lifts_the_page),
		cmocka_unit_test(test_do_wp_page_around_machine_says_again_nothing_changes),
		cmocka_unit_test(test_isolate_page_lifted_without_a_write_is_to_be_unshared),
		cmocka_unit_test(test_cow_next_shared_names_each_writable_shared_page_once),
		cmocka_unit_test(test_cow_separate_child_and_parent_have_frames_of_their_own),
		cmocka_unit_test(test_cow_separate_then_fork_shares_again),
		cmocka_unit_test(test_cow_separate_machine_refuses_nothing_changes),
		cmocka_unit_test(test_cow_separate_allocation_fails_at_each_n_nothing_changes),
		cmocka_unit_test(test_cow_next_shared_budget_leaves_half_of_the_room),
		cmocka_unit_test(test_cow_next_shared_runs_end_with_tables_and_vmas),
	};

	return RUN(tests);
}
