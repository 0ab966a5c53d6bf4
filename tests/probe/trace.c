/* SPDX-License-Identifier: MIT */
/*
 * trace.c - probes: ptrace and seccomp as the supervisor uses them.
 *
 * Uses lib/sys/tracee.h and remote.h, so that what is pinned is what upager does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"
#include "sys/remote.h"
#include "sys/tracee.h"

#define TRACED_CALL SYS_getpgid /* a call that nothing else makes */
#define TRACE_DATA  7		/* see seccomp_trace_call() */

/* Fork a child that runs fn(lab) once it is seized. */
static pid_t start_traced(struct lab *lab, void (*fn)(struct lab *lab))
{
	pid_t pid = fork_child();

	if (!pid) {
		lab_hold(lab, 1);
		fn(lab);
		_exit(0);
	}
	EXPECT_EQ(tracee_seize(pid), 0);
	lab_let(lab, 1);
	return pid;
}

/* Wait for `event` of `tid`, passing on everything else. */
static struct tracee_stop wait_for(pid_t tid, enum tracee_event event)
{
	for (;;) {
		struct tracee_stop s = tracee_wait(tid);

		if (s.event == event)
			return s;
		if (s.event == TE_EXITED || s.event == TE_KILLED || s.event == TE_NO_TASKS)
			probe_fail(__FILE__, __LINE__,
				   "task ended (event %d status %d) before event %d", s.event,
				   s.status, event);
		tracee_resume(tid, s.event == TE_SIGNAL ? s.status : 0);
	}
}

static void resume_to_end(pid_t tid, int status)
{
	struct tracee_stop s;

	tracee_resume(tid, 0);
	s = wait_for(tid, TE_EXITED);
	EXPECT_EQ(s.status, status);
}

/* ---- the supervisor's death ---- */

static void just_pause(struct lab *lab)
{
	prctl(PR_SET_PDEATHSIG, 0); /* only EXITKILL is left to end us */
	atomic_store(&lab->value[0], getpid());
	lab_reach(lab, 2);
	for (;;)
		pause();
}

PROBE(exitkill, "PTRACE_O_EXITKILL: when the tracer is killed its tracees are killed")
{
	struct lab *lab = lab_new();
	pid_t tracer, tracee;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	tracer = fork_child();
	if (!tracer) {
		start_traced(lab, just_pause);
		for (;;)
			pause();
	}
	lab_await(lab, 2);
	tracee = (pid_t)atomic_load(&lab->value[0]);
	kill(tracer, SIGKILL);
	reap(tracer);
	EXPECT_EQ(reap(tracee), SIGKILL);
}

/* ---- a child's end ---- */

static void wait_for_dead_child(struct lab *lab)
{
	siginfo_t info = { 0 };
	struct pollfd dead = { .events = POLLIN };
	pid_t pid = fork_child();

	if (!pid) {
		lab_hold(lab, 2);
		_exit(7);
	}
	dead.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	atomic_store(&lab->value[0], pid);
	lab_reach(lab, 1);
	EXPECT_EQ(poll(&dead, 1, -1), 1);
	EXPECT_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG), 0);
	EXPECT_EQ(info.si_pid, 0);
	lab_reach(lab, 3);
	lab_hold(lab, 4);
	EXPECT_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG), 0);
	EXPECT_EQ(info.si_pid, pid);
	EXPECT_EQ(info.si_status, 7);
}

PROBE(end_hidden_from_parent, "a dead traced child is so by its pidfd at once, but for its parent's wait only when "
			      "the tracer has taken its end, and then at once")
{
	struct lab *lab = lab_new();
	pid_t parent = fork_child(), child;
	struct tracee_stop s;

	if (!parent) {
		wait_for_dead_child(lab);
		_exit(0);
	}
	lab_await(lab, 1);
	child = (pid_t)atomic_load(&lab->value[0]);
	EXPECT_EQ(tracee_seize(child), 0);
	lab_let(lab, 2);
	EXPECT_EQ(tracee_wait(child).event, TE_EXITING);
	tracee_resume(child, 0);
	lab_await(lab, 3);
	s = tracee_next();
	EXPECT_EQ(s.event, TE_EXITED);
	EXPECT_EQ(s.tid, child);
	EXPECT_EQ(s.status, 7);
	lab_let(lab, 4);
	EXPECT_EQ(reap(parent), 0);
}

/* ---- job control ---- */

static void watch_child(struct lab *lab)
{
	int status;
	pid_t pid = fork_child();

	if (!pid) {
		lab_hold(lab, 2);
		for (;;)
			pause();
	}
	atomic_store(&lab->value[0], pid);
	lab_reach(lab, 1);
	EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
	EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
	lab_reach(lab, 3);
	EXPECT_EQ(waitpid(pid, &status, WCONTINUED), pid);
	EXPECT(WIFCONTINUED(status));
	lab_reach(lab, 4);
	EXPECT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

PROBE(group_stop, "a seized task's group stop (LISTEN) and continuation reach its real parent, "
		  "when the tracer is another")
{
	struct lab *lab = lab_new();
	pid_t parent = fork_child(), child;
	struct tracee_stop s;

	if (!parent) {
		watch_child(lab);
		_exit(0);
	}
	lab_await(lab, 1);
	child = (pid_t)atomic_load(&lab->value[0]);
	EXPECT_EQ(tracee_seize(child), 0);
	lab_let(lab, 2);
	kill(child, SIGSTOP);
	s = wait_for(child, TE_SIGNAL);
	EXPECT_EQ(s.status, SIGSTOP);
	EXPECT_EQ(tracee_resume(child, SIGSTOP), 0);
	wait_for(child, TE_GROUP_STOP);
	EXPECT_EQ(tracee_listen(child), 0);
	lab_await(lab, 3);
	kill(child, SIGCONT);
	wait_for(child, TE_NEW);
	EXPECT_EQ(tracee_resume(child, 0), 0);
	lab_await(lab, 4);
	kill(child, SIGTERM);
	s = wait_for(child, TE_SIGNAL); /* SIGCONT itself, then SIGTERM */
	while (s.status != SIGTERM) {
		tracee_resume(child, s.status);
		s = wait_for(child, TE_SIGNAL);
	}
	tracee_resume(child, SIGTERM);
	EXPECT_EQ(tracee_wait(child).event, TE_EXITING);
	tracee_resume(child, 0);
	EXPECT_EQ(tracee_wait(child).event, TE_KILLED);
	EXPECT_EQ(reap(parent), 0);
}

PROBE(group_stop_interrupt, "resumed from its group stop a task runs, stopped or not; interrupted before, "
			    "it reports that stop anew, or that it was continued")
{
	struct lab *lab = lab_new();
	pid_t child = fork_child();
	long seen;

	if (!child)
		for (;;)
			atomic_fetch_add(&lab->value[0], 1);
	EXPECT_EQ(tracee_seize(child), 0);
	kill(child, SIGSTOP);
	EXPECT_EQ(wait_for(child, TE_SIGNAL).status, SIGSTOP);
	EXPECT_EQ(tracee_resume(child, SIGSTOP), 0);
	wait_for(child, TE_GROUP_STOP);
	seen = atomic_load(&lab->value[0]);
	EXPECT_EQ(tracee_interrupt(child), 0);
	EXPECT_EQ(tracee_resume(child, 0), 0);
	wait_for(child, TE_GROUP_STOP);
	EXPECT_EQ(atomic_load(&lab->value[0]), seen);
	EXPECT_EQ(tracee_resume(child, 0), 0);
	while (atomic_load(&lab->value[0]) == seen)
		;
	EXPECT_EQ(tracee_interrupt(child), 0);
	wait_for(child, TE_GROUP_STOP);
	EXPECT_EQ(tracee_interrupt(child), 0);
	kill(child, SIGCONT);
	EXPECT_EQ(tracee_resume(child, 0), 0);
	wait_for(child, TE_NEW);
	kill(child, SIGKILL);
	while (tracee_wait(child).event != TE_KILLED)
		(void)tracee_resume(child, 0);
}

/* ---- killed at a stop ---- */

static void fork_once(struct lab *lab)
{
	if (!fork())
		_exit(0);
}

PROBE(killed_at_fork, "a task that is killed at its fork stop goes on to its exit stop, and the message of that is all that "
		      "can be had")
{
	pid_t pid = start_traced(lab_new(), fork_once);
	struct tracee_stop s;
	siginfo_t info;
	pid_t child;
	int status;

	EXPECT_EQ(waitpid(pid, &status, __WALL), pid);
	s = tracee_classify(pid, status);
	EXPECT_EQ(s.event, TE_FORKED);
	child = (pid_t)s.msg;
	EXPECT_EQ(tracee_wait(child).event, TE_NEW);
	kill(pid, SIGKILL);
	EXPECT_EQ(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT | __WALL), 0);
	EXPECT_EQ(info.si_status >> 8, PTRACE_EVENT_EXIT);
	EXPECT_EQ(tracee_classify(pid, status).event, TE_LOST);
	s = tracee_wait(pid);
	EXPECT_EQ(s.event, TE_EXITING);
	EXPECT_EQ(s.msg, SIGKILL);
	tracee_resume(pid, 0);
	EXPECT_EQ(tracee_wait(pid).event, TE_KILLED);
	resume_to_end(child, 0);
}

/* ---- trapped calls ---- */

static void one_trapped_call(struct lab *lab)
{
	EXPECT_EQ(seccomp_trace_call(TRACED_CALL), 0);
	atomic_store(&lab->value[0], syscall(TRACED_CALL, 0));
}

PROBE(seccomp_then_exit_stop,
      "from a seccomp stop PTRACE_SYSCALL leads straight to the exit stop, with the "
      "result")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, one_trapped_call);
	unsigned long data = 0;
	sc_regs regs;
	long result;

	wait_for(pid, TE_SECCOMP);
	EXPECT(!ptrace(PTRACE_GETEVENTMSG, pid, NULL, &data));
	EXPECT_EQ(data, TRACE_DATA);
	EXPECT_EQ(tracee_get_regs(pid, &regs), 0);
	EXPECT_EQ(sc_nr(&regs), TRACED_CALL);
	EXPECT_EQ(tracee_resume_to_syscall(pid, 0), 0);
	EXPECT_EQ(tracee_wait(pid).event, TE_SYSCALL);
	EXPECT_EQ(tracee_get_result(pid, &result), 0);
	EXPECT_EQ(result, getpgid(0));
	resume_to_end(pid, 0);
}

PROBE(seccomp_skip, "at a seccomp stop number -1 skips the call and the program gets the result "
		    "that was set")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, one_trapped_call);
	sc_regs regs;

	wait_for(pid, TE_SECCOMP);
	EXPECT_EQ(tracee_get_regs(pid, &regs), 0);
	sc_skip(&regs, 4321);
	EXPECT_EQ(tracee_set_regs(pid, &regs), 0);
	resume_to_end(pid, 0);
	EXPECT_EQ(atomic_load(&lab->value[0]), 4321);
}

PROBE(seccomp_skip_then_exit_stop,
      "a call skipped at its seccomp stop still has an exit stop under PTRACE_SYSCALL")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, one_trapped_call);
	sc_regs regs;

	wait_for(pid, TE_SECCOMP);
	EXPECT_EQ(tracee_get_regs(pid, &regs), 0);
	sc_skip(&regs, 1);
	EXPECT_EQ(tracee_set_regs(pid, &regs), 0);
	EXPECT_EQ(tracee_resume_to_syscall(pid, 0), 0);
	EXPECT_EQ(tracee_wait(pid).event, TE_SYSCALL);
	EXPECT_EQ(tracee_get_regs(pid, &regs), 0);
	EXPECT_EQ(sc_nr(&regs), -1);
	EXPECT_EQ(sc_result(&regs), 1);
	resume_to_end(pid, 0);
}

PROBE(seccomp_without_tracer, "RET_TRACE without a tracer makes the call fail with ENOSYS")
{
	EXPECT_EQ(seccomp_trace_call(TRACED_CALL), 0);
	EXPECT_EQ(syscall(TRACED_CALL, 0), -1);
	EXPECT_EQ(errno, ENOSYS);
}

static void fork_trapped_call(struct lab *lab)
{
	pid_t pid;

	EXPECT_EQ(seccomp_trace_call(TRACED_CALL), 0);
	pid = fork();
	if (!pid)
		_exit(syscall(TRACED_CALL, 0) > 0 ? 3 : 4);
	EXPECT_EQ(reap(pid), 3 << 8);
}

PROBE(fork_inherits_filter,
      "an auto-attached fork child has the filter, and its trapped calls stop")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, fork_trapped_call), child;

	child = (pid_t)wait_for(pid, TE_FORKED).msg;
	EXPECT_EQ(tracee_resume(pid, 0), 0);
	wait_for(child, TE_SECCOMP);
	resume_to_end(child, 3);
	EXPECT_EQ(wait_for(pid, TE_EXITED).status, 0);
}

static int untraced_child(void *arg)
{
	_exit(syscall(TRACED_CALL, 0) == -1 && errno == ENOSYS ? 3 : 4);
}

static void clone_untraced(struct lab *lab)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	pid_t pid;

	EXPECT_EQ(seccomp_trace_call(TRACED_CALL), 0);
	pid = clone(untraced_child, stack + sizeof(stack), CLONE_UNTRACED | SIGCHLD, NULL);
	EXPECT_EQ(reap(pid), 3 << 8);
}

PROBE(clone_untraced_escapes,
      "a CLONE_UNTRACED child escapes the tracer, and its trapped calls fail with "
      "ENOSYS")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, clone_untraced);

	EXPECT_EQ(wait_for(pid, TE_EXITED).status, 0);
}

/* ---- exec ---- */

static void exec_paused(struct lab *lab)
{
	exec_victim("pause");
}

static void exec_short(struct lab *lab)
{
	exec_victim("exit");
}

/* From the exec event to the exit stop of execve. */
static void go_to_exec_exit(pid_t pid)
{
	wait_for(pid, TE_EXEC);
	EXPECT_EQ(tracee_resume_to_syscall(pid, 0), 0);
	EXPECT_EQ(tracee_wait(pid).event, TE_SYSCALL);
}

static void expect_same_regs(sc_regs *a, sc_regs *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;

	a->eflags |= 2; /* always set in the CPU; 6.1 shows a new image without it */
	b->eflags |= 2;
	for (size_t i = 0; i < sizeof(*a) / sizeof(*x); i++) {
		if (x[i] != y[i])
			probe_fail(__FILE__, __LINE__, "register %zu was %#llx, is %#llx", i,
				   (unsigned long long)x[i], (unsigned long long)y[i]);
	}
}

PROBE(exec_inject, "after PTRACE_EVENT_EXEC, at execve's exit stop, calls injected through the "
		   "vdso run and leave no trace")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, exec_short);
	u64 site = remote_vdso_site();
	struct remote remote;
	sc_regs before, after;
	long uffd, closed;

	EXPECT(site);
	go_to_exec_exit(pid);
	EXPECT_EQ(tracee_get_regs(pid, &before), 0);
	EXPECT_EQ(remote_begin(&remote, pid, vdso_base(pid) + site, NULL, NULL), 0);
	EXPECT_EQ(remote_syscall(&remote, &uffd, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0,
				 0, 0),
		  0);
	EXPECT(uffd >= 0);
	EXPECT_EQ(remote_syscall(&remote, &closed, SYS_close, (u64)uffd, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(closed, 0);
	EXPECT_EQ(remote_end(&remote), 0);
	EXPECT_EQ(tracee_get_regs(pid, &after), 0);
	expect_same_regs(&before, &after);
	resume_to_end(pid, 0);
}

PROBE(inject_at_call_exit,
      "calls can be injected at the exit stop of a trapped call, which then returns "
      "its own result")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, one_trapped_call);
	struct remote remote;
	long injected;

	wait_for(pid, TE_SECCOMP);
	EXPECT_EQ(tracee_resume_to_syscall(pid, 0), 0);
	EXPECT_EQ(tracee_wait(pid).event, TE_SYSCALL);
	EXPECT_EQ(remote_begin(&remote, pid, vdso_base(pid) + remote_vdso_site(), NULL, NULL), 0);
	EXPECT_EQ(remote_syscall(&remote, &injected, SYS_getpid, 0, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(injected, pid);
	EXPECT_EQ(remote_end(&remote), 0);
	resume_to_end(pid, 0);
	EXPECT_EQ(atomic_load(&lab->value[0]), getpgid(0));
}

static void *exec_thread(void *arg)
{
	struct lab *lab = arg;

	atomic_store(&lab->value[0], gettid());
	exec_victim("exit");
}

static void exec_from_thread(struct lab *lab)
{
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, exec_thread, lab));
	for (;;)
		pause();
}

PROBE(exec_by_thread, "an exec by another thread is reported under the leader's tid, with the "
		      "caller's former tid as message")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, exec_from_thread), thread;
	struct tracee_stop s;

	thread = (pid_t)wait_for(pid, TE_FORKED).msg;
	EXPECT_EQ(tracee_resume(pid, 0), 0);
	wait_for(thread, TE_NEW);
	EXPECT_EQ(tracee_resume(thread, 0), 0);
	s = wait_for(pid, TE_EXEC);
	EXPECT_EQ(s.msg, thread);
	EXPECT_EQ(atomic_load(&lab->value[0]), thread);
	resume_to_end(pid, 0);
}

/* Take the userfaultfd that is injected into the image, as upager does at each exec. */
static int take_injected_uffd(pid_t pid)
{
	struct remote remote;
	int pidfd = syscall(SYS_pidfd_open, pid, 0), fd;
	long uffd;

	EXPECT_EQ(remote_begin(&remote, pid, vdso_base(pid) + remote_vdso_site(), NULL, NULL), 0);
	EXPECT_EQ(remote_syscall(&remote, &uffd, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0,
				 0, 0),
		  0);
	fd = syscall(__NR_pidfd_getfd, pidfd, uffd, 0);
	EXPECT(fd >= 0);
	EXPECT_EQ(remote_syscall(&remote, &uffd, SYS_close, (u64)uffd, 0, 0, 0, 0, 0), 0);
	EXPECT_EQ(remote_end(&remote), 0);
	close(pidfd);
	EXPECT_EQ(uffd_api(fd, FEATURES_RUN), 0);
	return fd;
}

PROBE(exec_new_context,
      "a userfaultfd taken at an exec belongs to the new image; after the image is "
      "gone answers say ESRCH")
{
	struct lab *lab = lab_new();
	pid_t pid = start_traced(lab, exec_paused);
	struct uffd_msg msg;
	sc_regs regs;
	int fd;

	go_to_exec_exit(pid);
	fd = take_injected_uffd(pid);
	EXPECT_EQ(tracee_get_regs(pid, &regs), 0);
	EXPECT_EQ(uffd_register(fd, range_of(page_align_down(regs.rsp), PAGE_SIZE)),
		  0); /* its stack */
	kill(pid, SIGKILL);
	while (tracee_wait(pid).event != TE_KILLED)
		tracee_resume(pid, 0);
	EXPECT_EQ(uffd_read(fd, &msg, 1), 0);
	EXPECT_EQ(fill_page(fd, page_align_down(regs.rsp), 0, 0), -ESRCH);
}
