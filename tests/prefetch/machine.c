/* SPDX-License-Identifier: MIT */
/* machine.c - see machine.h. */
#include "machine.h"

#include <math.h>

#include "../unit/unit.h"
#include "base/check.h"

/* Where the vma lies; no multiple of anything that a prefetcher might align to. */
#define VMA_START 0x7f1234567UL

/* Pages that a fault may bring: an eighth of memory. */
#define MAX_SHARE 8

enum page_state {
	PAGE_OUT,
	PAGE_FRESH, /* resident, prefetched, not yet used */
	PAGE_USED,  /* resident */
};

struct page {
	u8 state;
	bool guess; /* blind: was prefetched, and nothing has shown yet that it was used */
};

struct machine {
	const struct machine_setup *setup;
	const struct prefetch_ops *ops;
	void *prefetch, *mm;
	struct page *page;
	u64 *ring; /* the resident pages, oldest at `oldest` */
	u64 oldest, nr_resident;
	u64 seed;
	struct machine_result result;
};

static void machine_evict(struct machine *m)
{
	u64 at = m->oldest, victim;
	struct page *page;

	if (m->setup->random_victims) {
		u64 other = (at + next_random(&m->seed, (u32)m->nr_resident)) % m->setup->nr_frames;

		victim = m->ring[other];
		m->ring[other] = m->ring[at];
	} else {
		victim = m->ring[at];
	}
	m->oldest = (at + 1) % m->setup->nr_frames;
	m->nr_resident--;
	page = &m->page[victim];
	if (page->state == PAGE_FRESH)
		m->result.wasted++;
	if (m->setup->blind ? page->guess : page->state == PAGE_FRESH)
		m->ops->waste(m->prefetch, m->mm, VMA_START + victim);
	*page = (struct page){ PAGE_OUT, false };
}

static void machine_bring(struct machine *m, u64 vpn, enum page_state state)
{
	u64 nr_frames = m->setup->nr_frames;

	if (m->nr_resident == nr_frames)
		machine_evict(m);
	m->ring[(m->oldest + m->nr_resident++) % nr_frames] = vpn;
	m->page[vpn] = (struct page){ (u8)state, state == PAGE_FRESH };
}

/*
 * Bring the pages of a run that are out; run->vpn counts from the vma's start.  Returns how
 * many it names.
 */
static u32 machine_bring_run(struct machine *m, u64 fault_vpn, const struct prefetch_run *run)
{
	u64 vpn = run->vpn - VMA_START;

	assert_int_not_equal(run->stride, 0);
	assert_int_not_equal(run->nr, 0);
	for (u32 i = 0; i < run->nr; i++, vpn += (u64)run->stride) {
		assert_int_not_equal(vpn, fault_vpn);
		assert_in_range(vpn, 0, m->setup->nr_pages - 1);
		if (m->page[vpn].state != PAGE_OUT)
			continue;
		machine_bring(m, vpn, PAGE_FRESH);
		m->result.brought++;
	}
	return run->nr;
}

static void machine_note_proven(struct machine *m)
{
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	u32 nr_runs = m->ops->proven ? m->ops->proven(m->prefetch, m->mm, run) : 0;

	assert_in_range(nr_runs, 0, PREFETCH_MAX_RUNS);
	for (u32 r = 0; r < nr_runs; r++) {
		u64 vpn = run[r].vpn - VMA_START;

		for (u32 i = 0; i < run[r].nr; i++, vpn += (u64)run[r].stride) {
			assert_in_range(vpn, 0, m->setup->nr_pages - 1);
			m->page[vpn].guess = false;
		}
	}
}

static void machine_fault(struct machine *m, u64 vpn)
{
	struct prefetch_fault fault = {
		.vpn = VMA_START + vpn,
		.vma_start = VMA_START,
		.vma_end = VMA_START + m->setup->nr_pages,
		.max = (u32)(m->setup->nr_frames / MAX_SHARE),
	};
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	u32 nr_runs, nr = 0;

	m->result.faults++;
	machine_bring(m, vpn, PAGE_USED);
	nr_runs = m->ops->fault(m->prefetch, m->mm, &fault, run);
	assert_in_range(nr_runs, 0, PREFETCH_MAX_RUNS);
	machine_note_proven(m);
	for (u32 i = 0; i < nr_runs; i++)
		nr += machine_bring_run(m, vpn, &run[i]);
	assert_in_range(nr, 0, fault.max);
}

static void machine_use(struct machine *m, u64 vpn)
{
	struct page *page = &m->page[vpn];

	m->result.uses++;
	if (page->state == PAGE_OUT) {
		machine_fault(m, vpn);
		return;
	}
	if (page->state == PAGE_FRESH && !m->setup->blind)
		m->ops->hit(m->prefetch, m->mm, VMA_START + vpn);
	page->state = PAGE_USED;
}

struct machine_result machine_run(const struct machine_setup *setup, const char *arg,
				  const struct pattern *pattern)
{
	struct machine m = { .setup = setup, .seed = 1 };
	struct policy_spec spec;
	u64 seed = 42;
	char err[200];

	assert_int_equal(policy_spec_parse(&spec, arg, err, sizeof(err)), 0);
	m.ops = prefetcher_find(spec.name);
	assert_non_null(m.ops);
	m.prefetch = m.ops->init(spec.params, spec.nr_params, err, sizeof(err));
	assert_non_null(m.prefetch);
	m.mm = m.ops->mm_init(m.prefetch, "machine");
	m.page = calloc(setup->nr_pages, sizeof(*m.page));
	m.ring = calloc(setup->nr_frames, sizeof(*m.ring));
	assert_true(m.mm && m.page && m.ring);
	for (u64 i = 0; i < setup->nr_uses; i++)
		machine_use(&m, pattern->page(i, setup->nr_pages, &seed));
	m.ops->mm_fini(m.prefetch, m.mm);
	m.ops->fini(m.prefetch);
	free(m.page);
	free(m.ring);
	return m.result;
}

static u64 use_sequential(u64 i, u64 nr_pages, u64 *seed)
{
	return i % nr_pages;
}

static u64 use_reverse(u64 i, u64 nr_pages, u64 *seed)
{
	return nr_pages - 1 - i % nr_pages;
}

static u64 use_stride17(u64 i, u64 nr_pages, u64 *seed)
{
	return i * 17 % nr_pages;
}

/* Down a column of a matrix of 32 rows, then down the next. */
static u64 use_columns(u64 i, u64 nr_pages, u64 *seed)
{
	u64 width = nr_pages / 32;

	return i % 32 * width + i / 32 % width;
}

/* Four threads, each through its quarter. */
static u64 use_four_streams(u64 i, u64 nr_pages, u64 *seed)
{
	return i % 4 * (nr_pages / 4) + i / 4 % (nr_pages / 4);
}

/*
 * Four threads, two of them backwards, with strides of 17, in an order that the scheduler might
 * choose.
 */
static u64 use_four_strides(u64 i, u64 nr_pages, u64 *seed)
{
	u64 quarter = nr_pages / 4, thread = i % 4, at = i / 4 * 17 % quarter;

	if (i % 100 < 50)
		thread = 3 - thread;
	return thread * quarter + (thread % 2 ? quarter - 1 - at : at);
}

static u64 use_uniform(u64 i, u64 nr_pages, u64 *seed)
{
	return next_random(seed, (u32)nr_pages);
}

/* Zipf 0.99 by the inverse of its continuous form; page 0 is the hottest. */
static u64 zipf_rank(u64 nr_pages, u64 *seed)
{
	double u = (next_random(seed, 1u << 30) + 0.5) / (1u << 30), s = 0.01;

	return (u64)(pow(u * (pow((double)nr_pages + 1, s) - 1) + 1, 1 / s) - 1) % nr_pages;
}

static u64 use_zipf(u64 i, u64 nr_pages, u64 *seed)
{
	return zipf_rank(nr_pages, seed);
}

/* The same with the hot pages scattered (the factor is odd and nr_pages a power of two). */
static u64 use_zipf_scattered(u64 i, u64 nr_pages, u64 *seed)
{
	return zipf_rank(nr_pages, seed) * 40503 % nr_pages;
}

/* Every tenth use is somewhere else. */
static u64 use_noisy(u64 i, u64 nr_pages, u64 *seed)
{
	return i % 10 < 9 ? (i / 10 * 9 + i % 10) % nr_pages : next_random(seed, (u32)nr_pages);
}

/* Records of 16 pages, each read from its start, in random order (the finalizer of splitmix64). */
static u64 use_records(u64 i, u64 nr_pages, u64 *seed)
{
	u64 z = i / 16;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return (z ^ z >> 31) % (nr_pages / 16) * 16 + i % 16;
}

const struct pattern patterns[] = {
	{ "sequential", use_sequential },
	{ "reverse", use_reverse },
	{ "stride 17", use_stride17 },
	{ "columns", use_columns },
	{ "4 streams", use_four_streams },
	{ "4 strides", use_four_strides },
	{ "uniform", use_uniform },
	{ "zipf", use_zipf },
	{ "zipf scattered", use_zipf_scattered },
	{ "10 % noise", use_noisy },
	{ "records of 16", use_records },
	{ NULL, NULL },
};

const struct pattern *pattern_find(const char *name)
{
	for (const struct pattern *p = patterns; p->name; p++)
		if (!strcmp(p->name, name))
			return p;
	BUG("no pattern %s", name);
}
