/* SPDX-License-Identifier: MIT */
/*
 * stream.c - do each operation on the model, the oracle and the machine, and compare them.
 *
 * A call goes as in the pager: plan -> the kernel (calls.c) -> commit | abort -> arm.
 */
#include "sim/stream.h"

#include <string.h>
#include <sys/mman.h>

#include "sim/ops.h"
#include "sim/swapper.h"
#include "sim/tasks.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* ---- calls ---- */

static struct sim_mmap mmap_of(const struct sim *sim, const struct sim_op *op)
{
	return (struct sim_mmap){
		.args = {
			.addr = op->addr,
			.len = op->len,
			.prot = op->prot,
			.flags = op->flags,
			.pgoff = op->file ? op->pick : 0,
			.file = op->file ? sim->file[op->file - 1] : NULL,
			.unmanaged = op->unmanaged,
		},
		.file = op->file,
		.bottom_up = op->bottom_up,
	};
}

static int plan_call(struct sim_space *s, const struct sim_op *op, struct mm_plan **plan)
{
	struct sim_mmap m;

	switch (op->kind) {
	case OP_MMAP:
		m = mmap_of(s->sim, op);
		return mm_plan_mmap(s->mm, &m.args, plan);
	case OP_MUNMAP:
		return mm_plan_munmap(s->mm, op->addr, op->len, plan);
	case OP_MPROTECT:
		return mm_plan_mprotect(s->mm, op->addr, op->len, op->prot, plan);
	case OP_MADVISE:
		return mm_plan_madvise(s->mm, op->addr, op->len, op->advice, plan);
	case OP_MREMAP:
		return mm_plan_mremap(s->mm, op->addr, op->len, op->new_len, op->flags, op->new_addr,
				      plan);
	case OP_BRK:
		return mm_plan_brk(s->mm, op->addr, plan);
	case OP_MLOCK:
		return mm_plan_mlock(s->mm, op->addr, op->len, op->flags & 3, plan);
	case OP_MUNLOCK:
		return mm_plan_munlock(s->mm, op->addr, op->len, plan);
	case OP_MLOCKALL:
		return mm_plan_mlockall(s->mm, op->flags, plan);
	case OP_MUNLOCKALL:
		return mm_plan_munlockall(s->mm, plan);
	case OP_MSEAL:
		return mm_plan_mseal(s->mm, op->addr, op->len, plan);
	default:
		BUG("operation %u is no call", op->kind);
	}
}

static s64 kernel_call(struct sim_space *s, const struct sim_op *op)
{
	struct sim_mmap m;

	switch (op->kind) {
	case OP_MMAP:
		m = mmap_of(s->sim, op);
		return sim_sys_mmap(s, &m);
	case OP_MUNMAP:
		return sim_sys_munmap(s, op->addr, op->len);
	case OP_MPROTECT:
		return sim_sys_mprotect(s, op->addr, op->len, op->prot);
	case OP_MADVISE:
		return sim_sys_madvise(s, op->addr, op->len, op->advice);
	case OP_MREMAP:
		return sim_sys_mremap(s, op->addr, op->len, op->new_len, op->flags, op->new_addr,
				      op->bottom_up);
	case OP_BRK:
		return sim_sys_brk(s, op->addr);
	case OP_MLOCK:
		return sim_sys_mlock(s, op->addr, op->len, op->flags & 3, true);
	case OP_MUNLOCK:
		return sim_sys_mlock(s, op->addr, op->len, 0, false);
	case OP_MLOCKALL:
		return sim_sys_mlockall(s, op->flags);
	case OP_MUNLOCKALL:
		return sim_sys_munlockall(s);
	case OP_MSEAL:
		return sim_sys_mseal(s, op->addr, op->len);
	default:
		BUG("operation %u is no call", op->kind);
	}
}

/* Plan; when the allocation that was to fail has failed, nothing may have changed, and it is tried again. */
static int plan_or_retry(struct sim_space *s, const struct sim_op *op, struct mm_plan **plan)
{
	int ret = plan_call(s, op, plan);

	if (ret == -ENOMEM && mm_plan_is_ours(s->mm)) {
		sim_expect_alloc_failure(s->sim);
		sim_check_space(s);
		mm_verify(s->mm);
		ret = plan_call(s, op, plan);
		BUG_ON(ret == -ENOMEM && mm_plan_is_ours(s->mm));
	}
	alloc_fail_at(0);
	return ret;
}

/*
 * Refusals that no look at the vmas can foresee: the window is full (in truth: limits, no room), or
 * a mapping in the way is sealed.
 */
static bool may_surprise(const struct sim_op *op, s64 result)
{
	switch (op->kind) {
	case OP_MMAP:
	case OP_MREMAP:
		return result == -ENOMEM || result == -EPERM || result == -EFAULT;
	default:
		return false;
	}
}

/* What the kernel dropped or moved must lie in the plan's zaps: faults there wait. */
static void check_zaps(const struct sim_space *s, const struct sim_page *before, struct range zaps)
{
	for (u32 i = 0; i < SIM_PAGES; i++) {
		const struct sim_page *p = &s->page[i];

		if (before[i].state != SIM_NONE && !before[i].alien && p->state == SIM_NONE &&
		    !range_contains(zaps, sim_addr(i)))
			BUG("page %u went away outside of the plan's zaps", i);
	}
}

/*
 * What the kernel fills inside the call, while the plan is open, of memory that is armed already: those faults
 * must be answered, or the call would never end.
 */
static struct range filled_by_call(const struct sim_op *op, s64 result)
{
	u64 start = page_align_down(op->addr);
	struct range grown = { op->addr + page_align_up(op->len), op->addr + page_align_up(op->new_len) };

	if (op->kind == OP_MLOCK && result == 0)
		return range_of(start, page_align_up(op->len + (op->addr - start)));
	if (op->kind == OP_MLOCKALL && result == 0 && op->flags & MCL_CURRENT)
		return (struct range){ SIM_BASE, SIM_END };
	if (op->kind == OP_MREMAP && (u64)result == op->addr)
		return grown;
	return (struct range){ 0, 0 };
}

static enum sim_access fill_by_call(struct sim_space *s, const struct sim_op *op, struct mm_plan *plan,
				    s64 result)
{
	struct range r = filled_by_call(op, result);

	if (range_empty(r) || (op->kind == OP_MREMAP && !(sim_page(s, r.start)->vm_flags & VM_LOCKED)))
		return SIM_ACCESS_OK;
	if (op->pick % 8) /* the pager knew the thread */
		mm_plan_filling(plan);
	return sim_populate(s, r);
}

static void finish_call(struct sim_space *s, const struct sim_op *op, struct mm_plan *plan, s64 result)
{
	struct sim *sim = s->sim;

	if (result >= 0 || result == mm_plan_expects(plan)) {
		if (result >= 0 && mm_plan_expects(plan))
			BUG("a call succeeds of which the model expects %d", mm_plan_expects(plan));
		mm_plan_commit(plan, result);
		sim->stats.calls_ok++;
		return;
	}
	if (mm_plan_is_certain(plan))
		BUG("a call is refused with %d that the model calls certain", (int)result);
	if (!may_surprise(op, result))
		BUG("a call is refused with %d, the model expects %d", (int)result,
		    mm_plan_expects(plan));
	mm_plan_abort(plan);
}

/*
 * MREMAP_DONTUNMAP unlocks the whole vma that it leaves behind, not only the pages moved.  How far that vma
 * reaches, flat arrays do not know: the bits are taken from the model (tests/diff compares them with Linux).
 */
static void take_lock_bits(struct sim_space *s)
{
	for (u32 i = 0; i < SIM_PAGES; i++) {
		struct vma_info v;

		if (s->page[i].mapped && mm_find_vma(s->mm, sim_addr(i), &v) &&
		    !(v.vm_flags & SIM_LOCKED_MASK))
			s->page[i].vm_flags &= ~SIM_LOCKED_MASK;
	}
}

/* Has the model a vma there?  Where mremap moves to nobody knows before it returns. */
static bool is_known(const struct sim_space *s, u32 i)
{
	struct vma_info v;

	return mm_find_vma(s->mm, sim_addr(i), &v) && v.start <= sim_addr(i);
}

/*
 * The kernel has done its part, the model not yet: other threads load and store, and the swapper works.  But for
 * the range that the plan names as zapped: faults there wait, and nothing is evicted.
 */
static bool go_on_between(struct sim_space *s, const struct sim_op *op, struct mm_plan *plan)
{
	for (u32 n = 0; n < op->between; n++) {
		u32 i = sim_random(s->sim, SIM_PAGES);

		s->sim->stats.between++;
		(void)sim_evict(s->sim, sim_random(s->sim, 2));
		(void)sim_step(s->sim);
		sim_prefetch(s, sim_addr(i), 1 + i % 8);
		if (range_contains(mm_plan_zaps(plan), sim_addr(i)) || !s->page[i].armed || !is_known(s, i))
			continue;
		if (sim_access(s, sim_addr(i), sim_random(s->sim, 2)) == SIM_ACCESS_GONE)
			return false;
	}
	return true;
}

/* Returns false when the address space is gone. */
static bool do_call(struct sim_space *s, const struct sim_op *op)
{
	static struct sim_page before[SIM_PAGES];
	struct mm_plan *plan = NULL;
	int planned;
	s64 result;

	sim_wait_for_commands(s);
	planned = plan_or_retry(s, op, &plan);
	memcpy(before, s->page, sizeof(before));
	result = kernel_call(s, op);
	s->sim->stats.calls++;
	if (planned) {
		if (result != planned)
			BUG("the model refuses with %d, Linux says %d", planned, (int)result);
		s->sim->stats.refusals++;
		return true;
	}
	check_zaps(s, before, mm_plan_zaps(plan));
	s->plan = plan;
	if (!go_on_between(s, op, plan) || fill_by_call(s, op, plan, result) == SIM_ACCESS_GONE) {
		s->plan = NULL;
		mm_plan_abort(plan);
		return false;
	}
	s->plan = NULL;
	finish_call(s, op, plan, result);
	if (op->kind == OP_MREMAP && op->flags & MREMAP_DONTUNMAP)
		take_lock_bits(s);
	sim_arm_new(s, (struct sim_arm){
		.populate = op->kind == OP_MMAP && op->flags & MAP_POPULATE,
		.quick = op->quick,
		.write = op->pick & 1,
		.adopt = op->pick & 2,
	});
	return true;
}

/* ---- what the kernel did without arguments that tell: maps is read again ---- */

#define KEPT_BY_RECONCILE                                                                    \
	(~(VM_READ | VM_WRITE | VM_EXEC | VM_SHARED | VM_MAYSHARE | VM_UNMANAGED | VM_MAYREAD | \
	   VM_MAYWRITE | VM_MAYEXEC))

/* Where maps shows the same backing as before, the bits that it does not show stay. */
static void keep_unseen_flags(struct sim_space *s, const struct sim_page *before)
{
	for (u32 i = 0; i < SIM_PAGES; i++) {
		struct sim_page *p = &s->page[i];

		if (p->mapped && before[i].mapped && p->file == before[i].file &&
		    p->pgoff == before[i].pgoff &&
		    !((p->vm_flags ^ before[i].vm_flags) & VM_UNMANAGED))
			p->vm_flags = (p->vm_flags & ~KEPT_BY_RECONCILE) |
				      (before[i].vm_flags & KEPT_BY_RECONCILE);
	}
}

static void do_reconcile(struct sim_space *s, const struct sim_op *op)
{
	static struct sim_page before[SIM_PAGES];
	struct sim_op done = *op;
	struct sim_mmap m;
	u64 def_flags = s->def_flags;

	sim_wait_for_commands(s);
	memcpy(before, s->page, sizeof(before));
	switch (op->pick % 3) {
	case 0:
		(void)sim_sys_munmap(s, op->addr, op->len);
		break;
	case 1:
		(void)sim_sys_mprotect(s, op->addr, op->len, op->prot & 7);
		break;
	case 2: /* never managed over managed: maps would not show it */
		done.file = op->file ? op->file : 1;
		done.unmanaged = true;
		done.flags = (op->flags & MAP_TYPE) | MAP_FIXED;
		m = mmap_of(s->sim, &done);
		s->def_flags = 0;
		(void)sim_sys_mmap(s, &m);
		s->def_flags = def_flags;
		keep_unseen_flags(s, before);
		break;
	}
	sim_reconcile(s);
}

/* ---- faults ---- */

static void send_late(struct sim_space *s, const struct sim_op *op)
{
	struct sim *sim = s->sim;
	const struct sim_page *p = sim_page(s, op->addr);
	int flags;

	if (!p || sim->nr_late == SIM_LATE_FAULTS || !sim_managed(p) ||
	    !(p->vm_flags & (op->write ? VM_WRITE : VM_ACCESS_FLAGS)))
		return;
	flags = sim_fault_of(p, op->write);
	if (flags >= 0)
		sim->late[sim->nr_late++] = (struct sim_late_fault){
			s->id, page_align_down(op->addr), flags };
}

/* The message is read only now; its thread is no more (a signal) and does not try again. */
static bool read_late(struct sim *sim, const struct sim_op *op)
{
	struct sim_late_fault f;
	struct sim_space *s;
	bool gone;
	u32 i;

	if (!sim->nr_late)
		return true;
	i = op->pick % sim->nr_late;
	f = sim->late[i];
	sim->late[i] = sim->late[--sim->nr_late];
	s = sim_space_by_id(sim, f.space_id);
	if (!s)
		return true;
	sim->stats.late++;
	mm_get(s->mm); /* perhaps only commands hold it, and end while the fault waits */
	gone = sim_send_fault(s, f.address, f.flags) == FAULT_GONE;
	if (gone)
		sim_exit_all_of(s);
	else
		sim_check_space(s);
	sim_space_put(s);
	return !gone;
}

static bool do_access_run(struct sim_space *s, const struct sim_op *op, u64 len, bool write)
{
	for (u64 off = 0; off < len; off += PAGE_SIZE) {
		enum sim_access r;

		if (!sim_in_window(op->addr + off))
			break;
		r = sim_access(s, page_align_down(op->addr) + off, write);
		if (r == SIM_ACCESS_GONE)
			return false;
		s->sim->stats.segv += r == SIM_ACCESS_SEGV;
	}
	return true;
}

static void drop_lazyfree(struct sim_space *s, const struct sim_op *op)
{
	sim_for_each_page(i, range_of(op->addr, op->len))
		sim_drop_lazyfree(s->sim, &s->page[i]);
}

/* ---- the swapper ---- */

static void do_machine(struct sim *sim, const struct sim_op *op)
{
	if (op->pick & 1)
		sim->swap->tight = op->write;
	else
		sim->swap->can_move = op->write || op->pick & 2;
}

/*
 * A device writes, past all protection.  Not while the page goes out by a zap, which cannot see it (docs/KERNEL.md):
 * such pages the pager keeps.
 */
static void device_write(struct sim_space *s, u32 i)
{
	struct sim_page *p = &s->page[i];
	struct pte_info pte;

	mm_lookup_pte(s->mm, sim_addr(i), &pte);
	if (!p->pinned || pte.busy || !s->sim->frame[p->frame].exclusive)
		return;
	p->tag = s->sim->frame[p->frame].tag = (u8)(1 + sim_random(s->sim, 255));
	p->maybe_zero = p->lazyfree = false;
}

/* Let a device hold pages, write to those that it holds, or let go. */
static void do_pin(struct sim_space *s, const struct sim_op *op)
{
	sim_for_each_page(i, range_of(op->addr, op->len)) {
		struct sim_page *p = &s->page[i];

		if (op->pick & 1)
			device_write(s, i);
		else if (p->state == SIM_PRESENT && sim_managed(p) && !p->wp && s->sim->frame[p->frame].exclusive)
			p->pinned = op->write;
	}
}

/* The first page that is out at or after addr; addr when there is none. */
static u64 next_swapped(const struct sim_space *s, u64 addr)
{
	struct pte_info pte;

	for (u64 a = addr; a < SIM_END && (a = mm_next_pte(s->mm, a, SIM_END, &pte)) < SIM_END; a += PAGE_SIZE) {
		if (pte.state == PTE_SWAP)
			return a;
	}
	return addr;
}

/* A load or store of a page that is out. */
static bool do_come_back(struct sim_space *s, const struct sim_op *op)
{
	u64 addr = next_swapped(s, page_align_down(op->addr));

	return !sim_in_window(addr) || sim_access(s, addr, op->write) != SIM_ACCESS_GONE;
}

/* Operations on memory as such, whoever uses it. */
static void do_swap_op(struct sim_space *s, const struct sim_op *op)
{
	struct sim *sim = s->sim;
	u32 n = 1 + op->pick % 16;

	switch (op->kind) {
	case OP_BUDGET: /* a few pages, some, or none */
		sim_set_budget(sim, op->pick % 8 == 7 ? 0 : 4 + op->pick % 8 * (op->pick >> 4));
		break;
	case OP_POLICY:
		sim_set_policy(sim, op->pick);
		break;
	case OP_EVICT:
		(void)sim_evict(sim, n);
		break;
	case OP_WRITE_OUT:
		(void)sim_write_out(sim, n);
		break;
	case OP_STEP:
		while (n-- && sim_step(sim))
			;
		break;
	case OP_PREFETCH:
		sim_prefetch(s, next_swapped(s, page_align_down(op->addr)), n);
		break;
	case OP_IO_FAILS:
		sim->swap->nr_fail = n;
		sim->swap->fail_err = op->write ? -EIO : -ENOSPC;
		break;
	case OP_PIN:
		do_pin(s, op);
		break;
	case OP_MACHINE:
		do_machine(sim, op);
		break;
	default:
		BUG("operation %u", op->kind);
	}
}

/* ---- the run ---- */

/* Returns false when the space s is gone. */
static bool do_op(struct sim *sim, struct sim_space *s, const struct sim_op *op)
{
	u32 task = op->task % SIM_TASKS;

	switch (op->kind) {
	case OP_LOAD:
	case OP_STORE:
		return do_access_run(s, op, PAGE_SIZE, op->kind == OP_STORE);
	case OP_LOAD_RUN:
	case OP_STORE_RUN:
		return do_access_run(s, op, u64_min(op->len, 2 * SIM_PAGES * PAGE_SIZE),
				     op->kind == OP_STORE_RUN);
	case OP_MMAP:
	case OP_MUNMAP:
	case OP_MPROTECT:
	case OP_MADVISE:
	case OP_MREMAP:
	case OP_BRK:
	case OP_MLOCK:
	case OP_MUNLOCK:
	case OP_MLOCKALL:
	case OP_MUNLOCKALL:
	case OP_MSEAL:
		return do_call(s, op);
	case OP_FORK:
		sim_fork(s, (struct sim_fork){ op->write, op->pick % 16 == 1, (op->prot & 6) == 6 });
		return true;
	case OP_SHARE:
		sim_share(s);
		return true;
	case OP_EXEC:
		sim_exec(sim, task);
		return false;
	case OP_EXIT:
		sim_exit(sim, task);
		return false;
	case OP_RECONCILE:
		do_reconcile(s, op);
		return true;
	case OP_SEND_LATE:
		send_late(s, op);
		return true;
	case OP_READ_LATE:
		return read_late(sim, op);
	case OP_DROP_LAZYFREE:
		drop_lazyfree(s, op);
		return true;
	case OP_COME_BACK:
		return do_come_back(s, op);
	case OP_BUDGET:
	case OP_POLICY:
	case OP_EVICT:
	case OP_WRITE_OUT:
	case OP_STEP:
	case OP_PREFETCH:
	case OP_IO_FAILS:
	case OP_PIN:
	case OP_MACHINE:
		do_swap_op(s, op);
		return true;
	case NR_OPS:
		break;
	}
	BUG("operation %u", op->kind);
}

/* Nobody left: a shell would start the next program. */
static void keep_one_task(struct sim *sim)
{
	for (u32 t = 0; t < SIM_TASKS; t++) {
		if (sim->task[t])
			return;
	}
	sim_exec(sim, 0);
}

static void add_stats(struct sim *sim, struct sim_stats *stats)
{
	const struct reclaim_stats *r = mm_reclaim_stats(sim->world);
	const u64 *from = (const u64 *)&sim->stats;
	u64 *to = (u64 *)stats;

	sim->stats.isolated = r->isolated;
	sim->stats.staged = r->staged;
	sim->stats.rescued = r->rescued;
	sim->stats.evicted = r->evicted;
	sim->stats.clean = r->clean;
	sim->stats.refused = r->refused;
	sim->stats.swapped_in = r->swapped_in;
	sim->stats.prefetched = r->prefetched;
	for (size_t i = 0; i < sizeof(*stats) / sizeof(u64); i++)
		to[i] += from[i];
}

void sim_run(const u8 *data, size_t len, const struct sim_options *options, struct sim_stats *stats)
{
	struct sim *sim = sim_create(options->prefetch_max_pages, options->cow_around);

	for (size_t at = 0; at + SIM_OP_BYTES <= len; at += SIM_OP_BYTES) {
		struct sim_op op = sim_decode_op(data + at);
		struct sim_space *s = sim_task_space(sim, op.task);
		u32 id = s->id;

		if (options->trace) {
			fprintf(stderr, "%5zu  space %u  ", at / SIM_OP_BYTES, id);
			sim_print_op(data + at, stderr);
		}
		sim->stats.ops++;
		alloc_fail_at(op.alloc_fails_at);
		sim->script = op.script;
		if (!do_op(sim, s, &op) && op.kind != OP_EXEC && op.kind != OP_EXIT &&
		    op.kind != OP_READ_LATE)
			sim_exit_all_of(s);
		sim_without_trouble(sim);
		sim_swap_check(sim);
		keep_one_task(sim);
		s = sim_space_by_id(sim, id);
		if (s)
			sim_check_space(s);
		if (options->verify_every && sim->stats.ops % options->verify_every == 0) {
			mm_world_verify(sim->world);
			sim_check_sharing(sim);
		} else if (options->verify_every && s) {
			mm_verify(s->mm);
		}
	}
	if (stats)
		add_stats(sim, stats);
	mm_world_verify(sim->world);
	sim_check_sharing(sim);
	sim_destroy(sim);
}
