/* SPDX-License-Identifier: MIT */
/*
 * stub.c - probes: the stub of lib/sys runs what it is told, in order, and cannot be led astray.
 *
 * Not facts about the kernel but about our own code; they are here because they need a subject.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stubbed.h"

#define SPIN	      2000 /* some 50 us */
#define FEATURES_MOVE (FEATURES_RUN | UFFD_FEATURE_MOVE)

static void do_nothing(struct lab *lab)
{
}

static void wait_for_step_1(struct lab *lab)
{
	lab_hold(lab, 1);
}

/* A small generator with the same numbers everywhere. */
static u32 next_random(u64 *seed, u32 below)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return (u32)(*seed >> 33) % below;
}

/* ---- one call ---- */

static bool maps_show_offset(pid_t pid, u64 addr, u64 offset)
{
	char path[32], line[512];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	EXPECT(maps);
	while (!found && fgets(line, sizeof(line), maps)) {
		u64 start, end, off;

		EXPECT_EQ(sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &start, &end, &off), 3);
		found = start <= addr && addr < end && off + (addr - start) == offset;
	}
	fclose(maps);
	return found;
}

PROBE(stub_call, "the stub makes a call with our five arguments and the secret as the sixth, in the "
		 "program's memory, and gives back its result")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, wait_for_step_1);
	s64 at;

	EXPECT_EQ(stubbed_call(&t, SYS_getpid, 0, 0, 0, 0, 0), t.pid);
	EXPECT_EQ(stubbed_call(&t, SYS_close, (u64)-1, 0, 0, 0, 0), -EBADF);
	at = stubbed_call(&t, SYS_mmap, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, (u64)t.stub.fd);
	EXPECT(at > 0);
	EXPECT(maps_show_offset(t.s.pid, (u64)at, STUBBED_SECRET));
	lab_let(t.s.lab, 1);
	stubbed_end(&t);
}

PROBE(stub_pages, "the program cannot write what steers the stub: its code and its commands")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, do_nothing);

	for (u64 n = 0; n < STUB_PAGES; n++) { /* the last byte of each page is padding or scratch */
		bool results = stub_page_prot((unsigned int)n) & PROT_WRITE;

		EXPECT_EQ(results, n >= STUB_RESULTS / PAGE_SIZE);
		EXPECT_EQ(stubbed_call(&t, SYS_getrandom, t.stub.base + (n + 1) * PAGE_SIZE - 1, 1, 0,
				       0, 0),
			  results ? 1 : -EFAULT);
	}
	stubbed_end(&t);
}

/* ---- batches ---- */

/* A command whose result is known: to seek in the memfd gives the place. */
static struct stub_cmd seek_to(const struct stubbed *t, u64 place)
{
	return (struct stub_cmd){.nr = SYS_lseek, .arg = {(u64)t->stub.fd, place, SEEK_SET}};
}

static void queue_seeks(struct stubbed *t, u32 nr, u64 *next)
{
	while (nr--) {
		struct stub_cmd cmd = seek_to(t, (*next)++);

		stub_queue(&t->stub, &cmd);
	}
}

/* Take up to max results, which must be *next, *next + 1, ... */
static u32 take_seeks(struct stubbed *t, u32 max, u64 *next)
{
	s64 result[STUB_RING];
	u32 nr = stub_collect(&t->stub, result, max);

	EXPECT(nr <= max);
	for (u32 i = 0; i < nr; i++)
		EXPECT_EQ(result[i], (*next)++);
	return nr;
}

static void one_event_a_batch(struct stubbed *t, u32 spin)
{
	u64 seed = 11, given = 0, taken = 0;

	stub_set_spin(&t->stub, spin);
	for (int round = 0; round < 2000; round++) {
		u32 nr = 1 + next_random(&seed, STUB_RING);

		if (round % 8 == 0)
			nr = STUB_RING;
		EXPECT_EQ(stub_room(&t->stub), STUB_RING);
		queue_seeks(t, nr, &given);
		EXPECT_EQ(take_seeks(t, STUB_RING, &taken), 0); /* not yet published */
		stub_kick(&t->stub);
		EXPECT_EQ(stubbed_wait_event(t), 1);
		EXPECT_EQ(take_seeks(t, STUB_RING, &taken), nr);
	}
}

PROBE(stub_batch, "the stub runs a batch in order, whole rings too, and says once that it has run dry")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, do_nothing);

	one_event_a_batch(&t, SPIN);
	stubbed_end(&t);
}

PROBE(stub_batch_no_spin, "the same when the stub sleeps at once")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, do_nothing);

	one_event_a_batch(&t, 0);
	stubbed_end(&t);
}

static void nap(u64 *seed)
{
	if (next_random(seed, 4) == 0)
		usleep(next_random(seed, 80));
}

/*
 * Naps of about the length that the stub spins, kicks while it runs, results taken in pieces.  A wake-up that
 * is lost shows as an event that never comes.
 */
static void race(struct stubbed *t, u32 spin, u64 seed)
{
	u64 given = 0, taken = 0;

	stub_set_spin(&t->stub, spin);
	for (int round = 0; round < 4000; round++) {
		u32 nr = next_random(&seed, stub_room(&t->stub) + 1);

		queue_seeks(t, nr < 40 ? nr : nr % 40, &given);
		stub_kick(&t->stub);
		nap(&seed);
		take_seeks(t, 1 + next_random(&seed, STUB_RING), &taken);
		if (next_random(&seed, 3))
			continue;
		while (taken < given) /* the last result is always followed by an event */
			if (!take_seeks(t, STUB_RING, &taken))
				stubbed_wait_event(t);
	}
}

PROBE(stub_race, "no wake-up is lost between us and a stub that spins or sleeps")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, do_nothing);

	race(&t, 0, 1);
	stubbed_end(&t);
	t = stubbed_start(1, FEATURES_RUN, do_nothing);
	race(&t, 200, 2);
	stubbed_end(&t);
	t = stubbed_start(1, FEATURES_RUN, do_nothing);
	race(&t, SPIN, 3);
	stubbed_end(&t);
}

/* Whether the stub comes to its next instruction within 100 ms: not when it sleeps. */
static bool step(pid_t pid)
{
	EXPECT(!ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
	for (int i = 0; i < 1000; i++) {
		pid_t got = waitpid(pid, NULL, WNOHANG | __WALL);

		EXPECT(got >= 0);
		if (got)
			return true;
		usleep(100);
	}
	return false;
}

/* Stop the stub, give it a command, let it do `steps` instructions, give it another.  False: it slept first. */
static bool kick_after(struct stubbed *t, int steps, u64 *given)
{
	bool awake = true;

	EXPECT(!ptrace(PTRACE_INTERRUPT, t->pid, 0, 0));
	reap(t->pid);
	queue_seeks(t, 1, given);
	stub_kick(&t->stub);
	while (awake && steps--)
		awake = step(t->pid);
	queue_seeks(t, 1, given);
	stub_kick(&t->stub);
	if (!awake)
		reap(t->pid); /* the step ends */
	EXPECT(!ptrace(PTRACE_CONT, t->pid, 0, 0));
	return awake;
}

PROBE(stub_race_stepped, "a command given between any two instructions of the stub is carried out")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, do_nothing);
	u64 given = 0, taken = 0;
	int steps = 0;

	stub_set_spin(&t.stub, 1);
	EXPECT(!ptrace(PTRACE_SEIZE, t.pid, 0, 0));
	while (kick_after(&t, steps, &given)) {
		while (taken < given)
			if (!take_seeks(&t, STUB_RING, &taken))
				stubbed_wait_event(&t);
		steps++;
	}
	EXPECT(steps > 40); /* once around is about 50 instructions */
	EXPECT(!ptrace(PTRACE_INTERRUPT, t.pid, 0, 0));
	reap(t.pid);
	EXPECT(!ptrace(PTRACE_DETACH, t.pid, 0, 0));
	stubbed_end(&t);
}

PROBE(stub_signals, "signals do not reach the stub; stopped and continued in its sleep it goes on")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, wait_for_step_1);

	for (u32 spin = 0; spin <= SPIN; spin += SPIN) {
		stub_set_spin(&t.stub, spin);
		for (int sig = 1; sig <= SIGRTMAX; sig++) {
			if (sig == SIGKILL || sig == SIGSTOP || (sig > SIGSYS && sig < SIGRTMIN))
				continue;
			EXPECT(!kill(t.pid, sig));
			EXPECT_EQ(stubbed_call(&t, SYS_getpid, 0, 0, 0, 0, 0), t.pid);
		}
		sleep_ms(20); /* asleep */
		EXPECT(!kill(t.pid, SIGSTOP));
		sleep_ms(20);
		stubbed_begin(&t, SYS_getpid, 0, 0, 0, 0, 0);
		EXPECT(!kill(t.pid, SIGCONT));
		EXPECT_EQ(stubbed_finish(&t), t.pid);
	}
	lab_let(t.s.lab, 1);
	stubbed_end(&t);
}

/* ---- what it is for ---- */

static u8 byte_of(u64 page, u64 at)
{
	return (u8)(page * 7 + at * 13 + 1);
}

static void fill_pattern(struct stubbed *t)
{
	for (u64 page = 0; page < t->len / PAGE_SIZE; page++) {
		u8 bytes[PAGE_SIZE];
		u64 done;

		for (u64 at = 0; at < PAGE_SIZE; at++)
			bytes[at] = byte_of(page, at);
		EXPECT_EQ(uffd_copy(t->s.uffd, t->mem + page * PAGE_SIZE, bytes, PAGE_SIZE, 0, &done), 0);
	}
}

static void expect_pattern(struct stubbed *t, u64 where)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", t->s.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0);
	for (u64 page = 0; page < t->len / PAGE_SIZE; page++) {
		u8 bytes[PAGE_SIZE];

		EXPECT_EQ(pread(fd, bytes, PAGE_SIZE, (off_t)(where + page * PAGE_SIZE)), PAGE_SIZE);
		for (u64 at = 0; at < PAGE_SIZE; at++)
			EXPECT_EQ(bytes[at], byte_of(page, at));
	}
	close(fd);
}

/* Move every page by a command of its own, all in one batch. */
static void move_all(struct stubbed *t, u64 dst, u64 src)
{
	u64 nr = t->len / PAGE_SIZE;
	s64 result[STUB_RING];

	for (u64 page = 0; page < nr; page++) {
		u32 index = (u32)t->stub.head % STUB_RING;
		struct uffdio_move *op = stub_scratch_ours(&t->stub, index);

		*op = (struct uffdio_move){.dst = dst + page * PAGE_SIZE,
					   .src = src + page * PAGE_SIZE,
					   .len = PAGE_SIZE};
		stub_queue(&t->stub, &(struct stub_cmd){.nr = SYS_ioctl,
							.arg = {(u64)t->their_uffd, UFFDIO_MOVE,
								stub_scratch(&t->stub, index)}});
	}
	stub_kick(&t->stub);
	EXPECT_EQ(stubbed_wait_event(t), 1);
	EXPECT_EQ(stub_collect(&t->stub, result, STUB_RING), nr);
	for (u64 page = 0; page < nr; page++)
		EXPECT_EQ(result[page], 0);
}

PROBE(stub_moves, "pages that the stub moves to staging and back 200 times keep their bytes")
{
	struct stubbed t = stubbed_start(STUB_RING, FEATURES_MOVE, do_nothing);

	fill_pattern(&t);
	for (int round = 0; round < 200; round++) {
		move_all(&t, t.staging, t.mem);
		if (round % 50 == 0)
			expect_pattern(&t, t.staging);
		move_all(&t, t.mem, t.staging);
	}
	expect_pattern(&t, t.mem);
	stubbed_end(&t);
}

PROBE(stub_waits, "the stub's own fault in MADV_POPULATE_WRITE is ours to answer; the batch goes on after it")
{
	struct stubbed t = stubbed_start(2, FEATURES_RUN, do_nothing);
	s64 result[3];

	EXPECT_EQ(fill_page(t.s.uffd, t.mem, 5, 0), 0);
	EXPECT_EQ(stubbed_madvise(&t, t.mem, PAGE_SIZE, MADV_DONTNEED), 0);
	stub_queue(&t.stub, &(struct stub_cmd){.nr = SYS_getpid});
	stub_queue(&t.stub, &(struct stub_cmd){.nr = SYS_madvise,
					       .arg = {t.mem, PAGE_SIZE, MADV_POPULATE_WRITE}});
	stub_queue(&t.stub, &(struct stub_cmd){.nr = SYS_getppid});
	stub_kick(&t.stub);
	EXPECT_EQ(expect_fault(t.s.uffd, t.mem, UFFD_PAGEFAULT_FLAG_WRITE).arg.pagefault.feat.ptid, t.pid);
	EXPECT_EQ(stub_collect(&t.stub, result, 3), 1); /* what was done before it can be taken */
	EXPECT_EQ(result[0], t.pid);
	EXPECT_EQ(fill_page(t.s.uffd, t.mem, 6, 0), 0);
	EXPECT_EQ(stubbed_wait_event(&t), 1);
	EXPECT_EQ(stub_collect(&t.stub, result, 3), 2);
	EXPECT_EQ(result[0], 0);
	EXPECT_EQ(result[1], t.s.pid);
	stubbed_end(&t);
}

PROBE(stub_exit, "the stub exits with status 0 after the commands before, from its sleep too")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, do_nothing);
	u64 given = 0, taken = 0;

	stub_set_spin(&t.stub, 0);
	sleep_ms(20);
	queue_seeks(&t, 100, &given);
	stubbed_end(&t); /* its exit command is number 101 of the batch */
	t = stubbed_start(1, FEATURES_RUN, do_nothing);
	given = 0;
	queue_seeks(&t, 100, &given);
	stub_queue(&t.stub, &(struct stub_cmd){.nr = STUB_CMD_EXIT});
	stub_kick(&t.stub);
	subject_end(&t.s); /* the program has seen the stub's status */
	EXPECT_EQ(take_seeks(&t, STUB_RING, &taken), 100);
	EXPECT_EQ(stub_room(&t.stub), STUB_RING - 1); /* the exit has no result */
}

/* ---- a hostile program ---- */

PROBE(stub_false_tail, "a tail that cannot be is taken for nothing done; never more than was published")
{
	struct stub stub;
	s64 result[STUB_RING];
	_Atomic u64 *tail;
	u8 *area;

	EXPECT_EQ(stub_create(&stub, stub_open_memfd(), 0, 0), 0);
	area = mmap(NULL, STUB_AREA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, stub.fd, 0);
	EXPECT(area != MAP_FAILED);
	tail = (_Atomic u64 *)(area + STUB_RESULTS + STUB_TAIL);
	for (int i = 0; i < 10; i++)
		stub_queue(&stub, &(struct stub_cmd){.nr = SYS_getpid});
	atomic_store(tail, 10); /* not published: cannot be done */
	EXPECT_EQ(stub_collect(&stub, result, STUB_RING), 0);
	stub_kick(&stub);
	for (u64 lie = 11; lie; lie <<= 1) {
		atomic_store(tail, lie);
		EXPECT_EQ(stub_collect(&stub, result, STUB_RING), 0);
		atomic_store(tail, -lie);
		EXPECT_EQ(stub_collect(&stub, result, STUB_RING), 0);
	}
	atomic_store(tail, 7);
	EXPECT_EQ(stub_collect(&stub, result, 3), 3);
	atomic_store(tail, 2); /* back behind what was taken */
	EXPECT_EQ(stub_collect(&stub, result, STUB_RING), 0);
	atomic_store(tail, 10);
	EXPECT_EQ(stub_collect(&stub, result, STUB_RING), 7);
	EXPECT_EQ(stub_room(&stub), STUB_RING);
	stub_destroy(&stub);
}

/* A thread of the program writes all over the results until it is told to stop. */
static void *scribble(void *arg)
{
	struct lab *lab = arg;
	u64 results = (u64)atomic_load(&lab->value[0]) + STUB_RESULTS, seed = 5;

	while (!atomic_load(&lab->value[1])) {
		volatile u64 *tail = (volatile u64 *)results, honest = *tail;

		*tail = honest + (next_random(&seed, 3) ? next_random(&seed, 5) : (u64)next_random(&seed, 99) << 40);
		memset((void *)(results + STUB_RES), (int)next_random(&seed, 256), STUB_RING * 8);
		memset((void *)(results + PAGE_SIZE), (int)next_random(&seed, 256), PAGE_SIZE);
		usleep(next_random(&seed, 20));
		*tail = honest + next_random(&seed, 5);
		usleep(next_random(&seed, 20));
	}
	return NULL;
}

static void scribble_in_thread(struct lab *lab)
{
	pthread_t thread;

	lab_hold(lab, 1);
	EXPECT(!pthread_create(&thread, NULL, scribble, lab));
	pthread_join(thread, NULL);
	lab_reach(lab, 2);
	lab_hold(lab, 2);
}

PROBE(stub_hostile, "whatever a program writes to the results, we take no more than we gave, nothing is written "
		    "out of bounds, and the stub goes on")
{
	struct stubbed t = stubbed_start(1, FEATURES_RUN, scribble_in_thread);
	struct {
		u64 before;
		s64 result[STUB_RING];
		u64 after;
	} box = {.before = 0x1234, .after = 0x5678};
	u64 seed = 9, nr_given = 0, nr_taken = 0;

	atomic_store(&t.s.lab->value[0], (long)t.stub.base);
	lab_let(t.s.lab, 1);
	for (int round = 0; round < 20000; round++) {
		u32 room = stub_room(&t.stub), max = 1 + next_random(&seed, STUB_RING), n;

		EXPECT(room <= STUB_RING);
		n = next_random(&seed, room + 1);
		nr_given += n;
		while (n--)
			stub_queue(&t.stub, &(struct stub_cmd){.nr = SYS_getpid});
		stub_kick(&t.stub);
		n = stub_collect(&t.stub, box.result, max);
		EXPECT(n <= max);
		nr_taken += n;
		EXPECT(nr_taken <= nr_given);
		nap(&seed);
	}
	EXPECT(nr_taken > 0);
	EXPECT_EQ(box.before, 0x1234);
	EXPECT_EQ(box.after, 0x5678);
	atomic_store(&t.s.lab->value[1], 1);
	lab_await(t.s.lab, 2);
	/* The stub counts in a register: woken, it writes the true tail again. */
	for (int i = 0; i < 1000 && t.stub.seen != t.stub.head; i++) {
		stub_kick(&t.stub);
		sleep_ms(1);
		stub_collect(&t.stub, box.result, STUB_RING);
	}
	EXPECT_EQ(stub_room(&t.stub), STUB_RING);
	stubbed_wait_event(&t);
	EXPECT_EQ(stubbed_call(&t, SYS_getpid, 0, 0, 0, 0, 0), t.pid);
	lab_let(t.s.lab, 2);
	stubbed_end(&t);
}
