/* SPDX-License-Identifier: MIT */
/*
 * forks.c - probes: what a fork does to armed memory, and what a fork event holds up.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static const u64 WRITE = UFFD_PAGEFAULT_FLAG_WRITE;
static const u64 WRITE_WP = UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP;

/* Page 0 is written before the fork; page 1 stays missing.  The child writes both. */
static void fork_and_write(struct lab *lab)
{
	pid_t pid;

	poke(lab->mem, 11);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	pid = fork();
	if (!pid) {
		EXPECT_EQ(peek(lab->mem), 11);
		poke(lab->mem, 22);
		poke(lab->mem + PAGE_SIZE, 33);
		_exit(0);
	}
	EXPECT_EQ(reap(pid), 0);
	EXPECT_EQ(peek(lab->mem), 11);
	EXPECT_EQ(peek(lab->mem + PAGE_SIZE), 0);
}

PROBE(fork_event, "a fork event hands over the child's userfaultfd: wp bits and registration are "
		  "inherited, faults are its own")
{
	struct subject s = subject_start(2, FEATURES_RUN, fork_and_write);
	int child;

	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	lab_await(s.lab, 1);
	EXPECT_EQ(protect_page(s.uffd, s.mem, true), 0);
	lab_let(s.lab, 1);
	child = expect_fork(s.uffd);
	expect_fault(child, s.mem, WRITE_WP);
	EXPECT_EQ(protect_page(child, s.mem, false), 0);
	expect_fault(child, s.mem + PAGE_SIZE, WRITE);
	EXPECT_EQ(fill_page(child, s.mem + PAGE_SIZE, 0, 0), 0);
	expect_fault(s.uffd, s.mem + PAGE_SIZE, 0); /* the parent's own page is still missing */
	EXPECT_EQ(zero_page(s.uffd, s.mem + PAGE_SIZE, 0), 0);
	subject_end(&s);
}

static void fork_two_deep(struct lab *lab)
{
	pid_t child = fork();

	if (!child) {
		pid_t grandchild = fork();

		if (!grandchild) {
			poke(lab->mem, 1);
			_exit(0);
		}
		EXPECT_EQ(reap(grandchild), 0);
		_exit(0);
	}
	EXPECT_EQ(reap(child), 0);
}

PROBE(fork_event_grandchild, "a grandchild's fork event arrives on the child's userfaultfd")
{
	struct subject s = subject_start(1, FEATURES_RUN, fork_two_deep);
	int child = expect_fork(s.uffd), grandchild = expect_fork(child);

	expect_fault(grandchild, s.mem, WRITE);
	EXPECT_EQ(fill_page(grandchild, s.mem, 0, 0), 0);
	subject_end(&s);
}

PROBE(fork_event_eagain,
      "while a fork event is unread every resolving ioctl says EAGAIN, and fork() "
      "does not return")
{
	struct subject s = subject_start(2, FEATURES_RUN, fork_and_write);
	int child, ret;

	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	lab_await(s.lab, 1);
	lab_let(s.lab, 1);
	sleep_ms(100);
	EXPECT_EQ(fill_page(s.uffd, s.mem + PAGE_SIZE, 0, 0), -EAGAIN);
	EXPECT_EQ(zero_page(s.uffd, s.mem + PAGE_SIZE, 0), -EAGAIN);
	EXPECT_EQ(protect_page(s.uffd, s.mem, true), -EAGAIN);
	child = expect_fork(s.uffd);
	for (int i = 0; (ret = protect_page(s.uffd, s.mem, true)) == -EAGAIN && i < 1000; i++)
		sleep_ms(1); /* it may last a little after the event was read */
	EXPECT_EQ(ret, 0);
	expect_fault(child, s.mem + PAGE_SIZE, WRITE); /* page 0 was not protected at the fork */
	EXPECT_EQ(fill_page(child, s.mem + PAGE_SIZE, 0, 0), 0);
	expect_fault(s.uffd, s.mem + PAGE_SIZE, 0);
	EXPECT_EQ(zero_page(s.uffd, s.mem + PAGE_SIZE, 0), 0);
	subject_end(&s);
}

/* Fork while another thread waits for a fault. */
static void *touch_thread(void *mem)
{
	poke((u64)mem, 1);
	return NULL;
}

static void fault_then_fork(struct lab *lab)
{
	pthread_t thread;
	pid_t pid;

	EXPECT(!pthread_create(&thread, NULL, touch_thread, (void *)lab->mem));
	sleep_ms(50);
	pid = fork();
	if (!pid)
		_exit(0);
	EXPECT_EQ(reap(pid), 0);
	pthread_join(thread, NULL);
}

PROBE(faults_before_events, "read() hands out a waiting fault before a waiting event")
{
	struct subject s = subject_start(1, FEATURES_RUN, fault_then_fork);

	sleep_ms(200); /* both wait by now */
	expect_fault(s.uffd, s.mem, WRITE);
	close(expect_fork(s.uffd));
	while (fill_page(s.uffd, s.mem, 0, 0) == -EAGAIN)
		sleep_ms(1);
	subject_end(&s);
}

static void fork_wiped(struct lab *lab)
{
	pid_t pid;

	poke(lab->mem, 5);
	EXPECT(!madvise((void *)lab->mem, PAGE_SIZE, MADV_WIPEONFORK));
	pid = fork();
	if (!pid) {
		EXPECT_EQ(peek(lab->mem), 0);
		_exit(0);
	}
	EXPECT_EQ(reap(pid), 0);
	EXPECT_EQ(peek(lab->mem), 5);
}

PROBE(fork_wipeonfork, "MADV_WIPEONFORK memory is armed and empty in the child")
{
	struct subject s = subject_start(1, FEATURES_RUN, fork_wiped);
	int child;

	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	child = expect_fork(s.uffd);
	expect_fault(child, s.mem, 0);
	EXPECT_EQ(zero_page(child, s.mem, 0), 0);
	subject_end(&s);
}

static void fork_not_copied(struct lab *lab)
{
	pid_t pid;

	EXPECT(!madvise((void *)lab->mem, PAGE_SIZE, MADV_DONTFORK));
	pid = fork();
	if (!pid) {
		poke(lab->mem, 1);
		_exit(0);
	}
	EXPECT_EQ(reap(pid), SIGSEGV);
}

PROBE(fork_dontfork,
      "MADV_DONTFORK memory is absent in the child; with nothing else armed there is "
      "no fork event")
{
	struct subject s = subject_start(1, FEATURES_RUN, fork_not_copied);

	expect_silence(s.uffd, 100);
	subject_end(&s);
}

static void fork_plain(struct lab *lab)
{
	pid_t pid = fork();

	if (!pid) {
		poke(lab->mem, 1);
		_exit(0);
	}
	EXPECT_EQ(reap(pid), 0);
}

PROBE(fork_without_event, "without EVENT_FORK a child's memory is not armed")
{
	struct subject s = subject_start(1, UFFD_FEATURE_PAGEFAULT_FLAG_WP, fork_plain);

	expect_silence(s.uffd, 100);
	subject_end(&s);
}

static int touch_shared(void *mem)
{
	poke((u64)mem, 1);
	return 0;
}

static void clone_same_mm(struct lab *lab)
{
	static char stack[64 * 1024] __attribute__((aligned(16)));
	int pid = clone(touch_shared, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD,
			(void *)lab->mem);

	EXPECT(pid > 0);
	EXPECT_EQ(reap(pid), 0);
	EXPECT_EQ(peek(lab->mem), 1);
}

PROBE(vfork_no_event,
      "vfork and CLONE_VM send no fork event; the child's faults arrive on the same "
      "userfaultfd")
{
	struct subject s = subject_start(1, FEATURES_RUN, clone_same_mm);
	struct uffd_msg msg = expect_fault(s.uffd, s.mem, WRITE);

	EXPECT(msg.arg.pagefault.feat.ptid != (u32)s.pid);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	subject_end(&s);
}

PROBE(fork_event_killed,
      "a process killed while its fork event is unread dies; the event is withdrawn "
      "or its child's fd is at its end")
{
	struct subject s = subject_start(1, FEATURES_RUN, fork_plain);
	struct uffd_msg msg;
	int ret;

	sleep_ms(100); /* it waits for its event to be read */
	kill(s.pid, SIGKILL);
	EXPECT_EQ(reap(s.pid), SIGKILL);
	ret = uffd_read(s.uffd, &msg, 1);
	EXPECT(ret == 0 || (ret == 1 && msg.event == UFFD_EVENT_FORK));
}
