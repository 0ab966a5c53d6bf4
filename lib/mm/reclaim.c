/* SPDX-License-Identifier: MIT */
/* reclaim.c - see reclaim.h. */
#include "mm/reclaim.h"

#include "mm/gup.h"

/* Candidates that mm_isolate() looks at before it says "not now". */
#define ISOLATE_TRIES 64

static struct frame *node_to_frame(const struct reclaim_node *node)
{
	return container_of((struct reclaim_node *)node, struct frame, reclaim);
}

struct reclaim *mm_reclaim(struct mm_world *world)
{
	return &world->reclaim;
}

const struct reclaim_stats *mm_reclaim_stats(const struct mm_world *world)
{
	return &world->reclaim_stats;
}

/* ---- the budget ---- */

u64 mm_room(const struct mm_world *world)
{
	u64 budget = world->reclaim.budget, used = world->frames.nr_used;

	if (!budget)
		return UINT64_MAX;
	return used < budget ? budget - used : 0;
}

u64 mm_over(const struct mm_world *world)
{
	u64 budget = world->reclaim.budget, used = world->frames.nr_used;

	return budget && used > budget ? used - budget : 0;
}

bool reclaim_charge(struct mm_world *world, u64 nr)
{
	struct reclaim *r = &world->reclaim;

	if (likely(!r->budget) || world->frames.nr_used + nr <= r->budget || r->emergency)
		return true;
	r->need += nr;
	return false;
}

void mm_set_budget(struct mm_world *world, u64 pages)
{
	struct reclaim *r = &world->reclaim;

	BUG_ON(pages && !r->ops);
	r->budget = pages;
	if (pages)
		(void)r->ops->resize(r->policy, pages); /* -ENOMEM: it goes on with the old size */
}

/* ---- what the policy hears ---- */

void reclaim_insert(struct mm_world *world, struct frame *frame, u32 key, unsigned int flags)
{
	struct reclaim *r = &world->reclaim;

	frame->born_ms = r->now_ms;
	if (flags & RECLAIM_PREFETCH)
		frame->flags |= FRAME_PREFETCHED;
	if (!r->ops)
		return;
	frame->reclaim = (struct reclaim_node){ 0 };
	frame->flags |= FRAME_LISTED;
	r->nr_listed++;
	r->ops->insert(r->policy, &frame->reclaim, key, flags);
}

void reclaim_forget(struct mm_world *world, struct frame *frame)
{
	struct reclaim *r = &world->reclaim;

	if (frame->flags & FRAME_PROBATION) {
		frame->flags &= ~FRAME_PROBATION;
		if (r->ops->dropped)
			r->ops->dropped(r->policy, &frame->reclaim);
	}
	if (!(frame->flags & FRAME_LISTED))
		return;
	frame->flags &= ~FRAME_LISTED;
	r->nr_listed--;
	r->ops->forget(r->policy, &frame->reclaim);
}

void reclaim_forget_key(struct mm_world *world, swp_entry_t entry)
{
	struct reclaim *r = &world->reclaim;

	if (r->ops)
		r->ops->forget_key(r->policy, entry.val);
}

void reclaim_unpin(struct mm_world *world, struct frame *frame)
{
	if (frame->state != FRAME_PINNED)
		return;
	frame_set_state(frame, FRAME_RESIDENT);
	world->reclaim.nr_pinned--;
	reclaim_insert(world, frame, 0, 0);
}

void reclaim_refault(struct mm_world *world, swp_entry_t entry)
{
	const struct swap_slot *slot = swap_slot(world, entry);
	struct reclaim_stats *st = &world->reclaim_stats;

	st->refaults++;
	st->refault_distance += world->reclaim.evictions - slot->evictions;
	st->refault_ms += world->reclaim.now_ms - slot->out_ms;
}

void reclaim_tell_prefetched(struct frame *frame, struct mm_struct *mm, u64 addr, bool used)
{
	struct mm_world *world = mm->world;
	const struct backing_ops *backing = world->config.backing;

	if (!(frame->flags & FRAME_PREFETCHED))
		return;
	if (used) {
		frame->flags &= ~FRAME_PREFETCHED;
		world->reclaim_stats.prefetch_used++;
	}
	if (backing->prefetched)
		backing->prefetched(world->config.backing_arg, mm, addr, used);
}

void reclaim_putback(struct mm_world *world, struct frame *frame, enum reclaim_putback why)
{
	struct reclaim *r = &world->reclaim;

	if (!(frame->flags & FRAME_PROBATION)) { /* another policy's victim */
		reclaim_insert(world, frame, 0, 0);
		return;
	}
	frame->flags = (frame->flags & ~FRAME_PROBATION) | FRAME_LISTED;
	r->nr_listed++;
	r->ops->putback(r->policy, &frame->reclaim, why);
}

static void list_all(struct mm_world *world)
{
	struct frame_table *t = &world->frames;

	for (u32 i = 0; i < t->nr_sections; i++) {
		for (u32 k = 0; t->section[i] && k < FRAMES_PER_SECTION; k++) {
			struct frame *frame = &t->section[i]->frame[k];

			if (frame->state == FRAME_RESIDENT)
				reclaim_insert(world, frame, 0, 0);
		}
	}
}

static void unlist_all(struct mm_world *world)
{
	struct frame_table *t = &world->frames;

	for (u32 i = 0; i < t->nr_sections; i++) {
		for (u32 k = 0; t->section[i] && k < FRAMES_PER_SECTION; k++)
			t->section[i]->frame[k].flags &= ~(FRAME_LISTED | FRAME_PROBATION);
	}
	world->reclaim.nr_listed = 0;
}

void mm_set_policy(struct mm_world *world, const struct reclaim_ops *ops, void *policy)
{
	struct reclaim *r = &world->reclaim;

	if (r->ops) {
		unlist_all(world);
		r->ops->fini(r->policy);
	}
	r->ops = ops;
	r->policy = policy;
	if (ops)
		list_all(world);
}

/* ---- victims ---- */

struct look {
	struct victim *v;
	may_evict_fn may_evict; /* NULL: only look */
	void *arg;
	bool locked, refused;
};

static int look_at(struct vm_area_struct *vma, u64 addr, void *arg)
{
	struct look *l = arg;

	if (!l->v->nr_maps++) {
		l->v->mm = vma->vm_mm;
		l->v->addr = addr;
		l->v->vm_flags = vma->vm_flags;
	}
	l->locked |= !!(vma->vm_flags & VM_LOCKED);
	l->refused |= l->may_evict && !l->may_evict(vma->vm_mm, addr, vma->vm_flags, l->arg);
	return 0;
}

/* The machine moves pages only between vmas of the same kind, and those of a staging area are plain. */
static bool is_movable(u64 vm_flags)
{
	return (vm_flags & (VM_ACCESS_FLAGS | VM_LOCKED)) == (VM_READ | VM_WRITE);
}

static enum evict_how how_to(const struct victim *v, bool can_move)
{
	pte_t pte;

	if (!can_move || v->nr_maps != 1 || !is_movable(v->vm_flags))
		return EVICT_ZAP;
	pte = pte_lookup(v->mm, v->addr);
	return pte_wp(pte) || pte_unwritten(pte) ? EVICT_UNSHARE : EVICT_MOVE;
}

/* Locked; or held by a device, where the machine would not see that: it refuses to move such a page, not to drop it. */
static bool must_stay(const struct frame *frame, const struct look *look, bool can_move)
{
	return look->locked ||
	       (frame_maybe_dma_pinned(frame) && how_to(look->v, can_move) == EVICT_ZAP);
}

/* A slot for it: its own, unless somebody else still needs what is in there. */
static int give_slot(struct mm_world *world, struct frame *frame)
{
	swp_entry_t entry;

	if (frame->slot && swap_slot(world, (swp_entry_t){ frame->slot })->count == 1)
		return 0;
	swap_cache_del(world, frame);
	entry = swap_alloc(world);
	if (!entry.val)
		return -ENOMEM;
	swap_cache_add(world, frame, entry);
	return 0;
}

enum take { TAKEN, STAYS, REFUSED };

/* Can the policy's victim be taken?  REFUSED: it is to have it back.  On success *look->v says what is to be done. */
static enum take take(struct mm_world *world, struct frame *frame, bool can_move, struct look *look)
{
	struct victim *v = look->v;

	*v = (struct victim){ .pfn = frame->pfn };
	rmap_walk(frame, look_at, look);
	if (must_stay(frame, look, can_move)) { /* as Linux does: it is found out when somebody wants the page */
		frame_set_state(frame, FRAME_PINNED);
		world->reclaim.nr_pinned++;
		reclaim_forget(world, frame);
		return STAYS;
	}
	if (look->refused || give_slot(world, frame))
		return REFUSED;
	v->slot = frame->slot;
	v->how = how_to(v, can_move);
	frame_set_state(frame, FRAME_BUSY);
	frame_get(frame);
	world->reclaim_stats.isolated++;
	return TAKEN;
}

int mm_isolate(struct mm_world *world, bool can_move, may_evict_fn may_evict, void *arg,
	       struct victim *out)
{
	struct frame *refused[ISOLATE_TRIES];
	struct reclaim *r = &world->reclaim;
	enum take taken = STAYS;
	u32 nr_refused = 0;

	for (int i = 0; i < ISOLATE_TRIES && r->nr_listed && taken != TAKEN; i++) {
		struct reclaim_node *node = r->ops->victim(r->policy);
		struct look look = { .v = out, .may_evict = may_evict, .arg = arg };
		struct frame *frame;

		if (!node)
			break;
		frame = node_to_frame(node);
		BUG_ON(!(frame->flags & FRAME_LISTED));
		frame->flags = (frame->flags & ~FRAME_LISTED) | FRAME_PROBATION;
		r->nr_listed--;
		taken = take(world, frame, can_move, &look);
		if (taken == REFUSED)
			refused[nr_refused++] = frame;
	}
	/* Not before: a policy that would name the same page again hides no other. */
	for (u32 i = 0; i < nr_refused; i++)
		reclaim_putback(world, refused[i], RECLAIM_REFUSED);
	return taken == TAKEN ? 0 : r->nr_listed ? -EAGAIN : -ENOENT;
}

struct walk {
	int (*fn)(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg);
	void *arg;
};

static int walk_one(struct vm_area_struct *vma, u64 addr, void *arg)
{
	struct walk *w = arg;

	return w->fn(vma->vm_mm, addr, vma->vm_flags, w->arg);
}

int mm_victim_walk(struct mm_world *world, u32 pfn,
		   int (*fn)(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg), void *arg)
{
	struct walk w = { fn, arg };
	const struct frame *frame = pfn_to_frame(world, pfn);

	return frame->mapcount ? rmap_walk(frame, walk_one, &w) : 0;
}

u32 mm_victim_mapped(struct mm_world *world, u32 pfn)
{
	return pfn_to_frame(world, pfn)->mapcount;
}

u32 mm_frame_slot(const struct mm_world *world, u32 pfn)
{
	return pfn_to_frame(world, pfn)->slot;
}

u32 mm_slot_frame(const struct mm_world *world, u32 slot)
{
	const struct frame *frame = swap_cache_lookup(world, (swp_entry_t){ slot });

	return frame ? frame->pfn : PFN_NONE;
}

bool mm_slot_place(const struct mm_world *world, u32 slot, void **stage, u32 *index)
{
	const struct frame *frame = swap_cache_lookup(world, (swp_entry_t){ slot });

	if (!frame || frame->mapcount || (frame->state != FRAME_STAGED && frame->state != FRAME_BUSY))
		return false;
	*stage = frame->staged_in;
	*index = (u32)frame->index;
	return true;
}

static int set_wp(struct vm_area_struct *vma, u64 addr, void *arg)
{
	struct pte_ref ref = pte_offset(vma->vm_mm, addr);

	pte_set(vma->vm_mm, ref, *(bool *)arg ? pte_mkwp(pte_get(ref)) : pte_clear_wp(pte_get(ref)));
	return 0;
}

void mm_victim_unprotected(struct mm_world *world, u32 pfn)
{
	struct frame *frame = pfn_to_frame(world, pfn);
	bool wp = false;

	if (frame->mapcount == 1)
		rmap_walk(frame, set_wp, &wp);
}

void mm_victim_protected(struct mm_world *world, u32 pfn)
{
	struct frame *frame = pfn_to_frame(world, pfn);
	bool wp = true;

	if (frame->mapcount)
		rmap_walk(frame, set_wp, &wp);
}

void mm_putback(struct mm_world *world, u32 pfn)
{
	struct frame *frame = pfn_to_frame(world, pfn);

	BUG_ON(frame->state != FRAME_BUSY);
	world->reclaim_stats.refused++;
	if (frame->mapcount) {
		frame_set_state(frame, FRAME_RESIDENT);
		reclaim_putback(world, frame, RECLAIM_REFUSED);
	}
	frame_put(world, frame);
}

/* ---- out ---- */

/* The pte names the slot instead of the frame. */
static int try_to_unmap_one(struct vm_area_struct *vma, u64 addr, void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pte_ref ref = pte_offset(mm, addr);
	struct frame *frame = arg;
	swp_entry_t entry = { frame->slot };

	reclaim_tell_prefetched(frame, mm, addr, false);
	swap_duplicate(mm->world, entry);
	pte_set(mm, ref, swp_entry_to_pte(entry));
	page_remove_rmap(mm->world, frame);
	return 0;
}

/* Every pte that maps the frame becomes a swap pte.  Pre: the caller holds a reference.  Source: try_to_unmap. */
static void try_to_unmap(struct frame *frame)
{
	if (frame->mapcount)
		rmap_walk(frame, try_to_unmap_one, frame);
	BUG_ON(frame->mapcount);
}

static void went_out(struct mm_world *world, struct frame *frame)
{
	struct swap_slot *slot = swap_slot(world, (swp_entry_t){ frame->slot });

	slot->evictions = world->reclaim.evictions++;
	slot->out_ms = world->reclaim.now_ms;
}

bool mm_stage(struct mm_world *world, u32 pfn, void *stage, u32 index)
{
	struct frame *frame = pfn_to_frame(world, pfn);

	BUG_ON(frame->state != FRAME_BUSY || frame->mapcount > 1);
	if (!frame->mapcount)
		return false;
	went_out(world, frame);
	try_to_unmap(frame);
	frame->flags &= ~FRAME_DMA_PINNED; /* or it would not have been moved */
	frame_set_state(frame, FRAME_STAGED);
	frame->staged_in = stage;
	frame->index = index;
	world->reclaim_stats.staged++;
	return true;
}

void reclaim_rescued(struct mm_world *world, struct frame *frame)
{
	struct reclaim *r = &world->reclaim;

	world->reclaim_stats.rescued++;
	if (frame->flags & FRAME_PROBATION)
		r->ops->evicted(r->policy, &frame->reclaim, frame->slot);
	frame->flags &= ~FRAME_PROBATION;
}

void mm_write_begin(struct mm_world *world, u32 pfn)
{
	frame_set_state(pfn_to_frame(world, pfn), FRAME_BUSY);
}

void mm_write_failed(struct mm_world *world, u32 pfn)
{
	frame_set_state(pfn_to_frame(world, pfn), FRAME_STAGED);
}

bool mm_staged_unwanted(const struct mm_world *world, u32 pfn)
{
	const struct frame *frame = pfn_to_frame(world, pfn);

	return !frame->slot || swap_slot(world, (swp_entry_t){ frame->slot })->count == 1;
}

void mm_evicted(struct mm_world *world, u32 pfn, bool clean)
{
	struct frame *frame = pfn_to_frame(world, pfn);
	struct reclaim *r = &world->reclaim;
	swp_entry_t entry = { frame->slot };

	BUG_ON(frame->state != FRAME_BUSY && frame->state != FRAME_STAGED);
	if (frame->mapcount) { /* it was not staged: it goes out only now */
		went_out(world, frame);
		try_to_unmap(frame);
	}
	if (entry.val && swap_slot(world, entry)->count > 1) {
		world->reclaim_stats.evicted++;
		world->reclaim_stats.clean += clean;
		world->reclaim_stats.prefetch_wasted += !!(frame->flags & FRAME_PREFETCHED);
		if (frame->flags & FRAME_PROBATION)
			r->ops->evicted(r->policy, &frame->reclaim, entry.val);
		frame->flags &= ~FRAME_PROBATION;
	}
	frame_put(world, frame); /* and with it the slot's cache */
}

void mm_page_info(const struct mm_world *world, const struct reclaim_node *node,
		  struct mm_page_info *out)
{
	const struct frame *frame = node_to_frame(node);
	struct victim v = { 0 };
	struct look look = { .v = &v };

	*out = (struct mm_page_info){ .age_ms = world->reclaim.now_ms - frame->born_ms,
				      .mapcount = frame->mapcount };
	if (!frame->mapcount)
		return;
	rmap_walk(frame, look_at, &look);
	out->mm = v.mm;
	out->addr = v.addr;
	out->vm_flags = v.vm_flags;
}
