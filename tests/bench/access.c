/* SPDX-License-Identifier: MIT */
/*
 * access.c - touch the pages of more memory than there is, in a known pattern.
 *
 *	access cyclic|stride|zipf|uniform [-m MIB] [-w WRITE-PERCENT] [-p PASSES] [-s SEED]
 *
 * MIB of anonymous memory (256), half-compressible: each page half random, half zero.  PASSES (2) times as
 * many accesses as there are pages, each to one page, WRITE-PERCENT (30) of them writes, after one
 * pass to warm up.  Each access checks the word that says which page it is; each write counts in
 * its page, and in the end the counts must add up: a wrong byte is an error, never a speed.
 * Prints elapsed ns an access.
 *
 * cyclic   0, 1, 2 … and again
 * stride   every 17th page, then the same from page 1, 2 … 16
 * zipf     page of rank r with weight 1 / r^0.99, ranks scattered over the memory
 * uniform  any page
 */
#include <math.h>

#include "bench.h"

#define STRIDE     17
#define ZIPF_SKEW  0.99
#define HALF_WORDS (PAGE_SIZE / 2 / sizeof(u64))

enum { WORD_NUMBER = 0, WORD_COUNT = HALF_WORDS }; /* the words that an access looks at */

static u64 nr_pages, nr_passes = 2, write_percent = 30, seed = 1;
static u64 *mem;

static u64 *page_at(u64 n)
{
	return mem + n * (PAGE_SIZE / sizeof(u64));
}

static u64 number_of(u64 n)
{
	return n * 0x9e3779b97f4a7c15u + 1; /* as random as its surroundings */
}

static void fill(void)
{
	mem = (u64 *)map_untouched(nr_pages * PAGE_SIZE);
	for (u64 n = 0; n < nr_pages; n++) {
		u64 *page = page_at(n), state = n + 1;

		for (u64 w = 0; w < HALF_WORDS; w++)
			page[w] = xorshift(&state);
		page[WORD_NUMBER] = number_of(n);
	}
}

/* ---- which page next: all made before the clock runs ---- */

static void make_cyclic(u32 *pages, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		pages[i] = (u32)(i % nr_pages);
}

static void make_stride(u32 *pages, u64 nr)
{
	u64 page = 0, first = 0;

	for (u64 i = 0; i < nr; i++) {
		pages[i] = (u32)page;
		page += STRIDE;
		if (page >= nr_pages) {
			first = (first + 1) % STRIDE;
			page = first;
		}
	}
}

static void make_zipf(u32 *pages, u64 nr)
{
	double *below = malloc(nr_pages * sizeof(*below)), sum = 0; /* of the weights up to each rank */
	u32 *scatter = shuffled((u32)nr_pages, seed);

	if (!below)
		die("malloc");
	for (u64 r = 0; r < nr_pages; r++) {
		sum += pow((double)(r + 1), -ZIPF_SKEW);
		below[r] = sum;
	}
	for (u64 i = 0; i < nr; i++) {
		double x = (double)(xorshift(&seed) >> 11) * 0x1p-53 * sum;
		u64 low = 0, high = nr_pages - 1;

		while (low < high) {
			u64 middle = (low + high) / 2;

			if (below[middle] <= x)
				low = middle + 1;
			else
				high = middle;
		}
		pages[i] = scatter[low];
	}
	free(scatter);
	free(below);
}

static void make_uniform(u32 *pages, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		pages[i] = (u32)(xorshift(&seed) % nr_pages);
}

static const struct pattern {
	const char *name;
	void (*make)(u32 *pages, u64 nr);
} patterns[] = {
	{ "cyclic", make_cyclic },
	{ "stride", make_stride },
	{ "zipf", make_zipf },
	{ "uniform", make_uniform },
};

/* ---- the accesses ---- */

static _Noreturn void wrong(u64 n, const char *what, u64 found, u64 expected)
{
	fprintf(stderr, "access: page %lu: %s is %#lx, must be %#lx\n", n, what, found, expected);
	exit(1);
}

/* Returns how many of them were writes. */
static u64 access_pages(const u32 *pages, u64 nr)
{
	u64 nr_writes = 0;

	for (u64 i = 0; i < nr; i++) {
		volatile u64 *page = page_at(pages[i]);
		u64 number = page[WORD_NUMBER];

		if (number != number_of(pages[i]))
			wrong(pages[i], "its number", number, number_of(pages[i]));
		if (xorshift(&seed) % 100 < write_percent) {
			page[WORD_COUNT]++;
			nr_writes++;
		}
	}
	return nr_writes;
}

static void check_all(u64 nr_writes)
{
	u64 sum = 0;

	for (u64 n = 0; n < nr_pages; n++) {
		if (page_at(n)[WORD_NUMBER] != number_of(n))
			wrong(n, "its number", page_at(n)[WORD_NUMBER], number_of(n));
		sum += page_at(n)[WORD_COUNT];
	}
	if (sum != nr_writes) {
		fprintf(stderr, "access: %lu writes were made, %lu are there\n", nr_writes, sum);
		exit(1);
	}
}

static const struct pattern *parse(int argc, char **argv)
{
	static const char args[] =
		"cyclic|stride|zipf|uniform [-m MIB] [-w WRITE-PERCENT] [-p PASSES] [-s SEED]";
	u64 mib = 256;
	int opt;

	while ((opt = getopt(argc, argv, "m:w:p:s:")) != -1) {
		u64 number = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (opt) {
		case 'm':
			mib = number;
			break;
		case 'w':
			write_percent = number;
			break;
		case 'p':
			nr_passes = number;
			break;
		case 's':
			seed = number;
			break;
		default:
			usage(args);
		}
	}
	nr_pages = scaled(mib * MIB) / PAGE_SIZE;
	for (size_t i = 0; optind < argc && i < ARRAY_SIZE(patterns); i++)
		if (!strcmp(argv[optind], patterns[i].name) && nr_pages && nr_passes && seed)
			return &patterns[i];
	usage(args);
}

int main(int argc, char **argv)
{
	const struct pattern *pattern = parse(argc, argv);
	u64 nr = nr_pages * nr_passes, nr_writes, start, end;
	u32 *pages = malloc((nr_pages + nr) * sizeof(*pages));

	if (!pages)
		die("malloc");
	pattern->make(pages, nr_pages + nr);
	fill();
	nr_writes = access_pages(pages, nr_pages);
	start = now_ns();
	nr_writes += access_pages(pages + nr_pages, nr);
	end = now_ns();
	check_all(nr_writes);
	print_per_op(end - start, nr);
	return 0;
}
