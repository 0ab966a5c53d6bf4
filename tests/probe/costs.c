/* SPDX-License-Identifier: MIT */
/*
 * costs.c - `probe --costs`: what taking pages away costs, in native write faults of the same run.
 *
 * Not a probe: nothing here can fail, it is a table to read (docs/KERNEL.md quotes it).  The stub's calls are
 * timed by the stub itself, in its own CPU time, between two clock_gettime commands of the same batch: a wait for
 * the other CPU's TLB is busy and counts, a wake-up does not.  Each figure is the median of ROUNDS; rounds in which
 * the program's thread was off the CPU that it should have been busy on do not count.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stubbed.h"

#define P	 PAGE_SIZE
#define NR_PAGES 128 /* every second one is taken in the scattered cases */
#define BATCH	 64
#define ROUNDS	 25

/* Places of scratch: 0 .. BATCH - 1 for the operations' own structs. */
#define PLACE_CLOCK 80
#define PLACE_IOV   100

/* Where the program's thread is. */
enum beside { ASLEEP, OTHER_CPU, SAME_CPU, NR_BESIDE };

enum { SPIN, STOP, TURNS }; /* lab->value[] */

static double fault_ns; /* the unit */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double ns[ROUNDS])
{
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	return ns[ROUNDS / 2];
}

static double clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void pin(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	EXPECT(!sched_setaffinity(pid, sizeof(set), &set));
}

static double native_write_fault(void)
{
	double ns[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		u64 len = 512 * P;
		char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		double start;

		EXPECT(at != MAP_FAILED);
		madvise(at, len, MADV_NOHUGEPAGE);
		start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		for (u64 i = 0; i < len; i += P)
			poke((u64)at + i, 1);
		ns[round] = (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / 512;
		munmap(at, len);
	}
	return median(ns);
}

static void spin_when_told(struct lab *lab)
{
	while (!atomic_load(&lab->value[STOP]))
		if (atomic_load(&lab->value[SPIN]))
			atomic_fetch_add(&lab->value[TURNS], 1);
		else
			usleep(500);
}

/* ---- the stub's operations ---- */

static void place_program(struct stubbed *t, enum beside beside)
{
	pin(t->pid, 0);
	pin(t->s.pid, beside != SAME_CPU); /* asleep it has run there before */
	pin(0, beside == SAME_CPU);
	atomic_store(&t->s.lab->value[SPIN], beside != ASLEEP);
	usleep(2000);
}

static void queue_clock(struct stubbed *t, u32 place)
{
	stub_queue(&t->stub, &(struct stub_cmd){.nr = SYS_clock_gettime,
						.arg = {CLOCK_THREAD_CPUTIME_ID,
							stub_scratch(&t->stub, place)}});
}

static double clock_at(struct stubbed *t, u32 place)
{
	struct timespec *ts = stub_scratch_ours(&t->stub, place);

	return (double)ts->tv_sec * 1e9 + (double)ts->tv_nsec;
}

/* Run what was queued; every result must be `want` (a clock's is 0). */
static void run_batch(struct stubbed *t, s64 want)
{
	s64 result[STUB_RING];
	u32 nr;

	stub_kick(&t->stub);
	stubbed_wait_event(t);
	nr = stub_collect(&t->stub, result, STUB_RING);
	for (u32 i = 0; i < nr; i++)
		EXPECT(result[i] == want || result[i] == 0);
}

static void fill_again(struct stubbed *t)
{
	for (u64 i = 0; i < NR_PAGES; i++) {
		int err = fill_page(t->s.uffd, t->mem + i * P, 1, 0);

		EXPECT(err == 0 || err == -EEXIST);
	}
	EXPECT_EQ(uffd_writeprotect(t->s.uffd, range_of(t->mem, t->len), false, true), 0);
}

/* Nanoseconds a page of the operations that queue() gives; every result 0 or `want`.  0: the program never ran. */
static double time_stub(struct stubbed *t, enum beside beside, void (*queue)(struct stubbed *t, u32 nr),
			u32 nr, s64 want)
{
	double ns[ROUNDS];

	for (int round = 0, tries = 0; round < ROUNDS; tries++) {
		double start;
		long turns;

		if (tries == 40 * ROUNDS)
			return 0;
		fill_again(t);
		queue_clock(t, PLACE_CLOCK);
		queue(t, nr);
		queue_clock(t, PLACE_CLOCK + 1);
		turns = atomic_load(&t->s.lab->value[TURNS]);
		start = clock_ns(CLOCK_MONOTONIC);
		run_batch(t, want);
		turns = atomic_load(&t->s.lab->value[TURNS]) - turns;
		ns[round] = clock_at(t, PLACE_CLOCK + 1) - clock_at(t, PLACE_CLOCK);
		/* A turn takes some 10 ns, an interrupt for the TLB many times that. */
		round += beside != OTHER_CPU || (double)turns > (clock_ns(CLOCK_MONOTONIC) - start) / 200;
		EXPECT_EQ(stubbed_madvise(t, t->staging, t->len, MADV_DONTNEED), 0);
	}
	return median(ns) / nr;
}

static void queue_dontneed(struct stubbed *t, u32 nr)
{
	for (u64 i = 0; i < nr; i++)
		stub_queue(&t->stub, &(struct stub_cmd){.nr = SYS_madvise,
							.arg = {t->mem + 2 * i * P, P, MADV_DONTNEED}});
}

static void queue_dontneed_range(struct stubbed *t, u32 nr)
{
	stub_queue(&t->stub,
		   &(struct stub_cmd){.nr = SYS_madvise, .arg = {t->mem, nr * P, MADV_DONTNEED}});
}

static void queue_vector(struct stubbed *t, u32 nr)
{
	struct iovec *iov = stub_scratch_ours(&t->stub, PLACE_IOV);

	for (u64 i = 0; i < nr; i++)
		iov[i] = (struct iovec){(void *)(t->mem + 2 * i * P), P};
	stub_queue(&t->stub, &(struct stub_cmd){.nr = __NR_process_madvise,
						.arg = {(u64)PIDFD_SELF_THREAD_GROUP,
							stub_scratch(&t->stub, PLACE_IOV), nr,
							MADV_DONTNEED}});
}

static void queue_one_move(struct stubbed *t, u32 place, u64 page, u64 nr)
{
	struct uffdio_move *op = stub_scratch_ours(&t->stub, place);

	*op = (struct uffdio_move){
		.dst = t->staging + page * P, .src = t->mem + page * P, .len = nr * P};
	stub_queue(&t->stub, &(struct stub_cmd){.nr = SYS_ioctl,
						.arg = {(u64)t->their_uffd, UFFDIO_MOVE,
							stub_scratch(&t->stub, place)}});
}

static void queue_moves(struct stubbed *t, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		queue_one_move(t, i, 2 * i, 1);
}

static void queue_moves_of_4(struct stubbed *t, u32 nr)
{
	for (u32 i = 0; i < nr / 4; i++)
		queue_one_move(t, i, 8 * i, 4);
}

static void queue_protect(struct stubbed *t, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		struct uffdio_writeprotect *op = stub_scratch_ours(&t->stub, i);

		*op = (struct uffdio_writeprotect){{t->mem + 2 * i * P, P}, UFFDIO_WRITEPROTECT_MODE_WP};
		stub_queue(&t->stub, &(struct stub_cmd){.nr = SYS_ioctl,
							.arg = {(u64)t->their_uffd, UFFDIO_WRITEPROTECT,
								stub_scratch(&t->stub, i)}});
	}
}

static void queue_move_range(struct stubbed *t, u32 nr)
{
	queue_one_move(t, 0, 0, nr);
}

static void queue_nothing(struct stubbed *t, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		stub_queue(&t->stub, &(struct stub_cmd){.nr = SYS_gettimeofday});
}

struct operation {
	const char *name;
	void (*queue)(struct stubbed *t, u32 nr);
	u32 nr;
	bool vector; /* process_madvise: its result is the length */
};

static const struct operation operations[] = {
	{"a command that does nothing", queue_nothing, BATCH, false},
	{"madvise(DONTNEED), 1 page", queue_dontneed, 1, false},
	{"madvise(DONTNEED), 16 scattered pages", queue_dontneed, 16, false},
	{"madvise(DONTNEED), 64 scattered pages", queue_dontneed, 64, false},
	{"madvise(DONTNEED), 64 pages in a row", queue_dontneed_range, 64, false},
	{"process_madvise(DONTNEED), 1 page", queue_vector, 1, true},
	{"process_madvise(DONTNEED), 16 scattered pages", queue_vector, 16, true},
	{"process_madvise(DONTNEED), 64 scattered pages", queue_vector, 64, true},
	{"UFFDIO_MOVE, 1 page", queue_moves, 1, false},
	{"UFFDIO_MOVE, 16 scattered pages", queue_moves, 16, false},
	{"UFFDIO_MOVE, 64 scattered pages", queue_moves, 64, false},
	{"UFFDIO_MOVE, 16 scattered rows of 4 pages", queue_moves_of_4, 64, false},
	{"UFFDIO_MOVE, 64 pages in a row", queue_move_range, 64, false},
	{"UFFDIO_WRITEPROTECT, 64 scattered pages", queue_protect, 64, false},
};

static void table_of_operations(struct stubbed *t)
{
	bool has_vector = stubbed_call(t, __NR_process_madvise, (u64)PIDFD_SELF_THREAD_GROUP, 0, 0,
				       MADV_DONTNEED, 0) == 0;

	printf("\nby the stub, a page                           asleep  on another  on the stub's CPU\n");
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		const struct operation *op = &operations[i];
		double ns;

		if (op->vector && !has_vector)
			continue; /* 6.14 */
		printf("%-45s", op->name);
		for (enum beside beside = 0; beside < NR_BESIDE; beside++) {
			place_program(t, beside);
			ns = time_stub(t, beside, op->queue, op->nr, op->vector ? (s64)(op->nr * P) : 0);
			if (ns > 0)
				printf(" %7.2f", ns / fault_ns);
			else
				printf(" %7s", "?");
		}
		printf("\n");
	}
	place_program(t, ASLEEP);
}

/* ---- a command and its answer ---- */

static void round_trip(struct stubbed *t, int cpu, u32 spin)
{
	double ns[ROUNDS];

	pin(0, 0);
	pin(t->pid, cpu);
	stub_set_spin(&t->stub, spin);
	for (int round = 0; round < ROUNDS; round++) {
		double start = clock_ns(CLOCK_MONOTONIC);

		for (int i = 0; i < 40; i++)
			stubbed_call(t, SYS_getppid, 0, 0, 0, 0, 0);
		ns[round] = (clock_ns(CLOCK_MONOTONIC) - start) / 40;
	}
	printf("stub on %s CPU, %7u turns before it sleeps  %7.2f\n", cpu ? "another" : "our    ", spin,
	       median(ns) / fault_ns);
}

/* ---- one page back from staging, the two ways ---- */

static void time_back(struct stubbed *t)
{
	double move_ns[ROUNDS], copy_ns[ROUNDS];
	u8 bytes[P];
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", t->s.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0);
	pin(0, 0);
	pin(t->pid, 0);
	stub_set_spin(&t->stub, 0);
	for (int round = 0; round < ROUNDS; round++) {
		double start;
		u64 done;

		fill_again(t);
		EXPECT_EQ(stubbed_move(t, t->staging, t->mem, 2 * P, 0, NULL), 0);
		start = clock_ns(CLOCK_MONOTONIC);
		EXPECT_EQ(stubbed_move(t, t->mem, t->staging, P, 0, NULL), 0);
		move_ns[round] = clock_ns(CLOCK_MONOTONIC) - start;
		start = clock_ns(CLOCK_MONOTONIC);
		EXPECT_EQ(pread(fd, bytes, P, (off_t)(t->staging + P)), P);
		EXPECT_EQ(uffd_copy(t->s.uffd, t->mem + P, bytes, P, 0, &done), 0);
		copy_ns[round] = clock_ns(CLOCK_MONOTONIC) - start;
		EXPECT_EQ(stubbed_madvise(t, t->staging, t->len, MADV_DONTNEED), 0);
	}
	close(fd);
	printf("MOVE by the stub, held on our CPU            %7.2f\n", median(move_ns) / fault_ns);
	printf("read from /proc/PID/mem and COPY             %7.2f\n", median(copy_ns) / fault_ns);
}

/* ---- reading from outside ---- */

static void time_reads(struct stubbed *t, u64 nr)
{
	static u8 bytes[BATCH * P];
	double pread_ns[ROUNDS], readv_ns[ROUNDS];
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", t->s.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0);
	for (int round = 0; round < ROUNDS; round++) {
		double start = clock_ns(CLOCK_MONOTONIC);

		for (u64 i = 0; i < NR_PAGES; i += nr)
			EXPECT_EQ(pread(fd, bytes, nr * P, (off_t)(t->mem + i * P)), nr * P);
		pread_ns[round] = (clock_ns(CLOCK_MONOTONIC) - start) / NR_PAGES;
		start = clock_ns(CLOCK_MONOTONIC);
		for (u64 i = 0; i < NR_PAGES; i += nr) {
			struct iovec ours = {bytes, nr * P}, theirs = {(void *)(t->mem + i * P), nr * P};

			EXPECT_EQ(process_vm_readv(t->s.pid, &ours, 1, &theirs, 1, 0), nr * P);
		}
		readv_ns[round] = (clock_ns(CLOCK_MONOTONIC) - start) / NR_PAGES;
	}
	close(fd);
	printf("pread of /proc/PID/mem, %2d pages%13s %7.2f\n", (int)nr, "", median(pread_ns) / fault_ns);
	printf("process_vm_readv, %2d pages%19s %7.2f\n", (int)nr, "", median(readv_ns) / fault_ns);
}

void probe_costs(void)
{
	struct stubbed t;

	pin(0, 0);
	fault_ns = native_write_fault();
	printf("unit: a native write fault, %.0f ns; medians of %d rounds\n", fault_ns, ROUNDS);
	t = stubbed_start(NR_PAGES, FEATURES_RUN | UFFD_FEATURE_MOVE, spin_when_told);
	table_of_operations(&t);
	printf("\na command and its event, as we see it\n");
	round_trip(&t, 0, 0);
	round_trip(&t, 0, 2000);
	round_trip(&t, 1, 0);
	round_trip(&t, 1, 2000);
	round_trip(&t, 1, 1000000);
	printf("\none page back from staging, as we see it\n");
	time_back(&t);
	printf("\nreading present pages from outside, a page\n");
	for (u64 i = 0; i < NR_PAGES; i++)
		EXPECT(fill_page(t.s.uffd, t.mem + i * P, 1, 0) != -EAGAIN);
	time_reads(&t, 1);
	time_reads(&t, BATCH);
	stub_set_spin(&t.stub, 0);
	atomic_store(&t.s.lab->value[STOP], 1);
	stubbed_end(&t);
}
