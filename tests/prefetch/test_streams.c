/* SPDX-License-Identifier: MIT */
/* test_streams.c - none, cluster, readahead and stride on traces made by hand: just these runs. */
#include "base/alloc.h"
#include "policy/param.h"
#include "trace.h"

static void test_none_sequential_brings_nothing(void **state)
{
	TRACE_WHOLE("none", { 10 }, { 11 }, { 12 }, { 13 });
}

/* TRACE_START is 0x55501: page 7 of the vma is 0x55508, the first of a cluster of eight. */
static void test_cluster_brings_aligned_neighbours(void **state)
{
	TRACE_WHOLE("cluster:8", { 7, { { 8, 1, 7 } } }, { 14, { { 7, 1, 7 } } },
		    { 9, { { 10, 1, 5 }, { 7, 1, 2 } } });
	TRACE_WHOLE("cluster:1", { 7 });
	/* The vma begins at the cluster's second page, and ends with a fourth. */
	TRACE_WHOLE("cluster", { 0, { { 1, 1, 6 } } }, { 2, { { 3, 1, 4 }, { 0, 1, 2 } } },
		    { TRACE_PAGES - 1, { { TRACE_PAGES - 4, 1, 3 } } });
}

static void test_cluster_little_room_prefers_pages_above(void **state)
{
	struct trace t = trace_begin("cluster:8", "trace");

	t.fault.max = 6;
	TRACE(&t, { 9, { { 10, 1, 5 }, { 8, 1, 1 } } });
	t.fault.max = 3;
	TRACE(&t, { 9, { { 10, 1, 3 } } });
	t.fault.max = 0;
	TRACE(&t, { 9 });
	t.fault.max = 8;
	t.fault.rand = true;
	TRACE(&t, { 9 });
	trace_end(&t);
}

/*
 *   10 11 12 [13 14 15 16] 17 [18 … 25] 26 [27 … 42]
 *    F  F  F  ^ window 4    F  8         F  16
 */
static void test_stream_upwards_doubles(void **state)
{
	TRACE_WHOLE("readahead", { 10 }, { 11 }, { 12, { { 13, 1, 4 } } }, { 17, { { 18, 1, 8 } } },
		    { 26, { { 27, 1, 16 } } }, { 43, { { 44, 1, 32 } } }, { 76, { { 77, 1, 64 } } },
		    { 141, { { 142, 1, 64 } } });
	TRACE_WHOLE("stride", { 10 }, { 11 }, { 12, { { 13, 1, 4 } } }, { 17, { { 18, 1, 8 } } },
		    { 26, { { 27, 1, 16 } } }, { 43, { { 44, 1, 32 } } }, { 76, { { 77, 1, 64 } } },
		    { 141, { { 142, 1, 64 } } });
	TRACE_WHOLE("readahead:min=2,max=5", { 10 }, { 11 }, { 12, { { 13, 1, 2 } } },
		    { 15, { { 16, 1, 4 } } }, { 20, { { 21, 1, 5 } } }, { 26, { { 27, 1, 5 } } });
}

static void test_stream_downwards_doubles(void **state)
{
	TRACE_WHOLE("readahead", { 100 }, { 99 }, { 98, { { 97, -1, 4 } } }, { 93, { { 92, -1, 8 } } });
	TRACE_WHOLE("stride", { 100 }, { 99 }, { 98, { { 97, -1, 4 } } }, { 93, { { 92, -1, 8 } } });
}

/* Three equal deltas of the last four: at the fourth fault. */
static void test_stride_17_needs_four_faults(void **state)
{
	TRACE_WHOLE("stride", { 17 }, { 34 }, { 51 }, { 68, { { 85, 17, 4 } } }, { 153, { { 170, 17, 8 } } });
	TRACE_WHOLE("stride", { 1068 }, { 1051 }, { 1034 }, { 1017, { { 1000, -17, 4 } } },
		    { 932, { { 915, -17, 8 } } });
	TRACE_WHOLE("readahead", { 17 }, { 34 }, { 51 }, { 68 }, { 85 });
}

/* Of the deltas 5 5 9 no three are equal; of 5 5 9 5 three of four are. */
static void test_stride_majority_overrules_noise(void **state)
{
	TRACE_WHOLE("stride", { 100 }, { 105 }, { 110 }, { 119 }, { 124, { { 129, 5, 4 } } });
}

/* Deltas 3 4 3 4 …: no strict majority of four, eight or sixteen. */
static void test_stride_tie_is_no_trend(void **state)
{
	struct trace t = trace_begin("stride", "trace");
	u64 page = 100;

	for (u32 i = 0; i < 40; i++, page += i % 2 ? 3 : 4)
		TRACE(&t, { page });
	trace_end(&t);
}

/* A stride wider than a tracker sees (1024 pages), and back. */
static void test_stride_wide(void **state)
{
	TRACE_WHOLE("stride", { 0 }, { 5000 }, { 10000 }, { 15000, { { 20000, 5000, 4 } } },
		    { 40000, { { 45000, 5000, 8 } } }, { 90000, { { 95000, 5000, 2 } } });
	TRACE_WHOLE("stride", { 60000 }, { 50000 }, { 40000 }, { 30000, { { 20000, -10000, 3 } } });
}

/* Four threads in turn, each with a stride of its own. */
static void test_stride_interleaved_streams(void **state)
{
	TRACE_WHOLE("stride", { 1000 }, { 20000 }, { 40000 }, { 60000 }, /* */
		    { 1001 }, { 19993 }, { 40017 }, { 60100 }, /* */
		    { 1002, { { 1003, 1, 4 } } }, { 19986 }, { 40034 }, { 60200 }, /* */
		    { 1007, { { 1008, 1, 8 } } }, { 19979, { { 19972, -7, 4 } } },
		    { 40051, { { 40068, 17, 4 } } }, { 60300, { { 60400, 100, 4 } } }, /* */
		    { 1016, { { 1017, 1, 16 } } }, { 19944, { { 19937, -7, 8 } } },
		    { 40136, { { 40153, 17, 8 } } }, { 60800, { { 60900, 100, 8 } } });
}

static void test_readahead_interleaved_streams(void **state)
{
	TRACE_WHOLE("readahead", { 1000 }, { 20000 }, { 40000 }, { 1001 }, { 19999 }, { 40001 },
		    { 1002, { { 1003, 1, 4 } } }, { 19998, { { 19997, -1, 4 } } },
		    { 40002, { { 40003, 1, 4 } } },
		    { 40007, { { 40008, 1, 8 } } }, { 1007, { { 1008, 1, 8 } } },
		    { 19993, { { 19992, -1, 8 } } });
}

/* Up, down, up: steps that are not in a row of one direction begin nothing. */
static void test_stream_zigzag_brings_nothing(void **state)
{
	TRACE_WHOLE("readahead", { 10 }, { 11 }, { 10 }, { 11 }, { 10 });
	TRACE_WHOLE("stride", { 10 }, { 11 }, { 10 }, { 11 }, { 10 });
	TRACE_WHOLE("stride", { 10 }, { 10 }, { 10 }, { 10 }, { 10 });
}

/*
 * Stream at 12 with [13 … 16] out: next is 17.  Two pages later (18, 19) still is the stream,
 * resident pages lay between.  Later than a quarter of the window and one: half as large, but
 * not below the first.
 */
static void test_stream_next_pages_resident_goes_on(void **state)
{
	TRACE_WHOLE("stride", { 10 }, { 11 }, { 12, { { 13, 1, 4 } } }, { 19, { { 20, 1, 8 } } },
		    { 31, { { 32, 1, 16 } } }, { 54, { { 55, 1, 8 } } }, { 67, { { 68, 1, 4 } } },
		    { 76, { { 77, 1, 4 } } }, { 86 });
}

/*
 * A page of the window itself faults: it was not brought, or lost.  The window halves and
 * starts there.
 */
static void test_stream_fault_inside_window_halves(void **state)
{
	TRACE_WHOLE("stride", { 10 }, { 11 }, { 12, { { 13, 1, 4 } } }, { 17, { { 18, 1, 8 } } },
		    { 26, { { 27, 1, 16 } } }, { 30, { { 31, 1, 8 } } }, { 39, { { 40, 1, 16 } } },
		    { 41, { { 42, 1, 8 } } }, { 43, { { 44, 1, 4 } } }, { 44, { { 45, 1, 4 } } });
}

/*
 * … but when it was only in staging, nothing was lost, and the end of the window stays where it
 * is.
 */
static void test_stream_soft_fault_inside_window_is_silent(void **state)
{
	struct trace t = trace_begin("readahead", "trace");

	TRACE(&t, { 10 }, { 11 }, { 12, { { 13, 1, 4 } } }, { 17, { { 18, 1, 8 } } });
	t.fault.soft = true;
	TRACE(&t, { 20 }, { 22 });
	t.fault.soft = false;
	TRACE(&t, { 26, { { 27, 1, 16 } } });
	t.fault.soft = true;
	TRACE(&t, { 43, { { 44, 1, 32 } } });
	trace_end(&t);
}

static void test_stream_little_room_is_expected_after_what_was_asked(void **state)
{
	struct trace t = trace_begin("stride", "trace");

	t.fault.max = 3;
	TRACE(&t, { 10 }, { 11 }, { 12, { { 13, 1, 3 } } }, { 16, { { 17, 1, 3 } } });
	t.fault.max = 0;
	TRACE(&t, { 20 }, { 21 });
	t.fault.max = 100;
	TRACE(&t, { 22, { { 23, 1, 4 } } }, { 27, { { 28, 1, 8 } } });
	trace_end(&t);
}

static void test_stream_is_cut_at_the_vma(void **state)
{
	u64 end = TRACE_PAGES;

	TRACE_WHOLE("readahead", { end - 5 }, { end - 4 }, { end - 3, { { end - 2, 1, 2 } } }, { 0 });
	TRACE_WHOLE("readahead", { 3 }, { 2 }, { 1, { { 0, -1, 1 } } });
	TRACE_WHOLE("readahead", { 2 }, { 1 }, { 0 });
	TRACE_WHOLE("stride", { 68 }, { 51 }, { 34 }, { 17, { { 0, -17, 1 } } });
	TRACE_WHOLE("stride", { end - 52 }, { end - 35 }, { end - 18 }, { end - 1 });
}

static void test_stream_madvise(void **state)
{
	const char *const specs[] = { "readahead", "stride" };

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct trace t = trace_begin(specs[i], "trace");

		t.fault.seq = true;
		TRACE(&t, { 500, { { 501, 1, 64 } } }, { 565, { { 566, 1, 64 } } });
		t.fault.seq = false;
		t.fault.rand = true;
		TRACE(&t, { 10 }, { 11 }, { 12 }, { 13 }, { 630 });
		trace_end(&t);
	}
}

static void waste_pages(struct trace *t, u64 first, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		t->ops->waste(t->prefetch, t->mm, TRACE_START + first + i);
}

/* Of the 8 pages at 18 five are wasted: the window is 4 again, the next fault doubles that. */
static void test_stream_half_wasted_shrinks(void **state)
{
	struct trace t = trace_begin("readahead", "trace");

	TRACE(&t, { 10 }, { 11 }, { 12, { { 13, 1, 4 } } }, { 17, { { 18, 1, 8 } } });
	waste_pages(&t, 18, 4);
	TRACE(&t, { 26, { { 27, 1, 16 } } });
	waste_pages(&t, 27, 9);
	TRACE(&t, { 43, { { 44, 1, 8 } } });
	trace_end(&t);
}

/* At its smallest it is forgotten: the page that it expected begins anew. */
static void test_stream_first_window_wasted_is_forgotten(void **state)
{
	struct trace t = trace_begin("stride", "trace");

	TRACE(&t, { 10 }, { 11 }, { 12, { { 13, 1, 4 } } });
	waste_pages(&t, 13, 3);
	TRACE(&t, { 17 }, { 18 }, { 19, { { 20, 1, 4 } } });
	trace_end(&t);
}

/* Pages of the windows before were used, whoever says what: the stream came by. */
static void test_stream_waste_of_earlier_windows_is_not_believed(void **state)
{
	struct trace t = trace_begin("stride", "trace");

	TRACE(&t, { 10 }, { 11 }, { 12, { { 13, 1, 4 } } }, { 17, { { 18, 1, 8 } } });
	waste_pages(&t, 13, 4);
	TRACE(&t, { 26, { { 27, 1, 16 } } });
	waste_pages(&t, 10, 17);
	TRACE(&t, { 43, { { 44, 1, 32 } } });
	trace_end(&t);
}

static void expect_proven(struct trace *t, u64 first, s64 stride, u32 nr)
{
	struct prefetch_run run[PREFETCH_MAX_RUNS];

	assert_int_equal(t->ops->proven(t->prefetch, t->mm, run), nr > 0);
	if (!nr)
		return;
	assert_int_equal(run[0].vpn, TRACE_START + first);
	assert_int_equal(run[0].stride, stride);
	assert_int_equal(run[0].nr, nr);
}

static void test_stream_proven_is_what_it_went_through(void **state)
{
	struct trace t = trace_begin("stride", "trace");

	TRACE(&t, { 100 }, { 117 }, { 134 }, { 151, { { 168, 17, 4 } } });
	expect_proven(&t, 0, 0, 0);
	TRACE(&t, { 236, { { 253, 17, 8 } } });
	expect_proven(&t, 168, 17, 4);
	/* The third of eight had been lost: the two before it were used. */
	TRACE(&t, { 287, { { 304, 17, 4 } } });
	expect_proven(&t, 253, 17, 2);
	TRACE(&t, { 5000 });
	expect_proven(&t, 0, 0, 0);
	trace_end(&t);
}

/* Streams that go on outlive any number of faults that belong to none. */
static void test_stream_survives_noise(void **state)
{
	const char *const specs[] = { "readahead", "stride" };

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct trace t = trace_begin(specs[i], "trace");
		u64 seed = 5;

		TRACE(&t, { 10 }, { 11 }, { 12, { { 13, 1, 4 } } });
		for (u32 k = 0; k < 1000; k++)
			TRACE(&t, { 1000 + next_random(&seed, 4000) * 23 });
		TRACE(&t, { 17, { { 18, 1, 8 } } });
		trace_end(&t);
	}
}

static void test_init_bad_parameters_say_what(void **state)
{
	static const struct {
		const char *spec, *word;
	} bad[] = {
		{ "none:x=1", "x" },         { "cluster:0", "0" },       { "cluster:many", "many" },
		{ "cluster:size=3", "size" }, { "stride:max=0", "max" }, { "stride:max=-1", "max" },
		{ "readahead:mix=1", "mix" }, { "readahead:min=99999999", "min" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct policy_spec spec;
		char err[200] = "";

		assert_int_equal(policy_spec_parse(&spec, bad[i].spec, err, sizeof(err)), 0);
		assert_null(prefetcher_find(spec.name)->init(spec.params, spec.nr_params, err, sizeof(err)));
		if (!strstr(err, bad[i].word))
			fail_msg("%s: \"%s\"", bad[i].spec, err);
	}
	assert_null(prefetcher_find("magic"));
}

/* Each allocation in turn fails: init says so, or the address space gets no state. */
static void test_no_memory_is_said(void **state)
{
	static const char *const names[] = { "cluster", "readahead", "stride" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct prefetch_ops *ops = prefetcher_find(names[i]);
		char err[200] = "";
		void *prefetch;

		alloc_fail_at(1);
		assert_null(ops->init(NULL, 0, err, sizeof(err)));
		assert_non_null(strstr(err, "no memory"));
		prefetch = ops->init(NULL, 0, err, sizeof(err));
		assert_non_null(prefetch);
		alloc_fail_at(1);
		if (ops->mm_init(prefetch, "trace"))
			assert_true(alloc_fail_pending()); /* it needs none */
		alloc_fail_at(0);
		ops->fini(prefetch);
		assert_int_equal(policy_bytes, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none_sequential_brings_nothing),
		cmocka_unit_test(test_cluster_brings_aligned_neighbours),
		cmocka_unit_test(test_cluster_little_room_prefers_pages_above),
		cmocka_unit_test(test_stream_upwards_doubles),
		cmocka_unit_test(test_stream_downwards_doubles),
		cmocka_unit_test(test_stride_17_needs_four_faults),
		cmocka_unit_test(test_stride_majority_overrules_noise),
		cmocka_unit_test(test_stride_tie_is_no_trend),
		cmocka_unit_test(test_stride_wide),
		cmocka_unit_test(test_stride_interleaved_streams),
		cmocka_unit_test(test_readahead_interleaved_streams),
		cmocka_unit_test(test_stream_zigzag_brings_nothing),
		cmocka_unit_test(test_stream_next_pages_resident_goes_on),
		cmocka_unit_test(test_stream_fault_inside_window_halves),
		cmocka_unit_test(test_stream_soft_fault_inside_window_is_silent),
		cmocka_unit_test(test_stream_little_room_is_expected_after_what_was_asked),
		cmocka_unit_test(test_stream_is_cut_at_the_vma),
		cmocka_unit_test(test_stream_madvise),
		cmocka_unit_test(test_stream_half_wasted_shrinks),
		cmocka_unit_test(test_stream_first_window_wasted_is_forgotten),
		cmocka_unit_test(test_stream_waste_of_earlier_windows_is_not_believed),
		cmocka_unit_test(test_stream_proven_is_what_it_went_through),
		cmocka_unit_test(test_stream_survives_noise),
		cmocka_unit_test(test_init_bad_parameters_say_what),
		cmocka_unit_test(test_no_memory_is_said),
	};

	return RUN(tests);
}
