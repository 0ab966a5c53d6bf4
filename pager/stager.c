/* SPDX-License-Identifier: MIT */
/* stager.c - see stager.h. */
#include "stager.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "reclaimer.h"
#include "sc.h"
#include "sup.h"
#include "sys/notify.h"
#include "sys/remote.h"
#include "sys/rlimits.h"
#include "sys/uapi.h"
#include "sys/uffd.h"

#define GUARD_BYTES   PAGE_SIZE
#define STAGING_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN)

/* ---- birth: calls injected into a task of the program, and into the thread that one of them makes ---- */

/* A birth in progress. */
struct birth {
	struct sup *sup;
	struct space *space;
	struct stager *st;
	struct remote caller; /* the task of the program: it makes the thread, and no more */
	struct remote stub;   /* the thread, which does the rest: descriptors of its own, and the same memory */
	struct remote *r;     /* of these two, the one that calls now */
	pid_t pid;            /* its; the stager gets it when it is started */
	bool started;
	int err;              /* why it cannot be; 0: it can */
};

/* Run one call under the run's secret; after a failure nothing more is run.  Returns its result, or -errno. */
static long call(struct birth *b, long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4)
{
	long result = -ESRCH;

	if (b->err)
		return -1;
	if (remote_syscall(b->r, &result, nr, a0, a1, a2, a3, a4, b->sup->secret))
		b->err = -ESRCH;
	else if ((unsigned long)result >= (unsigned long)-4095L)
		b->err = (int)result;
	return result;
}

struct gift {
	int listener, fd;
};

static int give(void *arg)
{
	const struct gift *g = arg;

	return notify_give_fd(g->listener, g->fd, 10);
}

/* Give the stub a descriptor of ours.  Returns its number there. */
static int give_fd(struct birth *b, int fd)
{
	struct gift g = { b->sup->listener, fd };
	long result = -ESRCH;

	if (b->err)
		return -1;
	if (remote_syscall_served(b->r, &result, SC_GIVE_FD, b->sup->secret, give, &g))
		b->err = -ESRCH;
	else if (result < 0)
		b->err = (int)result;
	return (int)result;
}

/* The thread that will be the stub, at its first stop: what it inherits goes. */
static void make_thread(struct birth *b)
{
	struct tracee_stop s;

	b->st->vpid = (pid_t)call(b, SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0);
	if (b->err)
		return;
	if (!b->caller.child) {
		b->err = -ECHILD;
		return;
	}
	s = tracee_wait(b->caller.child);
	b->err = -ESRCH;
	if (s.event == TE_EXITED || s.event == TE_KILLED || s.event == TE_NO_TASKS)
		return;
	b->pid = b->caller.child;
	if (remote_begin(&b->stub, b->pid, b->space->vdso_site, faults_serve, b->space))
		return;
	b->err = 0;
	b->r = &b->stub;
	(void)call(b, SYS_close_range, 0, ~0U, 0, 0, 0);
}

/*
 * The pages that we share with it.  Shared anonymous memory needs no descriptor in the program and has no name of
 * ours; to open it takes CAP_CHECKPOINT_RESTORE and a kernel that has it.  Else: a memfd, at an offset that is the
 * secret.  Executable from the start: after PR_SET_MDWE nothing becomes so later.
 */
static void map_shared(struct birth *b, u64 base)
{
	struct stager *st = b->st;
	u64 offset = 0;
	int fd;

	(void)call(b, SYS_mmap, base, STUB_AREA_SIZE, PROT_READ | PROT_EXEC,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, (u64)-1);
	if (b->err)
		return;
	fd = stub_open_mapped(b->pid, base);
	if (fd < 0) {
		offset = b->sup->secret;
		fd = stub_open_memfd();
		if (fd >= 0)
			(void)call(b, SYS_mmap, base, STUB_AREA_SIZE, PROT_READ | PROT_EXEC,
				   MAP_SHARED | MAP_FIXED, (u64)give_fd(b, fd));
		(void)call(b, SYS_close_range, 0, ~0U, 0, 0, 0);
	}
	if (fd < 0)
		b->err = fd;
	else if (b->err)
		close(fd);
	else
		b->err = stub_create(&st->stub, fd, offset, b->sup->secret);
}

/* All of it is there, and of the stub's own pages as much as it needs to run. */
static void map_area(struct birth *b)
{
	struct stager *st = b->st;
	u64 len = STUB_AREA_SIZE + STAGING_BYTES + GUARD_BYTES;
	u64 base;

	base = (u64)call(b, SYS_mmap, 0, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 (u64)-1);
	if (b->err)
		return;
	st->area = range_of(base, len);
	st->staging = base + STUB_AREA_SIZE;
	map_shared(b, base);
	for (u32 from = 0, to; from < STUB_PAGES; from = to) {
		to = stub_part_end(from);
		if (stub_page_prot(from) & PROT_WRITE)
			(void)call(b, SYS_mprotect, base + from * PAGE_SIZE, (to - from) * PAGE_SIZE,
				   (u64)stub_page_prot(from), 0, 0);
	}
}

static void queue(struct stager *st, struct stager_op op, struct stub_cmd cmd)
{
	st->op[st->stub.head % STUB_RING] = op;
	stub_queue(&st->stub, &cmd);
	st->nr_ops++;
	st->nr_queued += op.nr ? op.nr : 1;
}

static void queue_plain(struct stager *st, u64 nr, u64 a0, u64 a1)
{
	queue(st, (struct stager_op){ OP_NONE }, (struct stub_cmd){ nr, { a0, a1 } });
}

static void open_mem(struct birth *b)
{
	char path[32];

	if (b->err)
		return;
	snprintf(path, sizeof(path), "/proc/%d/mem", b->pid);
	b->st->mem = open(path, O_RDONLY | O_CLOEXEC);
	if (b->st->mem < 0)
		b->err = -errno;
}

/* The descriptors of the stub, which has closed all others: the lowest numbers, in this order. */
enum { FD_EVENT, FD_UFFD, NR_FDS };

/* Its own instructions from here on.  The signals stay blocked. */
static void start(struct birth *b)
{
	struct stager *st = b->st;
	struct stub_regs at;
	sc_regs regs;

	if (b->err)
		return;
	at = stub_start_regs(&st->stub, st->area.start, FD_EVENT);
	regs = b->stub.saved;
	regs.rip = at.rip;
	regs.rsp = at.rsp;
	regs.rdi = at.rdi;
	regs.rsi = at.rsi;
	regs.orig_rax = (unsigned long)-1;
	if (tracee_set_regs(b->pid, &regs)) {
		b->err = -ESRCH;
		return;
	}
	st->pid = b->pid;
	b->started = true;
	st->uffd = FD_UFFD;
	(void)tracee_resume(st->pid, 0);
}

static void queue_furnish(struct stager *st, u64 nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4)
{
	queue(st, (struct stager_op){ OP_FURNISH }, (struct stub_cmd){ nr, { a0, a1, a2, a3, a4 } });
}

/* What is left is done by the stub's own commands: a call that is injected takes two stops. */
static void furnish(struct birth *b)
{
	struct stager *st = b->st;
	const int fds[NR_FDS] = { [FD_EVENT] = b->sup->stub_fd, [FD_UFFD] = b->space->uffd };
	u32 given = 0;

	if (b->err)
		return;
	for (u32 i = 0; i < NR_FDS; i++)
		queue_furnish(st, SC_GIVE_FD, 0, 0, 0, 0, 0);
	for (u32 from = 0, to; from < STUB_PAGES; from = to) {
		to = stub_part_end(from);
		if (stub_page_prot(from) == PROT_READ)
			queue_furnish(st, SYS_mprotect, st->area.start + from * PAGE_SIZE, (to - from) * PAGE_SIZE,
				      PROT_READ, 0, 0);
	}
	/* as a stack: what counts as data takes from the program's RLIMIT_DATA */
	queue_furnish(st, SYS_mmap, st->staging, STAGING_BYTES, PROT_READ | PROT_WRITE, STAGING_FLAGS | MAP_FIXED,
		      (u64)-1);
	queue_furnish(st, SYS_madvise, st->area.start, range_len(st->area), MADV_DONTFORK, 0, 0);
	queue_furnish(st, SYS_madvise, st->area.start, range_len(st->area), MADV_DONTDUMP, 0, 0);
	strcpy(stub_scratch_ours(&st->stub, 0), "upager-stub");
	queue_furnish(st, SYS_prctl, PR_SET_NAME, stub_scratch(&st->stub, 0), 0, 0, 0);
	stager_kick(st);
	while (st->nr_ops) { /* its end loses them */
		if (given < NR_FDS && notify_give_fd(b->sup->listener, fds[given], 0) != -EAGAIN)
			given++; /* or refused: the command says so */
		staging_collect(st);
		faults_serve(b->space);
		sched_yield();
	}
	b->err = st->err;
	if (!b->err)
		b->err = uffd_register(b->space->uffd, range_of(st->staging, STAGING_BYTES));
}

#define END_COMMANDS 3 /* at most */

/* The default action of `sig`, whatever the program has made of it.  It waits, blocked, until all before is done. */
static void queue_death(struct stager *st, int sig)
{
	static const struct { u64 handler, flags, restorer, mask; } dfl; /* SIG_DFL, as the kernel has it */
	const u64 mask = 1ULL << (sig - 1);
	u32 index = (u32)st->stub.head % STUB_RING;

	(void)tgkill(st->tgid, st->pid, sig);
	memcpy(stub_scratch_ours(&st->stub, index), &dfl, sizeof(dfl));
	queue(st, (struct stager_op){ OP_NONE },
	      (struct stub_cmd){ SYS_rt_sigaction, { (u64)sig, stub_scratch(&st->stub, index), 0, sizeof(mask) } });
	index = (u32)st->stub.head % STUB_RING;
	memcpy(stub_scratch_ours(&st->stub, index), &mask, sizeof(mask));
	queue(st, (struct stager_op){ OP_NONE },
	      (struct stub_cmd){ SYS_rt_sigprocmask,
				 { SIG_UNBLOCK, stub_scratch(&st->stub, index), 0, sizeof(mask) } });
}

/*
 * A signal would end its whole process: it is told, unless that is what `status`, of wait, wants.  What was queued
 * before is done first; nothing is queued any more.
 */
static void tell_to_end(struct stager *st, int status)
{
	struct stub_cmd end = { .nr = SYS_exit, .arg = { (u64)(status >> 8 & 0xff) } };

	if (st->dying || !st->pid)
		return;
	st->dying = true;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) /* that has the stub already */
		queue_death(st, WTERMSIG(status));
	stub_queue(&st->stub, &end);
	stub_kick(&st->stub);
}

static int end_and_wait(struct stager *st)
{
	struct tracee_stop s;

	tell_to_end(st, 0);
	do {
		s = tracee_wait(st->pid);
		if (s.event == TE_NO_TASKS)
			return -ESRCH;
		(void)tracee_resume(st->pid, 0);
	} while (s.event != TE_EXITED && s.event != TE_KILLED);
	stager_stop(st, s);
	return 0;
}

/* Nothing of a stager that cannot be stays behind.  Its thread's end, when the loop hears of it, frees it. */
static void undo(struct birth *b)
{
	struct stager *st = b->st;
	struct remote *r = &b->stub;
	long result;

	st->space = NULL;
	if (b->started) {
		if (st->pid)
			(void)end_and_wait(st);
		(void)!remote_syscall(&b->caller, &result, SYS_munmap, st->area.start, range_len(st->area), 0, 0, 0,
				      b->sup->secret);
		return;
	}
	st->dying = true;
	if (!b->pid)
		return;
	if (st->area.start)
		(void)!remote_syscall(r, &result, SYS_munmap, st->area.start, range_len(st->area), 0, 0, 0,
				      b->sup->secret);
	if (r->death.event == TE_EXITED || r->death.event == TE_KILLED)
		return;
	st->pid = b->pid;
	if (r->death.event == TE_NONE)
		remote_exit(r, b->sup->secret);
	else
		(void)tracee_resume(b->pid, 0);
}

static struct stager *stager_alloc(struct space *space)
{
	struct stager *st = calloc(1, sizeof(*st));

	BUG_ON(!st);
	st->sup = space->sup;
	st->space = space;
	st->mem = -1;
	st->cpu = -1;
	list_add_tail(&st->link, &space->sup->stagers);
	return st;
}

static void stager_free(struct stager *st)
{
	list_del(&st->link);
	stub_destroy(&st->stub);
	if (st->mem >= 0)
		close(st->mem);
	free(st);
}

bool stager_owns(const struct space *space, u64 addr)
{
	const struct stager *st;

	list_for_each_entry(st, &space->sup->stagers, link)
		if (st->space == space && range_contains(st->area, addr))
			return true;
	return false;
}

static void tell_part(struct space *space, u64 addr, u64 len, int prot, int flags, u64 pgoff,
		      struct vm_file *file)
{
	struct mmap_args a = {
		.addr = addr, .len = len, .prot = prot, .flags = flags | MAP_FIXED, .pgoff = pgoff,
		.file = file, .unmanaged = true, .extra_vm_flags = VM_DONTCOPY | VM_DONTDUMP,
	};
	struct mm_plan *plan;

	if (mm_plan_mmap(space->mm, &a, &plan))
		space->resync = true;
	else
		mm_plan_commit(plan, addr);
}

/* The model knows the area, which nobody pages. */
static void tell_model(struct stager *st)
{
	struct vm_file *file = NULL;
	struct stat sb;

	if (!fstat(st->stub.fd, &sb))
		file = vm_file_get(st->sup->world, (struct vm_file_id){ sb.st_dev, sb.st_ino },
				   "/dev/zero (deleted)");
	BUG_ON(!file);
	for (u32 from = 0, to; from < STUB_PAGES; from = to) {
		to = stub_part_end(from);
		tell_part(st->space, st->area.start + from * PAGE_SIZE, (to - from) * PAGE_SIZE,
			  stub_page_prot(from), MAP_SHARED,
			  (st->stub.offset >> PAGE_SHIFT) + from, file);
	}
	vm_file_put(file);
	tell_part(st->space, st->staging, STAGING_BYTES, PROT_READ | PROT_WRITE, STAGING_FLAGS, 0, NULL);
	tell_part(st->space, st->staging + STAGING_BYTES, GUARD_BYTES, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, 0, NULL);
}

/* What the task that is begun does for it, and what the thread that it makes does. */
static void give_birth(struct birth *b)
{
	make_thread(b);
	map_area(b);
	open_mem(b);
	start(b);
	furnish(b);
}

int stager_create(struct task *t, struct tracee_stop *death)
{
	struct rlimits limits;
	struct space *space = t->space;
	struct sup *sup = space->sup;
	struct birth b = { .sup = sup, .space = space, .r = &b.caller };
	int ret;

	if (!sup->opt->memory || space->uffd < 0 || space->stager)
		return 0;
	if (!space_may_call(space, t)) {
		space->restage = true; /* at the end of a later call */
		return 0;
	}
	if (sup->listener < 0)
		b.err = -ENOTSUP;
	ret = remote_begin(&b.caller, t->tid, space->vdso_site, faults_serve, space);
	if (ret)
		return 0; /* dying: its end is reported by the next wait */
	b.st = stager_alloc(space);
	b.st->jobs++; /* its stub's end must not free it under our hands */
	mm_reclaim(sup->world)->emergency++;
	rlimits_lift(&limits, t->tid);
	give_birth(&b);
	if (b.err)
		undo(&b);
	rlimits_restore(&limits);
	b.caller.stopped |= b.stub.stopped;
	ret = remote_end(&b.caller);
	mm_reclaim(sup->world)->emergency--;
	b.st->jobs--;
	*death = b.caller.death;
	if (!b.err && b.st->dying)
		b.err = -ESRCH;
	space->resync |= b.err != 0; /* the area may be there, or a part */
	if (!b.err) {
		b.st->tgid = t->tgid;
		sup->stub_changes++;
		space->stager = b.st;
		tell_model(b.st);
	} else if (!b.st->pid) {
		stager_free(b.st);
	}
	if (b.err && b.err != -ESRCH && !ret && !sup->said_no_stager && proc_may_clone_thread(t->tid)) {
		sup->said_no_stager = true;
		fprintf(stderr, "upager: memory of process %d cannot be taken back: %s; it counts, but "
				"stays\n", t->tid, strerror(-b.err));
	}
	return ret;
}

/* ---- death ---- */

void stagers_detach(struct space *space)
{
	struct stager *st, *tmp;

	list_for_each_entry_safe(st, tmp, &space->sup->stagers, link) {
		if (st->space != space)
			continue;
		st->space = NULL;
		st->has_unwanted = true;
		if (!st->jobs)
			stager_end(st);
	}
}

struct stager *stager_of_stub(struct sup *sup, pid_t tid)
{
	struct stager *st;

	list_for_each_entry(st, &sup->stagers, link)
		if (st->pid == tid)
			return st;
	return NULL;
}

void stager_stop(struct stager *st, struct tracee_stop s)
{
	switch (s.event) {
	case TE_EXITED:
	case TE_KILLED:
		st->pid = 0;
		st->sup->stub_changes++;
		st->dying = true;
		st->stopped = false;
		reclaim_stub_died(st);
		if (st->space && st->space->stager == st) {
			st->space->stager = NULL;
			st->space->restage = true;
		}
		if (!st->jobs)
			stager_end(st);
		break;
	case TE_NONE:
	case TE_NO_TASKS:
	case TE_LOST:
		break;
	case TE_SIGNAL: /* a SIGSTOP for its process */
		(void)tracee_resume(st->pid, s.status);
		break;
	case TE_GROUP_STOP:
		/* It stops with its process, but not while others need what it is at. */
		st->stopped = !st->nr_ops && !st->dying;
		if (st->stopped)
			(void)tracee_listen(st->pid);
		else
			(void)tracee_resume(st->pid, 0);
		break;
	case TE_NEW:
		st->stopped = false;
		(void)tracee_resume(st->pid, 0);
		break;
	case TE_SECCOMP:
	case TE_SYSCALL:
	case TE_FORKED:
	case TE_EXEC:
	case TE_EXITING:
	case TE_OTHER:
		(void)tracee_resume(st->pid, 0);
		break;
	}
}

void stager_serve(struct space *space)
{
	struct stager *st, *tmp;

	list_for_each_entry_safe(st, tmp, &space->sup->stagers, link) {
		struct tracee_stop s = { .event = TE_NONE };

		if (st->space == space && st->pid)
			s = tracee_poll(st->pid);
		stager_stop(st, s);
	}
}

void stager_end(struct stager *st)
{
	if (st->pid) {
		tell_to_end(st, 0);
		return;
	}
	reclaim_forget_places(st);
	if (!st->nr_used && !st->space) /* else it remembers its area, which is still mapped */
		stager_free(st);
}

void stager_leave(struct task *t, int status)
{
	struct stager *st = t->space ? t->space->stager : NULL;

	if (st && st->tgid == t->tgid && !task_of_process(t->space->sup, t->tgid))
		tell_to_end(st, status);
}

static void unmapped(struct stager *st)
{
	struct space *space = st->space;
	struct mm_plan *plan;

	if (mm_plan_munmap(space->mm, st->area.start, range_len(st->area), &plan))
		space->resync = true;
	else
		mm_plan_commit(plan, 0);
	st->space = NULL;
	stager_end(st);
}

int stager_remove(struct task *t, struct tracee_stop *death)
{
	struct space *space = t->space;
	struct stager *st = space->stager;
	long result = -EFAULT;
	struct remote r;

	BUG_ON(st->nr_used);
	if (end_and_wait(st))
		return -ESRCH;
	if (!remote_begin_at_call(&r, t->tid, faults_serve, space) &&
	    !remote_syscall(&r, &result, SYS_munmap, st->area.start, range_len(st->area), 0, 0, 0,
			    space->sup->secret))
		(void)!remote_end_again(&r);
	*death = r.death;
	if (!result)
		unmapped(st);
	return r.death.event == TE_NONE ? 0 : -ESRCH;
}

/* ---- commands ---- */

void stager_close(struct stager *st)
{
	st->closed = true;
	(void)uffd_unregister(st->space->uffd, range_of(st->staging, STAGING_BYTES));
}

void stager_open(struct stager *st)
{
	struct space *space = st->space;
	struct mm_plan *plan;

	/* First: what another thread fills by looking there (staging_touched) is to be known of, or dropped here. */
	if (uffd_register(space->uffd, range_of(st->staging, STAGING_BYTES)))
		return; /* its address space is gone: nothing is moved there any more */
	if (!st->dying) {
		queue_plain(st, SYS_munlock, st->area.start, range_len(st->area));
		queue(st, (struct stager_op){ OP_NONE },
		      (struct stub_cmd){ SYS_madvise, { st->staging, STAGING_BYTES, MADV_DONTNEED } });
		stager_kick(st);
	}
	while (st->nr_ops && st->pid)
		reclaim_pump(st->sup);
	if (!mm_plan_munlock(space->mm, st->area.start, range_len(st->area), &plan))
		mm_plan_commit(plan, 0);
	st->closed = false;
}

bool stager_room(const struct stager *st, u32 nr)
{
	return !st->dying && !st->closed && stub_room(&st->stub) >= nr + END_COMMANDS;
}

u64 stager_addr(const struct stager *st, u32 place)
{
	return st->staging + place * PAGE_SIZE;
}

u32 stager_free_places(struct stager *st, u32 max, u32 *first)
{
	u32 n = 0;

	for (u32 i = 0; i < STAGING_PAGES && st->place[st->fill_hand].state != PLACE_FREE; i++)
		st->fill_hand = (st->fill_hand + 1) % STAGING_PAGES;
	*first = st->fill_hand;
	while (n < max && *first + n < STAGING_PAGES && st->place[*first + n].state == PLACE_FREE)
		n++;
	return n;
}

static void queue_move(struct stager *st, struct stager_op op, u64 dst, u64 src)
{
	u32 index = (u32)st->stub.head % STUB_RING;
	struct uffdio_move *arg = stub_scratch_ours(&st->stub, index);

	*arg = (struct uffdio_move){ .dst = dst, .src = src, .len = op.nr * PAGE_SIZE };
	queue(st, op,
	      (struct stub_cmd){ SYS_ioctl, { (u64)st->uffd, UFFDIO_MOVE, stub_scratch(&st->stub, index) } });
}

void stager_fill(struct stager *st, u64 addr, u32 place, u32 nr)
{
	queue_move(st, (struct stager_op){ OP_FILL, place, nr, addr }, stager_addr(st, place), addr);
	st->fill_hand = (place + nr) % STAGING_PAGES;
}

void stager_rescue(struct stager *st, u32 place, u64 addr)
{
	queue_move(st, (struct stager_op){ OP_RESCUE, place, 1, addr }, addr, stager_addr(st, place));
}

void stager_unshare(struct stager *st, u64 addr, u32 nr)
{
	queue(st, (struct stager_op){ OP_UNSHARE, .addr = addr, .nr = nr },
	      (struct stub_cmd){ SYS_madvise, { addr, nr * PAGE_SIZE, MADV_POPULATE_WRITE } });
}

void stager_drop(struct stager *st, u32 place, u32 nr)
{
	queue(st, (struct stager_op){ OP_DROP, place, nr },
	      (struct stub_cmd){ SYS_madvise,
				 { stager_addr(st, place), nr * PAGE_SIZE, MADV_DONTNEED } });
}

void stager_zap(struct stager *st, u64 addr, void *cookie)
{
	queue(st, (struct stager_op){ OP_ZAP, .addr = addr, .cookie = cookie },
	      (struct stub_cmd){ SYS_madvise, { addr, PAGE_SIZE, MADV_DONTNEED } });
}

/*
 * The stub runs where we run: waking another CPU costs many times what the commands do, and the program that it
 * works on, held here too or asleep, has no other CPU's TLB to be flushed.
 */
static void follow(struct stager *st)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	if (cpu == st->cpu || cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned int)cpu, &set);
	if (!sched_setaffinity(st->pid, sizeof(set), &set))
		st->cpu = cpu;
}

void stager_kick(struct stager *st)
{
	if (!st->nr_queued)
		return;
	st->nr_queued = 0;
	follow(st);
	stub_kick(&st->stub);
	if (st->stopped)
		(void)tracee_interrupt(st->pid); /* it reports its group stop anew, and is resumed */
}

struct stager_op stager_next_lost(struct stager *st)
{
	st->nr_ops--;
	return st->op[st->stub.seen++ % STUB_RING];
}

bool stager_next(struct stager *st, struct stager_op *op, s64 *result, u32 *moved)
{
	u64 index = st->stub.seen % STUB_RING;

	*moved = 0;
	if (!st->nr_ops || !stub_collect(&st->stub, result, 1))
		return false;
	*op = st->op[index];
	st->nr_ops--;
	if (op->kind == OP_FILL || op->kind == OP_RESCUE) {
		struct uffdio_move arg;

		memcpy(&arg, stub_scratch_ours(&st->stub, (u32)index), sizeof(arg));
		if (arg.move > 0)
			*moved = (u32)u64_min((u64)arg.move >> PAGE_SHIFT, op->nr);
	}
	return true;
}
