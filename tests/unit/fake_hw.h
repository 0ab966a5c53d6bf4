/* SPDX-License-Identifier: MIT */
/*
 * fake_hw.h - the least machine that the unit tests of lib/mm need.
 *
 * It says yes to everything, remembers the last call, and can be told to refuse the next one.
 * (lib/sim is the machine that remembers bytes.)
 */
#ifndef UPAGER_FAKE_HW_H
#define UPAGER_FAKE_HW_H

#include "mm/mm.h"

struct fake_hw {
	u64 nr_map_zero, nr_map_copy, nr_protect, nr_wake;
	u64 last_addr, last_nr_pages;
	unsigned int last_flags;
	/* The next map_* or protect answers `refuse` after `refuse_after` pages; 0: never. */
	int refuse;
	u64 refuse_after;
	/* Staging.  What unstage() and peek() answer; the page that peek() gives is full of `peeked`. */
	u64 nr_unstage, nr_unstage_drop, nr_peek;
	int unstage, peek;
	u8 peeked;
	u32 last_pfn;
	void *last_stage;
	u32 last_index;
	u8 last_byte; /* the first of the last page that was copied; 0 for zeroes */
};

/* The slots' bytes: it has the same page for all, full of `byte`. */
struct fake_backing {
	u64 nr_read, nr_read_now, nr_drop;
	u32 last_slot;
	int read;     /* what read() answers */
	int read_now; /* and read_now(), from the `after`th call on */
	u64 after;
	u8 byte;
	bool tight;
	u32 nr_used, nr_left; /* what prefetched() was told */
	u64 last_told;
};

extern struct fake_hw fake_hw;
extern const struct hw_ops fake_hw_ops;
extern struct fake_backing fake_backing;
extern const struct backing_ops fake_backing_ops;

/* A world with 16-page fault-around off, max_map_count 65530, Linux's guard gap; the fakes zeroed. */
struct mm_world *fake_world(void);
struct mm_world *fake_world_with(u32 prefetch_max_pages);

/* One address space in a world of its own, and the end of both. */
struct mm_struct *fake_mm(void);
void fake_mm_destroy(struct mm_struct *mm);

/* `pages` of budget, and a new policy of that name for them, in the checker of policy/checked.h. */
void fake_budget(struct mm_world *world, u64 pages, const char *policy);

/* Short hands that must succeed: private anonymous memory at addr (MAP_FIXED). */
void do_mmap(struct mm_struct *mm, u64 addr, u64 pages, int prot);
void do_unmap(struct mm_struct *mm, u64 addr, u64 pages);
void do_protect(struct mm_struct *mm, u64 addr, u64 pages, int prot);
void do_madvise(struct mm_struct *mm, u64 addr, u64 pages, int advice);
struct mm_struct *do_fork(struct mm_struct *mm);
enum fault_result touch_read(struct mm_struct *mm, u64 addr);
enum fault_result touch_write(struct mm_struct *mm, u64 addr); /* missing or wp, as the pte says */

/* mm_world_dump() as a string; the caller frees it. */
char *dump_text(const struct mm_world *world);

#endif /* UPAGER_FAKE_HW_H */
