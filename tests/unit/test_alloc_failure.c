/* SPDX-License-Identifier: MIT */
/*
 * Every plan, with its N-th allocation made to fail, N = 1, 2, 3 … until it succeeds: -ENOMEM that is
 * ours, and the dump of the whole world as before.  When it succeeds, no allocation may be left for the
 * commit: that is made with every further allocation failing.
 */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x10000000UL
#define AT(page) (BASE + (page) * P)

/*
 *   0   2   4   6       10  12            touched in part, child forked, so that chains are long
 *   |RW-|R--|RW-|  hole |RW-|
 */
static struct mm_struct *forked_world(void)
{
	struct mm_struct *grandparent = fake_mm(), *mm;

	do_mmap(grandparent, AT(0), 6, RW);
	do_mmap(grandparent, AT(10), 2, RW);
	for (int i = 0; i < 12; i += 3)
		touch_write(grandparent, AT(i));
	do_protect(grandparent, AT(2), 2, PROT_READ);
	grandparent->layout.start_brk = AT(20);
	grandparent->layout.brk = AT(22);
	do_mmap(grandparent, AT(20), 2, RW);
	mm = do_fork(grandparent);
	touch_write(mm, AT(0));
	touch_write(mm, AT(11));
	mm_put(grandparent);
	return mm;
}

struct call {
	const char *name;
	int (*plan)(struct mm_struct *mm, struct mm_plan **plan);
	u64 result;
};

static struct mm_struct *fork_child;

static int plan_mmap(struct mm_struct *mm, struct mm_plan **plan)
{
	struct mmap_args a = { .len = 4 * P, .prot = RW, .flags = MAP_PRIVATE | MAP_ANONYMOUS };

	return mm_plan_mmap(mm, &a, plan);
}

static int plan_mmap_fixed(struct mm_struct *mm, struct mm_plan **plan)
{
	struct mmap_args a = {
		.addr = AT(1), .len = 4 * P, .prot = RW,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};

	return mm_plan_mmap(mm, &a, plan);
}

static int plan_munmap(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_munmap(mm, AT(1), 4 * P, plan);
}

static int plan_brk_up(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_brk(mm, AT(25), plan);
}

static int plan_brk_down(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_brk(mm, AT(21), plan);
}

static int plan_mprotect(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_mprotect(mm, AT(1), 4 * P, PROT_NONE, plan);
}

static int plan_mremap_move(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_mremap(mm, AT(10), P, 3 * P, MREMAP_MAYMOVE, 0, plan);
}

static int plan_mremap_fixed(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_mremap(mm, AT(10), 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, AT(3), plan);
}

static int plan_mremap_shrink(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_mremap(mm, AT(10), 2 * P, P, 0, 0, plan);
}

static int plan_mremap_grow(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_mremap(mm, AT(10), 2 * P, 5 * P, 0, 0, plan);
}

static int plan_dontneed(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_madvise(mm, AT(0), 6 * P, MADV_DONTNEED, plan);
}

static int plan_dontfork(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_madvise(mm, AT(1), 4 * P, MADV_DONTFORK, plan);
}

static int plan_mlock(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_mlock(mm, AT(1), 4 * P, 0, plan);
}

static int plan_munlock(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_munlock(mm, AT(1), 4 * P, plan);
}

static int plan_mlockall(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_mlockall(mm, MCL_CURRENT, plan);
}

static int plan_munlockall(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_munlockall(mm, plan);
}

static int plan_mseal(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_mseal(mm, AT(1), 4 * P, plan);
}

static int plan_fork(struct mm_struct *mm, struct mm_plan **plan)
{
	return mm_plan_fork(mm, plan, &fork_child);
}

static const struct call calls[] = {
	{ "mmap", plan_mmap, AT(100) },
	{ "mmap_fixed", plan_mmap_fixed, AT(1) },
	{ "munmap", plan_munmap, 0 },
	{ "brk_up", plan_brk_up, AT(25) },
	{ "brk_down", plan_brk_down, AT(21) },
	{ "mprotect", plan_mprotect, 0 },
	{ "mremap_move", plan_mremap_move, AT(12) },
	{ "mremap_move_away", plan_mremap_move, AT(512 * 9 - 1) },
	{ "mremap_fixed", plan_mremap_fixed, AT(3) },
	{ "mremap_shrink", plan_mremap_shrink, AT(10) },
	{ "mremap_grow", plan_mremap_grow, AT(10) },
	{ "dontneed", plan_dontneed, 0 },
	{ "dontfork", plan_dontfork, 0 },
	{ "mlock", plan_mlock, 0 },
	{ "munlock", plan_munlock, 0 },
	{ "mlockall", plan_mlockall, 0 },
	{ "munlockall", plan_munlockall, 0 },
	{ "mseal", plan_mseal, 0 },
	{ "fork", plan_fork, 0 },
};

static void check_failing_at(struct mm_struct *mm, const struct call *c, const char *before)
{
	struct mm_plan *plan;
	char *after;
	u64 n;

	for (n = 1;; n++) {
		int err;

		alloc_fail_at(n);
		err = c->plan(mm, &plan);
		if (!err)
			break;
		assert_int_equal(err, -ENOMEM);
		assert_true(mm_plan_is_ours(mm));
		assert_false(alloc_fail_pending());
		mm_world_verify(mm->world);
		after = dump_text(mm->world);
		assert_string_equal(before, after);
		free(after);
	}
	assert_true(alloc_fail_pending());
	assert_true(n > 1); /* the plan itself, at least */
	alloc_fail_at(0);
	mm_plan_abort(plan);
	after = dump_text(mm->world);
	assert_string_equal(before, after);
	free(after);
}

static void test_plan_allocation_fails_at_each_n_world_is_unchanged(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct mm_struct *mm = forked_world();
		char *before;

		mm_mark_wp(mm, (struct range){ 0, TASK_SIZE });
		before = dump_text(mm->world);
		check_failing_at(mm, &calls[i], before);
		free(before);
		fake_mm_destroy(mm);
	}
}

static void test_commit_takes_no_memory(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct mm_struct *mm = forked_world();
		struct mm_plan *plan;
		char *before, *after;

		mm_mark_wp(mm, (struct range){ 0, TASK_SIZE });
		before = dump_text(mm->world);
		assert_int_equal(calls[i].plan(mm, &plan), 0);
		alloc_fail_at(1);
		mm_plan_commit(plan, calls[i].result);
		assert_true(alloc_fail_pending());
		alloc_fail_at(0);
		mm_world_verify(mm->world);
		after = dump_text(mm->world);
		if (strcmp(calls[i].name, "munlock") && strcmp(calls[i].name, "munlockall"))
			assert_string_not_equal(before, after); /* something was done */
		free(before);
		free(after);
		if (calls[i].plan == plan_fork)
			mm_put(fork_child);
		fake_mm_destroy(mm);
	}
}

/*
 * Faults that are answered between plan and commit may give a vma its first anon_vma; the cut and the merge
 * then need avcs that a plan made for the untouched vma must have.
 */
static void test_commit_after_fault_in_between_takes_no_memory(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct mm_struct *mm = fake_mm();
		struct mm_plan *plan;

		if (calls[i].plan == plan_fork) { /* the caller answers no fault there */
			fake_mm_destroy(mm);
			continue;
		}
		mm->layout.start_brk = AT(20);
		mm->layout.brk = AT(22);
		do_mmap(mm, AT(0), 6, RW);
		do_mmap(mm, AT(10), 2, RW);
		do_mmap(mm, AT(20), 2, RW);
		assert_int_equal(calls[i].plan(mm, &plan), 0);
		for (u64 page = 0; page < 22; page++) {
			if (vma_lookup(mm, AT(page)) && !range_contains(mm_plan_zaps(plan), AT(page)))
				touch_write(mm, AT(page));
		}
		alloc_fail_at(1);
		mm_plan_commit(plan, calls[i].result);
		alloc_fail_at(0);
		mm_world_verify(mm->world);
		fake_mm_destroy(mm);
	}
}

static void test_reconcile_allocation_fails_at_each_n_world_is_unchanged(void **state)
{
	struct vma_desc v[] = {
		{ .start = AT(1), .end = AT(5), .vm_flags = VM_READ, .pgoff = AT(1) >> 12 },
		{ .start = AT(8), .end = AT(12), .vm_flags = VM_READ | VM_WRITE, .pgoff = AT(8) >> 12 },
		{ .start = AT(30), .end = AT(31), .vm_flags = VM_READ | VM_UNMANAGED },
	};
	struct mm_struct *mm = forked_world();
	char *before = dump_text(mm->world);
	u64 n;

	for (n = 1;; n++) {
		char *after;

		alloc_fail_at(n);
		if (!mm_reconcile(mm, v, ARRAY_SIZE(v)))
			break;
		after = dump_text(mm->world);
		assert_string_equal(before, after);
		free(after);
	}
	assert_true(n > 5);
	alloc_fail_at(0);
	free(before);
	fake_mm_destroy(mm);
}

static void test_world_and_mm_allocation_fails_at_each_n_gives_null(void **state)
{
	struct mm_config config = { .hw = &fake_hw_ops };
	struct mm_world *w;
	struct mm_struct *mm = NULL;

	alloc_fail_at(1);
	assert_null(mm_world_create(&config));
	w = mm_world_create(&config);
	assert_non_null(w);
	for (u64 n = 1; !mm; n++) {
		alloc_fail_at(n);
		mm = mm_alloc(w, NULL);
		assert_true(n <= 3);
	}
	alloc_fail_at(1);
	assert_null(vm_file_get(w, (struct vm_file_id){ 1, 1 }, "x"));
	mm_put(mm);
	mm_world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_allocation_fails_at_each_n_world_is_unchanged),
		cmocka_unit_test(test_commit_takes_no_memory),
		cmocka_unit_test(test_commit_after_fault_in_between_takes_no_memory),
		cmocka_unit_test(test_reconcile_allocation_fails_at_each_n_world_is_unchanged),
		cmocka_unit_test(test_world_and_mm_allocation_fails_at_each_n_gives_null),
	};

	return RUN(tests);
}
