/* SPDX-License-Identifier: MIT */
/*
 * verify.c - the invariants (docs/ARCHITECTURE.md), checked against a full walk.
 *
 * Who calls it: tests after every step, the pager at --check 2.  BUG()s with the number of the first
 * that fails.  Linux counterpart: validate_mm, CONFIG_DEBUG_VM.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "mm/gup.h"
#include "mm/mm.h"

/* Recounted from the vmas and ptes, to be compared with the mm's own. */
struct recount {
	u64 map_count, total_vm, data_vm, exec_vm, stack_vm, locked_vm, committed_vm, rss, zero, swap;
};

static void verify_vma_links(const struct vm_area_struct *vma, const struct vm_area_struct *prev)
{
	if (vma->vm_start >= vma->vm_end || !page_aligned(vma->vm_start) ||
	    !page_aligned(vma->vm_end) || vma->vm_end > TASK_SIZE)
		BUG("I1: vma %" PRIx64 "-%" PRIx64, vma->vm_start, vma->vm_end);
	if (vma->vm_prev != prev || (prev && prev->vm_end > vma->vm_start))
		BUG("I1: vma %" PRIx64 " out of order", vma->vm_start);
}

/* The chain names each anon_vma once, stands in its tree with the vma's range, and has the vma's own. */
static void verify_chain(const struct vm_area_struct *vma)
{
	struct range pgoffs = range_of(vma->vm_pgoff, vma_pages(vma));
	const struct anon_vma_chain *avc;
	bool own = false;

	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma) {
		struct interval_node *node;
		bool found = false;

		if (avc->vma != vma || avc->node.range.start != pgoffs.start ||
		    avc->node.range.end != pgoffs.end)
			BUG("I7: chain of vma %" PRIx64 " has another range", vma->vm_start);
		interval_for_each(node, &avc->anon_vma->rb_root, pgoffs)
			found |= node == &avc->node;
		if (!found)
			BUG("I7: vma %" PRIx64 " not in the tree", vma->vm_start);
		own |= avc->anon_vma == vma->anon_vma;
	}
	if (vma->anon_vma ? !own : !list_empty(&vma->anon_vma_chain))
		BUG("I7: vma %" PRIx64 " not linked to its own anon_vma", vma->vm_start);
}

struct walk_seen {
	const struct vm_area_struct *vma;
	u64 addr;
	u32 count;
	bool found;
};

static int see_pte(struct vm_area_struct *vma, u64 addr, void *arg)
{
	struct walk_seen *seen = arg;

	seen->count++;
	seen->found |= vma == seen->vma && addr == seen->addr;
	return 0;
}

static void verify_pte(const struct vm_area_struct *vma, u64 addr, pte_t pte)
{
	struct walk_seen seen = { .vma = vma, .addr = addr };
	const struct frame *frame;

	if (pte_swap(pte)) {
		if (!swap_slot(vma->vm_mm->world, pte_to_swp_entry(pte))->count)
			BUG("I4: the swap pte at %" PRIx64 " names a free slot", addr);
		return;
	}
	if (!pte_present(pte)) {
		if (!pte_zero(pte) || pte_lazyfree(pte))
			BUG("I4: pte %" PRIx64 " at %" PRIx64, pte.val, addr);
		return;
	}
	frame = pfn_to_frame(vma->vm_mm->world, pte_pfn(pte));
	if (frame->state != FRAME_RESIDENT && frame->state != FRAME_PINNED &&
	    (frame->state != FRAME_BUSY || frame->refcount != frame->mapcount + 1))
		BUG("I4: pte at %" PRIx64 " maps frame %u in state %u", addr, frame->pfn,
		    frame->state);
	if (frame->mapcount > 1 && !pte_wp(pte))
		BUG("I9: writable pte at %" PRIx64 " on a frame mapped %u times", addr,
		    frame->mapcount);
	rmap_walk(frame, see_pte, &seen);
	if (!seen.found)
		BUG("I7: the rmap of frame %u does not reach %" PRIx64, frame->pfn, addr);
	if (seen.count != frame->mapcount)
		BUG("I5/I6: frame %u: mapcount %u, the rmap walk found %u", frame->pfn,
		    frame->mapcount, seen.count);
}

static void recount_vma(struct recount *c, const struct vm_area_struct *vma)
{
	u64 pages = vma_pages(vma);
	u64 f = vma->vm_flags;

	c->map_count++;
	c->total_vm += pages;
	if (f & VM_LOCKED)
		c->locked_vm += pages;
	if (f & VM_ACCOUNT)
		c->committed_vm += pages;
	if (f & VM_EXEC && !(f & (VM_WRITE | VM_GROWSDOWN)))
		c->exec_vm += pages;
	else if (f & VM_GROWSDOWN)
		c->stack_vm += pages;
	else if (f & VM_WRITE && !(f & VM_SHARED))
		c->data_vm += pages;
}

/* `names`: how many swap ptes name each slot, to be added to; NULL: not wanted. */
static void verify_ptes(const struct mm_struct *mm, struct recount *c, u32 *names)
{
	struct range r = { 0, TASK_SIZE };
	pte_t pte;

	while ((r.start = pte_next(mm, r, &pte)) < r.end) {
		const struct vm_area_struct *vma =
			vma_lookup((struct mm_struct *)mm, r.start);

		if (!vma || vma->vm_flags & VM_UNMANAGED)
			BUG("I3: pte at %" PRIx64 " in no managed vma", r.start);
		verify_pte(vma, r.start, pte);
		c->rss += pte_present(pte);
		c->zero += pte_zero(pte);
		c->swap += pte_swap(pte);
		if (names && pte_swap(pte))
			names[pte_to_swp_entry(pte).val]++;
		r.start += PAGE_SIZE;
	}
}

#define SAME(name, mine)                                                                   \
	do {                                                                               \
		if (c.name != (mine))                                                      \
			BUG("I2: " #name " is %" PRIu64 ", recounted %" PRIu64,            \
			    (u64)(mine), (u64)c.name);                                     \
	} while (0)

static void verify_mm(const struct mm_struct *mm, u32 *names)
{
	const struct vm_area_struct *vma, *prev = NULL;
	struct recount c = { 0 };

	for (vma = mm->mmap; vma; prev = vma, vma = vma->vm_next) {
		if (vma->vm_mm != mm)
			BUG("I1: vma %" PRIx64 " of another mm", vma->vm_start);
		verify_vma_links(vma, prev);
		verify_chain(vma);
		recount_vma(&c, vma);
	}
	vma_tree_verify(mm);
	verify_ptes(mm, &c, names);
	SAME(map_count, mm->map_count);
	SAME(total_vm, mm->total_vm);
	SAME(data_vm, mm->data_vm);
	SAME(exec_vm, mm->exec_vm);
	SAME(stack_vm, mm->stack_vm);
	SAME(locked_vm, mm->locked_vm);
	SAME(committed_vm, mm->committed_vm);
	SAME(rss, mm->nr_anon_ptes);
	SAME(zero, mm->nr_zero_ptes);
	SAME(swap, mm->nr_swap_ptes);
	if (mm->pgtables_bytes != pgtable_count(mm) * PAGE_SIZE)
		BUG("I2: pgtables_bytes");
	if (!mm->mm_users || !mm->mm_count)
		BUG("I2: mm_users %u, mm_count %u", mm->mm_users, mm->mm_count);
}

void mm_verify(const struct mm_struct *mm)
{
	verify_mm(mm, NULL);
}

/* ---- frames as reclaim sees them, and slots ---- */

/* The policy has exactly the frames that may be chosen, and hears of those that it named. */
static void verify_listed(const struct frame *f, bool has_policy)
{
	bool listed = f->flags & FRAME_LISTED;

	if (listed != (has_policy && f->state == FRAME_RESIDENT))
		BUG("I11: frame %u in state %u is %slisted", f->pfn, f->state, listed ? "" : "not ");
	if (f->flags & FRAME_PROBATION && f->state != FRAME_BUSY && f->state != FRAME_STAGED)
		BUG("I11: frame %u in state %u is on probation", f->pfn, f->state);
}

static void verify_staged(const struct frame *f)
{
	if (f->mapcount || f->refcount != 1)
		BUG("I11: frame %u in staging: refcount %u, mapcount %u", f->pfn, f->refcount,
		    f->mapcount);
}

static int see_locked(struct vm_area_struct *vma, u64 addr, void *arg)
{
	*(bool *)arg |= !!(vma->vm_flags & VM_LOCKED);
	return 0;
}

/* Else it would never be looked at again: found locked or held once, and let go since. */
static void verify_pinned(const struct frame *f)
{
	bool locked = false;

	rmap_walk(f, see_locked, &locked);
	if (!locked && !frame_maybe_dma_pinned(f))
		BUG("I11: frame %u is pinned, but not locked, nor held by a device", f->pfn);
}

/* A mapped frame may differ from its slot: a swap pte that named it would bring old bytes back. */
static void verify_cache(const struct mm_world *world, const struct frame *f, const u32 *names)
{
	if (!f->slot)
		return;
	if (swap_slot(world, (swp_entry_t){ f->slot })->pfn != f->pfn)
		BUG("I10: frame %u names slot %u, which does not know it", f->pfn, f->slot);
	if (f->mapcount && names[f->slot])
		BUG("I12: frame %u is mapped, and swap ptes name its slot %u", f->pfn, f->slot);
}

static void verify_frames(const struct mm_world *world, const u32 *names)
{
	const struct frame_table *t = &world->frames;
	u64 nr_listed = 0, nr_pinned = 0;

	for (u32 i = 0; i < t->nr_sections; i++) {
		for (u32 k = 0; t->section[i] && k < FRAMES_PER_SECTION; k++) {
			const struct frame *f = &t->section[i]->frame[k];

			if (f->state == FRAME_FREE)
				continue;
			verify_listed(f, world->reclaim.ops);
			if (f->state == FRAME_STAGED)
				verify_staged(f);
			if (f->state == FRAME_PINNED && world->reclaim.ops)
				verify_pinned(f);
			verify_cache(world, f, names);
			nr_listed += !!(f->flags & FRAME_LISTED);
			nr_pinned += f->state == FRAME_PINNED;
		}
	}
	if (nr_pinned != world->reclaim.nr_pinned)
		BUG("I11: %" PRIu64 " frames are pinned, counted %" PRIu64, nr_pinned,
		    world->reclaim.nr_pinned);
	if (nr_listed != world->reclaim.nr_listed)
		BUG("I11: %" PRIu64 " frames are listed, counted %" PRIu64, nr_listed,
		    world->reclaim.nr_listed);
}

void mm_world_verify(const struct mm_world *world)
{
	u32 *names = calloc(world->swap.nr_slots + 1, sizeof(*names));
	const struct mm_struct *mm;
	u32 nr_mms = 0;
	u64 zero = 0, committed = 0;

	BUG_ON(!names);
	list_for_each_entry(mm, &world->init_mm.mmlist, mmlist) {
		verify_mm(mm, names);
		nr_mms++;
		zero += mm->nr_zero_ptes;
		committed += mm->committed_vm;
	}
	if (nr_mms > world->nr_mms)
		BUG("I2: mmlist has %u address spaces, made were %u", nr_mms, world->nr_mms);
	if (nr_mms == world->nr_mms && zero != world->zero_ptes)
		BUG("I2: zero_ptes");
	if (nr_mms == world->nr_mms && committed != world->vm_committed_as)
		BUG("I2: vm_committed_as is %" PRIu64 ", recounted %" PRIu64,
		    world->vm_committed_as, committed);
	frame_table_verify(world);
	verify_frames(world, names);
	swap_verify(world, names, nr_mms == world->nr_mms);
	free(names);
}
