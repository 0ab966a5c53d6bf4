/* SPDX-License-Identifier: MIT */
/*
 * mm.h - mm_struct and mm_world: inside the model.
 *
 * Who includes it: the files of lib/mm and its unit tests; the pager sees mm_api.h only.
 * Linux counterpart: mm_types.h.
 */
#ifndef UPAGER_MM_H
#define UPAGER_MM_H

#include <errno.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/list.h"
#include "base/rbtree.h"
#include "mm/frame.h"
#include "mm/mm_api.h"
#include "mm/mm_query.h"
#include "mm/pgtable.h"
#include "mm/reclaim.h"
#include "mm/reserve.h"
#include "mm/rmap.h"
#include "mm/vma.h"

/* Where a run of sequential first touches is expected to go on (fault-around). */
struct fault_stream {
	u64 above;  /* address of the page after the last answer | 1 for writes; 0: unused */
	u64 below;  /* … of the page before it */
	u32 window; /* pages of the last answer */
	bool down;  /* the last one went downwards */
};
#define NR_FAULT_STREAMS 8

/*
 * An address space.  Lives while mm_count > 0; its content goes when mm_users drops to 0.
 * Every counter can be recounted from the vmas and ptes (I2).
 */
struct mm_struct {
	struct mm_world *world;
	void *host;              /* the machine's handle; never looked into */
	u32 mm_users;            /* tasks that use it; together they hold one mm_count */
	u32 mm_count;            /* references to the struct */
	struct list_head mmlist; /* on init_mm's, from publication to the last mm_users */

	struct rb_root mm_rb;    /* of struct vma_leaf, by address */
	struct vm_area_struct *mmap;       /* the lowest */
	struct vm_area_struct *vmacache;   /* found last; NULL: none */
	u32 map_count;
	u64 def_flags;           /* or-ed into new mappings (MCL_FUTURE) */

	struct pgtable *pgd;
	u64 pgtables_bytes;      /* tables below pgd and pgd itself */
	u64 nr_anon_ptes;        /* rss: present ptes */
	u64 nr_swap_ptes;        /* pages that are swapped out */
	u64 nr_zero_ptes;        /* ptes that map the zero page; not part of rss, as in Linux */

	/* in pages */
	u64 total_vm, data_vm, exec_vm, stack_vm, locked_vm, pinned_vm;
	u64 hiwater_rss, hiwater_vm;
	u64 committed_vm;        /* of vmas with VM_ACCOUNT */

	struct mm_layout layout; /* start_code … env_end; brk is the current break */
	u64 saved_auxv[MM_AUXV_MAX]; /* as /proc/PID/auxv shows it */
	u32 nr_auxv;

	struct fault_stream stream[NR_FAULT_STREAMS];
	u32 stream_hand;         /* the next one to be replaced */

	bool has_pinned;         /* devices may hold pages of it (gup.c); MMF_HAS_PINNED */
	struct mm_plan *plan;    /* the open one; NULL: none */
	bool plan_refused_by_us; /* the last mm_plan_*() failed for lack of the model's own memory */
};

/* All address spaces of one run.  Owned by the caller of mm_world_create(). */
struct mm_world {
	struct mm_config config;
	u64 bytes;               /* every heap byte of the model */
	struct mm_struct init_mm; /* heads mmlist; holds no memory */
	struct frame_table frames;
	struct swap_info swap;
	struct reclaim reclaim;
	struct reclaim_stats reclaim_stats;
	u8 *swap_buf;            /* for swap-in of several pages at once; NULL: none needed yet */
	struct rb_root files;    /* struct vm_file by id and name */
	struct slab vma_slab, leaf_slab, avc_slab, anon_vma_slab, table_slab, mm_slab, plan_slab;
	u64 zero_ptes, zero_total;
	u64 vm_committed_as;     /* the sum of committed_vm, in pages */
	u64 committed_max;
	u32 next_anon_vma_id;
	u32 nr_mms;
};

/* file.c: a vm_file's insides */
struct vm_file {
	struct mm_world *world;
	struct rb_node node;
	struct vm_file_id id;
	u32 refcount;
	u32 alloc_bytes;
	char name[];
};

/* mm.c */
void mmgrab(struct mm_struct *mm);
void mmdrop(struct mm_struct *mm);
/* A new mm that is not on mmlist yet.  NULL: no memory. */
struct mm_struct *mm_alloc_unpublished(struct mm_world *world);
void mm_publish(struct mm_struct *mm);
/* `pages` more (or fewer) in vmas of these flags.  Source: vm_stat_account. */
void vm_stat_account(struct mm_struct *mm, u64 vm_flags, s64 pages);

/* memory.c */
/* Drop every pte of r.  Emptied tables go to `res` unless NULL.  Source: zap_page_range. */
void zap_page_range(struct mm_struct *mm, struct range r, struct mm_reserve *res);
/* Move the ptes of [old, old + len) to the same distance from `new`.  Source: move_page_tables. */
void move_page_tables(struct mm_struct *mm, u64 old, u64 new_addr, u64 len, struct mm_reserve *res);
/* Tables that move_page_tables() can need beyond those that it frees on the way. */
#define MOVE_TABLES 12
/* munlock: the pages of r may be evicted again. */
void munlock_range(struct mm_struct *mm, struct range r);
/* Give the child the parent's ptes in r.  0 or -ENOMEM.  Pre: all write-protected. */
int must_check copy_page_range(struct mm_struct *child, struct mm_struct *parent, struct range r);
/* MADV_FREE. */
void mark_lazyfree(struct mm_struct *mm, struct range r);

/* swapin.c */
/* A fault of a page that is out; the pte is a swap pte.  Source: do_swap_page. */
enum fault_result do_swap_page(struct vm_area_struct *vma, struct vm_fault *vmf, u64 addr,
			       struct pte_ref ref);
/*
 * fault.c: the pte at addr, whatever it was, names a new frame of the vma's own.
 * Pre: anon_vma_prepare() and frame_reserve() said so.
 */
void map_new_frame(struct vm_area_struct *vma, u64 addr, struct pte_ref ref);
/* fault.c: the machine refused, and nothing was done. */
enum fault_result hw_refused(struct mm_struct *mm, u64 addr, int err);

/* mmap.c */
/*
 * Cut what overlaps [start, end) out of the mm, ptes and all.  Takes at most 2 vmas and the chains of
 * the vmas at start and at end.  Source: do_vmi_align_munmap.
 */
void do_munmap(struct mm_reserve *res, struct mm_struct *mm, struct range r);
/* Map r, where nothing is; merges.  Takes 1 vma and 1 avc.  Source: __mmap_region. */
struct vm_area_struct *mmap_region(struct mm_reserve *res, struct mm_struct *mm, struct range r,
				   u64 vm_flags, u64 pgoff, struct vm_file *file);
/* The vmas and avcs that changes with the borders start and end may take at most. */
struct reserve_need range_need(struct mm_struct *mm, struct range r);
/* Has r a hole, or does it lie outside of any vma? */
bool range_has_hole(struct mm_struct *mm, struct range r);
/* Does a vma in r forbid that it is unmapped or changed (mseal)? */
bool range_is_sealed(struct mm_struct *mm, struct range r);
/* What VM_ACCOUNT becomes when the vma's flags become `flags`: returns them with it or without.  Source: mprotect_fixup. */
u64 mprotect_account(const struct vm_area_struct *vma, u64 flags);

#endif /* UPAGER_MM_H */
