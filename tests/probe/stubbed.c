/* SPDX-License-Identifier: MIT */
/*
 * stubbed.c - starts and drives a stub in a subject (see stubbed.h).
 */
#include "stubbed.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What the child needs to know; set before it is forked. */
static struct stub new_stub;
static int new_event;
static void (*new_program)(struct lab *lab);

/* What the child tells, from the end of lab->value[]. */
enum { STUB_PID = 13, AREA, STAGING };

static void map_area(u64 base)
{
	for (unsigned int n = 0; n < STUB_PAGES; n++)
		EXPECT(mmap((void *)(base + n * PAGE_SIZE), PAGE_SIZE, stub_page_prot(n),
			    MAP_SHARED | MAP_FIXED, new_stub.fd, (off_t)(n * PAGE_SIZE)) != MAP_FAILED);
	EXPECT(!madvise((void *)base, STUB_AREA_SIZE, MADV_DONTFORK));
}

/* What a new stub looks like to the kernel: no signals (see child_with_stub), nothing of the program's but its memory. */
static int become_stub(void *arg)
{
	const struct stub_regs *regs = arg;

	__asm__ volatile("movq %0, %%rsp; jmp *%1"
			 :
			 : "r"(regs->rsp), "r"(regs->rip), "D"(regs->rdi), "S"(regs->rsi)
			 : "memory");
	__builtin_unreachable();
}

/* As pager/stager.c maps it: as a stack. */
static u64 map_staging(u64 nr_pages)
{
	u64 staging = map_guarded(nr_pages);

	EXPECT(mmap((void *)staging, nr_pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN | MAP_FIXED, -1,
		    0) == (void *)staging);
	return staging;
}

static void child_with_stub(struct lab *lab)
{
	static char stack[16 * 1024] __attribute__((aligned(16)));
	static struct stub_regs regs;
	u64 base = map_guarded(STUB_PAGES);
	sigset_t all, own;
	pid_t pid;

	map_area(base);
	regs = stub_start_regs(&new_stub, base, new_event);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &own); /* it is to have them blocked from its first moment on */
	pid = clone(become_stub, stack + sizeof(stack), CLONE_VM, &regs); /* no exit signal */
	sigprocmask(SIG_SETMASK, &own, NULL);
	EXPECT(pid > 0);
	atomic_store(&lab->value[AREA], (long)base);
	atomic_store(&lab->value[STAGING], (long)map_staging(lab->nr_pages));
	atomic_store(&lab->value[STUB_PID], pid);
	lab_hold(lab, 1);
	atomic_store(&lab->parent_step, 0);
	atomic_store(&lab->value[STUB_PID], 0);
	new_program(lab);
	EXPECT_EQ(reap(pid), 0);
}

struct stubbed stubbed_start(u64 nr_pages, u64 features, void (*program)(struct lab *lab))
{
	struct stubbed t = {0};

	if (features & ~probe_uffd_features())
		SKIP("this kernel has not all of WP_UNPOPULATED (6.4) and MOVE (6.8)");
	EXPECT_EQ(stub_create(&t.stub, stub_open_memfd(), 0, STUBBED_SECRET), 0);
	t.event = new_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	EXPECT(t.event >= 0);
	new_stub = t.stub;
	new_program = program;
	t.s = subject_prepare(nr_pages, features, child_with_stub);
	t.their_uffd = atomic_load(&t.s.lab->uffd);
	atomic_store(&t.s.lab->keep_uffd, true);
	t.mem = t.s.mem;
	t.len = t.s.len;
	EXPECT_EQ(uffd_register(t.s.uffd, range_of(t.mem, t.len)), 0);
	subject_begin(&t.s);
	while (!(t.pid = (pid_t)atomic_load(&t.s.lab->value[STUB_PID])))
		sleep_ms(1); /* the probe's time limit ends this */
	t.staging = (u64)atomic_load(&t.s.lab->value[STAGING]);
	stub_start_regs(&t.stub, (u64)atomic_load(&t.s.lab->value[AREA]), t.event);
	EXPECT_EQ(uffd_register(t.s.uffd, range_of(t.staging, t.len)), 0);
	lab_let(t.s.lab, 1);
	while (atomic_load(&t.s.lab->value[STUB_PID]))
		sleep_ms(1);
	return t;
}

void stubbed_end(struct stubbed *t)
{
	stub_queue(&t->stub, &(struct stub_cmd){.nr = STUB_CMD_EXIT});
	stub_kick(&t->stub);
	subject_end(&t->s);
	stub_destroy(&t->stub);
	close(t->event);
}

u64 stubbed_wait_event(struct stubbed *t)
{
	struct pollfd p = {.fd = t->event, .events = POLLIN};
	u64 times;

	EXPECT_EQ(poll(&p, 1, 5000), 1);
	EXPECT_EQ(read(t->event, &times, sizeof(times)), (ssize_t)sizeof(times));
	return times;
}

void stubbed_begin(struct stubbed *t, long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4)
{
	stub_queue(&t->stub, &(struct stub_cmd){.nr = (u64)nr, .arg = {a0, a1, a2, a3, a4}});
	stub_kick(&t->stub);
}

s64 stubbed_finish(struct stubbed *t)
{
	s64 result;

	stubbed_wait_event(t);
	EXPECT_EQ(stub_collect(&t->stub, &result, 1), 1);
	return result;
}

s64 stubbed_call(struct stubbed *t, long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4)
{
	stubbed_begin(t, nr, a0, a1, a2, a3, a4);
	return stubbed_finish(t);
}

int stubbed_move(struct stubbed *t, u64 dst, u64 src, u64 len, u64 mode, s64 *moved)
{
	u32 index = (u32)t->stub.head % STUB_RING;
	struct uffdio_move *op = stub_scratch_ours(&t->stub, index);
	s64 ret;

	*op = (struct uffdio_move){.dst = dst, .src = src, .len = len, .mode = mode};
	ret = stubbed_call(t, SYS_ioctl, (u64)t->their_uffd, UFFDIO_MOVE,
			   stub_scratch(&t->stub, index), 0, 0);
	if (moved)
		*moved = op->move;
	return (int)ret;
}

int stubbed_madvise(struct stubbed *t, u64 addr, u64 len, int advice)
{
	return (int)stubbed_call(t, SYS_madvise, addr, len, (u64)advice, 0, 0);
}
