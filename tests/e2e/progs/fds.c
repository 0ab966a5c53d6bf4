// SPDX-License-Identifier: MIT
/* The program's descriptors are its own: nothing of a pager in them, every low number free. */
#include <dirent.h>
#include <sys/resource.h>
#include "e2e.h"

#define AREA (32 * PAGE)

/* Print the list of open descriptors, without the one that lists them. */
static void list_fds(const char *when)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *de;

	CHECK(dir);
	printf("%s:", when);
	for (int fd = 0; fd < 1024; fd++) {
		char want[16];

		snprintf(want, sizeof(want), "%d", fd);
		rewinddir(dir);
		while ((de = readdir(dir)))
			if (!strcmp(de->d_name, want) && fd != dirfd(dir))
				printf(" %d", fd);
	}
	printf("\n");
	fflush(stdout);
	closedir(dir);
}

static void touch(uint64_t tag)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA, tag);
	p = SYS(mremap(p, AREA, 2 * AREA, MREMAP_MAYMOVE));
	check_marks(p, AREA, tag);
	SYS(munmap(p, 2 * AREA));
}

static void touch_child(void *unused)
{
	touch(9);
}

static void same_as_natively(void)
{
	list_fds("at start");
	touch(1);
	list_fds("after faults");
	pid_t pid = SYS(fork());
	if (!pid) {
		touch(2);
		list_fds("in a child");
		exit(0);
	}
	expect_exit(pid, 0);
	list_fds("after the child");
}

/* New descriptors get the lowest free numbers, without a gap. */
static void lowest_numbers(void)
{
	int fd[200];

	for (int i = 0; i < 200; i++) {
		fd[i] = SYS(open("/dev/null", O_RDONLY));
		CHECK(fd[i] == 3 + i, "descriptor %d, expected %d", fd[i], 3 + i);
		if (i % 20 == 0)
			touch(i);
	}
	for (int i = 0; i < 200; i++)
		SYS(close(fd[i]));
}

static void close_everything(void *unused)
{
	closefrom(0);
	touch(3);
	for (int i = 0; i < 100; i++)
		CHECK(SYS(open("/dev/null", O_RDWR)) == i);
	touch(4);
	for (int i = 0; i < 100; i++)
		SYS(close(i));
	expect_exit(fork_run(touch_child, NULL), 0);
	execl("/proc/self/exe", "fds", "bare", NULL);
	_exit(1);
}

/* Exec'd with no descriptor at all. */
static int bare(void)
{
	for (int fd = 0; fd < 64; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			return 1;
	touch(5);
	return 18;
}

/* closefrom(0) as daemons do; faults, forks and an exec go on without a single descriptor. */
static void closefrom_zero(void)
{
	expect_exit(fork_run(close_everything, NULL), 18);
}

static void close_each(void *unused)
{
	struct rlimit rl;

	SYS(getrlimit(RLIMIT_NOFILE, &rl));
	for (rlim_t fd = 3; fd < rl.rlim_cur && fd < 100000; fd++)
		CHECK(close((int)fd) < 0 && errno == EBADF, "%d was open", (int)fd);
	touch(6);
	for (int i = 0; i < 50; i++)
		CHECK(SYS(dup2(2, 100 + i * 10)) == 100 + i * 10);
	touch(7);
}

/* Every number up to the limit is closed one by one: none was anybody's. */
static void close_every_number(void)
{
	expect_exit(fork_run(close_each, NULL), 0);
}

static int shares_files(void *unused)
{
	touch(8);
	return open("/dev/null", O_RDONLY) == 3 ? 19 : 1;
}

/* A process that shares the descriptor table but not the memory. */
static void shared_table(void)
{
	char *stack = map_anon(256 * KIB);
	pid_t pid = SYS(clone(shares_files, stack + 256 * KIB, CLONE_FILES | SIGCHLD, NULL));

	expect_exit(pid, 19);
	CHECK(fcntl(3, F_GETFD) >= 0);
	SYS(close(3));
	SYS(munmap(stack, 256 * KIB));
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return bare();
	RUN(same_as_natively);
	RUN(lowest_numbers);
	RUN(closefrom_zero);
	RUN(close_every_number);
	RUN(shared_table);
	return 0;
}
