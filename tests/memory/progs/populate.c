// SPDX-License-Identifier: MIT
/*
 * populate [KIB [ROUNDS]]: memory that the kernel is to fill by itself (MAP_POPULATE), more at once than there is: new,
 * read-only, in the place of memory that has been written, by three processes at the same time.  It is zeroes, and
 * keeps what is written.
 */
#include "pressure.h"

static size_t nr_pages;

static char *populate(char *at, int prot, int flags)
{
	char *p = mmap(at, nr_pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | flags, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK(!at || p == at);
	return p;
}

static void check_zero(const char *p)
{
	for (size_t i = 0; i < nr_pages * PAGE; i += PAGE / 4)
		CHECK(!p[i], "byte %zu of populated memory is %#x", i, p[i]);
}

static void fill_and_check(char *p, uint32_t gen)
{
	fill_pages(p, nr_pages, 1, gen);
	check_pages(p, nr_pages, 1, gen);
}

static void one_round(uint32_t gen)
{
	char *p = populate(NULL, RW, 0), *q = populate(NULL, PROT_READ, MAP_NORESERVE);

	check_zero(p);
	check_zero(q);
	fill_and_check(p, gen);
	SYS(mprotect(q, nr_pages * PAGE, RW));
	fill_pages(q, nr_pages, 2, gen);
	populate(p, RW, MAP_FIXED);
	check_zero(p);
	fill_and_check(p, gen);
	check_pages(q, nr_pages, 2, gen);
	SYS(munmap(p, nr_pages * PAGE));
	SYS(munmap(q, nr_pages * PAGE));
}

static void all_rounds(void *rounds)
{
	for (uint32_t gen = 0; gen < *(uint32_t *)rounds; gen++)
		one_round(gen);
}

int main(int argc, char **argv)
{
	uint32_t rounds = (uint32_t)arg_or(argc, argv, 2, 3);
	pid_t pid[2];

	nr_pages = arg_or(argc, argv, 1, 512) * KIB / PAGE;
	for (size_t i = 0; i < ARRAY_SIZE(pid); i++)
		pid[i] = fork_run(all_rounds, &rounds);
	all_rounds(&rounds);
	for (size_t i = 0; i < ARRAY_SIZE(pid); i++)
		expect_exit(pid[i], 0);
	return 0;
}
