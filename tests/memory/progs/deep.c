// SPDX-License-Identifier: MIT
/* deep [KIB]: stacks that have to leave memory below the running frame: deep recursion, many threads' stacks. */
#include <ucontext.h>
#include "pressure.h"

#define FRAME_WORDS 128 /* 1 KiB and something a call */

static size_t stack_bytes;

/* Each call's words are verified after those above have come and gone. */
static uint64_t __attribute__((noinline)) recurse(uint64_t key, size_t depth)
{
	volatile uint64_t frame[FRAME_WORDS];
	uint64_t sum;

	for (int i = 0; i < FRAME_WORDS; i++)
		frame[i] = mix64(mark(key, depth) + i);
	sum = depth ? recurse(key, depth - 1) : 0;
	for (int i = 0; i < FRAME_WORDS; i++)
		CHECK(frame[i] == mix64(mark(key, depth) + i), "depth %zu, word %d is %#lx", depth, i,
		      (long)frame[i]);
	return sum + frame[depth % FRAME_WORDS];
}

static size_t depth_of(size_t len)
{
	return len / (FRAME_WORDS * 8 + 128);
}

static void main_stack(void)
{
	uint64_t first = recurse(1, depth_of(stack_bytes));

	push_out(stack_bytes);
	CHECK(recurse(1, depth_of(stack_bytes)) == first);
}

static void *on_own_stack(void *index)
{
	recurse(10 + (uintptr_t)index, depth_of(stack_bytes / 4));
	return NULL;
}

static void thread_stacks(void)
{
	for (int round = 0; round < 3; round++)
		run_threads(4, on_own_stack);
}

#define NR_FIBRES 8

static ucontext_t fibre[NR_FIBRES], home;

/* Words on one stack, verified after all the other stacks were used. */
static void fibre_main(int n)
{
	uint64_t words[4 * PAGE_WORDS];

	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			words[i] = mix64(mark(n, round) + i);
		SYS(swapcontext(&fibre[n], n + 1 < NR_FIBRES ? &fibre[n + 1] : &home));
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			CHECK(words[i] == mix64(mark(n, round) + i), "fibre %d, word %zu", n, i);
	}
}

static void make_fibre(int n, size_t len)
{
	SYS(getcontext(&fibre[n]));
	fibre[n].uc_stack.ss_sp = map_anon(len);
	fibre[n].uc_stack.ss_size = len;
	fibre[n].uc_link = &home;
	makecontext(&fibre[n], (void (*)(void))fibre_main, 1, n);
}

/* Stacks in memory of the program's own, changed under way. */
static void fibres(void)
{
	size_t len = 8 * PAGE;

	for (int n = 0; n < NR_FIBRES; n++)
		make_fibre(n, len);
	for (int round = 0; round < 5; round++) {
		SYS(swapcontext(&home, &fibre[0]));
		push_out(stack_bytes / 4);
	}
	for (int n = 0; n < NR_FIBRES; n++)
		SYS(munmap(fibre[n].uc_stack.ss_sp, len));
}

static void verify_deep_in_child(void *key)
{
	recurse((uintptr_t)key, depth_of(stack_bytes / 4));
}

/* Forked at the bottom of a deep stack: both unwind it. */
static uint64_t __attribute__((noinline)) recurse_and_fork(size_t depth)
{
	volatile uint64_t frame[FRAME_WORDS];
	uint64_t sum = 0;

	for (int i = 0; i < FRAME_WORDS; i++)
		frame[i] = mix64(mark(5, depth) + i);
	if (depth)
		sum = recurse_and_fork(depth - 1);
	else
		expect_exit(fork_run(verify_deep_in_child, (void *)6), 0);
	for (int i = 0; i < FRAME_WORDS; i++)
		CHECK(frame[i] == mix64(mark(5, depth) + i), "depth %zu, word %d", depth, i);
	return sum + frame[0];
}

static void fork_below(void)
{
	recurse_and_fork(depth_of(stack_bytes / 2));
}

int main(int argc, char **argv)
{
	stack_bytes = arg_or(argc, argv, 1, 4096) * KIB;
	CHECK(stack_bytes <= 7 * MIB, "the stack's limit is 8 MiB");
	RUN(main_stack);
	RUN(thread_stacks);
	RUN(fibres);
	RUN(fork_below);
	return 0;
}
