/* SPDX-License-Identifier: MIT */
/*
 * policy_table - how the eviction policies compare on a machine whose hits cannot be seen.
 *
 *	policy_table [-t] [-p PAGES] [-b PERCENT] [-r ROUNDS] [-w ROUNDS] [-s N] [-m PATTERN]
 *	             [-f FILE] [-a PREFETCHER] [POLICY[:key=value,…]…]
 *
 * A program first writes all its PAGES (65536) in order, then makes ROUNDS (16) accesses a page in
 * a pattern, with room for PERCENT (50) of them.  A hit is invisible.  Reclaim keeps 1/N (32) of
 * the budget on probation in staging: victims go in, the oldest there leaves when a frame is
 * needed; an access to a page in staging is a rescue.  The first -w ROUNDS (4) are not counted.
 * -t: hits are seen, each is a touch; to learn what they would be worth.
 *
 * For each pattern: misses and rescues in % of the accesses, and microseconds an access at 15 a
 * miss and 9 a rescue (measured for KERNEL.md: fault with swap-in; soft fault).  The last column is
 * the geometric mean of the costs.
 *
 * -f: instead of the patterns, the page numbers in FILE, of 32 bits each, in the order of their uses;
 * all counts, from the first access on.  Printed are thousands of faults of pages that were out (a
 * first use is none), of pages brought ahead, and of these, as the machine knows and not the policy,
 * of those that left unused; and seconds, a page brought ahead being reckoned as 5 us.
 * -a: a prefetcher brings pages after each fault of a page that was out, and tells the policy which of
 * them it knows to have been used.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "policy/prefetch_ops.h"
#include "trace.h"

#define MISS_US   15.0
#define RESCUE_US 9.0
#define BRING_US  5.0
#define WINDOW	  64 /* pages that a prefetcher may name at once */

enum pattern { ZIPF, UNIFORM, CYCLIC, STRIDE, MIXED, SHIFT, FITS, NR_PATTERNS };
static const char *const pattern_name[NR_PATTERNS] = {
	"zipf", "uniform", "cyclic", "stride", "mixed", "shift", "fits",
};

static u32 nr_pages = 65536, rounds = 16, warm_up = 4, staging_share = 32;
static bool visible;
static double budget_percent = 50;
static const struct prefetch_ops *prefetcher;

struct page {
	struct reclaim_node node;
	struct list_head staged;
	enum { OUT, MAPPED, STAGED } state;
	bool was_out, seen;
	bool unproven; /* brought ahead, and nobody has told the policy that it was used */
	bool unused;   /* brought ahead, and it was not */
};

/* The machine: the policy's pages are MAPPED. */
struct machine {
	void *policy;
	struct page *page;
	struct list_head staging; /* the newest first */
	u64 capacity, nr_mapped, nr_staged;
	void *prefetch, *prefetch_mm;
	u64 accesses, misses, rescues;
	u64 firsts, brought, wasted;
};

static double zipf_sum; /* of 1 / rank^0.99 */
static double *zipf_cdf;
static u32 *scramble; /* rank -> page: hot pages are not neighbours */

static u64 random_u64(u64 *seed)
{
	u64 z = *seed += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

static void zipf_prepare(void)
{
	u64 seed = 42;

	zipf_cdf = malloc(nr_pages * sizeof(*zipf_cdf));
	scramble = malloc(nr_pages * sizeof(*scramble));
	BUG_ON(!zipf_cdf || !scramble);
	for (u32 i = 0; i < nr_pages; i++) {
		zipf_cdf[i] = zipf_sum += pow(i + 1, -0.99);
		scramble[i] = i;
	}
	for (u32 i = nr_pages - 1; i; i--) {
		u32 j = (u32)(random_u64(&seed) % (i + 1)), tmp = scramble[i];

		scramble[i] = scramble[j];
		scramble[j] = tmp;
	}
}

static u32 random_zipf(u64 *seed)
{
	double u = (double)(random_u64(seed) >> 11) / 9007199254740992.0 * zipf_sum;
	u32 low = 0, high = nr_pages - 1;

	while (low < high) {
		u32 mid = (low + high) / 2;

		if (zipf_cdf[mid] < u)
			low = mid + 1;
		else
			high = mid;
	}
	return scramble[low];
}

/*
 * mixed: 8 zipf accesses to one of a cyclic scan.  shift: zipf, and every two accesses a page the
 * hot pages are others.  fits: after a zipf phase, eight rounds over pages that fill 9/10 of the
 * room, then over others: a policy that does not let go of the old ones misses more than an eighth.
 */
static u32 next_page(enum pattern pattern, u64 i, u64 *seed)
{
	switch (pattern) {
	case ZIPF:
		return random_zipf(seed);
	case UNIFORM:
		return (u32)(random_u64(seed) % nr_pages);
	case CYCLIC:
		return (u32)(i % nr_pages);
	case STRIDE:
		return (u32)(i * 17 % nr_pages);
	case MIXED:
		return i % 9 ? random_zipf(seed) : (u32)(i / 9 % nr_pages);
	case SHIFT:
		return (u32)((random_zipf(seed) + i / (2 * nr_pages) * 7919) % nr_pages);
	case FITS: {
		u64 fit = (u64)(nr_pages * budget_percent / 100 * 0.9) + 1;

		if (i < (u64)nr_pages * warm_up)
			return random_zipf(seed);
		return (u32)((i / (8 * fit) * fit + i % fit) % nr_pages);
	}
	case NR_PATTERNS:
		break;
	}
	BUG("no such pattern");
}

/* Keep `staging_share` of the budget on probation, as reclaim does ahead of need. */
static void fill_staging(struct machine *m)
{
	u64 target = u64_max(m->capacity / staging_share, 1);
	struct reclaim_node *node;

	if (m->nr_mapped + m->nr_staged < m->capacity)
		return;
	while (m->nr_staged < target && (node = checked_ops.victim(m->policy))) {
		struct page *page = container_of(node, struct page, node);

		page->state = STAGED;
		list_add(&page->staged, &m->staging);
		m->nr_staged++;
		m->nr_mapped--;
	}
}

static void unstage(struct machine *m, struct page *page)
{
	list_del(&page->staged);
	m->nr_staged--;
}

static void evict_one(struct machine *m)
{
	struct page *page = list_entry(m->staging.prev, struct page, staged);
	u64 nr = (u64)(page - m->page);

	unstage(m, page);
	m->wasted += page->unused;
	if (page->unproven && prefetcher)
		prefetcher->waste(m->prefetch, m->prefetch_mm, nr);
	page->unproven = page->unused = false;
	page->state = OUT;
	page->was_out = true;
	checked_ops.evicted(m->policy, &page->node, nr + 1);
}

static void map(struct machine *m, struct page *page)
{
	page->state = MAPPED;
	m->nr_mapped++;
	fill_staging(m);
}

static void bring_in(struct machine *m, u64 nr, unsigned int flags)
{
	struct page *page = &m->page[nr];

	if (m->nr_mapped + m->nr_staged == m->capacity)
		evict_one(m);
	memset(&page->node, 0, sizeof(page->node));
	checked_ops.insert(m->policy, &page->node, nr + 1, flags | (page->was_out ? RECLAIM_REFAULT : 0));
	map(m, page);
}

static void bring_run(struct machine *m, const struct prefetch_run *run)
{
	for (u32 i = 0; i < run->nr; i++) {
		u64 nr = run->vpn + (u64)run->stride * i;

		if (nr >= nr_pages || m->page[nr].state != OUT || !m->page[nr].was_out)
			continue;
		bring_in(m, nr, RECLAIM_PREFETCH);
		m->page[nr].unproven = m->page[nr].unused = true;
		m->brought++;
	}
}

static void prove_run(struct machine *m, const struct prefetch_run *run)
{
	for (u32 i = 0; i < run->nr; i++) {
		u64 nr = run->vpn + (u64)run->stride * i;

		if (nr >= nr_pages || m->page[nr].state != MAPPED || !m->page[nr].unproven)
			continue;
		m->page[nr].unproven = false;
		checked_ops.touch(m->policy, &m->page[nr].node);
	}
}

/* What pager/prefetch.c does after a fault of page nr. */
static void prefetch(struct machine *m, u32 nr, bool soft)
{
	struct prefetch_run run[PREFETCH_MAX_RUNS], proven[PREFETCH_MAX_RUNS];
	struct prefetch_fault fault = { .vpn = nr, .vma_end = nr_pages, .soft = soft, .mm = 1,
					.max = (u32)u64_min(WINDOW, m->capacity / 32) };
	u32 n = prefetcher->fault(m->prefetch, m->prefetch_mm, &fault, run);
	u32 nr_proven = prefetcher->proven ? prefetcher->proven(m->prefetch, m->prefetch_mm, proven) : 0;

	for (u32 i = 0; i < nr_proven; i++)
		prove_run(m, &proven[i]);
	for (u32 i = 0; i < n; i++)
		bring_run(m, &run[i]);
}

static void access_page(struct machine *m, u32 nr)
{
	struct page *page = &m->page[nr];
	bool soft = page->state == STAGED, was_out = page->was_out;

	m->accesses++;
	m->firsts += !page->seen;
	page->seen = true;
	page->unused = false;
	if (page->state == MAPPED) {
		if (visible)
			checked_ops.touch(m->policy, &page->node);
		return;
	}
	page->unproven = false;
	if (soft) {
		m->rescues++;
		unstage(m, page);
		checked_ops.putback(m->policy, &page->node, RECLAIM_TOUCHED);
		map(m, page);
	} else {
		m->misses++;
		bring_in(m, nr, 0);
	}
	if (prefetcher && (soft || was_out))
		prefetch(m, nr, soft);
}

static void machine_init(struct machine *m, const char *spec)
{
	char err[200];

	*m = (struct machine){ .capacity = u64_max((u64)(nr_pages * budget_percent / 100), 2) };
	list_init(&m->staging);
	m->page = calloc(nr_pages, sizeof(*m->page));
	BUG_ON(!m->page);
	m->policy = policy_make(spec, m->capacity);
	if (prefetcher) {
		m->prefetch = prefetcher->init(NULL, 0, err, sizeof(err));
		BUG_ON(!m->prefetch);
		m->prefetch_mm = prefetcher->mm_init(m->prefetch, "");
	}
}

static void machine_end(struct machine *m)
{
	checked_ops.fini(m->policy);
	if (prefetcher) {
		prefetcher->mm_fini(m->prefetch, m->prefetch_mm);
		prefetcher->fini(m->prefetch);
	}
	free(m->page);
}

/* Microseconds an access; prints misses and rescues too. */
static double run(const char *spec, enum pattern pattern)
{
	u64 n = (u64)nr_pages * rounds, seed = 1;
	struct machine m;
	double us;

	machine_init(&m, spec);
	for (u32 i = 0; i < nr_pages; i++)
		access_page(&m, i);
	for (u64 i = 0; i < n; i++) {
		if (i == (u64)nr_pages * warm_up)
			m.accesses = m.misses = m.rescues = m.brought = 0;
		access_page(&m, next_page(pattern, i, &seed));
	}
	us = ((double)m.misses * MISS_US + (double)m.rescues * RESCUE_US + (double)m.brought * BRING_US) /
	     (double)m.accesses;
	printf(" %6.2f %5.2f %6.3f", 100.0 * (double)m.misses / (double)m.accesses,
	       100.0 * (double)m.rescues / (double)m.accesses, us);
	fflush(stdout);
	machine_end(&m);
	return us;
}

/* The pages of -f, and their number; nr_pages becomes one more than the largest. */
static u32 *trace_read(const char *path, u64 *nr)
{
	FILE *f = fopen(path, "r");
	u32 *pages, largest = 0;
	long bytes = f && !fseek(f, 0, SEEK_END) ? ftell(f) : -1;

	if (bytes < 0) {
		perror(path);
		exit(1);
	}
	rewind(f);
	*nr = (u64)bytes / sizeof(*pages);
	pages = malloc(*nr * sizeof(*pages) + 1);
	BUG_ON(!pages || fread(pages, sizeof(*pages), *nr, f) != *nr);
	fclose(f);
	for (u64 i = 0; i < *nr; i++)
		largest = pages[i] > largest ? pages[i] : largest;
	nr_pages = largest + 1;
	return pages;
}

static void trace_row(const char *spec, const u32 *pages, u64 nr)
{
	struct machine m;
	u64 faults;

	machine_init(&m, spec);
	for (u64 i = 0; i < nr; i++)
		access_page(&m, pages[i]);
	faults = m.misses - m.firsts;
	printf("%-34s %9.1f %9.1f %9.1f %9.1f %9.2f\n", spec, (double)faults / 1e3, (double)m.brought / 1e3,
	       (double)m.wasted / 1e3, (double)m.rescues / 1e3,
	       ((double)faults * MISS_US + (double)m.rescues * RESCUE_US + (double)m.brought * BRING_US) / 1e6);
	machine_end(&m);
}

static void row(const char *spec, int only)
{
	double log_sum = 0;
	u32 nr = 0;

	printf("%-34s", spec);
	for (int pattern = 0; pattern < NR_PATTERNS; pattern++)
		if (only < 0 || pattern == only) {
			log_sum += log(run(spec, (enum pattern)pattern) + 1e-9);
			nr++;
		}
	printf(" %7.3f\n", exp(log_sum / nr));
}

static int pattern_find(const char *name)
{
	for (int i = 0; i < NR_PATTERNS; i++)
		if (!strcmp(pattern_name[i], name))
			return i;
	fprintf(stderr, "no such pattern: %s\n", name);
	exit(2);
}

/* A row for each policy that is named, or for all. */
static void rows(char **specs, int only, const u32 *pages, u64 nr)
{
	for (; specs && *specs; specs++)
		pages ? trace_row(*specs, pages, nr) : row(*specs, only);
	if (specs)
		return;
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++)
		pages ? trace_row((*ops)->name, pages, nr) : row((*ops)->name, only);
}

static void heading(int only, const u32 *pages)
{
	if (pages) {
		printf("%-34s %9s %9s %9s %9s %9s\n", "thousands", "faults", "brought", "wasted", "rescues", "s");
		return;
	}
	printf("%-34s", "miss %, rescue %, us");
	for (int pattern = 0; pattern < NR_PATTERNS; pattern++)
		if (only < 0 || pattern == only)
			printf("  %-18s", pattern_name[pattern]);
	printf("  geomean\n");
}

static _Noreturn void usage(void)
{
	fprintf(stderr, "usage: policy_table [-t] [-p PAGES] [-b PERCENT] [-r ROUNDS] [-w ROUNDS] [-s N] [-m PATTERN]"
		" [-f FILE] [-a PREFETCHER] [POLICY…]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	u32 *pages = NULL;
	u64 nr = 0;
	int opt, only = -1;

	while ((opt = getopt(argc, argv, "tp:b:r:w:s:m:f:a:")) != -1)
		switch (opt) {
		case 'p': nr_pages = (u32)strtoul(optarg, NULL, 0); break;
		case 'b': budget_percent = strtod(optarg, NULL); break;
		case 'r': rounds = (u32)strtoul(optarg, NULL, 0); break;
		case 't': visible = true; break;
		case 'w': warm_up = (u32)strtoul(optarg, NULL, 0); break;
		case 's': staging_share = (u32)strtoul(optarg, NULL, 0); break;
		case 'm': only = pattern_find(optarg); break;
		case 'f': pages = trace_read(optarg, &nr); break;
		case 'a':
			prefetcher = prefetcher_find(optarg);
			if (!prefetcher) {
				fprintf(stderr, "no such prefetcher: %s\n", optarg);
				return 2;
			}
			break;
		default: usage();
		}
	if (nr_pages < 2 || rounds <= warm_up || !staging_share || budget_percent <= 0 || budget_percent > 100)
		usage();
	if (!pages)
		zipf_prepare();
	heading(only, pages);
	rows(optind < argc ? argv + optind : NULL, only, pages, nr);
	free(pages);
	free(zipf_cdf);
	free(scramble);
	return 0;
}
