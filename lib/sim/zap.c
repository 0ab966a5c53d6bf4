/* SPDX-License-Identifier: MIT */
/*
 * zap.c - pages that cannot be moved go out: protected where they are mapped, read, stored, and dropped from every
 * address space, one after the other.  Counterpart: pager/zap.c.
 */
#include "sim/swapper.h"

static int protect_one(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct pte_info pte;

	mm_lookup_pte(mm, addr, &pte);
	return pte.wp ? 0 : sim_hw_ops.protect(mm, range_of(addr, PAGE_SIZE), HW_WP);
}

static int hold_one(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct sim_job *job = arg;
	struct sim_space *s = mm_host(mm);

	BUG_ON(job->nr_maps == SIM_SPACES);
	job->map[job->nr_maps++] = (struct sim_map){ .space = s, .addr = addr };
	sim_commands_begin(s);
	return 0;
}

/*
 * Does the kernel share the page as the model thinks?  One that was pinned it has copied at the fork, and a device
 * may still write to it.
 */
static int check_shared(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct sim_space *s = mm_host(mm);
	const struct sim_page *p = sim_page(s, addr);

	return p->state == SIM_PRESENT && s->sim->frame[p->frame].exclusive ? -EBUSY : 0;
}

void sim_zap_begin(struct sim *sim, u32 pfn)
{
	u32 nr = mm_victim_mapped(sim->world, pfn);
	struct sim_job *job;

	if (!nr || (nr > 1 && mm_victim_walk(sim->world, pfn, check_shared, NULL)) ||
	    mm_victim_walk(sim->world, pfn, protect_one, NULL)) {
		mm_putback(sim->world, pfn);
		return;
	}
	mm_victim_protected(sim->world, pfn);
	job = sim_job_new(sim, SIM_ZAP, pfn);
	mm_victim_walk(sim->world, pfn, hold_one, job);
}

static void zap_end(struct sim *sim, struct sim_job *job)
{
	u32 nr = job->nr_maps;
	struct sim_map map[SIM_SPACES];

	for (u32 i = 0; i < nr; i++)
		map[i] = job->map[i];
	sim_job_end(sim, job);
	for (u32 i = 0; i < nr; i++)
		sim_commands_end(map[i].space);
}

static void zap_undo(struct sim *sim, struct sim_job *job)
{
	mm_putback(sim->world, job->pfn);
	zap_end(sim, job);
}

/* MADV_DONTNEED by the stub; locked or sealed memory refuses. */
static bool drop_page(struct sim *sim, const struct sim_map *map)
{
	struct sim_page *p = sim_page(map->space, map->addr);
	u64 f = p->vm_flags;

	if (sim_scripted(sim, false) || f & VM_LOCKED || (f & VM_SEALED && !(f & VM_WRITE)))
		return false;
	sim_pte_clear(sim, p);
	return true;
}

/* What was not dropped is a page of that address space alone now. */
static void take_survivors(struct sim *sim, const struct sim_job *job)
{
	for (u32 i = 0; i < job->nr_maps; i++) {
		struct sim_space *s = job->map[i].space;
		struct sim_page *p = sim_page(s, job->map[i].addr);

		if (!job->map[i].failed || p->state == SIM_NONE)
			continue;
		alloc_fail_at(0);
		mm_readopt(s->mm, job->map[i].addr, true);
		p->lag = true;
	}
}

static void drop_next(struct sim *sim, struct sim_job *job)
{
	struct sim_map *map = &job->map[job->nr_dropped++];

	map->failed = !drop_page(sim, map);
	if (job->nr_dropped < job->nr_maps)
		return;
	mm_evicted(sim->world, job->pfn, job->clean);
	take_survivors(sim, job);
	zap_end(sim, job);
}

static void store_page(struct sim *sim, struct sim_job *job)
{
	const struct sim_page *p = sim_page(job->map[0].space, job->map[0].addr);
	u32 slot = mm_frame_slot(sim->world, job->pfn);
	bool again = job->phase++;
	int err;

	if (p->state == SIM_NONE) { /* dropped behind our back: a fault will tell */
		zap_undo(sim, job);
		return;
	}
	job->tag = p->state == SIM_PRESENT ? sim->frame[p->frame].tag : 0;
	job->clean = !again && sim_store_has(sim, slot, job->tag);
	err = job->clean ? 0 : sim_store_put(sim, slot, job->tag, again);
	if (err == -EINPROGRESS)
		return;
	if (err)
		zap_undo(sim, job);
	else
		job->stored = true;
}

void sim_zap_step(struct sim *sim, struct sim_job *job)
{
	if (job->stored)
		drop_next(sim, job);
	else
		store_page(sim, job);
}
