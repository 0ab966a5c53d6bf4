/* SPDX-License-Identifier: MIT */
/*
 * writeout.c - bytes of pages that leave: jobs for the packer, and what the store says.
 *
 * Who calls it: staging.c and zap.c, which gather the pages of a job and act on what became of each.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "reclaimer.h"
#include "sup.h"

u32 slot_of(const struct sup *sup, u32 pfn)
{
	return mm_frame_slot(sup->world, pfn);
}

struct pack_job *job_get(struct reclaimer *r)
{
	return r->nr_idle_jobs ? r->jobs[--r->nr_idle_jobs] : NULL;
}

void job_put(struct reclaimer *r, struct pack_job *job)
{
	r->jobs[r->nr_idle_jobs++] = job;
}

struct pack_page *job_add(struct sup *sup, struct pack_job *job, u64 addr, u32 pfn, u32 place)
{
	struct pack_page *page = &job->page[job->nr++];

	page->addr = addr;
	page->pfn = pfn;
	page->place = place;
	page->has_known = swap_store_hash(sup->reclaim->store, slot_of(sup, pfn), page->known);
	return page;
}

/* Put packed bytes under the slot.  Returns as swap_store_put(). */
int store_page(struct sup *sup, u32 slot, const struct pack_page *page)
{
	int err;

	swap_store_drop(sup->reclaim->store, slot);
	err = swap_store_put(sup->reclaim->store, slot, &page->packed);
	if (!err || err == -EINPROGRESS) {
		sup->reclaim->out_pages++;
		sup->reclaim->out_bytes += page->packed.len;
	}
	if (err == -ENOSPC)
		sup->reclaim->swap_full = true;
	return err;
}

static void job_done(struct sup *sup, struct pack_job *job)
{
	if (job->owner)
		staging_packed(sup, job);
	else
		for (u32 i = 0; i < job->nr; i++)
			zap_packed(sup, &job->page[i]);
	job_put(sup->reclaim, job);
}

void jobs_collect(struct sup *sup)
{
	struct pack_job *job;

	while ((job = packer_next(sup->reclaim->packer)))
		job_done(sup, job);
}

/* A page or two are packed sooner than another CPU is woken. */
#define PACK_HERE_PAGES 4

void job_submit(struct sup *sup, struct pack_job *job)
{
	struct packer *packer = sup->reclaim->packer;

	if (job->nr > PACK_HERE_PAGES) {
		packer_submit(packer, job);
		return;
	}
	packer_run(packer, job);
	job_done(sup, job);
}

void reclaim_written(struct sup *sup, u32 slot, int err)
{
	struct reclaimer *r = sup->reclaim;
	struct stager *st;
	struct zap *z;
	void *stage;
	u32 index, pfn;

	if (err)
		r->write_errors++;
	if (mm_slot_place(sup->world, slot, &stage, &index)) {
		st = stage;
		if (st->place[index].state != PLACE_STORING)
			return; /* the pool has spilled it: nobody waits */
		if (err)
			staging_stay(st, index);
		else
			staging_place_due(st, index);
		return;
	}
	pfn = mm_slot_frame(sup->world, slot);
	list_for_each_entry(z, &r->zaps, link) {
		if (z->pfn != pfn || !z->storing)
			continue;
		z->storing = false;
		if (err)
			zap_undo(sup, z);
		else
			zap_drop(sup, z);
		return;
	}
}
