// SPDX-License-Identifier: MIT
/*
 * joins [KIB [ROUNDS]]: what the kernel itself writes for a thread that ends, on pages out of memory: the tid
 * that pthread_join() waits for, the robust mutexes it still held.  A write left out is a hang here.
 */
#include <linux/futex.h>
#include <linux/sched.h>
#include "pressure.h"

static size_t pressure_bytes, rounds;

/* A page of its own for each, so that nothing else keeps it in memory. */
struct robust {
	pthread_mutex_t mutex;
	uint64_t guarded;
} __attribute__((aligned(4096)));

#define NR_ROBUST 8

static struct robust *robust;

/* Two threads end at once while the others' pages push theirs out. */
static void *short_life(void *index)
{
	char *p = map_anon(8 * PAGE);

	fill_pages(p, 8, 1, (uintptr_t)index);
	sched_yield();
	check_pages(p, 8, 1, (uintptr_t)index);
	SYS(munmap(p, 8 * PAGE));
	return NULL;
}

static void joined(void)
{
	struct thrash thrash;

	thrash_start(&thrash, pressure_bytes, 2);
	for (size_t i = 0; i < rounds; i++)
		run_threads(3, short_life);
	thrash_end(&thrash);
}

/* Ends asleep for a while: by then its stack, and the tid in it, are out. */
static void *end_late(void *gate)
{
	char c;

	CHECK(SYS(read(*(int *)gate, &c, 1)) == 0);
	return NULL;
}

static void joined_when_out(void)
{
	int gate[2];
	pthread_t t[4];

	for (size_t i = 0; i < rounds / 4 + 1; i++) {
		SYS(pipe(gate));
		for (int k = 0; k < 4; k++)
			CHECK(pthread_create(&t[k], NULL, end_late, &gate[0]) == 0);
		push_out(pressure_bytes);
		SYS(close(gate[1]));
		for (int k = 0; k < 4; k++)
			CHECK(pthread_join(t[k], NULL) == 0);
		SYS(close(gate[0]));
	}
}

static void *die_with_locks(void *unused)
{
	for (int i = 0; i < NR_ROBUST; i++) {
		CHECK(pthread_mutex_lock(&robust[i].mutex) == 0);
		robust[i].guarded = mark(3, i);
	}
	push_out(pressure_bytes);
	return NULL;
}

static void init_robust(int shared)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attr, shared);
	robust = map_anon(NR_ROBUST * sizeof(*robust));
	for (int i = 0; i < NR_ROBUST; i++)
		CHECK(pthread_mutex_init(&robust[i].mutex, &attr) == 0);
}

/* Each mutex of a list that goes over eight pages must say that its owner died. */
static void owners_died(void)
{
	for (size_t round = 0; round < rounds / 4 + 1; round++) {
		pthread_t t;

		init_robust(PTHREAD_PROCESS_PRIVATE);
		CHECK(pthread_create(&t, NULL, die_with_locks, NULL) == 0);
		CHECK(pthread_join(t, NULL) == 0);
		push_out(pressure_bytes);
		for (int i = 0; i < NR_ROBUST; i++) {
			int rc = pthread_mutex_lock(&robust[i].mutex);

			CHECK(rc == EOWNERDEAD, "mutex %d: %s", i, strerror(rc));
			CHECK(robust[i].guarded == mark(3, i));
			CHECK(pthread_mutex_consistent(&robust[i].mutex) == 0);
			CHECK(pthread_mutex_unlock(&robust[i].mutex) == 0);
		}
		SYS(munmap(robust, NR_ROBUST * sizeof(*robust)));
	}
}

/* clone3 with CHILD_CLEARTID: the word is cleared and woken although its page is out when the task ends. */
struct tid_word {
	_Atomic uint32_t tid;
} __attribute__((aligned(4096)));

static int raw_child(void *unused)
{
	sleep_ms(3);
	return 0;
}

static void cleared_words(void)
{
	struct tid_word *w = map_anon(PAGE);
	char *stack = map_anon(16 * PAGE);

	for (size_t i = 0; i < rounds / 4 + 1; i++) {
		int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			    CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
		uint32_t tid;

		atomic_store(&w->tid, 1);
		SYS(clone(raw_child, stack + 16 * PAGE, flags, NULL, (pid_t *)&w->tid, NULL,
			  (pid_t *)&w->tid));
		push_out(pressure_bytes);
		while ((tid = atomic_load(&w->tid)))
			syscall(SYS_futex, &w->tid, FUTEX_WAIT, tid, NULL, NULL, 0);
	}
	SYS(munmap(stack, 16 * PAGE));
	SYS(munmap(w, PAGE));
}

/* Condition variables and barriers between threads whose pages come and go. */
static pthread_barrier_t *barrier;
static _Atomic uint64_t *turns;

static void *take_turns(void *index)
{
	for (size_t i = 0; i < rounds; i++) {
		atomic_fetch_add(turns, 1);
		pthread_barrier_wait(barrier);
		CHECK(atomic_load(turns) >= 4 * (i + 1));
		pthread_barrier_wait(barrier);
	}
	return NULL;
}

static void barriers(void)
{
	struct thrash thrash;

	barrier = map_anon(PAGE);
	turns = map_anon(PAGE);
	CHECK(pthread_barrier_init(barrier, NULL, 4) == 0);
	thrash_start(&thrash, pressure_bytes, 4);
	run_threads(4, take_turns);
	thrash_end(&thrash);
	CHECK(atomic_load(turns) == 4 * rounds);
	SYS(munmap(barrier, PAGE));
	SYS(munmap(turns, PAGE));
}

int main(int argc, char **argv)
{
	pressure_bytes = arg_or(argc, argv, 1, 2048) * KIB;
	rounds = arg_or(argc, argv, 2, 40);
	RUN(joined);
	RUN(joined_when_out);
	RUN(owners_died);
	RUN(cleared_words);
	RUN(barriers);
	return 0;
}
