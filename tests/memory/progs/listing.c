/* SPDX-License-Identifier: MIT */
/*
 * listing.c - how many threads has this process?  Asked as programs do, again and again, short of memory.
 *
 *	listing KIB ROUNDS
 *
 * In each round KIB of memory are written and checked, and the threads counted: by the links of /proc/self/task, as
 * Chromium does before it starts a child, with /proc opened for it or long before; by its entries, also with a call
 * between that waits, or maps memory; and by a directory that stays open: read again after a pause, as who waits for his
 * threads' end does, or many times without one, or on after each thread's name was read.  The main thread is alone in the
 * first half, then there are two more, which touch memory and count too.  A child counts its own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define MUCH (8 << 20)

static size_t bytes;
static atomic_bool stop;
static atomic_int wrong;

static int links(void)
{
	struct stat st;
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstatat(fd, "self/task/", &st, 0))
		return -1;
	close(fd);
	return (int)st.st_nlink - 2;
}

/* The same by /proc that has been open since long ago, as a process has it that sees no files any more (Chromium's zygote). */
static int links_at(int proc)
{
	struct stat st;

	return fstatat(proc, "self/task/", &st, 0) ? -1 : (int)st.st_nlink - 2;
}

/* `disturb`: something else in the middle of it. */
static int entries(int disturb)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int n = 0;

	if (!d)
		return -1;
	if (disturb & 1)
		free(malloc(1 << 20)); /* mmap, munmap */
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	if (disturb & 2)
		poll(NULL, 0, 1);
	closedir(d);
	return n;
}

/* The most that are seen by looking again and again. */
static int looks(int times, bool pause)
{
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	int most = 0;

	if (!d)
		return -1;
	for (int i = 0, n = 0; i < times; i++, n = 0) {
		while ((e = readdir(d)))
			n += e->d_name[0] != '.';
		if (n > most)
			most = n;
		if (pause)
			usleep(1000);
		rewinddir(d);
	}
	closedir(d);
	return most;
}

/* Each thread's name is read meanwhile. */
static int named(void)
{
	DIR *d = opendir("/proc/self/task");
	char path[300], name[32];
	struct dirent *e;
	int n = 0, fd;

	if (!d)
		return -1;
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n += fd >= 0 && read(fd, name, sizeof(name)) > 0;
		close(fd);
	}
	closedir(d);
	return n;
}

static void use_all(unsigned char *mem, size_t len, int round)
{
	for (size_t i = 0; i < len; i += PAGE)
		*(size_t *)(mem + i) = i * 31 + (size_t)round;
	for (size_t i = 0; i < len; i += PAGE)
		wrong += *(size_t *)(mem + i) != i * 31 + (size_t)round;
}

static void use(unsigned char *mem, int round)
{
	use_all(mem, bytes, round);
}

/* Much memory is used meanwhile, with no call that could tell of it. */
static int grown(int round)
{
	unsigned char *mem = mmap(NULL, MUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	DIR *d = opendir("/proc/self/task");
	struct dirent *e;
	struct stat st;
	int n = 0, l;

	if (!d || mem == MAP_FAILED)
		return -1;
	use_all(mem, MUCH, round);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	l = fstat(dirfd(d), &st) ? -1 : (int)st.st_nlink - 2;
	closedir(d);
	munmap(mem, MUCH);
	return n == l ? n : -1;
}

/* With room for so little that a call brings one entry, and another way to open it. */
static int one_by_one(const char *process)
{
	int base = open(process, O_RDONLY | O_DIRECTORY), n = 0, fd;
	char buf[32];
	long got;

	if (base < 0)
		return -1;
	fd = openat(base, "task", O_RDONLY | O_DIRECTORY);
	while ((got = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0)
		n += buf[19] != '.';
	close(fd);
	close(base);
	return got ? -1 : n;
}

static void *beside(void *arg)
{
	unsigned char *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; !stop; i++) {
		use(mem, i);
		if (arg)
			(void)entries(i & 3);
	}
	munmap(mem, bytes);
	return NULL;
}

static int child_counts(int proc)
{
	int status, n;
	pid_t pid = fork();

	if (!pid) {
		n = links_at(proc);
		_exit(n == entries(0) && n == links() ? n : 100);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A child that waits until it was counted. */
static int counted_child(int proc)
{
	char process[32], path[32];
	struct stat st;
	int go[2], n;
	pid_t pid;

	if (pipe(go) || (pid = fork()) < 0)
		return -1;
	if (!pid) {
		close(go[1]);
		_exit((int)read(go[0], path, 1));
	}
	snprintf(process, sizeof(process), "/proc/%d", (int)pid);
	snprintf(path, sizeof(path), "%d/task", (int)pid);
	n = one_by_one(process);
	if (fstatat(proc, path, &st, 0) || n != (int)st.st_nlink - 2)
		n = -1;
	close(go[0]);
	close(go[1]);
	return waitpid(pid, NULL, 0) == pid ? n : -1;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 8, proc;
	unsigned char *mem;
	pthread_t thread[2];

	proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 512) << 10;
	mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return 2;
	for (int i = 0; i < rounds; i++) {
		int fd = -1, a, l, e;

		if (i == rounds / 2)
			for (int k = 0; k < 2; k++)
				if (pthread_create(&thread[k], NULL, beside, k ? &bytes : NULL))
					return 2;
		use(mem, i);
		if (i & 1)
			fd = open("/proc/self", O_RDONLY | O_DIRECTORY); /* and it stays open */
		a = links_at(proc);
		l = links();
		e = entries(i & 3);
		printf("round %d: %d links, %d at once, %d entries, child %d\n", i, l, a, e, child_counts(proc));
		printf("again: %d, %d without a pause, %d names\n", looks(3, true), looks(40, false), named());
		printf("%d when grown, %d one by one, %d of a child\n", grown(i), one_by_one("/proc/self"),
		       counted_child(proc));
		if (fd >= 0)
			close(fd);
		use(mem, i + 100);
	}
	stop = true;
	for (int k = 0; k < 2; k++)
		pthread_join(thread[k], NULL);
	printf("%d wrong\n", (int)wrong);
	return 0;
}
