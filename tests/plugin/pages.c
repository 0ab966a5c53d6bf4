/* SPDX-License-Identifier: MIT */
/*
 * pages.c - a program of known memory that is always in use, for plugin.sh.
 *
 *	pages PAGES ROUNDS CHILDREN
 *
 * It writes PAGES pages, each full of its number, and forks CHILDREN children, who write half of
 * theirs anew.  Then each of them looks at all of its pages ROUNDS times, back and forth, and
 * writes every third.  ROUNDS 0: until standard input ends.  Prints "ok" when no byte was wrong.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 512

static uint64_t (*page)[WORDS];
static long nr;

static void write_page(long i, uint64_t v)
{
	for (int k = 0; k < WORDS; k++)
		page[i][k] = v + (uint64_t)k * (uint64_t)i;
}

/* Returns its number; ends the process when a byte of it is wrong. */
static uint64_t check_page(long i)
{
	uint64_t v = page[i][0];

	for (int k = 0; k < WORDS; k++) {
		if (page[i][k] == v + (uint64_t)k * (uint64_t)i)
			continue;
		fprintf(stderr, "pages: page %ld, word %d is %lx\n", i, k,
			(unsigned long)page[i][k]);
		exit(1);
	}
	return v;
}

static int stdin_ended(void)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };
	char c;

	return poll(&p, 1, 0) > 0 && read(0, &c, 1) <= 0;
}

/* mine: pages that are ours alone count from `mine` up. */
static void rounds(long n, uint64_t mine)
{
	uint64_t generation = 0;

	for (long r = 0; n ? r < n : !stdin_ended(); r++) {
		for (long k = 0; k < nr; k++) {
			long i = r & 1 ? nr - 1 - k : k;
			uint64_t v = check_page(i);

			if (v != (uint64_t)i && v >> 32 != mine) {
				fprintf(stderr, "pages: page %ld is of %lx\n", i, (unsigned long)v);
				exit(1);
			}
			if (i % 3 == 0)
				write_page(i, mine << 32 | (++generation & 0xffffffff));
		}
	}
}

int main(int argc, char **argv)
{
	long n, children;
	int status, bad = 0;

	if (argc != 4)
		return 2;
	nr = atol(argv[1]);
	n = atol(argv[2]);
	children = atol(argv[3]);
	page = mmap(NULL, (size_t)nr * sizeof(*page), PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return 2;
	for (long i = 0; i < nr; i++)
		write_page(i, (uint64_t)i);
	if (!n) {
		puts("ready");
		fflush(stdout);
	}
	for (long c = 1; c <= children; c++) {
		if (fork())
			continue;
		for (long i = 0; i < nr; i += 2)
			write_page(i, (uint64_t)(c + 1) << 32);
		rounds(n, (uint64_t)c + 1);
		_exit(0);
	}
	rounds(n, 1);
	while (wait(&status) > 0)
		bad |= status;
	puts(bad ? "bad" : "ok");
	return bad != 0;
}
