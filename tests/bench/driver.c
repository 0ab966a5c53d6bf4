/* SPDX-License-Identifier: MIT */
/*
 * driver.c - the speed of upager as ratios: each measure's base and upager by turns, in one run.
 *
 * Started by tests/bench/run.sh.  Machines differ and are shared, so nothing is judged by its time:
 * only the ratio within a pair of neighbouring runs counts, and its median and spread over the
 * pairs.  One pair goes first unrecorded, to warm caches.  Start reading at take().
 *
 * Exit status: 0, 1 a limit is missed, 2 a measure gave no number or bad usage, 77 this machine does
 * not allow userfaultfd.  A quick run judges no speed.
 */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"

#define MAX_ARGS     32
#define QUICK_ROUNDS 1
#define EXIT_MISSED  1
#define EXIT_BROKEN  2

/* ---- one measure ---- */

struct command {
	const char *argv[MAX_ARGS];
	char path[4096];
};

/* The commands of one side of a measure. */
struct side {
	const char *name;
	struct command large, small;
	bool grows; /* the figure is large / small */
};

/* "[upager run [options] --] program args": the words point into opt, argv and options. */
static void build_command(struct command *c, const struct bench_options *opt,
			  const char *const *argv, bool under_upager, const char *const *options)
{
	size_t n = 0;

	if (under_upager) {
		c->argv[n++] = opt->upager;
		c->argv[n++] = "run";
		for (size_t i = 0; options && options[i]; i++)
			c->argv[n++] = options[i];
		c->argv[n++] = "--";
	}
	snprintf(c->path, sizeof(c->path), "%s/%s", opt->dir, argv[0]);
	c->argv[n++] = argv[0][0] == '/' ? argv[0] : c->path;
	for (size_t i = 1; argv[i] && n < MAX_ARGS - 1; i++)
		c->argv[n++] = argv[i];
	c->argv[n] = NULL;
}

static void build_side(struct side *s, const struct bench_options *opt, const struct measure *m,
		       bool is_base)
{
	bool bare = is_base && m->base == BASE_BARE;
	bool under_upager = is_base ? m->base == BASE_OPTIONS : m->base != BASE_MODEL;
	const char *const *options = is_base ? m->options : NULL;

	s->name = is_base ? "base" : under_upager ? "under upager" : "the model";
	s->grows = m->small;
	build_command(&s->large, opt, bare ? m->bare : m->argv, under_upager, options);
	if (s->grows)
		build_command(&s->small, opt, bare ? m->bare_small : m->small, under_upager, options);
}

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

static int run_command(struct result *r, const struct command *c, const char *side, double *value)
{
	char why[96];
	int ret = run_program(c->argv, r->m->value == VALUE_WALL_NS, value, why, sizeof(why));

	if (!ret && r->m->base != BASE_NONE && *value <= 0) {
		snprintf(why, sizeof(why), "its number is %g", *value);
		ret = -1;
	}
	if (ret < 0)
		snprintf(r->why, sizeof(r->why), "%s: %s", side, why);
	return ret;
}

static int run_side(struct result *r, const struct side *s, double *value)
{
	double small = 1;
	int ret = s->grows ? run_command(r, &s->small, s->name, &small) : 0;

	if (!ret)
		ret = run_command(r, &s->large, s->name, value);
	if (!ret)
		*value /= small;
	return ret;
}

/* Take one measure.  Returns 0, or what run_program() said of the run that failed. */
static int take(const struct bench_options *opt, const struct measure *m, struct result *r)
{
	int rounds = opt->quick ? QUICK_ROUNDS : m->rounds, ret;
	double ratios[MAX_ROUNDS];
	struct side base, mine;

	*r = (struct result){ .m = m, .nr = rounds, .verdict = VERDICT_FAILED };
	build_side(&base, opt, m, true);
	build_side(&mine, opt, m, false);
	for (int i = opt->quick ? 0 : -1; i < rounds; i++) { /* -1: to warm up */
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
	r->base_spread = spread_of(r->base, rounds);
	r->mine_spread = spread_of(r->mine, rounds);
	r->ratio = spread_of(ratios, rounds);
	r->verdict = judge(r, opt->quick);
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

/* Takes every measure asked for and appends its JSON to `rows`.  Returns the exit status. */
static int take_all(const struct bench_options *opt, json_t *rows)
{
	int counts[VERDICT_FAILED + 1] = { 0 };

	report_head();
	for (size_t i = 0; i < nr_measures; i++) {
		struct result r;

		if (opt->only && !strstr(measures[i].name, opt->only))
			continue;
		if (take(opt, &measures[i], &r) == RUN_SKIP)
			return RUN_SKIP;
		report_row(&r);
		json_array_append_new(rows, report_json(&r));
		counts[r.verdict]++;
	}
	printf("\n%d ok, %d missed, %d for information, %d failed\n", counts[VERDICT_OK],
	       counts[VERDICT_MISSED], counts[VERDICT_INFO], counts[VERDICT_FAILED]);
	if (counts[VERDICT_FAILED] || !json_array_size(rows))
		return EXIT_BROKEN;
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
		.doc = "Measure the speed of upager against native runs and a bare userfaultfd loop.",
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
