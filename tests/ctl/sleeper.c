/* SPDX-License-Identifier: MIT */
/*
 * sleeper.c - a program of known memory, for ctl.sh to look at from outside.
 *
 *   area   0        10       15            64 pages
 *          | written | read   | untouched   |
 *
 * then a thread, and a child that writes the first three pages.  It prints
 *	area ADDRESS tid TID child PID
 * and waits until its standard input ends.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	   4096
#define PAGES	   64
#define WRITTEN	   10
#define READ	   5
#define BY_CHILD   3

static pid_t tid;
static pthread_barrier_t started;

static void *sleep_in_thread(void *arg)
{
	tid = (pid_t)syscall(SYS_gettid);
	pthread_barrier_wait(&started);
	for (;;)
		pause();
	return arg;
}

static void wait_for_end(int fd)
{
	char c;

	while (read(fd, &c, 1) > 0)
		;
}

int main(void)
{
	volatile char *area = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	int done[2], alive[2];
	pid_t child;
	char c;

	if (area == MAP_FAILED || pipe(done) || pipe(alive))
		return 2;
	area += PAGE; /* a guard on both sides, so that it is a mapping of its own */
	if (mprotect((void *)area, PAGES * PAGE, PROT_READ | PROT_WRITE))
		return 2;
	for (int i = 0; i < WRITTEN; i++)
		area[i * PAGE] = 1;
	for (int i = WRITTEN; i < WRITTEN + READ; i++)
		(void)area[i * PAGE];
	pthread_barrier_init(&started, NULL, 2);
	if (pthread_create(&thread, NULL, sleep_in_thread, NULL))
		return 2;
	pthread_barrier_wait(&started);
	child = fork();
	if (!child) {
		close(alive[1]);
		for (int i = 0; i < BY_CHILD; i++)
			area[i * PAGE] = 2;
		(void)!write(done[1], "x", 1);
		wait_for_end(alive[0]);
		_exit(0);
	}
	if (child < 0 || read(done[0], &c, 1) != 1)
		return 2;
	printf("area %lx tid %d child %d\n", (unsigned long)area, tid, child);
	fflush(stdout);
	wait_for_end(0);
	close(alive[1]);
	waitpid(child, NULL, 0);
	return 0;
}
