/* SPDX-License-Identifier: MIT */
/*
 * trace.h - traces made by hand: faults, and the runs that each is to be answered with.
 *
 * Pages of a trace count from 0, the start of the vma.  A run is written {first, stride, nr}.
 */
#ifndef PREFETCH_TRACE_H
#define PREFETCH_TRACE_H

#include "../unit/unit.h"
#include "policy/prefetch_ops.h"

#define TRACE_START 0x55501UL /* the vma's first page */
#define TRACE_PAGES 100003UL

struct trace {
	const struct prefetch_ops *ops;
	void *prefetch, *mm;
	struct prefetch_fault fault; /* of the next step; vpn is filled in */
};

struct trace_step {
	u64 page;
	struct prefetch_run run[PREFETCH_MAX_RUNS]; /* nr == 0 ends them */
};

/*
 * --prefetch `arg` for one address space of `program`, a vma of TRACE_PAGES and room for 1000
 * pages.
 */
static inline struct trace trace_begin(const char *arg, const char *program)
{
	struct trace t = { .fault = { .vma_start = TRACE_START,
				      .vma_end = TRACE_START + TRACE_PAGES,
				      .max = 1000 } };
	struct policy_spec spec;
	char err[200] = "";

	if (policy_spec_parse(&spec, arg, err, sizeof(err)))
		fail_msg("%s", err);
	t.ops = prefetcher_find(spec.name);
	assert_non_null(t.ops);
	t.prefetch = t.ops->init(spec.params, spec.nr_params, err, sizeof(err));
	if (!t.prefetch)
		fail_msg("%s", err);
	t.mm = t.ops->mm_init(t.prefetch, program);
	assert_non_null(t.mm);
	return t;
}

static inline void trace_end(struct trace *t)
{
	t->ops->mm_fini(t->prefetch, t->mm);
	t->ops->fini(t->prefetch);
}

/* One fault, answered with just these runs. */
static inline void trace_step(struct trace *t, const struct trace_step *step)
{
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	u32 nr, expected = 0;

	t->fault.vpn = t->fault.vma_start + step->page;
	nr = t->ops->fault(t->prefetch, t->mm, &t->fault, run);
	while (expected < PREFETCH_MAX_RUNS && step->run[expected].nr)
		expected++;
	if (nr != expected)
		fail_msg("page %lu: %u runs, expected %u", step->page, nr, expected);
	for (u32 i = 0; i < nr; i++) {
		const struct prefetch_run *e = &step->run[i];
		s64 first = (s64)(run[i].vpn - t->fault.vma_start);

		if (first != (s64)e->vpn || run[i].stride != e->stride || run[i].nr != e->nr)
			fail_msg("page %lu, run %u: {%ld, %ld, %u}, expected {%ld, %ld, %u}", step->page, i,
				 first, run[i].stride, run[i].nr, (s64)e->vpn, e->stride, e->nr);
	}
}

static inline void trace_steps(struct trace *t, const struct trace_step *steps, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		trace_step(t, &steps[i]);
}

#define TRACE(t, ...)                                                             \
	trace_steps(t, (const struct trace_step[]){ __VA_ARGS__ },                \
		    ARRAY_SIZE(((const struct trace_step[]){ __VA_ARGS__ })))

/* The same trace from the beginning under another prefetcher. */
#define TRACE_WHOLE(arg, ...)                                                     \
	do {                                                                      \
		struct trace whole_ = trace_begin(arg, "trace");                  \
		TRACE(&whole_, __VA_ARGS__);                                      \
		trace_end(&whole_);                                               \
	} while (0)

#endif /* PREFETCH_TRACE_H */
