/* SPDX-License-Identifier: MIT */
/* prefetch_common.c - see prefetch_common.h: cutting, and the table of streams. */
#include "policy/prefetch_common.h"

#include "base/check.h"
#include "policy/param.h"

void *stream_limits_init(const struct policy_param *params, u32 nr_params, char *err, size_t len)
{
	struct stream_limits *limits = policy_zalloc(sizeof(*limits), err, len);

	if (!limits)
		return NULL;
	*limits = (struct stream_limits){ .min = 4, .max = 64 };
	const struct policy_value values[] = {
		{ "min", POLICY_NUMBER, &limits->min, 1, STREAM_MAX },
		{ "max", POLICY_NUMBER, &limits->max, 1, STREAM_MAX },
	};
	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len)) {
		stream_limits_fini(limits);
		return NULL;
	}
	/* The user who says only max=2 means it. */
	limits->min = u64_min(limits->min, limits->max);
	return limits;
}

void stream_limits_fini(void *limits)
{
	policy_free(limits, sizeof(struct stream_limits));
}

void prefetch_ignore(void *prefetch, void *mm, u64 vpn)
{
}

bool prefetch_run_has(const struct prefetch_run *run, u64 vpn)
{
	s64 distance = (s64)(vpn - run->vpn);

	return run->nr && !(distance % run->stride) && distance / run->stride >= 0 &&
	       distance / run->stride < run->nr;
}

u32 prefetch_fit(const struct prefetch_fault *fault, u64 from, s64 stride, u32 nr)
{
	u64 room = stride > 0 ? (fault->vma_end - 1 - from) / (u64)stride :
				(from - fault->vma_start) / -(u64)stride;

	return (u32)u64_min(u64_min(room, nr), fault->max);
}

/*
 * The number of strides from the stream's last fault to vpn, or 0 when vpn is not one that it
 * expects: one of the last window, the next, or as many again beyond as the window is large
 * (they may be resident).
 */
static u64 stream_steps(const struct stream *s, u64 vpn)
{
	u64 step = s->stride > 0 ? (u64)s->stride : -(u64)s->stride;
	u64 ahead = s->stride > 0 ? vpn - s->from : s->from - vpn;
	u64 reach = (u64)s->nr + 1 + s->window;

	/* Behind wraps to far ahead; most are told apart without a division. */
	if (!step || !ahead || ahead > reach * step || ahead % step)
		return 0;
	return ahead / step;
}

/* The stream whose expected page lies nearest before or at vpn. */
static struct stream *stream_find(struct stream_table *table, u64 vpn)
{
	struct stream *best = NULL;
	u64 best_off = UINT64_MAX;

	for (u32 i = 0; i < NR_STREAMS; i++) {
		struct stream *s = &table->stream[i];
		u64 steps = stream_steps(s, vpn), next = (u64)s->nr + 1;
		u64 off = steps > next ? steps - next : next - steps;

		if (steps && off < best_off) {
			best = s;
			best_off = off;
		}
	}
	return best;
}

/* The window that the stream has now is asked for from the fault on. */
static void stream_issue(struct stream_table *table, const struct stream_limits *limits,
			 struct stream *s, const struct prefetch_fault *fault,
			 struct prefetch_run *run)
{
	if (fault->seq)
		s->window = (u32)limits->max;
	s->from = fault->vpn;
	s->nr = prefetch_fit(fault, fault->vpn, s->stride, s->window);
	s->wasted = 0;
	s->used = ++table->clock;
	*run = (struct prefetch_run){ fault->vpn + (u64)s->stride, s->stride, s->nr };
}

struct stream *stream_advance(struct stream_table *table, const struct stream_limits *limits,
			      const struct prefetch_fault *fault, struct prefetch_run *run)
{
	struct stream *s = stream_find(table, fault->vpn);
	u64 steps;

	table->proven.nr = 0;
	if (!s)
		return NULL;
	steps = stream_steps(s, fault->vpn);
	table->proven = (struct prefetch_run){ s->from + (u64)s->stride, s->stride,
					       (u32)u64_min(steps - 1, s->nr) };
	if (steps > s->nr && steps - s->nr - 1 <= s->window / 4 + 1) {
		/* A window that was cut short proves nothing about a larger one. */
		if (s->nr == s->window)
			s->window = (u32)u64_min(2 * s->window, limits->max);
	} else if (fault->soft && steps <= s->nr) {
		/* It was in staging, so it could not be brought: nothing was lost. */
		*run = (struct prefetch_run){ 0 };
		return s;
	} else {
		s->window = (u32)u64_max(s->window / 2, limits->min);
	}
	stream_issue(table, limits, s, fault, run);
	return s;
}

void stream_begin(struct stream_table *table, const struct stream_limits *limits,
		  const struct prefetch_fault *fault, s64 stride, struct prefetch_run *run)
{
	struct stream *s = &table->stream[0];

	BUG_ON(!stride);
	/* A free entry was never used, or is older than any other. */
	for (u32 i = 1; i < NR_STREAMS; i++)
		if (table->stream[i].used < s->used)
			s = &table->stream[i];
	*s = (struct stream){ .stride = stride, .window = (u32)limits->min };
	stream_issue(table, limits, s, fault, run);
}

void stream_waste(struct stream_table *table, const struct stream_limits *limits, u64 vpn)
{
	for (u32 i = 0; i < NR_STREAMS; i++) {
		struct stream *s = &table->stream[i];
		u64 steps = stream_steps(s, vpn);

		if (!steps || steps > s->nr || ++s->wasted * 2 <= s->nr)
			continue;
		if (s->window <= limits->min) {
			*s = (struct stream){ 0 };
		} else {
			s->window = (u32)u64_max(s->window / 2, limits->min);
			s->wasted = 0;
		}
	}
}
