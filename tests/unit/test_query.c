/* SPDX-License-Identifier: MIT */
/* What upager maps and the audit ask of the model: counters, a vma's pages and rmap, the saved auxv. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "mm/mm_query.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x100000UL

/*   page:  0-2 written   3 read   4-7 untouched;   then a fork, and the child writes page 0 */
static void test_vma_usage_after_fork_counts_shared_and_wp(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;
	struct vma_usage u;

	do_mmap(mm, BASE, 8, RW);
	assert_true(mm_vma_usage(mm, 0, &u));
	assert_int_equal(u.anon_vma, 0);
	for (int i = 0; i < 3; i++)
		touch_write(mm, BASE + i * P);
	touch_read(mm, BASE + 3 * P);
	child = do_fork(mm);
	touch_write(child, BASE);
	assert_true(mm_vma_usage(mm, BASE, &u));
	assert_int_equal(u.nr_present, 3);
	assert_int_equal(u.nr_shared, 2);
	assert_int_equal(u.nr_zero, 1);
	assert_int_equal(u.nr_wp, 4);
	assert_int_not_equal(u.anon_vma, 0);
	assert_int_equal(u.nr_ancestors, 1);
	assert_int_equal(u.nr_reached, 2);
	assert_true(mm_vma_usage(child, BASE, &u));
	assert_int_equal(u.nr_shared, 2);
	assert_int_equal(u.nr_wp, 3);
	assert_int_equal(u.nr_ancestors, 2);
	assert_int_equal(u.nr_reached, 1);
	assert_false(mm_vma_usage(mm, BASE + 8 * P, &u));
	mm_put(child);
	fake_mm_destroy(mm);
}

static void test_get_counters_equal_the_mm(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct mm_counters c;

	do_mmap(mm, BASE, 8, RW);
	do_mmap(mm, BASE + 16 * P, 4, PROT_READ);
	touch_write(mm, BASE);
	touch_read(mm, BASE + P);
	mm_get(mm);
	mm_get_counters(mm, &c);
	assert_int_equal(c.mm_users, 2);
	assert_int_equal(c.mm_count, 1);
	assert_int_equal(c.map_count, 2);
	assert_int_equal(c.total_vm, 12);
	assert_int_equal(c.data_vm, 8);
	assert_int_equal(c.anon_rss, 1);
	assert_int_equal(c.zero_ptes, 1);
	assert_int_equal(c.hiwater_vm, 12);
	mm_put(mm);
	fake_mm_destroy(mm);
}

/* Two places at once, while mremap moves, are no peak (Linux: move_vma). */
static void test_mremap_move_leaves_hiwater_vm(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct mm_plan *plan;
	struct mm_counters c;

	do_mmap(mm, BASE, 8, RW);
	assert_int_equal(mm_plan_mremap(mm, BASE, 8 * P, 8 * P, MREMAP_MAYMOVE | MREMAP_FIXED,
					BASE + 32 * P, &plan), 0);
	mm_plan_commit(plan, BASE + 32 * P);
	mm_get_counters(mm, &c);
	assert_int_equal(c.total_vm, 8);
	assert_int_equal(c.hiwater_vm, 8);
	fake_mm_destroy(mm);
}

static void test_auxv_is_inherited_and_cut_to_its_room(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;
	u64 auxv[MM_AUXV_MAX + 10];
	const u64 *got;
	size_t nr;

	for (size_t i = 0; i < ARRAY_SIZE(auxv); i++)
		auxv[i] = i * 3;
	(void)mm_auxv(mm, &nr);
	assert_int_equal(nr, 0);
	mm_set_auxv(mm, auxv, ARRAY_SIZE(auxv));
	child = do_fork(mm);
	got = mm_auxv(child, &nr);
	assert_int_equal(nr, MM_AUXV_MAX);
	assert_memory_equal(got, auxv, sizeof(u64) * MM_AUXV_MAX);
	mm_put(child);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vma_usage_after_fork_counts_shared_and_wp),
		cmocka_unit_test(test_get_counters_equal_the_mm),
		cmocka_unit_test(test_mremap_move_leaves_hiwater_vm),
		cmocka_unit_test(test_auxv_is_inherited_and_cut_to_its_room),
	};

	return RUN(tests);
}
