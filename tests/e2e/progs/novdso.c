// SPDX-License-Identifier: MIT
/* Programs that unmap, move or hide their vdso (valgrind does), then go on as others do. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
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

static unsigned char *code; /* fork() */
static atomic_int forked;

/* Forked or not, who returns to code that cannot be executed makes that right. */
static void show_code(int sig, siginfo_t *info, void *context)
{
	mprotect(code, PAGE, PROT_READ | PROT_EXEC);
}

static void *hide_code(void *arg)
{
	while (!atomic_load(&forked)) {
		SYS(mprotect(code, PAGE, PROT_NONE));
		sched_yield();
	}
	return NULL;
}

/* The call's own instruction is hidden when the call has been made. */
static void hides_code(void *unused)
{
	static const unsigned char fork_code[] = { 0xb8, SYS_fork, 0, 0, 0, 0x0f, 0x05, 0xc3 }; /* mov, syscall, ret */
	struct sigaction act = { .sa_sigaction = show_code, .sa_flags = SA_SIGINFO | SA_NODEFER };
	pthread_t other;

	code = map_anon(PAGE);
	memcpy(code, fork_code, sizeof(fork_code));
	SYS(sigaction(SIGSEGV, &act, NULL));
	SYS(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
	SYS(munmap(vdso, vdso_len));
	fill_marks(area, AREA, 5);
	CHECK(!pthread_create(&other, NULL, hide_code, NULL));
	for (int i = 0; i < 200; i++) {
		pid_t pid = ((pid_t(*)(void))code)();

		if (!pid) {
			check_marks(area, AREA, 5);
			_exit(0);
		}
		CHECK(pid > 0);
		expect_exit(pid, 0);
	}
	atomic_store(&forked, 1);
	pthread_join(other, NULL);
}

static void forks_from_hidden_code(void)
{
	expect_exit(fork_run(hides_code, NULL), 0);
}

int main(void)
{
	find_vdso();
	CHECK(vdso);
	area = map_anon(AREA);
	RUN(without);
	RUN(forks_from_hidden_code);
	return 0;
}
