// SPDX-License-Identifier: MIT
/*
 * sampler: run a command and measure from outside, each millisecond, what memory its process tree has.
 *
 *	runone … -- sampler [-x EXE] -o REPORT -- PROG [ARG…]
 *
 * PROG takes the place of sampler itself (same pid, parent and descriptors); who samples is a process that
 * runone, being the subreaper, has adopted, and looks at all that is below runone.  Left out are the sampler and
 * whatever executes EXE (upager's own processes, whose memory is not the program's); tasks that share an
 * address space (a stub, a vfork) count once.  The report's lines, sizes in KiB, are the highest values seen:
 *
 *	managed    private anonymous memory of mappings without a file, each page once however many share it
 *	unmanaged  anonymous copies of pages of private file mappings
 *	rss        everything, shared pages as often as they are mapped
 *	processes, samples, and torn: samples that were dropped because a process came or went meanwhile
 *
 * Used by run-memory.sh.  It reads /proc/PID/smaps, not smaps_rollup, to tell the first two apart.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCS 1024
#define PERIOD_NS 1000000L

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

struct procs {
	int nr;
	pid_t pid[MAX_PROCS];
};

struct sizes {
	unsigned long managed, unmanaged, rss; /* KiB */
};

struct report {
	struct sizes max;
	int processes;
	unsigned long samples, torn;
};

static void die(const char *what)
{
	fprintf(stderr, "sampler: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* The children of each of the process' threads go to the end of the list. */
static void add_children(struct procs *procs, pid_t pid)
{
	char path[64];
	struct dirent *de;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (de = readdir(dir))) {
		FILE *f;
		pid_t child;

		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/children", pid, de->d_name);
		if (atoi(de->d_name) <= 0 || !(f = fopen(path, "re")))
			continue;
		while (fscanf(f, "%d", &child) == 1 && procs->nr < MAX_PROCS)
			if (child != getpid())
				procs->pid[procs->nr++] = child;
		fclose(f);
	}
	if (dir)
		closedir(dir);
}

/* All below `root`, without it and without this process. */
static void list_tree(struct procs *procs, pid_t root)
{
	procs->nr = 0;
	add_children(procs, root);
	for (int i = 0; i < procs->nr; i++)
		add_children(procs, procs->pid[i]);
}

static bool same_procs(const struct procs *a, const struct procs *b)
{
	return a->nr == b->nr && !memcmp(a->pid, b->pid, a->nr * sizeof(a->pid[0]));
}

static bool executes(pid_t pid, const struct stat *exe)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return !stat(path, &st) && st.st_dev == exe->st_dev && st.st_ino == exe->st_ino;
}

static bool shares_memory(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0;
}

/* Has a process before the i-th the same memory? */
static bool counted_before(const struct procs *procs, int i)
{
	for (int k = 0; k < i; k++)
		if (shares_memory(procs->pid[k], procs->pid[i]))
			return true;
	return false;
}

/* Add what one process has. One that is gone has nothing. */
static void add_sizes(struct sizes *sum, pid_t pid)
{
	char line[512], path[64], perm[5];
	unsigned long kib, inode = 0;
	bool private_anon = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	if (!(f = fopen(path, "re")))
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*x-%*x %4s %*s %*s %lu", perm, &inode) == 2)
			private_anon = inode == 0 && perm[3] == 'p';
		else if (sscanf(line, "Rss: %lu", &kib) == 1)
			sum->rss += kib;
		else if (private_anon && sscanf(line, "Pss: %lu", &kib) == 1)
			sum->managed += kib;
		else if (!private_anon && perm[3] == 'p' && sscanf(line, "Anonymous: %lu", &kib) == 1)
			sum->unmanaged += kib;
	}
	fclose(f);
}

static void raise_to(unsigned long *max, unsigned long value)
{
	if (value > *max)
		*max = value;
}

/* Those of `all` whose memory is to be counted. */
static void choose(struct procs *chosen, const struct procs *all, const struct stat *exe)
{
	chosen->nr = 0;
	for (int i = 0; i < all->nr; i++)
		if (!(exe && executes(all->pid[i], exe)) && !counted_before(all, i))
			chosen->pid[chosen->nr++] = all->pid[i];
}

static unsigned long smaller(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

/*
 * One look at the tree. Returns whether there still is one.
 * No two processes are read at the same moment: a page that leaves a process after it was read, for one that is
 * yet to be read, counts twice.  So they are read once more the other way round, where the same move counts
 * not at all, and the smaller sum is taken.
 */
static bool sample(pid_t root, const struct stat *exe, struct report *report)
{
	static struct procs before, after, chosen;
	struct sizes there = { 0 }, back = { 0 };

	list_tree(&before, root);
	if (!before.nr)
		return false;
	choose(&chosen, &before, exe);
	for (int i = 0; i < chosen.nr; i++)
		add_sizes(&there, chosen.pid[i]);
	for (int i = chosen.nr - 1; i >= 0 && chosen.nr > 1; i--)
		add_sizes(&back, chosen.pid[i]);
	if (chosen.nr == 1)
		back = there;
	list_tree(&after, root);
	if (!same_procs(&before, &after)) {
		report->torn++;
		return true;
	}
	report->samples++;
	raise_to(&report->max.managed, smaller(there.managed, back.managed));
	raise_to(&report->max.unmanaged, smaller(there.unmanaged, back.unmanaged));
	raise_to(&report->max.rss, smaller(there.rss, back.rss));
	if (chosen.nr > report->processes)
		report->processes = chosen.nr;
	return true;
}

static void watch(pid_t root, const struct stat *exe, const char *path)
{
	struct report r = { 0 };
	FILE *f = fopen(path, "we");

	if (!f)
		die(path);
	for (long long next_ns = now_ns(); sample(root, exe, &r);) {
		long long left_ns = (next_ns += PERIOD_NS) - now_ns();

		if (left_ns > 0)
			nanosleep(&(struct timespec){ 0, left_ns }, NULL);
		else
			next_ns = now_ns();
	}
	fprintf(f, "managed %lu\nunmanaged %lu\nrss %lu\nprocesses %d\nsamples %lu\ntorn %lu\n",
		r.max.managed, r.max.unmanaged, r.max.rss, r.processes, r.samples, r.torn);
	fclose(f);
}

/*
 * The process that samples: a grandchild, so that PROG does not find it among its own children.  It keeps
 * none of PROG's descriptors: a pipe would otherwise not end with PROG.
 */
static void start_watcher(const struct stat *exe, const char *path)
{
	pid_t middle = fork(), root;
	int null;

	if (middle < 0)
		die("fork");
	if (middle) {
		waitpid(middle, NULL, 0);
		return;
	}
	middle = getpid();
	if (fork())
		_exit(0);
	while ((root = getppid()) == middle)
		nanosleep(&(struct timespec){ 0, 100000 }, NULL);
	if (root == 1) {
		fprintf(stderr, "sampler: must be started by runone\n");
		_exit(2);
	}
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	close(null);
	setsid();
	watch(root, exe, path);
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *report = NULL, *exe = NULL;
	struct stat st;
	int opt;

	while ((opt = getopt(argc, argv, "+x:o:")) >= 0) {
		switch (opt) {
		case 'x': exe = optarg; break;
		case 'o': report = optarg; break;
		default: return 2;
		}
	}
	if (!report || optind >= argc) {
		fprintf(stderr, "usage: sampler [-x EXE] -o REPORT -- PROG…\n");
		return 2;
	}
	if (exe && stat(exe, &st))
		die(exe);
	start_watcher(exe ? &st : NULL, report);
	execvp(argv[optind], argv + optind);
	die(argv[optind]);
}
