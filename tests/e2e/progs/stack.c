// SPDX-License-Identifier: MIT
/* Stacks that grow: the main one up to RLIMIT_STACK, threads', alternate signal stacks. */
#include <setjmp.h>
#include <sys/resource.h>
#include "e2e.h"

static char altstack[256 * KIB] __attribute__((aligned(4096)));
static sigjmp_buf back;
static uintptr_t fault_addr;
static int fault_code;
static atomic_bool endless = true;

/* Recurse by about 1 KiB a level; every frame must be intact on the way back. */
static uint64_t __attribute__((noinline)) recurse(int depth, uint64_t salt)
{
	volatile uint64_t frame[120];
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(frame); i++)
		frame[i] = mark(salt + depth, i);
	if (depth > 0)
		sum = recurse(depth - 1, salt);
	for (size_t i = 0; i < ARRAY_SIZE(frame); i++) {
		CHECK(frame[i] == mark(salt + depth, i), "depth %d word %zu", depth, i);
		sum += frame[i];
	}
	return sum;
}

static void deep_recursion(void)
{
	uint64_t first = recurse(6500, 1);

	CHECK(recurse(6500, 1) == first);
	printf("sum %016lx\n", (long)first);
}

static void recurse_in_child(void *unused)
{
	recurse(6500, 9);
}

static void recursion_in_children(void)
{
	pid_t pid[4];

	for (int i = 0; i < 4; i++)
		pid[i] = fork_run(recurse_in_child, NULL);
	for (int i = 0; i < 4; i++)
		expect_exit(pid[i], 0);
}

/* One frame far larger than the stack is: touched at its far end first, then in the middle. */
static void __attribute__((noinline)) jump_down(size_t len, uint64_t tag)
{
	char *area = __builtin_alloca(len + PAGE);
	char *aligned = (char *)(((uintptr_t)area + PAGE - 1) & ~(PAGE - 1));

	*(volatile char *)aligned = 1;
	fill_marks(aligned, len, tag);
	check_marks(aligned, len, tag);
}

static void big_jumps(void *unused)
{
	jump_down(64 * KIB, 1);
	jump_down(2 * MIB, 2);
	jump_down(6 * MIB, 3);
	jump_down(128 * KIB, 4);
}

static void large_frames(void)
{
	big_jumps(NULL);
	expect_exit(fork_run(big_jumps, NULL), 0);
}

static void on_overflow(int sig, siginfo_t *si, void *ctx)
{
	fault_addr = (uintptr_t)si->si_addr;
	fault_code = si->si_code;
	siglongjmp(back, sig);
}

static void catch_on_altstack(int sig, void (*fn)(int, siginfo_t *, void *))
{
	stack_t ss = { .ss_sp = altstack, .ss_size = sizeof(altstack) };
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	SYS(sigaltstack(&ss, NULL));
	SYS(sigaction(sig, &sa, NULL));
}

static uint64_t __attribute__((noinline)) recurse_for_ever(uint64_t n)
{
	volatile uint64_t frame[128] = { n };

	return atomic_load(&endless) ? recurse_for_ever(n + 1) + frame[n % 128] : 0;
}

/* Overflow is caught on the alternate stack, at the limit, again and again. */
static void overflow_is_caught(void)
{
	volatile uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	struct rlimit rl;

	SYS(getrlimit(RLIMIT_STACK, &rl));
	catch_on_altstack(SIGSEGV, on_overflow);
	for (volatile int i = 0; i < 3; i++) {
		if (sigsetjmp(back, 1) == 0) {
			recurse_for_ever(0);
			CHECK(0, "endless recursion came back");
		}
		CHECK(fault_addr < here && here - fault_addr <= rl.rlim_cur + PAGE &&
			      here - fault_addr >= rl.rlim_cur - 512 * KIB,
		      "overflow at %#lx, %lu below", (long)fault_addr,
		      (long)(here - fault_addr));
		CHECK(fault_code == SEGV_MAPERR, "si_code %d", fault_code);
	}
	signal(SIGSEGV, SIG_DFL);
	recurse(3000, 2);
}

static void overflow(void *unused)
{
	struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGSEGV, SIG_DFL);
	recurse_for_ever(0);
}

static void overflow_kills(void)
{
	expect_signal(fork_run(overflow, NULL), SIGSEGV);
}

/* The limit is raised and lowered while the program runs; growth obeys at once. */
static void limit_changes(void *unused)
{
	struct rlimit rl;

	SYS(getrlimit(RLIMIT_STACK, &rl));
	rl.rlim_cur = 16 * MIB;
	SYS(setrlimit(RLIMIT_STACK, &rl));
	recurse(13000, 3);
	rl.rlim_cur = 512 * KIB;
	SYS(setrlimit(RLIMIT_STACK, &rl));
	recurse(13000, 4);
	catch_on_altstack(SIGSEGV, on_overflow);
	if (sigsetjmp(back, 1) == 0) {
		recurse_for_ever(0);
		CHECK(0, "endless recursion came back");
	}
}

static void rlimit_stack_obeyed(void)
{
	expect_exit(fork_run(limit_changes, NULL), 0);
}

static void *deep_thread(void *index)
{
	return (void *)recurse(6000, (uintptr_t)index);
}

static void *thread_overflow(void *unused)
{
	char *own = map_anon(128 * KIB);
	stack_t ss = { .ss_sp = own, .ss_size = 128 * KIB };
	volatile uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	SYS(sigaltstack(&ss, NULL));
	if (sigsetjmp(back, 1) == 0) {
		recurse_for_ever(0);
		CHECK(0, "endless recursion came back");
	}
	CHECK(fault_code == SEGV_ACCERR, "guard page gave si_code %d", fault_code);
	CHECK(here - fault_addr < 9 * MIB);
	return NULL;
}

static void thread_stacks(void)
{
	run_threads(6, deep_thread);
}

static void thread_guard_page(void)
{
	catch_on_altstack(SIGSEGV, on_overflow);
	run_threads(1, thread_overflow);
	run_threads(1, thread_overflow);
	signal(SIGSEGV, SIG_DFL);
}

static atomic_int handled;

static void deep_handler(int sig, siginfo_t *si, void *ctx)
{
	volatile char here;

	CHECK(&here >= altstack && &here < altstack + sizeof(altstack), "not on the alternate stack");
	recurse(100, sig);
	atomic_fetch_add(&handled, 1);
}

/* Untouched alternate stack: the kernel's own write of the signal frame is the first touch. */
static void signal_frame_is_first_touch(void)
{
	SYS(madvise(altstack, sizeof(altstack), MADV_DONTNEED));
	catch_on_altstack(SIGUSR1, deep_handler);
	for (int i = 0; i < 20; i++) {
		SYS(madvise(altstack, sizeof(altstack), MADV_DONTNEED));
		SYS(raise(SIGUSR1));
	}
	CHECK(atomic_load(&handled) == 20);
}

static void plain_handler(int sig)
{
	volatile char big[64 * KIB];

	for (size_t i = 0; i < sizeof(big); i += 64)
		big[i] = (char)i;
	for (size_t i = 0; i < sizeof(big); i += 64)
		CHECK(big[i] == (char)i);
	atomic_fetch_add(&handled, 1);
}

/* A handler on the normal stack, at the deepest point so far: its frame makes the stack grow. */
static void signal_at_depth(void)
{
	atomic_store(&handled, 0);
	signal(SIGUSR2, plain_handler);
	for (int kib = 100; kib < 4000; kib += 150) {
		jump_down(kib * KIB, kib);
		SYS(raise(SIGUSR2));
	}
	CHECK(atomic_load(&handled) == 26);
}

int main(void)
{
	RUN(deep_recursion);
	RUN(recursion_in_children);
	RUN(large_frames);
	RUN(overflow_is_caught);
	RUN(overflow_kills);
	RUN(rlimit_stack_obeyed);
	RUN(thread_stacks);
	RUN(thread_guard_page);
	RUN(signal_frame_is_first_touch);
	RUN(signal_at_depth);
	return 0;
}
