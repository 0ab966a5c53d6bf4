/* SPDX-License-Identifier: MIT */
/* options.h - what the user asked of `upager run`. */
#ifndef UPAGER_OPTIONS_H
#define UPAGER_OPTIONS_H

#include "base/base.h"
#include "base/check.h"
#include "mm/mm_api.h"

enum stat_format {
	STAT_NONE,
	STAT_TEXT,
	STAT_JSON,
};

#define PREFETCH_DEFAULT_PAGES 64
#define PREFETCH_MAX_PAGES     512

struct run_options {
	char **argv;          /* PROG and its arguments, NULL-terminated */
	char *path;           /* PROG as found; owned */
	enum check_level check;
	enum stat_format stat;
	const char *output;   /* file for the summary; NULL: stderr */
	const char *dump_mm;  /* file for each mm at its end; "-": stderr; NULL: none */
	u32 prefetch_pages;   /* fault-around for sequential first touches; 1: off */
	enum mm_layout_mode layout;
	enum overcommit_mode overcommit;
	u64 commit_limit;     /* bytes; 0: what the machine has (pager/limits.c) */
	bool hold;            /* placement may hold a thread on our CPU */
};

/* A size such as 64M, 1.5 refused: digits and one of K M G T or nothing.  Returns 0 or -EINVAL. */
int must_check parse_size(const char *text, u64 *bytes);

#endif /* UPAGER_OPTIONS_H */
