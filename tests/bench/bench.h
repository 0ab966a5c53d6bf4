/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what the measured programs share.
 *
 * Each program knows nothing of upager, is one file, times its own inner loop, and prints one
 * number to standard output: nanoseconds (or bytes) per operation.  Setting up, process
 * start and end do not count.  The driver (driver.c) runs it natively and under upager by turns.
 *
 * The driver itself takes only the clock from here.
 *
 * BENCH_QUICK in the environment divides every amount of work by 16: only to see that all works.
 */
#ifndef BENCH_H
#define BENCH_H

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

#define MIB (1024UL * 1024)
#define GIB (1024UL * MIB)

static inline _Noreturn void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static inline _Noreturn void usage(const char *args)
{
	fprintf(stderr, "usage: %s %s\n", program_invocation_short_name, args);
	exit(2);
}

static inline u64 clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

static inline u64 now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* `n` operations, or a sixteenth of them for a quick run. */
static inline u64 scaled(u64 n)
{
	return getenv("BENCH_QUICK") ? u64_max(n / 16, 1) : n;
}

static inline void print_per_op(u64 total, u64 nr_ops)
{
	printf("%.4f\n", (double)total / (double)nr_ops);
}

/* Untouched private anonymous memory without huge pages, in both kinds of run. */
static inline char *map_untouched(u64 len)
{
	char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (mem == MAP_FAILED)
		die("mmap");
	if (madvise(mem, len, MADV_NOHUGEPAGE))
		die("madvise");
	return mem;
}

static inline u64 xorshift(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* 0 … n-1 in an order that depends on `seed` (not 0) alone.  The caller frees it. */
static inline u32 *shuffled(u32 n, u64 seed)
{
	u32 *order = malloc(n * sizeof(*order));

	if (!order)
		die("malloc");
	for (u32 i = 0; i < n; i++) {
		u32 j = (u32)(xorshift(&seed) % (i + 1));

		order[i] = order[j];
		order[j] = i;
	}
	return order;
}

/*
 * The pages that a fault measure touches, in order: `n` of them, one in each `spread` pages of n * spread.
 * The caller frees it.
 */
static inline u32 *pages_to_touch(u32 n, u32 spread, u64 seed)
{
	u32 *pages = shuffled(n, seed);

	for (u32 i = 0; spread > 1 && i < n; i++)
		pages[i] = pages[i] * spread + (u32)(xorshift(&seed) % spread);
	return pages;
}

/*
 * Make `nr_vmas` mappings of one, all writable, all of one length but the last: each second one may also
 * execute, so the kernel cannot merge them.
 */
static inline void cut_into_vmas(char *mem, u64 nr_pages, u32 nr_vmas)
{
	u64 len = nr_pages / nr_vmas * PAGE_SIZE;

	if (!len) {
		fprintf(stderr, "%s: fewer pages than mappings\n", program_invocation_short_name);
		exit(2);
	}
	for (u32 i = 1; i < nr_vmas; i += 2)
		if (mprotect(mem + i * len, len, PROT_READ | PROT_WRITE | PROT_EXEC))
			die("mprotect");
}

static inline void pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

#endif /* BENCH_H */
