/* SPDX-License-Identifier: MIT */
/*
 * test_recorded.c - recording a run, its file to the byte, playing it back, and files that are
 * not one.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "machine.h"
#include "policy/param.h"
#include "trace.h"

/* A file of this test's own; its name fits into "recorded:NAME". */
static char path[64];

static int make_path(void **state)
{
	int fd;

	strcpy(path, "/tmp/upager-recorded-XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int remove_path(void **state)
{
	return unlink(path);
}

static const char *spec_of(const char *params)
{
	static char spec[100];

	snprintf(spec, sizeof(spec), "recorded:%s%s", path, params);
	return spec;
}

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void expect_file(const char *text)
{
	char got[1000];
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(got, text);
}

/* One fault at `page` from the vma's start, which brings nothing while recording. */
static void record(struct trace *t, u64 start, u64 end, u64 page)
{
	t->fault.vma_start = start;
	t->fault.vma_end = end;
	TRACE(t, { page });
}

static void test_record_order_is_in_the_file(void **state)
{
	struct trace t = trace_begin(spec_of(",record=1"), "a program");

	for (u64 page = 5; page < 9; page++)
		record(&t, 1000, 1100, page);
	record(&t, 1000, 1100, 2);
	record(&t, 2000, 2010, 9);
	record(&t, 1000, 1100, 3);
	record(&t, 1000, 1100, 5);
	trace_end(&t);
	expect_file("upager-recording 1\n"
		    "area start 100 a program\n5 4\n2 2\n5 1\n"
		    "area start 10 a program\n9 1\n"
		    "end\n");
}

/*
 *   heap     [3000, 3010) … [3000, 3050)      its start stays
 *   stack    [9000, 9010) … [8990, 9010)      its end stays; page 8995 is 15 before it
 *   cut in two   [100, 200) -> [100, 150) and [150, 200): the first half goes on, the second is new
 */
static void test_record_vma_that_moves_is_one_area(void **state)
{
	struct trace t = trace_begin(spec_of(",record=1"), "p");

	record(&t, 3000, 3010, 1);
	record(&t, 9000, 9010, 9);
	record(&t, 100, 200, 60);
	record(&t, 3000, 3050, 40);
	record(&t, 8990, 9010, 5);
	record(&t, 100, 150, 20);
	record(&t, 150, 200, 0);
	trace_end(&t);
	expect_file("upager-recording 1\n"
		    "area start 10 p\n1 1\n40 1\n"
		    "area end 10 p\n-1 1\n-15 1\n"
		    "area start 100 p\n60 1\n20 1\n"
		    "area start 50 p\n0 1\n"
		    "end\n");
}

/* The first answer is 8 pages; each fault just behind the last answer doubles that. */
static void test_play_back_follows_the_order(void **state)
{
	struct trace t;

	write_file("upager-recording 1\narea start 500 p\n100 20\n300 30\n10 1\n400 20\nend\n");
	t = trace_begin(spec_of(""), "p");
	t.fault.vma_end = t.fault.vma_start + 500;
	TRACE(&t, { 7 }, { 100, { { 101, 1, 8 } } }, { 109, { { 110, 1, 10 }, { 300, 1, 6 } } },
	      /* Two pages were resident. */
	      { 308, { { 309, 1, 21 }, { 10, 390, 2 }, { 401, 1, 9 } } },
	      /* One fault more than recorded, and on. */
	      { 100 }, { 410, { { 411, 1, 9 } } });
	trace_end(&t);
}

/*
 * The order is 0 1 … 199, the run at 9; then it jumps to 100.  The second fault there brings a
 * page, the third two … When the window there is as large as may be (8), the run is there: a
 * fault elsewhere moves nothing.
 */
static void test_play_back_jump_is_followed_carefully(void **state)
{
	struct trace t;

	write_file("upager-recording 1\narea start 200 p\n0 200\nend\n");
	t = trace_begin(spec_of(",max=8"), "p");
	t.fault.vma_end = t.fault.vma_start + 200;
	TRACE(&t, { 0, { { 1, 1, 8 } } }, { 100 }, { 101, { { 102, 1, 1 } } }, { 103, { { 104, 1, 2 } } },
	      /* The first place is not forgotten yet … */
	      { 9, { { 10, 1, 8 } } }, { 106, { { 107, 1, 4 } } },
	      /* … nor the second, but a third takes its place. */
	      { 50 }, { 111 }, { 112, { { 113, 1, 1 } } }, { 114, { { 115, 1, 2 } } },
	      { 117, { { 118, 1, 4 } } }, { 122, { { 123, 1, 8 } } }, { 131, { { 132, 1, 8 } } },
	      /* Now the run is there. */
	      { 50 }, { 140, { { 141, 1, 8 } } }, { 19 });
	trace_end(&t);
}

/* 10 30 20 60 50 …: two and two make runs. */
static void test_play_back_scattered_pages_make_pairs(void **state)
{
	struct trace t;

	write_file("upager-recording 1\narea start 500 p\n"
		   "10 1\n30 1\n20 1\n60 1\n50 1\n90 1\n80 1\n200 1\n210 1\n230 1\n20 1\nend\n");
	t = trace_begin(spec_of(""), "p");
	t.fault.vma_end = t.fault.vma_start + 500;
	TRACE(&t, { 10, { { 30, -10, 2 }, { 60, -10, 2 }, { 90, -10, 2 }, { 200, 10, 2 } } },
	      { 230, { { 20, 1, 1 } } });
	trace_end(&t);
}

static void test_play_back_little_room_goes_on_where_it_stopped(void **state)
{
	struct trace t;

	write_file("upager-recording 1\narea start 500 p\n10 1\n30 1\n20 1\n60 1\n50 1\n90 1\n80 1\nend\n");
	t = trace_begin(spec_of(""), "p");
	t.fault.vma_end = t.fault.vma_start + 500;
	t.fault.max = 3;
	TRACE(&t, { 10, { { 30, -10, 2 }, { 60, 1, 1 } } });
	t.fault.max = 0;
	TRACE(&t, { 50 });
	t.fault.max = 9;
	TRACE(&t, { 90, { { 80, 1, 1 } } });
	trace_end(&t);
}

/*
 * The area of the vma's size is preferred; pages outside of a vma that is smaller now are left
 * out.
 */
static void test_play_back_chooses_area_by_program_and_size(void **state)
{
	struct trace t;

	write_file("upager-recording 1\n"
		   "area start 60 other\n1 4\n"
		   "area start 50 p\n1 1\n11 3\n"
		   "area start 60 p\n1 1\n21 3\n"
		   "area end 20 p\n-7 1\n-3 3\n"
		   "end\n");
	t = trace_begin(spec_of(""), "p");
	t.fault.vma_end = t.fault.vma_start + 60;
	TRACE(&t, { 1, { { 21, 1, 3 } } });
	t.fault.vma_start += 1000;
	t.fault.vma_end = t.fault.vma_start + 13;
	TRACE(&t, { 1, { { 11, 1, 2 } } });
	/* Seven before the end. */
	t.fault.vma_start += 1000;
	t.fault.vma_end = t.fault.vma_start + 100;
	TRACE(&t, { 93, { { 97, 1, 3 } } });
	/* Every area that has this page is taken. */
	t.fault.vma_start += 1000;
	t.fault.vma_end = t.fault.vma_start + 60;
	TRACE(&t, { 1 });
	trace_end(&t);
	t = trace_begin(spec_of(""), "another");
	TRACE(&t, { 1 });
	trace_end(&t);
}

/* More than half of 32 wasted: the window is 16, and doubles when the run goes on all the same. */
static void test_play_back_waste_shrinks(void **state)
{
	struct trace t;

	write_file("upager-recording 1\narea start 900 p\n0 900\nend\n");
	t = trace_begin(spec_of(""), "p");
	t.fault.vma_end = t.fault.vma_start + 900;
	TRACE(&t, { 0, { { 1, 1, 8 } } }, { 9, { { 10, 1, 16 } } });
	/* Not of the last window: used, whatever they say. */
	for (u64 i = 1; i <= 8; i++)
		t.ops->waste(t.prefetch, t.mm, t.fault.vma_start + i);
	TRACE(&t, { 26, { { 27, 1, 32 } } });
	for (u64 i = 27; i <= 27 + 16; i++)
		t.ops->waste(t.prefetch, t.mm, t.fault.vma_start + i);
	TRACE(&t, { 59, { { 60, 1, 32 } } });
	trace_end(&t);
}

/*
 * The machine once recording, and then playing that: any repeated order is foreseen, however
 * random.
 */
static void test_play_back_of_a_whole_run_saves_its_faults(void **state)
{
	static const char *const names[] = {
		"stride 17", "records of 16", "sequential", "uniform", "zipf scattered",
	};
	const struct machine_setup setup = {
		.nr_pages = 4096, .nr_frames = 2048, .nr_uses = 4 * 4096, .blind = true,
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct pattern *pattern = pattern_find(names[i]);
		struct machine_result none = machine_run(&setup, spec_of(",record=1"), pattern);
		struct machine_result r = machine_run(&setup, spec_of(""), pattern);

		assert_int_equal(none.brought, 0);
		assert_true(none.faults > 0);
		if (r.faults * 4 > none.faults || r.wasted * 50 > none.faults)
			fail_msg("%s: %lu faults, %lu wasted; recorded: %lu", names[i], r.faults, r.wasted,
				 none.faults);
	}
}

static void expect_bad(const char *spec, const char *word)
{
	struct policy_spec parsed;
	char err[200] = "";

	assert_int_equal(policy_spec_parse(&parsed, spec, err, sizeof(err)), 0);
	assert_null(prefetcher_find("recorded")->init(parsed.params, parsed.nr_params, err, sizeof(err)));
	if (!strstr(err, word))
		fail_msg("%s: \"%s\" does not say \"%s\"", spec, err, word);
}

static void test_init_bad_file_says_what(void **state)
{
	static const struct {
		const char *text, *word;
	} bad[] = {
		{ "", "not a recording" },
		{ "#!/bin/sh\n", "not a recording" },
		{ "upager-recording 2\nend\n", "not a recording of this version" },
		{ "upager-recording 1\n", "cut short" },
		{ "upager-recording 1\narea start 5 p\n1 1\n", "cut short" },
		{ "upager-recording 1\n1 1\nend\n", "line 2" },
		{ "upager-recording 1\narea middle 5 p\nend\n", "line 2" },
		{ "upager-recording 1\narea start p\nend\n", "line 2" },
		{ "upager-recording 1\narea start 5 p\n1\nend\n", "line 3" },
		{ "upager-recording 1\narea start 5 p\n1 0\nend\n", "line 3" },
		{ "upager-recording 1\narea start 5 p\n1 9999999999\nend\n", "line 3" },
		{ "upager-recording 1\narea start 5 p\n9999999999999999999 1\nend\n", "line 3" },
		{ "upager-recording 1\narea start 5 p\n1 4000000\n9 4000000\nend\n", "line 4" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		write_file(bad[i].text);
		expect_bad(spec_of(""), bad[i].word);
	}
	expect_bad("recorded", "the file is missing");
	expect_bad("recorded:record=1", "the file is missing");
	expect_bad("recorded:/nonexistent/file", "/nonexistent/file: No such file");
	expect_bad("recorded:/nonexistent/file,record=1", "/nonexistent/file: No such file");
	expect_bad(spec_of(",record=2"), "record");
	expect_bad(spec_of(",mix=2"), "mix");
}

/*
 * Each allocation in turn fails: init says so, or an address space is refused, or a fault is
 * left out.
 */
static void test_no_memory_is_survived(void **state)
{
	const char *const params[] = { "", ",record=1" };
	const struct prefetch_ops *ops = prefetcher_find("recorded");

	for (u64 n = 1, i = 0; i < ARRAY_SIZE(params); n++) {
		struct policy_spec spec;
		struct prefetch_fault fault = { .vpn = 1001, .vma_start = 1000, .vma_end = 1100, .max = 9 };
		struct prefetch_run run[PREFETCH_MAX_RUNS];
		char err[200] = "";
		void *prefetch, *mm = NULL;

		write_file("upager-recording 1\narea start 100 p\n1 4\n7 1\nend\n");
		assert_int_equal(policy_spec_parse(&spec, spec_of(params[i]), err, sizeof(err)), 0);
		alloc_fail_at(n);
		prefetch = ops->init(spec.params, spec.nr_params, err, sizeof(err));
		if (prefetch)
			mm = ops->mm_init(prefetch, "p");
		else
			assert_non_null(strstr(err, "no memory"));
		if (mm) {
			ops->fault(prefetch, mm, &fault, run);
			ops->mm_fini(prefetch, mm);
		}
		if (prefetch)
			ops->fini(prefetch);
		assert_int_equal(policy_bytes, 0);
		if (alloc_fail_pending()) {
			assert_true(n > 2);
			alloc_fail_at(0);
			n = 0;
			i++;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record_order_is_in_the_file),
		cmocka_unit_test(test_record_vma_that_moves_is_one_area),
		cmocka_unit_test(test_play_back_follows_the_order),
		cmocka_unit_test(test_play_back_jump_is_followed_carefully),
		cmocka_unit_test(test_play_back_little_room_goes_on_where_it_stopped),
		cmocka_unit_test(test_play_back_scattered_pages_make_pairs),
		cmocka_unit_test(test_play_back_chooses_area_by_program_and_size),
		cmocka_unit_test(test_play_back_waste_shrinks),
		cmocka_unit_test(test_play_back_of_a_whole_run_saves_its_faults),
		cmocka_unit_test(test_init_bad_file_says_what),
		cmocka_unit_test(test_no_memory_is_survived),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
