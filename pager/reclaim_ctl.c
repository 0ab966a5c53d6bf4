/* SPDX-License-Identifier: MIT */
/* reclaim_ctl.c - the reclaimer's start, end and settings: what `upager run` and `upager ctl` say and see. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "front.h"
#include "reclaimer.h"
#include "sup.h"
#include "sys/uapi.h"

/*
 * Room that is kept free is memory that the program does not have, so there is little of it: what it takes while
 * pages are on their way out.  Windows of a prefetcher take more at once: room for some of those is added.
 */
void reclaim_set_marks(struct reclaimer *r)
{
	u64 windows = u64_min(r->ahead / 16, u64_min(r->budget / 64, 4096));
	u64 batch = u64_max(2, u64_min(r->budget / 32, 8)); /* fewer are not worth the stub's way */

	r->low = u64_max(batch, u64_min(r->budget / 256, 128)) + windows;
	r->high = 2 * r->low;
	r->staged_target = u64_min(r->budget / 256, 128) + windows;
}

int reclaim_set_memory(struct sup *sup, u64 bytes, char *err, size_t len)
{
	struct reclaimer *r = sup->reclaim;

	if (!r) {
		snprintf(err, len, "this run has no budget (upager run --memory)");
		return -ENOTSUP;
	}
	r->budget = bytes >> PAGE_SHIFT;
	reclaim_set_marks(r);
	mm_set_budget(sup->world, r->budget);
	r->freed = true; /* there may be more */
	return 0;
}

/* What a plug-in may know of a page. */
static void describe_page(void *arg, const struct reclaim_node *node, struct plugin_page *out)
{
	struct sup *sup = arg;
	struct mm_page_info info;

	mm_page_info(sup->world, node, &info);
	*out = (struct plugin_page){
		.mm = info.mm && mm_host(info.mm) ? ((struct space *)mm_host(info.mm))->id : 0,
		.address = info.addr,
		.vm_flags = info.vm_flags,
		.dirty = true, /* nobody knows before it goes */
	};
}

int reclaim_set_policy(struct sup *sup, const char *spec, char *err, size_t len)
{
	struct reclaimer *r = sup->reclaim;
	const struct reclaim_ops *ops;
	struct space *space;
	void *policy;

	if (!r) {
		snprintf(err, len, "this run has no budget (upager run --memory)");
		return -ENOTSUP;
	}
	if (policy_open(spec, r->budget, &r->policy_host, &ops, &policy, err, len))
		return -EINVAL;
	if (ops->mm_created)
		list_for_each_entry(space, &sup->spaces, link)
			ops->mm_created(policy, space->id, space->name);
	mm_set_policy(sup->world, ops, policy);
	snprintf(r->policy_spec, sizeof(r->policy_spec), "%s", spec);
	return 0;
}

int reclaim_init(struct sup *sup, char *err, size_t len)
{
	struct reclaimer *r;

	if (!sup->opt->memory)
		return 0;
	r = calloc(1, sizeof(*r));
	BUG_ON(!r);
	sup->reclaim = r;
	list_init(&r->puts);
	list_init(&r->zaps);
	list_init(&r->zaps_new);
	list_init(&r->reads);
	r->can_move = sup->uffd_features & UFFD_FEATURE_MOVE;
	sup->stub_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sup->stub_fd < 0) {
		snprintf(err, len, "an eventfd: %s", strerror(errno));
		return -errno;
	}
	for (int i = 0; i < NR_JOBS; i++) {
		struct pack_job *job = calloc(1, sizeof(*job));

		BUG_ON(!job);
		job_put(r, job);
	}
	r->budget = sup->opt->memory >> PAGE_SHIFT;
	r->policy_host = (struct policy_host){
		.page = describe_page,
		.arg = sup,
		.now_ns = now_ns,
		.watch = &sup->shared->plugin,
	};
	if (swap_init(sup, err, len) || prefetch_init(sup, err, len) ||
	    reclaim_set_policy(sup, sup->opt->policy, err, len))
		return -EINVAL;
	reclaim_set_marks(r);
	mm_set_budget(sup->world, r->budget);
	ring_poll(&sup->ring, sup->stub_fd, TAG_STUBS);
	ring_poll(&sup->ring, packer_fd(r->packer), TAG_PACKER);
	return 0;
}

void reclaim_fini(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;

	if (!r)
		return;
	mm_set_budget(sup->world, 0);
	mm_set_policy(sup->world, NULL, NULL);
	prefetch_fini(sup);
	swap_fini(sup);
	while (r->nr_idle_jobs)
		free(r->jobs[--r->nr_idle_jobs]);
	close(sup->stub_fd);
	free(r);
	sup->reclaim = NULL;
}

bool reclaim_summary(const struct sup *sup, struct reclaim_summary *out)
{
	const struct reclaimer *r = sup->reclaim;
	struct swap_store_stats st;

	if (!r)
		return false;
	swap_store_stats(r->store, &st);
	*out = (struct reclaim_summary){
		.model = *mm_reclaim_stats(sup->world),
		.budget = r->budget,
		.staged_max = r->staged_max,
		.background = r->background,
		.direct = r->direct,
		.flushed = r->flushed,
		.out_pages = r->out_pages,
		.out_bytes = r->out_bytes,
		.soft_failed = r->soft_failed,
		.oom_kills = r->oom_kills,
		.write_errors = r->write_errors,
		.read_errors = st.read_errors + st.checksum_errors,
		.pool_bytes = st.pool_bytes,
		.pool_bytes_max = st.pool_bytes_max,
		.pool_pages = st.pool_pages,
		.packed_bytes = st.packed_bytes,
		.same_pages = st.same_pages,
		.file_pages = st.file_pages,
		.file_bytes_written = st.file_bytes_written,
		.file_bytes_read = st.file_bytes_read,
		.spilled = st.spilled,
	};
	policy_describe(mm_reclaim(sup->world)->ops, mm_reclaim(sup->world)->policy, r->policy_spec,
			out->policy, sizeof(out->policy));
	snprintf(out->prefetch, sizeof(out->prefetch), "%s", sup->opt->prefetch);
	return true;
}

void reclaim_show(struct sup *sup, FILE *out)
{
	const struct reclaimer *r = sup->reclaim;
	const struct reclaim_stats *st = mm_reclaim_stats(sup->world);
	struct mm_world_stats pages;
	struct swap_store_stats swap;
	char policy[512];

	mm_world_stats(sup->world, &pages);
	fprintf(out, "memory=%llu\nresident=%llu\n", r ? (unsigned long long)r->budget << PAGE_SHIFT : 0ULL,
		(unsigned long long)pages.resident << PAGE_SHIFT);
	if (!r)
		return;
	swap_store_stats(r->store, &swap);
	policy_describe(mm_reclaim(sup->world)->ops, mm_reclaim(sup->world)->policy, r->policy_spec, policy,
			sizeof(policy));
	fprintf(out, "policy=%s\nprefetch=%s\n", policy, sup->opt->prefetch);
	fprintf(out, "staged=%llu\nswapped=%llu\n", (unsigned long long)r->nr_staged << PAGE_SHIFT,
		(unsigned long long)(swap.pool_pages + swap.file_pages) << PAGE_SHIFT);
	fprintf(out, "pool=%llu\nfile=%llu\n", (unsigned long long)swap.pool_bytes,
		(unsigned long long)swap.file_pages << PAGE_SHIFT);
	fprintf(out, "evicted=%llu\nrescued=%llu\nrefaults=%llu\noom_kills=%llu\n",
		(unsigned long long)st->evicted, (unsigned long long)st->rescued,
		(unsigned long long)st->refaults, (unsigned long long)r->oom_kills);
}
