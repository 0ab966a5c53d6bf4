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
 * A program that counts its threads looks into /proc/self/task (Chromium will not start children when it finds one more
 * than it knows of).  So a task that opens a directory there is followed, call by call, until it has closed that, or
 * does something else; only then another stub is made.  While what it has open is a directory of threads it is followed
 * on, for it may only have read a thread's name, or slept until one was gone, and then read on or again.  That
 * call, which the filter lets through, gets a mark for it, and the stub goes once more.  Who has /proc open since long
 * ago (a sandboxed process that sees no files any more) only asks fstatat() for the links of self/task.
 *
 * Called by on_stop.c.  Nothing is in staging then: such a call waits for that, as a fork does.
 */
#include <errno.h>
#include <linux/mman.h>
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sc.h"
#include "stager.h"
#include "sup.h"
#include "sys/procmaps.h"
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

/* A directory from which the threads of a process can be had. */
static bool leads_to_threads(const char *path)
{
	return !strcmp(path, "/proc") || !strncmp(path, "/proc/", 6) || !strcmp(path, "task") || strstr(path, "/task");
}

/* The beginning of a path in the program's memory, "" when it has none there. */
static void read_path(struct task *t, u64 addr, char *path, u64 len)
{
	u64 first = u64_min(len - 1, PAGE_SIZE - addr % PAGE_SIZE);

	memset(path, 0, len);
	if (space_read(t, addr, path, first))
		path[0] = '\0';
	else if (strlen(path) == first && first < len - 1 && space_read(t, addr + first, path + first, len - 1 - first))
		path[first] = '\0';
}

static bool is_listing(const struct task *t)
{
	return t->call.row->enter == sc_listing_enter;
}

bool sc_wants_way(const struct task *t)
{
	const struct stager *st = t->space->stager;
	struct range of, to;

	if (!st)
		return false;
	if (t->call.row->enter == sc_alone_enter || is_listing(t))
		return true;
	named(t, &of, &to);
	return range_overlaps(st->area, of) || range_overlaps(st->area, to);
}

bool sc_wants_flush(const struct task *t)
{
	return t->call.row->nr == SYS_mlockall || (t->call.row->flags & SC_MM && sc_wants_way(t));
}

/* ---- calls that see a process's threads ---- */

/* So many calls are followed at the most while the stub is away, */
#define LISTING_CALLS 32
/* and so many from then on, as long as a directory of threads is open. */
#define OPEN_CALLS 1024

void sc_listing_drop(struct task *t)
{
	if (t->listing.counts)
		t->space->listings--;
	t->listing = (struct listing){ 0 };
}

/* The links are counted, and that is all. */
static bool is_one_call(const struct task *t)
{
	return t->call.row->nr == SYS_newfstatat;
}

/* An open directory is read. */
static bool reads_on(u64 nr)
{
	return nr == SYS_getdents || nr == SYS_getdents64;
}

static void listing_begin(struct task *t)
{
	u64 fd = reads_on((u64)t->call.row->nr) ? arg(t, 0) : NO_FD;

	sc_listing_drop(t); /* another one goes on */
	t->listing = (struct listing){ .calls = LISTING_CALLS, .counts = true, .fd = fd };
	t->space->listings++;
}

/* Its descriptor `fd` is a directory of threads. */
static bool has_threads(const struct task *t, u64 fd)
{
	static const char end[] = "/task";
	char path[64], to[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", t->tid, (int)fd);
	n = fd == NO_FD ? -1 : readlink(path, to, sizeof(to));
	return n >= (ssize_t)sizeof(end) && !memcmp(to + n - (sizeof(end) - 1), end, sizeof(end) - 1);
}

/* The stub may come back at the end of the call; but who could go on listing is followed on. */
static void listing_rest(struct task *t)
{
	u64 fd = t->listing.fd;

	sc_listing_drop(t);
	t->listing = has_threads(t, fd) ? (struct listing){ .calls = OPEN_CALLS, .fd = fd } :
					  (struct listing){ .calls = 1, .fd = NO_FD };
}

/* `t` is about to read its directory, with the stub back: have the filter stop it. */
static void listing_mark(struct task *t)
{
	sc_regs regs;

	if (tracee_get_regs(t->tid, &regs))
		return;
	t->listing.last = sc_arg(&regs, 5);
	sc_set_arg(&regs, 5, t->space->sup->secret);
	t->listing.marked = !tracee_set_regs(t->tid, &regs);
}

void sc_listing_unmark(struct task *t)
{
	if (!t->listing.marked)
		return;
	t->listing.marked = false;
	sc_set_arg(&t->call.regs, 5, t->listing.last);
	(void)tracee_set_regs(t->tid, &t->call.regs);
}

bool sc_is_other_listing(struct task *t)
{
	char path[64];

	if (!is_listing(t) || reads_on((u64)t->call.row->nr))
		return false;
	read_path(t, arg(t, t->call.row->nr != SYS_open), path, sizeof(path));
	return !leads_to_threads(path) || (!t->space->stager && !t->space->restage);
}

/* A call that a listing is made of, and that waits for nobody. */
static bool lists_on(u64 nr)
{
	switch (nr) {
	case SYS_close:
	case SYS_fcntl:
	case SYS_fstat:
	case SYS_newfstatat:
	case SYS_statx:
	case SYS_getdents:
	case SYS_getdents64:
	case SYS_lseek:
	case SYS_readlink:
	case SYS_readlinkat:
	case SYS_getpid:
	case SYS_getrandom: /* malloc()'s first */
	case SYS_gettid:
	case SYS_open:
	case SYS_openat:
	case SYS_brk:
	case SYS_mmap:
	case SYS_munmap:
	case SYS_mprotect:
		return true;
	}
	return false;
}

bool sc_listing_over(struct task *t)
{
	struct listing *l = &t->listing;
	u64 nr, arg0;
	long result;

	if (tracee_at_entry(t->tid, &nr, &arg0)) {
		l->closes = nr == SYS_close && arg0 == l->fd;
		if (!l->counts && reads_on(nr) && arg0 == l->fd)
			listing_mark(t);
		else if (l->counts && !lists_on(nr))
			listing_rest(t); /* who knows when it returns: then the stub comes, or sooner, with another's call */
		return false;
	}
	if (l->marked && !tracee_get_regs(t->tid, &t->call.regs))
		sc_listing_unmark(t); /* a filter of the program's own did not let it come so far */
	if (tracee_get_result(t->tid, &result) || sc_is_restart(result))
		return false; /* killed; or a signal is to be handled first */
	if (l->counts && l->fd == NO_FD) {
		l->fd = (u64)result;
		l->closes = result < 0;
	}
	if (l->closes || !--l->calls) {
		if (l->counts && !l->closes)
			listing_rest(t);
		else
			sc_listing_drop(t);
	}
	return !l->counts;
}

/* The stub is away: for this one, which comes with its call again, or for another. */
enum sc_verdict sc_listing_enter(struct sup *sup, struct task *t)
{
	if (t->space->restage && !(is_one_call(t) && t->listing.counts))
		listing_begin(t); /* not to come back in the middle */
	return SC_PASS;
}

/* ---- the way is made ---- */

enum sc_verdict sc_make_way(struct task *t)
{
	if (is_listing(t) && !proc_may_clone_thread(t->tid))
		return SC_PASS; /* there would be no other stub */
	if (t->space->stager->nr_used) { /* swap is full: what is in staging can go nowhere */
		if (is_listing(t))
			return SC_PASS;
		t->call.result = -ENOMEM;
		return SC_REFUSE;
	}
	if (is_listing(t))
		listing_begin(t);
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
