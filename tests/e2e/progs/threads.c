// SPDX-License-Identifier: MIT
/* Threads that touch the same new pages at the same moment, and come and go meanwhile. */
#include "e2e.h"

#define NR_THREADS 8
#define NR_PAGES 512

static pthread_barrier_t barrier;
static char *area;

/* Every thread adds one to each page's counter; the first to come faults, all count. */
static void *touch_same(void *index)
{
	long me = (long)index;

	pthread_barrier_wait(&barrier);
	for (int i = 0; i < NR_PAGES; i++) {
		_Atomic uint64_t *w = (_Atomic uint64_t *)(area + i * PAGE);

		atomic_fetch_add(&w[0], 1);
		atomic_store(&w[1 + me], mark(me, i));
	}
	return NULL;
}

static void first_touch_race(void)
{
	for (int round = 0; round < 6; round++) {
		area = map_anon(NR_PAGES * PAGE);
		run_threads(NR_THREADS, touch_same);
		for (int i = 0; i < NR_PAGES; i++) {
			uint64_t *w = (uint64_t *)(area + i * PAGE);

			CHECK(w[0] == NR_THREADS, "page %d counted %lu", i, (long)w[0]);
			for (int t = 0; t < NR_THREADS; t++)
				CHECK(w[1 + t] == mark(t, i), "page %d thread %d", i, t);
			check_bytes(w + 1 + NR_THREADS, PAGE - 8 * (1 + NR_THREADS), 0);
		}
		SYS(munmap(area, NR_PAGES * PAGE));
	}
}

/* Half of the threads read each page first (zero page), the others write it. */
static void *read_or_write(void *index)
{
	long me = (long)index;

	pthread_barrier_wait(&barrier);
	for (int i = 0; i < NR_PAGES; i++) {
		volatile uint64_t *w = (uint64_t *)(area + i * PAGE);

		if (me & 1) {
			uint64_t seen = w[me];

			CHECK(seen == 0, "page %d: own word was %#lx", i, (long)seen);
		}
		w[me] = mark(me, i);
		CHECK(w[me] == mark(me, i), "page %d: lost write", i);
	}
	return NULL;
}

static void zero_page_race(void)
{
	for (int round = 0; round < 6; round++) {
		area = map_anon(NR_PAGES * PAGE);
		run_threads(NR_THREADS, read_or_write);
		for (int i = 0; i < NR_PAGES; i++)
			for (int t = 0; t < NR_THREADS; t++)
				CHECK(((uint64_t *)(area + i * PAGE))[t] == mark(t, i),
				      "page %d thread %d", i, t);
		SYS(munmap(area, NR_PAGES * PAGE));
	}
}

/* Threads map, fill, check and unmap memory of their own, all at the same time. */
static void *map_churn(void *index)
{
	uint64_t seed = (uintptr_t)index + 1;

	for (int i = 0; i < 60; i++) {
		size_t len = (1 + rnd(&seed) % 32) * PAGE;
		char *p = map_anon(len);

		check_bytes(p + rnd(&seed) % (len - 64), 64, 0);
		fill_marks(p, len, i);
		check_marks(p, len, i);
		SYS(munmap(p, len));
	}
	return NULL;
}

static void concurrent_mmap(void)
{
	run_threads(6, map_churn);
}

static void *malloc_churn(void *index)
{
	uint64_t seed = (uintptr_t)index + 77;
	unsigned char *slot[32] = { NULL };
	size_t len[32] = { 0 };

	for (int i = 0; i < 1500; i++) {
		int s = rnd(&seed) % ARRAY_SIZE(slot);

		if (slot[s]) {
			CHECK(slot[s][0] == s && slot[s][len[s] - 1] == s, "slot %d", s);
			free(slot[s]);
		}
		len[s] = 1 + rnd(&seed) % (rnd(&seed) % 8 ? 20000 : 300000);
		slot[s] = malloc(len[s]);
		CHECK(slot[s]);
		slot[s][0] = slot[s][len[s] - 1] = s;
	}
	for (size_t s = 0; s < ARRAY_SIZE(slot); s++)
		free(slot[s]);
	return NULL;
}

static void concurrent_malloc(void)
{
	run_threads(6, malloc_churn);
}

static void *use_stack(void *index)
{
	volatile char frame[64 * 1024];

	for (size_t i = 0; i < sizeof(frame); i += 512)
		frame[i] = (char)((uintptr_t)index + i / 512);
	for (size_t i = 0; i < sizeof(frame); i += 512)
		CHECK(frame[i] == (char)((uintptr_t)index + i / 512));
	return NULL;
}

/* Thread creation and exit: stacks, guard pages and clear_child_tid in new memory. */
static void create_and_join(void)
{
	for (int i = 0; i < 40; i++)
		run_threads(8, use_stack);
}

static _Thread_local uint64_t tls[4096];

static void *use_tls(void *index)
{
	for (size_t i = 0; i < ARRAY_SIZE(tls); i++)
		CHECK(tls[i] == 0);
	for (size_t i = 0; i < ARRAY_SIZE(tls); i++)
		tls[i] = mark((uintptr_t)index, i);
	sched_yield();
	for (size_t i = 0; i < ARRAY_SIZE(tls); i++)
		CHECK(tls[i] == mark((uintptr_t)index, i));
	return NULL;
}

static void thread_locals(void)
{
	run_threads(16, use_tls);
}

static void *last_thread(void *unused)
{
	char *p = map_anon(MIB);

	sleep_ms(30);
	fill_marks(p, MIB, 5);
	check_marks(p, MIB, 5);
	_exit(7);
}

static void leader_leaves(void *unused)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, last_thread, NULL) == 0);
	pthread_exit(NULL);
}

/* The first thread ends; another goes on faulting and ends the process. */
static void leader_exits_first(void)
{
	expect_exit(fork_run(leader_leaves, NULL), 7);
}

static void *fault_forever(void *unused)
{
	for (;;) {
		char *p = map_anon(MIB);

		fill_marks(p, MIB, 1);
		SYS(munmap(p, MIB));
	}
	return NULL;
}

static void fault_until_killed(void *unused)
{
	fault_forever(NULL);
}

static void exit_among_faults(void *unused)
{
	pthread_t t;

	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&t, NULL, fault_forever, NULL) == 0);
	sleep_ms(20);
	_exit(9);
}

/* exit_group and a fatal signal while other threads are in the middle of faults. */
static void exit_while_others_fault(void)
{
	pid_t pid;

	for (int i = 0; i < 5; i++)
		expect_exit(fork_run(exit_among_faults, NULL), 9);
	for (int i = 0; i < 5; i++) {
		pid = fork_run(fault_until_killed, NULL);
		sleep_ms(10);
		SYS(kill(pid, SIGKILL));
		expect_signal(pid, SIGKILL);
	}
}

int main(void)
{
	pthread_barrier_init(&barrier, NULL, NR_THREADS);
	RUN(first_touch_race);
	RUN(zero_page_race);
	RUN(concurrent_mmap);
	RUN(concurrent_malloc);
	RUN(create_and_join);
	RUN(thread_locals);
	RUN(leader_exits_first);
	RUN(exit_while_others_fault);
	return 0;
}
