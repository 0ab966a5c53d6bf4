/* SPDX-License-Identifier: MIT */
/*
 * audit_counters.c - I14's second half: what mm_struct counts equals /proc/PID/{status,stat} (--check 3).
 *
 * Called by audit_space() once the vmas are known to agree.  total_vm, data_vm, exec_vm, stack_vm,
 * locked_vm, the borders of code, data, arguments and environment, start_brk and start_stack must be
 * equal.  The rules go on from audit.c's:
 *
 *  R7  stack growth, as R1: the stack may grow between the reading of maps and that of status.
 *  R8  rss and hiwater_rss are not compared: the kernel adds up per-CPU parts without a lock, and counts the
 *      pages of unmanaged mappings too.  audit.c compares each managed page instead.
 *      Of the peak not even "at least ours" holds: pages that a call drops are ours until its commit, while
 *      another thread's faults already count; and lazily freed ones that the kernel took are ours still.
 *  R9  pgtables_bytes: the kernel has tables for unmanaged mappings too and keeps empty ones until the
 *      mapping goes, so VmPTE must be no less than ours; the root table, which it does not count, apart.
 *  R10 hiwater_vm: the kernel remembers what execve mapped before we looked (a larger stack, the whole
 *      span of ld.so), so VmPeak must be no less than ours.
 *  R11 pinned_vm: drivers and io_uring account what they hold, and end that without a call that we stop at.
 *  R12 brk itself is shown by no file; but maps calls [heap] each anonymous mapping that overlaps start_brk to
 *      brk, and nothing else.  One that only touches it may have the name (before 6.6).
 *
 * Linux counterpart: fs/proc/task_mmu.c task_mem(), fs/proc/array.c do_task_stat().
 */
#include <string.h>

#include "audit.h"
#include "mm/mm_query.h"

#define KB_PAGES(kb) ((kb) >> (PAGE_SHIFT - 10))

/* One figure of both sides. */
struct figure {
	const char *name;
	u64 model, kernel;
	bool at_least; /* the kernel's may be larger */
};

/* Returns the first that differs, or NULL. */
static const struct figure *first_difference(const struct figure *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (f[i].at_least ? f[i].kernel < f[i].model : f[i].kernel != f[i].model)
			return &f[i];
	return NULL;
}

static bool fail(struct space *space, const char *after, const struct figure *f)
{
	if (tracee_is_exiting(space->pid))
		return false; /* killed while its figures were read */
	sup_fail(space->sup, "audit after %s of process %d: %s differs: model %lu, kernel %lu (%lx, %lx)",
		 after, space->pid, f->name, f->model, f->kernel, f->model, f->kernel);
	return false;
}

/* Returns false when the process is gone. */
static bool read_sizes(struct space *space, struct mm_counters *c, struct proc_status_mm *st)
{
	mm_get_counters(space->mm, c);
	return !proc_status_mm(space->pid, st);
}

static bool audit_sizes(struct space *space, const char *after)
{
	struct mm_counters c;
	struct proc_status_mm st;
	const struct figure *wrong;

	if (!read_sizes(space, &c, &st))
		return false;
	if (KB_PAGES(st.vm_stk) > c.stack_vm) { /* R7 */
		space_resync(space);
		if (!read_sizes(space, &c, &st))
			return false;
	}
	const struct figure figures[] = {
		{ "total_vm", c.total_vm, KB_PAGES(st.vm_size) },
		{ "data_vm", c.data_vm, KB_PAGES(st.vm_data) },
		{ "stack_vm", c.stack_vm, KB_PAGES(st.vm_stk) },
		{ "exec_vm", c.exec_vm, KB_PAGES(st.vm_exe + st.vm_lib) },
		{ "locked_vm", c.locked_vm, KB_PAGES(st.vm_lck) },
		{ "hiwater_vm", c.hiwater_vm, KB_PAGES(st.vm_peak), true },	       /* R10 */
		{ "pgtables_bytes", c.pgtables_bytes - PAGE_SIZE, st.vm_pte << 10, true }, /* R9 */
	};
	wrong = first_difference(figures, ARRAY_SIZE(figures));
	return wrong ? fail(space, after, wrong) : true;
}

static bool audit_layout(struct space *space, const char *after)
{
	struct mm_counters c;
	struct proc_stat_mm st;
	const struct figure *wrong;

	mm_get_counters(space->mm, &c);
	if (proc_stat_mm(space->pid, &st))
		return false;
	const struct figure figures[] = {
		{ "start_code", c.layout.start_code, st.start_code },
		{ "end_code", c.layout.end_code, st.end_code },
		{ "start_data", c.layout.start_data, st.start_data },
		{ "end_data", c.layout.end_data, st.end_data },
		{ "start_brk", c.layout.start_brk, st.start_brk },
		{ "start_stack", c.layout.start_stack, st.start_stack },
		{ "arg_start", c.layout.arg_start, st.arg_start },
		{ "arg_end", c.layout.arg_end, st.arg_end },
		{ "env_start", c.layout.env_start, st.env_start },
		{ "env_end", c.layout.env_end, st.env_end },
	};
	wrong = first_difference(figures, ARRAY_SIZE(figures));
	return wrong ? fail(space, after, wrong) : true;
}

/* R12.  Pre: sup->audit_maps is of now. */
static bool audit_brk(struct space *space, const char *after)
{
	const struct maps *m = &space->sup->audit_maps;
	struct mm_counters c;

	mm_get_counters(space->mm, &c);
	for (size_t i = 0; i < m->nr; i++) {
		const struct map_line *l = &m->lines[i];
		bool named = !strcmp(l->name, "[heap]");
		bool touches = l->start <= c.layout.brk && l->end >= c.layout.start_brk;
		bool overlaps = l->start < c.layout.brk && l->end > c.layout.start_brk &&
				!l->dev && !l->ino;

		if (named ? !touches : overlaps)
			return fail(space, after, &(struct figure){ "brk", c.layout.brk, l->end });
	}
	return true;
}

bool audit_counters(struct space *space, const char *after)
{
	return audit_brk(space, after) && audit_sizes(space, after) && audit_layout(space, after);
}
