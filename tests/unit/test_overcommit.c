/* SPDX-License-Identifier: MIT */
/* what counts as promised memory, and which calls the three modes refuse. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x100000000UL
#define BRK 0x10000000UL
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)

static struct mm_struct *mm_with(enum overcommit_mode mode, u64 limit)
{
	struct mm_config config = {
		.hw = &fake_hw_ops,
		.max_map_count = 65530,
		.stack_guard_gap = 256 * P,
		.overcommit = mode,
		.commit_limit = limit,
	};
	struct mm_struct *mm = mm_alloc(mm_world_create(&config), NULL);

	assert_non_null(mm);
	mm_set_layout(mm, &(struct mm_layout){ .start_brk = BRK, .brk = BRK });
	return mm;
}

static u64 committed(struct mm_struct *mm)
{
	struct mm_world_stats s;

	mm_world_verify(mm->world);
	mm_world_stats(mm->world, &s);
	return s.committed;
}

/* Commit the plan unless it is refused. */
static bool goes(struct mm_plan *plan, u64 result)
{
	bool ok = !mm_plan_over_commit(plan);

	if (ok)
		mm_plan_commit(plan, result);
	else
		mm_plan_abort(plan);
	return ok;
}

static bool map_with(struct mm_struct *mm, u64 addr, u64 pages, int prot, int flags)
{
	struct mmap_args a = { .addr = addr, .len = pages * P, .prot = prot,
			       .flags = flags | MAP_FIXED };
	struct mm_plan *plan;

	a.unmanaged = flags & MAP_SHARED;
	assert_int_equal(mm_plan_mmap(mm, &a, &plan), 0);
	return goes(plan, addr);
}

static bool brk_to(struct mm_struct *mm, u64 brk)
{
	struct mm_plan *plan;

	assert_int_equal(mm_plan_brk(mm, brk, &plan), 0);
	return goes(plan, brk);
}

static bool protect(struct mm_struct *mm, u64 addr, u64 pages, int prot)
{
	struct mm_plan *plan;

	assert_int_equal(mm_plan_mprotect(mm, addr, pages * P, prot, &plan), 0);
	return goes(plan, 0);
}

static bool remap(struct mm_struct *mm, u64 old, u64 old_pages, u64 new_pages, int flags, u64 to)
{
	struct mm_plan *plan;

	assert_int_equal(mm_plan_mremap(mm, old, old_pages * P, new_pages * P, flags, to, &plan), 0);
	return goes(plan, to);
}

static void test_committed_counts_private_writable_only(void **state)
{
	struct mm_struct *mm = mm_with(MM_OVERCOMMIT_KERNEL, 0);

	map_with(mm, BASE, 4, RW, PRIVATE);
	assert_int_equal(committed(mm), 4);
	map_with(mm, BASE + 8 * P, 4, PROT_READ, PRIVATE);
	map_with(mm, BASE + 16 * P, 4, RW, PRIVATE | MAP_NORESERVE);
	map_with(mm, BASE + 24 * P, 4, RW, MAP_SHARED | MAP_ANONYMOUS);
	assert_int_equal(committed(mm), 4);
	do_unmap(mm, BASE + P, 2);
	assert_int_equal(committed(mm), 2);
	brk_to(mm, BRK + 10 * P);
	assert_int_equal(committed(mm), 12);
	brk_to(mm, BRK + 3 * P + 1);
	assert_int_equal(committed(mm), 6);
	fake_mm_destroy(mm);
}

/* Untouched memory gives its promise back with its writability; touched memory cannot. */
static void test_mprotect_accounts_and_unaccounts(void **state)
{
	struct mm_struct *mm = mm_with(MM_OVERCOMMIT_KERNEL, 0);

	map_with(mm, BASE, 4, PROT_READ, PRIVATE);
	protect(mm, BASE + P, 2, RW);
	assert_int_equal(committed(mm), 2);
	protect(mm, BASE + P, 2, PROT_READ);
	assert_int_equal(committed(mm), 0);
	protect(mm, BASE, 4, RW);
	assert_int_equal(touch_write(mm, BASE), FAULT_RESOLVED);
	protect(mm, BASE, 4, PROT_NONE);
	assert_int_equal(committed(mm), 4);
	fake_mm_destroy(mm);
}

static void test_fork_and_exit_account_the_child(void **state)
{
	struct mm_struct *mm = mm_with(MM_OVERCOMMIT_KERNEL, 0), *child;

	map_with(mm, BASE, 4, RW, PRIVATE);
	map_with(mm, BASE + 8 * P, 3, RW, PRIVATE);
	do_madvise(mm, BASE + 8 * P, 3, MADV_DONTFORK);
	child = do_fork(mm);
	assert_int_equal(committed(mm), 7 + 4);
	mm_put(child);
	assert_int_equal(committed(mm), 7);
	fake_mm_destroy(mm);
}

static void test_mode_0_refuses_only_what_alone_exceeds_the_limit(void **state)
{
	struct mm_struct *mm = mm_with(MM_OVERCOMMIT_GUESS, 10);

	assert_true(map_with(mm, BASE, 10, RW, PRIVATE));
	assert_true(map_with(mm, BASE + 20 * P, 10, RW, PRIVATE));
	assert_false(map_with(mm, BASE + 40 * P, 11, RW, PRIVATE));
	assert_true(map_with(mm, BASE + 40 * P, 11, RW, PRIVATE | MAP_NORESERVE));
	assert_true(map_with(mm, BASE + 60 * P, 11, PROT_READ, PRIVATE));
	assert_false(brk_to(mm, BRK + 11 * P));
	assert_int_equal(mm_brk(mm), BRK);
	assert_int_equal(committed(mm), 20);
	assert_false(mm_fork_over_commit(mm)); /* two of 10 */
	assert_true(map_with(mm, BASE + 10 * P, 10, RW, PRIVATE));
	assert_true(mm_fork_over_commit(mm)); /* now one of 30 */
	fake_mm_destroy(mm);
}

static void test_mode_1_and_none_refuse_nothing(void **state)
{
	static const enum overcommit_mode modes[] = { MM_OVERCOMMIT_KERNEL, MM_OVERCOMMIT_ALWAYS };

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		struct mm_struct *mm = mm_with(modes[i], 1);

		assert_true(map_with(mm, BASE, 1UL << 24, RW, PRIVATE));
		assert_false(mm_fork_over_commit(mm));
		fake_mm_destroy(mm);
	}
}

/* limit 10:   |aaaaaa|   6 promised: 4 go, 5 do not, whichever call asks */
static void test_mode_2_refuses_at_the_sum_in_each_call(void **state)
{
	struct mm_struct *mm = mm_with(MM_OVERCOMMIT_NEVER, 10);
	const int move = MREMAP_MAYMOVE | MREMAP_FIXED;
	u64 far = BASE + 100 * P;

	assert_true(map_with(mm, BASE, 6, RW, PRIVATE));
	map_with(mm, BASE + 50 * P, 5, PROT_READ, PRIVATE);
	assert_false(map_with(mm, far, 5, RW, PRIVATE));
	assert_false(map_with(mm, far, 5, RW, PRIVATE | MAP_NORESERVE));
	assert_false(brk_to(mm, BRK + 5 * P));
	assert_false(protect(mm, BASE + 50 * P, 5, RW));
	assert_false(remap(mm, BASE, 6, 11, move, far));
	assert_false(remap(mm, BASE, 6, 6, move | 4 /* DONTUNMAP */, far));
	assert_true(mm_fork_over_commit(mm));
	assert_int_equal(committed(mm), 6);

	assert_true(remap(mm, BASE, 6, 10, move, far)); /* 4 more */
	assert_int_equal(committed(mm), 10);
	assert_true(remap(mm, far, 10, 6, 0, far));
	assert_true(protect(mm, BASE + 50 * P, 4, RW));
	assert_true(protect(mm, BASE + 50 * P, 4, PROT_READ));
	assert_true(brk_to(mm, BRK + 4 * P));
	assert_int_equal(committed(mm), 10);
	fake_mm_destroy(mm);
}

/* What MAP_FIXED replaces is given back in the same call. */
static void test_mode_2_map_fixed_is_charged_the_difference(void **state)
{
	struct mm_struct *mm = mm_with(MM_OVERCOMMIT_NEVER, 10);

	assert_true(map_with(mm, BASE, 9, RW, PRIVATE));
	assert_true(map_with(mm, BASE + 2 * P, 8, RW, PRIVATE)); /* 7 of them replaced: 1 more */
	assert_int_equal(committed(mm), 10);
	assert_false(map_with(mm, BASE + 9 * P, 2, RW, PRIVATE));
	fake_mm_destroy(mm);
}

static void test_refused_call_leaves_everything_as_it_was(void **state)
{
	struct mm_struct *mm = mm_with(MM_OVERCOMMIT_NEVER, 10);
	char *before, *after;

	map_with(mm, BASE, 3, RW, PRIVATE);
	map_with(mm, BASE + 3 * P, 9, PROT_READ, PRIVATE);
	before = dump_text(mm->world);
	assert_false(protect(mm, BASE, 12, RW));
	assert_false(map_with(mm, BASE, 11, RW, PRIVATE));
	after = dump_text(mm->world);
	assert_string_equal(before, after);
	free(before);
	free(after);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_committed_counts_private_writable_only),
		cmocka_unit_test(test_mprotect_accounts_and_unaccounts),
		cmocka_unit_test(test_fork_and_exit_account_the_child),
		cmocka_unit_test(test_mode_0_refuses_only_what_alone_exceeds_the_limit),
		cmocka_unit_test(test_mode_1_and_none_refuse_nothing),
		cmocka_unit_test(test_mode_2_refuses_at_the_sum_in_each_call),
		cmocka_unit_test(test_mode_2_map_fixed_is_charged_the_difference),
		cmocka_unit_test(test_refused_call_leaves_everything_as_it_was),
	};

	return RUN(tests);
}
