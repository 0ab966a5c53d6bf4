// SPDX-License-Identifier: MIT
/*
 * Processes that are killed while they make others, or become others: wherever the kernel is at it, all of them end.
 *
 *	slain ROUNDS [unpaged]
 *
 * unpaged: with no descriptor to spare, so that upager has none for a userfaultfd; linked statically, or the loader has none.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include "e2e.h"

#define AREA (8 * PAGE)

static volatile int *started; /* shared: the victim is at it */
static char *self;
static char *area;

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

static void forks(void *arg)
{
	for (;;) {
		pid_t pid = fork();

		if (!pid) {
			check_marks(area, AREA, 3);
			_exit(0);
		}
		*started = 1;
		waitpid(pid, NULL, 0);
	}
}

static void vforks(void *arg)
{
	for (;;) {
		pid_t pid = vfork();

		if (!pid)
			_exit(0);
		*started = 1;
		waitpid(pid, NULL, 0);
	}
}

/* Its children are not its own. */
static void makes_siblings(void *arg)
{
	for (;;) {
		pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

		if (!pid) {
			check_marks(area, AREA, 3);
			_exit(0);
		}
		*started = 1;
	}
}

static void *leave(void *arg)
{
	return NULL;
}

static void makes_threads(void *arg)
{
	for (;;) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, leave, NULL))
			_exit(1);
		*started = 1;
		pthread_join(thread, NULL);
	}
}

static void *exec_self(void *arg)
{
	char fd[16];

	snprintf(fd, sizeof(fd), "%d", *(int *)arg);
	execl(self, self, gettid() == getpid() ? "alone" : "thread", fd, NULL);
	_exit(1);
}

/* A thread that is not the first takes its place, over and over. */
static void execs(void *arg)
{
	pthread_t thread;

	*started = 1;
	if (pthread_create(&thread, NULL, exec_self, arg))
		_exit(1);
	for (;;)
		pause();
}

static void execs_alone(void *arg)
{
	*started = 1;
	exec_self(arg);
}

static void spawns(void *arg)
{
	for (;;) {
		pid_t pid = vfork();

		if (!pid) {
			execl(self, self, "end", NULL);
			_exit(1);
		}
		*started = 1;
		waitpid(pid, NULL, 0);
	}
}

/* All that are made end by themselves, and come to us when their maker is dead. */
static void take_all(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno != ECHILD)
		;
}

static void slay(void (*victim)(void *arg), void *arg, int rounds)
{
	static uint64_t seed = 1;

	for (int i = 0; i < rounds; i++) {
		int64_t end;
		pid_t pid;
		int st;

		*started = 0;
		pid = fork_run(victim, arg);
		while (!*started)
			sched_yield();
		for (end = now_ns() + (int64_t)(rnd(&seed) % 400000); now_ns() < end;)
			;
		kill(pid, SIGKILL);
		CHECK(waitpid(pid, &st, 0) == pid && st == SIGKILL, "status %#x", st);
		take_all();
	}
	check_marks(area, AREA, 3);
}

static int rounds, shared_fd;

static void killed_in_fork(void)
{
	slay(forks, NULL, rounds);
}

static void killed_in_vfork(void)
{
	slay(vforks, NULL, rounds);
}

static void killed_while_siblings_are_made(void)
{
	slay(makes_siblings, NULL, rounds / 4);
}

static void killed_while_threads_are_made(void)
{
	slay(makes_threads, NULL, rounds);
}

static void killed_in_exec_of_a_thread(void)
{
	slay(execs, &shared_fd, rounds);
}

static void killed_in_exec(void)
{
	slay(execs_alone, &shared_fd, rounds);
}

static void killed_while_others_exec(void)
{
	slay(spawns, NULL, rounds);
}

/* The memfd's. */
static void leave_one_descriptor(char **argv)
{
	struct rlimit three = { 3, 3 }, now;

	SYS(getrlimit(RLIMIT_NOFILE, &now));
	if (now.rlim_cur > 3) {
		SYS(setrlimit(RLIMIT_NOFILE, &three));
		SYS(execv(self, argv));
	}
	SYS(close(0));
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc > 1 && !strcmp(argv[1], "end"))
		return 0;
	if (argc > 2 && !strcmp(argv[2], "unpaged")) {
		leave_one_descriptor(argv);
	} else if (argc > 2) {
		shared_fd = atoi(argv[2]);
		started = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
		(strcmp(argv[1], "alone") ? execs : execs_alone)(&shared_fd);
	}
	rounds = argc > 1 ? atoi(argv[1]) : 40;
	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	shared_fd = SYS(memfd_create("started", 0));
	SYS(ftruncate(shared_fd, PAGE));
	started = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
	area = map_anon(AREA);
	fill_marks(area, AREA, 3);
	RUN(killed_in_fork);
	RUN(killed_in_vfork);
	RUN(killed_while_siblings_are_made);
	RUN(killed_while_threads_are_made);
	RUN(killed_in_exec_of_a_thread);
	RUN(killed_in_exec);
	RUN(killed_while_others_exec);
	return 0;
}
