/* SPDX-License-Identifier: MIT */
/*
 * sc_area.c - calls that our stub is in the way of.
 *
 * The stub is one thread more, and its area is one mapping more than the program knows of (stager.h).  A call that
 * names addresses of the area (a MAP_FIXED over it, a munmap() of all that lies between two mappings), and one that
 * only a process of one thread may make, are to find neither.  So before such a call the stub ends, its area is
 * unmapped, and the call begins anew; at its end another stub is made, elsewhere (on_stop.c).
 * What a program does to the area alone, whose addresses it can have from /proc/self/maps only, is not done.
 *
 * Called by on_stop.c.  Nothing is in staging then: such a call waits for that, as a fork does.
 */
#include <errno.h>
#include <linux/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "sc.h"
#include "stager.h"
#include "sup.h"
#include "sys/tracee.h"
#include "sys/uapi.h"

static u64 arg(const struct task *t, int i)
{
	return sc_arg(&t->call.regs, i);
}

/* [addr, addr + len) in whole pages, as far as it goes. */
static struct range pages(u64 addr, u64 len)
{
	struct range r = { page_align_down(addr), page_align_up(addr + len) };

	if (r.end < r.start)
		r.end = ~0UL;
	return r;
}

/* What the call changes (`of`), and where it puts something. */
static void named(const struct task *t, struct range *of, struct range *to)
{
	*of = *to = (struct range){ 0, 0 };
	switch (t->call.row->nr) {
	case SYS_munmap:
	case SYS_mprotect:
	case SYS_pkey_mprotect:
	case SYS_madvise:
	case SYS_mlock:
	case SYS_mlock2:
	case SYS_munlock:
	case __NR_mseal:
		*of = pages(arg(t, 0), arg(t, 1));
		break;
	case SYS_mmap:
		if (arg(t, 3) & (MAP_FIXED | MAP_FIXED_NOREPLACE))
			*to = pages(arg(t, 0), arg(t, 1));
		break;
	case SYS_mremap:
		*of = pages(arg(t, 0), arg(t, 1));
		if (arg(t, 3) & MREMAP_FIXED)
			*to = pages(arg(t, 4), arg(t, 2));
		else if (!(arg(t, 3) & MREMAP_MAYMOVE) && arg(t, 2) > arg(t, 1))
			*to = pages(arg(t, 0), arg(t, 2));
		break;
	case SYS_shmat:
		if (arg(t, 2) & SHM_REMAP)
			*to = pages(arg(t, 1), PAGE_SIZE);
		break;
	}
}

bool sc_is_for_area(const struct task *t)
{
	const struct stager *st = t->space ? t->space->stager : NULL;
	struct range of, to;

	if (!st)
		return false;
	named(t, &of, &to);
	return t->call.row->nr != SYS_mremap && !range_empty(of) && range_covers(st->area, of);
}

bool sc_wants_way(const struct task *t)
{
	const struct stager *st = t->space->stager;
	struct range of, to;

	if (!st)
		return false;
	if (t->call.row->enter == sc_alone_enter)
		return true;
	named(t, &of, &to);
	return range_overlaps(st->area, of) || range_overlaps(st->area, to);
}

bool sc_wants_flush(const struct task *t)
{
	return t->call.row->nr == SYS_mlockall || (t->call.row->flags & SC_MM && sc_wants_way(t));
}

/* ---- the way is made ---- */

enum sc_verdict sc_make_way(struct task *t)
{
	if (t->space->stager->nr_used) { /* swap is full: what is in staging can go nowhere */
		t->call.result = -ENOMEM;
		return SC_REFUSE;
	}
	if (!stager_remove(t, &t->call.death))
		return SC_DONE;
	return t->call.death.event == TE_NONE ? SC_DONE : SC_DIED;
}

/* ---- calls that want a process with one thread: unshare, setns ---- */

enum sc_verdict sc_alone_enter(struct sup *sup, struct task *t)
{
	return sup->opt->memory ? SC_WATCH : SC_PASS;
}

/* Where it comes from, or has been before, its process could perhaps not have a stub. */
void sc_alone_leave(struct sup *sup, struct task *t, long result)
{
	t->space->restage |= !t->space->stager;
}
