/* SPDX-License-Identifier: MIT */
/*
 * measures_cow.c - what the COW policies cost and save (--cow), each beside native: shells that start programs, and a
 * process that saves its memory by fork while it goes on writing.  For information, all of them.
 */
#include "driver.h"

#define COW(policy, what, title, ...)                                                       \
	{ "cow-" what "-" policy, title ", --cow " policy " / native", ARGV(__VA_ARGS__), \
	  .base = BASE_NATIVE, .rounds = 5, .mine = ARGV("--cow", policy) }

#define POLICIES(...) COW("lazy", __VA_ARGS__), COW("around:16", __VA_ARGS__), COW("eager", __VA_ARGS__)

/* Each turn is a fork of the shell, and one of that, which executes a program. */
#define SHELLS                                                                              \
	"n=100; [ -z \"$BENCH_QUICK\" ] || n=6; start=${EPOCHREALTIME/./};"                     \
	"for ((i = 0; i < n; i++)); do (x=$i; /bin/true; y=$x); done;"                          \
	"echo $(((${EPOCHREALTIME/./} - start) * 1000 / n))"

static const struct measure rows[] = {
	POLICIES("forkexec", "fork + exec of /bin/true", "forkexec", "fork"),
	POLICIES("shells", "a shell in a shell starts /bin/true", "/bin/bash", "-c", SHELLS),
	POLICIES("write", "a write while a forked child saves 256 MiB", "bgsave", "write"),
	POLICIES("save", "the save: fork to the child's end, a page", "bgsave", "save"),
	POLICIES("after", "a write after the child has saved", "bgsave", "after"),
};

const struct measures cow_measures = { rows, ARRAY_SIZE(rows) };
