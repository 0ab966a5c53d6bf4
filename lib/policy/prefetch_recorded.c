/* SPDX-License-Identifier: MIT */
/*
 * prefetch_recorded.c - bring the pages that followed this one in an earlier run.
 *
 * Parameters: FILE, first; record=1: write what faults to FILE at the end, and bring nothing;
 * max=N: pages of the largest window (64).  So: --prefetch recorded:FILE,record=1 once, then
 * --prefetch recorded:FILE.
 * Source: REAP (ASPLOS'21); prefetch_recording.h has the file and what differs.
 *
 * Playing back: a vma belongs to the first area of its program, not yet taken, that has the
 * page of its fault; one of the same size if there is.  Of each area there is a place in the
 * order, `next`.  A fault there or a little later (some pages may be resident) brings the pages
 * behind it.  What was brought does not fault, so a run that goes as recorded faults next just
 * behind it: then the window doubles.  A fault elsewhere brings nothing, those that go on from
 * there more and more.  A window half wasted is halved.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/param.h"
#include "policy/prefetch_common.h"
#include "policy/prefetch_recording.h"

/* Pages; and how much later than expected a fault may come, in recorded faults. */
#define FIRST_WINDOW 8

/* A page of an area and where it comes in the order of faults. */
struct place {
	u64 page; /* distance from the area's anchor, as area_run.first */
	u32 nr;
};

/* An area of the file, made ready for playing. */
struct track {
	struct area *area;
	u64 *order;          /* the pages, as they faulted */
	struct place *index; /* the same by page, then by place */
	u32 nr;
};

struct recorded {
	u64 record; /* bool: record, not play */
	u64 max;
	FILE *file;             /* recording: to be written by fini */
	u64 nr_faults;          /* recording */
	struct list_head areas; /* read; or recorded in address spaces that are gone */
	struct track *tracks;   /* playing: one for each area */
	u32 nr_tracks;
};

/* A place in the order of a track, and what was asked for there last. */
struct cursor {
	u32 next;   /* place behind the last page that was asked for */
	u32 window; /* pages asked for last, before cutting; doubles when a fault comes near `next` */
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	u32 nr_runs, nr_pages, wasted;
};

/* A track in one address space. */
struct replay {
	const struct track *track;
	bool taken; /* by the vma that was last at [start, end) */
	u64 start, end;
	struct cursor main; /* where the run is */
	struct cursor side; /* where the last faults were that came elsewhere */
};

struct recorded_mm {
	char *program;          /* recording */
	struct list_head areas; /* recording: its own */
	struct replay *replay;  /* playing: one for each track of its program */
	u32 nr_replays;
	struct prefetch_run proven[PREFETCH_MAX_RUNS];
	u32 nr_proven;
};

static int place_compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return (x->nr > y->nr) - (x->nr < y->nr);
}

/* Returns 0 or -ENOMEM; track_fini() in any case. */
static int track_init(struct track *track, struct area *area)
{
	u32 at = 0;

	track->area = area;
	for (u32 i = 0; i < area->nr_runs; i++)
		track->nr += (u32)area->runs[i].count;
	track->order = mem_zalloc(&policy_bytes, track->nr * sizeof(*track->order));
	track->index = mem_zalloc(&policy_bytes, track->nr * sizeof(*track->index));
	if (!track->order || !track->index)
		return -ENOMEM;
	for (u32 i = 0; i < area->nr_runs; i++)
		for (u64 k = 0; k < area->runs[i].count; k++, at++)
			track->order[at] = area->runs[i].first + k;
	for (u32 i = 0; i < track->nr; i++)
		track->index[i] = (struct place){ track->order[i], i };
	qsort(track->index, track->nr, sizeof(*track->index), place_compare);
	return 0;
}

static void track_fini(struct track *track)
{
	mem_free(&policy_bytes, track->order, track->nr * sizeof(*track->order));
	mem_free(&policy_bytes, track->index, track->nr * sizeof(*track->index));
}

/* The first place of `page` from `from` on, or else of all.  False: the track has no such page. */
static bool track_find(const struct track *track, u64 page, u32 from, u32 *nr)
{
	const struct place key = { page, from };
	u32 lo = 0, hi = track->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (place_compare(&track->index[mid], &key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == track->nr || track->index[lo].page != page)
		return from && track_find(track, page, 0, nr);
	*nr = track->index[lo].nr;
	return true;
}

static int tracks_init(struct recorded *rec)
{
	struct area *area;
	u32 i = 0;

	list_for_each_entry(area, &rec->areas, list)
		rec->nr_tracks++;
	rec->tracks = mem_zalloc(&policy_bytes, rec->nr_tracks * sizeof(*rec->tracks));
	if (!rec->tracks) {
		rec->nr_tracks = 0;
		return -ENOMEM;
	}
	list_for_each_entry(area, &rec->areas, list)
		if (track_init(&rec->tracks[i++], area))
			return -ENOMEM;
	return 0;
}

static void areas_free(struct list_head *areas)
{
	struct area *area, *tmp;

	list_for_each_entry_safe(area, tmp, areas, list)
		area_free(area);
}

/* Open the file; when playing, read it.  Returns 0, or -errno with a message in err[0..len). */
static int recorded_open(struct recorded *rec, const char *path, char *err, size_t len)
{
	char why[80];
	int ret;

	/* A program that is started later must not have it (e). */
	rec->file = fopen(path, rec->record ? "we" : "re");
	if (!rec->file) {
		snprintf(err, len, "%s: %m", path);
		return -EINVAL;
	}
	if (rec->record)
		return 0;
	ret = recording_read(rec->file, &rec->areas, why, sizeof(why));
	fclose(rec->file);
	rec->file = NULL;
	if (ret)
		snprintf(err, len, "%s: %s", path, why);
	else if ((ret = tracks_init(rec)))
		snprintf(err, len, "%s: no memory", path);
	return ret;
}

static void recorded_free(struct recorded *rec)
{
	for (u32 i = 0; i < rec->nr_tracks; i++)
		track_fini(&rec->tracks[i]);
	mem_free(&policy_bytes, rec->tracks, rec->nr_tracks * sizeof(*rec->tracks));
	areas_free(&rec->areas);
	if (rec->file)
		fclose(rec->file);
	policy_free(rec, sizeof(*rec));
}

static void *recorded_init(const struct policy_param *params, u32 nr_params, char *err, size_t len)
{
	struct recorded *rec;

	if (!nr_params || *params[0].key) {
		snprintf(err, len, "the file is missing: recorded:FILE or recorded:FILE,record=1");
		return NULL;
	}
	rec = policy_zalloc(sizeof(*rec), err, len);
	if (!rec)
		return NULL;
	list_init(&rec->areas);
	rec->max = 64;
	const struct policy_value values[] = {
		{ "record", POLICY_NUMBER, &rec->record, 0, 1 },
		{ "max", POLICY_NUMBER, &rec->max, 1, STREAM_MAX },
	};
	if (policy_params_read(params + 1, nr_params - 1, values, ARRAY_SIZE(values), err, len) ||
	    recorded_open(rec, params[0].value, err, len)) {
		recorded_free(rec);
		return NULL;
	}
	return rec;
}

/* Pre: no address space is left. */
static void recorded_fini(void *prefetch)
{
	struct recorded *rec = prefetch;

	/* Nobody is left to return an error to. */
	if (rec->record && recording_write(rec->file, &rec->areas))
		fprintf(stderr, "upager: the recording could not be written: %m\n");
	recorded_free(rec);
}

/* The tracks of the program `name`, none taken.  Returns 0 or -ENOMEM. */
static int replays_init(const struct recorded *rec, struct recorded_mm *mm, const char *name)
{
	u32 nr = 0;

	for (u32 i = 0; i < rec->nr_tracks; i++)
		nr += !strcmp(rec->tracks[i].area->program, name);
	mm->replay = mem_zalloc(&policy_bytes, nr * sizeof(*mm->replay));
	if (!mm->replay)
		return -ENOMEM;
	for (u32 i = 0; i < rec->nr_tracks; i++)
		if (!strcmp(rec->tracks[i].area->program, name))
			mm->replay[mm->nr_replays++].track = &rec->tracks[i];
	return 0;
}

static void *recorded_mm_init(void *prefetch, const char *name)
{
	const struct recorded *rec = prefetch;
	struct recorded_mm *mm = mem_zalloc(&policy_bytes, sizeof(*mm));
	bool ok;

	if (!mm)
		return NULL;
	list_init(&mm->areas);
	if (rec->record)
		ok = (mm->program = mem_zalloc(&policy_bytes, strlen(name) + 1)) != NULL;
	else
		ok = !replays_init(rec, mm, name);
	if (!ok) {
		mem_free(&policy_bytes, mm, sizeof(*mm));
		return NULL;
	}
	if (rec->record)
		strcpy(mm->program, name);
	return mm;
}

static void recorded_mm_fini(void *prefetch, void *mm_state)
{
	struct recorded *rec = prefetch;
	struct recorded_mm *mm = mm_state;
	struct area *area, *tmp;

	list_for_each_entry_safe(area, tmp, &mm->areas, list) {
		list_del(&area->list);
		list_add_tail(&area->list, &rec->areas);
	}
	if (mm->program)
		mem_free(&policy_bytes, mm->program, strlen(mm->program) + 1);
	mem_free(&policy_bytes, mm->replay, mm->nr_replays * sizeof(*mm->replay));
	mem_free(&policy_bytes, mm, sizeof(*mm));
}

/* The area that faults of this vma are recorded in; NULL: no memory for a new one. */
static struct area *area_of(struct recorded_mm *mm, const struct prefetch_fault *fault)
{
	struct area *area;

	list_for_each_entry(area, &mm->areas, list)
		if (area_is(&area->anchor, &area->start, &area->end, fault->vma_start,
			    fault->vma_end))
			return area;
	area = area_alloc(mm->program);
	if (!area)
		return NULL;
	area->start = fault->vma_start;
	area->end = fault->vma_end;
	area->pages = fault->vma_end - fault->vma_start;
	list_add_tail(&area->list, &mm->areas);
	return area;
}

/* For lack of memory the fault is left out: what follows is recorded as following the one before. */
static void record_fault(struct recorded *rec, struct recorded_mm *mm,
			 const struct prefetch_fault *fault)
{
	struct area *area;

	if (rec->nr_faults == RECORDING_MAX_FAULTS)
		return;
	area = area_of(mm, fault);
	if (area && !area_add(area, fault->vpn, 1))
		rec->nr_faults++;
}

/* What the pages of a track are counted from. */
static u64 track_origin(const struct track *track, const struct prefetch_fault *fault)
{
	return track->area->anchor == AREA_END ? fault->vma_end : fault->vma_start;
}

static bool replay_is(struct replay *r, const struct prefetch_fault *fault)
{
	enum area_anchor anchor = r->track->area->anchor;

	return r->taken && area_is(&anchor, &r->start, &r->end, fault->vma_start, fault->vma_end);
}

/* The replay of the fault's vma, which takes one if it has none; NULL: none fits. */
static struct replay *replay_of(struct recorded_mm *mm, const struct prefetch_fault *fault)
{
	u64 pages = fault->vma_end - fault->vma_start;
	struct replay *best = NULL;
	u32 nr;

	for (u32 i = 0; i < mm->nr_replays; i++)
		if (replay_is(&mm->replay[i], fault))
			return &mm->replay[i];
	for (u32 i = 0; i < mm->nr_replays; i++) {
		struct replay *r = &mm->replay[i];
		const struct track *track = r->track;
		bool same_size = track->area->pages == pages;

		if (r->taken || (best && !same_size) ||
		    !track_find(track, fault->vpn - track_origin(track, fault), 0, &nr))
			continue;
		best = r;
		best->main.next = nr;
		if (same_size)
			break;
	}
	if (best) {
		best->taken = true;
		best->start = fault->vma_start;
		best->end = fault->vma_end;
		/* As if the pages before had been brought. */
		best->main.window = FIRST_WINDOW / 2;
		best->side.next = UINT32_MAX; /* nowhere */
	}
	return best;
}

static bool cursor_has(const struct cursor *c, u64 vpn)
{
	for (u32 i = 0; i < c->nr_runs; i++)
		if (prefetch_run_has(&c->run[i], vpn))
			return true;
	return false;
}

/* Add a page to the latest run, or to a new one; any two pages are one.  False: no run is left. */
static bool cursor_append(struct cursor *c, u64 vpn)
{
	struct prefetch_run *last = c->nr_runs ? &c->run[c->nr_runs - 1] : NULL;

	if (last && last->nr == 1)
		last->stride = (s64)(vpn - last->vpn);
	if (last && vpn == last->vpn + (u64)last->stride * last->nr) {
		last->nr++;
	} else {
		if (c->nr_runs == PREFETCH_MAX_RUNS)
			return false;
		c->run[c->nr_runs++] = (struct prefetch_run){ vpn, 1, 1 };
	}
	c->nr_pages++;
	return true;
}

/* Ask for the window of pages behind place nr of the track. */
static void cursor_ask(struct cursor *c, const struct track *track,
		       const struct prefetch_fault *fault, u32 nr)
{
	u64 origin = track_origin(track, fault);
	u64 stop = u64_min((u64)nr + 1 + 2 * c->window, track->nr);
	u32 limit = (u32)u64_min(c->window, fault->max);

	c->nr_runs = c->nr_pages = c->wasted = 0;
	for (c->next = nr + 1; c->next < stop && c->nr_pages < limit; c->next++) {
		u64 vpn = origin + track->order[c->next];
		bool skip = vpn < fault->vma_start || vpn >= fault->vma_end || vpn == fault->vpn ||
			    cursor_has(c, vpn);

		if (!skip && !cursor_append(c, vpn))
			break;
	}
}

static bool cursor_expects(const struct cursor *c, const struct track *track, u64 page, u32 *nr)
{
	return track_find(track, page, c->next, nr) && *nr >= c->next &&
	       *nr - c->next <= c->window + FIRST_WINDOW;
}

/*
 * The cursor that a fault belongs to, and its place *nr in the order; NULL: it came elsewhere,
 * which is remembered.  Such a fault must not move the main cursor at once: it may be one that
 * was not recorded because its page was still resident then.  But where such faults keep to the
 * order until their window is the largest, there the run is.
 */
static struct cursor *replay_seek(struct replay *r, u64 page, u64 max, u32 *nr)
{
	if (cursor_expects(&r->main, r->track, page, nr))
		return &r->main;
	if (!cursor_expects(&r->side, r->track, page, nr)) {
		if (track_find(r->track, page, r->main.next, nr))
			r->side = (struct cursor){ .next = *nr + 1 };
		return NULL;
	}
	if (r->side.window < max)
		return &r->side;
	r->main = r->side;
	return &r->main;
}

static u32 play_fault(const struct recorded *rec, struct recorded_mm *mm,
		      const struct prefetch_fault *fault, struct prefetch_run *run)
{
	struct replay *r = replay_of(mm, fault);
	struct cursor *c;
	u32 nr;

	mm->nr_proven = 0;
	if (!r)
		return 0;
	c = replay_seek(r, fault->vpn - track_origin(r->track, fault), rec->max, &nr);
	if (!c)
		return 0;
	mm->nr_proven = c->nr_runs;
	memcpy(mm->proven, c->run, c->nr_runs * sizeof(*run));
	c->window = (u32)u64_min(u64_max(2 * (u64)c->window, 1), rec->max);
	cursor_ask(c, r->track, fault, nr);
	memcpy(run, c->run, c->nr_runs * sizeof(*run));
	return c->nr_runs;
}

static u32 recorded_fault(void *prefetch, void *mm, const struct prefetch_fault *fault,
			  struct prefetch_run *run)
{
	struct recorded *rec = prefetch;

	if (!rec->record)
		return play_fault(rec, mm, fault, run);
	record_fault(rec, mm, fault);
	return 0;
}

static void cursor_waste(struct cursor *c, u64 vpn)
{
	if (cursor_has(c, vpn) && ++c->wasted * 2 > c->nr_pages) {
		c->window /= 2;
		c->wasted = 0;
	}
}

static void recorded_waste(void *prefetch, void *mm_state, u64 vpn)
{
	struct recorded_mm *mm = mm_state;

	for (u32 i = 0; i < mm->nr_replays; i++) {
		cursor_waste(&mm->replay[i].main, vpn);
		cursor_waste(&mm->replay[i].side, vpn);
	}
}

static u32 recorded_proven(void *prefetch, void *mm_state, struct prefetch_run *run)
{
	const struct recorded_mm *mm = mm_state;

	memcpy(run, mm->proven, mm->nr_proven * sizeof(*run));
	return mm->nr_proven;
}

const struct prefetch_ops prefetch_recorded = {
	.name = "recorded",
	.help = "FILE; record=1: write it; max=N (64): pages of the largest window",
	.init = recorded_init,
	.fini = recorded_fini,
	.mm_init = recorded_mm_init,
	.mm_fini = recorded_mm_fini,
	.fault = recorded_fault,
	.hit = prefetch_ignore,
	.waste = recorded_waste,
	.proven = recorded_proven,
};
