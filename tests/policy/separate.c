/* SPDX-License-Identifier: MIT */
/*
 * separate.c - parent and child after a fork: each sees its own writes and never the other's.
 *
 *	separate [PAGES]
 *
 * Memory of many kinds is filled with a value of each page's own, forked twice deep, and written by both sides in
 * an order of a small generator, while threads of the parent go on writing.  Every byte is then known.  Prints
 * "ok" or what was wrong.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define P 4096UL
#define NR_BLOCKS 4

static size_t nr_pages = 256;
static unsigned int *block[NR_BLOCKS];
static volatile int stop;

static void fail(const char *who, size_t page, unsigned int is, unsigned int should)
{
	printf("%s: page %zu is %x, should be %x\n", who, page, is, should);
	fflush(stdout);
	_exit(1);
}

static unsigned int *word(size_t i)
{
	return block[i / nr_pages] + i % nr_pages * (P / sizeof(int));
}

/* Anonymous; a hole in it; read first (the zero page); protected for a while. */
static void make_blocks(void)
{
	for (int b = 0; b < NR_BLOCKS; b++) {
		block[b] = mmap(NULL, nr_pages * P, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (block[b] == MAP_FAILED)
			exit(2);
	}
	for (size_t i = 0; i < NR_BLOCKS * nr_pages; i++) {
		if (i / nr_pages == 1 && i % 3 == 0)
			continue; /* missing at the fork */
		if (i / nr_pages == 2 && *word(i))
			exit(2);
		if (i / nr_pages != 2 || i % 2)
			*word(i) = (unsigned int)i + 1;
	}
	mprotect(block[3], nr_pages * P / 2, PROT_READ);
}

static unsigned int at_fork(size_t i)
{
	if ((i / nr_pages == 1 && i % 3 == 0) || (i / nr_pages == 2 && i % 2 == 0))
		return 0;
	return (unsigned int)i + 1;
}

/* The pages in [0, n) that `who` writes: each other one has its own. */
static int is_mine(size_t i, unsigned int who)
{
	return (i * 2654435761u >> 7) % 5 == who;
}

static void write_and_check(unsigned int who, const char *name)
{
	size_t n = NR_BLOCKS * nr_pages;

	mprotect(block[3], nr_pages * P / 2, PROT_READ | PROT_WRITE);
	for (size_t k = 0; k < n; k++) {
		size_t i = (k * 7919 + who) % n;

		if (is_mine(i, who))
			*word(i) = who << 24 | (unsigned int)i;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned int should = is_mine(i, who) ? who << 24 | (unsigned int)i : at_fork(i);

		if (*word(i) != should)
			fail(name, i, *word(i), should);
	}
}

/* Counts in a page of its own as long as the forks go on. */
static void *counter(void *arg)
{
	volatile unsigned long *page = arg;

	for (unsigned long n = 1; !stop; n++) {
		unsigned long before = page[0];

		if (before != n - 1 || page[100] != n - 1)
			fail("thread", 0, (unsigned int)before, (unsigned int)n - 1);
		page[0] = n;
		page[100] = n;
	}
	return NULL;
}

static void wait_for(pid_t pid)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		fail("status of a child", 0, (unsigned int)status, 0);
}

int main(int argc, char **argv)
{
	pthread_t t[2];
	pid_t pid, pid2;

	if (argc > 1)
		nr_pages = strtoul(argv[1], NULL, 0);
	make_blocks();
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, counter,
			       mmap(NULL, P, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	pid = fork();
	if (!pid) {
		pid = fork();
		if (!pid) {
			write_and_check(1, "grandchild");
			_exit(0);
		}
		write_and_check(2, "child");
		wait_for(pid);
		_exit(0);
	}
	pid2 = fork();
	if (!pid2) {
		write_and_check(3, "second child");
		_exit(0);
	}
	write_and_check(4, "parent");
	wait_for(pid);
	wait_for(pid2);
	stop = 1;
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	for (size_t i = 0; i < NR_BLOCKS * nr_pages; i++) /* nobody's write came later */
		if (*word(i) != (is_mine(i, 4) ? 4u << 24 | (unsigned int)i : at_fork(i)))
			fail("parent at last", i, *word(i), at_fork(i));
	puts("ok");
	return 0;
}
