/* SPDX-License-Identifier: MIT */
/* get_unmapped_area: where a mapping goes in the layouts of our own, and what the search costs. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "mm/layout.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define GUARD (256 * P)
#define BASE 0x100000000UL /* mmap_base of these tests, but where Linux's own is meant */

static struct mm_struct *mm_with(enum mm_layout_mode mode, u64 mmap_base)
{
	struct mm_config config = {
		.hw = &fake_hw_ops,
		.max_map_count = 100000,
		.stack_guard_gap = GUARD,
		.layout = mode,
	};
	struct mm_struct *mm = mm_alloc(mm_world_create(&config), NULL);

	assert_non_null(mm);
	mm_set_layout(mm, &(struct mm_layout){ .mmap_base = mmap_base });
	return mm;
}

/* As do_mmap(), without its mm_verify(). */
static void add_vma(struct mm_struct *mm, u64 addr, u64 pages, int more_flags)
{
	struct mmap_args a = {
		.addr = addr,
		.len = pages * P,
		.prot = RW,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | more_flags,
	};
	struct mm_plan *plan;

	assert_int_equal(mm_plan_mmap(mm, &a, &plan), 0);
	mm_plan_commit(plan, a.addr);
}

/* A stack of `pages` that ends at `end`. */
static void add_stack(struct mm_struct *mm, u64 end, u64 pages)
{
	add_vma(mm, end - pages * P, pages, MAP_GROWSDOWN);
}

static u64 where(struct mm_struct *mm, u64 hint, u64 pages)
{
	return (u64)mm_get_unmapped_area(mm, hint, pages * P, false);
}

static void test_mmap_base_follows_the_stack_limit_within_bounds(void **state)
{
	/* 128 MiB are kept at least, 5/6 of the address space at most */
	assert_int_equal(mm_mmap_base(MM_LAYOUT_TOPDOWN, 8 << 20, GUARD), 0x7ffff7fff000);
	assert_int_equal(mm_mmap_base(MM_LAYOUT_TOPDOWN, 1UL << 30, GUARD),
			 TASK_SIZE - (1UL << 30) - GUARD);
	assert_int_equal(mm_mmap_base(MM_LAYOUT_TOPDOWN, UINT64_MAX, GUARD),
			 page_align_down(TASK_SIZE - TASK_SIZE / 6 * 5));
	assert_int_equal(mm_mmap_base(MM_LAYOUT_BOTTOMUP, 8 << 20, GUARD), 0x2aaaaaaab000);
}

/*
 *   BASE-8      -6  -5        -3  -2  -1   BASE
 *      |         |aa|          |bb|bb| .. |          1 page free, 2 free, the rest
 */
static void two_blocks(struct mm_struct *mm)
{
	do_mmap(mm, BASE - 6 * P, 1, RW);
	do_mmap(mm, BASE - 3 * P, 2, PROT_READ);
}

static void test_topdown_takes_the_highest_gap_that_fits(void **state)
{
	struct mm_struct *mm = mm_with(MM_LAYOUT_TOPDOWN, BASE);

	assert_int_equal(where(mm, 0, 3), BASE - 3 * P);
	two_blocks(mm);
	assert_int_equal(where(mm, 0, 1), BASE - 1 * P);
	assert_int_equal(where(mm, 0, 2), BASE - 5 * P);
	assert_int_equal(where(mm, 0, 3), BASE - 9 * P);
	fake_mm_destroy(mm);
}

/*   BASE  +1  +2  +3      +5  +6
 *    |aaaa|...|bbb|.......|cccc|....  */
static void test_bottomup_takes_the_lowest_gap_that_fits(void **state)
{
	struct mm_struct *mm = mm_with(MM_LAYOUT_BOTTOMUP, BASE);

	assert_int_equal(where(mm, 0, 3), BASE);
	do_mmap(mm, BASE, 1, RW);
	do_mmap(mm, BASE + 2 * P, 1, RW);
	do_mmap(mm, BASE + 5 * P, 1, RW);
	assert_int_equal(where(mm, 0, 1), BASE + 1 * P);
	assert_int_equal(where(mm, 0, 2), BASE + 3 * P);
	assert_int_equal(where(mm, 0, 3), BASE + 6 * P);
	fake_mm_destroy(mm);
}

/*   [PAGE_SIZE ............. BASE) full,  nothing above: only then above the base */
static void test_topdown_full_below_the_base_goes_above_it(void **state)
{
	struct mm_struct *mm = mm_with(MM_LAYOUT_TOPDOWN, BASE);

	do_mmap(mm, 2 * P, BASE / P - 2, RW);
	assert_int_equal(where(mm, 0, 1), P);
	assert_int_equal(where(mm, 0, 2), page_align_up(TASK_SIZE / 3));
	fake_mm_destroy(mm);
}

/*   |--a--|<- 3 pages ->|<- guard gap ->|stack|  */
static void test_guard_gap_below_a_stack_stays_free(void **state)
{
	struct mm_struct *mm = mm_with(MM_LAYOUT_BOTTOMUP, BASE);

	do_mmap(mm, BASE, 1, RW);
	add_stack(mm, BASE + 5 * P + GUARD, 1);
	mm_verify(mm);
	assert_int_equal(where(mm, 0, 3), BASE + P);
	assert_int_equal(where(mm, 0, 4), BASE + 5 * P + GUARD);
	assert_int_equal(where(mm, BASE + 2 * P, 2), BASE + 2 * P);
	assert_int_equal(where(mm, BASE + 2 * P, 3), BASE + P); /* the wish reaches into the gap */
	fake_mm_destroy(mm);
}

static void test_hint_is_taken_rounded_down_when_free(void **state)
{
	struct mm_struct *mm = mm_with(MM_LAYOUT_TOPDOWN, BASE);

	two_blocks(mm);
	assert_int_equal(where(mm, 0x200000, 5), 0x200000);
	assert_int_equal(where(mm, 0x200abc, 5), 0x200000);
	assert_int_equal(where(mm, BASE - 7 * P, 1), BASE - 7 * P);
	assert_int_equal(where(mm, BASE - 7 * P, 2), BASE - 5 * P);
	assert_int_equal(where(mm, BASE + 77 * P, 2), BASE + 77 * P); /* also above the base */
	assert_int_equal(where(mm, TASK_SIZE - P, 2), BASE - 5 * P);
	fake_mm_destroy(mm);
}

static void test_map_32bit_stays_in_the_second_gib(void **state)
{
	struct mm_struct *mm = mm_with(MM_LAYOUT_TOPDOWN, BASE);

	assert_int_equal(mm_get_unmapped_area(mm, 0, P, true), 0x40000000);
	assert_int_equal(mm_get_unmapped_area(mm, 0x50000000, P, true), 0x50000000);
	assert_int_equal(mm_get_unmapped_area(mm, BASE, P, true), 0x40000000);
	assert_int_equal(mm_get_unmapped_area(mm, 0, 0x40000000, true), 0x40000000);
	do_mmap(mm, 0x60000000, 1, RW);
	assert_int_equal(mm_get_unmapped_area(mm, 0, 0x40000000, true), -ENOMEM);
	assert_int_equal(mm_get_unmapped_area(mm, 0, 0x80000000, true), -ENOMEM);
	fake_mm_destroy(mm);
}

static void test_no_room_and_odd_lengths_are_enomem(void **state)
{
	struct mm_struct *mm = mm_with(MM_LAYOUT_TOPDOWN, BASE);

	assert_int_equal(mm_get_unmapped_area(mm, 0, 0, false), -ENOMEM);
	assert_int_equal(mm_get_unmapped_area(mm, 0, UINT64_MAX, false), -ENOMEM);
	assert_int_equal(mm_get_unmapped_area(mm, 0, UINT64_MAX - P, false), -ENOMEM);
	assert_int_equal(mm_get_unmapped_area(mm, 0, TASK_SIZE, false), -ENOMEM);
	fake_mm_destroy(mm);
}

/*   |--a--|--b--|.......|c|   a can only move, b can grow where it is, as far as c */
static void test_remap_area_only_where_the_mapping_must_move(void **state)
{
	const int may = MREMAP_MAYMOVE;
	struct mm_struct *mm = mm_with(MM_LAYOUT_TOPDOWN, BASE);
	u64 a = BASE - 32 * P, b = a + 2 * P;

	do_mmap(mm, a, 2, RW);
	do_mmap(mm, b, 2, PROT_READ);
	do_mmap(mm, BASE - 8 * P, 1, PROT_READ);
	assert_int_equal(mm_get_remap_area(mm, a, 2 * P, 4 * P, may, 0), BASE - 4 * P);
	assert_int_equal(mm_get_remap_area(mm, b, 2 * P, 4 * P, may, 0), -EEXIST);
	assert_int_equal(mm_get_remap_area(mm, b, 2 * P, 64 * P, may, 0), BASE - 96 * P);
	assert_int_equal(mm_get_remap_area(mm, a, 2 * P, 1 * P, may, 0), -EEXIST);
	assert_int_equal(mm_get_remap_area(mm, a, 2 * P, 4 * P, 0, 0), -EEXIST);
	assert_int_equal(mm_get_remap_area(mm, a, 2 * P, 4 * P, may | MREMAP_FIXED, P), -EEXIST);
	assert_int_equal(mm_get_remap_area(mm, a, 3 * P, 4 * P, may, 0), -EEXIST); /* EFAULT */
	assert_int_equal(mm_get_remap_area(mm, a, 2 * P, 2 * P, may | 4 /* DONTUNMAP */, 8 * P), 8 * P);
	fake_mm_destroy(mm);
}

/* ---- against a search that looks at every gap ---- */

static s64 naive(struct mm_struct *mm, const struct vm_unmapped_area_info *info)
{
	s64 found = -ENOMEM;

	for (u64 a = info->low_limit; a + info->length <= info->high_limit; a += P) {
		const struct vm_area_struct *vma = find_vma(mm, a);

		if (vma && vma->vm_start < a + info->length + (vma->vm_flags & VM_GROWSDOWN ? GUARD : 0))
			continue;
		if (!info->topdown)
			return (s64)a;
		found = (s64)a;
	}
	return found;
}

#define NR_SLOTS 24

/* Each third slot of a few pages may hold a mapping, now and then a stack. */
static void random_world(struct mm_struct *mm, u64 *seed)
{
	u64 at = BASE;

	for (int i = 0; i < NR_SLOTS; i++) {
		u64 pages = 1 + next_random(seed, 4);

		at += next_random(seed, 5) * P;
		if (next_random(seed, 8) == 0)
			add_stack(mm, at + pages * P, pages);
		else
			do_mmap(mm, at, pages, next_random(seed, 2) ? RW : PROT_READ);
		at += pages * P;
	}
}

static void test_vm_unmapped_area_equals_naive_search(void **state)
{
	u64 seed = 7;

	for (int world = 0; world < 60; world++) {
		struct mm_struct *mm = mm_with(MM_LAYOUT_TOPDOWN, BASE);

		random_world(mm, &seed);
		mm_verify(mm);
		for (int i = 0; i < 200; i++) {
			struct vm_unmapped_area_info info = {
				.topdown = next_random(&seed, 2),
				.length = (1 + next_random(&seed, 7)) * P,
				.low_limit = BASE + next_random(&seed, 60) * P,
			};

			info.high_limit = info.low_limit + next_random(&seed, 120) * P;
			if (vm_unmapped_area(mm, &info) != naive(mm, &info))
				fail_msg("world %d, search %d: %lx, naive %lx", world, i,
					 vm_unmapped_area(mm, &info), naive(mm, &info));
		}
		fake_mm_destroy(mm);
	}
}

#define NR_MANY 60000

/*   |a|.|a|..|a|.|a|..|a| …   gaps of one and of two pages by turns; one of five in the middle */
static void test_vm_unmapped_area_steps_are_logarithmic_at_60000_vmas(void **state)
{
	struct mm_struct *mm = mm_with(MM_LAYOUT_TOPDOWN, BASE);
	u64 at = 16 * P, middle = 0;
	u32 most = 0;

	for (int i = 0; i < NR_MANY; i++) {
		add_vma(mm, at, 1, 0);
		if (i == NR_MANY / 2)
			middle = at + P;
		at += (i == NR_MANY / 2 ? 6 : 2 + i % 2) * P;
	}
	assert_int_equal(mm_map_count(mm), NR_MANY);
	for (u64 pages = 1; pages <= 6; pages++) {
		for (u64 cut = 0; cut < 64; cut++) {
			for (int topdown = 0; topdown < 2; topdown++) {
				struct vm_unmapped_area_info info = {
					.topdown = topdown,
					.length = pages * P,
					.low_limit = 16 * P + (topdown ? 0 : cut * 2003 * P),
					.high_limit = topdown ? at - cut * 2003 * P : at,
				};
				s64 found = vm_unmapped_area(mm, &info);

				most = info.steps > most ? info.steps : most;
				if (pages == 5 && info.low_limit <= middle &&
				    info.high_limit >= middle + 5 * P)
					assert_int_equal(found, middle);
				if (pages == 6)
					assert_int_equal(found, -ENOMEM);
			}
		}
	}
	/* a path down for each limit: 2 * 2 log2(60000) = 64 */
	assert_in_range(most, 10, 64);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mmap_base_follows_the_stack_limit_within_bounds),
		cmocka_unit_test(test_topdown_takes_the_highest_gap_that_fits),
		cmocka_unit_test(test_bottomup_takes_the_lowest_gap_that_fits),
		cmocka_unit_test(test_topdown_full_below_the_base_goes_above_it),
		cmocka_unit_test(test_guard_gap_below_a_stack_stays_free),
		cmocka_unit_test(test_hint_is_taken_rounded_down_when_free),
		cmocka_unit_test(test_map_32bit_stays_in_the_second_gib),
		cmocka_unit_test(test_no_room_and_odd_lengths_are_enomem),
		cmocka_unit_test(test_remap_area_only_where_the_mapping_must_move),
		cmocka_unit_test(test_vm_unmapped_area_equals_naive_search),
		cmocka_unit_test(test_vm_unmapped_area_steps_are_logarithmic_at_60000_vmas),
	};

	return RUN(tests);
}
