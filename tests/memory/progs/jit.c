// SPDX-License-Identifier: MIT
/* jit [PAGES [ROUNDS]]: code made in anonymous memory, out of memory and called again, changed and called again. */
#include "pressure.h"

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define RX (PROT_READ | PROT_EXEC)

static size_t nr_pages, rounds;

/* At the end of each page, so that it is fetched from no other:  mov $value, %eax; ret */
static unsigned char *function_at(char *code, size_t page)
{
	return (unsigned char *)code + page * PAGE + PAGE - 16;
}

static void compile(char *code, size_t page, uint32_t value)
{
	unsigned char *f = function_at(code, page);

	f[0] = 0xb8;
	memcpy(f + 1, &value, sizeof(value));
	f[5] = 0xc3;
	__builtin___clear_cache((char *)f, (char *)f + 6);
}

static uint32_t call(char *code, size_t page)
{
	return ((uint32_t(*)(void))(uintptr_t)function_at(code, page))();
}

static uint32_t value_of(size_t page, size_t round)
{
	return mix64(page * 1000 + round);
}

static void compile_all(char *code, size_t round)
{
	for (size_t i = 0; i < nr_pages; i++)
		compile(code, i, value_of(i, round));
}

static void call_all(char *code, size_t round)
{
	for (size_t i = 0; i < nr_pages; i++) {
		uint32_t got = call(code, i);

		CHECK(got == value_of(i, round), "page %zu, round %zu: %#x", i, round, got);
	}
}

static char *map_code(int prot)
{
	return SYS(mmap(NULL, nr_pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void writable_code(void)
{
	char *code = map_code(RWX);

	for (size_t round = 0; round < rounds; round++) {
		compile_all(code, round);
		push_out(nr_pages * PAGE);
		call_all(code, round);
		call_all(code, round);
	}
	SYS(munmap(code, nr_pages * PAGE));
}

/* Writable or executable, never both: as careful compilers do it. */
static void sealed_code(void)
{
	char *code = map_code(RW);

	for (size_t round = 0; round < rounds; round++) {
		SYS(mprotect(code, nr_pages * PAGE, RW));
		compile_all(code, round);
		SYS(mprotect(code, nr_pages * PAGE, RX));
		push_out(nr_pages * PAGE);
		call_all(code, round);
		SYS(mprotect(code, nr_pages * PAGE, PROT_READ));
		push_out(nr_pages * PAGE);
		SYS(mprotect(code, nr_pages * PAGE, RX));
		call_all(code, round);
	}
	SYS(munmap(code, nr_pages * PAGE));
}

/* Some pages turn around by themselves: many small vmas of two kinds. */
static void page_by_page(void)
{
	char *code = map_code(RX);
	uint64_t seed = 5;

	for (size_t i = 0; i < nr_pages * rounds; i++) {
		size_t page = rnd(&seed) % nr_pages;

		SYS(mprotect(code + page * PAGE, PAGE, RW));
		compile(code, page, value_of(page, i));
		SYS(mprotect(code + page * PAGE, PAGE, RX));
		CHECK(call(code, page) == value_of(page, i), "page %zu", page);
	}
	for (size_t i = 0; i < nr_pages; i++) {
		SYS(mprotect(code + i * PAGE, PAGE, RW));
		compile(code, i, value_of(i, 7));
	}
	SYS(mprotect(code, nr_pages * PAGE, RX));
	call_all(code, 7);
	SYS(munmap(code, nr_pages * PAGE));
}

static void call_inherited(void *code)
{
	call_all(code, 3);
	compile_all(code, 4);
	push_out(nr_pages * PAGE);
	call_all(code, 4);
}

static void code_over_fork(void)
{
	char *code = map_code(RWX);
	pid_t pid;

	compile_all(code, 3);
	push_out(nr_pages * PAGE);
	pid = fork_run(call_inherited, code);
	call_all(code, 3);
	expect_exit(pid, 0);
	call_all(code, 3);
	SYS(munmap(code, nr_pages * PAGE));
}

static char *shared_code;

static void *call_for_ever(void *index)
{
	for (size_t i = 0; i < rounds; i++)
		call_all(shared_code, 6);
	return NULL;
}

static void called_by_threads(void)
{
	struct thrash thrash;

	shared_code = map_code(RWX);
	compile_all(shared_code, 6);
	SYS(mprotect(shared_code, nr_pages * PAGE, RX));
	thrash_start(&thrash, nr_pages * PAGE, 2);
	run_threads(3, call_for_ever);
	thrash_end(&thrash);
	SYS(munmap(shared_code, nr_pages * PAGE));
}

int main(int argc, char **argv)
{
	nr_pages = arg_or(argc, argv, 1, 256);
	rounds = arg_or(argc, argv, 2, 3);
	RUN(writable_code);
	RUN(sealed_code);
	RUN(page_by_page);
	RUN(code_over_fork);
	RUN(called_by_threads);
	return 0;
}
