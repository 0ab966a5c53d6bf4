/* SPDX-License-Identifier: MIT */
/* rmap.c - see rmap.h. */
#include "mm/rmap.h"

#include "mm/mm.h"

static struct range pgoff_range(const struct vm_area_struct *vma)
{
	return range_of(vma->vm_pgoff, vma_pages(vma));
}

static void anon_vma_chain_link(struct vm_area_struct *vma, struct anon_vma_chain *avc,
				struct anon_vma *anon_vma)
{
	avc->vma = vma;
	avc->anon_vma = anon_vma;
	avc->node.range = pgoff_range(vma);
	list_add(&avc->same_vma, &vma->anon_vma_chain);
	interval_insert(&anon_vma->rb_root, &avc->node);
}

/* A family of its own until the caller says otherwise. */
static void anon_vma_init(struct mm_world *world, struct anon_vma *anon_vma)
{
	*anon_vma = (struct anon_vma){
		.world = world,
		.root = anon_vma,
		.parent = anon_vma,
		.refcount = 1,
		.id = ++world->next_anon_vma_id,
	};
}

static void put_anon_vma(struct anon_vma *anon_vma)
{
	struct anon_vma *root = anon_vma->root;

	BUG_ON(!anon_vma->refcount);
	if (--anon_vma->refcount)
		return;
	BUG_ON(!interval_empty(&anon_vma->rb_root));
	slab_free(&anon_vma->world->anon_vma_slab, anon_vma);
	if (root != anon_vma)
		put_anon_vma(root);
}

static bool chain_is_singular(const struct vm_area_struct *vma)
{
	const struct list_head *h = &vma->anon_vma_chain;

	return h->next != h && h->next == h->prev;
}

/*
 * May vma share the anon_vma of `old`, one of the adjacent pair (a, b)?  Only a chain of one: else a
 * page could come to be reachable from an ancestor that never had it.
 */
static struct anon_vma *reusable_anon_vma(struct vm_area_struct *old, struct vm_area_struct *a,
					  struct vm_area_struct *b)
{
	if (anon_vma_compatible(a, b) && old->anon_vma && chain_is_singular(old))
		return old->anon_vma;
	return NULL;
}

static struct anon_vma *find_mergeable_anon_vma(struct vm_area_struct *vma)
{
	struct anon_vma *found = NULL;

	if (vma->vm_next)
		found = reusable_anon_vma(vma->vm_next, vma, vma->vm_next);
	if (!found && vma->vm_prev)
		found = reusable_anon_vma(vma->vm_prev, vma->vm_prev, vma);
	return found;
}

int anon_vma_prepare(struct vm_area_struct *vma)
{
	struct mm_world *world = vma->vm_mm->world;
	struct anon_vma_chain *avc;
	struct anon_vma *anon_vma;

	if (likely(vma->anon_vma))
		return 0;
	avc = slab_alloc(&world->avc_slab);
	if (!avc)
		return -ENOMEM;
	anon_vma = find_mergeable_anon_vma(vma);
	if (!anon_vma) {
		anon_vma = slab_alloc(&world->anon_vma_slab);
		if (!anon_vma) {
			slab_free(&world->avc_slab, avc);
			return -ENOMEM;
		}
		anon_vma_init(world, anon_vma);
		anon_vma->num_children++; /* a root is its own child */
	}
	vma->anon_vma = anon_vma;
	anon_vma_chain_link(vma, avc, anon_vma);
	anon_vma->num_active_vmas++;
	return 0;
}

void anon_vma_clone(struct mm_reserve *res, struct vm_area_struct *dst,
		    const struct vm_area_struct *src)
{
	const struct list_head *l;

	for (l = src->anon_vma_chain.prev; l != &src->anon_vma_chain; l = l->prev) {
		struct anon_vma *anon_vma =
			list_entry(l, struct anon_vma_chain, same_vma)->anon_vma;

		anon_vma_chain_link(dst, reserve_take_avc(res), anon_vma);
		if (!dst->anon_vma && src->anon_vma && anon_vma->num_children < 2 &&
		    anon_vma->num_active_vmas == 0)
			dst->anon_vma = anon_vma;
	}
	if (dst->anon_vma)
		dst->anon_vma->num_active_vmas++;
}

void anon_vma_fork(struct mm_reserve *res, struct vm_area_struct *vma,
		   const struct vm_area_struct *pvma)
{
	struct anon_vma *anon_vma;

	vma->anon_vma = NULL;
	if (!pvma->anon_vma)
		return;
	anon_vma_clone(res, vma, pvma);
	if (vma->anon_vma)
		return;

	anon_vma = reserve_take_anon_vma(res);
	anon_vma_init(res->world, anon_vma);
	anon_vma->num_active_vmas++;
	anon_vma->root = pvma->anon_vma->root;
	anon_vma->root->refcount++;
	anon_vma->parent = pvma->anon_vma;
	anon_vma->parent->num_children++;
	vma->anon_vma = anon_vma;
	anon_vma_chain_link(vma, reserve_take_avc(res), anon_vma);
}

void anon_vma_move(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	struct anon_vma_chain *avc, *tmp;

	BUG_ON(dst->anon_vma || !list_empty(&dst->anon_vma_chain));
	list_for_each_entry_safe(avc, tmp, &src->anon_vma_chain, same_vma) {
		interval_remove(&avc->anon_vma->rb_root, &avc->node);
		list_del(&avc->same_vma);
		avc->vma = dst;
		avc->node.range = pgoff_range(dst);
		list_add_tail(&avc->same_vma, &dst->anon_vma_chain);
		interval_insert(&avc->anon_vma->rb_root, &avc->node);
	}
	dst->anon_vma = src->anon_vma;
	src->anon_vma = NULL;
}

void unlink_anon_vmas(struct mm_reserve *res, struct vm_area_struct *vma)
{
	struct anon_vma_chain *avc, *tmp;

	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma)
		interval_remove(&avc->anon_vma->rb_root, &avc->node);
	if (vma->anon_vma) {
		vma->anon_vma->num_active_vmas--;
		vma->anon_vma = NULL;
	}
	/* Every parent must hear of it before the first anon_vma is freed. */
	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma) {
		if (interval_empty(&avc->anon_vma->rb_root))
			avc->anon_vma->parent->num_children--;
	}
	list_for_each_entry_safe(avc, tmp, &vma->anon_vma_chain, same_vma) {
		struct anon_vma *anon_vma = avc->anon_vma;

		list_del(&avc->same_vma);
		reserve_give_avc(res, avc);
		if (!interval_empty(&anon_vma->rb_root))
			continue;
		BUG_ON(anon_vma->num_active_vmas || anon_vma->num_children);
		put_anon_vma(anon_vma);
	}
}

u32 anon_vma_chain_len(const struct vm_area_struct *vma)
{
	const struct list_head *l;
	u32 n = 0;

	for (l = vma->anon_vma_chain.next; l != &vma->anon_vma_chain; l = l->next)
		n++;
	return n;
}

void anon_vma_interval_tree_pre_update_vma(struct vm_area_struct *vma)
{
	struct anon_vma_chain *avc;

	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma)
		interval_remove(&avc->anon_vma->rb_root, &avc->node);
}

void anon_vma_interval_tree_post_update_vma(struct vm_area_struct *vma)
{
	struct anon_vma_chain *avc;

	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma) {
		avc->node.range = pgoff_range(vma);
		interval_insert(&avc->anon_vma->rb_root, &avc->node);
	}
}

void page_add_new_anon_rmap(struct frame *frame, struct vm_area_struct *vma, u64 addr)
{
	BUG_ON(!vma->anon_vma || frame->mapcount);
	frame->anon_vma = vma->anon_vma;
	frame->index = linear_page_index(vma, addr);
	frame->mapcount = 1;
	frame_set_state(frame, FRAME_RESIDENT);
}

void page_dup_rmap(struct frame *frame)
{
	frame_get(frame);
	frame->mapcount++;
}

void page_remove_rmap(struct mm_world *world, struct frame *frame)
{
	BUG_ON(!frame->mapcount);
	if (--frame->mapcount)
		reclaim_unpin(world, frame); /* whoever locked it may be gone: it is found out anew */
	frame_put(world, frame);
}

void page_move_anon_rmap(struct frame *frame, struct vm_area_struct *vma)
{
	BUG_ON(!vma->anon_vma || frame->mapcount != 1);
	frame->anon_vma = vma->anon_vma;
}

int rmap_walk(const struct frame *frame, int (*fn)(struct vm_area_struct *vma, u64 addr, void *arg),
	      void *arg)
{
	struct range r = range_of(frame->index, 1);
	struct interval_node *node;

	interval_for_each(node, &frame->anon_vma->rb_root, r) {
		struct vm_area_struct *vma =
			container_of(node, struct anon_vma_chain, node)->vma;
		u64 addr = vma->vm_start + ((frame->index - vma->vm_pgoff) << PAGE_SHIFT);
		pte_t pte = pte_lookup(vma->vm_mm, addr);
		int ret;

		if (!pte_present(pte) || pte_pfn(pte) != frame->pfn)
			continue;
		ret = fn(vma, addr, arg);
		if (ret)
			return ret;
	}
	return 0;
}
