/* SPDX-License-Identifier: MIT */
/* page tables: set and find, next, walk, freed when empty, moved with a constant reserve. */
#include "fake_hw.h"
#include "unit.h"

#define TABLES(mm) ((mm)->pgtables_bytes / PAGE_SIZE)

/* Far apart: each needs tables of its own at every level below the root. */
static const u64 far_apart[] = {
	0, PMD_SIZE - PAGE_SIZE, PMD_SIZE, 1UL << 30, 1UL << 39, 5UL << 39 | 7UL << 30 | 3 * PMD_SIZE,
	TASK_SIZE - PAGE_SIZE,
};

static void set_zero(struct mm_struct *mm, u64 addr)
{
	struct pte_ref ref = pte_alloc(mm, addr);

	assert_non_null(ref.table);
	pte_set(mm, ref, mk_pte_zero(true));
}

static void clear(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	u64 *nr = arg;

	(*nr)++;
	pte_set(mm, ref, (pte_t){ 0 });
}

static void test_pte_set_far_apart_found_and_next_in_order(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct range all = { 0, TASK_SIZE };
	u64 nr = 0;
	pte_t pte;

	for (size_t i = ARRAY_SIZE(far_apart); i-- > 0;)
		set_zero(mm, far_apart[i]);
	for (size_t i = 0; i < ARRAY_SIZE(far_apart); i++) {
		assert_true(pte_zero(pte_lookup(mm, far_apart[i])));
		assert_int_equal(pte_next(mm, all, &pte), far_apart[i]);
		assert_true(pte_zero(pte));
		all.start = far_apart[i] + PAGE_SIZE;
	}
	assert_int_equal(pte_next(mm, all, &pte), all.end);
	assert_int_equal(mm->nr_zero_ptes, ARRAY_SIZE(far_apart));
	assert_int_equal(pgtable_count(mm), TABLES(mm));
	pte_walk(mm, (struct range){ 0, TASK_SIZE }, clear, &nr, NULL);
	assert_int_equal(nr, ARRAY_SIZE(far_apart));
	assert_int_equal(TABLES(mm), 1); /* the root alone */
	fake_mm_destroy(mm);
}

static void test_pte_walk_range_leaves_neighbours(void **state)
{
	struct mm_struct *mm = fake_mm();
	u64 base = PMD_SIZE - 2 * PAGE_SIZE, nr = 0;

	for (int i = 0; i < 4; i++) /* two in each of two tables */
		set_zero(mm, base + i * PAGE_SIZE);
	assert_int_equal(TABLES(mm), 5);
	pte_walk(mm, range_of(base + PAGE_SIZE, 3 * PAGE_SIZE), clear, &nr, NULL);
	assert_int_equal(nr, 3);
	assert_true(pte_zero(pte_lookup(mm, base)));
	assert_int_equal(TABLES(mm), 4);
	pte_walk(mm, range_of(base, PAGE_SIZE), clear, &nr, NULL);
	assert_int_equal(TABLES(mm), 1);
	fake_mm_destroy(mm);
}

static void test_pte_alloc_failing_at_each_level_leaves_no_table(void **state)
{
	struct mm_struct *mm = fake_mm();
	int failures = 0;

	for (u64 n = 1;; n++) {
		struct pte_ref ref;

		alloc_fail_at(n);
		ref = pte_alloc(mm, 0x123456789000);
		if (alloc_fail_pending()) {
			alloc_fail_at(0);
			break;
		}
		failures++;
		assert_null(ref.table);
		assert_int_equal(TABLES(mm), 1);
	}
	assert_int_equal(failures, 3);
	pgtable_trim(mm, 0x123456789000);
	assert_int_equal(TABLES(mm), 1);
	fake_mm_destroy(mm);
}

/*
 * 3 GiB with a pte in every second table and all ptes around the ends, moved by an odd distance: the
 * reserve's few tables must do, since emptied ones are used again.
 */
static void test_move_page_tables_long_range_needs_constant_reserve(void **state)
{
	struct mm_struct *mm = fake_mm();
	u64 old = 7 * PMD_SIZE + 5 * PAGE_SIZE, len = 3UL << 30, new = (9UL << 39) - 3 * PAGE_SIZE;
	struct mm_reserve res;
	u64 nr = 0, moved = 0;

	set_zero(mm, old - PAGE_SIZE); /* keeps the first table alive */
	set_zero(mm, old + len);
	for (u64 at = 0; at < len; at += 2 * PMD_SIZE - PAGE_SIZE, nr++)
		set_zero(mm, old + at);
	set_zero(mm, old + len - PAGE_SIZE);
	nr++;

	reserve_init(&res, mm->world);
	assert_int_equal(reserve_fill(&res, (struct reserve_need){ .tables = MOVE_TABLES }), 0);
	move_page_tables(mm, old, new, len, &res);
	reserve_release(&res);
	assert_int_equal(pgtable_count(mm), TABLES(mm));
	pte_walk(mm, range_of(new, len), clear, &moved, NULL);
	assert_int_equal(moved, nr);
	assert_int_equal(mm->nr_zero_ptes, 2);
	pte_walk(mm, (struct range){ 0, TASK_SIZE }, clear, &moved, NULL);
	assert_int_equal(moved, nr + 2);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pte_set_far_apart_found_and_next_in_order),
		cmocka_unit_test(test_pte_walk_range_leaves_neighbours),
		cmocka_unit_test(test_pte_alloc_failing_at_each_level_leaves_no_table),
		cmocka_unit_test(test_move_page_tables_long_range_needs_constant_reserve),
	};

	return RUN(tests);
}
