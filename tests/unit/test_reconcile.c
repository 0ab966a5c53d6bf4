/* SPDX-License-Identifier: MIT */
/* reconcile: the model takes over what maps shows, and keeps what maps cannot show. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x10000000UL
#define AT(page) (BASE + (page) * P)

static struct vma_desc desc(u64 start, u64 end, u64 flags)
{
	return (struct vma_desc){ .start = AT(start), .end = AT(end), .vm_flags = flags,
				  .pgoff = AT(start) >> PAGE_SHIFT };
}

static void reconcile(struct mm_struct *mm, const struct vma_desc *v, size_t n)
{
	assert_int_equal(mm_reconcile(mm, v, n), 0);
	mm_verify(mm);
}

static void test_reconcile_empty_mm_takes_all(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vma_desc v[] = {
		desc(0, 4, VM_READ | VM_EXEC | VM_UNMANAGED),
		desc(4, 6, VM_READ | VM_WRITE),
		desc(9, 12, VM_READ | VM_WRITE | VM_GROWSDOWN),
	};
	struct vma_info vma;

	reconcile(mm, v, 3);
	assert_int_equal(mm_map_count(mm), 3);
	assert_int_equal(mm->exec_vm, 4);
	assert_int_equal(mm->data_vm, 2);
	assert_int_equal(mm->stack_vm, 3);
	assert_true(mm_find_vma(mm, AT(4), &vma));
	assert_true(vma.vm_flags & VM_ACCOUNT && vma.vm_flags & VM_MAYEXEC);
	fake_mm_destroy(mm);
}

static void test_reconcile_same_again_changes_nothing(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vma_desc v[] = { desc(0, 4, VM_READ), desc(4, 6, VM_READ | VM_WRITE) };
	char *before, *after;

	reconcile(mm, v, 2);
	touch_write(mm, AT(5));
	before = dump_text(mm->world);
	reconcile(mm, v, 2);
	after = dump_text(mm->world);
	assert_string_equal(before, after);
	free(before);
	free(after);
	fake_mm_destroy(mm);
}

/*
 * model  |--NONE--|--NONE--|--RW--|   maps  |--RW--|--NONE--|--RW--|   an mprotect of all three that failed half-way: what has
 * become writable is accounted for, and one vma with a neighbour like it.
 */
static void test_reconcile_became_writable_is_accounted(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vma_desc v[] = { desc(0, 2, VM_READ | VM_WRITE), desc(2, 4, 0), desc(4, 6, VM_READ | VM_WRITE) };
	struct vma_desc w[] = { desc(0, 6, VM_READ | VM_WRITE) };
	struct vma_desc x[] = { desc(0, 6, 0) };
	struct vma_info vma;

	do_mmap(mm, AT(0), 4, PROT_NONE);
	do_mmap(mm, AT(4), 2, RW);
	reconcile(mm, v, 3);
	assert_true(mm_find_vma(mm, AT(0), &vma) && vma.vm_flags & VM_ACCOUNT);
	assert_true(mm_find_vma(mm, AT(2), &vma) && !(vma.vm_flags & VM_ACCOUNT));
	reconcile(mm, w, 1);
	assert_int_equal(mm_map_count(mm), 1);
	reconcile(mm, x, 1); /* nothing was written: the charge is given back */
	assert_true(mm_find_vma(mm, AT(0), &vma) && !(vma.vm_flags & VM_ACCOUNT));
	fake_mm_destroy(mm);
}

/*   model  |--RW locked, touched--|        maps   |--RW--|--R--|      pages and lock stay */
static void test_reconcile_protection_changed_pages_and_hidden_flags_stay(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vma_desc v[] = { desc(0, 2, VM_READ | VM_WRITE), desc(2, 4, VM_READ) };
	struct mm_plan *plan;

	do_mmap(mm, AT(0), 4, RW);
	for (u64 page = 0; page < 4; page++)
		touch_write(mm, AT(page));
	assert_int_equal(mm_plan_mlock(mm, AT(0), 4 * P, 0, &plan), 0);
	mm_plan_commit(plan, 0);
	reconcile(mm, v, 2);
	assert_int_equal(mm_map_count(mm), 2);
	assert_int_equal(mm->nr_anon_ptes, 4);
	assert_int_equal(mm->locked_vm, 4);
	assert_int_equal(mm->data_vm, 2);
	fake_mm_destroy(mm);
}

/*   model  |--a----------------|       maps      |--a--|  gap  |--b--|--a--|    */
static void test_reconcile_holes_and_new_mappings_drop_only_their_pages(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vma_desc v[] = {
		desc(1, 3, VM_READ | VM_WRITE),
		desc(4, 6, VM_READ | VM_WRITE | VM_SHARED | VM_UNMANAGED),
		desc(6, 9, VM_READ | VM_WRITE),
	};
	struct pte_info info;

	do_mmap(mm, AT(0), 8, RW);
	for (u64 page = 0; page < 8; page++)
		touch_write(mm, AT(page));
	reconcile(mm, v, 3);
	for (u64 page = 0; page < 9; page++) {
		bool kept = page == 1 || page == 2 || page == 6 || page == 7;

		mm_lookup_pte(mm, AT(page), &info);
		assert_int_equal(info.state, kept ? PTE_PRESENT : PTE_NONE);
	}
	assert_int_equal(mm->total_vm, 7);
	assert_int_equal(mm->world->frames.nr_used, 4);
	fake_mm_destroy(mm);
}

static void test_reconcile_other_file_or_offset_is_a_new_mapping(void **state)
{
	struct mm_struct *mm = fake_mm();
	struct vm_file *a = vm_file_get(mm->world, (struct vm_file_id){ 1, 1 }, "a");
	struct vm_file *b = vm_file_get(mm->world, (struct vm_file_id){ 1, 2 }, "b");
	struct vma_desc v = desc(0, 4, VM_READ | VM_UNMANAGED);
	struct vma_info vma;

	v.file = a;
	reconcile(mm, &v, 1);
	v.file = b;
	reconcile(mm, &v, 1);
	assert_true(mm_find_vma(mm, 0, &vma));
	assert_string_equal(vma.name, "b");
	v.pgoff = 5;
	reconcile(mm, &v, 1);
	assert_true(mm_find_vma(mm, 0, &vma));
	assert_int_equal(vma.pgoff, 5);
	assert_int_equal(mm_map_count(mm), 1);
	vm_file_put(a);
	vm_file_put(b);
	fake_mm_destroy(mm);
}

static void test_reconcile_nothing_empties_the_mm(void **state)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, AT(0), 4, RW);
	touch_write(mm, AT(0));
	reconcile(mm, NULL, 0);
	assert_int_equal(mm_map_count(mm), 0);
	assert_int_equal(mm->world->frames.nr_used, 0);
	fake_mm_destroy(mm);
}

/* Any layout to any other: pages 0..5, each none, R, RW or unmanaged; 4096 pairs are a sample of all. */
static void test_reconcile_random_layouts_page_by_page(void **state)
{
	static const u64 kinds[] = { 0, VM_READ, VM_READ | VM_WRITE, VM_READ | VM_UNMANAGED };
	u64 seed = 3;

	for (int i = 0; i < 4096; i++) {
		struct mm_struct *mm = fake_mm();

		for (int step = 0; step < 3; step++) {
			struct vma_desc v[6];
			u64 kind[6];
			size_t n = 0;

			for (u64 page = 0; page < 6; page++) {
				kind[page] = kinds[next_random(&seed, 4)];
				if (kind[page])
					v[n++] = desc(page, page + 1, kind[page]);
			}
			reconcile(mm, v, n);
			for (u64 page = 0; page < 6; page++) {
				struct vm_area_struct *vma = vma_lookup(mm, AT(page));

				assert_int_equal(!vma, !kind[page]);
				if (vma)
					assert_true((vma->vm_flags & (VM_ACCESS_FLAGS |
								      VM_UNMANAGED)) ==
						    kind[page]);
				if (vma && next_random(&seed, 2))
					touch_write(mm, AT(page));
			}
		}
		fake_mm_destroy(mm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reconcile_empty_mm_takes_all),
		cmocka_unit_test(test_reconcile_same_again_changes_nothing),
		cmocka_unit_test(test_reconcile_became_writable_is_accounted),
		cmocka_unit_test(
			test_reconcile_protection_changed_pages_and_hidden_flags_stay),
		cmocka_unit_test(test_reconcile_holes_and_new_mappings_drop_only_their_pages),
		cmocka_unit_test(test_reconcile_other_file_or_offset_is_a_new_mapping),
		cmocka_unit_test(test_reconcile_nothing_empties_the_mm),
		cmocka_unit_test(test_reconcile_random_layouts_page_by_page),
	};

	return RUN(tests);
}
