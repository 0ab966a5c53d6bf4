/* SPDX-License-Identifier: MIT */
/*
 * vma_tree.c - see vma_tree.h.
 *
 * A full leaf is cut where the new vma goes, but never within a quarter of its ends: mappings made upwards
 * or downwards then leave leaves three quarters full, and no order leaves less than a quarter.  Leaves that
 * together would be half full become one when a vma goes.
 */
#include "mm/vma_tree.h"

#include <inttypes.h>
#include <string.h>

#include "mm/mm.h"

struct vm_area_struct *vma_tree_find(const struct mm_struct *mm, u64 addr)
{
	const struct rb_node *rb = mm->mm_rb.node;
	const struct vma_leaf *found = NULL;
	u32 i = 0;

	while (rb) {
		const struct vma_leaf *leaf = leaf_of(rb);

		if (leaf->end > addr) {
			found = leaf;
			rb = rb->left;
		} else {
			rb = rb->right;
		}
	}
	if (!found)
		return NULL;
	__builtin_prefetch(&found->vma[0]);
	__builtin_prefetch(&found->vma[VMAS_PER_LEAF / 2]);
	while (found->vm_end[i] <= addr) /* the last one is above */
		i++;
	/* A first fault asks the neighbours for their anon_vma; waiting for them one by one would take longer. */
	__builtin_prefetch(found->vma[i ? i - 1 : 0]);
	__builtin_prefetch(found->vma[i + 1 < found->nr ? i + 1 : i]);
	return found->vma[i];
}

struct vm_area_struct *vma_tree_last(const struct mm_struct *mm)
{
	const struct rb_node *rb = mm->mm_rb.node;

	while (rb && rb->right)
		rb = rb->right;
	return rb ? leaf_of(rb)->vma[leaf_of(rb)->nr - 1] : NULL;
}

/* ---- what a leaf knows of its vmas, and a subtree of its leaves ---- */

static void update_subtree_gap(struct rb_node *rb)
{
	struct vma_leaf *leaf = leaf_of(rb);

	leaf->subtree_gap = leaf->gap;
	if (rb->left)
		leaf->subtree_gap = u64_max(leaf->subtree_gap, leaf_of(rb->left)->subtree_gap);
	if (rb->right)
		leaf->subtree_gap = u64_max(leaf->subtree_gap, leaf_of(rb->right)->subtree_gap);
}

static void leaf_summarize(struct vma_leaf *leaf)
{
	const struct vm_area_struct *prev = leaf->vma[0]->vm_prev;

	leaf->end = leaf->vm_end[leaf->nr - 1];
	leaf->below = prev ? prev->vm_end : 0;
	leaf->gap = 0;
	for (u32 i = 0; i < leaf->nr; i++)
		leaf->gap = u64_max(leaf->gap, range_len(leaf_gap(leaf, i)));
}

/* The leaf's content has changed: tell those above, and the next leaf, whose first gap starts here. */
static void leaf_changed(struct vma_leaf *leaf)
{
	const struct vm_area_struct *next = leaf->vma[leaf->nr - 1]->vm_next;

	leaf_summarize(leaf);
	rb_propagate(&leaf->rb, update_subtree_gap);
	if (next && next->leaf->below != leaf->end) {
		leaf_summarize(next->leaf);
		rb_propagate(&next->leaf->rb, update_subtree_gap);
	}
}

/* ---- moving vmas within and between leaves ---- */

static u32 leaf_index(const struct vma_leaf *leaf, const struct vm_area_struct *vma)
{
	for (u32 i = 0; i < leaf->nr; i++) {
		if (leaf->vma[i] == vma)
			return i;
	}
	BUG("vma %" PRIx64 " is not in its leaf", vma->vm_start);
}

static void leaf_set(struct vma_leaf *leaf, u32 i, struct vm_area_struct *vma)
{
	leaf->vm_end[i] = vma->vm_end;
	leaf->start_gap[i] = vm_start_gap(vma);
	leaf->vma[i] = vma;
	vma->leaf = leaf;
}

static void leaf_copy(struct vma_leaf *to, u32 at, const struct vma_leaf *from, u32 first, u32 nr)
{
	memmove(&to->vm_end[at], &from->vm_end[first], nr * sizeof(*to->vm_end));
	memmove(&to->start_gap[at], &from->start_gap[first], nr * sizeof(*to->start_gap));
	memmove(&to->vma[at], &from->vma[first], nr * sizeof(*to->vma));
}

/* Append the vmas of `from`, from the first-th on, to `to`. */
static void leaf_move_tail(struct vma_leaf *to, struct vma_leaf *from, u32 first)
{
	u32 nr = from->nr - first;

	leaf_copy(to, to->nr, from, first, nr);
	for (u32 i = 0; i < nr; i++)
		from->vma[first + i]->leaf = to;
	to->nr += nr;
	from->nr = first;
}

/* A leaf of at least one vma, into the tree right behind `after` (NULL: the tree is empty). */
static void leaf_link(struct rb_root *root, struct vma_leaf *leaf, struct vma_leaf *after)
{
	struct rb_node *parent = after ? &after->rb : NULL;
	struct rb_node **link = after ? &parent->right : &root->node;

	while (*link) {
		parent = *link;
		link = &parent->left;
	}
	leaf_summarize(leaf);
	rb_insert(root, &leaf->rb, parent, link, update_subtree_gap);
}

static void leaf_unlink(struct mm_reserve *res, struct rb_root *root, struct vma_leaf *leaf)
{
	rb_erase(root, &leaf->rb, update_subtree_gap);
	reserve_give_leaf(res, leaf);
}

void vma_tree_insert(struct mm_reserve *res, struct vm_area_struct *vma)
{
	struct vm_area_struct *prev = vma->vm_prev, *beside = prev ? prev : vma->vm_next;
	struct rb_root *root = &vma->vm_mm->mm_rb;
	struct vma_leaf *leaf = beside ? beside->leaf : NULL;
	u32 at = prev ? leaf_index(leaf, prev) + 1 : 0;

	if (!leaf) {
		leaf = reserve_take_leaf(res);
		leaf_set(leaf, leaf->nr++, vma);
		leaf_link(root, leaf, NULL);
		return;
	}
	if (leaf->nr == VMAS_PER_LEAF) {
		u32 cut = u64_max(VMAS_PER_LEAF / 4, u64_min(at, VMAS_PER_LEAF * 3 / 4));
		struct vma_leaf *upper = reserve_take_leaf(res);

		leaf_move_tail(upper, leaf, cut);
		leaf_link(root, upper, leaf);
		if (at > cut) {
			leaf_changed(leaf);
			leaf = upper;
			at -= cut;
		}
	}
	leaf_copy(leaf, at + 1, leaf, at, leaf->nr - at);
	leaf->nr++;
	leaf_set(leaf, at, vma);
	leaf_changed(leaf);
}

/* Two neighbours that are half a leaf together become one.  Returns the one that stays. */
static struct vma_leaf *leaf_merge(struct mm_reserve *res, struct rb_root *root, struct vma_leaf *leaf)
{
	struct vma_leaf *prev = leaf_of(rb_prev(&leaf->rb)), *next = leaf_of(rb_next(&leaf->rb));

	if (prev && prev->nr + leaf->nr <= VMAS_PER_LEAF / 2) {
		next = leaf;
		leaf = prev;
	} else if (!next || leaf->nr + next->nr > VMAS_PER_LEAF / 2) {
		return leaf;
	}
	leaf_move_tail(leaf, next, 0);
	leaf_unlink(res, root, next);
	return leaf;
}

void vma_tree_erase(struct mm_reserve *res, struct vm_area_struct *vma)
{
	struct rb_root *root = &vma->vm_mm->mm_rb;
	struct vma_leaf *leaf = vma->leaf;
	u32 i = leaf_index(leaf, vma);

	leaf->nr--;
	leaf_copy(leaf, i, leaf, i + 1, leaf->nr - i);
	vma->leaf = NULL;
	if (leaf->nr) {
		leaf_changed(leaf_merge(res, root, leaf));
		return;
	}
	leaf_unlink(res, root, leaf);
	if (vma->vm_next)
		leaf_changed(vma->vm_next->leaf);
}

void vma_tree_update(struct vm_area_struct *vma)
{
	leaf_set(vma->leaf, leaf_index(vma->leaf, vma), vma);
	leaf_changed(vma->leaf);
}

/* ---- verification ---- */

static void verify_summary(const struct vma_leaf *leaf)
{
	struct vma_leaf again = *leaf;

	leaf_summarize(&again);
	update_subtree_gap(&again.rb);
	if (again.end != leaf->end || again.below != leaf->below || again.gap != leaf->gap ||
	    again.subtree_gap != leaf->subtree_gap)
		BUG("I1: gap cache of the leaf that ends at %" PRIx64, leaf->end);
}

void vma_tree_verify(const struct mm_struct *mm)
{
	const struct vm_area_struct *vma = mm->mmap;

	if (rb_check(&mm->mm_rb) < 0)
		BUG("I1: the vma tree is out of balance");
	for (struct rb_node *rb = rb_first(&mm->mm_rb); rb; rb = rb_next(rb)) {
		const struct vma_leaf *leaf = leaf_of(rb);

		if (!leaf->nr || leaf->nr > VMAS_PER_LEAF)
			BUG("I1: a leaf of %u vmas", leaf->nr);
		for (u32 i = 0; i < leaf->nr; i++, vma = vma->vm_next) {
			if (!vma || leaf->vma[i] != vma || vma->leaf != leaf)
				BUG("I1: tree and list differ at %" PRIx64, leaf->vma[i]->vm_start);
			if (leaf->vm_end[i] != vma->vm_end || leaf->start_gap[i] != vm_start_gap(vma))
				BUG("I1: the leaf's copy of vma %" PRIx64, vma->vm_start);
		}
		verify_summary(leaf);
	}
	if (vma)
		BUG("I1: vma %" PRIx64 " is not in the tree", vma->vm_start);
}
