// SPDX-License-Identifier: MIT
/* Programs that unmap, move or hide their vdso (valgrind does), then go on as others do. */
#include "e2e.h"

#define AREA (64 * PAGE)

static void *vdso;
static size_t vdso_len;
static char *area;

static void find_vdso(void)
{
	unsigned long from, to;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
			vdso = (void *)from;
			vdso_len = to - from;
		}
	fclose(f);
}

static void generation(void *depth)
{
	check_marks(area, AREA, 5 + (uintptr_t)depth);
	fill_marks(area, AREA, 6 + (uintptr_t)depth);
	if (depth)
		return;
	expect_exit(fork_run(generation, (void *)1), 0);
	check_marks(area, AREA, 6);
}

static void *thread(void *arg)
{
	char *own = map_anon(AREA);

	fill_marks(own, AREA, 9);
	check_marks(own, AREA, 9);
	return NULL;
}

static void live(void *unused)
{
	fill_marks(area, AREA, 5);
	for (int i = 0; i < 3; i++)
		expect_exit(fork_run(generation, NULL), 0);
	check_marks(area, AREA, 5);
	run_threads(3, thread);
	expect_exit(fork_run(generation, NULL), 0);
}

static void unmaps(void *unused)
{
	SYS(munmap(vdso, vdso_len));
	live(NULL);
}

static void moves(void *unused)
{
	void *to = SYS(mmap(NULL, vdso_len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	SYS(mremap(vdso, vdso_len, vdso_len, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	live(NULL);
}

static void hides(void *unused)
{
	SYS(mprotect(vdso, vdso_len, PROT_NONE));
	live(NULL);
}

static void replaces(void *unused)
{
	SYS(munmap(vdso, vdso_len));
	SYS(mmap(vdso, vdso_len, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(vdso, 0xcc, vdso_len);
	live(NULL);
}

static void without(void)
{
	void (*const how[])(void *) = { unmaps, moves, hides, replaces };

	for (size_t i = 0; i < ARRAY_SIZE(how); i++)
		expect_exit(fork_run(how[i], NULL), 0);
}

int main(void)
{
	find_vdso();
	CHECK(vdso);
	area = map_anon(AREA);
	RUN(without);
	return 0;
}
