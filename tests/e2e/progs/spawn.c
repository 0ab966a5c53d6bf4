// SPDX-License-Identifier: MIT
/* Every way to make a process: vfork, posix_spawn, clone and clone3 with their flags. */
#include <linux/sched.h>
#include <poll.h>
#include <spawn.h>
#include <linux/futex.h>
#include "e2e.h"

extern char **environ;

static char self[PATH_MAX];
static char *area;
#define AREA (64 * PAGE)

/* The program again, as `spawn child N`: uses some memory and exits with N. */
static int run_as_child(int code)
{
	char *p = map_anon(MIB);

	fill_marks(p, MIB, code);
	check_marks(p, MIB, code);
	return code;
}

static void vfork_exec(void)
{
	for (int i = 0; i < 8; i++) {
		char code[8];
		char *argv[] = { self, (char *)"child", code, NULL };
		pid_t pid;

		snprintf(code, sizeof(code), "%d", i + 10);
		pid = SYS(vfork());
		if (!pid) {
			execv(self, argv);
			_exit(127);
		}
		expect_exit(pid, i + 10);
	}
}

/* What a vfork child writes is the parent's; then both go on with their own. */
static void vfork_shares_memory(void)
{
	volatile int from_child = 0;
	pid_t pid = SYS(vfork());

	if (!pid) {
		fill_marks(area, AREA, 31);
		from_child = 42;
		_exit(3);
	}
	CHECK(from_child == 42);
	check_marks(area, AREA, 31);
	expect_exit(pid, 3);
}

static void vfork_failing_exec(void)
{
	pid_t pid = SYS(vfork());

	if (!pid) {
		execl("/nonexistent/program", "x", NULL);
		_exit(errno == ENOENT ? 77 : 1);
	}
	expect_exit(pid, 77);
}

static void *spawn_some(void *index)
{
	for (int i = 0; i < 4; i++) {
		char code[8];
		char *argv[] = { self, (char *)"child", code, NULL };
		pid_t pid;
		int rc;

		snprintf(code, sizeof(code), "%d", 20 + i);
		rc = posix_spawn(&pid, self, NULL, NULL, argv, environ);
		CHECK(rc == 0, "posix_spawn: %s", strerror(rc));
		expect_exit(pid, 20 + i);
	}
	return NULL;
}

static void posix_spawn_serial(void)
{
	spawn_some(NULL);
}

/* vfork in several threads at once: only the calling thread waits. */
static void posix_spawn_from_threads(void)
{
	run_threads(4, spawn_some);
}

static void spawn_with_actions(void)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"echo spawned; exit 5", NULL };
	int fd[2], rc;
	char buf[16];
	pid_t pid;

	SYS(pipe(fd));
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fd[1], 1);
	posix_spawn_file_actions_addclose(&fa, fd[0]);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(&pid, "/bin/sh", &fa, &attr, argv, environ);
	CHECK(rc == 0, "posix_spawn: %s", strerror(rc));
	SYS(close(fd[1]));
	CHECK(SYS(read(fd[0], buf, sizeof(buf))) == 8 && !memcmp(buf, "spawned\n", 8));
	SYS(close(fd[0]));
	expect_exit(pid, 5);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&attr);
}

static void popen_and_system(void)
{
	char line[64];
	FILE *f = popen("echo from popen", "r");

	CHECK(f && fgets(line, sizeof(line), f) && !strcmp(line, "from popen\n"));
	CHECK(pclose(f) == 0);
	CHECK(WEXITSTATUS(system("exit 19")) == 19);
}

static int vm_child(void *arg)
{
	fill_marks(area, AREA, (uintptr_t)arg);
	for (int i = 0; i < 50; i++) {
		char *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED)
			return 1;
		fill_marks(p, 8 * PAGE, i);
		check_marks(p, 8 * PAGE, i);
		munmap(p, 8 * PAGE);
	}
	return 6;
}

/* A process that shares the memory but is no thread, beside its running parent. */
static void clone_vm_process(void)
{
	char *stack = map_anon(256 * KIB);

	for (int i = 0; i < 6; i++) {
		int flags = CLONE_VM | SIGCHLD | (i & 1 ? CLONE_FILES | CLONE_FS : 0) |
			    (i & 2 ? CLONE_UNTRACED : 0) | (i & 4 ? CLONE_SIGHAND : 0);
		pid_t pid = SYS(clone(vm_child, stack + 256 * KIB, flags, (void *)(uintptr_t)(100 + i)));

		vm_child((void *)(uintptr_t)(100 + i));
		expect_exit(pid, 6);
		check_marks(area, AREA, 100 + i);
	}
	SYS(munmap(stack, 256 * KIB));
}

static int cow_child(void *arg)
{
	check_marks(area, AREA, (uintptr_t)arg);
	fill_marks(area, AREA, 500);
	check_marks(area, AREA, 500);
	return 4;
}

/* A copy of the memory, with CLONE_UNTRACED: nobody may lose sight of it. */
static void clone_untraced_fork(void)
{
	char *stack = map_anon(256 * KIB);
	pid_t pid;

	fill_marks(area, AREA, 200);
	pid = SYS(clone(cow_child, stack + 256 * KIB, SIGCHLD | CLONE_UNTRACED, (void *)200));
	check_marks(area, AREA, 200);
	expect_exit(pid, 4);
	check_marks(area, AREA, 200);
	SYS(munmap(stack, 256 * KIB));
}

/* exit_signal 0 and others than SIGCHLD: only __WCLONE or __WALL sees these children. */
static void clone_other_exit_signals(void)
{
	char *stack = map_anon(256 * KIB);
	int st;
	pid_t pid = SYS(clone(vm_child, stack + 256 * KIB, CLONE_VM, (void *)1));

	FAILS(ECHILD, waitpid(-1, &st, 0));
	CHECK(SYS(waitpid(pid, &st, __WCLONE)) == pid && WEXITSTATUS(st) == 6);
	signal(SIGUSR1, SIG_IGN);
	pid = SYS(clone(vm_child, stack + 256 * KIB, CLONE_VM | SIGUSR1, (void *)1));
	CHECK(SYS(waitpid(-1, &st, __WALL)) == pid && WEXITSTATUS(st) == 6);
	FAILS(ECHILD, waitpid(-1, &st, __WALL));
	FAILS(ECHILD, waitpid(-1, &st, __WALL | WNOHANG));
	FAILS(ECHILD, waitpid(-1, &st, __WCLONE));
	SYS(munmap(stack, 256 * KIB));
}

static pid_t raw_clone3(struct clone_args *args)
{
	return syscall(SYS_clone3, args, sizeof(*args));
}

/* clone3 with CLONE_UNTRACED, its arguments in memory that the forks before have left shared. */
static void clone3_untraced_again(void)
{
	struct clone_args *args = map_anon(PAGE);
	int gate[2];
	char c;

	*args = (struct clone_args){ .flags = CLONE_UNTRACED, .exit_signal = SIGCHLD };
	SYS(pipe(gate));
	for (int i = 0; i < 3; i++) {
		pid_t other = SYS(fork()), pid;

		if (!other) { /* it keeps its half of the page */
			close(gate[1]);
			_exit((int)read(gate[0], &c, 1));
		}
		pid = SYS(raw_clone3(args));
		if (!pid)
			_exit(args->flags == CLONE_UNTRACED ? 9 : 1);
		expect_exit(pid, 9);
		CHECK(args->flags == CLONE_UNTRACED);
		SYS(kill(other, SIGKILL));
		SYS(waitpid(other, NULL, 0));
	}
	close(gate[0]);
	close(gate[1]);
	SYS(munmap(args, PAGE));
}

/* clone3 as fork, its result words in memory that nobody has touched. */
static void clone3_fork(void)
{
	pid_t *word = map_anon(2 * PAGE);
	pid_t *child_word = (pid_t *)((char *)word + PAGE);
	int pidfd = -1;
	siginfo_t si;
	struct clone_args args = {
		.flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PIDFD,
		.pidfd = (uintptr_t)&pidfd,
		.parent_tid = (uintptr_t)word,
		.child_tid = (uintptr_t)child_word,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = SYS(raw_clone3(&args));

	if (!pid) {
		CHECK(*child_word == getpid() && *word == 0, "%d %d", *child_word, *word);
		fill_marks(area, AREA, 300);
		_exit(8);
	}
	CHECK(*word == pid && *child_word == 0);
	CHECK(pidfd >= 0);
	SYS(waitid(P_PIDFD, pidfd, &si, WEXITED));
	CHECK(si.si_pid == pid && si.si_code == CLD_EXITED && si.si_status == 8);
	SYS(close(pidfd));
	SYS(munmap(word, 2 * PAGE));
}

static int leave_gate[2], hold_gate[2];

static int wait_then_leave(void *unused)
{
	char c;

	return read(leave_gate[0], &c, 1) == 1 ? 6 : 1;
}

static void wait_for_end(void *unused)
{
	char c;

	SYS(close(hold_gate[1]));
	CHECK(SYS(read(hold_gate[0], &c, 1)) == 0);
}

/*
 * The kernel clears the tid word of an exiting task itself, and wakes who waits for it; here in a
 * page that was shared by a fork just before, and in one that was dropped.
 */
static void exiting_task_clears_its_tid(void)
{
	pid_t pid, holder;
	char *stack = map_anon(256 * KIB);
	pid_t *word = map_anon(2 * PAGE), *other = word + PAGE / sizeof(*word);
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_CHILD_CLEARTID | SIGCHLD;

	for (int i = 0; i < 2; i++) {
		SYS(pipe(leave_gate));
		SYS(pipe(hold_gate));
		*word = *other = 77;
		pid = SYS(clone(wait_then_leave, stack + 256 * KIB, flags, NULL, NULL, NULL,
				i ? other : word));
		holder = fork_run(wait_for_end, NULL);
		if (i)
			SYS(madvise(other, PAGE, MADV_DONTNEED));
		CHECK(SYS(write(leave_gate[1], "x", 1)) == 1);
		expect_exit(pid, 6);
		CHECK(i ? *other == 0 : *word == 0, "tid word %d", i ? *other : *word);
		SYS(close(hold_gate[1]));
		expect_exit(holder, 0);
		SYS(close(hold_gate[0]));
		SYS(close(leave_gate[0]));
		SYS(close(leave_gate[1]));
	}
	SYS(munmap(word, 2 * PAGE));
	SYS(munmap(stack, 256 * KIB));
}

static pthread_mutex_t *robust;

static void *die_with_lock(void *unused)
{
	CHECK(pthread_mutex_lock(robust) == 0);
	CHECK(SYS(write(leave_gate[1], "l", 1)) == 1);
	sleep_ms(100); /* the main thread forks now, and the page of the mutex becomes shared */
	return NULL;
}

/* The kernel marks the mutex of a dead owner: in a page shared by fork since it was locked. */
static void robust_mutex_of_a_dead_thread(void)
{
	struct timespec limit;
	pthread_mutexattr_t attr;
	pthread_t t;
	pid_t pid;
	char c;

	robust = map_anon(PAGE);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(robust, &attr);
	SYS(pipe(leave_gate));
	SYS(pipe(hold_gate));
	CHECK(pthread_create(&t, NULL, die_with_lock, NULL) == 0);
	CHECK(SYS(read(leave_gate[0], &c, 1)) == 1 && c == 'l');
	pid = fork_run(wait_for_end, NULL);
	CHECK(pthread_join(t, NULL) == 0);
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += 5;
	int rc = pthread_mutex_timedlock(robust, &limit);
	CHECK(rc == EOWNERDEAD, "lock of a dead thread's mutex: %s", strerror(rc));
	SYS(close(hold_gate[1]));
	expect_exit(pid, 0);
	SYS(close(hold_gate[0]));
	SYS(close(leave_gate[0]));
	SYS(close(leave_gate[1]));
	SYS(munmap(robust, PAGE));
}

static void *die_with_copied_list(void *unused)
{
	static struct robust_list_head copy;
	struct robust_list_head *head;
	size_t len;

	CHECK(pthread_mutex_lock(robust) == 0);
	SYS(syscall(SYS_get_robust_list, 0, &head, &len));
	copy = *head;
	SYS(syscall(SYS_set_robust_list, &copy, len));
	return NULL;
}

/* Such a list never comes back to the head that the kernel knows. */
static void robust_list_goes_round(void)
{
	pthread_mutexattr_t attr;
	pthread_t t;

	robust = map_anon(PAGE);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (int i = 0; i < 50; i++) {
		pthread_mutex_init(robust, &attr);
		CHECK(pthread_create(&t, NULL, die_with_copied_list, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
		CHECK(pthread_mutex_lock(robust) == EOWNERDEAD, "lock of a dead thread's mutex");
	}
	SYS(munmap(robust, PAGE));
}

/* A child that its pidfd calls dead is there for each wait that does not wait. */
static void dead_child_can_be_waited_for(void)
{
	for (int i = 0; i < 120; i++) {
		siginfo_t info = { 0 };
		struct pollfd dead = { .events = POLLIN };
		int status = 0;
		pid_t pid = SYS(fork());

		if (!pid)
			_exit(9);
		dead.fd = (int)SYS(syscall(SYS_pidfd_open, pid, i % 3 == 2 ? O_NONBLOCK : 0));
		CHECK(SYS(poll(&dead, 1, -1)) == 1);
		if (i % 3 == 0) {
			CHECK(SYS(waitpid(pid, &status, WNOHANG)) == pid);
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
		} else {
			SYS(waitid(P_PIDFD, (id_t)dead.fd, &info, WEXITED | (i % 3 == 1 ? WNOHANG : 0)));
			CHECK(info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 9);
		}
		SYS(close(dead.fd));
	}
}

/* Refusals come from the kernel, with its errno. */
static void clone3_bad_arguments(void)
{
	struct clone_args args = { .flags = CLONE_THREAD, .exit_signal = SIGCHLD };

	FAILS(EINVAL, raw_clone3(&args));
	args = (struct clone_args){ .flags = CLONE_SIGHAND };
	FAILS(EINVAL, raw_clone3(&args));
	FAILS(EINVAL, syscall(SYS_clone3, &args, 8));
	FAILS(EFAULT, syscall(SYS_clone3, (void *)8, sizeof(args)));
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "child"))
		return run_as_child(atoi(argv[2]));
	CHECK(SYS(readlink("/proc/self/exe", self, sizeof(self) - 1)) > 0);
	area = map_anon(AREA);
	RUN(vfork_exec);
	RUN(vfork_shares_memory);
	RUN(vfork_failing_exec);
	RUN(posix_spawn_serial);
	RUN(posix_spawn_from_threads);
	RUN(spawn_with_actions);
	RUN(popen_and_system);
	RUN(clone_vm_process);
	RUN(clone_untraced_fork);
	RUN(clone_other_exit_signals);
	RUN(clone3_fork);
	RUN(clone3_untraced_again);
	RUN(exiting_task_clears_its_tid);
	RUN(robust_mutex_of_a_dead_thread);
	RUN(robust_list_goes_round);
	RUN(dead_child_can_be_waited_for);
	RUN(clone3_bad_arguments);
	return 0;
}
