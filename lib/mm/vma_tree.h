/* SPDX-License-Identifier: MIT */
/*
 * vma_tree.h - the vmas of an mm by address: a red-black tree of leaves, each with up to 16 neighbours.
 *
 * Who calls it: vma.c, which keeps the list and the counters beside it; layout.c reads the gaps.
 * A leaf has copies of what a search asks of its vmas, so that finding one among 60,000 reads few cache
 * lines; it is a T-tree (Lehman and Carey, 1986).  Linux counterpart: the maple tree, whose leaf too holds
 * 16 ranges; the gap cache in the tree is that of the red-black tree which Linux had up to 5.19.
 */
#ifndef UPAGER_VMA_TREE_H
#define UPAGER_VMA_TREE_H

#include "base/rbtree.h"

struct mm_reserve;
struct mm_struct;
struct vm_area_struct;

#define VMAS_PER_LEAF 16u

/*
 * A run of neighbouring vmas; never empty while in the tree.  Owned by the tree of its mm.  The first 64
 * bytes are what the way down reads.  An odd number of cache lines: heads of leaves then do not share
 * a part of the cache.
 */
struct vma_leaf {
	struct rb_node rb;
	u64 end;         /* vm_end of the last vma */
	u64 below;       /* where the first gap starts: vm_end of the vma before this leaf, 0: none */
	u64 gap;         /* the largest below any vma of the leaf, in bytes */
	u64 subtree_gap; /* the largest of the leaves in the subtree */
	u32 nr;

	u64 vm_end[VMAS_PER_LEAF] __attribute__((aligned(64)));
	u64 start_gap[VMAS_PER_LEAF]; /* vm_start_gap() */
	struct vm_area_struct *vma[VMAS_PER_LEAF];
} __attribute__((aligned(64)));

static inline struct vma_leaf *leaf_of(const struct rb_node *rb)
{
	return rb ? container_of(rb, struct vma_leaf, rb) : NULL;
}

/* The usable addresses right below the i-th vma; empty (perhaps start > end): none. */
static inline struct range leaf_gap(const struct vma_leaf *leaf, u32 i)
{
	return (struct range){ i ? leaf->vm_end[i - 1] : leaf->below, leaf->start_gap[i] };
}

/* The first vma with vm_end > addr; NULL: none.  O(log n). */
struct vm_area_struct *vma_tree_find(const struct mm_struct *mm, u64 addr);
/* The highest; NULL: there is none. */
struct vm_area_struct *vma_tree_last(const struct mm_struct *mm);

/*
 * Put the vma between its vm_prev and vm_next, both of which already point to it.  Takes at most 1 leaf.
 */
void vma_tree_insert(struct mm_reserve *res, struct vm_area_struct *vma);
/* Take it out.  Pre: its neighbours already point to each other. */
void vma_tree_erase(struct mm_reserve *res, struct vm_area_struct *vma);
/* Its range or its guard gap has changed, its place among the others has not. */
void vma_tree_update(struct vm_area_struct *vma);

/* I1: the tree equals the list.  BUG()s. */
void vma_tree_verify(const struct mm_struct *mm);

#endif /* UPAGER_VMA_TREE_H */
