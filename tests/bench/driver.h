/* SPDX-License-Identifier: MIT */
/*
 * driver.h - what the parts of the bench driver share: driver.c takes the measures that measures.c
 * lists, runner.c runs one program once, report.c prints and writes what came out.
 */
#ifndef BENCH_DRIVER_H
#define BENCH_DRIVER_H

#include <jansson.h>

#include "base/base.h"

/* What upager's figure is held against. */
enum base_kind {
	BASE_NATIVE,  /* the same command without upager */
	BASE_BARE,    /* the bare userfaultfd loop, measure.bare, without upager */
	BASE_OPTIONS, /* the same command under `upager run` with measure.options */
	BASE_NONE,    /* the figure itself is the result */
	BASE_MODEL,   /* as BASE_NONE, but the program links the model and runs without upager */
};

enum value_kind {
	VALUE_NS,      /* the program prints ns an operation */
	VALUE_WALL_NS, /* the driver takes the time of the whole process */
	VALUE_BYTES,   /* the program prints bytes a page */
};

/* One row: a command, run `rounds` times by turns with its base. */
struct measure {
	const char *name;  /* stable key of the JSON, and what -m looks at */
	const char *title; /* with what it is divided by */
	const char *const *argv; /* NULL-terminated; argv[0] without '/' is a program of the bench */
	const char *const *bare; /* for BASE_BARE */
	enum base_kind base;
	enum value_kind value;
	int rounds;
	double limit; /* the median must not be above it; 0: for information */
	const char *const *options; /* for BASE_OPTIONS; NULL-terminated */
	/*
	 * NULL, or the same commands with less to do, run beside each: both sides' figures are then by what
	 * factor the large is slower than the small one.
	 */
	const char *const *small, *const *bare_small;
};

/* The figure itself is the result: there is nothing to divide it by. */
static inline bool measure_is_alone(const struct measure *m)
{
	return m->base == BASE_NONE || m->base == BASE_MODEL;
}

extern const struct measure measures[];
extern const size_t nr_measures;

#define MAX_ROUNDS 64

struct spread {
	double min, median, max;
};

enum verdict {
	VERDICT_OK,
	VERDICT_MISSED,
	VERDICT_INFO,   /* no limit, or a quick run, which judges nothing */
	VERDICT_FAILED, /* no number could be got */
};

struct result {
	const struct measure *m;
	int nr; /* rounds that count */
	double base[MAX_ROUNDS], mine[MAX_ROUNDS];
	struct spread base_spread, mine_spread;
	struct spread ratio; /* of each pair; of the figure where nothing is divided by */
	enum verdict verdict;
	char why[160]; /* VERDICT_FAILED: the reason */
};

/* What the user asked for. */
struct bench_options {
	const char *upager;  /* path of the program */
	const char *dir;     /* where the bench programs are */
	const char *output;  /* JSON file; NULL: none */
	const char *only;    /* only measures whose name contains it; NULL: all */
	bool quick;
};

/*
 * Run argv once, with a time limit, standard input empty.
 * `wall`: *value is the elapsed ns of the process, else its output as a number.
 * Returns 0; RUN_SKIP when the program said (status 77) that this machine does not allow it; or -1
 * with the reason in why[len].  Whatever was started is gone on return.
 */
#define RUN_SKIP 77
int run_program(const char *const *argv, bool wall, double *value, char *why, size_t len);

void report_head(void);
void report_row(const struct result *r);
/* The JSON value of a result; owned by the caller. */
json_t *report_json(const struct result *r);

#endif /* BENCH_DRIVER_H */
