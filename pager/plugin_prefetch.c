/* SPDX-License-Identifier: MIT */
/*
 * plugin_prefetch.c - prefetchers by name, and the one that yields to a plug-in's prefetch() (see
 * plugin.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin_impl.h"

/*
 * A prefetcher that yields to a plug-in's prefetch(): the built-in one goes on beside it, and
 * answers while there is no such plug-in, or no more.
 */
struct yielding {
	const struct prefetch_ops *ops;
	void *prefetch;
};

struct yielding_mm {
	void *inner; /* NULL: none could be made */
	u32 mm;      /* as the first fault told; nothing can be hit or wasted before */
	bool asked_plugin; /* by the last fault() */
};

static void yielding_fini(void *prefetch)
{
	struct yielding *y = prefetch;

	y->ops->fini(y->prefetch);
	free(y);
}

static void *yielding_mm_init(void *prefetch, const char *name)
{
	struct yielding *y = prefetch;
	struct yielding_mm *m = calloc(1, sizeof(*m));

	if (m)
		m->inner = y->ops->mm_init(y->prefetch, name);
	return m;
}

static void yielding_mm_fini(void *prefetch, void *mm)
{
	struct yielding *y = prefetch;
	struct yielding_mm *m = mm;

	if (m->inner)
		y->ops->mm_fini(y->prefetch, m->inner);
	free(m);
}

static u32 ask_plugin(struct plugin *p, const struct prefetch_fault *fault,
		      struct prefetch_run *run)
{
	const struct upager_fault f = {
		.mm = fault->mm,
		.address = fault->vpn << PAGE_SHIFT,
		.vma_start = fault->vma_start << PAGE_SHIFT,
		.vma_end = fault->vma_end << PAGE_SHIFT,
		.vma_flags = (fault->write ? UPAGER_VM_WRITE : 0) |
			     (fault->seq ? UPAGER_VM_SEQ_READ : 0) |
			     (fault->rand ? UPAGER_VM_RAND_READ : 0),
		.soft = fault->soft,
		.max_pages = fault->max,
	};
	struct upager_run answer[UPAGER_MAX_RUNS] = { 0 };
	u32 n, left = fault->max, out = 0;

	plugin_enter(p, "prefetch");
	n = p->ops.prefetch(p->self, &f, answer);
	plugin_leave(p);
	if (n > UPAGER_MAX_RUNS)
		plugin_blame(p, "prefetch() gave %u runs", n);
	for (u32 i = 0; i < n && i < UPAGER_MAX_RUNS; i++)
		if (!answer[i].stride && answer[i].nr)
			plugin_blame(p, "prefetch() gave a run of stride 0");
	plugin_settle(p);
	for (u32 i = 0; !p->failed && i < n && left; i++) {
		u32 nr = answer[i].nr < left ? answer[i].nr : left;

		if (nr)
			run[out++] = (struct prefetch_run){ answer[i].address >> PAGE_SHIFT,
							    answer[i].stride, nr };
		left -= nr;
	}
	return out;
}

static u32 yielding_fault(void *prefetch, void *mm, const struct prefetch_fault *fault,
			  struct prefetch_run *run)
{
	struct yielding *y = prefetch;
	struct yielding_mm *m = mm;

	m->mm = fault->mm;
	m->asked_plugin = plugin_prefetching;
	if (plugin_prefetching)
		return ask_plugin(plugin_prefetching, fault, run);
	return m->inner ? y->ops->fault(y->prefetch, m->inner, fault, run) : 0;
}

static void tell_prefetched(struct yielding_mm *m, u64 vpn, bool used)
{
	struct plugin *p = plugin_prefetching;

	if (!p->ops.prefetched)
		return;
	plugin_enter(p, "prefetched");
	p->ops.prefetched(p->self, m->mm, vpn << PAGE_SHIFT, used);
	plugin_leave(p);
	plugin_settle(p);
}

static void yielding_hit(void *prefetch, void *mm, u64 vpn)
{
	struct yielding *y = prefetch;
	struct yielding_mm *m = mm;

	if (plugin_prefetching)
		tell_prefetched(m, vpn, true);
	else if (m->inner)
		y->ops->hit(y->prefetch, m->inner, vpn);
}

static void yielding_waste(void *prefetch, void *mm, u64 vpn)
{
	struct yielding *y = prefetch;
	struct yielding_mm *m = mm;

	if (plugin_prefetching)
		tell_prefetched(m, vpn, false);
	else if (m->inner)
		y->ops->waste(y->prefetch, m->inner, vpn);
}

static u32 yielding_proven(void *prefetch, void *mm, struct prefetch_run *run)
{
	struct yielding *y = prefetch;
	struct yielding_mm *m = mm;

	if (m->asked_plugin || !m->inner || !y->ops->proven)
		return 0;
	return y->ops->proven(y->prefetch, m->inner, run);
}

static const struct prefetch_ops yielding_ops = {
	.name = "default",
	.help = "",
	.fini = yielding_fini,
	.mm_init = yielding_mm_init,
	.mm_fini = yielding_mm_fini,
	.fault = yielding_fault,
	.hit = yielding_hit,
	.waste = yielding_waste,
	.proven = yielding_proven,
};

static int unknown_prefetcher(const char *name, char *err, size_t len)
{
	size_t n = (size_t)snprintf(err, len, "no prefetcher '%s': there are", name);

	for (size_t i = 0; prefetchers[i] && n < len; i++)
		n += (size_t)snprintf(err + n, len - n, " %s", prefetchers[i]->name);
	return -EINVAL;
}

int prefetch_open(const char *spec, bool yields, const struct prefetch_ops **ops, void **prefetch,
		  char *err, size_t len)
{
	struct policy_spec parsed;
	struct yielding *y;
	int ret = policy_spec_parse(&parsed, spec, err, len);

	if (ret)
		return ret;
	*ops = prefetcher_find(parsed.name);
	if (!*ops)
		return unknown_prefetcher(parsed.name, err, len);
	*prefetch = (*ops)->init(parsed.params, parsed.nr_params, err, len);
	if (!*prefetch)
		return -EINVAL;
	if (!yields)
		return 0;
	y = malloc(sizeof(*y));
	if (!y) {
		(*ops)->fini(*prefetch);
		snprintf(err, len, "out of memory");
		return -EINVAL;
	}
	*y = (struct yielding){ *ops, *prefetch };
	*ops = &yielding_ops;
	*prefetch = y;
	return 0;
}
