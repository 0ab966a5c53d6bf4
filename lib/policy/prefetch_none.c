/* SPDX-License-Identifier: MIT */
/*
 * prefetch_none.c - the prefetcher that brings nothing: what the others are measured against.
 *
 * Parameters: none.  Linux counterpart: vm.page-cluster = 0.
 */
#include "policy/param.h"
#include "policy/prefetch_common.h"

/* There is no state; what init() and mm_init() return must only not be NULL. */
static char nothing;

static void *none_init(const struct policy_param *params, u32 nr_params, char *err, size_t len)
{
	return policy_params_read(params, nr_params, NULL, 0, err, len) ? NULL : &nothing;
}

static void none_fini(void *prefetch)
{
}

static void *none_mm_init(void *prefetch, const char *name)
{
	return &nothing;
}

static void none_mm_fini(void *prefetch, void *mm)
{
}

static u32 none_fault(void *prefetch, void *mm, const struct prefetch_fault *fault,
		      struct prefetch_run *run)
{
	return 0;
}

const struct prefetch_ops prefetch_none = {
	.name = "none",
	.help = "",
	.init = none_init,
	.fini = none_fini,
	.mm_init = none_mm_init,
	.mm_fini = none_mm_fini,
	.fault = none_fault,
	.hit = prefetch_ignore,
	.waste = prefetch_ignore,
};
