/* SPDX-License-Identifier: MIT */
/*
 * vma.h - vm_area_struct, and how they are found, split and merged.
 *
 * Who calls it: every plan's commit (mmap.c, mprotect.c …), the fault path (find_vma).
 * All changes go through vma_link, vma_unlink, vma_set_range and vma_set_flags, which keep the tree, the
 * reverse map and the mm's counters (I2) equal to the vmas at each step.  What must allocate takes from
 * a mm_reserve filled beforehand, so nothing here can fail.
 * Linux counterpart: mm/vma.c; the tree is in vma_tree.h.
 */
#ifndef UPAGER_VMA_H
#define UPAGER_VMA_H

#include "base/list.h"
#include "mm/vm_flags.h"
#include "mm/vma_tree.h"

struct anon_vma;
struct mm_reserve;
struct mm_struct;
struct vm_file;

/*
 * A run of pages with the same attributes.  Owned by its mm.  The first 64 bytes are what a fault
 * reads.  I1: not empty, page aligned, below TASK_SIZE, sorted and disjoint.
 */
struct vm_area_struct {
	u64 vm_start;
	u64 vm_end; /* one past */
	struct mm_struct *vm_mm;
	u64 vm_flags;
	u64 vm_pgoff;           /* pages; for anonymous memory the address it was first faulted at */
	struct vm_file *vm_file; /* a reference; NULL: anonymous */
	struct anon_vma *anon_vma; /* where its new pages go; NULL: none yet */
	struct vma_leaf *leaf;     /* its place in the tree of vm_mm; NULL: not there */

	struct vm_area_struct *vm_prev;
	struct vm_area_struct *vm_next;
	struct list_head anon_vma_chain; /* of anon_vma_chain.same_vma */
} __attribute__((aligned(64)));

static inline u64 vma_pages(const struct vm_area_struct *vma)
{
	return (vma->vm_end - vma->vm_start) >> PAGE_SHIFT;
}

/* Private memory without a file. */
static inline bool vma_is_anonymous(const struct vm_area_struct *vma)
{
	return !vma->vm_file && !(vma->vm_flags & VM_SHARED);
}

static inline struct range vma_range(const struct vm_area_struct *vma)
{
	return (struct range){ vma->vm_start, vma->vm_end };
}

/* The page offset of addr in the vma, as vm_pgoff counts. */
static inline u64 linear_page_index(const struct vm_area_struct *vma, u64 addr)
{
	return vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);
}

/* The page protections that a vma's READ, WRITE, EXEC, SHARED bits stand for (PROT_*). */
extern const u8 protection_map[16];
int vm_get_page_prot(u64 vm_flags);

/*
 * Where the vma's surroundings end: below a stack nothing may come nearer than the guard gap.
 * Source: vm_start_gap.
 */
u64 vm_start_gap(const struct vm_area_struct *vma);

/* The first vma with vm_end > addr; NULL: none.  O(log n), O(1) for the one found last. */
struct vm_area_struct *find_vma(struct mm_struct *mm, u64 addr);
/* As find_vma; *prev is the vma below the one found (the last one when none is found). */
struct vm_area_struct *find_vma_prev(struct mm_struct *mm, u64 addr, struct vm_area_struct **prev);
/* The first vma that overlaps [start, end); NULL: none. */
struct vm_area_struct *find_vma_intersection(struct mm_struct *mm, u64 start, u64 end);
/* The vma that contains addr. */
struct vm_area_struct *vma_lookup(struct mm_struct *mm, u64 addr);

/*
 * Put the vma into its mm's tree, or take it out.  Pre for link: no overlap, and the vma is of this reserve,
 * in which each vma brings the leaf that it may need.
 */
void vma_link(struct mm_reserve *res, struct mm_struct *mm, struct vm_area_struct *vma);
void vma_unlink(struct mm_reserve *res, struct vm_area_struct *vma);
/* Link after checking for overlap.  Return: 0, or -ENOMEM as Linux says for "in the way". */
int must_check insert_vm_struct(struct mm_reserve *res, struct mm_struct *mm,
				struct vm_area_struct *vma);
/* Pre: the new range overlaps no neighbour. */
void vma_set_range(struct vm_area_struct *vma, u64 start, u64 end, u64 pgoff);
void vma_set_flags(struct vm_area_struct *vma, u64 vm_flags);

/* A vma from the reserve, not yet linked, that takes its own reference on file. */
struct vm_area_struct *vma_new(struct mm_reserve *res, struct range r, u64 vm_flags, u64 pgoff,
			       struct vm_file *file);
/* Drop its file, give it back.  Pre: unlinked, no anon_vma_chain. */
void vma_free(struct mm_reserve *res, struct vm_area_struct *vma);

/*
 * Cut the vma at addr; it keeps the lower part, the upper is returned.  Takes 1 vma and
 * anon_vma_chain_len() avcs.  Pre: vm_start < addr < vm_end.  Source: __split_vma.
 */
struct vm_area_struct *vma_split(struct mm_reserve *res, struct vm_area_struct *vma, u64 addr);

/* What is about to stand at [start, end): asked of the neighbours. */
struct vma_merge {
	struct vm_area_struct *prev;   /* the vma below start, or NULL */
	struct vm_area_struct *middle; /* the vma that holds [start, end); NULL: nothing there yet */
	struct vm_area_struct *next;   /* the first vma at or above end (of middle), or NULL */
	u64 start, end;
	u64 vm_flags;
	u64 pgoff;                     /* of start */
	struct vm_file *file;
	struct anon_vma *anon_vma;     /* of what is to stand there */
	struct vm_area_struct *copied_from; /* mremap: whose anon_vma that is; else NULL */
};

/*
 * Let the neighbours take [start, end) of `middle` over, when all attributes agree.
 * Return: the vma that now holds it, or NULL when nothing merges (nothing was changed).
 * Takes at most 1 avc.  Source: vma_merge_existing_range.
 */
struct vm_area_struct *vma_merge_existing_range(struct mm_reserve *res, struct vma_merge *vmg);
/* The same where there is nothing yet.  Source: vma_merge_new_range. */
struct vm_area_struct *vma_merge_new_range(struct mm_reserve *res, struct vma_merge *vmg);

/*
 * Give [start, end) of the vma new flags: merge, or split and set.  Takes at most 2 vmas and
 * 2 * chain + 1 avcs.  Return: the vma that now holds it.  Source: vma_modify_flags.
 */
struct vm_area_struct *vma_modify_flags(struct mm_reserve *res, struct vm_area_struct *vma, u64 start,
					u64 end, u64 vm_flags);

/* How many cuts vma_modify_flags() will make: each needs room under max_map_count. */
u32 vma_modify_splits(struct vm_area_struct *vma, u64 start, u64 end, u64 vm_flags);

/* May a page of b be born under a's anon_vma?  b follows a.  Source: anon_vma_compatible. */
bool anon_vma_compatible(const struct vm_area_struct *a, const struct vm_area_struct *b);

#endif /* UPAGER_VMA_H */
