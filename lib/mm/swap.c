/* SPDX-License-Identifier: MIT */
/* swap.c - see swap.h. */
#include "mm/swap.h"

#include <inttypes.h>

#include "mm/mm.h"

#define SLOTS_STEP 1024u

void swap_info_fini(struct mm_world *world)
{
	struct swap_info *si = &world->swap;

	BUG_ON(si->nr_used);
	mem_free(&world->bytes, si->slot, si->nr_slots * sizeof(*si->slot));
}

struct swap_slot *swap_slot(const struct mm_world *world, swp_entry_t entry)
{
	BUG_ON(!entry.val || entry.val >= world->swap.nr_slots);
	return &world->swap.slot[entry.val];
}

static int swap_grow(struct mm_world *world)
{
	struct swap_info *si = &world->swap;
	u32 max = si->nr_slots ? u64_min(2ul * si->nr_slots, si->nr_slots + 64ul * SLOTS_STEP) :
				 SLOTS_STEP;
	struct swap_slot *grown;

	if (max >= PFN_NONE - SLOTS_STEP)
		return -ENOMEM;
	grown = mem_grow(&world->bytes, si->slot, si->nr_slots * sizeof(*grown), max * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	si->slot = grown;
	for (u32 i = max; i-- > u64_max(si->nr_slots, 1);) { /* the lowest is handed out first */
		grown[i].pfn = si->free;
		si->free = i;
	}
	si->nr_slots = max;
	return 0;
}

swp_entry_t swap_alloc(struct mm_world *world)
{
	struct swap_info *si = &world->swap;
	struct swap_slot *slot;
	u32 nr;

	if (!si->free && swap_grow(world))
		return (swp_entry_t){ 0 };
	nr = si->free;
	slot = &si->slot[nr];
	si->free = slot->pfn;
	*slot = (struct swap_slot){ .count = 1, .pfn = PFN_NONE };
	si->nr_used++;
	si->nr_used_max = u64_max(si->nr_used_max, si->nr_used);
	return (swp_entry_t){ nr };
}

void swap_duplicate(struct mm_world *world, swp_entry_t entry)
{
	struct swap_slot *slot = swap_slot(world, entry);

	BUG_ON(!slot->count);
	slot->count++;
}

static void slot_free(struct mm_world *world, struct swap_slot *slot, swp_entry_t entry)
{
	struct swap_info *si = &world->swap;

	BUG_ON(slot->pfn != PFN_NONE);
	reclaim_forget_key(world, entry);
	world->config.backing->drop(world->config.backing_arg, entry.val);
	slot->pfn = si->free;
	si->free = entry.val;
	si->nr_used--;
}

void swap_free(struct mm_world *world, swp_entry_t entry)
{
	struct swap_slot *slot = swap_slot(world, entry);
	struct frame *frame;

	BUG_ON(!slot->count);
	if (!--slot->count) {
		slot_free(world, slot, entry);
		return;
	}
	if (slot->count != 1 || slot->pfn == PFN_NONE)
		return;
	frame = pfn_to_frame(world, slot->pfn);
	if (frame->state == FRAME_STAGED)
		world->config.hw->unstage_drop(frame->staged_in, (u32)frame->index, frame->pfn);
}

struct frame *swap_cache_lookup(const struct mm_world *world, swp_entry_t entry)
{
	const struct swap_slot *slot = swap_slot(world, entry);

	return slot->pfn == PFN_NONE ? NULL : pfn_to_frame(world, slot->pfn);
}

void swap_cache_add(struct mm_world *world, struct frame *frame, swp_entry_t entry)
{
	struct swap_slot *slot = swap_slot(world, entry);

	BUG_ON(slot->pfn != PFN_NONE || frame->slot);
	slot->pfn = frame->pfn;
	frame->slot = entry.val;
}

void swap_cache_del(struct mm_world *world, struct frame *frame)
{
	swp_entry_t entry = { frame->slot };

	if (!entry.val)
		return;
	BUG_ON(swap_slot(world, entry)->pfn != frame->pfn);
	swap_slot(world, entry)->pfn = PFN_NONE;
	frame->slot = 0;
	swap_free(world, entry);
}

static void verify_slot(const struct mm_world *world, u32 i, u32 names, bool all)
{
	const struct swap_slot *s = &world->swap.slot[i];
	bool cached = s->count && s->pfn != PFN_NONE;

	if (cached && pfn_to_frame(world, s->pfn)->slot != i)
		BUG("I10: slot %u is cached by frame %u, which does not know it", i, s->pfn);
	if (names + cached > s->count || (all && names + cached != s->count))
		BUG("I10: slot %u has count %u; %u swap ptes%s name it", i, s->count, names,
		    cached ? " and a frame" : "");
}

void swap_verify(const struct mm_world *world, const u32 *names, bool all)
{
	const struct swap_info *si = &world->swap;
	u32 nr_free = 0, nr_used = 0;

	for (u32 i = si->free; i; i = si->slot[i].pfn) {
		if (si->slot[i].count || nr_free++ > si->nr_slots)
			BUG("I10: slot %u on the free list", i);
	}
	for (u32 i = 1; i < si->nr_slots; i++) {
		verify_slot(world, i, names[i], all);
		nr_used += !!si->slot[i].count;
	}
	if (nr_used != si->nr_used || (si->nr_slots && nr_used + nr_free + 1 != si->nr_slots))
		BUG("I10: %u slots are used, counted %u", nr_used, si->nr_used);
}
