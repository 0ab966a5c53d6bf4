/* SPDX-License-Identifier: MIT */
/*
 * model.c - do a case on the model with the kernel's results, and compare.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "diff.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* ---- a machine that says yes ---- */

static int yes_map_zero(struct mm_struct *mm, u64 addr, u64 nr_pages, unsigned int flags, u64 *done)
{
	*done = nr_pages;
	return 0;
}

static int yes_map_copy(struct mm_struct *mm, u64 addr, u64 nr_pages, const void *src,
			unsigned int flags, u64 *done)
{
	*done = nr_pages;
	return 0;
}

static int yes_protect(struct mm_struct *mm, struct range r, unsigned int flags)
{
	return 0;
}

static int yes_wake(struct mm_struct *mm, struct range r)
{
	return 0;
}

static const struct hw_ops yes_hw = {
	.map_zero = yes_map_zero,
	.map_copy = yes_map_copy,
	.protect = yes_protect,
	.wake = yes_wake,
};

/* ---- one run ---- */

struct replay {
	struct mm_world *world;
	struct vm_file *file;
	struct mm_struct *mm;     /* of the process that goes on */
	struct mm_struct *parent; /* NULL: no fork yet */
	FILE *f;                  /* where differences are told */
	u32 at;                   /* the step */
	bool agrees;
};

static void differ(struct replay *r, const char *fmt, ...) printf_like(2, 3);

static void differ(struct replay *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(r->f, "  differs%s: ", r->agrees ? "" : " also");
	vfprintf(r->f, fmt, ap);
	fputc('\n', r->f);
	va_end(ap);
	r->agrees = false;
}

static int plan_step(struct replay *r, const struct step *s, struct mm_plan **plan)
{
	struct mm_struct *mm = r->mm;
	struct mmap_args a = {
		.addr = s->addr,
		.len = s->len,
		.prot = s->prot,
		.flags = s->flags,
		.pgoff = s->addr2,
		.file = s->file ? r->file : NULL,
		.unmanaged = s->file || (s->flags & MAP_TYPE) != MAP_PRIVATE,
	};

	switch (s->call) {
	case C_MMAP:
		return mm_plan_mmap(mm, &a, plan);
	case C_MUNMAP:
		return mm_plan_munmap(mm, s->addr, s->len, plan);
	case C_MPROTECT:
		return mm_plan_mprotect(mm, s->addr, s->len, s->prot, plan);
	case C_MADVISE:
		return mm_plan_madvise(mm, s->addr, s->len, s->prot, plan);
	case C_MREMAP:
		return mm_plan_mremap(mm, s->addr, s->len, s->len2, s->flags, s->addr2, plan);
	case C_MLOCK:
		return mm_plan_mlock(mm, s->addr, s->len, s->prot, plan);
	case C_MUNLOCK:
		return mm_plan_munlock(mm, s->addr, s->len, plan);
	case C_MLOCKALL:
		return mm_plan_mlockall(mm, s->flags, plan);
	case C_MUNLOCKALL:
		return mm_plan_munlockall(mm, plan);
	case C_MSEAL:
		return mm_plan_mseal(mm, s->addr, s->len, plan);
	case C_BRK:
		return mm_plan_brk(mm, s->addr, plan);
	}
	BUG("step %u is no call", s->call);
}

/* The faults that an access raises, where userfaultfd would have armed the page. */
static void fault_in(struct mm_struct *mm, u64 addr, bool write)
{
	struct vm_fault vmf = { .address = addr };
	struct pte_info pte;

	mm_lookup_pte(mm, addr, &pte);
	if (pte.state != PTE_NONE && !(write && pte.wp))
		return;
	if (write)
		vmf.flags =
			pte.state == PTE_NONE ? FAULT_FLAG_WRITE : FAULT_FLAG_WRITE | FAULT_FLAG_WP;
	BUG_ON(mm_handle_fault(mm, &vmf) == FAULT_OOM);
}

static bool is_managed_at(struct mm_struct *mm, u64 addr, struct vma_info *v)
{
	return mm_find_vma(mm, addr, v) && v->start <= addr && !(v->vm_flags & VM_UNMANAGED);
}

/* What the kernel fills inside the call: the faults come while the plan is open. */
static void populate(struct replay *r, struct mm_plan *plan, struct range range)
{
	for (u64 a = range.start; a < range.end; a += PAGE_SIZE) {
		struct vma_info v;

		if (!is_managed_at(r->mm, a, &v))
			continue;
		if (!(v.vm_flags & (VM_READ | VM_WRITE | VM_EXEC)))
			return; /* -EFAULT ends it */
		mm_plan_filling(plan);
		fault_in(r->mm, a, v.vm_flags & VM_WRITE);
	}
}

static void replay_fork(struct replay *r)
{
	struct mm_struct *child;
	struct mm_plan *plan;

	mm_mark_wp(r->mm, (struct range){ 0, TASK_SIZE });
	BUG_ON(mm_plan_fork(r->mm, &plan, &child));
	mm_plan_commit(plan, 0);
	BUG_ON(r->parent);
	r->parent = r->mm;
	r->mm = child;
}

static void replay_touch(struct replay *r, const struct step *s, s64 native)
{
	struct vma_info v;

	if (native < 0)
		return; /* SIGSEGV: nothing came to us */
	if (mm_find_vma(r->mm, s->addr, &v) && v.vm_flags & VM_UNMANAGED && v.start <= s->addr)
		return;
	fault_in(r->mm, s->addr, s->call == C_WRITE);
}

/* A page that is locked is filled by the kernel when it comes to be; unarmed, so we adopt it. */
static void adopt_locked(struct replay *r, struct range range, bool populated)
{
	for (u64 a = range.start; a < range.end; a += PAGE_SIZE) {
		struct vma_info v;

		if (!is_managed_at(r->mm, a, &v) || !(v.vm_flags & (VM_READ | VM_WRITE | VM_EXEC)))
			continue;
		if (populated || (v.vm_flags & (VM_LOCKED | VM_LOCKONFAULT)) == VM_LOCKED)
			BUG_ON(mm_adopt_page(r->mm, a, false, false));
	}
}

static void replay_call(struct replay *r, const struct step *s, s64 native)
{
	u64 old_brk = mm_brk(r->mm);
	struct mm_plan *plan = NULL;
	int ret = plan_step(r, s, &plan);
	bool error = native < 0;

	if (ret) {
		if (native != ret)
			differ(r, "step %u: the model refuses with %d, the kernel says %" PRId64,
			       r->at, ret, native);
		return;
	}
	/* Rule "no room": whether there is enough for very much only the kernel knows. */
	if (native == -ENOMEM && s->call == C_MREMAP && s->flags & MREMAP_MAYMOVE &&
	    s->len2 > 1UL << 40) {
		mm_plan_abort(plan);
		return;
	}
	if (error && native != mm_plan_expects(plan)) {
		differ(r, "step %u: the kernel says %" PRId64 ", the model expects %d", r->at,
		       native, mm_plan_expects(plan));
		mm_plan_abort(plan);
		return;
	}
	if (!error && mm_plan_expects(plan))
		differ(r, "step %u: the kernel says %" PRId64 ", the model expects %d", r->at,
		       native, mm_plan_expects(plan));
	if (s->call == C_MLOCK && !(s->prot & MLOCK_ONFAULT) && (!error || native == -ENOMEM)) {
		u64 start = page_align_down(s->addr);
		struct range all = range_of(start, page_align_up(s->len + (s->addr - start)));

		if (!range_has_hole(r->mm, all))
			populate(r, plan, all);
	}
	mm_plan_commit(plan, native);
	if (s->call == C_MMAP && !error)
		adopt_locked(r, range_of(native, page_align_up(s->len)), s->flags & MAP_POPULATE);
	if (s->call == C_MREMAP && !error && page_align_up(s->len2) > page_align_up(s->len))
		adopt_locked(r, range_of((u64)native + page_align_up(s->len),
					 page_align_up(s->len2) - page_align_up(s->len)), false);
	if (s->call == C_BRK && (u64)native > old_brk)
		adopt_locked(r, (struct range){ page_align_up(old_brk), page_align_up(native) },
			     false);
}

/* ---- comparing ---- */

static struct range window_of(const struct test_case *c)
{
	return range_of(c->heap ? HEAP : LOW, PAGES(WINDOW_PAGES));
}

static void print_line(FILE *f, const char *who, struct line l, u64 base)
{
	u64 flags = l.vm_flags;

	fprintf(f, "    %-6s page %3" PRId64 " - %3" PRId64 "  %c%c%c%c  flags %08" PRIx64 "\n",
		who, (s64)(l.start - base) / (s64)PAGE_SIZE, (s64)(l.end - base) / (s64)PAGE_SIZE,
		flags & VM_READ ? 'r' : '-', flags & VM_WRITE ? 'w' : '-',
		flags & VM_EXEC ? 'x' : '-', flags & VM_SHARED ? 's' : 'p', flags);
}

/*
 * Rule "refused halfway": a call with a MAP_FIXED or MREMAP_FIXED place cuts the vmas at
 * its borders before it finds that it may not go on (a seal, max_map_count), and leaves
 * them cut.  Nothing is lost by holding them as one, so equal neighbours are merged on both
 * sides before they are compared.
 */
static bool was_refused_halfway(const struct test_case *c, const struct outcome *native)
{
	for (u32 i = 0; i < c->nr_steps; i++) {
		s64 result = native->result[i];

		if ((c->step[i].call == C_MMAP || c->step[i].call == C_MREMAP) &&
		    (result == -EPERM || result == -ENOMEM))
			return true;
	}
	return false;
}

static void add_line(struct line *l, u32 *n, struct line add, bool merge)
{
	add.vm_flags &= SHOWN_FLAGS;
	if (merge && *n && l[*n - 1].end == add.start && l[*n - 1].vm_flags == add.vm_flags)
		l[*n - 1].end = add.end;
	else
		l[(*n)++] = add;
}

static void compare_lines(struct replay *r, const struct test_case *c, const struct outcome *native)
{
	struct line kernel[WINDOW_PAGES], model[WINDOW_PAGES];
	bool merge = was_refused_halfway(c, native);
	struct range w = window_of(c);
	const struct vm_area_struct *vma;
	u32 nr_kernel = 0, nr_model = 0;

	for (u32 i = 0; i < native->nr_lines; i++)
		add_line(kernel, &nr_kernel, native->line[i], merge);
	for (vma = r->mm->mmap; vma; vma = vma->vm_next) {
		if (range_contains(w, vma->vm_start))
			add_line(model, &nr_model,
				 (struct line){ vma->vm_start, vma->vm_end, vma->vm_flags }, merge);
	}
	if (nr_kernel == nr_model && !memcmp(kernel, model, nr_model * sizeof(*model)))
		return;
	differ(r, "the mappings");
	for (u32 i = 0; i < nr_kernel; i++)
		print_line(r->f, "kernel", kernel[i], w.start);
	for (u32 i = 0; i < nr_model; i++)
		print_line(r->f, "model", model[i], w.start);
}

/*
 * Rule "locked twice": Linux counts pages that MREMAP_DONTUNMAP moved out of a locked
 * mapping as locked in both places, although it has unlocked the old one ("we don't need to
 * touch locked_vm", dontunmap_complete).
 */
static bool left_locked_behind(const struct test_case *c, const struct outcome *native)
{
	for (u32 i = 0; i < c->nr_steps; i++) {
		if (c->step[i].call == C_MREMAP && c->step[i].flags & MREMAP_DONTUNMAP &&
		    native->result[i] > 0)
			return true;
	}
	return false;
}

static void compare_counters(struct replay *r, const struct test_case *c,
			     const struct outcome *native)
{
	/* what moved out of the window was unmapped natively at once */
	struct range near = { window_of(c).start - PAGES(WINDOW_PAGES),
			      window_of(c).end + PAGES(WINDOW_PAGES) };
	const struct vm_area_struct *vma;
	s64 total = 0, data = 0, locked = 0;

	for (vma = r->mm->mmap; vma; vma = vma->vm_next) {
		s64 pages = vma_pages(vma);
		u64 f = vma->vm_flags;

		if (!range_contains(near, vma->vm_start))
			continue;
		total += pages;
		locked += f & VM_LOCKED ? pages : 0;
		if (f & VM_GROWSDOWN || (f & (VM_WRITE | VM_SHARED)) == VM_WRITE)
			data += pages;
	}
	if (total != native->total_vm)
		differ(r, "total_vm: kernel %" PRId64 ", model %" PRId64, native->total_vm, total);
	if (data != native->data_vm)
		differ(r, "data_vm + stack_vm: kernel %" PRId64 ", model %" PRId64, native->data_vm,
		       data);
	if (locked != native->locked_vm && !left_locked_behind(c, native))
		differ(r, "locked_vm: kernel %" PRId64 ", model %" PRId64, native->locked_vm,
		       locked);
}

static void compare_present(struct replay *r, const struct test_case *c,
			    const struct outcome *native)
{
	u64 base = window_of(c).start, present = 0, managed = 0;

	for (u32 i = 0; i < WINDOW_PAGES; i++) {
		struct pte_info pte;
		struct vma_info v;

		if (!is_managed_at(r->mm, base + PAGES(i), &v))
			continue;
		managed |= 1UL << i;
		mm_lookup_pte(r->mm, base + PAGES(i), &pte);
		if (pte.state == PTE_ZERO && r->parent)
			managed &= ~(1UL << i); /* not copied where not armed: vma_needs_copy */
		else if (pte.state != PTE_NONE)
			present |= 1UL << i;
	}
	if ((present ^ native->present) & managed)
		differ(r, "pages present: kernel %016" PRIx64 ", model %016" PRIx64,
		       native->present & managed, present);
}

static void replay_begin(struct replay *r, u64 max_map_count)
{
	struct mm_config config = {
		.hw = &yes_hw,
		.max_map_count = max_map_count,
		.stack_guard_gap = 256 * PAGE_SIZE,
		.prefetch_max_pages = 1,
	};

	r->world = mm_world_create(&config);
	BUG_ON(!r->world);
	r->mm = mm_alloc(r->world, NULL);
	r->file = vm_file_get(r->world, (struct vm_file_id){ 1, 2 }, "memfd:diff");
	BUG_ON(!r->mm || !r->file);
	r->agrees = true;
}

static void replay_end(struct replay *r)
{
	mm_put(r->mm);
	if (r->parent)
		mm_put(r->parent);
	vm_file_put(r->file);
	mm_world_destroy(r->world);
}

bool model_agrees(const struct test_case *c, const struct outcome *native, FILE *f)
{
	struct replay r = { .f = f };

	replay_begin(&r, 65530);
	if (c->heap)
		mm_set_layout(r.mm, &(struct mm_layout){ .start_brk = HEAP, .brk = HEAP });
	for (r.at = 0; r.at < c->nr_steps; r.at++) {
		const struct step *s = &c->step[r.at];

		if (s->call == C_FORK)
			replay_fork(&r);
		else if (s->call == C_READ || s->call == C_WRITE)
			replay_touch(&r, s, native->result[r.at]);
		else
			replay_call(&r, s, native->result[r.at]);
		mm_verify(r.mm);
	}
	compare_lines(&r, c, native);
	compare_counters(&r, c, native);
	compare_present(&r, c, native);
	replay_end(&r);
	return r.agrees;
}

bool model_agrees_at_limit(const struct step *step, const s64 *result, u32 nr_steps,
			   u32 max_map_count, u32 left)
{
	struct replay r = { .f = stdout };

	replay_begin(&r, max_map_count);
	for (r.at = 0; r.at < nr_steps; r.at++)
		replay_call(&r, &step[r.at], result[r.at]);
	mm_verify(r.mm);
	if (mm_map_count(r.mm) != left)
		differ(&r, "map_count: kernel %u, model %u", left, mm_map_count(r.mm));
	replay_end(&r);
	return r.agrees;
}

/* ---- printing ---- */

static const char *const call_names[NR_CALLS] = {
	[C_MMAP] = "mmap", [C_MUNMAP] = "munmap", [C_MPROTECT] = "mprotect", [C_MADVISE] = "madvise",
	[C_MREMAP] = "mremap", [C_MLOCK] = "mlock2", [C_MUNLOCK] = "munlock",
	[C_MLOCKALL] = "mlockall", [C_MUNLOCKALL] = "munlockall", [C_MSEAL] = "mseal",
	[C_BRK] = "brk", [C_READ] = "read", [C_WRITE] = "write", [C_FORK] = "fork",
};

static void print_addr(u64 addr, FILE *f)
{
	if (addr >= LOW && addr < AT(WINDOW_PAGES) && page_aligned(addr))
		fprintf(f, " page %" PRIu64, (addr - LOW) / PAGE_SIZE);
	else if (addr >= HEAP && addr < BRK_AT(WINDOW_PAGES))
		fprintf(f, " heap+%#" PRIx64, addr - HEAP);
	else
		fprintf(f, " %#" PRIx64, addr);
}

static void print_len(u64 len, FILE *f)
{
	if (page_aligned(len) && len <= PAGES(WINDOW_PAGES))
		fprintf(f, " %" PRIu64 " pages", len / PAGE_SIZE);
	else
		fprintf(f, " %#" PRIx64, len);
}

void print_case(const struct test_case *c, const struct outcome *native, FILE *f)
{
	for (u32 i = 0; i < c->nr_steps; i++) {
		const struct step *s = &c->step[i];

		fprintf(f, "  %2u %s", i, call_names[s->call]);
		if (s->call != C_FORK && s->call != C_MLOCKALL && s->call != C_MUNLOCKALL)
			print_addr(s->addr, f);
		if (s->call <= C_MUNLOCK || s->call == C_MSEAL)
			print_len(s->len, f);
		if (s->call == C_MREMAP) {
			fputs(" ->", f);
			print_addr(s->addr2, f);
			print_len(s->len2, f);
		}
		if (s->call == C_MMAP || s->call == C_MPROTECT || s->call == C_MADVISE ||
		    s->call == C_MLOCK)
			fprintf(f, " %s %d", s->call == C_MADVISE ? "advice" : "prot", s->prot);
		if (s->call == C_MMAP || s->call == C_MREMAP || s->call == C_MLOCKALL)
			fprintf(f, " flags %#x", s->flags);
		if (s->file)
			fprintf(f, " file page %" PRIu64, s->addr2);
		if (s->call != C_FORK)
			fprintf(f, "  = %#" PRIx64, native->result[i]);
		fputc('\n', f);
	}
}
