/* SPDX-License-Identifier: MIT */
/*
 * measures_memory.c - the measures of a run with less memory than it asks for, one row each: upager with
 * --memory, the kernel with a memory cgroup of the same budget and its own swap.
 */
#include "driver.h"

#define ACCESS(pattern, base_name, base, percent, max)                                              \
	{ base_name "-" #percent "-" pattern,                                                      \
	  pattern " access to 256 MiB in " #percent " % / kernel " base_name,                      \
	  ARGV("access", pattern), NULL, base, VALUE_NS, 5, max,                                   \
	  .budget_percent = percent, .need_mib = 256 }

#define PROGRAM(name, base_name, base, percent, rounds)                                             \
	{ base_name "-" #percent "-" name, name " in " #percent " % / kernel " base_name,           \
	  ARGV("workload.sh", name, BENCH_DIR), NULL, base, VALUE_WALL_NS, rounds, 0,               \
	  .budget_percent = percent }

#define MEAN(name, what, max, ...)                                                                  \
	{ name, "geometric mean: " what, .base = BASE_MEAN, .limit = max, .members = ARGV(__VA_ARGS__) }

/* What docs/BUDGET.md is made of, by budget.sh. */
#define AGAINST_BUDGET(name)                                                                        \
	PROGRAM(name, "budget", BASE_ZRAM, 100, 1), PROGRAM(name, "budget", BASE_ZRAM, 75, 1),      \
	PROGRAM(name, "budget", BASE_ZRAM, 50, 1), PROGRAM(name, "budget", BASE_ZRAM, 25, 1),       \
	PROGRAM(name, "budget", BASE_ZRAM, 12, 1)

static const struct measure rows[] = {
	ACCESS("cyclic", "zram", BASE_ZRAM, 50, 0.5),
	ACCESS("stride", "zram", BASE_ZRAM, 50, 0.6),
	ACCESS("zipf", "zram", BASE_ZRAM, 50, 1.0),
	ACCESS("uniform", "zram", BASE_ZRAM, 50, 1.2),
	PROGRAM("sort", "zram", BASE_ZRAM, 50, 3),
	PROGRAM("python", "zram", BASE_ZRAM, 50, 3),
	PROGRAM("sqlite", "zram", BASE_ZRAM, 50, 3),
	MEAN("zram-50-programs", "the three programs in 50 %", 1.0,
	     "zram-50-sort", "zram-50-python", "zram-50-sqlite"),

	ACCESS("cyclic", "zram", BASE_ZRAM, 25, 0),
	ACCESS("stride", "zram", BASE_ZRAM, 25, 0),
	ACCESS("zipf", "zram", BASE_ZRAM, 25, 0),
	ACCESS("uniform", "zram", BASE_ZRAM, 25, 0),
	PROGRAM("sort", "zram", BASE_ZRAM, 25, 3),
	PROGRAM("python", "zram", BASE_ZRAM, 25, 3),
	PROGRAM("sqlite", "zram", BASE_ZRAM, 25, 3),
	MEAN("zram-25-programs", "the three programs in 25 %", 0,
	     "zram-25-sort", "zram-25-python", "zram-25-sqlite"),
	MEAN("zram-25-all", "the four patterns and the programs in 25 %", 1.0, "zram-25-cyclic",
	     "zram-25-stride", "zram-25-zipf", "zram-25-uniform", "zram-25-programs"),

	ACCESS("cyclic", "file", BASE_FILE, 50, 0),
	ACCESS("stride", "file", BASE_FILE, 50, 0),
	ACCESS("zipf", "file", BASE_FILE, 50, 0),
	ACCESS("uniform", "file", BASE_FILE, 50, 0),
};

const struct measures memory_measures = { rows, ARRAY_SIZE(rows) };

static const struct measure budget_rows[] = {
	AGAINST_BUDGET("sort"),
	AGAINST_BUDGET("python"),
	AGAINST_BUDGET("sqlite"),
	AGAINST_BUDGET("gcc"),
};

const struct measures budget_measures = { budget_rows, ARRAY_SIZE(budget_rows) };
