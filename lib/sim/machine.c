/* SPDX-License-Identifier: MIT */
/*
 * machine.c - page tables, frames, loads and stores of the fake machine, and the hw_ops on it.
 *
 * It behaves as Linux with userfaultfd does (docs/KERNEL.md): a load or store of an armed page that is not
 * there is a MISSING fault; of a page that we write-protected, a WP fault; a store to a page that is shared
 * but not protected by us is copied by the kernel without a word.
 */
#include <sys/mman.h>

#include "sim/swapper.h"

/* ---- frames ---- */

static u16 frame_new(struct sim *sim, u8 tag)
{
	u16 f;

	BUG_ON(!sim->nr_free);
	f = sim->free_frame[--sim->nr_free];
	sim->frame[f] = (struct sim_frame){ .tag = tag, .refs = 1, .exclusive = true };
	return f;
}

void sim_frame_unref(struct sim *sim, u16 f)
{
	BUG_ON(!sim->frame[f].refs);
	if (--sim->frame[f].refs == 0)
		sim->free_frame[sim->nr_free++] = f;
}

void sim_pte_clear(struct sim *sim, struct sim_page *p)
{
	if (p->state == SIM_PRESENT)
		sim_frame_unref(sim, p->frame);
	p->state = SIM_NONE;
	p->wp = p->lazyfree = p->dropped = p->alien = p->lag = p->pinned = false;
}

u16 sim_frame_take(struct sim *sim, struct sim_page *p)
{
	u16 f = p->frame;

	BUG_ON(p->state != SIM_PRESENT);
	sim->frame[f].refs++;
	sim_pte_clear(sim, p);
	return f;
}

void sim_frame_give(struct sim *sim, struct sim_page *p, u16 f)
{
	BUG_ON(p->state != SIM_NONE);
	sim_pte_clear(sim, p);
	p->frame = f;
	p->state = SIM_PRESENT;
}

void sim_pte_dup(struct sim *sim, struct sim_page *from, struct sim_page *to)
{
	from->lag |= from->pinned; /* the model takes it for shared */
	to->state = from->state;
	to->wp = from->wp;
	to->lazyfree = from->lazyfree;
	to->dropped = from->dropped;
	to->alien = from->alien;
	to->lag = from->lag;
	to->frame = from->frame;
	if (from->state != SIM_PRESENT)
		return;
	if (from->pinned) { /* copied at once: the device must go on with the parent's */
		to->frame = frame_new(sim, sim->frame[from->frame].tag);
		to->lag = true;
		return;
	}
	sim->frame[from->frame].refs++;
	sim->frame[from->frame].exclusive = false;
}

static void pte_set_frame(struct sim *sim, struct sim_page *p, u8 tag)
{
	sim_pte_clear(sim, p);
	p->frame = frame_new(sim, tag);
	p->state = SIM_PRESENT;
}

void sim_kernel_touch(struct sim *sim, struct sim_page *p, bool write)
{
	if (p->state != SIM_NONE)
		return;
	sim_pte_clear(sim, p);
	if (write)
		pte_set_frame(sim, p, 0);
	p->state = write ? SIM_PRESENT : SIM_ZERO;
	p->alien = true;
}

bool sim_drop_lazyfree(struct sim *sim, struct sim_page *p)
{
	if (!p->lazyfree || p->state != SIM_PRESENT)
		return false;
	sim_pte_clear(sim, p);
	p->dropped = true;
	sim->stats.drops++;
	return true;
}

/* ---- hw_ops ---- */

static struct sim_space *space_of(struct mm_struct *mm)
{
	return mm_host(mm);
}

int sim_scripted(struct sim *sim, bool may_lack_memory)
{
	struct sim_script *sc = &sim->script;

	if (!sc->nth || --sc->nth)
		return 0;
	if (sc->err == -ENOMEM && !may_lack_memory)
		return 0;
	if (sc->burst) {
		sc->burst--;
		sc->nth = 1;
	}
	sim->injected = true;
	sim->stats.injected++;
	return sc->err;
}

static void wake_range(struct sim *sim, struct range r)
{
	if (range_empty(sim->woken))
		sim->woken = r;
	sim->woken.start = u64_min(sim->woken.start, r.start);
	sim->woken.end = u64_max(sim->woken.end, r.end);
}

static int sim_arm(struct mm_struct *mm, struct range r)
{
	struct sim_space *s = space_of(mm);

	sim_for_each_page(i, r) {
		if (!sim_managed(&s->page[i]))
			return -EINVAL;
		s->page[i].armed = true;
	}
	return 0;
}

/* Map one page: `tag` of new frames, or the zero page. */
static int map_one(struct sim_space *s, u64 addr, bool zero, u8 tag, bool wp)
{
	struct sim_page *p = sim_page(s, addr);

	if (!p || !sim_managed(p) || !p->armed)
		return -ENOENT;
	if (p->state != SIM_NONE)
		return -EEXIST;
	sim_pte_clear(s->sim, p);
	if (zero)
		p->state = SIM_ZERO;
	else
		pte_set_frame(s->sim, p, tag);
	p->wp = wp;
	return 0;
}

static int map_run(struct mm_struct *mm, u64 addr, u64 nr_pages, bool zero, const u8 *src,
		   unsigned int flags, u64 *done)
{
	struct sim_space *s = space_of(mm);
	struct sim *sim = s->sim;
	int refuse = sim_scripted(sim, true);
	u64 n = refuse ? u64_min(nr_pages - 1, sim->script.after) : nr_pages;
	bool unprotected = zero && refuse == -EAGAIN && !sim->script.after;
	int err = 0;

	*done = 0;
	BUG_ON(!nr_pages || !page_aligned(addr));
	if (unprotected) { /* it came between the two calls of hw_linux.c */
		n = nr_pages;
		refuse = -EBUSY;
	}
	while (!err && *done < n) {
		err = map_one(s, addr + *done * PAGE_SIZE, zero, src ? src[*done * PAGE_SIZE] : 0,
			      (zero && !unprotected) || flags & HW_WP);
		if (!err)
			sim_page(s, addr + *done * PAGE_SIZE)->lag = unprotected;
		*done += !err;
	}
	if (!err)
		err = refuse;
	if (!err && !(flags & HW_NOWAKE))
		wake_range(sim, range_of(addr, nr_pages << PAGE_SHIFT));
	return err;
}

static int sim_map_zero(struct mm_struct *mm, u64 addr, u64 nr_pages, unsigned int flags, u64 *done)
{
	return map_run(mm, addr, nr_pages, true, NULL, flags, done);
}

static int sim_map_copy(struct mm_struct *mm, u64 addr, u64 nr_pages, const void *src,
			unsigned int flags, u64 *done)
{
	return map_run(mm, addr, nr_pages, false, src, flags, done);
}

static int sim_protect(struct mm_struct *mm, struct range r, unsigned int flags)
{
	struct sim_space *s = space_of(mm);
	int err = sim_scripted(s->sim, false);

	if (err)
		return err;
	sim_for_each_page(i, r) {
		struct sim_page *p = &s->page[i];

		if (!sim_managed(p) || !p->armed)
			return -ENOENT;
		if (p->state == SIM_NONE)
			continue;
		if (p->wp && !(flags & HW_WP))
			p->lag = true;
		p->wp = flags & HW_WP;
	}
	if (!(flags & (HW_WP | HW_NOWAKE)))
		wake_range(s->sim, r);
	return 0;
}

static int sim_wake(struct mm_struct *mm, struct range r)
{
	wake_range(space_of(mm)->sim, r);
	return 0;
}

const struct hw_ops sim_hw_ops = {
	.arm = sim_arm,
	.map_zero = sim_map_zero,
	.map_copy = sim_map_copy,
	.protect = sim_protect,
	.wake = sim_wake,
	.unstage = sim_unstage,
	.peek = sim_peek,
	.unstage_drop = sim_unstage_drop,
};

/* ---- faults ---- */

int sim_fault_of(const struct sim_page *p, bool write)
{
	if (p->state == SIM_NONE)
		return write ? FAULT_FLAG_WRITE : 0;
	if (write && p->wp)
		return FAULT_FLAG_WP | FAULT_FLAG_WRITE;
	return -1;
}

#define MAX_TRIES 40

/* It was answered: is its thread awake, or will the one who moves its page wake it? */
static void check_woken(const struct sim_space *s, u64 addr, const struct vm_fault *vmf)
{
	bool moving = vmf->handler == FH_DO_SWAP_PAGE_SOFT && pte_swap(pte_lookup(s->mm, addr));

	if (!moving && !range_contains(s->sim->woken, addr))
		BUG("I13: the fault at page %u was answered but its thread not woken", sim_index(addr));
}

static enum fault_result send_once(struct sim_space *s, u64 addr, unsigned int flags)
{
	struct vm_fault vmf = { .address = addr + 123, .flags = flags };
	struct sim *sim = s->sim;
	const struct reclaim *r = mm_reclaim(sim->world);
	u64 used = sim->world->frames.nr_used, io_errors = sim->stats.io_errors;
	bool alloc_fails = alloc_fail_pending();
	enum fault_result result;

	sim->woken = (struct range){ 0, 0 };
	sim->injected = false;
	sim->stats.faults++;
	result = mm_handle_fault(s->mm, &vmf);
	sim->stats.handled[vmf.handler]++;
	switch (result) {
	case FAULT_RESOLVED:
		if (r->budget && !r->emergency && sim->world->frames.nr_used > u64_max(used, r->budget))
			BUG("a fault takes a frame beyond the budget");
		check_woken(s, addr, &vmf);
		break;
	case FAULT_SPURIOUS:
		check_woken(s, addr, &vmf);
		break;
	case FAULT_RETRY:
	case FAULT_GONE:
		BUG_ON(!sim->injected);
		break;
	case FAULT_OOM:
		BUG_ON(!sim->injected && !(alloc_fails && !alloc_fail_pending()));
		break;
	case FAULT_PARKED:
		BUG_ON(!r->ops);
		sim->stats.parked++;
		break;
	case FAULT_SIGBUS:
		BUG_ON(!io_errors && !sim->stats.io_errors);
		sim->stats.sigbus++;
		break;
	}
	return result;
}

/* Steps of the swapper that a fault may wait for before it gets a frame beyond the budget, as after an OOM kill. */
#define PATIENCE 400

/* The fault is parked until something has changed. */
static void wait_for_change(struct sim *sim, u32 *waited)
{
	struct reclaim *r = mm_reclaim(sim->world);

	if (sim_make_progress(sim) && ++*waited < PATIENCE)
		return;
	if (*waited > 2 * PATIENCE)
		BUG("a fault waits for ever");
	if (!r->emergency) { /* and the user gives more: locked memory alone may be beyond what there is */
		sim->stats.emergencies++;
		mm_set_budget(sim->world, sim->world->frames.nr_used + 8);
	}
	r->emergency = 1;
	++*waited;
}

enum fault_result sim_send_fault(struct sim_space *s, u64 addr, unsigned int flags)
{
	enum fault_result result;
	u32 waited = 0;

	for (int tries = 0; tries < MAX_TRIES;) {
		result = send_once(s, addr, flags);
		if (result == FAULT_PARKED) {
			wait_for_change(s->sim, &waited);
			continue;
		}
		if (result != FAULT_RETRY && result != FAULT_OOM)
			break;
		tries++;
	}
	mm_reclaim(s->sim->world)->emergency = 0;
	if (result == FAULT_RETRY || result == FAULT_OOM)
		BUG("the fault at page %u is never answered", sim_index(addr));
	return result;
}

bool sim_grow_stack(struct sim_space *s, u64 addr)
{
	u32 at = sim_index(addr), i = at, below = at;
	struct sim_page *stack;

	while (i < SIM_PAGES && !s->page[i].mapped)
		i++;
	if (i == SIM_PAGES || i == at)
		return false;
	stack = &s->page[i];
	if (!(stack->vm_flags & VM_GROWSDOWN) || !sim_managed(stack) ||
	    !(stack->vm_flags & VM_WRITE)) /* a growth without a fault would not be told */
		return false;
	while (below > 0 && !s->page[below - 1].mapped)
		below--;
	if (below > 0 && !(s->page[below - 1].vm_flags & VM_GROWSDOWN) &&
	    s->page[below - 1].vm_flags & VM_ACCESS_FLAGS &&
	    (at - below) * PAGE_SIZE < SIM_GUARD_GAP)
		return false;
	for (u32 j = at; j < i; j++)
		s->page[j] = (struct sim_page){
			.mapped = true,
			.vm_flags = stack->vm_flags,
			.armed = stack->armed,
		};
	return true;
}

/* ---- loads and stores ---- */

/* Bring the page to where the access can be made.  Pre: it is permitted. */
static enum sim_access fault_in(struct sim_space *s, u64 addr, bool write)
{
	struct sim_page *p = sim_page(s, addr);

	for (int tries = 0; tries < MAX_TRIES; tries++) {
		int flags = sim_fault_of(p, write);

		if (flags < 0)
			return SIM_ACCESS_OK;
		if (!p->armed) {
			BUG_ON(p->wp);
			sim_kernel_touch(s->sim, p, write);
			continue;
		}
		switch (sim_send_fault(s, addr, flags)) {
		case FAULT_GONE:
			return SIM_ACCESS_GONE;
		case FAULT_SIGBUS:
			return SIM_ACCESS_SIGBUS;
		default:
			break;
		}
	}
	BUG("the thread at page %u faults for ever", sim_index(addr));
}

void sim_kernel_cow(struct sim *sim, struct sim_page *p)
{
	bool alien = p->alien;

	if (p->state == SIM_ZERO)
		pte_set_frame(sim, p, 0);
	else if (sim->frame[p->frame].refs > 1)
		pte_set_frame(sim, p, sim->frame[p->frame].tag);
	sim->frame[p->frame].exclusive = true;
	p->alien = alien;
	p->lag = false;
}

static u8 load(const struct sim *sim, const struct sim_page *p)
{
	return p->state == SIM_PRESENT ? sim->frame[p->frame].tag : 0;
}

static bool permitted(const struct sim_page *p, bool write)
{
	return p->mapped && p->vm_flags & (write ? VM_WRITE : VM_ACCESS_FLAGS);
}

enum sim_access sim_access(struct sim_space *s, u64 addr, bool write)
{
	struct sim *sim = s->sim;
	struct sim_page *p = sim_page(s, addr);
	enum sim_access r;

	if (!p->mapped && !sim_grow_stack(s, addr))
		return SIM_ACCESS_SEGV;
	if (!permitted(p, write))
		return SIM_ACCESS_SEGV;
	if (!sim_managed(p))
		return SIM_ACCESS_OK;
	r = fault_in(s, addr, write);
	if (r != SIM_ACCESS_OK)
		return r;
	if (write) {
		sim_kernel_cow(sim, p);
		if (++sim->next_tag == 0)
			sim->next_tag = 1;
		sim->frame[p->frame].tag = p->tag = sim->next_tag;
		p->lazyfree = p->maybe_zero = false;
		sim->stats.stores++;
		return SIM_ACCESS_OK;
	}
	sim->stats.loads++;
	if (load(sim, p) == 0 && p->maybe_zero)
		p->tag = 0;
	if (load(sim, p) != p->tag)
		BUG("a load at page %u returns %u, stored was %u", sim_index(addr), load(sim, p), p->tag);
	return SIM_ACCESS_OK;
}

enum sim_access sim_populate(struct sim_space *s, struct range r)
{
	sim_for_each_page(i, r) {
		struct sim_page *p = &s->page[i];
		bool write = p->vm_flags & VM_WRITE;

		if (!sim_managed(p) || !(p->vm_flags & VM_ACCESS_FLAGS) ||
		    p->vm_flags & VM_LOCKONFAULT)
			continue;
		switch (fault_in(s, sim_addr(i), write)) {
		case SIM_ACCESS_GONE:
			return SIM_ACCESS_GONE;
		case SIM_ACCESS_OK:
			break;
		default: /* it cannot be read back: the rest is left out, as by Linux */
			return SIM_ACCESS_OK;
		}
		if (!write)
			continue;
		sim_kernel_cow(s->sim, p);
		if (load(s->sim, p) == 0 && p->maybe_zero)
			p->tag = 0;
		p->lazyfree = p->maybe_zero = false;
	}
	return SIM_ACCESS_OK;
}
