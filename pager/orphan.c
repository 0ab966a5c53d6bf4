/* SPDX-License-Identifier: MIT */
/*
 * orphan.c - makers that die: which of the new processes has the address space that their call made.
 *
 * A maker names its child at its fork event.  One that is killed before we have read that names nobody: then its list of
 * children tells at its exit stop, and later who comes to us, nameless, at its first stop.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "sc.h"
#include "sup.h"
#include "sys/procmaps.h"
#include "sys/uffd.h"

struct orphan {
	struct list_head link; /* sup.orphans */
	struct space *space;   /* a reference, for the task that was made */
	int seccomp;           /* its mode */
};

/* Some task is making one whose parent is that of `tid`: its event will say whether this is the one. */
static bool may_be_named(struct sup *sup, pid_t tid)
{
	pid_t ppid = proc_ppid(tid);
	struct task *t;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (sc_is_making_task(t) &&
			    (t->call.scratch & CLONE_PARENT ? proc_ppid(t->tgid) : t->tgid) == ppid)
				return true;
	return false;
}

/* `t`, a process whose maker died, has that space. */
static void adopt(struct sup *sup, struct task *t, struct space *space, int seccomp)
{
	t->tgid = t->tid;
	t->pidfd = pidfd_of(t->tid);
	t->space = space;
	t->seccomp = seccomp;
	if (!space->pid)
		space->pid = t->tid;
	sup->stats.processes++;
	if (t->first_stop_seen)
		sc_first_run(t);
}

static void orphan_free(struct orphan *o)
{
	list_del(&o->link);
	space_put(o->space);
	free(o);
}

/* True also where the kernel does not tell (CONFIG_KCMP). */
static bool shares_mm(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0) <= 0;
}

static bool is_write_protected(int pagemap, u64 addr)
{
	u64 entry;

	return pagemap_read(pagemap, addr, &entry, 1) == 1 && entry & PAGEMAP_WP;
}

/*
 * Is it through the userfaultfd of this fork's child that `tid` is paged, which stands at its first stop?  The protection of
 * a page is lifted and must be seen to be, there.  True also where no page is there to tell.
 */
static bool is_paged_by(const struct space *space, pid_t tid)
{
	struct pte_info pte;
	struct range page;
	u64 addr = 0;
	int pagemap;
	bool same;

	while ((addr = mm_next_pte(space->mm, addr, TASK_SIZE, &pte)) < TASK_SIZE &&
	       (pte.state != PTE_PRESENT || !pte.wp || pte.busy))
		addr += PAGE_SIZE;
	pagemap = addr < TASK_SIZE ? pagemap_open(tid) : -1;
	if (pagemap < 0)
		return true;
	page = range_of(addr, PAGE_SIZE);
	(void)uffd_writeprotect(space->uffd, page, true, true);
	same = is_write_protected(pagemap, addr);
	(void)uffd_writeprotect(space->uffd, page, false, true);
	same &= !is_write_protected(pagemap, addr);
	(void)uffd_writeprotect(space->uffd, page, true, true);
	close(pagemap);
	return same;
}

/* May `t`, at its first stop, have that address space? */
static bool is_of(const struct space *space, const struct task *t)
{
	struct task *other = space->pid ? task_of_space(space->sup, space, t) : NULL;

	if (other)
		return shares_mm(other->tid, t->tid);
	return space->uffd < 0 || is_paged_by(space, t->tid);
}

void orphan_adopt(struct sup *sup, struct task *t)
{
	struct orphan *o, *tmp;

	if (list_empty(&sup->orphans) || proc_is_thread(t->tid) || may_be_named(sup, t->tid))
		return;
	list_for_each_entry_safe(o, tmp, &sup->orphans, link) {
		if (space_is_over(o->space)) {
			orphan_free(o); /* the call had failed, or its child was killed, too */
		} else if (is_of(o->space, t)) {
			adopt(sup, t, space_get(o->space), o->seccomp);
			orphan_free(o);
			return;
		}
	}
}

void orphans_settle(struct sup *sup)
{
	struct task *t, *tmp;

	if (list_empty(&sup->orphans))
		return;
	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry_safe(t, tmp, &sup->tasks[i], link)
			if (t->state == TASK_NEWBORN && t->first_stop_seen && !t->space)
				orphan_adopt(sup, t);
}

void orphans_drop(struct sup *sup)
{
	struct orphan *o, *tmp;

	list_for_each_entry_safe(o, tmp, &sup->orphans, link)
		orphan_free(o);
}

/* A process of which we do not know yet whose it is. */
static bool is_nameless(pid_t tid, void *sup)
{
	const struct task *t = task_find(sup, tid);

	return t ? t->state == TASK_NEWBORN && !t->space : tracee_is_traced(tid);
}

/*
 * `t` dies in a call that makes a process, and has not named it.  At its exit stop its children are still its own: it is
 * the one that nobody has named, if the call got so far.  Later it is another's child, and it will have to come to us.
 */
void orphan_leave(struct sup *sup, struct task *t)
{
	struct space *space = t->call.child_space;
	pid_t child = t->call.scratch & CLONE_PARENT ? -ENOENT : proc_child(t->tgid, t->tid, is_nameless, sup);
	struct orphan *o;

	/* Dead, or reported so and by now perhaps reaped by its parent: they are another's. */
	if (!child && (tracee_is_zombie(t->tid) || !tracee_is_traced(t->tid)))
		child = -ENOENT;
	t->call.child_space = NULL;
	t->state = TASK_RUNNING; /* no longer a maker */
	if (child > 0) {
		adopt(sup, task_get(sup, child), space, t->seccomp);
		return;
	}
	if (!child || space_is_over(space)) {
		space_put(space);
		return;
	}
	o = malloc(sizeof(*o));
	BUG_ON(!o);
	o->space = space;
	o->seccomp = t->seccomp;
	list_add_tail(&o->link, &sup->orphans);
	orphans_settle(sup);
}
