/* SPDX-License-Identifier: MIT */
/*
 * vma_merge.c - when neighbours become one vma.
 *
 * Three vmas take part: prev | middle | next, where middle is what changes (or what is to be made).
 * Linux counterpart: mm/vma.c, can_vma_merge_left … vma_merge_existing_range, vma_merge_new_range; the
 * rule for anon_vmas is that of 6.16 and later, which also merges an untouched vma with a touched
 * one on its right.  Unmanaged vmas without a file have no page offset that could matter.
 */
#include "mm/mm.h"

#define VM_IGNORE_MERGE VM_SOFTDIRTY

static bool chain_is_singular(const struct vm_area_struct *vma)
{
	return !list_empty(&vma->anon_vma_chain) &&
	       vma->anon_vma_chain.next == vma->anon_vma_chain.prev;
}

/* Does the vma stand in trees of anon_vmas that it inherited by fork? */
static bool vma_had_uncowed_parents(const struct vm_area_struct *vma)
{
	return vma && vma->anon_vma && !chain_is_singular(vma);
}

/* One anon_vma, or one that the other can take over without reaching an ancestor's pages. */
static bool is_mergeable_anon_vma(const struct vma_merge *vmg, const struct vm_area_struct *tgt)
{
	if (!tgt->anon_vma && vmg->anon_vma)
		return !vma_had_uncowed_parents(vmg->middle) &&
		       !vma_had_uncowed_parents(vmg->copied_from);
	if (tgt->anon_vma && !vmg->anon_vma)
		return !vma_had_uncowed_parents(tgt);
	return tgt->anon_vma == vmg->anon_vma;
}

static bool is_mergeable_vma(const struct vma_merge *vmg, const struct vm_area_struct *vma)
{
	return !((vma->vm_flags ^ vmg->vm_flags) & ~VM_IGNORE_MERGE) && vma->vm_file == vmg->file &&
	       is_mergeable_anon_vma(vmg, vma);
}

static bool pgoff_matters(const struct vma_merge *vmg)
{
	return vmg->file || !(vmg->vm_flags & VM_UNMANAGED);
}

static bool can_vma_merge_left(const struct vma_merge *vmg)
{
	const struct vm_area_struct *prev = vmg->prev;

	return prev && prev->vm_end == vmg->start && is_mergeable_vma(vmg, prev) &&
	       (!pgoff_matters(vmg) || prev->vm_pgoff + vma_pages(prev) == vmg->pgoff);
}

/* With `left`, prev and next must also go with each other. */
static bool can_vma_merge_right(const struct vma_merge *vmg, bool left)
{
	const struct vm_area_struct *next = vmg->next;
	u64 pglen = (vmg->end - vmg->start) >> PAGE_SHIFT;

	if (!next || next->vm_start != vmg->end || !is_mergeable_vma(vmg, next))
		return false;
	if (pgoff_matters(vmg) && next->vm_pgoff != vmg->pgoff + pglen)
		return false;
	return !left || !vmg->prev->anon_vma || !next->anon_vma ||
	       vmg->prev->anon_vma == next->anon_vma;
}

/* Take the vma out and free it; whoever takes its pages over has its anon_vmas. */
static void vma_remove(struct mm_reserve *res, struct vm_area_struct *vma)
{
	unlink_anon_vmas(res, vma);
	vma_unlink(res, vma);
	vma_free(res, vma);
}

/*
 * Widen `tgt` to r.  `drop[]` (NULL: none) are swallowed whole; `clone_from` (NULL: none) keeps living
 * but gave pages away.  The target takes an anon_vma over when it had none.
 */
static struct vm_area_struct *vma_expand(struct mm_reserve *res, struct vm_area_struct *tgt,
					 struct range r, u64 pgoff,
					 struct vm_area_struct *const drop[2],
					 struct vm_area_struct *clone_from)
{
	for (int i = 0; i < 2; i++) {
		if (!drop[i])
			continue;
		if (clone_from == drop[i])
			clone_from = NULL;
		if (!tgt->anon_vma && drop[i]->anon_vma)
			anon_vma_move(tgt, drop[i]);
		vma_remove(res, drop[i]);
	}
	if (!tgt->anon_vma && clone_from && clone_from->anon_vma) {
		tgt->anon_vma = clone_from->anon_vma;
		anon_vma_clone(res, tgt, clone_from);
	}
	vma_set_range(tgt, r.start, r.end, pgoff);
	return tgt;
}

/*
 *   both:   |--prev--|--middle--|--next--|   ->  |------------prev------------|
 *   left:   |--prev--|--middle--|            ->  |-------prev--------|   or  |--prev---|-middle-|
 *   right:           |--middle--|--next--|   ->  |-------next--------|   or  |-middle-|--next---|
 */
struct vm_area_struct *vma_merge_existing_range(struct mm_reserve *res, struct vma_merge *vmg)
{
	struct vm_area_struct *prev = vmg->prev, *middle = vmg->middle, *next = vmg->next;
	bool whole = vmg->start == middle->vm_start && vmg->end == middle->vm_end;
	bool left, right;

	if (vmg->vm_flags & VM_SPECIAL)
		return NULL;
	left = vmg->start == middle->vm_start && can_vma_merge_left(vmg);
	right = vmg->end == middle->vm_end && can_vma_merge_right(vmg, left);

	if (left && right) /* next first: with middle's anon_vma it may have a longer chain */
		return vma_expand(res, prev, (struct range){ prev->vm_start, next->vm_end },
				  prev->vm_pgoff, (struct vm_area_struct *[]){ next, middle }, NULL);
	if (left) {
		if (!whole)
			vma_set_range(middle, vmg->end, middle->vm_end,
				      linear_page_index(middle, vmg->end));
		return vma_expand(res, prev, (struct range){ prev->vm_start, vmg->end },
				  prev->vm_pgoff,
				  (struct vm_area_struct *[]){ whole ? middle : NULL, NULL },
				  whole ? NULL : middle);
	}
	if (right) {
		if (!whole)
			vma_set_range(middle, middle->vm_start, vmg->start, middle->vm_pgoff);
		return vma_expand(res, next, (struct range){ vmg->start, next->vm_end }, vmg->pgoff,
				  (struct vm_area_struct *[]){ whole ? middle : NULL, NULL },
				  whole ? NULL : middle);
	}
	return NULL;
}

struct vm_area_struct *vma_merge_new_range(struct mm_reserve *res, struct vma_merge *vmg)
{
	struct vm_area_struct *prev = vmg->prev, *next = vmg->next;
	struct vm_area_struct *none[2] = { NULL, NULL };
	bool left, right;

	BUG_ON(vmg->middle);
	if (vmg->vm_flags & VM_SPECIAL)
		return NULL;
	left = can_vma_merge_left(vmg);
	right = can_vma_merge_right(vmg, left);

	if (left && right)
		return vma_expand(res, prev, (struct range){ prev->vm_start, next->vm_end },
				  prev->vm_pgoff, (struct vm_area_struct *[]){ next, NULL },
				  vmg->copied_from);
	if (left)
		return vma_expand(res, prev, (struct range){ prev->vm_start, vmg->end },
				  prev->vm_pgoff, none, vmg->copied_from);
	if (right)
		return vma_expand(res, next, (struct range){ vmg->start, next->vm_end }, vmg->pgoff,
				  none, vmg->copied_from);
	return NULL;
}

static struct vma_merge modify_flags_merge(struct vm_area_struct *vma, u64 start, u64 end, u64 vm_flags)
{
	return (struct vma_merge){
		.prev = vma->vm_prev,
		.middle = vma,
		.next = vma->vm_next,
		.start = start,
		.end = end,
		.vm_flags = vm_flags,
		.pgoff = linear_page_index(vma, start),
		.file = vma->vm_file,
		.anon_vma = vma->anon_vma,
	};
}

u32 vma_modify_splits(struct vm_area_struct *vma, u64 start, u64 end, u64 vm_flags)
{
	struct vma_merge vmg = modify_flags_merge(vma, start, end, vm_flags);
	bool special = vm_flags & VM_SPECIAL;

	if (vm_flags == vma->vm_flags)
		return 0;
	if (!special && start == vma->vm_start && can_vma_merge_left(&vmg))
		return 0;
	if (!special && end == vma->vm_end && can_vma_merge_right(&vmg, false))
		return 0;
	return (start > vma->vm_start) + (end < vma->vm_end);
}

struct vm_area_struct *vma_modify_flags(struct mm_reserve *res, struct vm_area_struct *vma, u64 start,
					u64 end, u64 vm_flags)
{
	struct vma_merge vmg = modify_flags_merge(vma, start, end, vm_flags);
	struct vm_area_struct *merged = vma_merge_existing_range(res, &vmg);

	if (merged)
		return merged;
	if (vma->vm_start < start)
		vma = vma_split(res, vma, start);
	if (end < vma->vm_end)
		vma_split(res, vma, end);
	vma_set_flags(vma, vm_flags);
	return vma;
}

bool anon_vma_compatible(const struct vm_area_struct *a, const struct vm_area_struct *b)
{
	return a->vm_end == b->vm_start && a->vm_file == b->vm_file &&
	       !((a->vm_flags ^ b->vm_flags) & ~(VM_ACCESS_FLAGS | VM_IGNORE_MERGE)) &&
	       b->vm_pgoff == a->vm_pgoff + vma_pages(a);
}
