/* SPDX-License-Identifier: MIT */
/* reclaim_steps.h - pages that go out and come back, step by step, for the unit tests of reclaim and swap-in. */
#ifndef UPAGER_RECLAIM_STEPS_H
#define UPAGER_RECLAIM_STEPS_H

#include <sys/mman.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x10000000UL

/* `pages` of RW memory, all written to, under a budget of `budget` pages and FIFO: page 0 goes first. */
static inline struct mm_struct *filled_mm(u64 pages, u64 budget)
{
	struct mm_struct *mm = fake_mm();

	fake_budget(mm->world, budget, "fifo");
	do_mmap(mm, BASE, pages, RW);
	for (u64 i = 0; i < pages; i++)
		assert_int_equal(touch_write(mm, BASE + i * P), FAULT_RESOLVED);
	mm_world_verify(mm->world);
	return mm;
}

static inline struct pte_info pte_at(struct mm_struct *mm, u64 page)
{
	struct pte_info info;

	mm_lookup_pte(mm, BASE + page * P, &info);
	return info;
}

static inline struct frame *frame_of(struct mm_struct *mm, const struct victim *v)
{
	return pfn_to_frame(mm->world, v->pfn);
}

static inline u32 slot_count(struct mm_struct *mm, u32 slot)
{
	return swap_slot(mm->world, (swp_entry_t){ slot })->count;
}

static inline struct victim isolate(struct mm_struct *mm)
{
	struct victim v;

	assert_int_equal(mm_isolate(mm->world, true, NULL, NULL, &v), 0);
	mm_world_verify(mm->world);
	return v;
}

/* The next victim goes into place `index` of mm's staging area (mm is the handle). */
static inline struct victim stage(struct mm_struct *mm, u32 index)
{
	struct victim v = isolate(mm);

	assert_true(mm_stage(mm->world, v.pfn, mm, index));
	mm_world_verify(mm->world);
	return v;
}

static inline struct victim evict(struct mm_struct *mm)
{
	struct victim v = stage(mm, 0);

	mm_write_begin(mm->world, v.pfn);
	mm_evicted(mm->world, v.pfn, false);
	mm_world_verify(mm->world);
	return v;
}

#define expect_pages(mm, used, listed, rss, swapped, slots)                  \
	do {                                                                 \
		assert_int_equal((mm)->world->frames.nr_used, used);         \
		assert_int_equal((mm)->world->reclaim.nr_listed, listed);    \
		assert_int_equal((mm)->nr_anon_ptes, rss);                   \
		assert_int_equal((mm)->nr_swap_ptes, swapped);               \
		assert_int_equal((mm)->world->swap.nr_used, slots);          \
		mm_world_verify((mm)->world);                                \
	} while (0)

#define stats(mm) ((mm)->world->reclaim_stats)

static inline struct vm_fault fault(struct mm_struct *mm, u64 page, unsigned int flags, enum fault_result expected)
{
	struct vm_fault vmf = { .address = BASE + page * P + 12, .flags = flags };

	assert_int_equal(mm_handle_fault(mm, &vmf), expected);
	mm_world_verify(mm->world);
	return vmf;
}

static inline void do_lock(struct mm_struct *mm, u64 page, u64 pages, bool lock)
{
	struct mm_plan *plan;

	if (lock)
		assert_int_equal(mm_plan_mlock(mm, BASE + page * P, pages * P, 0, &plan), 0);
	else
		assert_int_equal(mm_plan_munlock(mm, BASE + page * P, pages * P, &plan), 0);
	mm_plan_commit(plan, 0);
	mm_world_verify(mm->world);
}

#endif /* UPAGER_RECLAIM_STEPS_H */
