/* SPDX-License-Identifier: MIT */
/*
 * fault.c - the fault table (DESIGN §4): one fault, from the address to the answer.
 *
 *      mm_handle_fault --> handle_pte_fault --+-- pte swap        --> do_swap_page (swapin.c)
 *                                             +-- pte none, read  --> do_anonymous_zero
 *                                             +-- pte none, write --> do_anonymous_page
 *                                             '-- WP fault        --> do_wp_page
 *
 * Each handler gets all memory first, then tells the machine by one call that wakes the thread, then sets
 * the ptes, which cannot fail.  A refusal of the machine leaves the model as it was.
 * Linux counterpart: mm/memory.c (handle_mm_fault and below), mm/vma.c (expand_downwards).
 */
#include "mm/cow.h"
#include "mm/gup.h"
#include "mm/mm.h"
#include "mm/plan.h"

static const char *const handler_names[NR_FAULT_HANDLERS] = {
	[FH_NONE] = "none",
	[FH_DO_ANONYMOUS_PAGE_ZERO] = "do_anonymous_page_zero",
	[FH_DO_ANONYMOUS_PAGE] = "do_anonymous_page",
	[FH_DO_WP_PAGE_ZERO] = "do_wp_page_zero",
	[FH_DO_WP_PAGE_REUSE] = "do_wp_page_reuse",
	[FH_DO_WP_PAGE_COPY] = "do_wp_page_copy",
	[FH_DO_SWAP_PAGE] = "do_swap_page",
	[FH_DO_SWAP_PAGE_SOFT] = "do_swap_page_soft",
	[FH_DO_READ_FAULT] = "do_read_fault",
	[FH_DO_COW_FAULT] = "do_cow_fault",
	[FH_DO_SHARED_FAULT] = "do_shared_fault",
};

const char *fault_handler_name(enum fault_handler h)
{
	BUG_ON(h >= NR_FAULT_HANDLERS);
	return handler_names[h];
}

static const struct hw_ops *hw_of(const struct mm_struct *mm)
{
	return mm->world->config.hw;
}

/* Nothing for us to do here: let the thread try again, and the kernel judge. */
static enum fault_result wake_spurious(struct mm_struct *mm, u64 addr)
{
	int err = hw_of(mm)->wake(mm, range_of(addr, PAGE_SIZE));

	if (err == -ESRCH)
		return FAULT_GONE;
	return err == -EAGAIN ? FAULT_RETRY : FAULT_SPURIOUS;
}

/* The machine refused, and nothing was done.  -EEXIST: it has a page there that we did not know. */
enum fault_result hw_refused(struct mm_struct *mm, u64 addr, int err)
{
	switch (err) {
	case -EEXIST:
		if (mm_adopt_page(mm, addr, false, false))
			return FAULT_OOM;
		return wake_spurious(mm, addr);
	case -ENOENT: /* the mapping went away, or was never armed */
		return wake_spurious(mm, addr);
	case -EAGAIN:
	case -EBUSY:
		return FAULT_RETRY;
	case -ESRCH:
		return FAULT_GONE;
	case -ENOMEM:
		return FAULT_OOM;
	}
	BUG("hw_ops answered %d", err);
}

/* ---- fault-around ---- */

/* Pages to map at once, of which one is the page that faulted. */
struct around {
	u64 start;
	u32 nr;
	struct fault_stream *stream; /* NULL: nothing is to be learnt */
};

/* The stream that expects a fault at addr, and in which direction; else the oldest, begun anew. */
static struct fault_stream *stream_of(struct mm_struct *mm, u64 addr, bool write, bool *down)
{
	struct fault_stream *s = NULL;

	for (u32 i = 0; i < NR_FAULT_STREAMS; i++) {
		if (mm->stream[i].above == (addr | write)) {
			*down = false;
			return &mm->stream[i];
		}
		if (mm->stream[i].below == (addr | write))
			s = &mm->stream[i];
	}
	*down = s;
	if (!s) {
		s = &mm->stream[mm->stream_hand++ % NR_FAULT_STREAMS];
		*s = (struct fault_stream){ 0 };
	}
	return s;
}

/* Cut to the vma, the page table, what an open plan leaves, and the ptes that are none. */
static struct around around_fit(struct vm_area_struct *vma, u64 addr, struct pte_ref ref, u32 window, bool down)
{
	u64 low = addr - (u64_min(window - 1, ref.index) << PAGE_SHIFT);
	u64 high = addr + (u64_min(window, PTRS_PER_TABLE - ref.index) << PAGE_SHIFT);
	struct range r = { down ? u64_max(low, vma->vm_start) : addr,
			   down ? addr + PAGE_SIZE : u64_min(high, vma->vm_end) };
	struct around a = { .start = addr, .nr = 1 };
	u32 i = ref.index;

	r = plan_clear_range(vma->vm_mm, r, addr);
	for (; a.start > r.start && pte_none(ref.table->pte[i - 1]); a.nr++, i--)
		a.start -= PAGE_SIZE;
	while (a.start + ((u64)a.nr << PAGE_SHIFT) < r.end && pte_none(ref.table->pte[i + a.nr]))
		a.nr++;
	return a;
}

/*
 * Which pages to map for a fault at addr.  A fault exactly where the last answer of a stream ended, or exactly
 * before it began, doubles the stream's window, but a turn of its direction begins with one page; any other starts a
 * stream of one page in place of the oldest.  `most`: there is room for no more pages, which does not change the window.
 * Costs the same for every fault.
 */
static struct around fault_around(struct vm_area_struct *vma, u64 addr, bool write, struct pte_ref ref, u64 most)
{
	struct mm_struct *mm = vma->vm_mm;
	u32 max = mm->world->config.prefetch_max_pages;
	struct fault_stream *s;
	struct around a;
	bool down;

	if (max <= 1 || vma->vm_flags & (VM_GROWSDOWN | VM_RAND_READ))
		return (struct around){ addr, 1, NULL };
	s = stream_of(mm, addr, write, &down);
	if (s->down != down && s->window > 1)
		s->window = 0;
	s->down = down;
	s->window = s->window ? (u32)u64_min(2 * (u64)s->window, max) : 1;
	a = around_fit(vma, addr, ref, (u32)u64_min(s->window, u64_max(most, 1)), down);
	a.stream = s;
	return a;
}

/* The pte of its i-th page; `ref` is that of addr. */
static struct pte_ref around_pte(const struct around *a, u64 addr, struct pte_ref ref, u64 i)
{
	return (struct pte_ref){ ref.table, ref.index - (u32)((addr - a->start) >> PAGE_SHIFT) + (u32)i };
}

/*
 * The first `done` of its pages were mapped: the stream goes on at both ends.  Returns false: addr's is not one of
 * them, though others may be; the stream is forgotten, so the next try is for that page alone.
 */
static bool around_done(const struct around *a, u64 addr, u64 done, bool write)
{
	u64 end = a->start + (done << PAGE_SHIFT);
	bool mapped = addr < end;

	if (a->stream)
		*a->stream = (struct fault_stream){ mapped ? end | write : 0,
						    mapped ? (a->start - PAGE_SIZE) | write : 0,
						    mapped ? a->stream->window : 0, a->stream->down };
	return mapped;
}

/* Some pages of the window were mapped: tell so, and wake when an error may have kept the wake back. */
static enum fault_result window_done(struct mm_struct *mm, struct vm_fault *vmf, u64 addr, u64 done,
				     int err)
{
	vmf->nr_mapped = done;
	if (err && wake_spurious(mm, addr) == FAULT_GONE)
		return FAULT_GONE;
	return FAULT_RESOLVED;
}

/* Nothing was mapped at addr. */
static enum fault_result around_refused(struct mm_struct *mm, u64 addr, int err)
{
	pgtable_trim(mm, addr);
	return hw_refused(mm, addr, err);
}

/* Near the budget's end a window is no more than this part of the room that is left. */
#define AROUND_ROOM 4

/* Zero pages that could not be protected (-EBUSY): the program may write to them unheard, so each has a frame from now on. */
static void adopt_unprotected(struct mm_struct *mm, struct range r)
{
	for (; r.start < r.end; r.start += PAGE_SIZE)
		mm_readopt(mm, r.start, false);
}

/* ---- handlers; addr is the page's, the pte is none ---- */

static enum fault_result do_anonymous_zero(struct vm_area_struct *vma, struct vm_fault *vmf, u64 addr)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pte_ref ref = pte_alloc(mm, addr);
	struct around a;
	u64 done = 0;
	int err;

	if (!ref.table || (hw_of(mm)->zero_takes_anon_vma && anon_vma_prepare(vma)))
		return FAULT_OOM;
	a = fault_around(vma, addr, false, ref, UINT64_MAX);
	err = hw_of(mm)->map_zero(mm, a.start, a.nr, 0, &done);
	if (err == -EBUSY) {
		adopt_unprotected(mm, range_of(a.start, done << PAGE_SHIFT));
		return FAULT_RETRY;
	}
	for (u64 i = 0; i < done; i++)
		pte_set(mm, around_pte(&a, addr, ref, i), mk_pte_zero(true));
	if (!around_done(&a, addr, done, false))
		return a.start < addr ? do_anonymous_zero(vma, vmf, addr) : around_refused(mm, addr, err);
	vmf->handler = FH_DO_ANONYMOUS_PAGE_ZERO;
	return window_done(mm, vmf, addr, done, err);
}

void map_new_frame(struct vm_area_struct *vma, u64 addr, struct pte_ref ref)
{
	struct mm_struct *mm = vma->vm_mm;
	struct frame *frame = frame_alloc(mm->world, 0);

	page_add_new_anon_rmap(frame, vma, addr);
	pte_set(mm, ref, mk_pte(frame_to_pfn(frame), false));
	reclaim_insert(mm->world, frame, 0, RECLAIM_WRITE);
}

static enum fault_result do_anonymous_page(struct vm_area_struct *vma, struct vm_fault *vmf, u64 addr)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pte_ref ref;
	struct around a;
	u64 done = 0;
	int err;

	if (!reclaim_charge(mm->world, 1))
		return FAULT_PARKED;
	if (anon_vma_prepare(vma) || frame_reserve(mm->world, 0, 1))
		return FAULT_OOM;
	ref = pte_alloc(mm, addr);
	if (!ref.table)
		return FAULT_OOM;
	a = fault_around(vma, addr, true, ref, mm_room(mm->world) / AROUND_ROOM);
	if (a.nr > 1 && frame_reserve(mm->world, 0, a.nr))
		a = (struct around){ addr, 1, a.stream };
	err = hw_of(mm)->map_copy(mm, a.start, a.nr, NULL, 0, &done);
	for (u64 i = 0; i < done; i++)
		map_new_frame(vma, a.start + i * PAGE_SIZE, around_pte(&a, addr, ref, i));
	if (!around_done(&a, addr, done, true))
		return a.start < addr ? do_anonymous_page(vma, vmf, addr) : around_refused(mm, addr, err);
	vmf->handler = FH_DO_ANONYMOUS_PAGE;
	return window_done(mm, vmf, addr, done, err);
}

/*
 * Missing, says the message, and the model has a page there: another thread's fault brought it, or the
 * message is an old one, or the kernel has dropped it (MADV_FREE; MADV_DONTNEED by an io_uring, which
 * nobody traps).  Only the machine knows: while it has the page it says -EEXIST, and the pte stays.
 */
static enum fault_result do_dropped_page(struct vm_area_struct *vma, struct vm_fault *vmf, u64 addr,
					 struct pte_ref ref)
{
	struct mm_struct *mm = vma->vm_mm;
	/*
	 * Without room the zero page must do.  Most often the page is there, moved back while the message waited, and
	 * nobody may be evicted for that; if it is not, the write faults again, and waits for room.
	 */
	bool write = vmf->flags & FAULT_FLAG_WRITE && (mm_room(mm->world) || mm->world->reclaim.emergency);
	pte_t old = pte_get(ref);
	u64 done = 0;
	int err;

	if (pte_present(old) && pfn_to_frame(mm->world, pte_pfn(old))->state == FRAME_BUSY)
		return FAULT_PARKED; /* on its way out */
	if (write && (anon_vma_prepare(vma) || frame_reserve(mm->world, 0, 1)))
		return FAULT_OOM;
	if (write)
		err = hw_of(mm)->map_copy(mm, addr, 1, NULL, 0, &done);
	else
		err = hw_of(mm)->map_zero(mm, addr, 1, 0, &done);
	if (err == -EBUSY)
		adopt_unprotected(mm, range_of(addr, PAGE_SIZE));
	if (err == -EBUSY || !done)
		return hw_refused(mm, addr, err);
	if (write)
		map_new_frame(vma, addr, ref);
	else
		pte_set(mm, ref, mk_pte_zero(true));
	if (pte_present(old))
		page_remove_rmap(mm->world, pfn_to_frame(mm->world, pte_pfn(old)));
	vmf->handler = write ? FH_DO_ANONYMOUS_PAGE : FH_DO_ANONYMOUS_PAGE_ZERO;
	return window_done(mm, vmf, addr, done, err);
}

/*
 * Lift the protection of the page at addr and of the neighbours that the COW policy names; *run: of which.  The
 * machine may have two mappings where the model has one: then the page alone.
 */
static int lift_protection(struct vm_area_struct *vma, u64 addr, struct pte_ref ref, struct range *run)
{
	const struct hw_ops *hw = hw_of(vma->vm_mm);
	int err;

	*run = cow_reuse_run(vma, addr, ref);
	err = hw->protect(vma->vm_mm, *run, 0);
	if (err != -ENOENT || range_len(*run) == PAGE_SIZE)
		return err;
	*run = range_of(addr, PAGE_SIZE);
	return hw->protect(vma->vm_mm, *run, 0);
}

/*
 * A write to a write-protected page.  Lifting our protection lets the write go on; where the kernel's own
 * pte is read-only too (the zero page, a page shared after fork), the kernel then makes the copy.
 *
 *   zero page        -> a frame of our own
 *   mapcount 1       -> reuse
 *   mapcount 2..     -> old frame: mapcount - 1;  a new frame of our own
 */
static enum fault_result do_wp_page(struct vm_area_struct *vma, struct vm_fault *vmf, u64 addr,
				    struct pte_ref ref)
{
	struct mm_struct *mm = vma->vm_mm;
	struct frame *old = NULL;
	pte_t pte = pte_get(ref);
	struct range run;
	bool reuse;
	int err;

	if (pte_present(pte))
		old = pfn_to_frame(mm->world, pte_pfn(pte));
	if (old && old->state == FRAME_BUSY)
		return FAULT_PARKED; /* on its way out */
	reuse = old && old->mapcount == 1;
	if (!reuse && !reclaim_charge(mm->world, 1))
		return FAULT_PARKED;
	if (!reuse && (anon_vma_prepare(vma) || frame_reserve(mm->world, 0, 1)))
		return FAULT_OOM;
	err = lift_protection(vma, addr, ref, &run);
	if (err)
		return hw_refused(mm, addr, err);
	cow_reuse_neighbours(vma, run, addr, ref);
	vmf->nr_mapped = (u32)(range_len(run) >> PAGE_SHIFT);
	if (reuse) {
		page_move_anon_rmap(old, vma);
		pte_set(mm, ref, pte_clear_wp(pte));
		vmf->handler = FH_DO_WP_PAGE_REUSE;
		return FAULT_RESOLVED;
	}
	map_new_frame(vma, addr, ref);
	if (old) {
		frame_copied(mm, old, pfn_to_frame(mm->world, pte_pfn(pte_get(ref))));
		page_remove_rmap(mm->world, old);
	}
	vmf->handler = old ? FH_DO_WP_PAGE_COPY : FH_DO_WP_PAGE_ZERO;
	return FAULT_RESOLVED;
}

/*
 * ---- the table ----
 *
 * The vma's permissions are not asked: the kernel asks before it calls us, and calls us also where the
 * model would say no, while mprotect fills locked memory that it makes writable (the plan is not yet
 * committed), or when a write is forced through /proc/self/mem.  To turn those away would make the kernel
 * ask for ever; to answer a stale fault costs a page.
 */

/* The machine says "write-protected"; the model does not: lift it, the write goes on or faults anew. */
static enum fault_result stale_wp(struct mm_struct *mm, u64 addr)
{
	int err = hw_of(mm)->protect(mm, range_of(addr, PAGE_SIZE), 0);

	if (err == -EAGAIN)
		return FAULT_RETRY;
	if (err == -ESRCH)
		return FAULT_GONE;
	return err ? wake_spurious(mm, addr) : FAULT_SPURIOUS;
}

static enum fault_result handle_pte_fault(struct vm_area_struct *vma, struct vm_fault *vmf, u64 addr)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pte_ref ref = pte_offset(mm, addr);
	pte_t pte = ref.table ? pte_get(ref) : (pte_t){ 0 };

	if (pte_swap(pte))
		return do_swap_page(vma, vmf, addr, ref);
	if (vmf->flags & FAULT_FLAG_WP)
		return pte_wp(pte) ? do_wp_page(vma, vmf, addr, ref) : stale_wp(mm, addr);
	if (!pte_none(pte))
		return do_dropped_page(vma, vmf, addr, ref);
	if (vmf->flags & FAULT_FLAG_WRITE)
		return do_anonymous_page(vma, vmf, addr);
	return do_anonymous_zero(vma, vmf, addr);
}

/* Would Linux let the stack come down to addr?  Source: expand_downwards. */
static bool stack_may_grow(const struct vm_area_struct *vma, u64 addr)
{
	const struct vm_area_struct *prev = vma->vm_prev;

	if (!(vma->vm_flags & VM_GROWSDOWN) || vma->vm_flags & VM_UNMANAGED)
		return false;
	if ((vma->vm_start - addr) >> PAGE_SHIFT > vma->vm_pgoff)
		return false;
	if (!prev || prev->vm_flags & VM_GROWSDOWN || !(prev->vm_flags & VM_ACCESS_FLAGS))
		return true;
	return addr - prev->vm_end >= vma->vm_mm->world->config.stack_guard_gap;
}

/* The kernel has grown the stack down to the page at addr.  Returns 0 or -ENOMEM. */
static int expand_downwards(struct vm_area_struct *vma, u64 addr)
{
	u64 grow = (vma->vm_start - addr) >> PAGE_SHIFT;

	if (anon_vma_prepare(vma))
		return -ENOMEM;
	vma_set_range(vma, addr, vma->vm_end, vma->vm_pgoff - grow);
	return 0;
}

/*
 * A fault below a stack.  The kernel has grown it before it raised the fault; but a message that was
 * read late may be of a time before an munmap.  So the vma stays grown only when the machine took the
 * page.
 */
static enum fault_result fault_below_stack(struct vm_area_struct *vma, struct vm_fault *vmf, u64 addr)
{
	struct mm_struct *mm = vma->vm_mm;
	u64 start = vma->vm_start, pgoff = vma->vm_pgoff;
	enum fault_result result;

	if (!stack_may_grow(vma, addr))
		return wake_spurious(mm, addr);
	if (expand_downwards(vma, addr))
		return FAULT_OOM;
	result = handle_pte_fault(vma, vmf, addr);
	vmf->grew_stack = !pte_none(pte_lookup(mm, addr));
	if (!vmf->grew_stack)
		vma_set_range(vma, start, vma->vm_end, pgoff);
	return result;
}

enum fault_result mm_handle_fault(struct mm_struct *mm, struct vm_fault *vmf)
{
	u64 addr = page_align_down(vmf->address);
	struct vm_area_struct *vma = find_vma(mm, addr);

	vmf->handler = FH_NONE;
	vmf->nr_mapped = 0;
	vmf->grew_stack = false;
	if ((!vma || addr < vma->vm_start) && mremap_grew_in_place(mm->plan, addr))
		vma = find_vma(mm, addr);
	if (!vma || vmf->flags & FAULT_FLAG_MINOR)
		return wake_spurious(mm, addr);
	if (addr < vma->vm_start)
		return fault_below_stack(vma, vmf, addr);
	if (vma->vm_flags & VM_UNMANAGED)
		return wake_spurious(mm, addr);
	return handle_pte_fault(vma, vmf, addr);
}
