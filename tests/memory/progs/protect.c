// SPDX-License-Identifier: MIT
/* protect [KIB]: bytes that nobody may reach, or write, leave memory and come back all the same. */
#include <setjmp.h>
#include "pressure.h"

static size_t nr_pages;
static sigjmp_buf back;

static void caught(int sig, siginfo_t *info, void *context)
{
	siglongjmp(back, info->si_code);
}

/* The si_code of the fault that touching p raises; 0: none. */
static int touch(volatile char *p, bool write)
{
	int code = sigsetjmp(back, 1);

	if (code)
		return code;
	if (write)
		*p = 1;
	else
		(void)*p;
	return 0;
}

/* p's pages are `prot` while everything else is used, and then whole again. */
static void hidden_behind(int prot)
{
	char *p = map_anon(nr_pages * PAGE);

	fill_pages(p, nr_pages, 1, 0);
	SYS(mprotect(p, nr_pages * PAGE, prot));
	push_out(2 * nr_pages * PAGE);
	for (size_t i = 0; i < nr_pages; i += 3)
		CHECK(touch(p + i * PAGE, true) == SEGV_ACCERR, "page %zu", i);
	for (size_t i = 0; i < nr_pages && prot == PROT_NONE; i += 5)
		CHECK(touch(p + i * PAGE, false) == SEGV_ACCERR, "page %zu", i);
	if (prot == PROT_READ)
		check_pages(p, nr_pages, 1, 0);
	SYS(mprotect(p, nr_pages * PAGE, RW));
	check_pages(p, nr_pages, 1, 0);
	fill_pages(p, nr_pages, 1, 1);
	SYS(mprotect(p, nr_pages * PAGE, prot));
	push_out(2 * nr_pages * PAGE);
	SYS(mprotect(p, nr_pages * PAGE, PROT_READ));
	check_pages(p, nr_pages, 1, 1);
	SYS(munmap(p, nr_pages * PAGE));
}

static void none(void)
{
	hidden_behind(PROT_NONE);
}

static void readable(void)
{
	hidden_behind(PROT_READ);
}

static void swap_in_other_prots(void *p)
{
	SYS(mprotect(p, nr_pages * PAGE, RW));
	check_pages(p, nr_pages, 2, 0);
	fill_pages(p, nr_pages, 2, 9);
	check_pages(p, nr_pages, 2, 9);
}

/* Inherited while nobody may reach it, and out of memory. */
static void none_over_fork(void)
{
	char *p = map_anon(nr_pages * PAGE);
	pid_t pid;

	fill_pages(p, nr_pages, 2, 0);
	SYS(mprotect(p, nr_pages * PAGE, PROT_NONE));
	push_out(2 * nr_pages * PAGE);
	pid = fork_run(swap_in_other_prots, p);
	push_out(nr_pages * PAGE);
	expect_exit(pid, 0);
	swap_in_other_prots(p);
	SYS(munmap(p, nr_pages * PAGE));
}

/* Every other page of each kind: as many vmas as pages. */
static void striped(void)
{
	static const int prots[] = { RW, PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC };
	size_t nr = nr_pages < 512 ? nr_pages : 512;
	char *p = map_anon(nr * PAGE);

	fill_pages(p, nr, 3, 0);
	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < nr; i++)
			SYS(mprotect(p + i * PAGE, PAGE, prots[(i + round) % 4]));
		push_out(nr_pages * PAGE);
		for (size_t i = 0; i < nr; i++)
			if (prots[(i + round) % 4] != PROT_NONE)
				check_page(p + i * PAGE, 3, i, 0);
	}
	SYS(mprotect(p, nr * PAGE, RW));
	check_pages(p, nr, 3, 0);
	SYS(munmap(p, nr * PAGE));
}

/* A page given its protection by the handler of the fault, as collectors do, while it is out of memory. */
static char *guarded;

static void open_up(int sig, siginfo_t *info, void *context)
{
	char *page = (char *)((uintptr_t)info->si_addr & ~(PAGE - 1));

	CHECK(page >= guarded && page < guarded + nr_pages * PAGE);
	SYS(mprotect(page, PAGE, RW));
}

static void opened_by_handler(void)
{
	struct sigaction sa = { .sa_sigaction = open_up, .sa_flags = SA_SIGINFO }, old;

	guarded = map_anon(nr_pages * PAGE);
	fill_pages(guarded, nr_pages, 4, 0);
	SYS(mprotect(guarded, nr_pages * PAGE, PROT_NONE));
	push_out(nr_pages * PAGE);
	SYS(sigaction(SIGSEGV, &sa, &old));
	check_pages(guarded, nr_pages, 4, 0);
	SYS(mprotect(guarded, nr_pages * PAGE, PROT_READ));
	push_out(nr_pages * PAGE);
	fill_pages(guarded, nr_pages, 4, 1);
	check_pages(guarded, nr_pages, 4, 1);
	SYS(sigaction(SIGSEGV, &old, NULL));
	SYS(munmap(guarded, nr_pages * PAGE));
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO };

	nr_pages = arg_or(argc, argv, 1, 1024) * KIB / PAGE;
	SYS(sigaction(SIGSEGV, &sa, NULL));
	RUN(none);
	RUN(readable);
	RUN(none_over_fork);
	RUN(striped);
	RUN(opened_by_handler);
	return 0;
}
