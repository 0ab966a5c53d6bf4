/* SPDX-License-Identifier: MIT */
/*
 * forkers.c - threads that fork at the same time, as deep as asked; nobody ever sees another's write.
 *
 *	forkers [THREADS [FORKS [DEPTH]]]
 *
 * Each thread owns pages of one shared block and knows what it last wrote there.  It writes to them all, forks, and
 * writes again at once; its child, which has that one thread, must find its own pages as they were at the fork,
 * writes to each, and forks in its turn.  Prints "ok" or what was wrong.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE		4096UL
#define PAGES_A_THREAD	40

static unsigned long nr_threads = 4, nr_forks = 10, depth = 3;
static char *block;

/* Pages of different threads lie side by side. */
static volatile unsigned long *word(unsigned long thread, unsigned long i)
{
	return (volatile unsigned long *)(block + (i * nr_threads + thread) * PAGE);
}

static void write_all(unsigned long thread, unsigned long value)
{
	for (unsigned long i = 0; i < PAGES_A_THREAD; i++)
		*word(thread, i) = value + i;
}

static void expect_all(unsigned long thread, unsigned long value, const char *who)
{
	for (unsigned long i = 0; i < PAGES_A_THREAD; i++) {
		if (*word(thread, i) != value + i) {
			printf("%s of thread %lu: page %lu is %lx, should be %lx\n", who, thread, i,
			       *word(thread, i), value + i);
			fflush(stdout);
			_exit(1);
		}
	}
}

static void wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		_exit(1);
}

/* In a child: the pages are those of the fork; then its own.  It forks first, so that its child finds the same. */
static _Noreturn void live(unsigned long thread, unsigned long value)
{
	unsigned long generation = 1;
	pid_t pid = 0;

	expect_all(thread, value, "a child");
	while (generation < depth && !(pid = fork())) {
		generation++;
		expect_all(thread, value, "a child's child");
	}
	write_all(thread, value + 1000 * generation);
	expect_all(thread, value + 1000 * generation, "a child, later");
	if (pid)
		wait_for(pid);
	_exit(0);
}

static void *forker(void *arg)
{
	unsigned long thread = (unsigned long)arg;

	for (unsigned long n = 1; n <= nr_forks; n++) {
		pid_t pid;

		write_all(thread, n << 32);
		pid = fork();
		if (!pid)
			live(thread, n << 32);
		write_all(thread, n << 40);
		expect_all(thread, n << 40, "the parent");
		wait_for(pid);
		expect_all(thread, n << 40, "the parent, later");
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[64];

	nr_threads = argc > 1 ? strtoul(argv[1], NULL, 0) : nr_threads;
	nr_forks = argc > 2 ? strtoul(argv[2], NULL, 0) : nr_forks;
	depth = argc > 3 ? strtoul(argv[3], NULL, 0) : depth;
	if (!nr_threads || nr_threads > 64)
		return 2;
	block = mmap(NULL, nr_threads * PAGES_A_THREAD * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (block == MAP_FAILED)
		return 2;
	for (unsigned long i = 0; i < nr_threads; i++)
		if (pthread_create(&t[i], NULL, forker, (void *)i))
			return 2;
	for (unsigned long i = 0; i < nr_threads; i++)
		pthread_join(t[i], NULL);
	puts("ok");
	return 0;
}
