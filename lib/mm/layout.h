/* SPDX-License-Identifier: MIT */
/*
 * layout.h - where a new mapping goes when nobody says where: the search for a gap.
 *
 * Who calls it: mm_get_unmapped_area() (layout.c) and its unit test.  The tree of vmas knows the largest
 * gap of each of its subtrees (vma_tree.h), so both searches take O(log n) steps.
 * Linux counterpart: vm_unmapped_area_info, vm_unmapped_area (mm/vma.c), arch/x86/kernel/sys_x86_64.c,
 * arch/x86/mm/mmap.c.
 */
#ifndef UPAGER_LAYOUT_H
#define UPAGER_LAYOUT_H

#include "mm/mm.h"

struct vm_unmapped_area_info {
	bool topdown;              /* the highest place, else the lowest */
	u64 length;                /* bytes, page aligned, not 0 */
	u64 low_limit, high_limit; /* the mapping must lie in [low_limit, high_limit) */
	u32 steps;                 /* out: leaves of vmas that were looked at */
};

/*
 * The lowest (highest) free address for info->length bytes, leaving the guard gap below each stack free.
 * Returns the address, or -ENOMEM: no gap is large enough.
 */
s64 vm_unmapped_area(const struct mm_struct *mm, struct vm_unmapped_area_info *info);

#endif /* UPAGER_LAYOUT_H */
