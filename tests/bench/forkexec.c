/* SPDX-License-Identifier: MIT */
/*
 * forkexec.c - start /bin/true and wait for it, again and again.
 *
 *	forkexec fork|spawn [JOBS]
 *
 * fork: fork and execve; spawn: posix_spawn, which is CLONE_VM|CLONE_VFORK.  JOBS processes do so side
 * by side, as make -j does.  Prints elapsed ns a start.
 */
#include <spawn.h>
#include <sys/wait.h>

#include "bench.h"

#define NR_STARTS 200 /* a job */

static char *const true_argv[] = { "true", NULL };
extern char **environ;

static pid_t start_by_fork(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	execve("/bin/true", true_argv, environ);
	_exit(127);
}

static pid_t start_by_spawn(void)
{
	pid_t pid;

	errno = posix_spawn(&pid, "/bin/true", NULL, NULL, true_argv, environ);
	return errno ? -1 : pid;
}

static void expect_success(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("start a process");
	if (status) {
		fprintf(stderr, "forkexec: a process ended with status 0x%x\n", status);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	u64 nr_starts = scaled(NR_STARTS), start;
	pid_t (*start_one)(void);
	pid_t jobs[64];
	int nr_jobs = argc > 2 ? atoi(argv[2]) : 1;

	if (argc > 1 && !strcmp(argv[1], "fork"))
		start_one = start_by_fork;
	else if (argc > 1 && !strcmp(argv[1], "spawn"))
		start_one = start_by_spawn;
	else
		usage("fork|spawn [JOBS]");
	if (nr_jobs < 1 || nr_jobs > (int)ARRAY_SIZE(jobs))
		usage("fork|spawn [JOBS]");
	start = now_ns();
	for (int j = 1; j < nr_jobs; j++) {
		jobs[j] = fork();
		if (jobs[j])
			continue;
		for (u64 i = 0; i < nr_starts; i++)
			expect_success(start_one());
		_exit(0);
	}
	for (u64 i = 0; i < nr_starts; i++)
		expect_success(start_one());
	for (int j = 1; j < nr_jobs; j++)
		expect_success(jobs[j]);
	print_per_op(now_ns() - start, nr_starts * (u64)nr_jobs);
	return 0;
}
