// SPDX-License-Identifier: MIT
/* manyvmas N: N mappings side by side, forked with, cut, joined. */
#include "e2e.h"

static size_t nr;
static char *area;

static size_t count_vmas(void)
{
	char line[512];
	size_t n = 0;
	FILE *f = fopen("/proc/self/maps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		n++;
	fclose(f);
	return n;
}

static void check_all(uint64_t tag)
{
	for (size_t i = 0; i < nr; i++)
		CHECK(*(uint64_t *)(area + i * PAGE) == (i % 3 ? mark(tag, i) : 0), "page %zu", i);
}

static void write_odd(uint64_t tag)
{
	for (size_t i = 1; i < nr; i += 2)
		*(uint64_t *)(area + i * PAGE) = i % 3 ? mark(tag, i) : 0;
}

/* Alternating protections: every second page becomes a mapping of its own. */
static void alternate(void)
{
	size_t before = count_vmas();

	area = map_anon(nr * PAGE);
	for (size_t i = 0; i < nr; i++)
		if (i % 3)
			*(uint64_t *)(area + i * PAGE) = mark(1, i);
	for (size_t i = 0; i < nr; i += 2)
		SYS(mprotect(area + i * PAGE, PAGE, PROT_READ));
	CHECK(count_vmas() - before >= nr - 1, "%zu mappings more", count_vmas() - before);
	check_all(1);
}

static void in_child(void *unused)
{
	check_all(1);
	write_odd(2);
	for (size_t i = 0; i < nr; i++)
		if (i % 3)
			CHECK(*(uint64_t *)(area + i * PAGE) == mark(i % 2 ? 2 : 1, i), "page %zu", i);
	SYS(mprotect(area, nr * PAGE, PROT_READ | PROT_WRITE));
	fill_marks(area, nr * PAGE, 3);
	check_marks(area, nr * PAGE, 3);
}

static void fork_with_them(void)
{
	pid_t a = fork_run(in_child, NULL), b = fork_run(in_child, NULL);

	check_all(1);
	expect_exit(a, 0);
	expect_exit(b, 0);
	check_all(1);
}

/* One mprotect joins what it can; one munmap takes thousands. */
static void join_and_unmap(void)
{
	SYS(mprotect(area, nr / 2 * PAGE, PROT_READ | PROT_WRITE));
	fill_marks(area, nr / 2 * PAGE, 4);
	check_marks(area, nr / 2 * PAGE, 4);
	SYS(munmap(area + nr / 4 * PAGE, nr / 2 * PAGE));
	check_marks(area, nr / 4 * PAGE, 4);
	SYS(mmap(area + nr / 4 * PAGE, nr / 2 * PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
	check_bytes(area + nr / 4 * PAGE, PAGE, 0);
	SYS(munmap(area, nr * PAGE));
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	nr = strtoul(argv[1], NULL, 10);
	RUN(alternate);
	RUN(fork_with_them);
	RUN(join_and_unmap);
	return 0;
}
