/* SPDX-License-Identifier: MIT */
/*
 * audit_frames.c - I14's third part: who shares a page (--check 3).
 *
 * The model says which frame each page is; pagemap says which PFN.  The relation must be one to one over all
 * address spaces of the run:
 *
 *        model                      kernel                 a difference when
 *        mm A page 1 -> frame 7     PFN 0x1234
 *        mm B page 1 -> frame 7     PFN 0x1234             not the same: the model believes they share
 *        mm B page 2 -> frame 9     PFN 0x88               the same as of any other frame
 *
 * All pages of all spaces are put in one array, which is sorted by frame, then by PFN.  The rules go
 * on from audit_counters.c's:
 *
 *  R13 no PFN: without CAP_SYS_ADMIN pagemap shows 0, and nothing is compared.
 *  R14 spaces in motion: one whose trapped call is in the kernel, or that is to be read anew, is left out;
 *      its own audit follows.
 *  R15 the kernel copies at the write.  do_wp_page lifts a page's protection when it has counted out a new frame
 *      for it; the kernel makes the copy when the woken thread retries.  Until then it shows the old PFN for
 *      a page that we do not protect.  A fork in between (by another thread, or by a handler of a signal that
 *      came first) protects it again: audit_before_fork() sees such pages, and from then on a space and its
 *      children may show one PFN where the model has two frames.
 *  R16 the zero page and KSM pages (/proc/kpageflags): the kernel itself made them one; a page that it filled
 *      before we armed it counts as a frame of its own in the model.
 *  R17 migration and exit: processes run meanwhile, and the kernel may move a page or free it (and use
 *      its PFN again) between two readings.  A difference must be there when both are read once more.
 *  R18 unshared pages: the kernel copies without a fault what a device or io_uring holds at a fork, and what direct
 *      I/O or process_vm_readv reads while it is shared.  Both stay write-protected, as no copy by a write does.
 *  R19 MADV_FREE, as R2: such pages are left out.
 */
#include <stdlib.h>

#include "audit.h"
#include "base/check.h"

#define PAGES_A_READ   512
#define MAX_PAGES      (1u << 17) /* more are not looked at: a sample by address space */
#define PAGES_A_LOOK   4096       /* of all resident ones: so many times rarer is the look */
#define CALLS_A_LOOK   16

struct page {
	struct space *space;
	u64 addr;
	u64 frame; /* the model's number */
	u64 pfn;   /* the kernel's */
	bool wp;
};

struct page_set {
	struct page *page;
	size_t nr;
};

static int by_frame(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	return x->frame != y->frame ? (x->frame < y->frame ? -1 : 1) : 0;
}

static int by_pfn(const void *a, const void *b)
{
	const struct page *x = a, *y = b;

	if (x->pfn != y->pfn)
		return x->pfn < y->pfn ? -1 : 1;
	return (int)y->wp - (int)x->wp; /* those of R15 last, so that the others stand together */
}

/* ---- collecting ---- */

/* A pagemap entry's PFN; 0: none that can be compared. */
static u64 entry_pfn(u64 entry)
{
	return entry & PAGEMAP_PRESENT ? PAGEMAP_PFN(entry) : 0;
}

static void add_page(struct page_set *set, struct space *space, u64 addr, u64 entry)
{
	struct pte_info pte;
	u64 pfn = entry_pfn(entry);

	mm_lookup_pte(space->mm, addr, &pte);
	if (pte.state != PTE_PRESENT || pte.lazyfree || pte.busy || !pfn) /* R19, R20, R13 */
		return;
	set->page[set->nr++] = (struct page){ space, addr, pte.pfn, pfn, pte.wp };
}

static void add_range(struct page_set *set, struct space *space, int fd, struct range r)
{
	u64 entries[PAGES_A_READ];
	struct pte_info pte;

	while ((r.start = mm_next_pte(space->mm, r.start, r.end, &pte)) < r.end) {
		u64 want = u64_min(PAGES_A_READ, (r.end - r.start) >> PAGE_SHIFT);
		s64 n = pagemap_read(fd, r.start, entries, want);

		if (n <= 0 || set->nr + (size_t)n > MAX_PAGES)
			return;
		for (s64 i = 0; i < n; i++, r.start += PAGE_SIZE)
			add_page(set, space, r.start, entries[i]);
	}
}

static void add_space(struct page_set *set, struct space *space)
{
	int fd = space->uffd < 0 ? -1 : space_pagemap(space);
	struct vma_info v;

	for (u64 addr = 0; fd >= 0 && mm_find_vma(space->mm, addr, &v); addr = v.end)
		if (!(v.vm_flags & VM_UNMANAGED))
			add_range(set, space, fd, (struct range){ v.start, v.end });
}

static bool at_rest(const struct space *space)
{
	return !space->caller && !space->forking && !space->resync && space->pid; /* R14 */
}

static void collect(struct page_set *set, struct space *space)
{
	struct space *s;

	add_space(set, space);
	list_for_each_entry(s, &space->sup->spaces, link)
		if (s != space && at_rest(s))
			add_space(set, s);
}

/* ---- pages whose copy is to come ---- */

static int find_lagging(struct mm_struct *mm, struct range run, void *arg)
{
	struct space *space = arg;
	u64 entries[PAGES_A_READ];

	while (run.start < run.end) {
		u64 want = u64_min(PAGES_A_READ, (run.end - run.start) >> PAGE_SHIFT);
		s64 n = pagemap_read(space->pagemap, run.start, entries, want);

		for (s64 i = 0; i < n; i++)
			if (entries[i] & PAGEMAP_PRESENT && !(entries[i] & PAGEMAP_EXCLUSIVE))
				space->may_lag = true;
		if (n <= 0 || space->may_lag)
			return 1;
		run.start += (u64)n << PAGE_SHIFT;
	}
	return 0;
}

void audit_before_fork(struct space *space)
{
	struct range all = { 0, TASK_SIZE };

	if (!space->may_lag && space->uffd >= 0 && space_pagemap(space) >= 0)
		(void)mm_for_each_writable_run(space->mm, all, find_lagging, space);
}

/* ---- judging ---- */

/* The entry of now; 0 when there is none. */
static u64 read_again(const struct page *p)
{
	u64 entry;

	return pagemap_read(p->space->pagemap, p->addr, &entry, 1) == 1 ? entry : 0;
}

/* R15 */
static bool copy_is_to_come(const struct page *p, u64 entry)
{
	return p->space->may_lag || (!p->wp && !(entry & PAGEMAP_WP));
}

/* R18 */
static bool was_unshared(const struct page *a, u64 ea, const struct page *b, u64 eb)
{
	return a->wp && b->wp && ea & eb & PAGEMAP_WP;
}

/* a and b are of one frame and have two PFNs, or the other way round.  Is it so, and wrong? */
static bool is_wrong(const struct page *a, const struct page *b)
{
	u64 ea = read_again(a), eb = read_again(b); /* R17 */
	bool same_pfn = entry_pfn(ea) == entry_pfn(eb);

	if (!entry_pfn(ea) || !entry_pfn(eb) || same_pfn == (a->frame == b->frame))
		return false;
	if (!same_pfn)
		return !was_unshared(a, ea, b, eb);
	return !copy_is_to_come(a, ea) && !copy_is_to_come(b, eb) &&
	       !(kpageflags(entry_pfn(ea)) & (KPF_KSM | KPF_ZERO_PAGE)); /* R16 */
}

static void fail(const struct page *a, const struct page *b, const char *after)
{
	bool shared = a->frame == b->frame;

	sup_fail(a->space->sup,
		 "audit after %s: page %lx of process %d and page %lx of process %d: model %s (%lu%s, %lu%s), "
		 "kernel %s (PFN %lx, %lx)", after, a->addr, a->space->pid, b->addr, b->space->pid,
		 shared ? "one frame" : "two frames", a->frame, a->wp ? " wp" : "", b->frame,
		 b->wp ? " wp" : "", shared ? "two" : "one", a->pfn, b->pfn);
}

/* Neighbours in the sorted array that are equal in one number must be so in the other. */
static bool judge(const struct page_set *set, const char *after)
{
	for (size_t i = 1; i < set->nr; i++) {
		const struct page *a = &set->page[i - 1], *b = &set->page[i];

		if ((a->frame == b->frame) != (a->pfn == b->pfn) && is_wrong(a, b)) {
			fail(a, b, after);
			return false;
		}
	}
	return true;
}

void audit_frames(struct space *space, const char *after, bool must)
{
	struct sup *sup = space->sup;
	struct page_set set = { 0 };
	struct mm_world_stats stats;
	u64 every;

	mm_world_stats(sup->world, &stats);
	every = (1 + stats.resident / PAGES_A_LOOK) * (must ? 1 : CALLS_A_LOOK); /* R6 */
	if (sup->frame_audits++ % every)
		return;
	set.page = malloc(MAX_PAGES * sizeof(*set.page));
	BUG_ON(!set.page);
	collect(&set, space);
	qsort(set.page, set.nr, sizeof(*set.page), by_frame);
	if (judge(&set, after)) {
		qsort(set.page, set.nr, sizeof(*set.page), by_pfn);
		(void)judge(&set, after);
	}
	free(set.page);
}
