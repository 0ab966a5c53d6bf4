// SPDX-License-Identifier: MIT
/*
 * locked [KIB]: what mlock() holds never leaves: its pages are in core and in the page table, by mincore()
 * and /proc/self/pagemap, however much else is used.  Six pages, so that a budget of 16 has room for them.
 */
#include "pressure.h"

#define NR_LOCKED 6
#define PM_PRESENT (1ULL << 63)

static size_t pressure_bytes;

static void expect_present(char *p, size_t nr)
{
	int fd = SYS(open("/proc/self/pagemap", O_RDONLY));
	unsigned char vec[NR_LOCKED];
	uint64_t entry[NR_LOCKED];

	SYS(mincore(p, nr * PAGE, vec));
	CHECK(SYS(pread(fd, entry, nr * 8, (uintptr_t)p / PAGE * 8)) == (ssize_t)(nr * 8));
	for (size_t i = 0; i < nr; i++) {
		CHECK(vec[i] & 1, "locked page %zu is not in core", i);
		CHECK(entry[i] & PM_PRESENT, "locked page %zu: pagemap %#lx", i, (long)entry[i]);
	}
	SYS(close(fd));
}

static void squeeze_and_look(char *p, size_t nr, uint32_t gen)
{
	for (int i = 0; i < 3; i++) {
		push_out(pressure_bytes);
		expect_present(p, nr);
	}
	check_pages(p, nr, 1, gen);
}

static void locked_before_written(void)
{
	char *p = map_anon(NR_LOCKED * PAGE);

	SYS(mlock(p, NR_LOCKED * PAGE));
	expect_present(p, NR_LOCKED);
	fill_pages(p, NR_LOCKED, 1, 0);
	squeeze_and_look(p, NR_LOCKED, 0);
	SYS(munmap(p, NR_LOCKED * PAGE));
}

/* The pages were out of memory when the lock came: it brings them back. */
static void locked_when_out(void)
{
	char *p = map_anon(NR_LOCKED * PAGE);

	fill_pages(p, NR_LOCKED, 1, 1);
	push_out(pressure_bytes);
	SYS(mlock(p, NR_LOCKED * PAGE));
	expect_present(p, NR_LOCKED);
	squeeze_and_look(p, NR_LOCKED, 1);
	SYS(munlock(p, NR_LOCKED * PAGE));
	push_out(pressure_bytes);
	check_pages(p, NR_LOCKED, 1, 1);
	SYS(munmap(p, NR_LOCKED * PAGE));
}

/* Locked one by one as they are touched. */
static void locked_on_fault(void)
{
	char *p = map_anon(NR_LOCKED * PAGE);

	SYS(mlock2(p, NR_LOCKED * PAGE, MLOCK_ONFAULT));
	fill_pages(p, 3, 1, 2);
	squeeze_and_look(p, 3, 2);
	fill_pages(p, NR_LOCKED, 1, 3);
	squeeze_and_look(p, NR_LOCKED, 3);
	SYS(munmap(p, NR_LOCKED * PAGE));
}

static void look_at_inherited(void *p)
{
	push_out(pressure_bytes);
	check_pages(p, 3, 1, 4);
	fill_pages(p, 3, 1, 5);
	push_out(pressure_bytes);
	check_pages(p, 3, 1, 5);
}

/* The lock is the parent's alone; its pages stay though the child shares and writes them. */
static void locked_over_fork(void)
{
	char *p = map_anon(3 * PAGE);
	pid_t pid;

	SYS(mlock(p, 3 * PAGE));
	fill_pages(p, 3, 1, 4);
	pid = fork_run(look_at_inherited, p);
	squeeze_and_look(p, 3, 4);
	expect_exit(pid, 0);
	squeeze_and_look(p, 3, 4);
	SYS(munmap(p, 3 * PAGE));
}

int main(int argc, char **argv)
{
	pressure_bytes = arg_or(argc, argv, 1, 4096) * KIB;
	RUN(locked_before_written);
	RUN(locked_when_out);
	RUN(locked_on_fault);
	RUN(locked_over_fork);
	return 0;
}
