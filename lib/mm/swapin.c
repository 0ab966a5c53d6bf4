/* SPDX-License-Identifier: MIT */
/*
 * swapin.c - a page comes back: by a fault, or ahead of one.
 *
 *      do_swap_page --+-- its frame is BUSY                 --> wait
 *                     +-- STAGED, and there is room         --> a copy from where it is (a soft fault)
 *                     +-- STAGED, no room, by this mm alone --> unstage: moved back
 *                     '-- else                              --> a copy from its slot
 *
 * Who calls it: fault.c, for a swap pte; the pager, for what its prefetcher names, and when a move back has ended.
 * A copy is a new frame of this mm's alone, also when the slot is shared after fork: the machine cannot map one
 * new page into two address spaces.
 * Linux counterpart: mm/memory.c (do_swap_page), mm/swap_state.c (swapin_readahead).
 */
#include "mm/gup.h"
#include "mm/mm.h"
#include "mm/plan.h"

/* Room that prefetching leaves to faults, as a part of the budget. */
#define PREFETCH_ROOM_SHIFT 10

static u8 *swap_buf(struct mm_world *world)
{
	if (!world->swap_buf)
		world->swap_buf = mem_zalloc(&world->bytes, SWAP_BUF_BYTES);
	return world->swap_buf;
}

/* The pte names a new frame instead of the slot, which the frame may keep. */
static void map_swapped_in(struct vm_area_struct *vma, u64 addr, struct pte_ref ref, unsigned int flags)
{
	struct mm_struct *mm = vma->vm_mm;
	struct mm_world *world = mm->world;
	swp_entry_t entry = pte_to_swp_entry(pte_get(ref));
	struct swap_slot *slot = swap_slot(world, entry);
	struct frame *frame = frame_alloc(world, 0);
	struct frame *cache = swap_cache_lookup(world, entry);

	page_add_new_anon_rmap(frame, vma, addr);
	pte_set(mm, ref, mk_pte(frame_to_pfn(frame), false));
	if (cache) {
		reclaim_tell_prefetched(cache, mm, addr, true);
		reclaim_rescued(world, cache);
	} else {
		reclaim_refault(world, entry);
		world->reclaim_stats.swapped_in++;
	}
	reclaim_insert(world, frame, entry.val, flags | RECLAIM_REFAULT);
	if (cache && slot->count == 2) { /* the slot goes with the page; what is in staging is nobody's */
		swap_cache_del(world, cache);
		world->config.hw->unstage_drop(cache->staged_in, (u32)cache->index, cache->pfn);
	}
	if (slot->count == 1 && slot->pfn == PFN_NONE &&
	    !world->config.backing->is_tight(world->config.backing_arg))
		swap_cache_add(world, frame, entry); /* the pte's count is the frame's now */
	else
		swap_free(world, entry);
}

/* Where the bytes are.  Returns 0, -EINPROGRESS, -EIO or -ENOMEM. */
static int find_bytes(struct mm_world *world, const struct frame *cache, swp_entry_t entry,
		      const void **page)
{
	u8 *buf;

	if (!cache || cache->state != FRAME_STAGED)
		return world->config.backing->read(world->config.backing_arg, entry.val, page);
	buf = swap_buf(world);
	if (!buf)
		return -ENOMEM;
	*page = buf;
	return world->config.hw->peek(cache->staged_in, (u32)cache->index, buf);
}

static bool may_unstage(const struct vm_area_struct *vma, const struct frame *cache)
{
	/* Its one pte and the cache. */
	return cache && cache->state == FRAME_STAGED && !(cache->flags & FRAME_STUCK) &&
	       swap_slot(vma->vm_mm->world, (swp_entry_t){ cache->slot })->count == 2 &&
	       (vma->vm_flags & (VM_ACCESS_FLAGS | VM_LOCKED)) == (VM_READ | VM_WRITE);
}

/* A page is about to come: what is read one after the other then misses the cache at the same time, now. */
static void expect_swapin(struct mm_world *world, pte_t pte)
{
	const struct backing_ops *backing = world->config.backing;
	swp_entry_t entry = pte_to_swp_entry(pte);

	if (!pte_swap(pte))
		return;
	if (backing->expect)
		backing->expect(world->config.backing_arg, entry.val);
	if (world->reclaim.ops && world->reclaim.ops->expect)
		world->reclaim.ops->expect(world->reclaim.policy, entry.val);
}

enum fault_result do_swap_page(struct vm_area_struct *vma, struct vm_fault *vmf, u64 addr,
			       struct pte_ref ref)
{
	struct mm_struct *mm = vma->vm_mm;
	struct mm_world *world = mm->world;
	swp_entry_t entry = pte_to_swp_entry(pte_get(ref));
	struct frame *cache;
	bool soft;
	const void *page;
	u64 done = 0;
	int err;

	expect_swapin(world, pte_get(ref));
	cache = swap_cache_lookup(world, entry);
	soft = cache && cache->state == FRAME_STAGED;
	if (cache && cache->state == FRAME_BUSY)
		return FAULT_PARKED;
	if (anon_vma_prepare(vma) || frame_reserve(world, 0, 1))
		return FAULT_OOM;
	if (may_unstage(vma, cache) && !mm_room(world) && !world->config.hw->unstage(mm, addr, cache->staged_in,
								 (u32)cache->index, cache->pfn)) {
		frame_set_state(cache, FRAME_BUSY);
		vmf->handler = FH_DO_SWAP_PAGE_SOFT;
		vmf->nr_mapped = 1;
		return FAULT_RESOLVED; /* the machine wakes the thread when it has moved the page */
	}
	if (!reclaim_charge(world, 1))
		return FAULT_PARKED;
	err = find_bytes(world, cache, entry, &page);
	if (err == -EINPROGRESS)
		return FAULT_PARKED;
	if (err)
		return err == -ENOMEM ? FAULT_OOM : FAULT_SIGBUS;
	err = world->config.hw->map_copy(mm, addr, 1, page, 0, &done);
	if (!done)
		return hw_refused(mm, addr, err);
	map_swapped_in(vma, addr, ref, vmf->flags & FAULT_FLAG_WRITE ? RECLAIM_WRITE : 0);
	vmf->handler = soft ? FH_DO_SWAP_PAGE_SOFT : FH_DO_SWAP_PAGE;
	vmf->nr_mapped = 1;
	return FAULT_RESOLVED;
}

void mm_unstaged(struct mm_world *world, u32 pfn, struct mm_struct *mm, u64 addr, int err)
{
	struct frame *frame = pfn_to_frame(world, pfn);
	struct vm_area_struct *vma;
	struct pte_ref ref;

	BUG_ON(frame->state != FRAME_BUSY);
	if (err) { /* else two threads that want it could have it moved in vain for ever */
		frame->flags |= FRAME_STUCK;
		frame_set_state(frame, FRAME_STAGED);
		return;
	}
	vma = vma_lookup(mm, addr);
	ref = pte_offset(mm, addr);
	BUG_ON(!vma || !ref.table || !pte_swap(pte_get(ref)) ||
	       pte_to_swp_entry(pte_get(ref)).val != frame->slot);
	frame->anon_vma = NULL;
	page_add_new_anon_rmap(frame, vma, addr); /* the stage's reference is the pte's now */
	pte_set(mm, ref, mk_pte(pfn, false));
	swap_free(world, (swp_entry_t){ frame->slot });
	world->reclaim_stats.rescued++;
	reclaim_tell_prefetched(frame, mm, addr, true);
	reclaim_putback(world, frame, RECLAIM_TOUCHED);
}

void mm_readopt(struct mm_struct *mm, u64 addr, bool wp)
{
	zap_page_range(mm, range_of(addr, PAGE_SIZE), NULL);
	if (mm_adopt_page(mm, addr, false, wp))
		BUG("out of memory for a page that is there");
}

bool mm_unshared(struct mm_struct *mm, u64 addr, u32 pfn)
{
	struct frame *old = pfn_to_frame(mm->world, pfn);
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	pte_t pte = pte_lookup(mm, addr);

	BUG_ON(!vma || !pte_present(pte) || pte_pfn(pte) != pfn || old->mapcount < 2);
	if (!pte_wp(pte) || pte_lazyfree(pte) || anon_vma_prepare(vma) || frame_reserve(mm->world, 0, 1))
		return false;
	mm_readopt(mm, addr, true);
	frame_copied(mm, old, pfn_to_frame(mm->world, pte_pfn(pte_lookup(mm, addr))));
	return true;
}

/* ---- ahead of need ---- */

/* How many pages from addr on can come now; their bytes are in the buffer. */
static u32 gather(struct vm_area_struct *vma, u64 addr, struct pte_ref ref, u32 max, u8 *buf, u32 *slot)
{
	struct mm_world *world = vma->vm_mm->world;
	u32 nr;

	for (nr = 0; nr < max; nr++) {
		pte_t pte = ref.table->pte[ref.index + nr];
		swp_entry_t entry = pte_to_swp_entry(pte);
		int err;

		if (!pte_swap(pte) || swap_cache_lookup(world, entry))
			break;
		if (nr + 1 < max)
			expect_swapin(world, ref.table->pte[ref.index + nr + 1]);
		err = world->config.backing->read_now(world->config.backing_arg, entry.val,
						      buf + nr * PAGE_SIZE);
		if (err == -EAGAIN)
			*slot = entry.val;
		if (err)
			break;
	}
	return nr;
}

void mm_prefetch_expect(struct mm_struct *mm, u64 addr)
{
	if (addr < TASK_SIZE)
		expect_swapin(mm->world, pte_lookup(mm, addr));
}

u32 mm_prefetch(struct mm_struct *mm, u64 addr, u32 nr, u32 *slot)
{
	struct mm_world *world = mm->world;
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	u64 room = mm_room(world), keep = world->reclaim.budget >> PREFETCH_ROOM_SHIFT;
	struct pte_ref ref;
	u64 done = 0;

	*slot = 0;
	if (!vma || vma->vm_flags & (VM_UNMANAGED | VM_LOCKED) || !nr || room <= keep)
		return 0;
	if (mm->plan && range_contains(mm_plan_zaps(mm->plan), addr))
		return 0;
	ref = pte_offset(mm, addr);
	if (!ref.table)
		return 0;
	nr = (u32)u64_min(u64_min(nr, SWAP_BUF_PAGES), room - keep);
	nr = (u32)u64_min(nr, u64_min((vma->vm_end - addr) >> PAGE_SHIFT, PTRS_PER_TABLE - ref.index));
	nr = (u32)(range_len(plan_clear_range(mm, range_of(addr, (u64)nr << PAGE_SHIFT), addr)) >> PAGE_SHIFT);
	if (!swap_buf(world) || anon_vma_prepare(vma) || frame_reserve(world, 0, nr))
		return 0;
	nr = gather(vma, addr, ref, nr, world->swap_buf, slot);
	if (!nr)
		return 0;
	(void)world->config.hw->map_copy(mm, addr, nr, world->swap_buf, 0, &done);
	for (u32 i = 0; i < done; i++)
		map_swapped_in(vma, addr + i * PAGE_SIZE, (struct pte_ref){ ref.table, ref.index + i },
			       RECLAIM_PREFETCH);
	world->reclaim_stats.prefetched += done;
	return (u32)done;
}

void mm_prefetch_used(struct mm_struct *mm, u64 addr)
{
	struct mm_world *world = mm->world;
	pte_t pte = addr < TASK_SIZE ? pte_lookup(mm, addr) : (pte_t){ 0 };
	struct frame *frame;

	if (!pte_present(pte))
		return;
	frame = pfn_to_frame(world, pte_pfn(pte));
	if (!(frame->flags & FRAME_PREFETCHED))
		return;
	reclaim_tell_prefetched(frame, mm, addr, true);
	if (frame->flags & FRAME_LISTED)
		world->reclaim.ops->touch(world->reclaim.policy, &frame->reclaim);
}
