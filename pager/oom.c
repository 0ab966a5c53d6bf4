/* SPDX-License-Identifier: MIT */
/*
 * oom.c - no page can leave and somebody needs one: the process with the largest demand is ended.
 *
 * Who calls it: reclaim.c, as long as somebody waits for room.
 * Linux counterpart: mm/oom_kill.c (oom_badness: resident and swapped pages).
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "mm/mm_query.h"
#include "reclaimer.h"
#include "sup.h"
#include "sys/procmaps.h"

/*
 * So many ticks all who wait must have been refused again, and so long nothing may have moved, before it is
 * believed: calls in the kernel end, threads get out of the way, on a busy machine slowly.
 */
#define OOM_TICKS	     500
#define OOM_PATIENCE_NS      2000000000ULL
#define OOM_PAUSE_NS	     1000000000ULL /* when nobody has waited for so long, it begins anew */
/* With swap full, nothing is to be waited for. */
#define OOM_TICKS_FULL	     20
#define OOM_PATIENCE_FULL_NS 50000000ULL

static u64 demand(const struct space *space)
{
	struct mm_counters c;

	mm_get_counters(space->mm, &c);
	return c.anon_rss + c.swap_ptes;
}

/* Of those that can be ended: the one of a fork that is under way has no task yet. */
static struct space *largest(struct sup *sup)
{
	struct space *space, *found = NULL;

	list_for_each_entry(space, &sup->spaces, link)
		if (task_of_space(sup, space, NULL) && (!found || demand(space) > demand(found)))
			found = space;
	return found;
}

static void name_of(pid_t pid, char *name, size_t len)
{
	char path[32];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(name, (int)len, f))
		snprintf(name, len, "?");
	name[strcspn(name, "\n")] = '\0';
	if (f)
		fclose(f);
}

static void oom_kill(struct sup *sup, struct space *space)
{
	struct task *t;
	char name[64];

	name_of(space->pid, name, sizeof(name));
	fprintf(stderr, "upager: out of memory: process %d (%s) with %llu KiB is ended; the budget is %llu KiB%s\n",
		space->pid, name, (unsigned long long)demand(space) << 2,
		(unsigned long long)sup->reclaim->budget << 2,
		sup->reclaim->swap_full ? ", and swap is full (--swap-pool, --swap file:…)" : "");
	sup->reclaim->oom_kills++;
	sup->reclaim->oom_space = space->id;
	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (t->space == space)
				(void)kill(t->tid, SIGKILL);
	/* Dying threads take no faults any more; what they still need may exceed the budget. */
	mm_reclaim(sup->world)->emergency++;
}

void oom_forget(struct sup *sup, const struct space *space)
{
	if (!sup->reclaim || sup->reclaim->oom_space != space->id)
		return;
	sup->reclaim->oom_space = 0;
	mm_reclaim(sup->world)->emergency--;
}

/* Changes when anything has come or gone, or a fault was answered. */
static u64 progress(const struct sup *sup)
{
	const struct reclaim_stats *st = mm_reclaim_stats(sup->world);
	const struct stats *s = &sup->stats;
	u64 sum = st->evicted + st->swapped_in + st->staged + st->rescued + s->execs + s->processes;

	for (u32 i = 0; i < NR_FAULT_HANDLERS; i++)
		sum += s->latency[i].count;
	return sum;
}

/*
 * What is locked leaves so few frames that one thread's faults take away what another's need: pages come and go, and
 * nobody gets on.
 */
static bool is_squeezed(const struct sup *sup)
{
	return mm_reclaim(sup->world)->nr_pinned + MEMORY_MIN_PAGES / 2 > sup->reclaim->budget;
}

void oom_check(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	u64 now = now_ns(), moved = progress(sup);
	struct space *space;

	if (r->oom_space || sup->ending)
		return;
	if (now - r->oom_checked_ns > OOM_PAUSE_NS)
		r->idle_since_ns = 0;
	r->oom_checked_ns = now;
	/* Victims that are refused again and again (pinned) are no progress; a slow disk is. */
	if (swap_store_busy(r->store) || (moved != r->idle_progress && !is_squeezed(sup)) || !r->idle_since_ns) {
		r->idle_since_ns = now;
		r->idle_progress = moved;
		r->idle_ticks = r->ticks;
		return;
	}
	if (now - r->idle_since_ns < (r->swap_full ? OOM_PATIENCE_FULL_NS : OOM_PATIENCE_NS) ||
	    r->ticks - r->idle_ticks < (r->swap_full ? OOM_TICKS_FULL : OOM_TICKS))
		return;
	r->idle_since_ns = 0;
	space = largest(sup);
	if (space)
		oom_kill(sup, space);
}
