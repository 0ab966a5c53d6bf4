/* SPDX-License-Identifier: MIT */
#include "placement.h"

#include "base/check.h"
#include "sup.h"

#define FREE_EVENTS   4
#define HOLD_QUIET_NS 2000000
#define HOLD_MAX_NS   100000000
/* A burst: events no further apart than this. */
#define BURST_GAP_NS  1000000
/* Several tasks work at once when more than a quarter of the events come from another than the last. */
#define TURNS_ONE     4096
#define TURNS_MANY    (TURNS_ONE / 4)
#define TURNS_SHIFT   4 /* smoothing: over about 16 events */
/* How long a task counts as being at work after its last event. */
#define CROWD_NS      5000000
/* After so many held gaps, holding must not have cost more than a fifth; else it is left for a while. */
#define JUDGE_EVENTS  256
#define GIVE_UP_NS    1000000000
/* A contest: see placement.h.  With fewer events in a second we are not what the tasks wait for. */
#define CONTEST_NS    5000000
#define SETTLED_NS    250000000
#define CONTEST_RATE  5000

static bool is_held(const struct task *t)
{
	return !list_empty(&t->placed.held_link);
}

void placement_init(struct placement *p, bool enabled)
{
	*p = (struct placement){ .enabled = enabled, .cpu = -1, .contest_ns = now_ns() };
	list_init(&p->held);
	if (sched_getaffinity(0, sizeof(p->all), &p->all) || CPU_COUNT(&p->all) < 2)
		p->enabled = false;
}

static void pin(pid_t tid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(tid, sizeof(set), &set); /* gone: its end is reported */
}

static void free_ourselves(struct placement *p)
{
	if (p->cpu < 0)
		return;
	p->cpu = -1;
	(void)sched_setaffinity(0, sizeof(p->all), &p->all);
}

void placement_forget(struct sup *sup, struct task *t)
{
	list_del(&t->placed.held_link);
	if (list_empty(&sup->placement.held))
		free_ourselves(&sup->placement);
}

void placement_release(struct sup *sup, struct task *t)
{
	t->placed.streak = 0;
	if (!is_held(t))
		return;
	(void)sched_setaffinity(t->tid, sizeof(t->placed.own), &t->placed.own);
	placement_forget(sup, t);
}

void placement_release_all(struct sup *sup)
{
	struct task *t, *tmp;

	list_for_each_entry_safe(t, tmp, &sup->placement.held, placed.held_link)
		placement_release(sup, t);
}

void placement_freeze(struct sup *sup)
{
	sup->placement.frozen++;
	placement_release_all(sup);
}

void placement_thaw(struct sup *sup)
{
	BUG_ON(!sup->placement.frozen);
	sup->placement.frozen--;
}

/* Who came?  Keep how often they take turns. */
static void note_turn(struct placement *p, const struct task *t)
{
	p->turns -= p->turns >> TURNS_SHIFT;
	if (t->tid != p->last_tid)
		p->turns += TURNS_ONE >> TURNS_SHIFT;
	p->last_tid = t->tid;
}

/* More than two tasks (a parent and its child) have come to us lately: they want all CPUs. */
static bool is_crowded(struct sup *sup, u64 now)
{
	struct task *t;
	int n = 0;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			n += now - t->placed.last_ns < CROWD_NS;
	return n > 2;
}

static bool is_together(const struct placement *p)
{
	return p->contest != CONTEST_OFF && p->together == (p->contest != CONTEST_TRIAL);
}

static void hold(struct sup *sup, struct task *t, u64 now)
{
	struct placement *p = &sup->placement;
	int cpu = p->cpu;

	if ((!is_together(p) && is_crowded(sup, now)) ||
	    sched_getaffinity(t->tid, sizeof(t->placed.own), &t->placed.own))
		return; /* or gone */
	if (cpu < 0) {
		cpu = proc_task_cpu(t->tid);
		if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &p->all))
			return;
	}
	if (!CPU_ISSET(cpu, &t->placed.own))
		return; /* the program wants it elsewhere */
	if (CPU_COUNT(&t->placed.own) > 1)
		pin(t->tid, cpu);
	list_add_tail(&t->placed.held_link, &p->held);
	if (p->cpu < 0) {
		p->cpu = cpu;
		p->since_ns = now;
		pin(0, cpu);
		sup->stats.holds++;
		sup_need_tick(sup);
	}
}

/* Keep the shortest gap of each kind, forgetting slowly. */
static void measure(struct placement *p, bool held, u32 gap)
{
	u32 *best = held ? &p->held_ns : &p->free_ns;

	if (!*best || gap < *best)
		*best = gap;
	else
		*best += *best / 64;
	if (held)
		p->nr_held_gaps++;
}

/* Holding makes events dearer here: a busy neighbour, or cheap wake-ups. */
static bool does_not_pay(struct placement *p)
{
	if (p->nr_held_gaps < JUDGE_EVENTS)
		return false;
	p->nr_held_gaps = 0;
	return p->free_ns && (u64)p->held_ns * 10 > (u64)p->free_ns * 12;
}

static void contest_set(struct sup *sup, enum contest contest, u64 now)
{
	struct placement *p = &sup->placement;

	p->contest = contest;
	p->contest_ns = now;
	p->nr_events = 0;
	if (contest != CONTEST_OFF && !is_together(p))
		placement_release_all(sup);
}

static void contest_event(struct sup *sup, u64 now)
{
	struct placement *p = &sup->placement;
	bool counts = p->contest == CONTEST_COUNT || p->contest == CONTEST_TRIAL;
	u64 ns = now - p->contest_ns;
	u32 rate;

	p->nr_events++;
	if (ns < (counts ? CONTEST_NS : SETTLED_NS))
		return;
	rate = (u32)(p->nr_events * 1000000000ULL / ns);
	switch (p->contest) {
	case CONTEST_OFF:
		p->together = !list_empty(&p->held);
		contest_set(sup, CONTEST_COUNT, now);
		break;
	case CONTEST_SETTLED:
		contest_set(sup, CONTEST_COUNT, now);
		break;
	case CONTEST_COUNT:
		p->rate = rate;
		contest_set(sup, rate < CONTEST_RATE ? CONTEST_OFF : CONTEST_TRIAL, now);
		break;
	case CONTEST_TRIAL:
		if ((u64)rate * 10 > (u64)p->rate * 11)
			p->together = !p->together;
		contest_set(sup, CONTEST_SETTLED, now);
		break;
	}
}

void placement_event(struct sup *sup, struct task *t, u64 now)
{
	struct placement *p = &sup->placement;
	struct placed *pl = &t->placed;
	u64 gap = now - pl->last_ns;

	if (!p->enabled)
		return;
	note_turn(p, t);
	pl->last_ns = now;
	if (sup->reclaim)
		contest_event(sup, now);
	if (gap > BURST_GAP_NS) {
		pl->streak = 1;
		return;
	}
	pl->streak++;
	if (p->contest != CONTEST_OFF) {
		if (is_together(p) && !is_held(t) && !p->frozen)
			hold(sup, t, now);
		return;
	}
	measure(p, is_held(t), (u32)gap);
	if (is_held(t)) {
		if (p->turns > TURNS_MANY || now - p->since_ns > HOLD_MAX_NS)
			placement_release_all(sup);
		else if (does_not_pay(p)) {
			placement_release_all(sup);
			p->free_ns = 0;
			p->given_up_until_ns = now + GIVE_UP_NS;
		}
		return;
	}
	if (pl->streak >= FREE_EVENTS && now >= p->given_up_until_ns && p->turns <= TURNS_MANY && !p->frozen)
		hold(sup, t, now);
}

bool placement_tick(struct sup *sup, u64 now)
{
	struct placement *p = &sup->placement;
	struct task *t, *tmp;

	if (!list_empty(&p->held) && !is_together(p) && is_crowded(sup, now))
		placement_release_all(sup);
	list_for_each_entry_safe(t, tmp, &p->held, placed.held_link)
		if (now - t->placed.last_ns > HOLD_QUIET_NS)
			placement_release(sup, t);
	return !list_empty(&p->held);
}

void placement_making(struct sup *sup, struct task *t)
{
	t->placed.making = is_held(t);
	t->placed.making_own = t->placed.own;
}

void placement_inherit(struct sup *sup, struct task *parent, struct task *child)
{
	bool was_held = parent->placed.making;

	parent->placed.making = false;
	if (is_held(parent)) {
		child->placed = parent->placed;
		list_init(&child->placed.held_link);
		list_add_tail(&child->placed.held_link, &sup->placement.held);
	} else if (was_held) {
		/* Released meanwhile, when the child may have had the pinned mask already. */
		(void)sched_setaffinity(child->tid, sizeof(parent->placed.making_own),
					&parent->placed.making_own);
	}
}
