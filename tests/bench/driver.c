/* SPDX-License-Identifier: MIT */
/*
 * driver.c - the speed of upager as ratios: each measure's base and upager by turns, in one run.
 *
 * Started by tests/bench/run.sh.  Machines differ and are shared, so nothing is judged by its time:
 * only the ratio within a pair of neighbouring runs counts, and its median and spread over the
 * pairs.  One pair goes first unrecorded, to warm caches.  Start reading at take().
 *
 * Exit status: 0, 1 a limit is missed, 2 a measure gave no number or bad usage, 77 this machine
 * allows none of those asked for.  A quick run judges no speed.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"

#define QUICK_ROUNDS 1
#define QUICK_SHIFT  4 /* as scaled() of bench.h */
#define EXIT_MISSED  1
#define EXIT_BROKEN  2

/* ---- one measure ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct spread spread_of(const double *values, int nr)
{
	double v[MAX_ROUNDS];

	memcpy(v, values, (size_t)nr * sizeof(*v));
	qsort(v, (size_t)nr, sizeof(*v), compare_doubles);
	return (struct spread){
		.min = v[0],
		.median = (v[(nr - 1) / 2] + v[nr / 2]) / 2,
		.max = v[nr - 1],
	};
}

static enum verdict judge(const struct result *r, bool quick)
{
	if (quick || r->m->limit <= 0)
		return VERDICT_INFO;
	return r->ratio.median <= r->m->limit ? VERDICT_OK : VERDICT_MISSED;
}

static int run_command(struct result *r, const struct command *c, const struct side *s,
		       double *value)
{
	struct outcome out;
	int ret = run_program(c->argv, s->wall, &out);

	if (!ret && r->m->base != BASE_NONE && out.value <= 0) {
		snprintf(out.why, sizeof(out.why), "its number is %g", out.value);
		ret = -1;
	}
	if (ret)
		snprintf(r->why, sizeof(r->why), "%s: %s", s->name, out.why);
	else
		*value = out.value;
	return ret;
}

static int run_side(struct result *r, const struct side *s, double *value)
{
	double small = 1;
	int ret = s->grows ? run_command(r, &s->small, s, &small) : 0;

	if (!ret)
		ret = run_command(r, &s->large, s, value);
	if (!ret)
		*value /= small;
	return ret;
}

/* What the command of a measure with a budget needs: as the measure says, or as one native run shows. */
static int find_need(const struct bench_options *opt, struct result *r)
{
	const struct measure *m = r->m;
	struct outcome out;
	struct command c;
	int ret;

	if (m->need_mib) {
		r->need_bytes = (u64)m->need_mib << (opt->quick ? 20 - QUICK_SHIFT : 20);
		return 0;
	}
	command_native(&c, opt, m);
	ret = run_program(c.argv, true, &out); /* the first may make its input, and would see that */
	if (!ret)
		ret = run_program(c.argv, true, &out);
	if (ret)
		snprintf(r->why, sizeof(r->why), "natively: %s", out.why);
	r->need_bytes = out.peak_bytes;
	r->native_ns = out.value;
	return ret;
}

/* Take one measure.  Returns 0, or what run_program() said of the run that failed. */
static int take(const struct bench_options *opt, struct result *r)
{
	const struct measure *m = r->m;
	double ratios[MAX_ROUNDS];
	struct side base, mine;
	int ret;

	r->nr = opt->quick ? QUICK_ROUNDS : m->rounds;
	ret = measure_has_budget(m) ? find_need(opt, r) : 0;
	if (ret)
		return ret;
	side_build_base(&base, opt, m, r->need_bytes);
	side_build_mine(&mine, opt, m, r->need_bytes);
	/* -1: to warm up, which the native runs have done where there were any */
	for (int i = opt->quick || r->native_ns > 0 ? 0 : -1; i < r->nr; i++) {
		double b = 1, v;

		ret = measure_is_alone(m) ? 0 : run_side(r, &base, &b);
		if (!ret)
			ret = run_side(r, &mine, &v);
		if (ret)
			return ret;
		if (i < 0)
			continue;
		r->base[i] = b;
		r->mine[i] = v;
		ratios[i] = v / b;
	}
	r->base_spread = spread_of(r->base, r->nr);
	r->mine_spread = spread_of(r->mine, r->nr);
	r->ratio = spread_of(ratios, r->nr);
	return 0;
}

static const struct result *find_result(const struct result *all, size_t nr, const char *name)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(all[i].m->name, name))
			return &all[i];
	return NULL;
}

/* The geometric mean of the members' ratios, which stand among the `nr` results of `all`. */
static int take_mean(struct result *r, const struct result *all, size_t nr)
{
	struct spread logs = { 0 };
	int n = 0;

	for (; r->m->members[n]; n++) {
		const struct result *member = find_result(all, nr, r->m->members[n]);

		if (!member || member->verdict >= VERDICT_SKIPPED) {
			snprintf(r->why, sizeof(r->why), "no figure of %s", r->m->members[n]);
			return RUN_SKIP;
		}
		logs.min += log(member->ratio.min);
		logs.median += log(member->ratio.median);
		logs.max += log(member->ratio.max);
	}
	r->ratio = (struct spread){ exp(logs.min / n), exp(logs.median / n), exp(logs.max / n) };
	return 0;
}

/* ---- all of them ---- */

static json_t *json_machine(double load)
{
	struct utsname u;

	uname(&u);
	return json_pack("{s:s, s:i, s:f}", "kernel", u.release, "cpus",
			 (int)sysconf(_SC_NPROCESSORS_ONLN), "load_before", load);
}

/* Others at work widen every spread; say so.  Returns the load average of the last minute. */
static double note_load(void)
{
	double load;

	if (getloadavg(&load, 1) != 1)
		return 0;
	if (load > 0.5)
		printf("note: the load average is %.2f: others run here, expect a wide spread\n\n",
		       load);
	return load;
}

struct tally {
	struct result *all;
	size_t nr;
	int counts[VERDICT_FAILED + 1];
};

static void take_table(const struct bench_options *opt, const struct measures *table,
		       struct tally *t, json_t *rows)
{
	for (size_t i = 0; i < table->nr; i++) {
		struct result *r = &t->all[t->nr];
		int ret;

		if (opt->only && !strstr(table->m[i].name, opt->only))
			continue;
		*r = (struct result){ .m = &table->m[i] };
		ret = r->m->base == BASE_MEAN ? take_mean(r, t->all, t->nr) : take(opt, r);
		r->verdict = !ret ? judge(r, opt->quick) :
			     ret == RUN_SKIP ? VERDICT_SKIPPED : VERDICT_FAILED;
		report_row(r);
		json_array_append_new(rows, report_json(r));
		t->counts[r->verdict]++;
		t->nr++;
	}
}

/* Takes every measure asked for and appends its JSON to `rows`.  Returns the exit status. */
static int take_all(const struct bench_options *opt, json_t *rows)
{
	struct tally t = {
		.all = calloc(plain_measures.nr + cow_measures.nr + memory_measures.nr +
			      budget_measures.nr, sizeof(*t.all)),
	};
	const int *counts = t.counts;

	if (!t.all)
		return EXIT_BROKEN;
	report_head();
	take_table(opt, &plain_measures, &t, rows);
	take_table(opt, &cow_measures, &t, rows);
	take_table(opt, &memory_measures, &t, rows);
	if (opt->only && !strncmp(opt->only, "budget", strlen("budget")))
		take_table(opt, &budget_measures, &t, rows);
	free(t.all);
	printf("\n%d ok, %d missed, %d for information, %d skipped, %d failed\n", counts[VERDICT_OK],
	       counts[VERDICT_MISSED], counts[VERDICT_INFO], counts[VERDICT_SKIPPED],
	       counts[VERDICT_FAILED]);
	if (counts[VERDICT_FAILED] || !t.nr)
		return EXIT_BROKEN;
	if (counts[VERDICT_SKIPPED] == (int)t.nr)
		return RUN_SKIP;
	return counts[VERDICT_MISSED] ? EXIT_MISSED : 0;
}

static int write_json(const struct bench_options *opt, json_t *all)
{
	if (!opt->output || !json_dump_file(all, opt->output, JSON_INDENT(2) | JSON_REAL_PRECISION(6)))
		return 0;
	fprintf(stderr, "bench: cannot write %s: %s\n", opt->output, strerror(errno));
	return EXIT_BROKEN;
}

static const struct argp_option options[] = {
	{ "upager", 'u', "FILE", 0, "The upager to measure", 0 },
	{ "dir", 'd', "DIR", 0, "Where the bench programs are", 0 },
	{ "output", 'o', "FILE", 0, "Write the results as JSON to FILE", 0 },
	{ "measure", 'm', "TEXT", 0, "Only measures whose name contains TEXT", 0 },
	{ "quick", 'q', NULL, 0, "Little work, one round: see that all works, judge no speed", 0 },
	{ 0 },
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct bench_options *opt = state->input;

	switch (key) {
	case 'u':
		opt->upager = arg;
		return 0;
	case 'd':
		opt->dir = arg;
		return 0;
	case 'o':
		opt->output = arg;
		return 0;
	case 'm':
		opt->only = arg;
		return 0;
	case 'q':
		opt->quick = true;
		return 0;
	case ARGP_KEY_END:
		if (!opt->upager || !opt->dir)
			argp_error(state, "--upager and --dir must be given");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.doc = "Measure the speed of upager against native runs, a bare userfaultfd loop and "
		       "the kernel's own swap.",
	};
	struct bench_options opt = { 0 };
	json_t *all, *rows = json_array();
	int ret, write_ret;

	argp_err_exit_status = EXIT_BROKEN;
	argp_parse(&argp, argc, argv, 0, NULL, &opt);
	unsetenv("BENCH_QUICK");
	if (opt.quick)
		setenv("BENCH_QUICK", "1", 1);
	all = json_pack("{s:s, s:s, s:b, s:o, s:o}", "version", UPAGER_VERSION, "upager", opt.upager,
			"quick", opt.quick, "machine", json_machine(note_load()), "measures", rows);
	ret = take_all(&opt, rows);
	write_ret = write_json(&opt, all);
	json_decref(all);
	return write_ret ? write_ret : ret;
}
