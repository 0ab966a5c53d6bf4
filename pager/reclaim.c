/* SPDX-License-Identifier: MIT */
/* reclaim.c - see reclaim.h. */
#include "reclaim.h"

#include <errno.h>

#include "sup.h"

int reclaim_set_memory(struct sup *sup, u64 bytes, char *err, size_t len)
{
	snprintf(err, len, "this run has no budget (upager run --memory)");
	return -ENOTSUP;
}

int reclaim_set_policy(struct sup *sup, const char *spec, char *err, size_t len)
{
	snprintf(err, len, "this run has no budget (upager run --memory)");
	return -ENOTSUP;
}

void reclaim_show(struct sup *sup, FILE *out)
{
	struct mm_world_stats pages;

	mm_world_stats(sup->world, &pages);
	fprintf(out, "memory=%llu\nresident=%llu\n", (unsigned long long)sup->opt->memory,
		(unsigned long long)pages.resident << PAGE_SHIFT);
}
