// SPDX-License-Identifier: MIT
/* fork while other threads of the process fault, write, map and fork as well. */
#include "e2e.h"

#define NR_WRITERS 4
#define AREA (64 * PAGE)

static atomic_bool stop;
static char *shared_area;
static char *still_area;

/* Writes rising numbers over all pages of its own slot, from where the last writer stopped. */
static void *writer(void *index)
{
	long me = (long)index;
	uint64_t n = ((uint64_t *)shared_area)[me];

	while (!atomic_load(&stop)) {
		n++;
		for (size_t i = 0; i < AREA / PAGE; i++)
			((volatile uint64_t *)(shared_area + i * PAGE))[me] = n;
	}
	return NULL;
}

/*
 * A child has one instant of the parent: each writer's numbers are non-increasing along the
 * pages and differ by one at most, and they stay so however long the child looks.  (fork copies
 * the pages in order of address; a writer that comes to a copied page waits for the end of it.)
 */
static void check_instant(void)
{
	uint64_t before[NR_WRITERS];

	check_marks(still_area, AREA, 1);
	for (int pass = 0; pass < 3; pass++) {
		for (int t = 0; t < NR_WRITERS; t++) {
			uint64_t first = ((uint64_t *)shared_area)[t];
			uint64_t prev = first;

			for (size_t i = 0; i < AREA / PAGE; i++) {
				uint64_t v = ((uint64_t *)(shared_area + i * PAGE))[t];

				CHECK(v <= prev && v + 1 >= first, "page %zu: %lu after %lu", i,
				      (long)v, (long)prev);
				prev = v;
			}
			CHECK(pass == 0 || before[t] == first, "writer %d moved on in the child", t);
			before[t] = first;
		}
	}
	fill_marks(still_area, AREA, 2);
	fill_marks(shared_area, AREA, 3);
	check_marks(still_area, AREA, 2);
	check_marks(shared_area, AREA, 3);
}

static void *forker(void *unused)
{
	for (int i = 0; i < 15; i++) {
		pid_t pid = SYS(fork());

		if (!pid) {
			check_instant();
			_exit(0);
		}
		expect_exit(pid, 0);
	}
	return NULL;
}

/* Writers run on while the main thread forks. */
static void fork_among_writers(void)
{
	pthread_t t[NR_WRITERS];

	atomic_store(&stop, false);
	for (long i = 0; i < NR_WRITERS; i++)
		CHECK(pthread_create(&t[i], NULL, writer, (void *)i) == 0);
	forker(NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < NR_WRITERS; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	check_marks(still_area, AREA, 1);
}

/* Several threads fork at once, while writers run. */
static void fork_from_many_threads(void)
{
	pthread_t t[2];

	atomic_store(&stop, false);
	for (long i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, writer, (void *)i) == 0);
	run_threads(4, forker);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
	check_marks(still_area, AREA, 1);
}

static void *mapper(void *index)
{
	for (uint64_t n = 0; !atomic_load(&stop); n++) {
		char *p = map_anon(16 * PAGE);

		fill_marks(p, 16 * PAGE, n);
		SYS(mprotect(p + 4 * PAGE, 4 * PAGE, PROT_READ));
		check_marks(p, 16 * PAGE, n);
		SYS(munmap(p, 16 * PAGE));
	}
	return NULL;
}

/* Address spaces change shape while they are being copied. */
static void fork_among_mappers(void)
{
	pthread_t t[2];

	atomic_store(&stop, false);
	for (long i = 0; i < 2; i++)
		CHECK(pthread_create(&t[i], NULL, mapper, (void *)i) == 0);
	for (int i = 0; i < 30; i++) {
		pid_t pid = SYS(fork());

		if (!pid) {
			char *p = map_anon(AREA);

			fill_marks(p, AREA, i);
			check_marks(still_area, AREA, 1);
			check_marks(p, AREA, i);
			_exit(0);
		}
		expect_exit(pid, 0);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_join(t[i], NULL) == 0);
}

static void *child_thread(void *index)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA, (uintptr_t)index);
	check_marks(p, AREA, (uintptr_t)index);
	check_marks(still_area, AREA, 1);
	return NULL;
}

static void threads_in_child(void *unused)
{
	run_threads(4, child_thread);
}

static void *fork_threaded_child(void *unused)
{
	for (int i = 0; i < 4; i++)
		expect_exit(fork_run(threads_in_child, NULL), 0);
	return NULL;
}

/* Children that start threads of their own, forked by threads. */
static void threads_fork_threads(void)
{
	run_threads(3, fork_threaded_child);
}

int main(void)
{
	shared_area = map_anon(AREA);
	still_area = map_anon(AREA);
	fill_marks(still_area, AREA, 1);
	RUN(fork_among_writers);
	RUN(fork_from_many_threads);
	RUN(fork_among_mappers);
	RUN(threads_fork_threads);
	return 0;
}
