/* SPDX-License-Identifier: MIT */
/*
 * limits.c - the memory that this machine could promise, for --overcommit without --commit-limit.
 * Linux counterpart: vm_commit_limit, and totalram_pages() + total_swap_pages in __vm_enough_memory.
 */
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "sup.h"

/* A line of /proc/meminfo in bytes; 0: it has none. */
static u64 meminfo(const char *key)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;
	char name[64];
	bool found = false;

	while (f && !found && fscanf(f, "%63[^:]: %lu%*[^\n]\n", name, &kib) == 2)
		found = !strcmp(name, key);
	if (f)
		fclose(f);
	return found ? (u64)kib << 10 : 0;
}

u64 commit_limit(const struct run_options *opt)
{
	if (opt->commit_limit)
		return opt->commit_limit;
	if (opt->overcommit == MM_OVERCOMMIT_NEVER)
		return meminfo("CommitLimit");
	return meminfo("MemTotal") + meminfo("SwapTotal");
}
