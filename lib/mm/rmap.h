/* SPDX-License-Identifier: MIT */
/*
 * rmap.h - from a frame to all ptes that map it, for anonymous memory.
 *
 * Who calls it: faults, fork, split and merge, reclaim.
 * An anon_vma is a name for "pages born in this vma or its relatives"; a frame points to the one
 * it was born under, and the anon_vma's interval tree knows each vma in which that page may be mapped.
 * A vma's chain lists all anon_vmas in whose trees it stands: its own and, after fork, its ancestors'.
 *
 *      vma --anon_vma_chain--> avc --anon_vma--> anon_vma --rb_root--> avc's of all vmas
 *
 * Linux counterpart: rmap.h, mm/rmap.c; without locks, and the interval is kept in the avc.
 */
#ifndef UPAGER_RMAP_H
#define UPAGER_RMAP_H

#include "base/interval.h"
#include "base/list.h"

struct frame;
struct mm_reserve;
struct mm_struct;
struct mm_world;
struct vm_area_struct;

/* Freed when no avc stands in its tree and no descendant names it as its root. */
struct anon_vma {
	struct mm_world *world;
	struct anon_vma *root;   /* the first of the family; itself for the first */
	struct anon_vma *parent; /* itself for the root; valid while num_children of it counts us */
	u32 refcount;            /* 1 for its own life, and 1 for each descendant that has it as root */
	u32 num_children;        /* anon_vmas whose parent is this; a root counts itself */
	u32 num_active_vmas;     /* vmas whose ->anon_vma is this */
	u32 id;                  /* for dumps */
	struct interval_tree rb_root;
};

/* One (vma, anon_vma) pair.  Owned by the vma; its interval is the vma's page offsets. */
struct anon_vma_chain {
	struct vm_area_struct *vma;
	struct anon_vma *anon_vma;
	struct list_head same_vma;
	struct interval_node node;
};

/*
 * Give the vma an anon_vma: a mergeable neighbour's if it has one to share, else a new one.
 * Returns 0 or -ENOMEM.  Source: __anon_vma_prepare.
 */
int must_check anon_vma_prepare(struct vm_area_struct *vma);

/*
 * Put dst into every tree that src stands in.  When dst has no anon_vma yet (fork), it takes over one of
 * src's that has no active vma and fewer than two children (the degree rule, which bounds a chain of
 * forks).  Takes anon_vma_chain_len(src) avcs.  Source: anon_vma_clone.
 */
void anon_vma_clone(struct mm_reserve *res, struct vm_area_struct *dst,
		    const struct vm_area_struct *src);
/* The child's vma after fork; takes anon_vma_chain_len(pvma) + 1 avcs and 1 anon_vma. */
void anon_vma_fork(struct mm_reserve *res, struct vm_area_struct *vma,
		   const struct vm_area_struct *pvma);
/* dst has no chain, src is about to go: hand the chain over.  Source: dup_anon_vma then unlink. */
void anon_vma_move(struct vm_area_struct *dst, struct vm_area_struct *src);
/* Take the vma out of every tree; anon_vmas that nobody else needs are freed.  avcs go to `res`. */
void unlink_anon_vmas(struct mm_reserve *res, struct vm_area_struct *vma);
u32 anon_vma_chain_len(const struct vm_area_struct *vma);

/* Around a change of the vma's range: take its avcs out of the trees, put them back. */
void anon_vma_interval_tree_pre_update_vma(struct vm_area_struct *vma);
void anon_vma_interval_tree_post_update_vma(struct vm_area_struct *vma);

/*
 * A BUSY frame gets its first pte, at addr of vma: mapcount 1, RESIDENT.  Its reference is now the pte's.
 * Pre: vma->anon_vma.  Source: folio_add_new_anon_rmap.
 */
void page_add_new_anon_rmap(struct frame *frame, struct vm_area_struct *vma, u64 addr);
/* One more pte (fork).  Source: folio_try_dup_anon_rmap_pte. */
void page_dup_rmap(struct frame *frame);
/* One pte less, with its reference; the last frees the frame.  Source: folio_remove_rmap_pte. */
void page_remove_rmap(struct mm_world *world, struct frame *frame);
/* The frame is this vma's alone now: find it under its own anon_vma.  Source: folio_move_anon_rmap. */
void page_move_anon_rmap(struct frame *frame, struct vm_area_struct *vma);

/* Call fn for each pte that maps the frame; stops when fn returns not 0, and returns that. */
int rmap_walk(const struct frame *frame, int (*fn)(struct vm_area_struct *vma, u64 addr, void *arg),
	      void *arg);

#endif /* UPAGER_RMAP_H */
