/* SPDX-License-Identifier: MIT */
/*
 * control.c - probes: looking into another process, keeping descriptors alive, moving pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static void wait_to_be_killed(struct lab *lab)
{
	for (;;)
		pause();
}

/* ---- reading a missing page from outside ---- */

PROBE(proc_mem_fails, "/proc/PID/mem of a missing armed page fails with EIO and does not wait")
{
	struct subject s = subject_start(1, FEATURES_RUN, wait_to_be_killed);
	char path[32], byte;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", s.pid);
	fd = open(path, O_RDWR);
	EXPECT(fd >= 0);
	EXPECT_EQ(pread(fd, &byte, 1, (off_t)s.mem), -1);
	EXPECT_EQ(errno, EIO);
	EXPECT_EQ(pwrite(fd, "x", 1, (off_t)s.mem), -1);
	EXPECT_EQ(errno, EIO);
	expect_silence(s.uffd, 20);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 42, 0), 0);
	EXPECT_EQ(pread(fd, &byte, 1, (off_t)s.mem), 1);
	EXPECT_EQ(byte, 42);
}

PROBE(process_vm_readv_blocks,
      "process_vm_readv of a missing armed page sends a fault and blocks its caller")
{
	struct subject s = subject_start(1, FEATURES_RUN, wait_to_be_killed);
	pid_t reader = fork_child();
	struct uffd_msg msg;

	if (!reader) {
		char byte;
		struct iovec local = {&byte, 1}, remote = {(void *)s.mem, 1};

		close(s.uffd);
		EXPECT_EQ(process_vm_readv(s.pid, &local, 1, &remote, 1, 0), 1);
		_exit(0);
	}
	msg = expect_fault(s.uffd, s.mem, 0);
	EXPECT_EQ(msg.arg.pagefault.feat.ptid, reader);
	sleep_ms(50);
	EXPECT_EQ(waitpid(reader, NULL, WNOHANG), 0);
	EXPECT_EQ(zero_page(s.uffd, s.mem, 0), 0);
	EXPECT_EQ(reap(reader), 0);
}

/* ---- the guardian ---- */

static int guard(void *arg)
{
	prctl(PR_SET_PDEATHSIG, 0);
	for (;;)
		pause();
	return 0;
}

/* A process that shares the caller's fd table and has its own memory. */
static pid_t clone_guardian(void)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	pid_t pid = clone(guard, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL);

	EXPECT(pid > 0);
	return pid;
}

static bool hung_up(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) > 0 && (p.revents & POLLHUP);
}

PROBE(clone_files_keeps_fds,
      "a process that shares the fd table by CLONE_FILES keeps descriptors open when "
      "the other is killed")
{
	struct lab *lab = lab_new();
	pid_t owner;
	int fd[2];

	EXPECT(!pipe(fd));
	owner = fork_child();
	if (!owner) {
		atomic_store(&lab->value[0], clone_guardian());
		lab_reach(lab, 1);
		for (;;)
			pause();
	}
	close(fd[1]);
	lab_await(lab, 1);
	kill(owner, SIGKILL);
	reap(owner);
	EXPECT(!hung_up(fd[0], 100));
	kill((pid_t)atomic_load(&lab->value[0]), SIGKILL);
	EXPECT(hung_up(fd[0], 5000));
}

static void touch_and_tell(struct lab *lab)
{
	(void)peek(lab->mem);
	atomic_store(&lab->value[1], 1); /* nobody answered: must not be reached */
}

enum { GUARDIAN, SUBJECT, READ_SOMETHING };

static struct lab *guardian_lab;

static void touch_and_tell_outside(struct lab *lab)
{
	(void)peek(lab->mem);
	atomic_store(&guardian_lab->value[READ_SOMETHING],
		     1); /* nobody answered: must not be reached */
}

/* What a supervisor does: hold the userfaultfd, start a guardian, be killed. */
static noreturn void supervise(void)
{
	struct subject s = subject_start(1, FEATURES_RUN, touch_and_tell_outside);

	expect_fault(s.uffd, s.mem, 0);
	atomic_store(&guardian_lab->value[GUARDIAN], clone_guardian());
	atomic_store(&guardian_lab->value[SUBJECT], s.pid);
	lab_reach(guardian_lab, 1);
	for (;;)
		pause();
}

PROBE(guardian_holds_faults,
      "with a guardian a supervisor's death leaves its program's faults waiting, not "
      "answered by zeroes")
{
	pid_t supervisor;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	guardian_lab = lab_new();
	supervisor = fork_child();
	if (!supervisor)
		supervise();
	lab_await(guardian_lab, 1);
	/* The subject dies with its parent (PDEATHSIG), as a tracee dies of EXITKILL. */
	kill(supervisor, SIGKILL);
	reap(supervisor);
	EXPECT_EQ(reap((pid_t)atomic_load(&guardian_lab->value[SUBJECT])), SIGKILL);
	EXPECT_EQ(atomic_load(&guardian_lab->value[READ_SOMETHING]), 0);
	kill((pid_t)atomic_load(&guardian_lab->value[GUARDIAN]), SIGKILL);
}

/* ---- UFFDIO_MOVE ---- */

enum { STAGING, RESULT, DO_FORK, FD };

static long move_page(int uffd, u64 dst, u64 src)
{
	struct uffdio_move op = {.dst = dst, .src = src, .len = PAGE_SIZE};

	return ioctl(uffd, UFFDIO_MOVE, &op) ? -errno : 0;
}

static int stub(void *arg)
{
	struct lab *lab = arg;

	lab_hold(lab, 2);
	atomic_store(&lab->value[RESULT],
		     move_page((int)atomic_load(&lab->value[FD]),
			       (u64)atomic_load(&lab->value[STAGING]), lab->mem));
	lab_reach(lab, 3);
	return 0;
}

/* A child that keeps its userfaultfd, runs a stub in its own memory, and touches again. */
static void move_in_tracee(struct lab *lab)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	struct range staging = {0, 0};
	pid_t task, child = 0;
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	void *at = mmap(NULL, 3 * PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_MOVE;

	staging = range_of((u64)at + PAGE_SIZE, PAGE_SIZE);
	EXPECT(!mprotect((void *)staging.start, PAGE_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(uffd_api(uffd, features), 0);
	EXPECT_EQ(uffd_register(uffd, staging), 0);
	EXPECT_EQ(uffd_register(uffd, range_of(lab->mem, PAGE_SIZE)), 0);
	EXPECT_EQ(fill_page(uffd, lab->mem, 77, 0), 0);
	atomic_store(&lab->value[STAGING], (long)staging.start);
	atomic_store(&lab->value[FD], uffd);
	if (atomic_load(&lab->value[DO_FORK])) {
		child = fork_child();
		if (!child)
			guard(NULL);
	}
	task = clone(stub, stack + sizeof(stack), CLONE_VM | SIGCHLD, lab);
	EXPECT(task > 0);
	lab_reach(lab, 1);
	lab_hold(lab, 4);
	EXPECT_EQ(reap(task), 0);
	if (!atomic_load(&lab->value[RESULT])) {
		EXPECT_EQ(peek(staging.start), 77);
		EXPECT_EQ(move_page(uffd, lab->mem, staging.start), 0); /* and back */
		EXPECT_EQ(peek(lab->mem), 77);
	}
	if (child)
		kill(child, SIGKILL);
}

static struct subject start_mover(bool forked)
{
	struct subject s;

	if (!(probe_uffd_features() & UFFD_FEATURE_MOVE))
		SKIP("this kernel has no UFFDIO_MOVE (6.8)");
	s = subject_prepare(1, FEATURES_RUN, move_in_tracee);
	atomic_store(&s.lab->value[DO_FORK], forked);
	subject_begin(&s);
	lab_await(s.lab, 1);
	return s;
}

PROBE(move_in_clone_vm, "MOVE works from a CLONE_VM task of the program and keeps the bytes")
{
	struct subject s = start_mover(false);

	lab_let(s.lab, 2);
	lab_await(s.lab, 3);
	EXPECT_EQ(atomic_load(&s.lab->value[RESULT]), 0);
	lab_let(s.lab, 4);
	subject_end(&s);
}

PROBE(move_after_fork, "MOVE of a page that a fork has shared says EBUSY")
{
	struct subject s = start_mover(true);

	lab_let(s.lab, 2);
	lab_await(s.lab, 3);
	EXPECT_EQ(atomic_load(&s.lab->value[RESULT]), -EBUSY);
	lab_let(s.lab, 4);
	subject_end(&s);
}

static void two_pages(struct lab *lab)
{
	lab_hold(lab, 1);
}

PROBE(move_from_outside, "MOVE from another process says EINVAL")
{
	struct subject s;

	if (!(probe_uffd_features() & UFFD_FEATURE_MOVE))
		SKIP("this kernel has no UFFDIO_MOVE (6.8)");
	s = subject_start(2, FEATURES_RUN | UFFD_FEATURE_MOVE, two_pages);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 1, 0), 0);
	EXPECT_EQ(move_page(s.uffd, s.mem + PAGE_SIZE, s.mem), -EINVAL);
	lab_let(s.lab, 1);
	subject_end(&s);
}

/* ---- ownership ---- */

PROBE(unregister_wakes,
      "UNREGISTER by another process wakes who waits in the range; its page is the "
      "kernel's again")
{
	struct subject s = subject_start(1, FEATURES_RUN, touch_and_tell);

	expect_fault(s.uffd, s.mem, 0);
	EXPECT_EQ(uffd_unregister(s.uffd, range_of(s.mem, s.len)), 0); /* wakes as well */
	subject_end(&s);
	EXPECT_EQ(atomic_load(&s.lab->value[1]), 1);
}

/* ---- a task that ends ---- */

static int end_at_once(void *arg)
{
	return 0;
}

/* A task of the same memory, whose tid word lies in a protected page, ends. */
static void end_with_tid_word(struct lab *lab)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	pid_t task;

	poke(lab->mem, 1);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	task = clone(end_at_once, stack + sizeof(stack), CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD,
		     NULL, NULL, NULL, (void *)lab->mem);
	EXPECT(task > 0);
	EXPECT_EQ(reap(task), 0);
	atomic_store(&lab->value[0], *(volatile int *)lab->mem);
}

PROBE(exiting_task_unheard,
      "a task that exits sends no fault: its clear_child_tid into a protected page is lost")
{
	struct subject s = subject_start(1, FEATURES_RUN, end_with_tid_word);

	expect_fault(s.uffd, s.mem, UFFD_PAGEFAULT_FLAG_WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	lab_await(s.lab, 1);
	EXPECT_EQ(protect_page(s.uffd, s.mem, true), 0);
	lab_let(s.lab, 1);
	subject_end(&s);
	EXPECT_EQ(atomic_load(&s.lab->value[0]), 1);
}
