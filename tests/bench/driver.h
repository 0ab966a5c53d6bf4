/* SPDX-License-Identifier: MIT */
/*
 * driver.h - what the parts of the bench driver share: driver.c takes the measures that measures.c,
 * measures_cow.c and measures_memory.c list, command.c says what is run for each, runner.c runs one program once,
 * report.c prints and writes what came out.
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
	BASE_ZRAM,    /* the same command in a cgroup of the budget, the kernel swapping to zram with lz4 */
	BASE_FILE,    /* the same, the kernel swapping to a file; upager's --swap is a file beside it */
	BASE_NONE,    /* the figure itself is the result */
	BASE_MODEL,   /* as BASE_NONE, but the program links the model and runs without upager */
	BASE_MEAN,    /* no run of its own: the geometric mean of the ratios of measure.members */
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
	const char *const *mine; /* options of `upager run` on our own side; NULL: none */
	/*
	 * NULL, or the same commands with less to do, run beside each: both sides' figures are then by what
	 * factor the large is slower than the small one.
	 */
	const char *const *small, *const *bare_small;
	/*
	 * For BASE_ZRAM and BASE_FILE: the budget in percent of what the command needs, and that in MiB; 0: as
	 * much as it is seen to have resident at its peak, natively.  upager gets it by --memory.
	 */
	u32 budget_percent, need_mib;
	const char *const *members; /* for BASE_MEAN: names of measures above it; NULL-terminated */
};

/* The figure itself is the result: there is nothing to divide it by. */
static inline bool measure_is_alone(const struct measure *m)
{
	return m->base == BASE_NONE || m->base == BASE_MODEL;
}

/* Held against the kernel's own swap. */
static inline bool measure_has_budget(const struct measure *m)
{
	return m->base == BASE_ZRAM || m->base == BASE_FILE;
}

#define BENCH_DIR "@DIR" /* as an argument: the folder of the bench programs */
#define ARGV(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Those of one table. */
struct measures {
	const struct measure *m;
	size_t nr;
};
extern const struct measures plain_measures, memory_measures, cow_measures;
extern const struct measures budget_measures; /* only taken when asked for by -m budget */

#define MAX_ROUNDS 64

struct spread {
	double min, median, max;
};

enum verdict {
	VERDICT_OK,
	VERDICT_MISSED,
	VERDICT_INFO,	 /* no limit, or a quick run, which judges nothing */
	VERDICT_SKIPPED, /* this machine does not allow it */
	VERDICT_FAILED,	 /* no number could be got */
};

struct result {
	const struct measure *m;
	int nr; /* rounds that count */
	double base[MAX_ROUNDS], mine[MAX_ROUNDS];
	struct spread base_spread, mine_spread;
	struct spread ratio; /* of each pair; of the figure where nothing is divided by */
	enum verdict verdict;
	u64 need_bytes; /* of a measure that has a budget */
	double native_ns; /* one native run of it, where need_bytes was measured */
	char why[160];	/* VERDICT_SKIPPED and VERDICT_FAILED: the reason */
};

/* What the user asked for. */
struct bench_options {
	const char *upager;  /* path of the program */
	const char *dir;     /* where the bench programs are */
	const char *output;  /* JSON file; NULL: none */
	const char *only;    /* only measures whose name contains it; NULL: all */
	bool quick;
};

/* What came of one run of a program. */
struct outcome {
	double value;	/* the elapsed ns of the process, or its output as a number */
	u64 peak_bytes; /* the most that it, or a process that it waited for, had resident */
	char why[96];	/* why there is no value */
};

/*
 * Run argv once, with a time limit, standard input empty.
 * `wall`: the value is its elapsed time.
 * Returns 0; RUN_SKIP when the program said (status 77) that this machine does not allow it, with what it
 * printed as the reason; or -1 with a reason.  Whatever was started is gone on return.
 */
#define RUN_SKIP 77
int run_program(const char *const *argv, bool wall, struct outcome *out);

#define MAX_ARGS 32

/* A command line made of the words of several; they stay their owners'. */
struct command {
	const char *argv[MAX_ARGS];
	char path[4096], kswap[4096], area[4096], bytes[32]; /* words of our own */
};

/* The commands of one side of a measure. */
struct side {
	const char *name;
	struct command large, small;
	bool grows; /* the figure is large / small */
	bool wall;  /* the driver takes the time */
};

/* How `m` is run natively, to see what it needs. */
void command_native(struct command *c, const struct bench_options *opt, const struct measure *m);
/* The two sides; need_bytes: of a measure that has a budget. */
void side_build_base(struct side *s, const struct bench_options *opt, const struct measure *m,
		     u64 need_bytes);
void side_build_mine(struct side *s, const struct bench_options *opt, const struct measure *m,
		     u64 need_bytes);

void report_head(void);
void report_row(const struct result *r);
/* The JSON value of a result; owned by the caller. */
json_t *report_json(const struct result *r);

#endif /* BENCH_DRIVER_H */
