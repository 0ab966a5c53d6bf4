/* SPDX-License-Identifier: MIT */
/*
 * randfault.c - first-touch write faults in random page order.
 *
 *	randfault [-t THREADS] [-w MICROSECONDS] [-n FAULTS] [-c CPU]
 *
 * Each thread touches memory of its own, n pages of it, and computes for w µs after each fault.
 * Prints elapsed time over the faults of all threads: the inverse of throughput.
 *
 * The work is measured by the thread's CPU time, not by the clock: two threads that were put on
 * one CPU take twice as long, as real work does.
 */
#include <pthread.h>

#include "bench.h"

#define MAX_THREADS 64

struct job {
	pthread_t thread;
	char *mem;
	u32 *order;
	u64 start_ns, end_ns;
};

static u64 work_ns;
static u32 nr_faults = 32768; /* a thread */
static pthread_barrier_t gate;

static void compute(void)
{
	u64 until;

	if (!work_ns)
		return;
	until = clock_ns(CLOCK_THREAD_CPUTIME_ID) + work_ns;
	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until)
		;
}

static void *run(void *arg)
{
	struct job *job = arg;

	pthread_barrier_wait(&gate);
	job->start_ns = now_ns();
	for (u32 i = 0; i < nr_faults; i++) {
		((volatile char *)job->mem)[job->order[i] * PAGE_SIZE] = 1;
		compute();
	}
	job->end_ns = now_ns();
	return NULL;
}

static void measure(u32 nr_threads)
{
	struct job jobs[MAX_THREADS];
	u64 start = UINT64_MAX, end = 0;

	pthread_barrier_init(&gate, NULL, nr_threads);
	for (u32 i = 0; i < nr_threads; i++) {
		jobs[i].mem = map_untouched(nr_faults * PAGE_SIZE);
		jobs[i].order = shuffled(nr_faults, i + 1);
	}
	for (u32 i = 1; i < nr_threads; i++) {
		errno = pthread_create(&jobs[i].thread, NULL, run, &jobs[i]);
		if (errno)
			die("pthread_create");
	}
	run(&jobs[0]); /* with one thread, the main one: no second stack, as in barefault */
	for (u32 i = 1; i < nr_threads; i++)
		pthread_join(jobs[i].thread, NULL);
	for (u32 i = 0; i < nr_threads; i++) {
		start = u64_min(start, jobs[i].start_ns);
		end = u64_max(end, jobs[i].end_ns);
		free(jobs[i].order);
	}
	print_per_op(end - start, (u64)nr_faults * nr_threads);
}

int main(int argc, char **argv)
{
	static const char args[] = "[-t THREADS] [-w MICROSECONDS] [-n FAULTS] [-c CPU]";
	u32 nr_threads = 1;
	int opt;

	while ((opt = getopt(argc, argv, "t:w:n:c:")) != -1) {
		switch (opt) {
		case 't':
			nr_threads = (u32)atoi(optarg);
			break;
		case 'w':
			work_ns = (u64)atoi(optarg) * 1000;
			break;
		case 'n':
			nr_faults = (u32)atoi(optarg);
			break;
		case 'c':
			pin_to_cpu(atoi(optarg));
			break;
		default:
			usage(args);
		}
	}
	if (!nr_threads || nr_threads > MAX_THREADS || !nr_faults)
		usage(args);
	nr_faults = (u32)scaled(nr_faults);
	measure(nr_threads);
	return 0;
}
