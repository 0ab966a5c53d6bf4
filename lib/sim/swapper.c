/* SPDX-License-Identifier: MIT */
/* swapper.c - see swapper.h.  Start reading at sim_step(). */
#include "sim/swapper.h"

#include <stdlib.h>
#include <string.h>

#include "policy/checked.h"
#include "sim/tasks.h"

#define BATCH 4

u32 sim_random(struct sim *sim, u32 below)
{
	u64 *x = &sim->swap->random;

	*x = *x * 6364136223846793005UL + 1442695040888963407UL;
	return (u32)(*x >> 33) % below;
}

/* ---- jobs ---- */

struct sim_job *sim_job_new(struct sim *sim, enum sim_job_kind kind, u32 pfn)
{
	struct sim_job *job = calloc(1, sizeof(*job));

	BUG_ON(!job);
	job->kind = kind;
	job->pfn = pfn;
	list_add_tail(&job->link, &sim->swap->jobs);
	sim->swap->nr_jobs++;
	return job;
}

void sim_job_end(struct sim *sim, struct sim_job *job)
{
	list_del(&job->link);
	sim->swap->nr_jobs--;
	free(job);
}

/* A command touches pages of s: its calls wait, and it does not end before. */
void sim_commands_begin(struct sim_space *s)
{
	mm_get(s->mm);
	s->nr_commands++;
}

void sim_commands_end(struct sim_space *s)
{
	BUG_ON(!s->nr_commands);
	s->nr_commands--;
	sim_space_put(s);
}

void sim_wait_for_commands(struct sim_space *s)
{
	while (s->nr_commands)
		BUG_ON(!sim_step(s->sim));
}

/* ---- places ---- */

static struct sim_stage *stage_of(struct sim_space *s)
{
	if (s->stage)
		return s->stage;
	s->stage = calloc(1, sizeof(*s->stage));
	BUG_ON(!s->stage);
	s->stage->sim = s->sim;
	s->stage->space = s;
	list_add_tail(&s->stage->link, &s->sim->swap->stages);
	return s->stage;
}

static void stage_free_if_idle(struct sim_stage *st)
{
	if (st->space || st->nr_used)
		return;
	list_del(&st->link);
	free(st);
}

void sim_stage_detach(struct sim_space *s)
{
	struct sim_stage *st = s->stage;

	if (!st)
		return;
	s->stage = NULL;
	st->space = NULL;
	stage_free_if_idle(st);
}

static u32 place_find(const struct sim_stage *st, enum sim_place_state state)
{
	u32 i = 0;

	while (i < SIM_PLACES && (st->place[i].state != state || st->place[i].unwanted))
		i++;
	return i;
}

static void place_free(struct sim_stage *st, u32 place)
{
	BUG_ON(st->place[place].full);
	st->place[place] = (struct sim_place){ .state = SIM_PLACE_FREE };
	st->nr_used--;
	stage_free_if_idle(st);
}

static struct sim_job *job_at_place(struct sim *sim, enum sim_job_kind kind, struct sim_stage *st,
				    u32 place)
{
	struct sim_job *job = sim_job_new(sim, kind, st->place[place].pfn);

	job->stage = st;
	job->place = place;
	st->place[place].state = SIM_PLACE_TAKEN;
	return job;
}

static void drop_begin(struct sim *sim, struct sim_stage *st, u32 place)
{
	(void)job_at_place(sim, SIM_DROP, st, place);
}

static void drop_unwanted(struct sim *sim)
{
	struct sim_stage *st;

	list_for_each_entry(st, &sim->swap->stages, link) {
		for (u32 i = 0; i < SIM_PLACES; i++) {
			if (st->place[i].unwanted && st->place[i].state == SIM_PLACE_STAGED)
				drop_begin(sim, st, i);
		}
	}
}

static void drop_step(struct sim *sim, struct sim_job *job)
{
	struct sim_place *p = &job->stage->place[job->place];

	if (job->phase++ == 0) {
		sim_frame_unref(sim, p->frame);
		p->full = false;
		return;
	}
	mm_evicted(sim->world, job->pfn, p->clean);
	place_free(job->stage, job->place);
	sim_job_end(sim, job);
}

/* ---- into staging ---- */

/* UFFDIO_MOVE, as far as it can be refused. */
static int move_out(struct sim *sim, const struct sim_job *job)
{
	struct sim_page *p = sim_page(job->space, job->addr);
	struct sim_place *to = &job->stage->place[job->place];
	int err = sim_scripted(sim, false);

	if (err)
		return -EAGAIN;
	if (!sim_managed(p) || !p->armed || p->state == SIM_NONE)
		return -ENOENT;
	if (!sim_is_plain(p))
		return -EINVAL;
	if (!p->wp && (job->unshare || p->state == SIM_ZERO)) /* the zero page may be moved, too */
		sim_kernel_cow(sim, p);
	if (p->wp || p->pinned || !sim->frame[p->frame].exclusive)
		return -EBUSY;
	to->frame = sim_frame_take(sim, p);
	to->full = true;
	return 0;
}

static void fill_step(struct sim *sim, struct sim_job *job)
{
	struct sim_stage *st = job->stage;
	struct sim_place *p = &st->place[job->place];
	struct sim_space *s = job->space;

	if (job->phase++ == 0) {
		job->err = move_out(sim, job);
		return;
	}
	if (job->err) {
		place_free(st, job->place);
		/* Not movable at all, though it looked so: the other way. */
		if (job->err == -EINVAL && mm_victim_mapped(sim->world, job->pfn))
			sim_zap_begin(sim, job->pfn);
		else
			mm_putback(sim->world, job->pfn);
	} else if (mm_stage(sim->world, job->pfn, st, job->place)) {
		p->state = SIM_PLACE_STAGED;
	} else {
		drop_begin(sim, st, job->place);
	}
	sim_job_end(sim, job);
	sim_commands_end(s);
}

static void fill_begin(struct sim *sim, const struct victim *v)
{
	struct sim_space *s = mm_host(v->mm);
	struct sim_stage *st = stage_of(s);
	u32 place = place_find(st, SIM_PLACE_FREE);
	bool unshare = v->how == EVICT_UNSHARE;
	struct sim_job *job;

	if (place == SIM_PLACES ||
	    (unshare && sim_hw_ops.protect(s->mm, range_of(v->addr, PAGE_SIZE), HW_NOWAKE))) {
		mm_putback(sim->world, v->pfn);
		return;
	}
	if (unshare)
		mm_victim_unprotected(sim->world, v->pfn);
	st->nr_used++;
	st->place[place].pfn = v->pfn;
	job = job_at_place(sim, SIM_FILL, st, place);
	job->space = s;
	job->addr = v->addr;
	job->unshare = unshare;
	sim_commands_begin(s);
}

/* What a call in the kernel is about to change is its own. */
static bool may_evict(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	const struct sim_space *s = mm_host(mm);

	return s && (!s->plan || !range_contains(mm_plan_zaps(s->plan), addr));
}

u32 sim_evict(struct sim *sim, u32 nr)
{
	struct victim v;
	u32 n = 0;

	drop_unwanted(sim);
	if (!mm_reclaim(sim->world)->ops)
		return 0;
	while (n < nr && !mm_isolate(sim->world, sim->swap->can_move, may_evict, NULL, &v)) {
		if (v.how == EVICT_ZAP)
			sim_zap_begin(sim, v.pfn);
		else
			fill_begin(sim, &v);
		n++;
	}
	return n;
}

/* ---- back from staging ---- */

int sim_unstage(struct mm_struct *mm, u64 addr, void *stage, u32 index, u32 pfn)
{
	struct sim_space *s = mm_host(mm);
	struct sim_stage *st = stage;
	struct sim_place *p = &st->place[index];
	struct sim_job *job;

	if (st->space != s)
		return -EXDEV;
	BUG_ON(p->pfn != pfn);
	if (p->state != SIM_PLACE_STAGED || p->unwanted || sim_random(s->sim, 8) == 0)
		return -EOPNOTSUPP;
	job = job_at_place(s->sim, SIM_RESCUE, st, index);
	job->space = s;
	job->addr = addr;
	sim_commands_begin(s);
	return 0;
}

static int move_back(struct sim *sim, const struct sim_job *job)
{
	struct sim_page *p = sim_page(job->space, job->addr);
	struct sim_place *from = &job->stage->place[job->place];
	int err = sim_scripted(sim, false);

	if (err)
		return -EAGAIN;
	if (!sim_managed(p) || !p->armed || !sim_is_plain(p))
		return -EINVAL;
	if (p->state != SIM_NONE)
		return -EEXIST;
	sim_frame_give(sim, p, from->frame);
	from->full = false;
	return 0;
}

static void rescue_step(struct sim *sim, struct sim_job *job)
{
	struct sim_place *p = &job->stage->place[job->place];
	struct sim_space *s = job->space;

	if (job->phase++ == 0) {
		job->err = move_back(sim, job);
		return;
	}
	mm_unstaged(sim->world, job->pfn, s->mm, job->addr, job->err);
	if (job->err)
		p->state = SIM_PLACE_STAGED;
	else
		place_free(job->stage, job->place);
	sim_job_end(sim, job);
	sim_commands_end(s);
}

int sim_peek(void *stage, u32 index, void *page)
{
	const struct sim_stage *st = stage;

	BUG_ON(!st->place[index].full);
	*(u8 *)page = st->sim->frame[st->place[index].frame].tag;
	return 0;
}

void sim_unstage_drop(void *stage, u32 index, u32 pfn)
{
	struct sim_stage *st = stage;

	BUG_ON(st->place[index].pfn != pfn || st->place[index].state != SIM_PLACE_STAGED);
	BUG_ON(st->place[index].unwanted); /* it is said once */
	st->place[index].unwanted = true;
}

/* ---- out of staging ---- */

u32 sim_write_out(struct sim *sim, u32 nr)
{
	struct sim_stage *st;
	u32 n = 0, place;

	drop_unwanted(sim);
	list_for_each_entry(st, &sim->swap->stages, link) {
		while (n < nr && (place = place_find(st, SIM_PLACE_STAGED)) < SIM_PLACES) {
			mm_write_begin(sim->world, st->place[place].pfn);
			(void)job_at_place(sim, SIM_WRITE, st, place);
			n++;
		}
	}
	return n;
}

/* Returns 0: it is stored; -EINPROGRESS; or why it cannot be. */
static int write_page(struct sim *sim, struct sim_job *job)
{
	u32 slot = mm_frame_slot(sim->world, job->pfn), index;
	void *stage;

	/* As the pager finds the place when the store says that the slot is written. */
	if (!mm_slot_place(sim->world, slot, &stage, &index) || stage != job->stage || index != job->place)
		BUG("slot %u is not at place %u", slot, job->place);
	return sim_store_put(sim, slot, job->tag, job->phase > 1);
}

static void write_step(struct sim *sim, struct sim_job *job)
{
	struct sim_place *p = &job->stage->place[job->place];
	int err = 0;

	job->tag = sim->frame[p->frame].tag;
	job->phase++;
	if (!mm_staged_unwanted(sim->world, job->pfn)) {
		p->clean = job->phase == 1 &&
			   sim_store_has(sim, mm_frame_slot(sim->world, job->pfn), job->tag);
		err = p->clean ? 0 : write_page(sim, job);
	}
	if (err == -EINPROGRESS)
		return;
	if (err) {
		mm_write_failed(sim->world, job->pfn);
		p->state = SIM_PLACE_STAGED;
		p->unwanted = mm_staged_unwanted(sim->world, job->pfn);
	} else {
		drop_begin(sim, job->stage, job->place);
	}
	sim_job_end(sim, job);
}

/* ---- steps ---- */

bool sim_step(struct sim *sim)
{
	u32 nr_reads = sim_nr_reads(sim), n;
	struct sim_job *job;

	drop_unwanted(sim);
	if (!sim->swap->nr_jobs && !nr_reads)
		return false;
	n = sim_random(sim, sim->swap->nr_jobs + nr_reads);
	if (n < nr_reads) {
		sim_read_step(sim, n);
		return true;
	}
	job = list_first_entry(&sim->swap->jobs, struct sim_job, link);
	for (n -= nr_reads; n; n--)
		job = list_first_entry(&job->link, struct sim_job, link);
	switch (job->kind) {
	case SIM_FILL:
		fill_step(sim, job);
		break;
	case SIM_RESCUE:
		rescue_step(sim, job);
		break;
	case SIM_WRITE:
		write_step(sim, job);
		break;
	case SIM_DROP:
		drop_step(sim, job);
		break;
	case SIM_ZAP:
		sim_zap_step(sim, job);
		break;
	}
	return true;
}

bool sim_make_progress(struct sim *sim)
{
	return sim_step(sim) || sim_write_out(sim, BATCH) || sim_evict(sim, BATCH);
}

u32 sim_bring(struct sim_space *s, u64 addr, u32 nr, u32 *slot)
{
	struct mm_world *world = s->sim->world;
	u64 room = mm_room(world);
	u32 done = mm_prefetch(s->mm, addr, nr, slot);

	if (done > nr || done > room)
		BUG("%u pages are brought ahead of need; asked for were %u, there was room for %lu", done,
		    nr, room);
	return done;
}

void sim_prefetch(struct sim_space *s, u64 addr, u32 nr)
{
	u32 slot, done;

	if (!mm_reclaim(s->sim->world)->ops)
		return;
	done = sim_bring(s, addr, nr, &slot);
	if (slot)
		sim_read_ahead(s, addr + done * PAGE_SIZE, slot);
	for (u32 i = 0; i < nr && sim_random(s->sim, 2); i++)
		mm_prefetch_used(s->mm, addr + i * PAGE_SIZE);
}

/* ---- what the model is told to do ---- */

void sim_set_policy(struct sim *sim, u32 index)
{
	u64 capacity = u64_max(mm_reclaim(sim->world)->budget, 1);
	void *policy, *checked;
	char err[128];
	u32 n = 0;

	while (reclaim_policies[n])
		n++;
	sim_without_trouble(sim);
	policy = reclaim_policies[index % n]->init(NULL, 0, capacity, err, sizeof(err));
	BUG_ON(!policy);
	checked = checked_new(reclaim_policies[index % n], policy, CHECKED_REPORT);
	BUG_ON(!checked);
	mm_set_policy(sim->world, &checked_ops, checked);
}

void sim_set_budget(struct sim *sim, u64 pages)
{
	if (pages && !mm_reclaim(sim->world)->ops)
		sim_set_policy(sim, sim_random(sim, 64));
	mm_set_budget(sim->world, pages);
}

void sim_swap_check(struct sim *sim)
{
	const struct reclaim *r = mm_reclaim(sim->world);
	const char *error = r->ops ? checked_error(r->policy) : NULL;

	if (!error)
		return;
	if (strcmp(error, "no memory to check it")) /* an allocation that was made to fail */
		BUG("%s", error);
	sim_set_policy(sim, sim_random(sim, 64));
}

/* ---- looking ---- */

bool sim_is_rescued(const struct sim_space *s, u64 addr)
{
	const struct sim_job *job;

	list_for_each_entry(job, &s->sim->swap->jobs, link) {
		if (job->kind == SIM_RESCUE && job->space == s && job->addr == addr && job->phase && !job->err)
			return true;
	}
	return false;
}

/* In a place where a command has put it, which the model does not know yet. */
static bool find_filled(const struct sim_space *s, u64 addr, u8 *tag)
{
	const struct sim_job *job;

	list_for_each_entry(job, &s->sim->swap->jobs, link) {
		const struct sim_place *p;

		if (job->kind != SIM_FILL || job->space != s || job->addr != addr)
			continue;
		p = &job->stage->place[job->place];
		if (!p->full)
			continue;
		*tag = s->sim->frame[p->frame].tag;
		return true;
	}
	return false;
}

bool sim_find_swapped(const struct sim_space *s, u64 addr, u8 *tag)
{
	pte_t pte = pte_lookup(s->mm, addr);
	u32 slot, index;
	void *stage;

	if (pte_none(pte) || pte_zero(pte))
		return false;
	if (pte_present(pte) && find_filled(s, addr, tag))
		return true;
	slot = pte_present(pte) ? mm_frame_slot(s->sim->world, pte_pfn(pte)) : pte_to_swp_entry(pte).val;
	if (pte_swap(pte) && mm_slot_place(s->sim->world, slot, &stage, &index)) {
		const struct sim_place *p = &((struct sim_stage *)stage)->place[index];

		if (p->full) {
			*tag = s->sim->frame[p->frame].tag;
			return true;
		}
	}
	if (!slot || !s->sim->swap->slot[slot].has)
		return false;
	*tag = s->sim->swap->slot[slot].tag;
	return true;
}

/* ---- the run ---- */

void sim_swap_init(struct sim *sim)
{
	struct sim_swap *sw = calloc(1, sizeof(*sw));

	BUG_ON(!sw);
	list_init(&sw->stages);
	list_init(&sw->jobs);
	sw->can_move = true;
	sim->swap = sw;
}

void sim_swap_fini(struct sim *sim)
{
	while (sim_step(sim))
		;
	BUG_ON(!list_empty(&sim->swap->stages));
	mm_set_budget(sim->world, 0);
	mm_set_policy(sim->world, NULL, NULL);
	free(sim->swap);
}
