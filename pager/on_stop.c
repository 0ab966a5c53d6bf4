/* SPDX-License-Identifier: MIT */
/*
 * on_stop.c - a tracee stopped or ended: act on what tracee_next() classified.
 *
 * Every path ends with the task resumed, listening, waiting on a list, or freed.  A resume that says
 * "no such task" needs no handling: the task is dying and its end will be reported.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/check.h"
#include "dump.h"
#include "front.h"
#include "reclaim.h"
#include "sc.h"
#include "stager.h"
#include "sup.h"
#include "sys/filter.h"

/* ---- trapped calls ---- */

/* Deliver `sig`, or 0. */
static void resume_with(struct task *t, int sig)
{
	if (t->listing.calls)
		(void)tracee_resume_to_syscall(t->tid, sig);
	else
		(void)tracee_resume(t->tid, sig);
}

static void resume(struct task *t)
{
	t->state = TASK_RUNNING;
	resume_with(t, 0);
}

static void skip_call(struct task *t, long result)
{
	sc_regs regs = t->call.regs;

	sc_skip(&regs, result);
	(void)tracee_set_regs(t->tid, &regs);
	resume(t);
}

/*
 * May we wait for the exit stop of this call on the spot, which saves a turn of the loop?  Only when there
 * is nobody else to serve meanwhile, and the call cannot wait for us: it touches no page (LOCKED,
 * POPULATE) and no file (FUSE).
 */
static bool is_prompt(const struct sup *sup, const struct task *t)
{
	const struct sc_row *row = t->call.row;

	return row->flags & SC_PROMPT && sup->nr_tasks == 1 && !t->space->lock_future &&
	       (row->nr != SYS_mmap || sc_mmap_is_prompt(&t->call.regs));
}

/* Let the trapped call run and hear of its exit. */
static void run_call(struct sup *sup, struct task *t)
{
	pid_t tid = t->tid;
	bool prompt = is_prompt(sup, t);

	t->state = TASK_CALLING;
	(void)tracee_resume_to_syscall(tid, 0);
	if (prompt)
		on_stop(sup, tracee_wait(tid));
}

/* The row's call is to run or be answered; the slot, if it needs one, is ours. */
static void start_call(struct sup *sup, struct task *t)
{
	const struct sc_row *row = t->call.row;
	struct space *space = t->space;
	bool holds_slot = row->flags & SC_MM;
	enum sc_verdict verdict;

	if (holds_slot)
		space->caller = t;
	verdict = holds_slot && sc_wants_way(t) ? sc_make_way(t) : row->enter(sup, t);
	switch (verdict) {
	case SC_PASS:
	case SC_DONE:
		resume(t);
		break;
	case SC_DIED:
		if (holds_slot)
			space_call_done(space);
		on_stop(sup, t->call.death);
		return;
	case SC_WATCH:
		run_call(sup, t);
		return; /* t may be gone; the slot is opened at its exit stop or its end */
	case SC_WATCH_FREE:
		t->state = TASK_CALLING;
		(void)tracee_resume_to_syscall(t->tid, 0);
		break;
	case SC_REFUSE:
		sup->stats.refused[sc_row_index(row)]++;
		skip_call(t, t->call.result);
		break;
	case SC_SKIP:
		skip_call(t, t->call.result);
		break;
	}
	if (holds_slot)
		space_call_done(space);
}

void on_stop_call(struct sup *sup, struct task *t)
{
	struct space *space = t->space;

	bool copies = t->call.row->flags & SC_FORK && sc_copies_mm(t);
	bool taken = t->call.row->flags & SC_MM && 
		     (space->caller || space->fork_waits || space->evicting);

	if (!taken)
		taken = space->fork_waits = copies && exit_pending(sup, space);
	if (!taken)
		taken = (copies || sc_wants_flush(t)) && sup->reclaim && !reclaim_flushed(space);
	if (taken) {
		t->state = TASK_WAITING;
		list_add_tail(&t->wait_link, &space->waiters);
		if (space->fork_waits)
			sup_need_tick(sup);
		return;
	}
	start_call(sup, t);
}

static void on_seccomp(struct sup *sup, struct task *t)
{
	t->call = (struct call){ 0 };
	if (tracee_get_regs(t->tid, &t->call.regs))
		return;
	if (t->seccomp == SECCOMP_MODE_STRICT) {
		(void)kill(t->tid, SIGKILL); /* as the kernel does: any call but four */
		return;
	}
	if (!t->space) { /* the child between fork and exec */
		if (sup->listener < 0 && sup->shared->listener >= 0)
			sup->listener = pidfd_getfd_of(t->pidfd, sup->shared->listener);
		resume(t);
		return;
	}
	t->call.row = sc_row_find(sc_nr(&t->call.regs));
	if (!t->call.row || (t->seccomp && tracee_seccomp_data(t->tid) != FILTER_TRACE_DATA)) {
		/* A filter of the program's own: natively nobody traces, and that is ENOSYS. */
		skip_call(t, -ENOSYS);
		return;
	}
	if (sc_is_for_area(t)) {
		skip_call(t, 0);
		return;
	}
	placement_event(sup, t, now_ns());
	sup->stats.traps[sc_row_index(t->call.row)]++;
	on_stop_call(sup, t);
}

void sc_change_arg(struct task *t, int n, u64 value)
{
	sc_regs regs;

	if (tracee_get_regs(t->tid, &regs))
		return; /* dying */
	sc_set_arg(&regs, n, value);
	if (!tracee_set_regs(t->tid, &regs))
		t->call.regs_changed = true;
}

/* Give the program back the argument registers that we changed for the call. */
static void restore_args(struct task *t)
{
	sc_regs regs;

	if (tracee_get_regs(t->tid, &regs))
		return;
	for (int i = 0; i < 6; i++)
		sc_set_arg(&regs, i, sc_arg(&t->call.regs, i));
	(void)tracee_set_regs(t->tid, &regs);
}

/* Its stub ended with the thread or for the call that is over.  Returns false: the task died meanwhile. */
static bool restage(struct sup *sup, struct task *t)
{
	struct tracee_stop death = { .event = TE_NONE };
	struct space *space = t->space;

	if (!space->restage || space->stager || t->exiting)
		return true;
	space->restage = false;
	space_check_vdso(space);
	if (!stager_create(t, &death))
		return true;
	space_call_done(space);
	on_stop(sup, death);
	return false;
}

/* The slot is t's, which is through with it: another stub, if one is due, and whoever waits. */
static void end_call(struct sup *sup, struct task *t)
{
	struct space *space = t->space;

	if (!restage(sup, t))
		return;
	resume(t);
	space_call_done(space);
}

static void on_call_exit(struct sup *sup, struct task *t)
{
	const struct sc_row *row = t->call.row;
	struct space *space = t->space;
	bool holds_slot = space->caller == t;
	struct range zaps = t->call.plan ? mm_plan_zaps(t->call.plan) : (struct range){ 0, 0 };
	long result;

	if (tracee_get_result(t->tid, &result))
		return; /* killed at the stop; sc_abandon() follows with its end */
	if (t->call.regs_changed)
		restore_args(t);
	row->leave(sup, t, result);
	t->state = TASK_RUNNING;
	if (holds_slot) {
		if (space->adopt)
			space_adopt(space, zaps);
		if (check_level >= CHECK_VERIFY)
			space_verify(space);
		if (space->resync)
			space_resync(space);
		if (check_level >= CHECK_AUDIT)
			audit_space(space, row->name);
		end_call(sup, t);
		return;
	}
	resume(t);
}

/* It counts threads.  What it was told waits for the mm's slot. */
static void on_listing_stop(struct sup *sup, struct task *t)
{
	if (sc_listing_told(t))
		on_stop_call(sup, t);
	else
		resume(t);
}

static void on_exec_exit(struct sup *sup, struct task *t)
{
	struct tracee_stop death = { .event = TE_NONE };

	t->state = TASK_RUNNING;
	if (space_from_exec(sup, t, &death)) {
		on_stop(sup, death);
		return;
	}
	resume(t);
}

/* ---- births and deaths ---- */

/* `why`: "exit" or "exec", for --dump-mm. */
static void drop_space(struct sup *sup, struct task *t, const char *why)
{
	if (!t->space)
		return;
	if (t->exiting)
		t->space->nr_exiting--;
	t->exiting = false;
	t->listing = (struct listing){ 0 };
	sc_abandon(sup, t);
	dump_last_use(sup, t, why);
	/* /proc/PID of the space must be that of a process that still uses it. */
	if (t->space->pid == t->tid) {
		struct task *other = task_of_space(sup, t->space, t);

		if (other)
			t->space->pid = other->tid;
	}
	space_put(t->space);
	t->space = NULL;
}

static void on_end(struct sup *sup, struct task *t)
{
	struct task *rest;

	/*
	 * The first task of a process ends last.  Who is left had no end of its own: its execve gave it the first one's tid,
	 * and it was killed before we could ask who it had been.
	 */
	while (t->tid == t->tgid && (rest = task_beside(sup, t)))
		on_end(sup, rest);
	placement_forget(sup, t);
	drop_space(sup, t, "exit");
	task_free(sup, t);
}

/* Image replaced.  The task that called execve now has the leader's tid; all others are gone. */
static void on_exec(struct sup *sup, struct task *t, pid_t former)
{
	sc_regs regs;

	if (former != t->tid) {
		struct task *caller = task_find(sup, former);

		if (caller)
			on_end(sup, caller);
	}
	drop_space(sup, t, "exec");
	t->tgid = t->tid;
	t->clear_tid = 0;
	if (t->pidfd < 0)
		t->pidfd = pidfd_of(t->tid);
	sup->stats.execs++;
	if (!tracee_get_regs(t->tid, &regs) && !sc_is_64bit(&regs)) {
		fprintf(stderr, "upager: process %d executed a 32-bit program, which cannot be "
				"paged, and is ended; use the x86-64 build\n", t->tid);
		(void)kill(t->tid, SIGKILL);
		return;
	}
	t->state = TASK_EXECING;
	(void)tracee_resume_to_syscall(t->tid, 0);
}

/* ---- signals ---- */

/* PROG got it: the front process need not pass it on a second time. */
static void note_root_signal(struct sup *sup, struct task *t, int sig)
{
	siginfo_t info;

	if (t->tid == sup->root && !tracee_get_siginfo(t->tid, &info))
		front_note_signal(sup->shared, sig, info.si_pid);
}

/* Signals whose default is to dump core.  Source: SIG_KERNEL_COREDUMP_MASK. */
static bool dumps_core(int sig)
{
	switch (sig) {
	case SIGQUIT: case SIGILL: case SIGTRAP: case SIGABRT: case SIGFPE: case SIGSEGV:
	case SIGBUS: case SIGSYS: case SIGXCPU: case SIGXFSZ:
		return true;
	}
	return false;
}

/*
 * A page that is missing when the kernel writes a core file is zeroes there (PF_DUMPCORE tasks take no faults): if
 * this signal will end the process so, everything is brought back first.
 */
static void before_dump(struct sup *sup, struct task *t, int sig)
{
	if (sup->reclaim && t->space && dumps_core(sig) && proc_dumps_core(t->tid, sig))
		space_bring_all(t->space);
}

/*
 * A fault of its own ends the first process of a PID namespace, too.  But not one that is traced: force_sig() leaves
 * it SIGNAL_UNKILLABLE, it would meet the same fault for ever.  There is no way to have it die by `sig` then.
 */
static bool is_spared(struct task *t, int sig)
{
	siginfo_t info;

	switch (sig) {
	case SIGILL: case SIGTRAP: case SIGFPE: case SIGSEGV: case SIGBUS: case SIGSYS:
		if (t->init == INIT_UNKNOWN) /* asked once: there are programs that live by such signals */
			t->init = proc_is_init(t->tid) ? INIT_YES : INIT_NO;
		return t->init == INIT_YES && !tracee_get_siginfo(t->tid, &info) && info.si_code > 0 &&
		       !proc_catches(t->tid, sig);
	}
	return false;
}

static void on_signal_stop(struct sup *sup, struct task *t, int sig)
{
	if (is_spared(t, sig)) {
		(void)kill(t->tid, SIGKILL);
		return;
	}
	placement_event(sup, t, now_ns());
	note_root_signal(sup, t, sig);
	before_dump(sup, t, sig);
	sc_restart_if_ignored(t, sig);
	resume_with(t, sig);
}

static void on_new(struct sup *sup, struct task *t)
{
	if (t->state == TASK_NEWBORN) {
		t->first_stop_seen = true;
		if (!t->space) {
			orphan_adopt(sup, t);
			return; /* its parent's event will let it go */
		}
		sc_first_run(t);
		return;
	}
	resume(t);
}

void on_stop(struct sup *sup, struct tracee_stop s)
{
	struct stager *st;
	struct task *t;

	if (s.event == TE_NONE || s.event == TE_NO_TASKS) /* a death that is still to be reported */
		return;
	st = stager_of_stub(sup, s.tid);
	if (st) {
		stager_stop(st, s);
		return;
	}
	/*
	 * A task that nobody has told us of; or whose end came first: it was killed at a stop that was read together with
	 * this one, and calls were injected there in vain.  Its end is all that is to be known of it.
	 */
	if (s.event == TE_EXITING && !task_find(sup, s.tid)) {
		(void)tracee_resume(s.tid, 0);
		return;
	}
	t = task_get(sup, s.tid);

	switch (s.event) {
	case TE_EXITED:
	case TE_KILLED:
		if (s.tid == sup->root)
			sup->stats.root_status = s.event == TE_EXITED ? s.status << 8 : s.status;
		on_end(sup, t);
		break;
	case TE_SIGNAL:
		on_signal_stop(sup, t, s.status);
		break;
	case TE_GROUP_STOP:
		if (t->state == TASK_NEWBORN) {
			/* Born stopped.  The kernel has counted it as stopped: it would run when it is let go. */
			(void)tracee_interrupt(t->tid);
			on_new(sup, t);
		} else {
			(void)tracee_listen(t->tid);
		}
		break;
	case TE_NEW:
		on_new(sup, t);
		break;
	case TE_SECCOMP:
		on_seccomp(sup, t);
		break;
	case TE_SYSCALL:
		if (t->state == TASK_EXECING)
			on_exec_exit(sup, t);
		else if (t->state == TASK_CALLING)
			on_call_exit(sup, t);
		else if (t->listing.calls)
			on_listing_stop(sup, t);
		else
			resume(t);
		break;
	case TE_FORKED:
		sc_forked(sup, t, (pid_t)s.msg);
		break;
	case TE_EXEC:
		on_exec(sup, t, (pid_t)s.msg);
		break;
	case TE_EXITING:
		if (t->space)
			sc_abandon(sup, t); /* the call it was in will have no other end */
		if (check_level >= CHECK_AUDIT && t->space && mm_users(t->space->mm) == 1 &&
		    !t->space->caller && WIFEXITED((int)s.msg)) /* R21 */
			audit_space(t->space, "exit");
		exit_begin(t, (int)s.msg);
		break;
	case TE_OTHER:
		resume_with(t, 0);
		break;
	case TE_LOST: /* to resume it could be to hurry it past its exit stop */
	case TE_NONE:
	case TE_NO_TASKS:
		break;
	}
}
