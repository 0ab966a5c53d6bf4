/* SPDX-License-Identifier: MIT */
/*
 * memory.c - what happens to many ptes at once: zap, move, copy, mark; and looking at them.
 * The fault table is in fault.c.  Linux counterpart: mm/memory.c, mm/mremap.c (move_page_tables).
 */
#include "mm/mm.h"

static void zap_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	pte_t pte = pte_get(ref);

	pte_set(mm, ref, (pte_t){ 0 });
	if (pte_present(pte))
		page_remove_rmap(mm->world, pfn_to_frame(mm->world, pte_pfn(pte)));
	else if (pte_swap(pte))
		swap_free(mm->world, pte_to_swp_entry(pte));
}

void zap_page_range(struct mm_struct *mm, struct range r, struct mm_reserve *res)
{
	pte_walk(mm, r, zap_pte, NULL, res);
}

struct move {
	u64 distance; /* new - old, modulo 2^64 */
	struct mm_reserve *res;
};

/*
 * A table of the old range is freed into the reserve as soon as it is empty, and the new range needs
 * tables no faster than that, but for those at the two ends of each level.
 */
static void move_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	struct move *m = arg;
	struct pte_ref to = pte_alloc_reserved(mm, addr + m->distance, m->res);
	pte_t pte = pte_get(ref);

	BUG_ON(!pte_none(pte_get(to)));
	pte_set(mm, ref, (pte_t){ 0 });
	pte_set(mm, to, pte);
}

void move_page_tables(struct mm_struct *mm, u64 old, u64 new_addr, u64 len, struct mm_reserve *res)
{
	struct move m = { new_addr - old, res };

	pte_walk(mm, range_of(old, len), move_pte, &m, res);
}

struct copy {
	struct mm_struct *child;
	int err;
};

static void copy_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	struct copy *c = arg;
	pte_t pte = pte_get(ref);
	struct pte_ref to;

	if (c->err)
		return;
	BUG_ON(!pte_wp(pte) && !pte_swap(pte)); /* the caller's promise; else a write would go unseen (I9) */
	to = pte_alloc(c->child, addr);
	if (!to.table) {
		c->err = -ENOMEM;
		return;
	}
	if (pte_present(pte))
		page_dup_rmap(pfn_to_frame(mm->world, pte_pfn(pte)));
	else if (pte_swap(pte))
		swap_duplicate(mm->world, pte_to_swp_entry(pte));
	pte_set(c->child, to, pte);
}

int copy_page_range(struct mm_struct *child, struct mm_struct *parent, struct range r)
{
	struct copy c = { child, 0 };

	pte_walk(parent, r, copy_pte, &c, NULL);
	return c.err;
}

static void lazyfree_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	pte_t pte = pte_get(ref);

	if (pte_present(pte)) {
		pte_set(mm, ref, pte_mklazyfree(pte));
	} else if (pte_swap(pte)) {
		pte_set(mm, ref, (pte_t){ 0 });
		swap_free(mm->world, pte_to_swp_entry(pte));
	}
}

void mark_lazyfree(struct mm_struct *mm, struct range r)
{
	pte_walk(mm, r, lazyfree_pte, NULL, NULL);
}

static void wp_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	pte_t pte = pte_get(ref);

	if (!pte_swap(pte))
		pte_set(mm, ref, pte_mkwp(pte));
}

void mm_mark_wp(struct mm_struct *mm, struct range r)
{
	pte_walk(mm, r, wp_pte, NULL, NULL);
}

static void munlock_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
	pte_t pte = pte_get(ref);

	if (pte_present(pte))
		reclaim_unpin(mm->world, pfn_to_frame(mm->world, pte_pfn(pte)));
}

void munlock_range(struct mm_struct *mm, struct range r)
{
	if (mm->world->reclaim.ops)
		pte_walk(mm, r, munlock_pte, NULL, NULL);
}

int mm_adopt_page(struct mm_struct *mm, u64 addr, bool zero_page, bool wp)
{
	struct vm_area_struct *vma;
	struct frame *frame;
	struct pte_ref ref;

	addr = page_align_down(addr);
	vma = vma_lookup(mm, addr);
	if (!vma || vma->vm_flags & VM_UNMANAGED)
		return -EFAULT;
	ref = pte_offset(mm, addr);
	if (ref.table && !pte_none(pte_get(ref)))
		return 0;
	if (!zero_page && (anon_vma_prepare(vma) || frame_reserve(mm->world, 0, 1)))
		return -ENOMEM;
	ref = pte_alloc(mm, addr);
	if (!ref.table)
		return -ENOMEM;
	if (zero_page) {
		pte_set(mm, ref, mk_pte_zero(wp));
		return 0;
	}
	frame = frame_alloc(mm->world, 0);
	page_add_new_anon_rmap(frame, vma, addr);
	pte_set(mm, ref, mk_pte(frame_to_pfn(frame), wp));
	reclaim_insert(mm->world, frame, 0, 0);
	return 0;
}

/* ---- looking ---- */

static struct pte_info pte_info(const struct mm_struct *mm, pte_t pte)
{
	struct pte_info info = {
		.state = pte_present(pte) ? PTE_PRESENT :
			 pte_zero(pte)	  ? PTE_ZERO :
			 pte_swap(pte)	  ? PTE_SWAP :
					    PTE_NONE,
		.wp = pte_wp(pte),
		.lazyfree = pte_lazyfree(pte),
	};

	if (pte_present(pte)) {
		info.pfn = pte_pfn(pte);
		info.busy = pfn_to_frame(mm->world, pte_pfn(pte))->state == FRAME_BUSY;
		info.mapcount = pfn_to_frame(mm->world, pte_pfn(pte))->mapcount;
	} else if (pte_swap(pte)) {
		const struct frame *cache = swap_cache_lookup(mm->world, pte_to_swp_entry(pte));

		info.busy = cache && cache->state == FRAME_BUSY;
	}
	return info;
}

void mm_lookup_pte(const struct mm_struct *mm, u64 addr, struct pte_info *out)
{
	*out = pte_info(mm, addr < TASK_SIZE ? pte_lookup(mm, addr) : (pte_t){ 0 });
}

u64 mm_next_pte(const struct mm_struct *mm, u64 addr, u64 end, struct pte_info *out)
{
	struct range r = { page_align_down(addr), u64_min(end, TASK_SIZE) };
	pte_t pte;
	u64 found = pte_next(mm, r, &pte);

	if (range_empty(r) || found == r.end)
		return end;
	*out = pte_info(mm, pte);
	return found;
}

int mm_for_each_writable_run(struct mm_struct *mm, struct range r,
			     int (*fn)(struct mm_struct *mm, struct range run, void *arg), void *arg)
{
	struct range run = { 0, 0 };
	u64 addr = r.start;
	int ret;

	r.end = u64_min(r.end, TASK_SIZE);
	while (addr < r.end) {
		pte_t pte;

		addr = pte_next(mm, (struct range){ addr, r.end }, &pte);
		if (addr < r.end && (pte_wp(pte) || pte_swap(pte))) {
			addr += PAGE_SIZE;
			continue;
		}
		if (addr < r.end && addr == run.end) {
			run.end += PAGE_SIZE;
			addr += PAGE_SIZE;
			continue;
		}
		if (!range_empty(run)) {
			ret = fn(mm, run, arg);
			if (ret)
				return ret;
		}
		run = range_of(addr, addr < r.end ? PAGE_SIZE : 0);
		addr += PAGE_SIZE;
	}
	return range_empty(run) ? 0 : fn(mm, run, arg);
}
