// SPDX-License-Identifier: MIT
/*
 * idle [KIB [SLEEPERS]]: processes that fill memory and sleep, while another needs all there is; woken, each
 * finds everything as it left it.  And what others see of one that sleeps: its command line, its environment,
 * its memory through /proc and process_vm_readv().
 */
#include <sys/prctl.h>
#include <sys/uio.h>
#include "pressure.h"

#define MAX_SLEEPERS 8

static size_t nr_pages;
static int nr_sleepers;
static int wake[2], ready[2];

/* Sleeps in a read whose buffer, like all the rest, leaves meanwhile. */
static void sleeper(void *key)
{
	uint64_t tag = (uintptr_t)key;
	char *p = map_anon(nr_pages * PAGE), c;

	SYS(close(wake[1]));
	fill_pages(p, nr_pages, tag, 0);
	CHECK(SYS(write(ready[1], "r", 1)) == 1);
	CHECK(SYS(read(wake[0], &c, 1)) == 0);
	check_pages(p, nr_pages, tag, 0);
	fill_pages(p, nr_pages, tag, 1);
	check_pages(p, nr_pages, tag, 1);
}

static void wait_ready(int nr)
{
	char c;

	for (int i = 0; i < nr; i++)
		CHECK(SYS(read(ready[0], &c, 1)) == 1);
}

static void sleep_and_wake(void)
{
	pid_t pid[MAX_SLEEPERS];

	SYS(pipe(wake));
	SYS(pipe(ready));
	for (int i = 0; i < nr_sleepers; i++)
		pid[i] = fork_run(sleeper, (void *)(uintptr_t)(10 + i));
	SYS(close(wake[0]));
	wait_ready(nr_sleepers);
	push_out(nr_pages * PAGE);
	push_out(nr_pages * PAGE);
	SYS(close(wake[1]));
	for (int i = 0; i < nr_sleepers; i++)
		expect_exit(pid[i], 0);
	SYS(close(ready[0]));
	SYS(close(ready[1]));
}

static size_t slurp(pid_t pid, const char *name, char *buf, size_t len)
{
	char path[64];
	size_t got = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = SYS(open(path, O_RDONLY));
	while ((n = SYS(read(fd, buf + got, len - got))) > 0)
		got += n;
	SYS(close(fd));
	return got;
}

#define BIG_VALUE 5000UL

/* "idle observed" with an environment of two variables, one longer than a page; sleeps until it is killed. */
static pid_t start_observed(void)
{
	char value[BIG_VALUE + 1] = "BIG=";
	char *args[] = { "idle", "observed", "one argument", "", "last", NULL };
	char *env[] = { "SMALL=1", value, NULL };
	char c;
	int pipefd[2];
	pid_t pid;

	memset(value + 4, 'v', BIG_VALUE - 4);
	SYS(pipe(pipefd));
	pid = SYS(fork());
	if (!pid) {
		SYS(dup2(pipefd[1], 3));
		execve("/proc/self/exe", args, env);
		_exit(9);
	}
	SYS(close(pipefd[1]));
	CHECK(SYS(read(pipefd[0], &c, 1)) == 1);
	SYS(close(pipefd[0]));
	return pid;
}

/* What ps and friends see of a sleeping process whose stack has long left memory. */
static void seen_from_outside(void)
{
	static const char want_args[] = "idle\0observed\0one argument\0\0last";
	char buf[3 * BIG_VALUE];
	pid_t pid = start_observed();
	int st;

	for (int i = 0; i < 3; i++) {
		size_t len;

		push_out(nr_pages * PAGE);
		len = slurp(pid, "cmdline", buf, sizeof(buf));
		CHECK(len == sizeof(want_args) && !memcmp(buf, want_args, len), "cmdline: %zu bytes", len);
		len = slurp(pid, "environ", buf, sizeof(buf));
		CHECK(len == 8 + BIG_VALUE + 1, "environ: %zu bytes", len);
		CHECK(!memcmp(buf, "SMALL=1\0BIG=vvv", 15) && buf[len - 2] == 'v', "environ");
	}
	SYS(kill(pid, SIGKILL));
	CHECK(SYS(waitpid(pid, &st, 0)) == pid && WIFSIGNALED(st));
}

static char *exposed;

static void expose(void *unused)
{
	char c;

	SYS(close(wake[1]));
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	fill_pages(exposed, nr_pages, 30, 0);
	CHECK(SYS(write(ready[1], "r", 1)) == 1);
	CHECK(SYS(read(wake[0], &c, 1)) == 0);
	check_pages(exposed, nr_pages, 30, 1);
}

/* Another process' memory by process_vm_readv and writev, page after page, while it is out of memory. */
static void by_process_vm(void)
{
	char *page = map_anon(PAGE);
	struct iovec here = { page, PAGE }, there = { NULL, PAGE };
	pid_t pid;

	exposed = map_anon(nr_pages * PAGE);
	SYS(pipe(wake));
	SYS(pipe(ready));
	pid = fork_run(expose, NULL);
	SYS(close(wake[0]));
	wait_ready(1);
	push_out(nr_pages * PAGE);
	for (size_t i = 0; i < nr_pages; i++) {
		there.iov_base = exposed + i * PAGE;
		CHECK(SYS(process_vm_readv(pid, &here, 1, &there, 1, 0)) == (ssize_t)PAGE);
		check_page(page, 30, i, 0);
		fill_page(page, 30, i, 1);
		CHECK(SYS(process_vm_writev(pid, &here, 1, &there, 1, 0)) == (ssize_t)PAGE);
	}
	SYS(close(wake[1]));
	expect_exit(pid, 0);
	SYS(munmap(exposed, nr_pages * PAGE));
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "observed")) {
		CHECK(write(3, "r", 1) == 1);
		close(3);
		for (;;)
			pause();
	}
	nr_pages = arg_or(argc, argv, 1, 1024) * KIB / PAGE;
	nr_sleepers = arg_or(argc, argv, 2, 4);
	CHECK(nr_sleepers <= MAX_SLEEPERS);
	RUN(sleep_and_wake);
	RUN(seen_from_outside);
	RUN(by_process_vm);
	return 0;
}
