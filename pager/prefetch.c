/* SPDX-License-Identifier: MIT */
/*
 * prefetch.c - after a fault of a page that was out: bring what the prefetcher names, and learn what was used.
 *
 * Who calls it: on_fault.c, when the thread has been answered (reclaim_prefetch).
 * Nobody tells when a page that was brought ahead is used.  But when the next fault of a stream comes right behind
 * what was brought for it, the stream has gone through it (Linux's readahead marker is the same idea).
 */
#include <stdlib.h>

#include "base/check.h"
#include "reclaimer.h"
#include "sup.h"

struct space_prefetch {
	void *state; /* the prefetcher's, for this mm; NULL: none */
};

int prefetch_init(struct sup *sup, char *err, size_t len)
{
	struct reclaimer *r = sup->reclaim;

	return prefetch_open(sup->opt->prefetch, sup->opt->prefetch_yields, &r->prefetch, &r->prefetcher, err, len);
}

void prefetch_fini(struct sup *sup)
{
	if (sup->reclaim->prefetch)
		sup->reclaim->prefetch->fini(sup->reclaim->prefetcher);
}

static struct space_prefetch *prefetch_of(struct space *space)
{
	struct reclaimer *r = space->sup->reclaim;

	if (!space->prefetch) {
		space->prefetch = calloc(1, sizeof(*space->prefetch));
		BUG_ON(!space->prefetch);
		space->prefetch->state = r->prefetch->mm_init(r->prefetcher, space->name);
	}
	return space->prefetch;
}

void reclaim_mm_created(struct space *space)
{
	const struct reclaim *r = mm_reclaim(space->sup->world);

	if (r->ops && r->ops->mm_created)
		r->ops->mm_created(r->policy, space->id, space->name);
}

void reclaim_mm_gone(struct space *space)
{
	struct sup *sup = space->sup;
	const struct reclaim *r = mm_reclaim(sup->world);

	if (r->ops && r->ops->mm_gone)
		r->ops->mm_gone(r->policy, space->id);
	if (!sup->reclaim)
		return;
	oom_forget(sup, space);
	if (space->prefetch && space->prefetch->state)
		sup->reclaim->prefetch->mm_fini(sup->reclaim->prefetcher, space->prefetch->state);
	free(space->prefetch);
	space->prefetch = NULL;
}

void prefetch_told(struct space *space, u64 addr, bool used)
{
	struct reclaimer *r = space ? space->sup->reclaim : NULL;

	if (!r || !space->prefetch || !space->prefetch->state)
		return;
	(used ? r->prefetch->hit : r->prefetch->waste)(r->prefetcher, space->prefetch->state, addr >> PAGE_SHIFT);
}

/* What the prefetcher now knows to have been used. */
static void prove(struct space *space)
{
	struct reclaimer *r = space->sup->reclaim;
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	u32 n = r->prefetch->proven ? r->prefetch->proven(r->prefetcher, space->prefetch->state, run) : 0;

	for (u32 i = 0; i < n; i++)
		for (u32 k = 0; k < run[i].nr; k++)
			mm_prefetch_used(space->mm, (run[i].vpn + (u64)run[i].stride * k) << PAGE_SHIFT);
}

/* Bring one run; neighbours together.  Returns how many pages came, or are on their way. */
static u32 bring(struct space *space, struct prefetch_run *run)
{
	u32 done = 0, came = 0, slot;

	if (run->stride == -1) { /* the same, from its low end */
		run->vpn -= run->nr - 1;
		run->stride = 1;
	}
	while (done < run->nr) {
		u64 addr = (run->vpn + (u64)run->stride * done) << PAGE_SHIFT;
		u32 n;

		if (run->stride != 1 && done + 1 < run->nr)
			mm_prefetch_expect(space->mm, addr + ((u64)run->stride << PAGE_SHIFT));
		n = mm_prefetch(space->mm, addr, run->stride == 1 ? run->nr - done : 1, &slot);
		if (slot)
			swap_read_ahead(space, addr + n * PAGE_SIZE, slot);
		came += n + (slot != 0);
		done += n ? n : 1; /* one that is here, or cannot come, is passed over */
	}
	return came;
}

void reclaim_prefetch(struct space *space, const struct vm_fault *vmf)
{
	struct reclaimer *r = space->sup->reclaim;
	struct space_prefetch *p = prefetch_of(space);
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	struct vma_info vma;
	struct prefetch_fault f = {
		.vpn = vmf->address >> PAGE_SHIFT,
		.write = vmf->flags & FAULT_FLAG_WRITE,
		.soft = vmf->handler == FH_DO_SWAP_PAGE_SOFT,
		.mm = space->id,
	};
	u64 room = mm_room(space->sup->world);
	u32 n, came = 0;

	if (!p->state || !mm_find_vma(space->mm, vmf->address, &vma))
		return;
	f.seq = vma.vm_flags & VM_SEQ_READ;
	f.rand = vma.vm_flags & VM_RAND_READ;
	f.vma_start = vma.start >> PAGE_SHIFT;
	f.vma_end = vma.end >> PAGE_SHIFT;
	/* What a window takes must not be what the next fault waits for. */
	f.max = (u32)u64_min(u64_min(room > r->low / 4 ? room - r->low / 4 : 0, 64), r->budget / 32);
	n = r->prefetch->fault(r->prefetcher, p->state, &f, run);
	prove(space);
	for (u32 i = 0; i < n; i++)
		came += bring(space, &run[i]);
	if (came || r->ahead) {
		r->ahead += came - r->ahead / 64;
		reclaim_set_marks(r);
	}
}
