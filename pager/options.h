/* SPDX-License-Identifier: MIT */
/* options.h - what the user asked of `upager run`, and how the words of it are read (options.c). */
#ifndef UPAGER_OPTIONS_H
#define UPAGER_OPTIONS_H

#include "base/base.h"
#include "base/check.h"
#include "mm/mm_api.h"
#include "swap/store.h"

enum stat_format {
	STAT_NONE,
	STAT_TEXT,
	STAT_JSON,
};

/* When a page that processes share after a fork is separated (--cow). */
enum cow_mode {
	COW_LAZY,   /* at the first write, that page alone */
	COW_AROUND, /* at the first write, which frees its unshared neighbours too */
	COW_EAGER,  /* at the fork */
};

#define FAULT_AROUND_DEFAULT_PAGES 64
#define FAULT_AROUND_MAX_PAGES     512
#define MEMORY_MIN_PAGES           16 /* what one instruction can need, and our own steps */
#define POLICY_DEFAULT             "s3fifo"
#define PREFETCH_DEFAULT           "stride"

/* Where evicted pages go (--swap, --swap-pool). */
struct swap_options {
	bool pool;           /* a compressed pool; with a file too: it spills to the file */
	enum swap_algo algo; /* of the pool */
	u64 pool_size;       /* bytes; 0: not said */
	const char *file;    /* path; NULL: none.  Points into text */
	u64 file_size;       /* bytes; 0: not said */
	bool checksum;       /* verify what is read back from the file */
	bool given;          /* by --swap: not the default */
	char *text;          /* owned */
};

struct run_options {
	char **argv;          /* PROG and its arguments, NULL-terminated */
	char *path;           /* PROG as found; owned */
	enum check_level check;
	enum stat_format stat;
	const char *output;   /* file for the summary; NULL: stderr */
	const char *dump_mm;  /* file for each mm at its end; "-": stderr; NULL: none */
	u64 memory;           /* the budget in bytes, of the whole tree; 0: none */
	struct swap_options swap;
	const char *policy;   /* "NAME[:k=v,…]" or a plug-in's "./FILE[:args]"; checked */
	const char *prefetch; /* "NAME[:k=v,…]"; checked */
	bool prefetch_yields; /* prefetch is the default: a plug-in's own goes first */
	u32 fault_around_pages; /* for sequential first touches; 1: off */
	enum cow_mode cow;
	u32 cow_around;       /* for COW_AROUND: pages of the block that is looked at */
	enum mm_layout_mode layout;
	enum overcommit_mode overcommit;
	u64 commit_limit;     /* bytes; 0: what the machine has (pager/limits.c) */
	bool hold;            /* placement may hold a thread on our CPU */
};

/*
 * The readers of one option's argument each.  They return 0, or -EINVAL with why in err[0..len):
 * one line that names the argument and says what would be right.
 */

/* A size such as 64M; 1.5 refused: digits and one of K M G T or nothing.  No message of its own. */
int must_check parse_size(const char *text, u64 *bytes);
/* A budget: a size of MEMORY_MIN_PAGES at least.  Rounded down to pages. */
int must_check parse_memory(const char *arg, u64 *bytes, char *err, size_t len);
/* One --swap: adds to what earlier ones said; the first takes the default back. */
int must_check parse_swap(const char *arg, struct swap_options *swap, char *err, size_t len);
/* lazy, around:N or eager. */
int must_check parse_cow(const char *arg, struct run_options *opt, char *err, size_t len);
/* off, or a number of pages. */
int must_check parse_fault_around(const char *arg, u32 *pages, char *err, size_t len);

/*
 * Would this policy (or plug-in) start with `capacity` pages?  Makes an instance and drops it.
 * Returns 0, or -EINVAL with why.
 */
int must_check check_policy(const char *arg, u64 capacity, char *err, size_t len);
/* The same of a prefetcher. */
int must_check check_prefetch(const char *arg, char *err, size_t len);

#endif /* UPAGER_OPTIONS_H */
