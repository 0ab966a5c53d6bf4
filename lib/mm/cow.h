/* SPDX-License-Identifier: MIT */
/*
 * cow.h - COW policies beyond "each page at its first write": what a fault does to its neighbours.
 *
 * Who calls it: do_wp_page().  What a fork does at once is in mm_api.h (mm_cow_*), and in cow.c too.
 */
#ifndef UPAGER_COW_H
#define UPAGER_COW_H

#include "mm/mm.h"

/*
 * The pages whose protection may be lifted together with that of the page at addr: its own, and those next to it
 * in its block of config.cow_around pages that are mapped once and only protected by us.
 * Pre: the pte of addr, at ref, is write-protected.  Return: a range that holds at least addr's page.
 */
struct range cow_reuse_run(const struct vm_area_struct *vma, u64 addr, struct pte_ref ref);
/* The machine has lifted the protection of `run`: so does the model, but for the page at addr. */
void cow_reuse_neighbours(struct vm_area_struct *vma, struct range run, u64 addr, struct pte_ref ref);

#endif /* UPAGER_COW_H */
