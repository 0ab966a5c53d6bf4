/* SPDX-License-Identifier: MIT */
/* reclaim.c - see reclaim.h.  Start reading at reclaim_work(). */
#include "reclaim.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "front.h"
#include "mm/mm_query.h"
#include "plugin.h"
#include "reclaimer.h"
#include "sup.h"
#include "sys/uffd.h"

#define VICTIM_BATCH 64
/* Arguments and environment of so many pages stay: ps and top read them with no way to wait for us. */
#define ARGS_KEPT_PAGES 4

static struct mm_world *world_of(const struct stager *st)
{
	return st->sup->world;
}

/* ---- who may go ---- */

/* May pages of the space be taken in this pass? */
static bool space_may(struct space *space)
{
	struct reclaimer *r = space->sup->reclaim;

	if (space->pass == r->pass)
		return space->pass_may;
	space->pass = r->pass;
	space->pass_may = space->stager && !space->stager->dying && !space->forking && !space->keep &&
			  list_empty(&space->waiters) && list_empty(&space->exit_waiters) &&
			  !space->fork_waits &&
			  !(space->nr_exiting && exit_pending(space->sup, space));
	return space->pass_may;
}

static bool is_kept(const struct space *space, u64 addr)
{
	struct range r = { page_align_down(space->args.start), page_align_up(space->args.end) };

	return range_contains(r, addr) && range_len(r) <= ARGS_KEPT_PAGES * PAGE_SIZE;
}

static bool may_evict(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct space *space = mm_host(mm);

	if (!space || !space_may(space) || is_kept(space, addr))
		return false;
	if (!stager_room(space->stager, STUB_RING / 4))
		return false;
	/* What a call in the kernel is about to change is its own. */
	return !space->caller || (space->caller->call.plan &&
				  !range_contains(mm_plan_zaps(space->caller->call.plan), addr));
}

/* ---- the program's pages under our hands ---- */

static void evicting_begin(struct space *space)
{
	space_get(space);
	space->evicting++;
}

static void evicting_end(struct space *space)
{
	BUG_ON(!space->evicting);
	if (!--space->evicting)
		space->sup->reclaim->calls_due = true; /* not here: we are in the middle of something */
	space_put(space);
}

static void frame_left(struct sup *sup, u32 pfn, bool clean)
{
	struct reclaimer *r = sup->reclaim;

	mm_evicted(sup->world, pfn, clean);
	r->nr_leaving--;
	r->freed = true;
}

/* ---- staging ---- */

static void place_free(struct stager *st, u32 place)
{
	st->place[place] = (struct place){ .state = PLACE_FREE };
	st->nr_used--;
}

/* Nobody needs what is in the place: it is dropped with its neighbours (drop_due). */
static void place_due(struct stager *st, u32 place)
{
	st->place[place].state = PLACE_DUE;
	st->nr_due++;
}

/* Victims that are neighbours in one address space, to be moved by one command. */
struct fill_run {
	struct stager *st;
	u64 addr;
	u32 nr;
	u32 pfn[VICTIM_BATCH];
	bool unshare;
};

static void putback(struct sup *sup, u32 pfn)
{
	mm_putback(sup->world, pfn);
}

static void fill_flush(struct fill_run *run)
{
	struct stager *st = run->st;
	u32 done = 0, first, n;

	while (done < run->nr) {
		n = stager_room(st, 2) ? stager_free_places(st, run->nr - done, &first) : 0;
		if (!n)
			break;
		for (u32 i = 0; i < n; i++)
			st->place[first + i] =
				(struct place){ .pfn = run->pfn[done + i], .state = PLACE_FILLING };
		st->nr_used += n;
		st->sup->reclaim->nr_filling += n;
		evicting_begin(st->space);
		if (run->unshare)
			stager_unshare(st, run->addr + done * PAGE_SIZE, n);
		stager_fill(st, run->addr + done * PAGE_SIZE, first, n);
		done += n;
	}
	for (; done < run->nr; done++)
		putback(st->sup, run->pfn[done]);
	run->nr = 0;
}

/* A page that was shared by a fork: our protection goes first, then the stub writes to it. */
static bool lift_protection(struct space *space, const struct victim *v)
{
	if (uffd_writeprotect(space->uffd, range_of(v->addr, PAGE_SIZE), false, false))
		return false;
	mm_victim_unprotected(space->sup->world, v->pfn);
	return true;
}

static void fill_add(struct fill_run *run, const struct victim *v)
{
	struct space *space = mm_host(v->mm);
	bool unshare = v->how == EVICT_UNSHARE;

	if (unshare && !lift_protection(space, v)) {
		putback(space->sup, v->pfn);
		return;
	}
	if (run->nr && (run->st != space->stager || v->addr != run->addr + run->nr * PAGE_SIZE ||
			run->unshare != unshare || run->nr == VICTIM_BATCH))
		fill_flush(run);
	if (!run->nr) {
		run->st = space->stager;
		run->addr = v->addr;
		run->unshare = unshare;
	}
	run->pfn[run->nr++] = v->pfn;
}

static void zap_begin(struct sup *sup, const struct victim *v);

/* The first `moved` pages are in their places; the machine refused the next with `err`. */
static void on_filled(struct stager *st, const struct stager_op *op, s64 err, u32 moved)
{
	struct sup *sup = st->sup;
	struct reclaimer *r = sup->reclaim;
	u32 i;

	r->nr_filling -= op->nr;
	for (i = 0; i < moved; i++) {
		struct place *p = &st->place[op->place + i];

		if (mm_stage(sup->world, p->pfn, st, op->place + i)) {
			p->state = PLACE_STAGED;
			st->nr_staged++;
			r->nr_staged++;
		} else {
			r->nr_leaving++;
			place_due(st, op->place + i);
		}
	}
	for (; i < op->nr; i++) {
		u32 pfn = st->place[op->place + i].pfn;

		place_free(st, op->place + i);
		/* Not movable at all, though it looked so (a protection key): the other way. */
		if (i == moved && err == -EINVAL && mm_victim_mapped(sup->world, pfn))
			zap_begin(sup, &(struct victim){ .pfn = pfn, .how = EVICT_ZAP }); /* mapped once */
		else
			putback(sup, pfn);
	}
	evicting_end(st->space);
}

/* ---- a soft fault ---- */

int reclaim_unstage(struct mm_struct *mm, u64 addr, void *stage, u32 index, u32 pfn)
{
	struct space *space = mm_host(mm);
	struct stager *st = stage;
	struct place *p = &st->place[index];

	if (st->space != space)
		return -EXDEV;
	if (st->dying || !stager_room(st, 1) || p->state != PLACE_STAGED || p->unwanted)
		return -EOPNOTSUPP;
	p->state = PLACE_MOVING;
	st->nr_staged--;
	st->sup->reclaim->nr_staged--;
	evicting_begin(space);
	stager_rescue(st, index, addr);
	stager_kick(st);
	return 0;
}

static void on_rescued(struct stager *st, const struct stager_op *op, s64 err, u32 moved)
{
	struct place *p = &st->place[op->place];
	struct space *space = st->space;

	mm_unstaged(world_of(st), p->pfn, space->mm, op->addr, moved ? 0 : err ? (int)err : -EIO);
	if (moved) {
		place_free(st, op->place);
	} else {
		/* It has to go the long way: out to the store, and back by a copy. */
		p->state = PLACE_STAGED;
		p->unwanted = mm_staged_unwanted(world_of(st), p->pfn);
		st->nr_staged++;
		st->sup->reclaim->nr_staged++;
		st->sup->reclaim->soft_failed++;
		st->stuck = true;
		(void)uffd_wake(space->uffd, range_of(op->addr, PAGE_SIZE));
	}
	st->sup->reclaim->freed = true; /* others may wait for this page */
	evicting_end(space);
}

int reclaim_peek(void *stage, u32 index, void *page)
{
	const struct stager *st = stage;

	return pread(st->mem, page, PAGE_SIZE, (off_t)stager_addr(st, index)) == PAGE_SIZE ? 0 : -EIO;
}

void reclaim_unstage_drop(void *stage, u32 index, u32 pfn)
{
	struct stager *st = stage;

	st->place[index].unwanted = true;
	st->has_unwanted = true;
}

/* Pages in staging that the program has freed meanwhile are due. */
static void find_unwanted(struct stager *st)
{
	if (!st->has_unwanted)
		return;
	st->has_unwanted = false;
	for (u32 i = 0; i < STAGING_PAGES; i++) {
		if (!st->place[i].unwanted || st->place[i].state != PLACE_STAGED)
			continue;
		st->nr_staged--;
		st->sup->reclaim->nr_staged--;
		st->sup->reclaim->nr_leaving++;
		place_due(st, i);
	}
}

/* Drop what is due, rows of neighbours by one command. */
static void drop_due(struct stager *st)
{
	u32 n;

	for (u32 i = 0; i < STAGING_PAGES && st->nr_due && stager_room(st, 1); i += n ? n : 1) {
		for (n = 0; i + n < STAGING_PAGES && st->place[i + n].state == PLACE_DUE; n++)
			st->place[i + n].state = PLACE_DROPPING;
		if (n)
			stager_drop(st, i, n);
		st->nr_due -= n;
	}
}

static void on_dropped(struct stager *st, const struct stager_op *op)
{
	for (u32 i = 0; i < op->nr; i++) {
		struct place *p = &st->place[op->place + i];

		frame_left(st->sup, p->pfn, p->clean);
		place_free(st, op->place + i);
	}
}

/* ---- out of staging: read, pack, store, drop ---- */

static u32 slot_of(const struct sup *sup, u32 pfn)
{
	return mm_frame_slot(sup->world, pfn);
}

static void job_submit(struct sup *sup, struct pack_job *job);

static struct pack_job *job_get(struct reclaimer *r)
{
	return r->nr_idle_jobs ? r->jobs[--r->nr_idle_jobs] : NULL;
}

static void job_put(struct reclaimer *r, struct pack_job *job)
{
	r->jobs[r->nr_idle_jobs++] = job;
}

static struct pack_page *job_add(struct sup *sup, struct pack_job *job, u64 addr, u32 pfn, u32 place)
{
	struct pack_page *page = &job->page[job->nr++];

	page->addr = addr;
	page->pfn = pfn;
	page->place = place;
	page->has_known = swap_store_hash(sup->reclaim->store, slot_of(sup, pfn), page->known);
	return page;
}

/* The next stager that has staged pages, round and round. */
static struct stager *next_stager(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	struct stager *st;

	list_for_each_entry(st, &sup->stagers, link)
		if (st->nr_staged && !st->dying && (st->stuck || !st->space))
			return st;
	for (int laps = 0; laps < 2; laps++) {
		list_for_each_entry(st, &sup->stagers, link)
			if (st->nr_staged && !st->dying && st->turn != r->turn)
				return st;
		r->turn++;
	}
	return NULL;
}

/* Take up to `want` of the oldest staged pages to the packer.  Returns how many. */
static u32 write_out(struct sup *sup, u64 want)
{
	struct reclaimer *r = sup->reclaim;
	struct stager *st = next_stager(sup);
	struct pack_job *job;
	u32 place, n;

	if (!st || r->swap_full)
		return 0;
	job = job_get(r);
	if (!job)
		return 0;
	st->turn = r->turn;
	st->stuck = false;
	job->owner = st;
	job->mem = st->mem;
	job->nr = 0;
	/* Behind the hand that fills, the oldest come first. */
	place = st->fill_hand;
	for (u32 i = 0; i < STAGING_PAGES && job->nr < JOB_PAGES && job->nr < want; i++) {
		struct place *p = &st->place[(place + i) % STAGING_PAGES];

		if (p->state != PLACE_STAGED || p->unwanted)
			continue;
		p->state = PLACE_READING;
		mm_write_begin(sup->world, p->pfn);
		job_add(sup, job, stager_addr(st, (place + i) % STAGING_PAGES), p->pfn,
			(place + i) % STAGING_PAGES);
	}
	st->nr_staged -= job->nr;
	r->nr_staged -= job->nr;
	r->nr_leaving += job->nr;
	if (!job->nr) {
		job_put(r, job);
		return 0;
	}
	st->jobs++;
	n = job->nr;
	job_submit(sup, job);
	return n;
}

/* It cannot be stored: it stays in staging, where a fault finds it. */
static void stay_staged(struct stager *st, u32 place)
{
	struct place *p = &st->place[place];
	struct reclaimer *r = st->sup->reclaim;

	mm_write_failed(world_of(st), p->pfn);
	p->state = PLACE_STAGED;
	p->unwanted = mm_staged_unwanted(world_of(st), p->pfn);
	st->has_unwanted |= p->unwanted;
	st->nr_staged++;
	r->nr_staged++;
	r->nr_leaving--;
	r->freed = true;
}

/* Put packed bytes under the slot.  Returns as swap_store_put(). */
static int store(struct sup *sup, u32 slot, const struct pack_page *page)
{
	int err;

	swap_store_drop(sup->reclaim->store, slot);
	err = swap_store_put(sup->reclaim->store, slot, &page->packed);
	if (err == -ENOSPC)
		sup->reclaim->swap_full = true;
	return err;
}

/* A page of a job is packed.  Returns true when it may be dropped now. */
static bool place_packed(struct stager *st, const struct pack_page *page)
{
	struct place *p = &st->place[page->place];
	struct sup *sup = st->sup;

	p->clean = page->result == PACK_CLEAN;
	if (mm_staged_unwanted(sup->world, p->pfn) || p->clean)
		return true;
	if (page->result == PACK_GONE) {
		/* Somebody has taken it out of our own staging area. */
		sup_fail(sup, "a page of process %d is gone from where upager kept it; the tree is ended",
			 st->space ? st->space->pid : st->pid);
		return true;
	}
	switch (store(sup, slot_of(sup, p->pfn), page)) {
	case 0:
		return true;
	case -EINPROGRESS:
		p->state = PLACE_STORING;
		return false;
	default:
		stay_staged(st, page->place);
		return false;
	}
}

static void staged_job_done(struct sup *sup, struct pack_job *job)
{
	struct stager *st = job->owner;

	st->jobs--;
	for (u32 i = 0; i < job->nr; i++)
		if (place_packed(st, &job->page[i]))
			place_due(st, job->page[i].place);
}

/* ---- without staging ---- */

/*
 * Does the kernel share the page as the model thinks?  Pages that were pinned at a fork (by a device, an io_uring's
 * buffers) it has copied, and DMA may still go to this one.
 */
static bool is_shared(struct sup *sup, const struct victim *v)
{
	struct space *space = mm_host(v->mm);
	int fd = space_pagemap(space);
	u64 entry;

	return fd >= 0 && pagemap_read(fd, v->addr, &entry, 1) == 1 && !(entry & PAGEMAP_EXCLUSIVE);
}

static int protect_one(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct space *space = mm_host(mm);
	struct pte_info pte;

	mm_lookup_pte(mm, addr, &pte);
	if (pte.wp)
		return 0;
	return uffd_writeprotect(space->uffd, range_of(addr, PAGE_SIZE), true, false);
}

static int hold_one(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct zap *z = arg;

	z->map[z->nr++] = (struct zap_map){ .zap = z, .space = mm_host(mm), .addr = addr };
	evicting_begin(mm_host(mm));
	return 0;
}

/* The page may be forgotten by the zap: gone, or to stay. */
static void zap_end(struct sup *sup, struct zap *z)
{
	list_del(&z->link);
	for (u32 i = 0; i < z->nr; i++)
		evicting_end(z->map[i].space);
	free(z);
}

static void zap_undo(struct sup *sup, struct zap *z)
{
	sup->reclaim->nr_leaving--;
	sup->reclaim->freed = true; /* who waits for this page may go on */
	putback(sup, z->pfn);
	zap_end(sup, z);
}

static void zap_begin(struct sup *sup, const struct victim *v)
{
	struct reclaimer *r = sup->reclaim;
	u32 nr = mm_victim_mapped(sup->world, v->pfn);
	struct zap *z;

	if (!nr || nr > ZAP_MAX_MAPS || (nr > 1 && !is_shared(sup, v)) || mm_victim_walk(sup->world, v->pfn, protect_one, NULL)) {
		putback(sup, v->pfn);
		return;
	}
	mm_victim_protected(sup->world, v->pfn);
	z = calloc(1, sizeof(*z) + nr * sizeof(z->map[0]));
	BUG_ON(!z);
	z->pfn = v->pfn;
	mm_victim_walk(sup->world, v->pfn, hold_one, z);
	list_add_tail(&z->link, &r->zaps_new);
	r->nr_leaving++;
}

/* Send what was begun to the packer: pages that are read from one address space make one job. */
static void zaps_submit(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	struct pack_job *job = NULL;
	struct zap *z, *tmp;

	list_for_each_entry_safe(z, tmp, &r->zaps_new, link) {
		int mem = z->map[0].space->stager ? z->map[0].space->stager->mem : -1;

		if (r->swap_full || mem < 0) {
			zap_undo(sup, z);
			continue;
		}
		if (job && (job->mem != mem || job->nr == JOB_PAGES)) {
			job_submit(sup, job);
			job = NULL;
		}
		if (!job) {
			job = job_get(r);
			if (!job)
				return; /* when one comes back */
			job->owner = NULL;
			job->mem = mem;
			job->nr = 0;
		}
		list_del(&z->link);
		list_add_tail(&z->link, &r->zaps);
		job_add(sup, job, z->map[0].addr, z->pfn, 0)->cookie = z;
	}
	if (job)
		job_submit(sup, job);
}

/* Its bytes are stored: out of every address space with it. */
static void zap_drop(struct sup *sup, struct zap *z)
{
	for (u32 i = 0; i < z->nr; i++) {
		struct stager *st = z->map[i].space->stager;

		if (!st || !stager_room(st, 2 * z->nr)) {
			zap_undo(sup, z);
			return;
		}
	}
	for (u32 i = 0; i < z->nr; i++)
		stager_zap(z->map[i].space->stager, z->map[i].addr, &z->map[i]);
	z->to_drop = z->nr;
}

/*
 * It is out, but for a mapping whose stub was killed or refused: is the page still there?  Then it is a page of
 * that address space alone.
 */
static void zap_survivor(struct sup *sup, const struct zap_map *map)
{
	u8 byte;

	if (!map->failed || space_peek(map->space, map->addr, &byte, 1))
		return;
	mm_readopt(map->space->mm, map->addr);
}

static void on_zapped(struct stager *st, const struct stager_op *op, s64 err)
{
	struct sup *sup = st->sup;
	struct zap_map *map = op->cookie;
	struct zap *z = map->zap;

	map->failed = err != 0;
	if (--z->to_drop)
		return;
	frame_left(sup, z->pfn, z->clean);
	for (u32 i = 0; i < z->nr; i++)
		zap_survivor(sup, &z->map[i]);
	zap_end(sup, z);
}

static void zap_packed(struct sup *sup, struct pack_page *page)
{
	struct zap *z = page->cookie;

	z->clean = page->result == PACK_CLEAN;
	if (page->result == PACK_GONE) { /* dropped behind our back (io_uring): a fault will tell */
		zap_undo(sup, z);
		return;
	}
	switch (z->clean ? 0 : store(sup, slot_of(sup, z->pfn), page)) {
	case 0:
		zap_drop(sup, z);
		break;
	case -EINPROGRESS:
		z->storing = true;
		break;
	default:
		zap_undo(sup, z);
		break;
	}
}

static void job_done(struct sup *sup, struct pack_job *job)
{
	if (job->owner)
		staged_job_done(sup, job);
	else
		for (u32 i = 0; i < job->nr; i++)
			zap_packed(sup, &job->page[i]);
	job_put(sup->reclaim, job);
}

static void on_packed(struct sup *sup)
{
	struct pack_job *job;

	while ((job = packer_next(sup->reclaim->packer)))
		job_done(sup, job);
}

/* A page or two are packed sooner than another CPU is woken. */
#define PACK_HERE_PAGES 4

static void job_submit(struct sup *sup, struct pack_job *job)
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
			stay_staged(st, index);
		else
			place_due(st, index);
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

/* ---- the stubs speak ---- */

static void collect(struct stager *st)
{
	struct stager_op op;
	s64 result;
	u32 moved;

	while (stager_next(st, &op, &result, &moved)) {
		switch (op.kind) {
		case OP_NONE:
		case OP_UNSHARE:
			break;
		case OP_FILL:
			on_filled(st, &op, result, moved);
			break;
		case OP_RESCUE:
			on_rescued(st, &op, result, moved);
			break;
		case OP_DROP:
			on_dropped(st, &op);
			break;
		case OP_ZAP:
			on_zapped(st, &op, result);
			break;
		}
	}
}

static void collect_all(struct sup *sup)
{
	struct stager *st, *tmp;

	list_for_each_entry_safe(st, tmp, &sup->stagers, link) {
		if (st->nr_ops)
			collect(st);
		if (!st->space && !st->nr_used && !st->jobs)
			stager_end(st);
	}
}

void reclaim_flush(struct stager *st)
{
	for (u32 i = 0; i < STAGING_PAGES; i++)
		st->has_unwanted |= st->place[i].unwanted;
	st->sup->reclaim->running = true;
}

void reclaim_forget_places(struct stager *st)
{
	find_unwanted(st);
	for (u32 i = 0; i < STAGING_PAGES; i++) {
		struct place *p = &st->place[i];

		if (p->state != PLACE_DUE)
			continue;
		st->nr_due--;
		frame_left(st->sup, p->pfn, p->clean);
		place_free(st, i);
	}
}

/*
 * The stub was killed.  What it did not answer may or may not have been done: only looking tells.  What is in
 * staging can still be read there.
 */
void reclaim_stub_died(struct stager *st)
{
	collect(st);
	while (st->nr_ops) {
		struct stager_op op = stager_next_lost(st);
		u8 byte;

		switch (op.kind) {
		case OP_NONE:
		case OP_UNSHARE:
			break;
		case OP_FILL: {
			u32 moved = 0;

			while (moved < op.nr && pread(st->mem, &byte, 1,
						      (off_t)stager_addr(st, op.place + moved)) == 1)
				moved++;
			on_filled(st, &op, -EAGAIN, moved);
			break;
		}
		case OP_RESCUE:
			on_rescued(st, &op, -EAGAIN,
				   pread(st->mem, &byte, 1, (off_t)stager_addr(st, op.place)) != 1);
			break;
		case OP_DROP:
			on_dropped(st, &op);
			break;
		case OP_ZAP:
			on_zapped(st, &op, -ESRCH);
			break;
		}
	}
}

/* ---- the work ---- */

static void retry_waiters(struct sup *sup)
{
	struct space *space, *tmp;

	list_for_each_entry_safe(space, tmp, &sup->spaces, link) {
		faults_retry(space);
		exits_retry(space);
	}
}

/* Ask the policy for up to `want` victims and begin with each.  Returns how many. */
static u32 take_victims(struct sup *sup, u64 want)
{
	struct reclaimer *r = sup->reclaim;
	struct fill_run run = { .nr = 0 };
	struct victim v;
	u32 nr = 0;

	for (; nr < want && nr < VICTIM_BATCH; nr++) {
		if (mm_isolate(sup->world, r->can_move, may_evict, NULL, &v))
			break;
		if (v.how == EVICT_ZAP)
			zap_begin(sup, &v);
		else
			fill_add(&run, &v);
	}
	if (run.nr)
		fill_flush(&run);
	zaps_submit(sup);
	return nr;
}

static void make_room(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	struct reclaim *model = mm_reclaim(sup->world);
	u64 room = mm_room(sup->world) + r->nr_leaving;
	u64 over = mm_over(sup->world), want, staged, n;

	r->waiting |= model->need > 0;
	if (room >= r->low && !r->waiting && !r->running && !over)
		return;
	r->pass++;
	r->running = true;
	want = room < r->high + over ? r->high + over - room : 0;
	want = u64_max(want, model->need);
	model->need = 0;
	while (want && (n = write_out(sup, want)))
		want -= n;
	staged = r->nr_staged + r->nr_filling;
	want += r->staged_target;
	if (!r->swap_full && staged < want)
		(void)take_victims(sup, want - staged);
	else
		r->running = false;
	if (mm_room(sup->world) + r->nr_leaving >= r->high && r->nr_staged + r->nr_filling >= r->staged_target)
		r->running = false;
}

static struct space *space_with_calls_due(struct sup *sup)
{
	struct space *space;

	list_for_each_entry(space, &sup->spaces, link)
		if (!space->caller && !space->evicting && !space->fork_waits &&
		    !list_empty(&space->waiters))
			return space;
	return NULL;
}

/* Start calls that waited for evictions to end.  Each may end or make spaces: from the top after each. */
static void start_calls(struct sup *sup)
{
	struct space *space;

	sup->reclaim->calls_due = false;
	while ((space = space_with_calls_due(sup)))
		space_call_done(space);
}

/* What can be done without letting anybody go on. */
static void work_quietly(struct sup *sup)
{
	struct stager *st;

	mm_reclaim(sup->world)->now_ms = (u32)(now_ns() / 1000000);
	collect_all(sup);
	if (!list_empty(&sup->reclaim->zaps_new))
		zaps_submit(sup);
	make_room(sup);
	list_for_each_entry(st, &sup->stagers, link) {
		find_unwanted(st);
		drop_due(st);
		stager_kick(st);
	}
}

void reclaim_work(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;

	if (!r)
		return;
	if (r->calls_due)
		start_calls(sup);
	if (r->freed) {
		r->freed = false;
		r->waiting = false;
		retry_waiters(sup);
	}
	work_quietly(sup);
	if (r->waiting) {
		oom_check(sup);
		sup_need_tick(sup);
	} else {
		r->idle_since_ns = 0;
	}
}

void reclaim_tick(struct sup *sup)
{
	if (sup->reclaim)
		sup->reclaim->waiting = false; /* whoever is refused again says so */
}

bool reclaim_waits(const struct sup *sup)
{
	return sup->reclaim && (sup->reclaim->waiting || sup->reclaim->running);
}

static bool is_ours(u64 tag)
{
	tag &= ~0xffffffffUL;
	return tag == TAG_STUBS || tag == TAG_PACKER || tag == TAG_STORE;
}

bool reclaim_event(struct sup *sup, const struct ring_event *ev)
{
	u64 n;

	if (!sup->reclaim)
		return false;
	switch (ev->tag & ~0xffffffffUL) {
	case TAG_STUBS:
		if (!ev->more)
			ring_poll(&sup->ring, sup->stub_fd, TAG_STUBS);
		(void)!read(sup->stub_fd, &n, sizeof(n));
		collect_all(sup);
		return true;
	case TAG_PACKER:
		if (!ev->more)
			ring_poll(&sup->ring, packer_fd(sup->reclaim->packer), TAG_PACKER);
		on_packed(sup);
		return true;
	case TAG_STORE:
		swap_event(sup, ev);
		return true;
	}
	return false;
}

void reclaim_pump(struct sup *sup)
{
	struct ring_event ev[16];
	struct stager *st, *tmp;
	int n;

	if (!sup->reclaim)
		return;
	n = ring_wait(&sup->ring, ev, ARRAY_SIZE(ev), 0);
	for (int i = 0; i < n; i++)
		sup_queue(sup, &ev[i]);
	for (u32 i = 0; i < sup->nr_queued;) {
		u64 tag = sup->queue[i].tag;

		if (!is_ours(tag)) {
			i++;
			continue;
		}
		ev[0] = sup_unqueue(sup, i);
		(void)reclaim_event(sup, &ev[0]);
	}
	/* A stub may stand in a stop of its own. */
	list_for_each_entry_safe(st, tmp, &sup->stagers, link) {
		struct tracee_stop s = { .event = TE_NONE };

		if (st->pid)
			s = tracee_poll(st->pid);
		if (s.event != TE_NONE && s.event != TE_NO_TASKS)
			stager_stop(st, s);
	}
	work_quietly(sup);
	sched_yield();
}

/* ---- settings ---- */

static void set_marks(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;

	r->low = u64_max(2, u64_min(r->budget / 64, 4096));
	r->high = 2 * r->low;
	r->staged_target = u64_min(r->budget / 32, STAGING_PAGES / 2);
}

int reclaim_set_memory(struct sup *sup, u64 bytes, char *err, size_t len)
{
	struct reclaimer *r = sup->reclaim;

	if (!r) {
		snprintf(err, len, "this run has no budget (upager run --memory)");
		return -ENOTSUP;
	}
	r->budget = bytes >> PAGE_SHIFT;
	set_marks(sup);
	mm_set_budget(sup->world, r->budget);
	r->freed = true; /* there may be more */
	return 0;
}

/* What a plug-in may know of a page. */
static void describe_page(void *arg, const struct reclaim_node *node, struct plugin_page *out)
{
	struct sup *sup = arg;
	struct mm_page_info info;

	mm_page_info(sup->world, node, &info);
	*out = (struct plugin_page){
		.mm = info.mm && mm_host(info.mm) ? ((struct space *)mm_host(info.mm))->id : 0,
		.address = info.addr,
		.vm_flags = info.vm_flags,
		.dirty = true, /* nobody knows before it goes */
	};
}

int reclaim_set_policy(struct sup *sup, const char *spec, char *err, size_t len)
{
	struct reclaimer *r = sup->reclaim;
	const struct reclaim_ops *ops;
	struct space *space;
	void *policy;

	if (!r) {
		snprintf(err, len, "this run has no budget (upager run --memory)");
		return -ENOTSUP;
	}
	if (policy_open(spec, r->budget, &r->policy_host, &ops, &policy, err, len))
		return -EINVAL;
	if (ops->mm_created)
		list_for_each_entry(space, &sup->spaces, link)
			ops->mm_created(policy, space->id, space->name);
	mm_set_policy(sup->world, ops, policy);
	snprintf(r->policy_spec, sizeof(r->policy_spec), "%s", spec);
	return 0;
}

int reclaim_init(struct sup *sup, char *err, size_t len)
{
	struct reclaimer *r;

	if (!sup->opt->memory)
		return 0;
	r = calloc(1, sizeof(*r));
	BUG_ON(!r);
	sup->reclaim = r;
	list_init(&r->zaps);
	list_init(&r->zaps_new);
	list_init(&r->reads);
	r->can_move = sup->uffd_features & UFFD_FEATURE_MOVE;
	sup->stub_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sup->stub_fd < 0) {
		snprintf(err, len, "an eventfd: %s", strerror(errno));
		return -errno;
	}
	for (int i = 0; i < NR_JOBS; i++) {
		struct pack_job *job = calloc(1, sizeof(*job));

		BUG_ON(!job);
		job_put(r, job);
	}
	r->budget = sup->opt->memory >> PAGE_SHIFT;
	r->policy_host = (struct policy_host){
		.page = describe_page,
		.arg = sup,
		.now_ns = now_ns,
		.watch = &sup->shared->plugin,
	};
	if (swap_init(sup, err, len) || prefetch_init(sup, err, len) ||
	    reclaim_set_policy(sup, sup->opt->policy, err, len))
		return -EINVAL;
	set_marks(sup);
	mm_set_budget(sup->world, r->budget);
	ring_poll(&sup->ring, sup->stub_fd, TAG_STUBS);
	ring_poll(&sup->ring, packer_fd(r->packer), TAG_PACKER);
	return 0;
}

void reclaim_fini(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;

	if (!r)
		return;
	mm_set_budget(sup->world, 0);
	mm_set_policy(sup->world, NULL, NULL);
	prefetch_fini(sup);
	swap_fini(sup);
	while (r->nr_idle_jobs)
		free(r->jobs[--r->nr_idle_jobs]);
	close(sup->stub_fd);
	free(r);
	sup->reclaim = NULL;
}

void reclaim_show(struct sup *sup, FILE *out)
{
	const struct reclaimer *r = sup->reclaim;
	const struct reclaim_stats *st = mm_reclaim_stats(sup->world);
	struct mm_world_stats pages;
	struct swap_store_stats swap;
	char policy[512];

	mm_world_stats(sup->world, &pages);
	fprintf(out, "memory=%llu\nresident=%llu\n", r ? (unsigned long long)r->budget << PAGE_SHIFT : 0ULL,
		(unsigned long long)pages.resident << PAGE_SHIFT);
	if (!r)
		return;
	swap_store_stats(r->store, &swap);
	policy_describe(mm_reclaim(sup->world)->ops, mm_reclaim(sup->world)->policy, r->policy_spec, policy,
			sizeof(policy));
	fprintf(out, "policy=%s\nprefetch=%s\n", policy, sup->opt->prefetch);
	fprintf(out, "staged=%llu\nswapped=%llu\n", (unsigned long long)r->nr_staged << PAGE_SHIFT,
		(unsigned long long)(swap.pool_pages + swap.file_pages) << PAGE_SHIFT);
	fprintf(out, "pool=%llu\nfile=%llu\n", (unsigned long long)swap.pool_bytes,
		(unsigned long long)swap.file_pages << PAGE_SHIFT);
	fprintf(out, "evicted=%llu\nrescued=%llu\nrefaults=%llu\noom_kills=%llu\n",
		(unsigned long long)st->evicted, (unsigned long long)st->rescued,
		(unsigned long long)st->refaults, (unsigned long long)r->oom_kills);
}
