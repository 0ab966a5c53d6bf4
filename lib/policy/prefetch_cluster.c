/* SPDX-License-Identifier: MIT */
/*
 * prefetch_cluster.c - bring the aligned cluster of pages that the faulting page lies in.
 *
 * Parameters: N, the pages of a cluster (8), as in cluster:16.
 * It learns nothing: right where neighbours are used together, waste where they are not.
 * madvise RANDOM brings nothing.
 * Linux counterpart: mm/swap_state.c swap_cluster_readahead() with vm.page-cluster = log2(N),
 * where pages are neighbours in the swap area; here they are neighbours in the address space,
 * as in swap_vma_readahead().
 */
#include "policy/param.h"
#include "policy/prefetch_common.h"

struct cluster {
	u64 pages;
};

static void *cluster_init(const struct policy_param *params, u32 nr_params, char *err, size_t len)
{
	struct cluster *cluster = policy_zalloc(sizeof(*cluster), err, len);

	if (!cluster)
		return NULL;
	cluster->pages = 8;
	const struct policy_value values[] = { { "", POLICY_NUMBER, &cluster->pages, 1, 4096 } };
	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len)) {
		policy_free(cluster, sizeof(*cluster));
		return NULL;
	}
	return cluster;
}

static void cluster_fini(void *prefetch)
{
	policy_free(prefetch, sizeof(struct cluster));
}

/* There is no state of an address space; the same for all of them must only not be NULL. */
static void *cluster_mm_init(void *prefetch, const char *name)
{
	return prefetch;
}

static void cluster_mm_fini(void *prefetch, void *mm)
{
}

/* When there is not room for all, those above the page come before those below. */
static u32 cluster_fault(void *prefetch, void *mm, const struct prefetch_fault *fault,
			 struct prefetch_run *run)
{
	const struct cluster *cluster = prefetch;
	u32 below = (u32)(fault->vpn % cluster->pages), nr = 0;
	u32 above = (u32)cluster->pages - 1 - below;

	if (fault->rand)
		return 0;
	above = prefetch_fit(fault, fault->vpn, 1, above);
	below = prefetch_fit(fault, fault->vpn, -1, below);
	below = (u32)u64_min(below, fault->max - above);
	if (above)
		run[nr++] = (struct prefetch_run){ fault->vpn + 1, 1, above };
	if (below)
		run[nr++] = (struct prefetch_run){ fault->vpn - below, 1, below };
	return nr;
}

const struct prefetch_ops prefetch_cluster = {
	.name = "cluster",
	.help = "N (8): pages of a cluster",
	.init = cluster_init,
	.fini = cluster_fini,
	.mm_init = cluster_mm_init,
	.mm_fini = cluster_mm_fini,
	.fault = cluster_fault,
	.hit = prefetch_ignore,
	.waste = prefetch_ignore,
};
