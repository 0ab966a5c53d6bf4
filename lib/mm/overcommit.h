/* SPDX-License-Identifier: MIT */
/*
 * overcommit.h - what of a vma counts as promised memory (VM_ACCOUNT).
 *
 * Who calls it: the plans, to learn what their commit would add.  Linux counterpart: accountable_mapping,
 * vm_unacct_memory.
 */
#ifndef UPAGER_OVERCOMMIT_H
#define UPAGER_OVERCOMMIT_H

#include "mm/mm.h"

/* In mode 2 MAP_NORESERVE saves nobody from being counted. */
bool overcommit_ignores_noreserve(const struct mm_struct *mm);
/* Pages of `r` that are counted now. */
u64 accounted_pages(struct mm_struct *mm, struct range r);

#endif /* UPAGER_OVERCOMMIT_H */
