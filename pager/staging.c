/* SPDX-License-Identifier: MIT */
/*
 * staging.c - pages on probation: into a staging area, back by a touch, out to the store, dropped.
 *
 * Who calls it: reclaim.c, for victims that the machine can move; writeout.c with what became of their bytes; the
 * model, by hw_linux.c, for soft faults (reclaim_unstage, reclaim_peek).  A page's way is enum place_state (stager.h):
 *
 *   FREE -> FILLING -> STAGED -> READING -> [STORING] -> DUE -> DROPPING -> FREE
 *                       |  '------ nobody wants it any more ----^
 *                       '--> MOVING -> FREE      a touch: back where it was
 *
 * A place that the program itself reaches for has the zero page, from FREE to HELD, and keeps what is written there
 * until so many are held, or nothing may be here: staging_touched(), held_release().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "reclaimer.h"
#include "sc.h"
#include "sup.h"
#include "sys/uffd.h"

static struct mm_world *world_of(const struct stager *st)
{
	return st->sup->world;
}

static void place_free(struct stager *st, u32 place)
{
	st->place[place] = (struct place){ .state = PLACE_FREE };
	if (!--st->nr_used)
		st->sup->reclaim->calls_due = true; /* a fork may wait for that */
}

/* Nobody needs what is in the place: it is dropped with its neighbours (staging_drop_due). */
void staging_place_due(struct stager *st, u32 place)
{
	st->place[place].state = PLACE_DUE;
	st->due_hand = st->nr_due++ ? (u32)u64_min(st->due_hand, place) : place;
}

/* The stager whose places are at addr; NULL: none. */
static struct stager *stager_at(const struct space *space, u64 addr)
{
	struct stager *st;

	list_for_each_entry(st, &space->sup->stagers, link)
		if (st->space == space && range_contains(range_of(st->staging, STAGING_BYTES), addr))
			return st;
	return NULL;
}

/*
 * So much may be held, beyond the budget.  To drop each at once would be slow for who goes through all that is writable
 * again and again, and would lose what it wrote: the memory test of redis' crash report.
 */
#define HELD_MAX 512

/* All but left of the held places are dropped. */
static void held_release(struct stager *st, u32 left)
{
	while (st->nr_held > left) {
		u32 i = st->held_hand;

		st->held_hand = (i + 1) % STAGING_PAGES;
		if (st->place[i].state != PLACE_HELD)
			continue;
		st->nr_held--;
		staging_place_due(st, i);
	}
}

void staging_touched(struct space *space, u64 addr)
{
	struct stager *st = stager_at(space, addr);
	struct place *p;
	u64 done;

	if (!st)
		return;
	p = &st->place[(addr - st->staging) >> PAGE_SHIFT];
	/* Else a page is there, comes or goes: it will be seen, or reached for again. */
	if (p->state != PLACE_FREE || uffd_zeropage(space->uffd, addr, PAGE_SIZE, 0, &done) || st->dying)
		return;
	p->touched = true;
	p->state = PLACE_HELD;
	st->nr_used++;
	st->nr_held++;
	held_release(st, HELD_MAX);
}

void staging_flush(struct fill_run *run)
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
		mm_putback(st->sup->world, run->pfn[done]);
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

void staging_add(struct fill_run *run, const struct victim *v)
{
	struct space *space = mm_host(v->mm);
	bool unshare = v->how == EVICT_UNSHARE;

	if (unshare && !lift_protection(space, v)) {
		mm_putback(space->sup->world, v->pfn);
		return;
	}
	if (run->nr && (run->st != space->stager || v->addr != run->addr + run->nr * PAGE_SIZE ||
			run->unshare != unshare || run->nr == VICTIM_BATCH))
		staging_flush(run);
	if (!run->nr) {
		run->st = space->stager;
		run->addr = v->addr;
		run->unshare = unshare;
	}
	run->pfn[run->nr++] = v->pfn;
}

static void fill_again(struct stager *st, u64 addr, const u32 *pfn, u32 nr)
{
	struct fill_run run = { .st = st, .addr = addr, .nr = nr };

	memcpy(run.pfn, pfn, nr * sizeof(*pfn));
	staging_flush(&run);
}

/*
 * The machine refused to move several pages at once, none of which it need refuse alone: they may be of two vmas where the
 * model has one.  Each half is tried by itself.
 */
static void fill_halves(struct stager *st, u64 addr, const u32 *pfn, u32 nr)
{
	u32 half = nr / 2;

	fill_again(st, addr, pfn, half);
	fill_again(st, addr + half * PAGE_SIZE, pfn + half, nr - half);
}

/*
 * Not movable at all, though it looked so (a protection key): the other way.  Not what the kernel may be writing to,
 * which that way leaves with its old bytes.
 */
static void fill_by_zap(struct stager *st, u64 addr, u32 pfn)
{
	if (vm_writes_to(st->sup, addr))
		mm_putback(st->sup->world, pfn);
	else
		zap_begin(st->sup, &(struct victim){ .pfn = pfn, .how = EVICT_ZAP }); /* mapped once */
}

/* The first `moved` pages are in their places; the machine refused the next with `err`. */
static void on_filled(struct stager *st, const struct stager_op *op, s64 err, u32 moved)
{
	struct sup *sup = st->sup;
	struct reclaimer *r = sup->reclaim;
	u32 i, nr = 0, pfn[VICTIM_BATCH];

	r->nr_filling -= op->nr;
	for (i = 0; i < moved; i++) {
		struct place *p = &st->place[op->place + i];

		if (mm_stage(sup->world, p->pfn, st, op->place + i)) {
			p->state = PLACE_STAGED;
			st->nr_staged++;
			r->nr_staged++;
			r->staged_max = u64_max(r->staged_max, r->nr_staged);
		} else {
			r->nr_leaving++;
			staging_place_due(st, op->place + i);
		}
	}
	for (; i < op->nr; i++) {
		pfn[nr++] = st->place[op->place + i].pfn;
		place_free(st, op->place + i);
	}
	if (nr > 1 && err == -EINVAL) {
		fill_halves(st, op->addr + moved * PAGE_SIZE, pfn, nr);
	} else if (nr && err == -EINVAL && mm_victim_mapped(sup->world, pfn[0])) {
		fill_by_zap(st, op->addr + moved * PAGE_SIZE, pfn[0]);
	} else {
		for (i = 0; i < nr; i++)
			mm_putback(sup->world, pfn[i]);
	}
	evicting_end(st->space);
}

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
		st->sup->reclaim->flushing = true;
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
void staging_find_unwanted(struct stager *st)
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
		staging_place_due(st, i);
	}
}

/* Drop what is due, rows of neighbours by one command. */
void staging_drop_due(struct stager *st)
{
	u32 n;

	while (st->nr_due && stager_room(st, 1)) {
		u32 i = st->due_hand;

		BUG_ON(i >= STAGING_PAGES);
		for (n = 0; i + n < STAGING_PAGES && st->place[i + n].state == PLACE_DUE; n++)
			st->place[i + n].state = PLACE_DROPPING;
		if (n)
			stager_drop(st, i, n);
		st->nr_due -= n;
		st->due_hand += n ? n : 1;
	}
}

static void place_dropped(struct stager *st, u32 place)
{
	const struct place *p = &st->place[place];

	if (!p->touched)
		frame_left(st->sup, p->pfn, p->clean);
	place_free(st, place);
}

static void on_dropped(struct stager *st, const struct stager_op *op)
{
	for (u32 i = 0; i < op->nr; i++)
		place_dropped(st, op->place + i);
}

/* The next stager that has staged pages, round and round. */
static struct stager *next_stager(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	struct stager *st;

	for (int laps = 0; laps < 2; laps++) {
		list_for_each_entry(st, &sup->stagers, link)
			if (st->nr_staged && !st->dying && st->turn != r->turn)
				return st;
		r->turn++;
	}
	return NULL;
}

/* Take up to `want` of the stager's oldest pages to the packer.  Returns how many. */
static u32 write_out(struct stager *st, u64 want)
{
	struct sup *sup = st->sup;
	struct reclaimer *r = sup->reclaim;
	struct pack_job *job;
	u32 n, left = st->nr_staged;

	if (r->swap_full)
		return 0;
	job = job_get(r);
	if (!job)
		return 0;
	job->owner = st;
	job->mem = st->mem;
	job->nr = 0;
	for (; left && job->nr < JOB_PAGES && job->nr < want;
	     st->write_hand = (st->write_hand + 1) % STAGING_PAGES) {
		struct place *p = &st->place[st->write_hand];

		if (p->state != PLACE_STAGED)
			continue;
		left--;
		if (p->unwanted || p->lost)
			continue;
		p->state = PLACE_READING;
		mm_write_begin(sup->world, p->pfn);
		job_add(sup, job, stager_addr(st, st->write_hand), p->pfn, st->write_hand);
	}
	st->nr_staged -= job->nr;
	r->nr_staged -= job->nr;
	r->nr_leaving += job->nr;
	if (!job->nr) {
		st->stuck = false;
		job_put(r, job);
		return 0;
	}
	st->stuck &= st->nr_staged > 0;
	st->jobs++;
	n = job->nr;
	job_submit(sup, job);
	return n;
}

u32 staging_write_out(struct sup *sup, u64 want)
{
	struct stager *st = next_stager(sup);

	if (!st)
		return 0;
	st->turn = sup->reclaim->turn;
	return write_out(st, want);
}

void staging_flush_stuck(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	struct stager *st;

	r->flushing = false;
	list_for_each_entry(st, &sup->stagers, link) {
		u32 n;

		while (st->stuck && (n = write_out(st, JOB_PAGES)))
			r->flushed += n;
		r->flushing |= st->stuck;
	}
}

/* It cannot be stored: it stays in staging, where a fault finds it. */
void staging_stay(struct stager *st, u32 place)
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

/* A page of a job is packed.  Returns true when it may be dropped now. */
static bool place_packed(struct stager *st, const struct pack_page *page)
{
	struct place *p = &st->place[page->place];
	struct sup *sup = st->sup;

	p->clean = page->result == PACK_CLEAN;
	if (mm_staged_unwanted(sup->world, p->pfn) || p->clean)
		return true;
	if (page->result == PACK_GONE) {
		/* Its process is ending; or somebody took it out of our staging area: whoever asks gets SIGBUS. */
		p->lost = true;
		staging_stay(st, page->place);
		return false;
	}
	switch (store_page(sup, slot_of(sup, p->pfn), page)) {
	case 0:
		return true;
	case -EINPROGRESS:
		p->state = PLACE_STORING;
		return false;
	default:
		staging_stay(st, page->place);
		return false;
	}
}

void staging_packed(struct sup *sup, struct pack_job *job)
{
	struct stager *st = job->owner;

	st->jobs--;
	for (u32 i = 0; i < job->nr; i++)
		if (place_packed(st, &job->page[i]))
			staging_place_due(st, job->page[i].place);
}

static bool is_staged(const struct stager *st, u32 place)
{
	u8 byte;

	return pread(st->mem, &byte, 1, (off_t)stager_addr(st, place)) == 1;
}

/*
 * How many pages of a FILL are in their places, whatever the machine said of it?  Linux 6.18 says too few when a
 * page changes under it: move_pages() tries again, moves the page and those behind it, forgets that -EAGAIN was
 * of the first try, and goes on at the same page, which then is there already (-EEXIST, or -EAGAIN when others
 * were moved before).
 */
static u32 filled(const struct stager *st, const struct stager_op *op, u32 moved)
{
	while (moved < op->nr && is_staged(st, op->place + moved))
		moved++;
	return moved;
}

void staging_collect(struct stager *st)
{
	struct stager_op op;
	s64 result;
	u32 moved;

	while (stager_next(st, &op, &result, &moved)) {
		switch (op.kind) {
		case OP_NONE:
		case OP_UNSHARE:
			break;
		case OP_FURNISH:
			if (result < 0)
				st->err = (int)result;
			break;
		case OP_FILL:
			if (result == -EEXIST || result == -EAGAIN)
				moved = filled(st, &op, moved);
			on_filled(st, &op, result, moved);
			break;
		case OP_RESCUE:
			if (result == -EEXIST || result == -EAGAIN)
				moved = !is_staged(st, op.place);
			on_rescued(st, &op, result, moved);
			break;
		case OP_DROP:
			on_dropped(st, &op);
			break;
		case OP_ZAP:
			zap_dropped(st, &op, result);
			break;
		}
	}
}

bool reclaim_flushed(struct space *space)
{
	struct stager *st = space->stager;

	if (st)
		held_release(st, 0);
	if (!st || !st->nr_used || st->sup->reclaim->swap_full)
		return true;
	st->stuck = st->nr_staged > 0;
	st->sup->reclaim->flushing = true;
	return false;
}

void reclaim_forget_places(struct stager *st)
{
	staging_find_unwanted(st);
	held_release(st, 0);
	for (u32 i = 0; st->nr_due && i < STAGING_PAGES; i++) {
		if (st->place[i].state != PLACE_DUE)
			continue;
		st->nr_due--;
		place_dropped(st, i);
	}
}

/*
 * The stub was killed.  What it did not answer may or may not have been done: only looking tells.  What is in
 * staging can still be read there.
 */
void reclaim_stub_died(struct stager *st)
{
	staging_collect(st);
	while (st->nr_ops) {
		struct stager_op op = stager_next_lost(st);

		switch (op.kind) {
		case OP_NONE:
		case OP_UNSHARE:
			break;
		case OP_FURNISH:
			st->err = -ESRCH;
			break;
		case OP_FILL:
			on_filled(st, &op, -EAGAIN, filled(st, &op, 0));
			break;
		case OP_RESCUE:
			on_rescued(st, &op, -EAGAIN, !is_staged(st, op.place));
			break;
		case OP_DROP:
			on_dropped(st, &op);
			break;
		case OP_ZAP:
			zap_dropped(st, &op, -ESRCH);
			break;
		}
	}
}
