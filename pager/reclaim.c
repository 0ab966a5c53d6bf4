/* SPDX-License-Identifier: MIT */
/* reclaim.c - see reclaim.h.  Start reading at reclaim_work(). */
#include "reclaim.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "reclaimer.h"
#include "sc.h"
#include "sup.h"

/* Arguments and environment of so many pages stay: ps and top read them with no way to wait for us. */
#define ARGS_KEPT_PAGES 4

/* ---- who may go ---- */

/* May pages of the space be taken in this pass? */
static bool space_may(struct space *space)
{
	struct reclaimer *r = space->sup->reclaim;

	if (space->pass == r->pass)
		return space->pass_may;
	space->pass = r->pass;
	space->pass_may = space->stager && !space->stager->dying && !space->stager->closed &&
			  !space->forking && !space->keep &&
			  /* Calls that wait for us go first; those that wait for another call may need room. */
			  (space->caller || list_empty(&space->waiters)) &&
			  list_empty(&space->exit_waiters) &&
			  !space->fork_waits &&
			  !(space->nr_exiting && exit_pending(space->sup, space));
	return space->pass_may;
}

static bool is_kept(const struct space *space, u64 addr)
{
	struct range r = { page_align_down(space->args.start), page_align_up(space->args.end) };
	const struct sup *sup = space->sup;

	if (sup->nr_spaces * (range_len(r) >> PAGE_SHIFT) > sup->reclaim->budget / 4)
		return false; /* many processes in little memory */
	return range_contains(r, addr) && range_len(r) <= ARGS_KEPT_PAGES * PAGE_SIZE;
}

/* Ticks that the page stays which the last fault has brought: so long its thread may take to run. */
#define FRESH_TICKS 2

void reclaim_answered(struct space *space, u64 addr)
{
	struct reclaimer *r = space->sup->reclaim;

	if (!r)
		return;
	r->fresh_space = space->id;
	r->fresh_addr = addr;
	r->fresh_tick = r->ticks;
}

/*
 * Where nearly nothing else can leave, the page that a fault has just brought would be taken before the thread has run,
 * and this over and over.  Another fault that waits shows that a thread has got on.
 */
static bool is_fresh(const struct space *space, u64 addr)
{
	const struct reclaimer *r = space->sup->reclaim;

	return r->fresh_addr == addr && r->fresh_space == space->id && r->ticks - r->fresh_tick < FRESH_TICKS &&
	       list_empty(&space->parked);
}

/* Would the machine refuse to move it while the kernel holds it? */
static bool is_refused_when_held(const struct sup *sup, u64 vm_flags)
{
	return sup->reclaim->can_move && (vm_flags & VM_ACCESS_FLAGS) == (VM_READ | VM_WRITE);
}

static bool may_evict(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct space *space = mm_host(mm);

	if (!space || !space_may(space) || is_kept(space, addr) || range_contains(space->wanted, addr) ||
	    is_fresh(space, addr))
		return false;
	if (!stager_room(space->stager, STUB_RING / 4))
		return false;
	if (!is_refused_when_held(space->sup, vm_flags) && vm_writes_to(space->sup, addr))
		return false;
	/* What a call in the kernel is about to change is its own. */
	return !space->caller || (space->caller->call.plan &&
				  !range_contains(mm_plan_zaps(space->caller->call.plan), addr) &&
				  !mm_plan_pins(space->caller->call.plan, addr));
}

/* ---- the program's pages under our hands ---- */

void evicting_begin(struct space *space)
{
	space_get(space);
	space->evicting++;
}

void evicting_end(struct space *space)
{
	BUG_ON(!space->evicting);
	/* Neither calls nor the end of a space here: we are in the middle of something. */
	if (!--space->evicting)
		space->sup->reclaim->calls_due = true;
	if (!space->puts_due++)
		list_add_tail(&space->put_link, &space->sup->reclaim->puts);
}

void reclaim_put_spaces(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;

	while (r && !list_empty(&r->puts)) {
		struct space *space = list_first_entry(&r->puts, struct space, put_link);
		u32 n = space->puts_due;

		list_del(&space->put_link);
		space->puts_due = 0;
		while (n--)
			space_put(space);
	}
}

void frame_left(struct sup *sup, u32 pfn, bool clean)
{
	struct reclaimer *r = sup->reclaim;

	mm_evicted(sup->world, pfn, clean);
	r->nr_leaving--;
	r->freed = true;
}

/* ---- the work ---- */

static void collect_all(struct sup *sup)
{
	struct stager *st, *tmp;

	list_for_each_entry_safe(st, tmp, &sup->stagers, link) {
		if (st->nr_ops)
			staging_collect(st);
		if ((!st->space || !st->pid) && !st->jobs)
			stager_end(st);
	}
}

static void retry_waiters(struct sup *sup)
{
	struct space *space, *tmp;

	list_for_each_entry_safe(space, tmp, &sup->spaces, link) {
		faults_retry(space);
		exits_retry(space);
	}
}

/*
 * How many victims the stubs can be told of now.  To ask the policy for more would only stir its queues: a victim
 * that is refused goes to their far end.
 */
static u64 commands_room(struct sup *sup)
{
	struct stager *st;
	u64 room = 0;

	list_for_each_entry(st, &sup->stagers, link)
		if (!st->dying && stager_room(st, STUB_RING / 4))
			room = u64_max(room, u64_min((stub_room(&st->stub) - STUB_RING / 4) / 2,
						     STAGING_PAGES - st->nr_used));
	return room;
}

/* Ask the policy for up to `want` victims and begin with each.  Returns how many. */
static u32 take_victims(struct sup *sup, u64 want)
{
	struct reclaimer *r = sup->reclaim;
	struct fill_run run = { .nr = 0 };
	struct victim v;
	u32 nr = 0;

	want = u64_min(want, commands_room(sup));
	for (; nr < want && nr < VICTIM_BATCH; nr++) {
		if (mm_isolate(sup->world, r->can_move, may_evict, NULL, &v))
			break;
		*(r->waiting ? &r->direct : &r->background) += 1;
		if (v.how == EVICT_ZAP)
			zap_begin(sup, &v);
		else
			staging_add(&run, &v);
	}
	if (run.nr)
		staging_flush(&run);
	zaps_submit(sup);
	return nr;
}

/*
 * How many pages are to wait in staging.  Room beyond the mark does as well: where pages cannot be staged (no
 * UFFDIO_MOVE, all shared by forks), reclaim would go on until none is left.
 */
static u64 staging_goal(const struct sup *sup)
{
	const struct reclaimer *r = sup->reclaim;
	u64 room = mm_room(sup->world) + r->nr_leaving, spare = room > r->high ? room - r->high : 0;

	return r->staged_target - u64_min(spare, r->staged_target);
}

static void make_room(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	struct reclaim *model = mm_reclaim(sup->world);
	u64 room = mm_room(sup->world) + r->nr_leaving;
	u64 over = mm_over(sup->world), want, staged, n;

	r->waiting |= model->need > 0;
	if (r->flushing)
		staging_flush_stuck(sup);
	if (room >= r->low && !r->waiting && !r->running && !over)
		return;
	r->pass++;
	r->running = true;
	want = room < r->high + over ? r->high + over - room : 0;
	want = u64_max(want, model->need);
	model->need = 0;
	while (want && (n = staging_write_out(sup, want)))
		want -= n;
	staged = r->nr_staged + r->nr_filling;
	want += staging_goal(sup);
	if (!r->swap_full && staged < want)
		(void)take_victims(sup, want - staged);
	else
		r->running = false;
	if (mm_room(sup->world) + r->nr_leaving >= r->high && r->nr_staged + r->nr_filling >= staging_goal(sup))
		r->running = false;
}

/* The first of those who wait may want an empty staging area. */
static bool waits_for_flush(const struct space *space)
{
	const struct task *t = list_first_entry(&space->waiters, struct task, wait_link);

	return t->call.row->flags & SC_FORK || sc_wants_flush(t);
}

static struct space *space_with_calls_due(struct sup *sup)
{
	struct space *space;

	list_for_each_entry(space, &sup->spaces, link)
		if (!space->caller && !space->evicting && !space->fork_waits &&
		    !list_empty(&space->waiters) && !(waits_for_flush(space) && !reclaim_flushed(space)))
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

/* To a few ms: the ages of pages need no better, and the exact clock costs more, once for each fault. */
static u32 coarse_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (u32)((u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000);
}

/* What can be done without letting anybody go on. */
static void work_quietly(struct sup *sup)
{
	struct stager *st;

	mm_reclaim(sup->world)->now_ms = coarse_ms();
	collect_all(sup);
	jobs_collect(sup);
	if (!list_empty(&sup->reclaim->zaps_new))
		zaps_submit(sup);
	make_room(sup);
	list_for_each_entry(st, &sup->stagers, link) {
		staging_find_unwanted(st);
		staging_drop_due(st);
	}
}

/*
 * To send a stub on its way costs a few microseconds, whatever it is to do.  So while faults come one upon the other it
 * waits until they are of so many pages, unless room is short.
 */
#define KICK_PAGES 32

static bool is_short(struct sup *sup)
{
	return sup->reclaim->waiting || mm_room(sup->world) < sup->reclaim->low / 2;
}

static void kick_stubs(struct sup *sup, u32 pages)
{
	struct stager *st;

	list_for_each_entry(st, &sup->stagers, link)
		if (st->nr_queued >= pages)
			stager_kick(st);
}

void reclaim_kick(struct sup *sup)
{
	if (sup->reclaim)
		kick_stubs(sup, 1);
}

/*
 * A process that has given its memory back may be far from its end: closing its files it waits for the lock of a pipe,
 * which a reader holds that copies into a page that is out, and waits for us.  Nothing can be evicted from it any more, and
 * nothing of it is there: what the model still has of it goes at once.
 */
static void drop_gone(struct sup *sup)
{
	struct space *space;

	list_for_each_entry(space, &sup->spaces, link) {
		if (!space->nr_exiting || space->caller || space->forking || space->evicting || !space_is_over(space))
			continue;
		mm_drop_pages(space->mm);
		sup->reclaim->freed = true;
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
	kick_stubs(sup, is_short(sup) ? 1 : KICK_PAGES);
	reclaim_put_spaces(sup);
	if (r->waiting) {
		drop_gone(sup);
		oom_check(sup);
		sup_need_tick(sup);
	}
}

void reclaim_tick(struct sup *sup)
{
	if (!sup->reclaim)
		return;
	sup->reclaim->ticks++;
	sup->reclaim->waiting = false; /* whoever is refused again says so */
}

#define ABOVE_MAX_PAGES 256

bool reclaim_has_room(const struct sup *sup, u64 nr_pages)
{
	const struct mm_world *world = sup->world;

	return !sup->reclaim || nr_pages + mm_over(world) <=
		mm_room(world) + u64_min(sup->reclaim->budget / 4, ABOVE_MAX_PAGES);
}

bool reclaim_due(struct sup *sup)
{
	return sup->reclaim && sup->reclaim->calls_due && space_with_calls_due(sup);
}

bool reclaim_waits(const struct sup *sup)
{
	return sup->reclaim && (sup->reclaim->waiting || sup->reclaim->running);
}

/* ---- events ---- */

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
		(void)!read(packer_fd(sup->reclaim->packer), &n, sizeof(n));
		jobs_collect(sup);
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
	kick_stubs(sup, 1);
	sched_yield();
}
