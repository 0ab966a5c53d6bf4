/* SPDX-License-Identifier: MIT */
/* registry.c - the built-in policies and prefetchers by name. */
#include <string.h>

#include "policy/policies.h"
#include "policy/prefetch_common.h"
#include "policy/reclaim_ops.h"

const struct reclaim_ops *const reclaim_policies[] = {
	&fifo_ops, &random_ops, &clock_ops, &lru2_ops, &twoq_ops, &arc_ops, &lirs_ops, &s3fifo_ops,
	&sieve_ops, &mru_ops, &sfifo_ops,
	NULL,
};
const struct prefetch_ops *const prefetchers[] = {
	&prefetch_none,
	&prefetch_cluster,
	&prefetch_readahead,
	&prefetch_stride,
	&prefetch_recorded,
	NULL,
};

const struct reclaim_ops *reclaim_policy_find(const char *name)
{
	for (size_t i = 0; reclaim_policies[i]; i++)
		if (!strcmp(reclaim_policies[i]->name, name))
			return reclaim_policies[i];
	return NULL;
}

const struct prefetch_ops *prefetcher_find(const char *name)
{
	for (size_t i = 0; prefetchers[i]; i++)
		if (!strcmp(prefetchers[i]->name, name))
			return prefetchers[i];
	return NULL;
}
