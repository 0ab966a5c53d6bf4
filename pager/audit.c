/* SPDX-License-Identifier: MIT */
/*
 * audit.c - invariant I14: the model equals the kernel (--check 3).
 *
 * After rr's AddressSpace::verify: both sides are normalised (neighbours that differ in nothing we
 * compare are merged), then compared line by line.  Every leniency is a rule with its reason:
 *
 *  R1 stack growth.  The kernel may have grown a stack by a fault whose message was never read, because
 *     a signal interrupted the access.  The model follows.
 *  R2 MADV_FREE.  The kernel may drop a lazily freed page at any time; the model learns of it by the
 *     next fault.
 *  R3 guard markers (MADV_GUARD_INSTALL) are entries without a page.
 *  R4 swap.  A page the kernel itself has swapped out is present as far as we are concerned.
 *  R5 reservations above BIG_VMA_BYTES are compared where the model has pages only: pagemap has eight
 *     bytes for every page of them.
 *  R6 very many mappings or pages: a sample of the calls is audited.
 *  R20 a page on its way out of memory or back (pte_info.busy): a stub may or may not have moved it yet.
 *  R21 a task that a signal ends may have died within an exec, with an address space of which no stop told us.
 *  R22 the kernel may have two vmas where the model has one: what it fills before we arm it (MAP_POPULATE) has an anon_vma
 *     of its own by then, and names and NUMA policies keep vmas apart of which we do not know.
 *     Never the reverse, for a call on one vma of the kernel's must be one on one of the model's (mremap); but with threads
 *     one's fault may give the kernel's vma an anon_vma before another's call, and the model's vma after it, and before 6.16
 *     other rules decided.
 *
 * audit_counters.c and audit_frames.c go on with R7.
 */
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "base/check.h"

#define BIG_VMA_BYTES	 (1UL << 30)
#define PAGEMAP_GUARD	 (1ULL << 58)
#define PAGES_A_READ	 512
#define SAMPLE_VMAS	 400	       /* above: every (map_count / this)th call */
#define SAMPLE_BYTES	 (256UL << 20) /* managed memory above: page bits of every 16th call */

/* ---- vmas ---- */

struct side {
	u64 start, end;
	unsigned int perm; /* enum map_perm */
};

static unsigned int perm_of(u64 vm_flags)
{
	return (vm_flags & VM_READ ? MAP_PERM_READ : 0) |
	       (vm_flags & VM_WRITE ? MAP_PERM_WRITE : 0) |
	       (vm_flags & VM_EXEC ? MAP_PERM_EXEC : 0) |
	       (vm_flags & VM_MAYSHARE ? MAP_PERM_SHARED : 0);
}

/* The model's next merged run from `addr`.  Returns false at the end. */
static bool next_model(const struct mm_struct *mm, u64 addr, struct side *out)
{
	struct vma_info v;

	if (!mm_find_vma(mm, addr, &v))
		return false;
	*out = (struct side){ v.start, v.end, perm_of(v.vm_flags) };
	while (mm_find_vma(mm, out->end, &v) && v.start == out->end &&
	       perm_of(v.vm_flags) == out->perm)
		out->end = v.end;
	return true;
}

/* The same of the kernel's lines, from index *i. */
static bool next_kernel(const struct maps *m, size_t *i, struct side *out)
{
	if (*i >= m->nr)
		return false;
	*out = (struct side){ m->lines[*i].start, m->lines[*i].end, m->lines[*i].perm };
	while (++*i < m->nr && m->lines[*i].start == out->end && m->lines[*i].perm == out->perm)
		out->end = m->lines[*i].end;
	return true;
}

static void describe(char *buf, size_t size, bool there, const struct side *s)
{
	if (!there)
		snprintf(buf, size, "nothing");
	else
		snprintf(buf, size, "%lx-%lx %c%c%c%c", s->start, s->end,
			 s->perm & MAP_PERM_READ ? 'r' : '-', s->perm & MAP_PERM_WRITE ? 'w' : '-',
			 s->perm & MAP_PERM_EXEC ? 'x' : '-',
			 s->perm & MAP_PERM_SHARED ? 's' : 'p');
}

static const char *differing(bool model, bool kernel, const struct side *m, const struct side *k)
{
	if (!model || !kernel)
		return "presence";
	if (m->start != k->start)
		return "start";
	if (m->end != k->end)
		return "end";
	return "permissions";
}

/* The first difference between the two sides. */
struct difference {
	bool model, kernel; /* there is something on that side */
	struct side m, k;
};

/* Returns true when there is none. */
static bool same_vmas(const struct mm_struct *mm, const struct maps *maps, struct difference *d)
{
	size_t i = 0;
	u64 addr = 0;

	for (;;) {
		d->model = next_model(mm, addr, &d->m);
		d->kernel = next_kernel(maps, &i, &d->k);
		if (!d->model && !d->kernel)
			return true;
		if (!d->model || !d->kernel || d->m.start != d->k.start ||
		    d->m.end != d->k.end || d->m.perm != d->k.perm)
			return false;
		addr = d->m.end;
	}
}

/*
 * Does the model have a border between two managed vmas (*border) where the kernel has none?  R22.
 * Pre: same_vmas().
 */
static bool is_finer(const struct mm_struct *mm, const struct maps *maps, u64 *border)
{
	struct vma_info v, next;
	size_t i = 0;

	for (u64 addr = 0; mm_find_vma(mm, addr, &v); addr = v.end) {
		if (v.vm_flags & VM_UNMANAGED || !mm_find_vma(mm, v.end, &next) || next.start != v.end ||
		    next.vm_flags & VM_UNMANAGED)
			continue;
		while (i < maps->nr && maps->lines[i].end < v.end)
			i++;
		*border = v.end;
		if (i < maps->nr && maps->lines[i].start < v.end && maps->lines[i].end > v.end)
			return true;
	}
	return false;
}

/* R1 */
static bool is_stack_growth(const struct mm_struct *mm, const struct difference *d)
{
	struct vma_info v;

	return d->model && d->kernel && d->k.start < d->m.start && d->k.end == d->m.end &&
	       d->k.perm == d->m.perm && mm_find_vma(mm, d->m.start, &v) &&
	       v.vm_flags & VM_GROWSDOWN;
}

static bool audit_vmas(struct space *space, const char *after)
{
	struct sup *sup = space->sup;
	struct difference d;
	char model[64], kernel[64];
	bool same;
	u64 border;

	if (space_read_maps(space, &sup->audit_maps))
		return false; /* gone */
	same = same_vmas(space->mm, &sup->audit_maps, &d);
	if (!same && is_stack_growth(space->mm, &d)) {
		space_resync(space);
		same = same_vmas(space->mm, &sup->audit_maps, &d);
	}
	if (same && sup->merges_exactly && !space->had_threads && is_finer(space->mm, &sup->audit_maps, &border)) {
		sup_fail(sup, "audit after %s of process %d: the model has two vmas at %lx, the kernel one", after,
			 space->pid, border);
		return false;
	}
	if (same)
		return true;
	if (tracee_is_exiting(space->pid))
		return false; /* killed while its maps were read */
	describe(model, sizeof(model), d.model, &d.m);
	describe(kernel, sizeof(kernel), d.kernel, &d.k);
	sup_fail(sup, "audit after %s of process %d: vma %s differs: model %s, kernel %s", after,
		 space->pid, differing(d.model, d.kernel, &d.m, &d.k), model, kernel);
	return false;
}

/* ---- page bits ---- */

static bool kernel_has_page(u64 entry)
{
	return entry & (PAGEMAP_PRESENT | PAGEMAP_SWAP) && /* R4 */
	       !(entry & PAGEMAP_GUARD);		    /* R3 */
}

/* Returns what differs, or NULL. */
static const char *page_difference(const struct pte_info *pte, u64 entry)
{
	bool present = pte->state == PTE_PRESENT || pte->state == PTE_ZERO;

	if (pte->busy) /* R20 */
		return NULL;
	if (present != kernel_has_page(entry))
		return pte->lazyfree ? NULL : "presence"; /* R2 */
	if (present && pte->wp != !!(entry & PAGEMAP_WP))
		return "write protection";
	return NULL;
}

static bool audit_page(struct space *space, const char *after, u64 addr, u64 entry)
{
	struct pte_info pte;
	const char *what;

	mm_lookup_pte(space->mm, addr, &pte);
	what = page_difference(&pte, entry);
	if (!what)
		return true;
	sup_fail(space->sup,
		 "audit after %s of process %d: page %lx %s differs: model %s%s, kernel %s%s", after,
		 space->pid, addr, what, pte.state == PTE_NONE ? "none" : pte.state == PTE_SWAP ? "swap" : "present",
		 pte.wp ? " wp" : "", kernel_has_page(entry) ? "present" : "none",
		 entry & PAGEMAP_WP ? " wp" : "");
	return false;
}

/* All pages of a vma; R5: only around the model's when it is very large. */
static bool audit_pages(struct space *space, const char *after, int fd, struct range r)
{
	bool big = range_len(r) > BIG_VMA_BYTES;
	u64 entries[PAGES_A_READ];
	struct pte_info pte;

	for (u64 addr = r.start; addr < r.end;) {
		s64 n;

		if (big)
			addr = mm_next_pte(space->mm, addr, r.end, &pte);
		n = pagemap_read(fd, addr, entries,
				 u64_min(PAGES_A_READ, (r.end - addr) >> PAGE_SHIFT));
		if (n <= 0)
			return true; /* gone, or the end */
		for (s64 i = 0; i < n; i++, addr += PAGE_SIZE)
			if (!audit_page(space, after, addr, entries[i]))
				return false;
	}
	return true;
}

static u64 managed_bytes(const struct mm_struct *mm)
{
	struct vma_info v;
	u64 bytes = 0;

	for (u64 addr = 0; mm_find_vma(mm, addr, &v); addr = v.end)
		if (!(v.vm_flags & VM_UNMANAGED) && v.end - v.start <= BIG_VMA_BYTES)
			bytes += v.end - v.start;
	return bytes;
}

void audit_space(struct space *space, const char *after)
{
	struct vma_info v;
	u32 every = 1 + mm_map_count(space->mm) / SAMPLE_VMAS;
	int fd;

	space->had_threads |= mm_users(space->mm) > 1;
	if (space->sup->failed || space->sup->ending || space->resync || /* R14 */
	    space->calls_audited++ % every) /* R6 */
		return;
	if (!audit_vmas(space, after) || !audit_counters(space, after) || space->uffd < 0)
		return;
	if (managed_bytes(space->mm) > SAMPLE_BYTES && space->calls_audited % 16) /* R6 */
		return;
	fd = space_pagemap(space);
	for (u64 addr = 0; fd >= 0 && mm_find_vma(space->mm, addr, &v); addr = v.end)
		if (!(v.vm_flags & VM_UNMANAGED) &&
		    !audit_pages(space, after, fd, (struct range){ v.start, v.end }))
			return;
	audit_frames(space, after, !strcmp(after, "fork"));
}
