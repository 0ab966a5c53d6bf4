/* SPDX-License-Identifier: MIT */
/*
 * mm_query.h - an address space's own figures and those of its vmas, for showing and for the audit.
 *
 * Who calls it: `upager maps`, --dump-mm, the audit against /proc/PID/status, and mm_dump().  It only reads.
 * Linux counterpart: fs/proc/task_mmu.c (task_mem, smap_gather_stats), fs/proc/array.c.
 */
#ifndef UPAGER_MM_QUERY_H
#define UPAGER_MM_QUERY_H

#include <stdio.h>

#include "mm/mm_api.h"

/* What mm_struct counts.  Pages unless said otherwise. */
struct mm_counters {
	u32 mm_users, mm_count, map_count;
	u64 total_vm, data_vm, exec_vm, stack_vm, locked_vm, pinned_vm;
	u64 anon_rss;       /* present ptes of managed memory */
	u64 swap_ptes;      /* pages that are swapped out */
	u64 zero_ptes;      /* ptes that map the zero page; not part of anon_rss */
	u64 hiwater_rss, hiwater_vm;
	u64 pgtables_bytes; /* the root table included, which the kernel does not count */
	u64 def_flags;
	struct mm_layout layout;
};
void mm_get_counters(const struct mm_struct *mm, struct mm_counters *out);

/* The pages of one vma, and what a reverse walk from them would visit. */
struct vma_usage {
	u64 nr_present, nr_swap, nr_zero, nr_wp, nr_lazyfree; /* ptes */
	u64 nr_shared;    /* present ptes whose frame is mapped more than once */
	u32 anon_vma;     /* id of the anon_vma that its new pages are born under; 0: none yet */
	u32 degree;       /* that anon_vma's children and active vmas, which decides its reuse */
	u32 nr_reached;   /* vmas in that anon_vma's tree: where its pages may be mapped */
	u32 nr_ancestors; /* anon_vmas in whose trees the vma stands */
};
/*
 * Of the first vma with end > addr (as mm_find_vma).  O(pages that are not none).
 * Returns false when there is none.
 */
bool mm_vma_usage(const struct mm_struct *mm, u64 addr, struct vma_usage *out);

/* The two-letter names of smaps' VmFlags, each with a space before it, then ours. */
void vm_flags_show(u64 vm_flags, FILE *f);

/* ---- saved_auxv ---- */

/* Room for more than any x86-64 kernel passes (AT_VECTOR_SIZE is 46 there today). */
#define MM_AUXV_MAX 64

/* Keep the auxiliary vector of a fresh image: nr values, pairs of (AT_*, value); what is too long is cut. */
void mm_set_auxv(struct mm_struct *mm, const u64 *auxv, size_t nr);
/* Borrowed until mm changes; *nr values. */
const u64 *mm_auxv(const struct mm_struct *mm, size_t *nr);

#endif /* UPAGER_MM_QUERY_H */
