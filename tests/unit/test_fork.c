/* SPDX-License-Identifier: MIT */
/* fork and the reverse map: what is copied, what is shared, and that families stay small. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x100000UL

static struct pte_info pte_at(struct mm_struct *mm, u64 page)
{
	struct pte_info info;

	mm_lookup_pte(mm, BASE + page * P, &info);
	return info;
}

/*   page:  0 written   1 read   2 untouched */
static void test_fork_ptes_are_shared_write_protected(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;

	do_mmap(mm, BASE, 3, RW);
	touch_write(mm, BASE);
	touch_read(mm, BASE + P);
	child = do_fork(mm);
	assert_int_equal(pte_at(child, 0).pfn, pte_at(mm, 0).pfn);
	assert_true(pte_at(mm, 0).wp && pte_at(child, 0).wp);
	assert_int_equal(pte_at(child, 0).mapcount, 2);
	assert_int_equal(pte_at(child, 1).state, PTE_ZERO);
	assert_int_equal(pte_at(child, 2).state, PTE_NONE);
	assert_int_equal(mm->world->frames.nr_used, 1);
	assert_int_equal(child->nr_anon_ptes, 1);
	assert_int_equal(child->hiwater_vm, 3);
	mm_put(child);
	assert_int_equal(pte_at(mm, 0).mapcount, 1);
	fake_mm_destroy(mm);
}

static void test_fork_dontcopy_is_absent_wipeonfork_is_empty(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;

	do_mmap(mm, BASE, 6, RW);
	do_madvise(mm, BASE, 2, MADV_DONTFORK);
	do_madvise(mm, BASE + 2 * P, 2, MADV_WIPEONFORK);
	for (int i = 0; i < 6; i++)
		touch_write(mm, BASE + i * P);
	child = do_fork(mm);
	assert_int_equal(child->total_vm, 4);
	assert_null(vma_lookup(child, BASE));
	assert_null(vma_lookup(child, BASE + 2 * P)->anon_vma);
	assert_int_equal(pte_at(child, 2).state, PTE_NONE);
	assert_int_equal(pte_at(child, 4).state, PTE_PRESENT);
	assert_int_equal(pte_at(mm, 2).mapcount, 1);
	mm_put(child);
	fake_mm_destroy(mm);
}

static void test_fork_locks_are_not_inherited(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;
	struct mm_plan *plan;

	do_mmap(mm, BASE, 2, RW);
	assert_int_equal(mm_plan_mlockall(mm, MCL_CURRENT | MCL_FUTURE, &plan), 0);
	mm_plan_commit(plan, 0);
	assert_int_equal(mm->locked_vm, 2);
	child = do_fork(mm);
	assert_int_equal(child->locked_vm, 0);
	assert_int_equal(child->def_flags, 0);
	mm_put(child);
	fake_mm_destroy(mm);
}

static void test_fork_abort_leaves_no_trace(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;
	struct mm_plan *plan;
	char *before, *after;

	do_mmap(mm, BASE, 4, RW);
	touch_write(mm, BASE);
	mm_mark_wp(mm, (struct range){ 0, TASK_SIZE });
	before = dump_text(mm->world);
	assert_int_equal(mm_plan_fork(mm, &plan, &child), 0);
	mm_plan_abort(plan);
	after = dump_text(mm->world);
	assert_string_equal(before, after);
	free(before);
	free(after);
	fake_mm_destroy(mm);
}

static u32 family_size(const struct mm_world *w)
{
	return w->anon_vma_slab.nr_used;
}

/*
 * A daemon's life: fork, the parent exits, the child writes, and again.  Without the degree rule each
 * generation would add an anon_vma that no vma of its own uses, and a longer chain.
 */
static void test_fork_chain_of_generations_trees_stay_bounded(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, BASE, 4, RW);
	touch_write(mm, BASE);
	for (int generation = 0; generation < 500; generation++) {
		struct mm_struct *child = do_fork(mm);

		mm_put(mm);
		mm = child;
		touch_write(mm, BASE + (generation % 4) * P);
		assert_true(anon_vma_chain_len(vma_lookup(mm, BASE)) <= 3);
		assert_true(family_size(mm->world) <= 3);
	}
	mm_world_verify(mm->world);
	fake_mm_destroy(mm);
}

/* A server: one parent, many children that come and go. */
static void test_fork_many_children_of_one_parent_all_is_freed(void **state)
{
	enum { N = 40 };
	struct mm_struct *mm = fake_mm(), *child[N];

	do_mmap(mm, BASE, 4, RW);
	for (int i = 0; i < 4; i++)
		touch_write(mm, BASE + i * P);
	for (int i = 0; i < N; i++) {
		child[i] = do_fork(mm);
		touch_write(child[i], BASE + (i % 4) * P);
	}
	assert_int_equal(pte_at(mm, 0).mapcount, 1 + N - N / 4);
	assert_int_equal(vma_lookup(mm, BASE)->anon_vma->num_children, N + 1);
	mm_world_verify(mm->world);
	for (int i = 0; i < N; i++)
		mm_put(child[(i * 7) % N]);
	assert_int_equal(family_size(mm->world), 1);
	assert_int_equal(mm->world->frames.nr_used, 4);
	fake_mm_destroy(mm);
}

/* grandparent, parent, child: a page of the first is found through the first's anon_vma in all. */
static int count_pte(struct vm_area_struct *vma, u64 addr, void *arg)
{
	int *nr = arg;

	assert_int_equal(addr, BASE);
	return ++*nr == 100;
}

static void test_rmap_walk_three_generations_all_found(void **state)
{
	struct mm_struct *mm[3];
	const struct frame *frame;
	int nr = 0;

	mm[0] = fake_mm();
	do_mmap(mm[0], BASE, 1, RW);
	touch_write(mm[0], BASE);
	mm[1] = do_fork(mm[0]);
	mm[2] = do_fork(mm[1]);
	frame = pfn_to_frame(mm[0]->world, pte_at(mm[0], 0).pfn);
	assert_int_equal(rmap_walk(frame, count_pte, &nr), 0);
	assert_int_equal(nr, 3);
	touch_write(mm[1], BASE);
	nr = 0;
	rmap_walk(frame, count_pte, &nr);
	assert_int_equal(nr, 2);
	nr = 0; /* the middle one's new page is not the others' */
	rmap_walk(pfn_to_frame(mm[0]->world, pte_at(mm[1], 0).pfn), count_pte, &nr);
	assert_int_equal(nr, 1);
	mm_put(mm[1]);
	mm_world_verify(mm[0]->world);
	mm_put(mm[2]);
	fake_mm_destroy(mm[0]);
}

static void test_rmap_walk_stops_when_told(void **state)
{
	struct mm_struct *mm = fake_mm(), *child;
	int nr = 99;

	do_mmap(mm, BASE, 1, RW);
	touch_write(mm, BASE);
	child = do_fork(mm);
	assert_int_equal(rmap_walk(pfn_to_frame(mm->world, pte_at(mm, 0).pfn), count_pte, &nr), 1);
	assert_int_equal(nr, 100);
	mm_put(child);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fork_ptes_are_shared_write_protected),
		cmocka_unit_test(test_fork_dontcopy_is_absent_wipeonfork_is_empty),
		cmocka_unit_test(test_fork_locks_are_not_inherited),
		cmocka_unit_test(test_fork_abort_leaves_no_trace),
		cmocka_unit_test(test_fork_chain_of_generations_trees_stay_bounded),
		cmocka_unit_test(test_fork_many_children_of_one_parent_all_is_freed),
		cmocka_unit_test(test_rmap_walk_three_generations_all_found),
		cmocka_unit_test(test_rmap_walk_stops_when_told),
	};

	return RUN(tests);
}
