/* SPDX-License-Identifier: MIT */
/*
 * sc_uring.c - memory that an io_uring holds: registered buffers, and rings of provided ones.
 *
 * Called by on_stop.c with the mm's call slot held.  The kernel pins the pages and uses them whatever the page tables
 * say, until the ring lets go of them.  MOVE refuses such a page by itself; all that leaves in another way is kept from
 * leaving (lib/mm/gup.c): all memory on kernels without MOVE, and what is executable, has a key, or is shared by a fork.
 *
 * Nobody says which pages are let go of: a ring may be shared by several processes, or closed at any time.  But
 * the kernel counts what it holds (VmPin), and unpins before it counts down: when that is 0, nothing is held.
 * It counts at the process that made the ring; one that pins by an inherited ring keeps its pages for good.
 *
 * Not seen here: rings that lie in the program's memory (IORING_SETUP_NO_MMAP, since 6.5).
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/check.h"
#include "mm/mm_query.h"
#include "reclaim.h"
#include "sc.h"

/* Linux allows so many (IORING_MAX_REG_BUFFERS). */
#define MAX_BUFFERS (1u << 14)

/* What one call is going to pin. */
struct pins {
	struct range *range;
	u32 nr;
	u64 pages; /* as the kernel counts them: buffer by buffer */
};

static u64 arg(const struct task *t, int i)
{
	return sc_arg(&t->call.regs, i);
}

static u32 opcode(const struct task *t)
{
	return (u32)arg(t, 1) & 0x7fffffffu;
}

/* Pages that the kernel counts as pinned by the process; -1: it is dying. */
static s64 vm_pin_pages(const struct space *space)
{
	struct proc_status_mm st;

	return proc_status_mm(space->pid, &st) ? -1 : (s64)(st.vm_pin >> (PAGE_SHIFT - 10));
}

static void forget_pins(struct space *space)
{
	if (mm_has_pinned(space->mm) && !space->pins_stay && vm_pin_pages(space) == 0)
		mm_unpin(space->mm);
}

/* ---- what is going to be pinned ---- */

/* The kernel refuses a buffer that wraps around.  Buffers are often neighbours. */
static void add_pin(struct pins *p, u64 addr, u64 len)
{
	struct range r = { page_align_down(addr), page_align_up(addr + len) };

	if (!len || addr + len < addr || range_empty(r))
		return;
	p->pages += range_len(r) >> PAGE_SHIFT;
	if (p->nr && p->range[p->nr - 1].end == r.start)
		p->range[p->nr - 1].end = r.end;
	else
		p->range[p->nr++] = r;
}

static int read_iovecs(struct task *t, u64 addr, u32 nr, struct pins *p)
{
	struct iovec *iov;
	int ret;

	if (!addr || !nr)
		return 0; /* places without a buffer */
	if (nr > MAX_BUFFERS)
		return -EINVAL;
	iov = calloc(nr, sizeof(*iov));
	p->range = calloc(nr, sizeof(*p->range));
	BUG_ON(!iov || !p->range);
	ret = space_read(t, addr, iov, nr * sizeof(*iov));
	for (u32 i = 0; i < nr && !ret; i++)
		add_pin(p, (u64)iov[i].iov_base, iov[i].iov_len);
	free(iov);
	return ret;
}

static int read_buf_ring(struct task *t, struct pins *p)
{
	struct io_uring_buf_reg reg;
	int ret = space_read(t, arg(t, 2), &reg, sizeof(reg));

	if (ret || !reg.ring_addr) /* the kernel's own memory, later mapped */
		return ret;
	p->range = calloc(1, sizeof(*p->range));
	BUG_ON(!p->range);
	add_pin(p, reg.ring_addr, (u64)reg.ring_entries * sizeof(struct io_uring_buf));
	return 0;
}

/* Returns 0, or -errno: the kernel will not pin anything. */
static int read_pins(struct task *t, struct pins *p)
{
	struct io_uring_rsrc_register reg;
	struct io_uring_rsrc_update2 up;
	int ret;

	switch (opcode(t)) {
	case IORING_REGISTER_BUFFERS:
		return read_iovecs(t, arg(t, 2), (u32)arg(t, 3), p);
	case IORING_REGISTER_BUFFERS2:
		ret = space_read(t, arg(t, 2), &reg, sizeof(reg));
		return ret ? ret : read_iovecs(t, reg.data, reg.nr, p);
	case IORING_REGISTER_BUFFERS_UPDATE:
		ret = space_read(t, arg(t, 2), &up, sizeof(up));
		return ret ? ret : read_iovecs(t, up.data, up.nr, p);
	case IORING_REGISTER_PBUF_RING:
		return read_buf_ring(t, p);
	}
	return -EINVAL;
}

/* ---- before the kernel pins ---- */

/* Turns that are taken so that something may leave, before a page is brought that exceeds the budget. */
#define ROOM_TURNS 64

/* Returns false: what can leave has left. */
static bool wait_for_room(struct sup *sup)
{
	for (int i = 0; i < ROOM_TURNS; i++) {
		if (mm_room(sup->world))
			return true;
		reclaim_pump(sup);
	}
	return false;
}

bool sc_is_writable(const struct space *space, u64 addr)
{
	struct pte_info pte;

	mm_lookup_pte(space->mm, addr, &pte);
	return pte.state == PTE_PRESENT && !pte.wp && !pte.busy;
}

int sc_bring_writable(struct space *space, u64 addr, bool *wait)
{
	struct reclaim *r = mm_reclaim(space->sup->world);
	struct vm_fault vmf = { .address = addr, .flags = FAULT_FLAG_WRITE | FAULT_FLAG_WP };
	struct pte_info pte;
	int ret;

	if (sc_is_writable(space, addr))
		return 0;
	*wait = *wait && wait_for_room(space->sup);
	ret = space_bring(space, addr, FAULT_FLAG_WRITE, false);
	mm_lookup_pte(space->mm, addr, &pte);
	if (ret || !pte.wp)
		return ret;
	r->emergency++;
	ret = mm_handle_fault(space->mm, &vmf) == FAULT_RESOLVED ? 0 : -EFAULT;
	r->emergency--;
	return ret;
}

/*
 * All pages are there and not protected before the kernel looks: 6.1 does not wait for a userfaultfd here, but says
 * EFAULT.  So it will, and rightly, of the first page that is not writable memory.
 */
static void bring_all(struct space *space, const struct pins *p)
{
	struct vma_info v = { 0 };
	bool wait = true;

	for (u32 i = 0; i < p->nr; i++) {
		for (u64 addr = p->range[i].start; addr < p->range[i].end; addr += PAGE_SIZE) {
			if ((addr < v.start || addr >= v.end) && !mm_find_vma(space->mm, addr, &v))
				return;
			if (addr < v.start || !(v.vm_flags & VM_WRITE))
				return;
			if (!(v.vm_flags & VM_UNMANAGED) && sc_bring_writable(space, addr, &wait))
				return;
		}
	}
}

/* ---- the call ---- */

/*
 * More iovecs than Linux takes, or that cannot be read: the kernel says so, and pins nothing.  It is not asked
 * when we could not keep what it will pin.
 */
static enum sc_verdict prepare(struct task *t, const struct pins *p)
{
	struct space *space = t->space;

	if (!p->nr)
		return SC_PASS;
	if (mm_plan_pin(space->mm, p->range, p->nr, &t->call.plan)) {
		t->call.plan = NULL;
		t->call.result = -ENOMEM;
		return SC_REFUSE;
	}
	bring_all(space, p);
	t->call.scratch = (u64)vm_pin_pages(space) + p->pages;
	return SC_WATCH;
}

enum sc_verdict sc_uring_register_enter(struct sup *sup, struct task *t)
{
	struct pins p = { NULL };
	enum sc_verdict verdict;

	forget_pins(t->space);
	if (opcode(t) == IORING_UNREGISTER_BUFFERS)
		return SC_WATCH_FREE; /* it may wait for a transfer that other threads must make possible */
	verdict = read_pins(t, &p) ? SC_PASS : prepare(t, &p);
	free(p.range);
	return verdict;
}

void sc_uring_register_leave(struct sup *sup, struct task *t, long result)
{
	struct mm_plan *plan = t->call.plan;
	struct space *space = t->space;

	if (!plan) {
		forget_pins(space);
		return;
	}
	t->call.plan = NULL;
	if (result < 0) {
		mm_plan_abort(plan);
		return;
	}
	mm_plan_commit(plan, 0);
	/* It is not all in VmPin: another process's, or put in the place of others. */
	space->pins_stay |= vm_pin_pages(space) < (s64)t->call.scratch;
}
