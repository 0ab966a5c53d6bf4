/* SPDX-License-Identifier: MIT */
/*
 * randfault.c - first-touch write faults in random page order.
 *
 *	randfault [-t THREADS] [-w MICROSECONDS] [-n FAULTS] [-s SPREAD] [-v VMAS] [-c CPU]
 *
 * Each thread touches memory of its own, n pages of it, one in each SPREAD, and computes for w µs after
 * each fault.  The memory of a thread is cut into VMAS mappings.
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
	u32 *pages;
	u64 start_ns, end_ns;
};

static u64 work_ns;
static u32 nr_faults = 32768, spread = 1, nr_vmas = 1; /* a thread */
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
		((volatile char *)job->mem)[job->pages[i] * PAGE_SIZE] = 1;
		compute();
	}
	job->end_ns = now_ns();
	return NULL;
}

static void measure(u32 nr_threads)
{
	struct job jobs[MAX_THREADS];
	u64 start = UINT64_MAX, end = 0, nr_pages = (u64)nr_faults * spread;

	pthread_barrier_init(&gate, NULL, nr_threads);
	for (u32 i = 0; i < nr_threads; i++) {
		jobs[i].mem = map_untouched(nr_pages * PAGE_SIZE);
		cut_into_vmas(jobs[i].mem, nr_pages, nr_vmas);
		jobs[i].pages = pages_to_touch(nr_faults, spread, i + 1);
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
		free(jobs[i].pages);
	}
	print_per_op(end - start, (u64)nr_faults * nr_threads);
}

static u32 parse_options(int argc, char **argv)
{
	static const char args[] =
		"[-t THREADS] [-w MICROSECONDS] [-n FAULTS] [-s SPREAD] [-v VMAS] [-c CPU]";
	u32 nr_threads = 1;
	int opt;

	while ((opt = getopt(argc, argv, "t:w:n:s:v:c:")) != -1) {
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
		case 's':
			spread = (u32)atoi(optarg);
			break;
		case 'v':
			nr_vmas = (u32)atoi(optarg);
			break;
		case 'c':
			pin_to_cpu(atoi(optarg));
			break;
		default:
			usage(args);
		}
	}
	if (!nr_threads || nr_threads > MAX_THREADS || !nr_faults || !spread || !nr_vmas)
		usage(args);
	return nr_threads;
}

int main(int argc, char **argv)
{
	u32 nr_threads = parse_options(argc, argv);

	nr_faults = (u32)scaled(nr_faults);
	nr_vmas = (u32)scaled(nr_vmas);
	measure(nr_threads);
	return 0;
}
