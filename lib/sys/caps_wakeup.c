/* SPDX-License-Identifier: MIT */
/*
 * caps_wakeup.c - what it costs here to wake another process, and to have a fault answered.
 *
 * Called by `upager doctor` (caps.h).  The figures decide where the pager should answer a fault: on
 * the faulting thread's CPU, or elsewhere.  Each is the median of short rounds, because one
 * interrupt spoils a mean.  Start reading at caps_measure_wakeup().
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys/caps.h"
#include "sys/uapi.h"

#define NR_ROUNDS 100

/* Where the two processes of a measurement run; -1: anywhere. */
struct placement {
	int asker_cpu;
	int answerer_cpu;
	bool spin; /* the answerer polls instead of sleeping */
};

static u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void run_on(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int compare_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 median(u64 *v, size_t nr)
{
	qsort(v, nr, sizeof(*v), compare_u64);
	return v[nr / 2];
}

/* Fork a child that dies with us.  Return as fork(). */
static pid_t fork_helper(void)
{
	pid_t parent = getpid(), pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
	}
	return pid;
}

static void end_helper(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Answer every event on `in` by one on `out`, for ever. */
static _Noreturn void answer_events(int in, int out, bool spin)
{
	eventfd_t v;

	if (spin)
		fcntl(in, F_SETFL, O_NONBLOCK);
	for (;;) {
		if (eventfd_read(in, &v) == 0)
			eventfd_write(out, 1);
	}
}

/* Return: ns of one round trip by eventfd between two processes, 0 if it could not be measured. */
static u64 measure_ping(struct placement where)
{
	int ping = eventfd(0, EFD_CLOEXEC), pong = eventfd(0, EFD_CLOEXEC);
	u64 ns[NR_ROUNDS], result = 0;
	cpu_set_t before;
	eventfd_t v;
	pid_t pid;

	sched_getaffinity(0, sizeof(before), &before);
	if (ping < 0 || pong < 0)
		goto out_close;
	pid = fork_helper();
	if (!pid) {
		run_on(where.answerer_cpu);
		answer_events(ping, pong, where.spin);
	}
	if (pid < 0)
		goto out_close;
	run_on(where.asker_cpu);
	for (int i = 0; i < NR_ROUNDS; i++) {
		u64 start = now_ns();

		eventfd_write(ping, 1);
		eventfd_read(pong, &v);
		ns[i] = now_ns() - start;
	}
	result = median(ns, NR_ROUNDS);
	end_helper(pid);
out_close:
	sched_setaffinity(0, sizeof(before), &before);
	close(ping);
	close(pong);
	return result;
}

/* Answer write faults on `uffd` by a zeroed page, for ever. */
static _Noreturn void answer_faults(int uffd)
{
	static char zeroes[4096] __attribute__((aligned(4096)));
	struct uffdio_copy copy = {.src = (u64)zeroes, .len = PAGE_SIZE};
	struct uffd_msg msg;

	for (;;) {
		if (read(uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		copy.dst = page_align_down(msg.arg.pagefault.address);
		ioctl(uffd, UFFDIO_COPY, &copy);
	}
}

/* A userfaultfd (blocking reads) over `r`, or -1. */
static int uffd_over(struct range r)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {
		.range = {r.start, range_len(r)},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (uffd < 0)
		return -1;
	if (ioctl(uffd, UFFDIO_API, &api) || ioctl(uffd, UFFDIO_REGISTER, &reg)) {
		close(uffd);
		return -1;
	}
	return uffd;
}

/* Return: ns of one first-touch write fault that another process answers; 0: not measurable. */
static u64 measure_fault(struct placement where)
{
	const size_t len = NR_ROUNDS * PAGE_SIZE;
	u64 ns[NR_ROUNDS], result = 0;
	volatile char *mem =
		mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	cpu_set_t before;
	int uffd;
	pid_t pid;

	if (mem == MAP_FAILED)
		return 0;
	sched_getaffinity(0, sizeof(before), &before);
	uffd = uffd_over(range_of((u64)mem, len));
	if (uffd < 0)
		goto out_unmap;
	pid = fork_helper();
	if (!pid) {
		run_on(where.answerer_cpu);
		answer_faults(uffd);
	}
	close(uffd);
	if (pid < 0)
		goto out_unmap;
	run_on(where.asker_cpu);
	for (int i = 0; i < NR_ROUNDS; i++) {
		u64 start = now_ns();

		mem[i * PAGE_SIZE] = 1;
		ns[i] = now_ns() - start;
	}
	result = median(ns, NR_ROUNDS);
	end_helper(pid);
	sched_setaffinity(0, sizeof(before), &before);
out_unmap:
	munmap((void *)mem, len);
	return result;
}

/* The first two CPUs that we may run on; -1 where there is none. */
static void two_cpus(int cpu[2])
{
	cpu_set_t set;
	int nr = 0;

	cpu[0] = cpu[1] = -1;
	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (int i = 0; i < CPU_SETSIZE && nr < 2; i++) {
		if (CPU_ISSET(i, &set))
			cpu[nr++] = i;
	}
}

void caps_measure_wakeup(struct caps_wakeup *out)
{
	int cpu[2];

	memset(out, 0, sizeof(*out));
	two_cpus(cpu);
	out->same_cpu_ns = measure_ping((struct placement){cpu[0], cpu[0], false});
	out->unpinned_ns = measure_ping((struct placement){-1, -1, false});
	out->fault_same_cpu_ns = measure_fault((struct placement){cpu[0], cpu[0], false});
	if (cpu[1] < 0)
		return;
	out->other_cpu_ns = measure_ping((struct placement){cpu[0], cpu[1], false});
	out->spin_ns = measure_ping((struct placement){cpu[0], cpu[1], true});
	out->fault_other_cpu_ns = measure_fault((struct placement){cpu[0], cpu[1], false});
}
