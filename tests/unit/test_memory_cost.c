/* SPDX-License-Identifier: MIT */
/* What the model itself costs, counted by its accounts: the limits of the project's speed table. */
#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x100000000UL

static u64 bytes_of(const struct mm_struct *mm)
{
	struct mm_world_stats s;

	mm_world_stats(mm->world, &s);
	return s.model_bytes;
}

static void test_objects_sizes_within_limits(void **state)
{
	assert_true(sizeof(struct frame) <= 64);
	assert_int_equal(sizeof(pte_t), 8);
	assert_true(sizeof(struct vm_area_struct) <= 256);
}

/* 96 bytes a resident page, touched in any order, all overhead included. */
static void test_resident_page_costs_at_most_96_bytes(void **state)
{
	enum { PAGES = 1 << 16 };
	struct mm_struct *mm = fake_mm();
	u64 before = bytes_of(mm), used;

	do_mmap(mm, BASE, PAGES, RW);
	for (u64 i = 0; i < PAGES; i++) {
		struct vm_fault vmf = {
			.address = BASE + (i * 40503 % PAGES) * P,
			.flags = FAULT_FLAG_WRITE,
		};

		assert_int_equal(mm_handle_fault(mm, &vmf), FAULT_RESOLVED);
	}
	used = bytes_of(mm) - before;
	assert_int_equal(mm->nr_anon_ptes, PAGES);
	print_message("%.1f bytes per resident page\n", (double)used / PAGES);
	assert_true(used <= 96ul * PAGES);
	fake_mm_destroy(mm);
}

/* The same after fork: a frame that two programs share is one frame. */
static void test_forked_page_costs_only_its_pte(void **state)
{
	enum { PAGES = 1 << 14 };
	struct mm_struct *mm = fake_mm(), *child;
	struct mm_plan *plan;
	u64 before;

	do_mmap(mm, BASE, PAGES, RW);
	for (u64 i = 0; i < PAGES; i++) {
		struct vm_fault vmf = { .address = BASE + i * P, .flags = FAULT_FLAG_WRITE };

		mm_handle_fault(mm, &vmf);
	}
	before = bytes_of(mm);
	mm_mark_wp(mm, (struct range){ 0, TASK_SIZE });
	assert_int_equal(mm_plan_fork(mm, &plan, &child), 0);
	mm_plan_commit(plan, 0);
	print_message("%.1f bytes per forked page\n", (double)(bytes_of(mm) - before) / PAGES);
	assert_true(bytes_of(mm) - before <= 16ul * PAGES);
	mm_put(child);
	fake_mm_destroy(mm);
}

static void test_untouched_page_costs_at_most_a_tenth_of_a_byte(void **state)
{
	struct mm_struct *mm = fake_mm();
	u64 pages = 1UL << 24, before = bytes_of(mm), used; /* 64 GiB, as in the bench */

	do_mmap(mm, BASE, pages, RW);
	used = bytes_of(mm) - before;
	print_message("%.4f bytes per untouched page\n", (double)used / pages);
	assert_true(used * 10 <= pages);
	fake_mm_destroy(mm);
}

/* 256 bytes a vma in the tree, here with one that has never been touched. */
static void test_vma_costs_at_most_256_bytes(void **state)
{
	enum { VMAS = 20000 };
	struct mm_struct *mm = fake_mm();
	u64 before = bytes_of(mm), used;

	for (u64 i = 0; i < VMAS; i++) {
		struct mmap_args a = {
			.addr = BASE + 2 * i * P, .len = P, .prot = RW,
			.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		};
		struct mm_plan *plan;

		assert_int_equal(mm_plan_mmap(mm, &a, &plan), 0);
		mm_plan_commit(plan, a.addr);
	}
	used = bytes_of(mm) - before;
	assert_int_equal(mm_map_count(mm), VMAS);
	print_message("%.1f bytes per vma\n", (double)used / VMAS);
	assert_true(used <= 256ul * VMAS);
	mm_verify(mm);
	fake_mm_destroy(mm);
}

/* All of it comes back but for what slabs keep and the frame table, which stays for the next use. */
static void test_unmap_gives_tables_and_vmas_back(void **state)
{
	struct mm_struct *mm = fake_mm();
	u64 frames, before;

	do_mmap(mm, BASE, 1, RW);
	touch_write(mm, BASE);
	do_unmap(mm, BASE, 1);
	before = bytes_of(mm);
	frames = mm->world->frames.node[0].present_pages;
	do_mmap(mm, BASE, 1 << 16, RW);
	for (u64 i = 0; i < 1 << 16; i += 64) {
		struct vm_fault vmf = { .address = BASE + i * P };

		mm_handle_fault(mm, &vmf);
	}
	assert_true(bytes_of(mm) > before + 100 * PAGE_SIZE);
	do_unmap(mm, BASE, 1 << 16);
	assert_int_equal(mm->world->frames.node[0].present_pages, frames);
	assert_true(bytes_of(mm) <= before + (64 << 10));
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_sizes_within_limits),
		cmocka_unit_test(test_resident_page_costs_at_most_96_bytes),
		cmocka_unit_test(test_forked_page_costs_only_its_pte),
		cmocka_unit_test(test_untouched_page_costs_at_most_a_tenth_of_a_byte),
		cmocka_unit_test(test_vma_costs_at_most_256_bytes),
		cmocka_unit_test(test_unmap_gives_tables_and_vmas_back),
	};

	return RUN(tests);
}
