/* SPDX-License-Identifier: MIT */
/*
 * merging of vmas, after the cases of Linux's tools/testing/vma/tests/merge.c: each step draws the
 * layout before it, one column a page; '*' is what is made or changed.
 */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define R PROT_READ
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x100000UL
#define AT(page) (BASE + (page) * P)

static void touch(struct mm_struct *mm, u64 page)
{
	assert_int_equal(touch_write(mm, AT(page)), FAULT_RESOLVED);
}

/* The vma that starts at page `start` ends at page `end`. */
static struct vm_area_struct *expect_vma(struct mm_struct *mm, u64 start, u64 end)
{
	struct vm_area_struct *vma = vma_lookup(mm, AT(start));

	assert_non_null(vma);
	assert_int_equal((vma->vm_start - BASE) / P, start);
	assert_int_equal((vma->vm_end - BASE) / P, end);
	return vma;
}

static void test_merge_new_range_both_prev_next_and_none(void **state)
{
	struct mm_struct *mm = fake_mm();

	/* 0123456789abc
	 * AA B       CC   */
	do_mmap(mm, AT(0), 2, RW);
	do_mmap(mm, AT(3), 1, RW);
	do_mmap(mm, AT(0xb), 2, RW);
	assert_int_equal(mm_map_count(mm), 3);

	/* AA B   **  CC   merges with nobody */
	do_mmap(mm, AT(7), 2, RW);
	assert_int_equal(mm_map_count(mm), 4);

	/* AA*B   DD  CC   both sides; B had an anon_vma, A takes it over */
	touch(mm, 3);
	do_mmap(mm, AT(2), 1, RW);
	assert_int_equal(mm_map_count(mm), 3);
	assert_non_null(expect_vma(mm, 0, 4)->anon_vma);

	/* AAAA*  DD  CC   previous */
	do_mmap(mm, AT(4), 1, RW);
	expect_vma(mm, 0, 5);

	/* AAAAA *DD  CC   next */
	do_mmap(mm, AT(6), 1, RW);
	expect_vma(mm, 6, 9);
	assert_int_equal(expect_vma(mm, 6, 9)->vm_pgoff, AT(6) >> PAGE_SHIFT);

	/* AAAAA*DDD  CC   both */
	do_mmap(mm, AT(5), 1, RW);
	expect_vma(mm, 0, 9);

	/* AAAAAAAAA**CC   both, closing the last gap */
	do_mmap(mm, AT(9), 2, RW);
	expect_vma(mm, 0, 0xd);
	assert_int_equal(mm_map_count(mm), 1);
	fake_mm_destroy(mm);
}

/*  AAA*   would merge but for one of the VM_SPECIAL flags */
static void test_merge_special_flags_never(void **state)
{
	static const u64 special[] = { VM_IO, VM_DONTEXPAND, VM_PFNMAP, VM_MIXEDMAP };
	u64 all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		struct mm_struct *mm = fake_mm();
		struct vma_desc d[2] = {
			{ .start = AT(0), .end = AT(3), .vm_flags = VM_READ | special[i],
			  .pgoff = 0 },
			{ .start = AT(3), .end = AT(4), .vm_flags = VM_READ | special[i],
			  .pgoff = 3 },
		};

		all |= special[i];
		assert_int_equal(mm_reconcile(mm, d, 2), 0);
		assert_int_equal(mm_map_count(mm), 2);
		fake_mm_destroy(mm);
	}
	assert_int_equal(all, VM_SPECIAL);
}

/*  Any other flag bit keeps apart what differs in it, and softdirty does not. */
static void test_merge_each_flag_difference_keeps_apart(void **state)
{
	for (int bit = 0; bit < 32; bit++) {
		u64 f = VM_READ | VM_MAYREAD, flag = 1UL << bit;
		struct mm_struct *mm = fake_mm();
		struct vma_desc d[2] = {
			{ .start = AT(0), .end = AT(3), .vm_flags = f, .pgoff = 0 },
			{ .start = AT(3), .end = AT(4), .vm_flags = f ^ flag, .pgoff = 3 },
		};

		if (flag == VM_MAYREAD) { /* seeding replaces a lack of all MAY bits */
			fake_mm_destroy(mm);
			continue;
		}
		assert_int_equal(mm_reconcile(mm, d, 2), 0);
		mm_verify(mm);
		assert_int_equal(mm_map_count(mm), flag == VM_SOFTDIRTY ? 1 : 2);
		fake_mm_destroy(mm);
	}
}

static void test_merge_pgoff_must_continue(void **state)
{
	static const struct {
		u64 pgoff;
		int count;
	} row[] = { { 12, 2 }, { 13, 1 }, { 14, 2 } };

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct mm_struct *mm = fake_mm();
		struct vm_file *f = vm_file_get(mm->world, (struct vm_file_id){ 1, 2 }, "f");
		struct vma_desc d[2] = {
			{ .start = AT(0), .end = AT(3), .vm_flags = VM_READ | VM_UNMANAGED,
			  .pgoff = 10, .file = f },
			{ .start = AT(3), .end = AT(5), .vm_flags = VM_READ | VM_UNMANAGED,
			  .pgoff = row[i].pgoff, .file = f },
		};

		assert_int_equal(mm_reconcile(mm, d, 2), 0);
		assert_int_equal(mm_map_count(mm), row[i].count);
		vm_file_put(f);
		fake_mm_destroy(mm);
	}
}

/* Unmanaged memory without a file merges whatever its offset, but never with managed memory. */
static void test_merge_unmanaged_without_file_ignores_pgoff(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vma_desc d[3] = {
		{ .start = AT(0), .end = AT(3), .vm_flags = VM_READ | VM_UNMANAGED, .pgoff = 0 },
		{ .start = AT(3), .end = AT(5), .vm_flags = VM_READ | VM_UNMANAGED, .pgoff = 77 },
		{ .start = AT(5), .end = AT(6), .vm_flags = VM_READ, .pgoff = 79 },
	};

	assert_int_equal(mm_reconcile(mm, d, 3), 0);
	expect_vma(mm, 0, 5);
	expect_vma(mm, 5, 6);
	fake_mm_destroy(mm);
}

/* ---- changing part of a vma: the eight shapes of vma_merge_existing_range ---- */

/* PPVVVVNN: P and N are readable, V is writable; protect(start, end) makes part of V readable. */
static struct mm_struct *p_v_n(void)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 8, R);
	do_protect(mm, AT(2), 4, RW);
	assert_int_equal(mm_map_count(mm), 3);
	return mm;
}

static void test_merge_existing_whole_middle_joins_both(void **state)
{
	struct mm_struct *mm = p_v_n();

	do_protect(mm, AT(2), 4, R);
	expect_vma(mm, 0, 8);
	fake_mm_destroy(mm);
}

static void test_merge_existing_left_part_shifts_border_right(void **state)
{
	struct mm_struct *mm = p_v_n();

	do_protect(mm, AT(2), 1, R);
	expect_vma(mm, 0, 3);
	assert_int_equal(expect_vma(mm, 3, 6)->vm_pgoff, AT(3) >> PAGE_SHIFT);
	expect_vma(mm, 6, 8);
	fake_mm_destroy(mm);
}

static void test_merge_existing_right_part_shifts_border_left(void **state)
{
	struct mm_struct *mm = p_v_n();

	do_protect(mm, AT(4), 2, R);
	expect_vma(mm, 0, 2);
	expect_vma(mm, 2, 4);
	assert_int_equal(expect_vma(mm, 4, 8)->vm_pgoff, AT(4) >> PAGE_SHIFT);
	fake_mm_destroy(mm);
}

static void test_merge_existing_inner_part_splits_in_three(void **state)
{
	struct mm_struct *mm = p_v_n();

	do_protect(mm, AT(3), 2, R);
	assert_int_equal(mm_map_count(mm), 5);
	expect_vma(mm, 2, 3);
	expect_vma(mm, 3, 5);
	expect_vma(mm, 5, 6);
	fake_mm_destroy(mm);
}

static void test_merge_existing_only_left_neighbour_fits(void **state)
{
	struct mm_struct *mm = p_v_n();

	do_protect(mm, AT(6), 2, PROT_NONE);
	do_protect(mm, AT(2), 4, R);
	expect_vma(mm, 0, 6);
	expect_vma(mm, 6, 8);
	fake_mm_destroy(mm);
}

static void test_merge_existing_only_right_neighbour_fits(void **state)
{
	struct mm_struct *mm = p_v_n();

	do_protect(mm, AT(0), 2, PROT_NONE);
	do_protect(mm, AT(2), 4, R);
	expect_vma(mm, 0, 2);
	expect_vma(mm, 2, 8);
	fake_mm_destroy(mm);
}

/* ---- anon_vmas: who may merge with whom ---- */

/*
 * prev, middle, next: none or an anon_vma of their own.  They were touched while unlike, so two that have
 * one have different ones.  Merging needs "one of us has none"; both sides at once need prev and
 * next to agree as well.
 */
static void test_merge_existing_anon_vma_combinations(void **state)
{
	for (int mask = 0; mask < 8; mask++) {
		bool p = mask & 1, m = mask & 2, n = mask & 4;
		struct mm_struct *mm = fake_mm();
		bool left = !(p && m), right = !(m && n);

		do_mmap(mm, AT(0), 2, RW);
		do_mmap(mm, AT(2), 2, RW);
		do_mmap(mm, AT(4), 2, RW);
		do_madvise(mm, AT(0), 2, MADV_DONTFORK);
		do_madvise(mm, AT(4), 2, MADV_DONTFORK);
		assert_int_equal(mm_map_count(mm), 3);
		if (p)
			touch(mm, 0);
		if (m)
			touch(mm, 2);
		if (n)
			touch(mm, 4);
		do_madvise(mm, AT(2), 2, MADV_DONTFORK);
		if (left && right && p && n)
			right = false; /* prev and next have different ones */
		assert_int_equal(mm_map_count(mm), 3 - left - right);
		mm_verify(mm);
		for (u64 page = 0; page < 6; page++)
			touch_write(mm, AT(page));
		fake_mm_destroy(mm);
	}
}

/* A vma whose chain has an ancestor's anon_vma (after fork) merges with no untouched one. */
static void test_merge_new_range_beside_forked_vma_stays_apart(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;

	do_mmap(mm, AT(0), 2, RW);
	touch(mm, 0);
	child = do_fork(mm);
	do_mmap(child, AT(2), 2, RW);
	assert_int_equal(mm_map_count(child), 2);
	do_mmap(mm, AT(2), 2, RW); /* the parent's chain is its own alone */
	assert_int_equal(mm_map_count(mm), 1);
	mm_put(child);
	fake_mm_destroy(mm);
}

/*  A neighbour that differs only in access shares its anon_vma, so mprotect can join them later. */
static void test_anon_vma_prepare_neighbour_with_other_access_is_reused(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 2, RW);
	touch(mm, 0);
	do_mmap(mm, AT(2), 2, RW | PROT_EXEC);
	touch(mm, 2);
	assert_ptr_equal(expect_vma(mm, 0, 2)->anon_vma, expect_vma(mm, 2, 4)->anon_vma);
	assert_int_equal(expect_vma(mm, 0, 2)->anon_vma->num_active_vmas, 2);
	do_protect(mm, AT(2), 2, RW);
	expect_vma(mm, 0, 4);
	fake_mm_destroy(mm);
}

static void test_anon_vma_prepare_neighbour_with_other_flags_is_not_reused(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 4, RW);
	do_madvise(mm, AT(2), 2, MADV_DONTFORK);
	touch(mm, 0);
	touch(mm, 2);
	assert_ptr_not_equal(expect_vma(mm, 0, 2)->anon_vma, expect_vma(mm, 2, 4)->anon_vma);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge_new_range_both_prev_next_and_none),
		cmocka_unit_test(test_merge_special_flags_never),
		cmocka_unit_test(test_merge_each_flag_difference_keeps_apart),
		cmocka_unit_test(test_merge_pgoff_must_continue),
		cmocka_unit_test(test_merge_unmanaged_without_file_ignores_pgoff),
		cmocka_unit_test(test_merge_existing_whole_middle_joins_both),
		cmocka_unit_test(test_merge_existing_left_part_shifts_border_right),
		cmocka_unit_test(test_merge_existing_right_part_shifts_border_left),
		cmocka_unit_test(test_merge_existing_inner_part_splits_in_three),
		cmocka_unit_test(test_merge_existing_only_left_neighbour_fits),
		cmocka_unit_test(test_merge_existing_only_right_neighbour_fits),
		cmocka_unit_test(test_merge_existing_anon_vma_combinations),
		cmocka_unit_test(test_merge_new_range_beside_forked_vma_stays_apart),
		cmocka_unit_test(test_anon_vma_prepare_neighbour_with_other_access_is_reused),
		cmocka_unit_test(test_anon_vma_prepare_neighbour_with_other_flags_is_not_reused),
	};

	return RUN(tests);
}
