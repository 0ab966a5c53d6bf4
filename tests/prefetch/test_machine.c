/* SPDX-License-Identifier: MIT */
/*
 * test_machine.c - what the prefetchers must reach on the simulated machine, for a program that
 * uses 16,384 pages with frames for half of them: faults against those of none, and pages
 * brought in vain against faults.
 */
#include "../unit/unit.h"
#include "machine.h"

struct goal {
	const char *pattern, *spec;
	double faults; /* at most so many, those of none being 1 */
	double wasted; /* pages in vain for each fault that there is without prefetch, at most */
};

/*
 * Exact where nothing else can be: random faults must cost nothing, streams a window of 64 at a
 * time.
 */
static const struct goal goals[] = {
	{ "sequential", "readahead", 1 / 60.0, 0.001 },
	{ "sequential", "stride", 1 / 60.0, 0.001 },
	{ "sequential", "cluster:8", 1 / 7.9, 0.001 },
	{ "reverse", "readahead", 1 / 60.0, 0.001 },
	{ "reverse", "stride", 1 / 60.0, 0.001 },
	{ "stride 17", "stride", 1 / 30.0, 0.005 },
	{ "columns", "stride", 0.8, 0.01 },
	{ "4 streams", "readahead", 1 / 55.0, 0.005 },
	{ "4 streams", "stride", 1 / 55.0, 0.005 },
	{ "4 strides", "stride", 1 / 9.0, 0.1 },
	{ "uniform", "readahead", 1, 0.02 },
	{ "uniform", "stride", 1, 0.02 },
	{ "zipf", "readahead", 1, 0.02 },
	{ "zipf", "stride", 1, 0.02 },
	{ "zipf scattered", "readahead", 1, 0.02 },
	{ "zipf scattered", "stride", 1, 0.02 },
	{ "10 % noise", "readahead", 1 / 10.0, 0.02 },
	{ "10 % noise", "stride", 1 / 10.0, 0.02 },
	{ "records of 16", "readahead", 1 / 3.0, 0.02 },
	{ "records of 16", "stride", 1 / 3.0, 0.02 },
};

static void check_goals(bool blind)
{
	const struct machine_setup setup = {
		.nr_pages = 16384, .nr_frames = 8192, .nr_uses = 8 * 16384, .blind = blind,
	};

	for (size_t i = 0; i < ARRAY_SIZE(goals); i++) {
		const struct pattern *pattern = pattern_find(goals[i].pattern);
		struct machine_result none = machine_run(&setup, "none", pattern);
		struct machine_result r = machine_run(&setup, goals[i].spec, pattern);
		double faults = (double)r.faults / (double)none.faults;
		double wasted = (double)r.wasted / (double)none.faults;

		if (faults > goals[i].faults || wasted > goals[i].wasted)
			fail_msg("%s, %s: %.4f of the faults (at most %.4f), %.4f wasted (at most %.4f)",
				 goals[i].pattern, goals[i].spec, faults, goals[i].faults, wasted,
				 goals[i].wasted);
	}
}

static void test_machine_uses_seen_reaches_goals(void **state)
{
	check_goals(false);
}

/* The real machine does not show which prefetched pages are used. */
static void test_machine_uses_unseen_reaches_goals(void **state)
{
	check_goals(true);
}

/* What stays resident is scattered, so streams fault a little later than they expect. */
static void test_machine_scattered_residents_streams_go_on(void **state)
{
	static const char *const names[] = { "sequential", "reverse", "stride 17", "4 streams" };
	const struct machine_setup setup = {
		.nr_pages = 16384, .nr_frames = 8192, .nr_uses = 8 * 16384, .blind = true,
		.random_victims = true,
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct pattern *pattern = pattern_find(names[i]);
		struct machine_result none = machine_run(&setup, "none", pattern);
		struct machine_result r = machine_run(&setup, "stride", pattern);

		if (r.faults * 20 > none.faults || r.wasted * 50 > none.faults)
			fail_msg("%s: %lu faults, %lu wasted; none: %lu", names[i], r.faults, r.wasted,
				 none.faults);
	}
}

/* Sixteen frames: each fault may bring two pages; no more faults, and few pages in vain. */
static void test_machine_tiny_memory_does_no_harm(void **state)
{
	const struct machine_setup setup = {
		.nr_pages = 1024, .nr_frames = 16, .nr_uses = 65536, .blind = true,
	};
	static const char *const specs[] = { "readahead", "stride" };

	for (const struct pattern *p = patterns; p->name; p++) {
		struct machine_result none = machine_run(&setup, "none", p);

		for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
			struct machine_result r = machine_run(&setup, specs[i], p);

			if (r.faults * 100 > none.faults * 101 || r.wasted * 10 > none.faults)
				fail_msg("%s, %s: %lu faults, %lu wasted; none: %lu", p->name, specs[i],
					 r.faults, r.wasted, none.faults);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machine_uses_seen_reaches_goals),
		cmocka_unit_test(test_machine_uses_unseen_reaches_goals),
		cmocka_unit_test(test_machine_scattered_residents_streams_go_on),
		cmocka_unit_test(test_machine_tiny_memory_does_no_harm),
	};

	return RUN(tests);
}
