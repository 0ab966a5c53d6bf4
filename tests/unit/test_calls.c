/* SPDX-License-Identifier: MIT */
/* the plans: what each refuses with Linux's errno, and what a commit or an abort leaves. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define R PROT_READ
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x10000000UL
#define AT(page) (BASE + (page) * P)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static struct mm_plan *plan;

static u64 flags_at(struct mm_struct *mm, u64 page)
{
	struct vma_info vma;

	assert_true(mm_find_vma(mm, AT(page), &vma) && vma.start <= AT(page));
	return vma.vm_flags;
}

/* ---- mmap ---- */

static int try_mmap(struct mm_struct *mm, u64 addr, u64 len, int flags, u64 pgoff)
{
	struct mmap_args a = { .addr = addr, .len = len, .prot = RW, .flags = flags,
			       .pgoff = pgoff };
	int err = mm_plan_mmap(mm, &a, &plan);

	if (!err)
		mm_plan_abort(plan);
	return err;
}

static void test_plan_mmap_refusals(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(10), 2, RW);
	assert_int_equal(try_mmap(mm, 0, 0, ANON, 0), -EINVAL);
	assert_int_equal(try_mmap(mm, 0, UINT64_MAX, ANON, 0), -ENOMEM);
	assert_int_equal(try_mmap(mm, 0, TASK_SIZE + P, ANON, 0), -ENOMEM);
	assert_int_equal(try_mmap(mm, 0, P, MAP_ANONYMOUS, 0), -EINVAL);
	assert_int_equal(try_mmap(mm, 0, 2 * P, ANON, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(try_mmap(mm, AT(0) + 1, P, ANON | MAP_FIXED, 0), -EINVAL);
	assert_int_equal(try_mmap(mm, TASK_SIZE, P, ANON | MAP_FIXED, 0), -ENOMEM);
	assert_int_equal(try_mmap(mm, AT(11), P, ANON | MAP_FIXED_NOREPLACE, 0), -EEXIST);
	assert_int_equal(try_mmap(mm, AT(12), P, ANON | MAP_FIXED_NOREPLACE, 0), 0);
	assert_int_equal(try_mmap(mm, 1, P, ANON, 0), 0); /* a hint may be anything */
	assert_false(mm_plan_is_ours(mm));
	fake_mm_destroy(mm);
}

static void test_plan_mmap_too_many_vmas_is_enomem(void **state)
{
	struct mm_struct *mm = fake_mm();

	mm->world->config.max_map_count = 2;
	for (u64 i = 0; i < 3; i++) /* Linux checks "more than", so one too many fits */
		do_mmap(mm, AT(10 * i), 1, RW);
	assert_int_equal(try_mmap(mm, 0, P, ANON, 0), -ENOMEM);
	assert_false(mm_plan_is_ours(mm));
	assert_int_equal(mm_plan_munmap(mm, AT(0), P, &plan), 0);
	mm_plan_abort(plan);
	fake_mm_destroy(mm);
}

/*   |--------old--------|  with MAP_FIXED in the middle: its pages go, its neighbours' stay  */
static void test_commit_mmap_fixed_replaces_pages_only_inside(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct mmap_args a = { .addr = AT(2), .len = 2 * P, .prot = R, .flags = ANON | MAP_FIXED };

	do_mmap(mm, AT(0), 6, RW);
	for (u64 i = 0; i < 6; i++)
		touch_write(mm, AT(i));
	assert_int_equal(mm_plan_mmap(mm, &a, &plan), 0);
	assert_int_equal(mm_plan_zaps(plan).start, AT(2));
	assert_int_equal(mm_plan_zaps(plan).end, AT(4));
	mm_plan_commit(plan, AT(2));
	mm_verify(mm);
	assert_int_equal(mm->nr_anon_ptes, 4);
	assert_int_equal(mm_map_count(mm), 3);
	assert_int_equal(flags_at(mm, 2) & VM_ACCESS_FLAGS, VM_READ);
	fake_mm_destroy(mm);
}

static void test_commit_mmap_anywhere_zaps_nothing_and_keeps_len_aligned(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct mmap_args a = { .len = P + 1, .prot = RW, .flags = ANON };
	struct vma_info vma;

	assert_int_equal(mm_plan_mmap(mm, &a, &plan), 0);
	assert_true(range_empty(mm_plan_zaps(plan)));
	mm_plan_commit(plan, AT(7));
	assert_true(mm_find_vma(mm, 0, &vma));
	assert_int_equal(vma.start, AT(7));
	assert_int_equal(vma.end, AT(9));
	assert_int_equal(vma.pgoff, AT(7) >> PAGE_SHIFT);
	fake_mm_destroy(mm);
}

static void test_commit_mmap_file_keeps_a_reference(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vm_file *f = vm_file_get(mm->world, (struct vm_file_id){ 1, 2 }, "/lib/x.so");
	struct mmap_args a = {
		.len = 4 * P, .prot = R, .flags = MAP_PRIVATE, .pgoff = 3, .file = f,
		.unmanaged = true,
	};
	struct vma_info vma;

	assert_int_equal(mm_plan_mmap(mm, &a, &plan), 0);
	mm_plan_abort(plan);
	assert_int_equal(mm_plan_mmap(mm, &a, &plan), 0);
	vm_file_put(f);
	mm_plan_commit(plan, AT(0));
	assert_true(mm_find_vma(mm, AT(0), &vma));
	assert_string_equal(vma.name, "/lib/x.so");
	assert_int_equal(vma.file.ino, 2);
	assert_int_equal(vma.pgoff, 3);
	do_unmap(mm, AT(1), 2);
	assert_true(mm_find_vma(mm, AT(1), &vma));
	assert_int_equal(vma.pgoff, 6);
	do_unmap(mm, AT(0), 4);
	assert_null(mm->world->files.node);
	fake_mm_destroy(mm);
}

/* ---- munmap ---- */

static void test_plan_munmap_refusals_and_certainty(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 4, RW);
	do_mmap(mm, AT(6), 2, RW);
	assert_int_equal(mm_plan_munmap(mm, AT(0) + 1, P, &plan), -EINVAL);
	assert_int_equal(mm_plan_munmap(mm, AT(0), 0, &plan), -EINVAL);
	assert_int_equal(mm_plan_munmap(mm, AT(0), UINT64_MAX - P, &plan), -EINVAL);
	assert_int_equal(mm_plan_munmap(mm, TASK_SIZE, P, &plan), -EINVAL);
	mm->world->config.max_map_count = 2;
	assert_int_equal(mm_plan_munmap(mm, AT(1), P, &plan), -ENOMEM); /* cuts one in three */
	assert_false(mm_plan_is_ours(mm));
	assert_int_equal(mm_plan_munmap(mm, AT(0), 8 * P, &plan), 0);
	assert_false(mm_plan_is_certain(plan)); /* the kernel may count one more than we do */
	mm_plan_abort(plan);
	mm->world->config.max_map_count = 65530;
	assert_int_equal(mm_plan_munmap(mm, AT(1), P, &plan), 0);
	assert_true(mm_plan_is_certain(plan));
	mm_plan_abort(plan);
	assert_int_equal(mm_plan_munmap(mm, AT(4), 2 * P, &plan), 0); /* a hole: nothing to do */
	assert_true(mm_plan_is_certain(plan));
	mm_plan_commit(plan, 0);
	assert_int_equal(mm->total_vm, 6);
	fake_mm_destroy(mm);
}

static void test_plan_munmap_sealed_is_eperm(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 4, RW);
	assert_int_equal(mm_plan_mseal(mm, AT(1), 1 * P, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm_plan_munmap(mm, AT(0), 4 * P, &plan), -EPERM);
	assert_int_equal(mm_plan_munmap(mm, AT(2), 2 * P, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm_plan_mprotect(mm, AT(1), P, R, &plan), 0);
	assert_int_equal(mm_plan_expects(plan), -EPERM);
	mm_plan_abort(plan);
	assert_int_equal(mm_plan_mseal(mm, AT(0), 8 * P, &plan), -ENOMEM);
	fake_mm_destroy(mm);
}

/* ---- brk ---- */

static struct mm_struct *mm_with_brk(void)
{
	struct mm_struct *mm = fake_mm();
	struct mm_layout layout = { .start_brk = AT(0), .brk = AT(0) };

	mm_set_layout(mm, &layout);
	return mm;
}

static void do_brk(struct mm_struct *mm, u64 brk, u64 result)
{
	assert_int_equal(mm_plan_brk(mm, brk, &plan), 0);
	mm_plan_commit(plan, result);
	mm_verify(mm);
	assert_int_equal(mm_brk(mm), result);
}

static void test_brk_up_down_within_page_and_refused(void **state)
{
	struct mm_struct *mm = mm_with_brk();

	do_brk(mm, AT(3) + 100, AT(3) + 100);
	assert_int_equal(mm->data_vm, 4);
	do_brk(mm, AT(3) + 200, AT(3) + 200); /* same page */
	assert_int_equal(mm->data_vm, 4);
	do_brk(mm, AT(9), AT(3) + 200); /* the kernel said no */
	assert_int_equal(mm->data_vm, 4);
	do_brk(mm, 0, AT(3) + 200); /* sbrk(0) */
	touch_write(mm, AT(2));
	assert_int_equal(mm_plan_brk(mm, AT(1), &plan), 0);
	assert_int_equal(mm_plan_zaps(plan).start, AT(1));
	assert_int_equal(mm_plan_zaps(plan).end, AT(4));
	mm_plan_commit(plan, AT(1));
	assert_int_equal(mm->data_vm, 1);
	assert_int_equal(mm->nr_anon_ptes, 0);
	do_brk(mm, AT(5), AT(5));
	assert_int_equal(mm_map_count(mm), 1); /* the heap is one vma */
	fake_mm_destroy(mm);
}

/* ---- mprotect, madvise, mlock: arguments; what vmas decide is held against the kernel ---- */

static void test_plan_mprotect_arguments(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 2, RW);
	assert_int_equal(mm_plan_mprotect(mm, AT(0) + 1, P, R, &plan), -EINVAL);
	assert_int_equal(mm_plan_mprotect(mm, AT(0), P, 0x40, &plan), -EINVAL);
	assert_int_equal(mm_plan_mprotect(mm, AT(0), UINT64_MAX - 2 * P, R, &plan), -ENOMEM);
	assert_int_equal(mm_plan_mprotect(mm, AT(0), P, R | PROT_GROWSDOWN | PROT_GROWSUP, &plan),
			 -EINVAL);
	assert_int_equal(mm_plan_mprotect(mm, AT(0), P, R | PROT_GROWSDOWN, &plan), -EINVAL);
	assert_int_equal(mm_plan_mprotect(mm, AT(0), 0, R, &plan), 0); /* nothing to do */
	mm_plan_commit(plan, 0);
	assert_int_equal(mm_map_count(mm), 1);
	fake_mm_destroy(mm);
}

/*   |--a--|  hole  |--b--|    a is changed, b is not, and the errno is foreseen */
static void test_mprotect_over_hole_commits_the_part_before(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 2, RW);
	do_mmap(mm, AT(4), 2, RW);
	assert_int_equal(mm_plan_mprotect(mm, AT(1), 5 * P, R, &plan), 0);
	assert_int_equal(mm_plan_expects(plan), -ENOMEM);
	mm_plan_commit(plan, (u64)-ENOMEM);
	mm_verify(mm);
	assert_int_equal(flags_at(mm, 0) & VM_WRITE, VM_WRITE);
	assert_int_equal(flags_at(mm, 1) & VM_WRITE, 0);
	assert_int_equal(flags_at(mm, 4) & VM_WRITE, VM_WRITE);
	fake_mm_destroy(mm);
}

static void test_mprotect_without_may_bit_is_eacces(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vma_desc d = {
		.start = AT(0), .end = AT(2), .vm_flags = VM_READ | VM_MAYREAD | VM_UNMANAGED,
	};

	assert_int_equal(mm_reconcile(mm, &d, 1), 0);
	assert_int_equal(mm_plan_mprotect(mm, AT(0), P, RW, &plan), 0);
	assert_int_equal(mm_plan_expects(plan), -EACCES);
	mm_plan_commit(plan, (u64)-EACCES);
	assert_int_equal(flags_at(mm, 0) & VM_WRITE, 0);
	fake_mm_destroy(mm);
}

static void test_plan_madvise_arguments(void **state)
{
	struct mm_struct *mm = fake_mm();

	assert_int_equal(mm_plan_madvise(mm, AT(0), P, 9999, &plan), -EINVAL);
	assert_int_equal(mm_plan_madvise(mm, AT(0) + 1, P, MADV_NORMAL, &plan), -EINVAL);
	assert_int_equal(mm_plan_madvise(mm, AT(0), UINT64_MAX, MADV_NORMAL, &plan), -EINVAL);
	assert_int_equal(mm_plan_madvise(mm, AT(0), 0, MADV_DONTNEED, &plan), 0);
	assert_int_equal(mm_plan_expects(plan), 0);
	mm_plan_abort(plan);
	fake_mm_destroy(mm);
}

/* The model believes that the vma is locked, but the kernel dropped its pages: the kernel is right. */
static void test_madvise_success_overrules_the_model(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 2, RW);
	touch_write(mm, AT(0));
	assert_int_equal(mm_plan_mlock(mm, AT(0), 2 * P, 0, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm_plan_madvise(mm, AT(0), 2 * P, MADV_DONTNEED, &plan), 0);
	assert_int_equal(mm_plan_expects(plan), -EINVAL);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm->nr_anon_ptes, 0);
	fake_mm_destroy(mm);
}

static void test_madvise_each_advice_sets_its_flag(void **state)
{
	static const struct {
		int advice;
		u64 set, clear;
	} row[] = {
		{ MADV_SEQUENTIAL, VM_SEQ_READ, VM_RAND_READ },
		{ MADV_RANDOM, VM_RAND_READ, VM_SEQ_READ },
		{ MADV_NORMAL, 0, VM_RAND_READ | VM_SEQ_READ },
		{ MADV_DONTFORK, VM_DONTCOPY, 0 },
		{ MADV_DOFORK, 0, VM_DONTCOPY },
		{ MADV_WIPEONFORK, VM_WIPEONFORK, 0 },
		{ MADV_KEEPONFORK, 0, VM_WIPEONFORK },
		{ MADV_DONTDUMP, VM_DONTDUMP, 0 },
		{ MADV_DODUMP, 0, VM_DONTDUMP },
		{ MADV_HUGEPAGE, VM_HUGEPAGE, VM_NOHUGEPAGE },
		{ MADV_NOHUGEPAGE, VM_NOHUGEPAGE, VM_HUGEPAGE },
		{ MADV_MERGEABLE, VM_MERGEABLE, 0 },
		{ MADV_UNMERGEABLE, 0, VM_MERGEABLE },
		{ MADV_WILLNEED, 0, 0 },
	};
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 4, RW);
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		u64 before = flags_at(mm, 1);

		do_madvise(mm, AT(1), 2, row[i].advice);
		assert_true(flags_at(mm, 1) == ((before | row[i].set) & ~row[i].clear));
		assert_true(flags_at(mm, 0) == flags_at(mm, 3));
		assert_int_equal(flags_at(mm, 0) & (row[i].set | row[i].clear), 0);
	}
	fake_mm_destroy(mm);
}

static void test_madvise_dontneed_family_drops_pages(void **state)
{
	static const int advice[] = { MADV_DONTNEED, 24 /* DONTNEED_LOCKED */,
				      102 /* GUARD_INSTALL */ };

	for (size_t i = 0; i < ARRAY_SIZE(advice); i++) {
		struct mm_struct *mm = fake_mm();

		do_mmap(mm, AT(0), 4, RW);
		for (u64 page = 0; page < 4; page++)
			touch_write(mm, AT(page));
		assert_int_equal(mm_plan_madvise(mm, AT(1), 2 * P, advice[i], &plan), 0);
		assert_int_equal(range_len(mm_plan_zaps(plan)), 2 * P);
		mm_plan_commit(plan, 0);
		mm_verify(mm);
		assert_int_equal(mm->nr_anon_ptes, 2);
		assert_int_equal(mm->world->frames.nr_used, 2);
		fake_mm_destroy(mm);
	}
}

static void test_mlock_family_flags_and_future(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 4, RW);
	assert_int_equal(mm_plan_mlock(mm, AT(0), P, 2, &plan), -EINVAL);
	assert_int_equal(mm_plan_mlock(mm, AT(1) + 5, P, MLOCK_ONFAULT, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm->locked_vm, 2); /* the pages that [5, 4101) touches */
	assert_int_equal(flags_at(mm, 1) & VM_LOCKED_MASK, VM_LOCKED_MASK);
	assert_int_equal(mm_plan_munlock(mm, AT(0), 4 * P, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm->locked_vm, 0);
	assert_int_equal(mm_map_count(mm), 1);
	assert_int_equal(mm_plan_mlockall(mm, 0, &plan), -EINVAL);
	assert_int_equal(mm_plan_mlockall(mm, MCL_ONFAULT, &plan), -EINVAL);
	assert_int_equal(mm_plan_mlockall(mm, MCL_FUTURE, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm->locked_vm, 0);
	do_mmap(mm, AT(10), 3, RW);
	assert_int_equal(mm->locked_vm, 3);
	assert_int_equal(mm_plan_mlockall(mm, MCL_CURRENT, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm->locked_vm, 7);
	do_mmap(mm, AT(20), 3, RW); /* MCL_CURRENT alone ends MCL_FUTURE */
	assert_int_equal(mm->locked_vm, 7);
	assert_int_equal(mm_plan_munlockall(mm, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm->locked_vm, 0);
	fake_mm_destroy(mm);
}

/* ---- mremap: what the kernel test cannot reach ---- */

static void test_plan_mremap_refusals(void **state)
{
	struct mm_struct *mm = fake_mm();
	int fixed = MREMAP_MAYMOVE | MREMAP_FIXED;

	do_mmap(mm, AT(0), 4, RW);
	assert_int_equal(mm_plan_mremap(mm, AT(0), P, 2 * P, 8, 0, &plan), -EINVAL);
	assert_int_equal(mm_plan_mremap(mm, AT(0), P, 2 * P, MREMAP_FIXED, AT(9), &plan), -EINVAL);
	assert_int_equal(mm_plan_mremap(mm, AT(0) + 1, P, P, 0, 0, &plan), -EINVAL);
	assert_int_equal(mm_plan_mremap(mm, AT(0), P, 0, 0, 0, &plan), -EINVAL);
	assert_int_equal(mm_plan_mremap(mm, AT(0), P, P, fixed, AT(9) + 1, &plan), -EINVAL);
	assert_int_equal(mm_plan_mremap(mm, AT(0), 2 * P, 2 * P, fixed, AT(1), &plan), -EINVAL);
	assert_int_equal(mm_plan_mremap(mm, AT(0), P, UINT64_MAX, fixed, AT(9), &plan), -EINVAL);
	assert_int_equal(mm_plan_mremap(mm, AT(8), P, 2 * P, MREMAP_MAYMOVE, 0, &plan), -EFAULT);
	assert_int_equal(mm_plan_mremap(mm, AT(0), 8 * P, 9 * P, MREMAP_MAYMOVE, 0, &plan),
			 -EFAULT);
	assert_int_equal(mm_plan_mremap(mm, AT(0), 0, P, MREMAP_MAYMOVE, 0, &plan), -EINVAL);
	fake_mm_destroy(mm);
}

static void test_mremap_old_len_zero_duplicates_shared_memory(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct mmap_args a = {
		.addr = AT(0), .len = 4 * P, .prot = RW,
		.flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .unmanaged = true,
	};

	assert_int_equal(mm_plan_mmap(mm, &a, &plan), 0);
	mm_plan_commit(plan, AT(0));
	assert_int_equal(mm_plan_mremap(mm, AT(0), 0, 4 * P, MREMAP_MAYMOVE, 0, &plan), 0);
	mm_plan_commit(plan, AT(10));
	mm_verify(mm);
	assert_int_equal(mm->total_vm, 8);
	assert_true(flags_at(mm, 0) == flags_at(mm, 13));
	fake_mm_destroy(mm);
}

/* Pages keep their index, so the same frame is found at the new address. */
static void test_mremap_move_with_growth_keeps_frames(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;
	struct pte_info before, after;

	do_mmap(mm, AT(0), 4, RW);
	for (u64 page = 0; page < 4; page++)
		touch_write(mm, AT(page));
	child = do_fork(mm);
	mm_lookup_pte(mm, AT(2), &before);
	assert_int_equal(mm_plan_mremap(mm, AT(1), 2 * P, 6 * P, MREMAP_MAYMOVE, 0, &plan), 0);
	assert_int_equal(mm_plan_zaps(plan).start, AT(1));
	mm_plan_commit(plan, AT(5000));
	mm_world_verify(mm->world);
	mm_lookup_pte(mm, AT(5001), &after);
	assert_int_equal(after.pfn, before.pfn);
	assert_int_equal(after.mapcount, 2);
	assert_int_equal(mm->total_vm, 2 + 6);
	assert_int_equal(mm->nr_anon_ptes, 4);
	mm_put(child);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_mmap_refusals),
		cmocka_unit_test(test_plan_mmap_too_many_vmas_is_enomem),
		cmocka_unit_test(test_commit_mmap_fixed_replaces_pages_only_inside),
		cmocka_unit_test(test_commit_mmap_anywhere_zaps_nothing_and_keeps_len_aligned),
		cmocka_unit_test(test_commit_mmap_file_keeps_a_reference),
		cmocka_unit_test(test_plan_munmap_refusals_and_certainty),
		cmocka_unit_test(test_plan_munmap_sealed_is_eperm),
		cmocka_unit_test(test_brk_up_down_within_page_and_refused),
		cmocka_unit_test(test_plan_mprotect_arguments),
		cmocka_unit_test(test_mprotect_over_hole_commits_the_part_before),
		cmocka_unit_test(test_mprotect_without_may_bit_is_eacces),
		cmocka_unit_test(test_plan_madvise_arguments),
		cmocka_unit_test(test_madvise_success_overrules_the_model),
		cmocka_unit_test(test_madvise_each_advice_sets_its_flag),
		cmocka_unit_test(test_madvise_dontneed_family_drops_pages),
		cmocka_unit_test(test_mlock_family_flags_and_future),
		cmocka_unit_test(test_plan_mremap_refusals),
		cmocka_unit_test(test_mremap_old_len_zero_duplicates_shared_memory),
		cmocka_unit_test(test_mremap_move_with_growth_keeps_frames),
	};

	return RUN(tests);
}
