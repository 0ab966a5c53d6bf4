// SPDX-License-Identifier: MIT
/* What /proc/self and the kernel tell a program about itself. */
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <dirent.h>
#include "e2e.h"

#define RW (PROT_READ | PROT_WRITE)
#define AREA (16 * PAGE)

extern char **environ;

/* The permissions of the mapping that holds `p` ("rw-p"); "" when there is none. */
static void permissions(const void *p, char perm[5], uintptr_t *start, uintptr_t *end)
{
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");
	uintptr_t prev = 0;

	CHECK(f);
	perm[0] = 0;
	while (fgets(line, sizeof(line), f)) {
		uintptr_t from, to;
		char got[5];

		CHECK(sscanf(line, "%lx-%lx %4s", &from, &to, got) == 3, "%s", line);
		CHECK(from < to && from >= prev, "not sorted: %s", line);
		prev = to;
		if ((uintptr_t)p >= from && (uintptr_t)p < to) {
			memcpy(perm, got, 5);
			*start = from;
			*end = to;
		}
	}
	fclose(f);
}

static void expect_perm(const void *p, const char *want)
{
	char perm[5];
	uintptr_t start, end;

	permissions(p, perm, &start, &end);
	CHECK(!strcmp(perm, want), "%p is '%s', expected '%s'", p, perm, want);
}

static void maps(void)
{
	char perm[5];
	uintptr_t start, end;
	char *p = SYS(mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	int local = 0;

	expect_perm(p, "---p");
	SYS(mprotect(p + 4 * PAGE, 4 * PAGE, RW));
	expect_perm(p + 3 * PAGE, "---p");
	expect_perm(p + 4 * PAGE, "rw-p");
	permissions(p + 4 * PAGE, perm, &start, &end);
	CHECK(start == (uintptr_t)p + 4 * PAGE && end == start + 4 * PAGE, "%#lx-%#lx", start, end);
	fill_marks(p + 4 * PAGE, 4 * PAGE, 1);
	permissions(p + 4 * PAGE, perm, &start, &end);
	CHECK(start == (uintptr_t)p + 4 * PAGE && end == start + 4 * PAGE, "%#lx-%#lx", start, end);
	SYS(munmap(p, AREA));
	expect_perm(p, "");
	expect_perm(&local, "rw-p");
	expect_perm(&environ, "rw-p");
	expect_perm((void *)(uintptr_t)maps, "r-xp");
	expect_perm(calloc(1, 100), "rw-p");
}

/* Nothing in the map is a pager's: no name in it but files, the kernel's own and ours (which may lie below an upager/). */
static void no_foreign_names(void)
{
	char line[4096], name[4096];
	const char *last;
	FILE *f = fopen("/proc/self/maps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		name[0] = 0;
		sscanf(line, "%*s %*s %*s %*s %*s %4000s", name);
		last = strrchr(name, '/');
		CHECK(!strstr(name, "memfd:") && !strstr(last ? last : name, "upager"), "%s", line);
	}
	fclose(f);
}

static void prctl_names(void)
{
	char name[16], line[64] = "";
	FILE *f;

	SYS(prctl(PR_SET_NAME, "renamed"));
	SYS(prctl(PR_GET_NAME, name));
	CHECK(!strcmp(name, "renamed"));
	CHECK((f = fopen("/proc/self/comm", "r")) && fgets(line, sizeof(line), f));
	CHECK(!strcmp(line, "renamed\n"));
	fclose(f);
}

static void auxiliary_vector(void)
{
	CHECK(getauxval(AT_PAGESZ) == PAGE);
	CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
	CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
	CHECK(getauxval(AT_RANDOM) && getauxval(AT_PHDR) && getauxval(AT_ENTRY));
	CHECK(strstr((char *)getauxval(AT_EXECFN), "procself"));
}

static void child_asks(void *parent)
{
	CHECK(getppid() == (pid_t)(uintptr_t)parent);
	CHECK(getpgrp() == getpgid((pid_t)(uintptr_t)parent));
	CHECK(getsid(0) == getsid((pid_t)(uintptr_t)parent));
}

static void relations(void)
{
	char line[256];
	int ppid = -1;
	FILE *f = fopen("/proc/self/status", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "PPid: %d", &ppid);
	fclose(f);
	CHECK(ppid == getppid());
	CHECK(syscall(SYS_gettid) == getpid());
	expect_exit(fork_run(child_asks, (void *)(uintptr_t)getpid()), 0);
}

/* Every task of the process is one of its threads. */
static void *hold_on(void *barrier)
{
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

/* Whoever lists the directory finds the program's own threads only, under a budget, too. */
static int listed(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *d;
	int n = 0;

	CHECK(dir);
	while ((d = readdir(dir)))
		n += d->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* Under a budget Threads: may count one more, the stub (README, limits), which comes and goes. */
static void threads_listed(void)
{
	pthread_barrier_t b;
	pthread_t t[3];
	char line[256];
	int threads = 0, tracer = 0;
	FILE *f;

	pthread_barrier_init(&b, NULL, 4);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&t[i], NULL, hold_on, &b) == 0);
	pthread_barrier_wait(&b);
	CHECK((f = fopen("/proc/self/status", "r")));
	while (fgets(line, sizeof(line), f))
		(void)(sscanf(line, "Threads: %d", &threads) == 1 || sscanf(line, "TracerPid: %d", &tracer) == 1);
	fclose(f);
	CHECK(threads == 4 || (tracer && threads == 5), "%d threads", threads);
	CHECK(listed() == 4);
	pthread_barrier_wait(&b);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

/* The environment is the caller's, in order, without anything added. */
static void environment(void)
{
	int n = 0;

	while (environ[n])
		n++;
	printf("%d variables\n", n);
	CHECK(!getenv("LD_PRELOAD"));
	for (int i = 0; i < 500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "E2E_%d", i);
		SYS(setenv(name, name, 1));
	}
	for (int i = 0; i < 500; i++) {
		char name[32];

		snprintf(name, sizeof(name), "E2E_%d", i);
		CHECK(!strcmp(getenv(name), name));
		SYS(unsetenv(name));
	}
}

/* prctl that moves the marks of code, data, brk and arguments (as daemons do for their title). */
static void set_mm_marks(void)
{
	char *p = map_anon(PAGE), cmdline[64] = "";
	FILE *f;

	strcpy(p, "another title");
	if (prctl(PR_SET_MM, PR_SET_MM_ARG_START, p, 0, 0) < 0) {
		CHECK(errno == EPERM || errno == EINVAL, "%s", strerror(errno));
		return;
	}
	SYS(prctl(PR_SET_MM, PR_SET_MM_ARG_END, p + 14, 0, 0));
	CHECK((f = fopen("/proc/self/cmdline", "r")) && fgets(cmdline, sizeof(cmdline), f));
	CHECK(!strncmp(cmdline, "another title", 13), "'%s'", cmdline);
	fclose(f);
}

int main(void)
{
	RUN(maps);
	RUN(no_foreign_names);
	RUN(prctl_names);
	RUN(auxiliary_vector);
	RUN(relations);
	RUN(threads_listed);
	RUN(environment);
	RUN(set_mm_marks);
	return 0;
}
