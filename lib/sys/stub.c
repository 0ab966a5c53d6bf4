/* SPDX-License-Identifier: MIT */
/*
 * stub.c - our side of the stub: make its pages, give commands, take results (see stub.h).
 *
 * The ring has one writer and one reader on each side:
 *
 *      we:        write command[head], ... ; head = n (release) ; FUTEX_WAKE(head)
 *      the stub:  read head (acquire) ; run ; write result ; tail = m (release) ; FUTEX_WAIT(head, m) if dry
 *
 * A wake-up cannot be lost: either the stub sees the new head before it sleeps, or FUTEX_WAIT finds that
 * head is not m and returns, or it sleeps already and is woken.
 */
#include "sys/stub.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "sys/uapi.h"

struct stub_area {
	u8 code[STUB_COMMANDS];

	_Atomic u64 head;
	_Atomic u64 spin;
	u8 pad_commands[STUB_CMDS - STUB_SPIN - sizeof(u64)];
	struct stub_cmd cmd[STUB_RING];
	u8 pad_results[STUB_RESULTS - STUB_COMMANDS - STUB_CMDS - STUB_RING * STUB_CMD_LEN];

	_Atomic u64 tail;
	u8 pad_tail[STUB_RES - STUB_TAIL - sizeof(u64)];
	_Atomic s64 result[STUB_RING];
	u8 pad_scratch[STUB_SCRATCH - STUB_RESULTS - STUB_RES - STUB_RING * sizeof(s64)];

	u8 scratch[STUB_RING][STUB_SCRATCH_LEN];
};

#define AT(member, offset) \
	_Static_assert(offsetof(struct stub_area, member) == (offset), "stub_layout.h: " #member)
AT(head, STUB_COMMANDS + STUB_HEAD);
AT(spin, STUB_COMMANDS + STUB_SPIN);
AT(cmd, STUB_COMMANDS + STUB_CMDS);
AT(tail, STUB_RESULTS + STUB_TAIL);
AT(result, STUB_RESULTS + STUB_RES);
AT(scratch, STUB_SCRATCH);
_Static_assert(sizeof(struct stub_area) == STUB_AREA_SIZE, "stub_layout.h: size");
_Static_assert(sizeof(struct stub_cmd) == STUB_CMD_LEN, "stub_layout.h: command");

/* arch/stub_x86_64.S; the first instruction is the first byte. */
extern const u8 stub_code[], stub_code_secret[], stub_code_end[];

int stub_open_mapped(pid_t pid, u64 start)
{
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)start,
		 (unsigned long long)start + STUB_AREA_SIZE);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The code is to be executed: said to kernels that ask (6.3), which may refuse to map it otherwise. */
int stub_open_memfd(void)
{
	int fd = memfd_create("stub", MFD_CLOEXEC | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("stub", MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int stub_create(struct stub *stub, int fd, u64 offset, u64 secret)
{
	size_t code_len = (size_t)(stub_code_end - stub_code);
	struct stub_area *area;
	int err;

	*stub = (struct stub){ .fd = fd, .offset = offset };
	if (ftruncate(fd, (off_t)(offset + sizeof(*area)))) {
		err = -errno;
		goto close_fd;
	}
	area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (area == MAP_FAILED) {
		err = -errno;
		goto close_fd;
	}
	BUG_ON(code_len > sizeof(area->code));
	memcpy(area->code, stub_code, code_len);
	memcpy(area->code + (stub_code_secret - stub_code), &secret, sizeof(secret));
	stub->area = area;
	return 0;

close_fd:
	close(fd);
	return err;
}

void stub_destroy(struct stub *stub)
{
	if (!stub->area)
		return;
	munmap(stub->area, sizeof(*stub->area));
	close(stub->fd);
	stub->area = NULL;
}

int stub_page_prot(unsigned int n)
{
	BUG_ON(n >= STUB_PAGES);
	if (n < STUB_COMMANDS / PAGE_SIZE)
		return PROT_READ | PROT_EXEC;
	if (n < STUB_RESULTS / PAGE_SIZE)
		return PROT_READ;
	return PROT_READ | PROT_WRITE;
}

unsigned int stub_part_end(unsigned int n)
{
	unsigned int end = n + 1;

	while (end < STUB_PAGES && stub_page_prot(end) == stub_page_prot(n))
		end++;
	return end;
}

struct stub_regs stub_start_regs(struct stub *stub, u64 base, int eventfd)
{
	BUG_ON(!page_aligned(base));
	stub->base = base;
	return (struct stub_regs){ .rip = base, .rsp = base + STUB_AREA_SIZE, .rdi = (u32)eventfd };
}

void stub_set_spin(struct stub *stub, u32 iterations)
{
	atomic_store_explicit(&stub->area->spin, iterations, memory_order_relaxed);
}

u32 stub_room(const struct stub *stub)
{
	return STUB_RING - (u32)(stub->head - stub->seen);
}

void stub_queue(struct stub *stub, const struct stub_cmd *cmd)
{
	BUG_ON(!stub_room(stub));
	stub->area->cmd[stub->head % STUB_RING] = *cmd;
	stub->head++;
}

void stub_kick(struct stub *stub)
{
	_Atomic u64 *head = &stub->area->head;

	stub->published = stub->head;
	atomic_store_explicit(head, stub->published, memory_order_release);
	/* The word is head's low half.  All who wait: a thread of the program may be among them. */
	syscall(SYS_futex, head, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

u32 stub_collect(struct stub *stub, s64 *result, u32 max)
{
	struct stub_area *area = stub->area;
	u64 done = atomic_load_explicit(&area->tail, memory_order_acquire) - stub->seen;
	u32 n;

	if (done > stub->published - stub->seen) /* the program wrote there: also when tail < seen */
		return 0;
	for (n = 0; n < done && n < max; n++, stub->seen++)
		result[n] = atomic_load_explicit(&area->result[stub->seen % STUB_RING],
						 memory_order_relaxed);
	return n;
}

u64 stub_scratch(const struct stub *stub, u32 index)
{
	BUG_ON(index >= STUB_RING || !stub->base);
	return stub->base + STUB_SCRATCH + index * STUB_SCRATCH_LEN;
}

void *stub_scratch_ours(const struct stub *stub, u32 index)
{
	BUG_ON(index >= STUB_RING);
	return stub->area->scratch[index];
}
