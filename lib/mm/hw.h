/* SPDX-License-Identifier: MIT */
/*
 * hw.h - the narrow waist between the model and a machine.
 *
 * The model (lib/mm) decides; a `struct hw_ops` acts.  Two implementations exist: pager/hw_linux.c
 * (userfaultfd on a real process) and lib/sim (a fake machine with an oracle).  No function here
 * may call back into the model.
 *
 * Every operation returns 0 or a negative errno, by name:
 *   -EAGAIN  the address space is changing (an event is unread); ask again later, nothing was done
 *            beyond *done
 *   -EBUSY   map_zero only: the same came half-way
 *   -EEXIST  something is mapped at the page after *done pages; nobody was woken
 *   -ENOENT  no such armed mapping at the page after *done pages
 *   -ESRCH   the address space is gone; forget it
 *   -ENOMEM  the machine has no memory
 * Linux counterpart: the architecture's set_pte/flush_tlb; here the ioctl_userfaultfd(2) calls.
 */
#ifndef UPAGER_HW_H
#define UPAGER_HW_H

#include "base/base.h"

struct mm_struct;

enum hw_flags {
	HW_WP = 1 << 0,     /* map write-protected: the next write is a WP fault */
	HW_NOWAKE = 1 << 1, /* leave the faulting threads asleep */
};

struct hw_ops {
	/* Deliver faults in `r` (whole mappings or parts) to us: missing and write-protect. */
	int (*arm)(struct mm_struct *mm, struct range r);
	/* Stop delivering faults in `r`; wakes all who wait there. */
	int (*disarm)(struct mm_struct *mm, struct range r);
	/*
	 * Map the zero page, write-protected, at [addr, addr + nr_pages) and wake, unless HW_NOWAKE.
	 * *done (may be NULL): pages mapped, also on error.  Of -EBUSY they are not protected, so nobody tells of
	 * writes to them, and nobody was woken.
	 */
	int (*map_zero)(struct mm_struct *mm, u64 addr, u64 nr_pages, unsigned int flags,
			u64 *done);
	/* map_zero gives the vma an anon_vma, as UFFDIO_ZEROPAGE does (mfill_atomic), and no fault (do_anonymous_page). */
	bool zero_takes_anon_vma;
	/*
	 * Map new pages holding a copy of src (nr_pages * PAGE_SIZE bytes; NULL: zeroes) and wake,
	 * unless HW_NOWAKE.  *done (may be NULL): pages mapped, also on error.
	 */
	int (*map_copy)(struct mm_struct *mm, u64 addr, u64 nr_pages, const void *src,
			unsigned int flags, u64 *done);
	/* Write-protect the present pages of `r` (HW_WP) or lift it (0); lifting wakes unless HW_NOWAKE. */
	int (*protect)(struct mm_struct *mm, struct range r, unsigned int flags);
	/* Wake the threads that wait for a fault in `r`; they retry. */
	int (*wake)(struct mm_struct *mm, struct range r);
	/*
	 * Pages in staging; `stage` is what mm_stage() was told.
	 * unstage: begin to move the page back to addr of mm, for a faulting thread that is woken then;
	 * mm_unstaged() will tell.  Returns 0; -EXDEV: the stage is not mm's; -EOPNOTSUPP: not there.
	 */
	int (*unstage)(struct mm_struct *mm, u64 addr, void *stage, u32 index, u32 pfn);
	/* Read it where it is.  Returns 0, or -EIO: it is gone. */
	int (*peek)(void *stage, u32 index, void *page);
	/* Nobody wants it any more: drop it some time, then mm_evicted(). */
	void (*unstage_drop)(void *stage, u32 index, u32 pfn);
};

#endif /* UPAGER_HW_H */
