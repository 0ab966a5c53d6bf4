/* SPDX-License-Identifier: MIT */
/* the tree of vmas: finding, linking, splitting, counters. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)

/*   0  1  2  3  4  5  6  7  8
 *      |--a--|     |--b--|          pages at BASE */
#define BASE 0x100000UL

static struct mm_struct *two_vmas(void)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, BASE + 1 * P, 2, RW);
	do_mmap(mm, BASE + 5 * P, 2, PROT_READ);
	return mm;
}

static void test_find_vma_each_page_gives_first_that_ends_above(void **state)
{
	static const int expected[] = { 1, 1, 1, 5, 5, 5, 5, 0, 0 }; /* start page; 0: none */
	struct mm_struct *mm = two_vmas();

	for (int round = 0; round < 2; round++) { /* the second with a warm cache */
		for (u64 i = 0; i < ARRAY_SIZE(expected); i++) {
			struct vm_area_struct *vma = find_vma(mm, BASE + i * P);

			if (!expected[i])
				assert_null(vma);
			else
				assert_int_equal(vma->vm_start, BASE + expected[i] * P);
		}
	}
	fake_mm_destroy(mm);
}

static void test_find_vma_prev_above_all_gives_last(void **state)
{
	struct mm_struct *mm = two_vmas();
	struct vm_area_struct *prev;

	assert_null(find_vma_prev(mm, BASE + 8 * P, &prev));
	assert_int_equal(prev->vm_start, BASE + 5 * P);
	assert_int_equal(find_vma_prev(mm, BASE + 4 * P, &prev)->vm_start, BASE + 5 * P);
	assert_int_equal(prev->vm_start, BASE + 1 * P);
	assert_int_equal(find_vma_prev(mm, BASE, &prev)->vm_start, BASE + 1 * P);
	assert_null(prev);
	fake_mm_destroy(mm);
}

static void test_find_vma_intersection_half_open_borders(void **state)
{
	struct mm_struct *mm = two_vmas();

	assert_null(find_vma_intersection(mm, BASE, BASE + 1 * P));
	assert_non_null(find_vma_intersection(mm, BASE, BASE + 1 * P + 1));
	assert_null(find_vma_intersection(mm, BASE + 3 * P, BASE + 5 * P));
	assert_null(vma_lookup(mm, BASE + 3 * P));
	assert_non_null(vma_lookup(mm, BASE + 3 * P - 1));
	fake_mm_destroy(mm);
}

static void test_insert_vm_struct_overlap_is_enomem(void **state)
{
	struct mm_struct *mm = two_vmas();
	struct mm_reserve res;
	struct vm_area_struct *vma;

	reserve_init(&res, mm->world);
	assert_int_equal(reserve_fill(&res, (struct reserve_need){ .vmas = 1 }), 0);
	vma = vma_new(&res, range_of(BASE + 2 * P, 2 * P), VM_READ, 2, NULL);
	assert_int_equal(insert_vm_struct(&res, mm, vma), -ENOMEM);
	vma->vm_start += P;
	assert_int_equal(insert_vm_struct(&res, mm, vma), 0);
	mm_verify(mm);
	assert_int_equal(mm_map_count(mm), 3);
	reserve_release(&res);
	fake_mm_destroy(mm);
}

/*   |-----a-----|  ->  |--a--|--new--|   counters do not move, pgoffs follow */
static void test_vma_split_touched_vma_both_halves_in_rmap(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct mm_reserve res;
	struct vm_area_struct *vma, *new;
	u64 total, data;

	do_mmap(mm, BASE, 8, RW);
	for (int i = 0; i < 8; i++)
		assert_int_equal(touch_write(mm, BASE + i * P), FAULT_RESOLVED);
	total = mm->total_vm;
	data = mm->data_vm;
	reserve_init(&res, mm->world);
	assert_int_equal(reserve_fill(&res, (struct reserve_need){ .vmas = 1, .avcs = 1 }), 0);
	vma = find_vma(mm, BASE);
	new = vma_split(&res, vma, BASE + 3 * P);
	assert_int_equal(vma->vm_end, BASE + 3 * P);
	assert_int_equal(new->vm_start, BASE + 3 * P);
	assert_int_equal(new->vm_end, BASE + 8 * P);
	assert_int_equal(new->vm_pgoff, vma->vm_pgoff + 3);
	assert_ptr_equal(new->anon_vma, vma->anon_vma);
	assert_int_equal(new->anon_vma->num_active_vmas, 2);
	assert_int_equal(mm->total_vm, total);
	assert_int_equal(mm->data_vm, data);
	mm_verify(mm);
	reserve_release(&res);
	fake_mm_destroy(mm);
}

static void test_counters_each_kind_counts_in_its_own(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct mmap_args stack = {
		.addr = BASE + 100 * P, .len = 4 * P, .prot = RW,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN,
	};
	struct mmap_args locked = {
		.addr = BASE + 200 * P, .len = 3 * P, .prot = PROT_READ,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED,
	};
	struct mmap_args shared = {
		.addr = BASE + 300 * P, .len = 7 * P, .prot = RW,
		.flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, .unmanaged = true,
	};
	struct mm_plan *plan;

	do_mmap(mm, BASE, 2, RW);                        /* data */
	do_mmap(mm, BASE + 10 * P, 5, PROT_READ | PROT_EXEC); /* exec */
	do_mmap(mm, BASE + 20 * P, 1, PROT_NONE);        /* only total */
	assert_int_equal(mm_plan_mmap(mm, &stack, &plan), 0);
	mm_plan_commit(plan, stack.addr);
	assert_int_equal(mm_plan_mmap(mm, &locked, &plan), 0);
	mm_plan_commit(plan, locked.addr);
	assert_int_equal(mm_plan_mmap(mm, &shared, &plan), 0);
	mm_plan_commit(plan, shared.addr);
	assert_int_equal(mm->data_vm, 2);
	assert_int_equal(mm->exec_vm, 5);
	assert_int_equal(mm->stack_vm, 4);
	assert_int_equal(mm->locked_vm, 3);
	assert_int_equal(mm->total_vm, 2 + 5 + 1 + 4 + 3 + 7);
	do_unmap(mm, BASE, 400);
	assert_int_equal(mm->total_vm, 0);
	assert_int_equal(mm->hiwater_vm, 22);
	fake_mm_destroy(mm);
}

/* ---- the tree ---- */

#define NR_PAGES 400

/* What find_vma must say, by the list. */
static const struct vm_area_struct *first_above(const struct mm_struct *mm, u64 addr)
{
	const struct vm_area_struct *vma = mm->mmap;

	while (vma && vma->vm_end <= addr)
		vma = vma->vm_next;
	return vma;
}

/* Short mappings come, go, split and merge at random: leaves are cut, emptied and joined. */
static void test_find_vma_in_random_worlds_equals_a_walk_of_the_list(void **state)
{
	struct mm_struct *mm = fake_mm();
	u64 seed = 11, most = 0;

	for (int i = 0; i < 4000; i++) {
		u64 page = next_random(&seed, NR_PAGES), pages = 1 + next_random(&seed, 3);
		bool shrink = i / 500 % 2;

		if (next_random(&seed, 4) < (shrink ? 3 : 1))
			do_unmap(mm, BASE + page * P, 3 * pages);
		else
			do_mmap(mm, BASE + page * P, pages, next_random(&seed, 2) ? RW : PROT_READ);
		for (page = 0; page < NR_PAGES + 12; page++) {
			struct vm_area_struct *prev;
			const struct vm_area_struct *vma =
				find_vma_prev(mm, BASE + page * P, &prev);

			assert_ptr_equal(vma, first_above(mm, BASE + page * P));
			if (vma)
				assert_ptr_equal(prev, vma->vm_prev);
			else
				assert_true(!prev || !prev->vm_next);
		}
		most = u64_max(most, mm_map_count(mm));
	}
	assert_true(most > 6 * VMAS_PER_LEAF);
	fake_mm_destroy(mm);
	print_message("seed 11, at most %lu vmas\n", most);
}

enum order { UP, DOWN, RANDOM, NR_ORDERS };

/* 0 … n-1, so that i -> place is one to one. */
static u64 place(enum order order, u64 i, u64 n)
{
	return order == UP ? i : order == DOWN ? n - 1 - i : i * 40503 % n;
}

/* |a|.|a|.|a|. …  made in some order; then most of them go, in another. */
static void test_vma_tree_leaves_are_three_quarters_or_a_quarter_full(void **state)
{
	enum { N = 1 << 10 };
	static const u64 at_most[NR_ORDERS] = { N / 12 + 1, N / 12 + 1, N / 4 };

	for (int order = UP; order < NR_ORDERS; order++) {
		struct mm_struct *mm = fake_mm();
		const struct slab *leaves = &mm->world->leaf_slab;

		for (u64 i = 0; i < N; i++)
			do_mmap(mm, BASE + 2 * P * place(order, i, N), 1, RW);
		assert_in_range(leaves->nr_used, N / VMAS_PER_LEAF, at_most[order]);
		for (u64 i = 0; i < N / 16 * 15; i++)
			do_unmap(mm, BASE + 2 * P * place(RANDOM, i, N), 1);
		assert_int_equal(mm_map_count(mm), N / 16);
		assert_in_range(leaves->nr_used, N / 16 / VMAS_PER_LEAF, N / 16 / 4);
		fake_mm_destroy(mm);
	}
}

static void test_vm_get_page_prot_all_sixteen(void **state)
{
	for (u64 f = 0; f < 16; f++) {
		int prot = vm_get_page_prot(f | VM_MAYWRITE | VM_LOCKED);

		assert_int_equal(!!(prot & PROT_READ), !!(f & VM_READ));
		assert_int_equal(!!(prot & PROT_WRITE), !!(f & VM_WRITE));
		assert_int_equal(!!(prot & PROT_EXEC), !!(f & VM_EXEC));
	}
}

/* users share the mm; the struct outlives its last user while somebody holds a reference. */
static void test_mm_put_last_user_drops_content_not_struct(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct mm_world *w = mm->world;

	do_mmap(mm, BASE, 4, RW);
	assert_int_equal(touch_write(mm, BASE), FAULT_RESOLVED);
	mm_get(mm);
	mmgrab(mm);
	mm_put(mm);
	assert_int_equal(mm_users(mm), 1);
	assert_int_equal(mm_map_count(mm), 1);
	assert_false(list_empty(&w->init_mm.mmlist));
	mm_put(mm);
	assert_int_equal(mm_users(mm), 0);
	assert_int_equal(mm_map_count(mm), 0);
	assert_int_equal(w->frames.nr_used, 0);
	assert_true(list_empty(&w->init_mm.mmlist));
	assert_int_equal(w->nr_mms, 1);
	mmdrop(mm);
	assert_int_equal(w->nr_mms, 0);
	mm_world_destroy(w);
}

static void test_vm_file_get_same_id_is_interned_name_tells_unknown_ids_apart(void **state)
{
	struct mm_world *w = fake_world();
	struct vm_file *a = vm_file_get(w, (struct vm_file_id){ 8, 15 }, "/bin/a");
	struct vm_file *b = vm_file_get(w, (struct vm_file_id){ 8, 16 }, "/bin/b");
	struct vm_file *vdso = vm_file_get(w, (struct vm_file_id){ 0, 0 }, "[vdso]");
	struct vm_file *vvar = vm_file_get(w, (struct vm_file_id){ 0, 0 }, "[vvar]");

	assert_ptr_equal(vm_file_get(w, (struct vm_file_id){ 8, 15 }, "/renamed"), a);
	assert_ptr_equal(vm_file_get(w, (struct vm_file_id){ 0, 0 }, "[vdso]"), vdso);
	assert_ptr_not_equal(a, b);
	assert_ptr_not_equal(vdso, vvar);
	vm_file_put(a);
	vm_file_put(a);
	vm_file_put(b);
	vm_file_put(vdso);
	vm_file_put(vdso);
	vm_file_put(vvar);
	mm_world_destroy(w); /* BUGs when a file is left */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find_vma_each_page_gives_first_that_ends_above),
		cmocka_unit_test(test_find_vma_prev_above_all_gives_last),
		cmocka_unit_test(test_find_vma_intersection_half_open_borders),
		cmocka_unit_test(test_insert_vm_struct_overlap_is_enomem),
		cmocka_unit_test(test_vma_split_touched_vma_both_halves_in_rmap),
		cmocka_unit_test(test_counters_each_kind_counts_in_its_own),
		cmocka_unit_test(test_find_vma_in_random_worlds_equals_a_walk_of_the_list),
		cmocka_unit_test(test_vma_tree_leaves_are_three_quarters_or_a_quarter_full),
		cmocka_unit_test(test_vm_get_page_prot_all_sixteen),
		cmocka_unit_test(test_mm_put_last_user_drops_content_not_struct),
		cmocka_unit_test(
			test_vm_file_get_same_id_is_interned_name_tells_unknown_ids_apart),
	};

	return RUN(tests);
}
