// SPDX-License-Identifier: MIT
/* The program's own CPU mask: kept, inherited, and never anybody else's, at any moment. */
#include <sched.h>
#include "e2e.h"

#define AREA (64 * PAGE)

static cpu_set_t all;
static int nr_cpus, first_cpu, last_cpu;

static void expect_mask(pid_t tid, const cpu_set_t *want)
{
	cpu_set_t now;

	SYS(sched_getaffinity(tid, sizeof(now), &now));
	CHECK(CPU_EQUAL(&now, want), "mask has %d CPUs, expected %d", CPU_COUNT(&now),
	      CPU_COUNT(want));
}

static cpu_set_t only(int cpu)
{
	cpu_set_t s;

	CPU_ZERO(&s);
	CPU_SET(cpu, &s);
	return s;
}

static void touch(uint64_t tag)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA, tag);
	check_marks(p, AREA, tag);
	SYS(munmap(p, AREA));
}

/* In and after bursts of faults the mask is what it was at the start. */
static void unchanged_while_faulting(void)
{
	for (int i = 0; i < 60; i++) {
		touch(i);
		expect_mask(0, &all);
		if (i % 20 == 0)
			sleep_ms(5);
	}
}

static void set_and_kept(void)
{
	for (int i = 0; i < 20; i++) {
		int cpu = i % 2 ? last_cpu : first_cpu;
		cpu_set_t mine = only(cpu);

		SYS(sched_setaffinity(0, sizeof(mine), &mine));
		expect_mask(0, &mine);
		CHECK(sched_getcpu() == cpu, "on CPU %d, bound to %d", sched_getcpu(), cpu);
		touch(i);
		expect_mask(0, &mine);
		CHECK(sched_getcpu() == cpu, "on CPU %d, bound to %d", sched_getcpu(), cpu);
	}
	SYS(sched_setaffinity(0, sizeof(all), &all));
	expect_mask(0, &all);
}

static void child_of_bound(void *arg)
{
	cpu_set_t *mine = arg;

	expect_mask(0, mine);
	touch(1);
	expect_mask(0, mine);
	execl("/proc/self/exe", "affinity", CPU_COUNT(mine) == 1 ? "one" : "all", NULL);
	_exit(1);
}

/* Inherited over fork and exec, from a thread that faults all the while. */
static void inherited(void)
{
	cpu_set_t mine = only(last_cpu);

	for (int i = 0; i < 5; i++) {
		touch(i);
		expect_exit(fork_run(child_of_bound, &all), nr_cpus == 1 ? 31 : 32);
	}
	SYS(sched_setaffinity(0, sizeof(mine), &mine));
	for (int i = 0; i < 5; i++) {
		touch(i);
		expect_exit(fork_run(child_of_bound, &mine), 31);
	}
	SYS(sched_setaffinity(0, sizeof(all), &all));
}

static void *bound_thread(void *index)
{
	long me = (long)index;
	int cpu = me % 2 ? last_cpu : first_cpu;
	cpu_set_t mine = only(cpu);

	if (me >= 4) {
		for (int i = 0; i < 30; i++) {
			touch(i);
			expect_mask(0, &all);
		}
		return NULL;
	}
	CHECK(pthread_setaffinity_np(pthread_self(), sizeof(mine), &mine) == 0);
	for (int i = 0; i < 30; i++) {
		touch(i);
		expect_mask(0, &mine);
		CHECK(sched_getcpu() == cpu);
	}
	return NULL;
}

static void threads_with_masks(void)
{
	run_threads(8, bound_thread);
	expect_mask(0, &all);
}

static atomic_int other_tid;
static atomic_bool stop;

static void *busy_thread(void *unused)
{
	atomic_store(&other_tid, (int)syscall(SYS_gettid));
	for (int i = 0; !atomic_load(&stop); i++)
		touch(i);
	return NULL;
}

/* One thread reads and sets the mask of another that is in a burst of faults. */
static void others_mask(void)
{
	cpu_set_t mine = only(last_cpu);
	pthread_t t;

	CHECK(pthread_create(&t, NULL, busy_thread, NULL) == 0);
	while (!atomic_load(&other_tid))
		sleep_ms(1);
	for (int i = 0; i < 50; i++) {
		const cpu_set_t *want = i % 2 ? &mine : &all;

		SYS(sched_setaffinity(atomic_load(&other_tid), sizeof(*want), want));
		expect_mask(atomic_load(&other_tid), want);
		sleep_ms(1);
		expect_mask(atomic_load(&other_tid), want);
		expect_mask(0, &all);
	}
	atomic_store(&stop, true);
	CHECK(pthread_join(t, NULL) == 0);
}

static void refused(void)
{
	cpu_set_t none, *result = map_anon(PAGE);

	CPU_ZERO(&none);
	FAILS(EINVAL, sched_setaffinity(0, sizeof(none), &none));
	FAILS(EINVAL, syscall(SYS_sched_getaffinity, 0, 1, result));
	FAILS(EFAULT, syscall(SYS_sched_setaffinity, 0, 128, 8));
	FAILS(ESRCH, sched_setaffinity(0x3ffffffe, sizeof(all), &all));
	SYS(sched_getaffinity(0, sizeof(*result), result));
	CHECK(CPU_EQUAL(result, &all));
	SYS(munmap(result, PAGE));
}

int main(int argc, char **argv)
{
	SYS(sched_getaffinity(0, sizeof(all), &all));
	nr_cpus = CPU_COUNT(&all);
	if (argc == 2)
		return nr_cpus == 1 ? 31 : 32;
	CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= nr_cpus);
	for (int i = CPU_SETSIZE - 1; i >= 0; i--) {
		if (CPU_ISSET(i, &all)) {
			first_cpu = i;
			if (last_cpu < i)
				last_cpu = i;
		}
	}
	RUN(unchanged_while_faulting);
	RUN(set_and_kept);
	RUN(inherited);
	RUN(threads_with_masks);
	RUN(others_mask);
	RUN(refused);
	return 0;
}
