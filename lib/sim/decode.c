/* SPDX-License-Identifier: MIT */
/*
 * decode.c - bytes to an operation, and an operation to a line of text.
 *
 *   byte  0     1     2     3     4     5     6     7
 *        kind  task  page  len  place  len2  bits  trouble
 */
#include <inttypes.h>
#include <sys/mman.h>

#include "sim/ops.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define MADV_DONTNEED_LOCKED_ 24

/* How often each comes, in 256ths. */
static const struct {
	const char *name;
	u8 weight;
} ops[NR_OPS] = {
	[OP_LOAD] = { "load", 16 },
	[OP_STORE] = { "store", 27 },
	[OP_STORE_RUN] = { "store-run", 10 },
	[OP_LOAD_RUN] = { "load-run", 8 },
	[OP_MMAP] = { "mmap", 24 },
	[OP_MUNMAP] = { "munmap", 9 },
	[OP_MPROTECT] = { "mprotect", 12 },
	[OP_MADVISE] = { "madvise", 14 },
	[OP_MREMAP] = { "mremap", 12 },
	[OP_BRK] = { "brk", 6 },
	[OP_MLOCK] = { "mlock", 4 },
	[OP_MUNLOCK] = { "munlock", 4 },
	[OP_MLOCKALL] = { "mlockall", 1 },
	[OP_MUNLOCKALL] = { "munlockall", 2 },
	[OP_MSEAL] = { "mseal", 1 },
	[OP_FORK] = { "fork", 10 },
	[OP_SHARE] = { "vfork", 2 },
	[OP_EXEC] = { "exec", 2 },
	[OP_EXIT] = { "exit", 8 },
	[OP_RECONCILE] = { "reconcile", 5 },
	[OP_SEND_LATE] = { "send-late", 5 },
	[OP_READ_LATE] = { "read-late", 6 },
	[OP_DROP_LAZYFREE] = { "drop-lazyfree", 4 },
	[OP_BUDGET] = { "budget", 3 },
	[OP_POLICY] = { "policy", 2 },
	[OP_EVICT] = { "evict", 12 },
	[OP_WRITE_OUT] = { "write-out", 10 },
	[OP_STEP] = { "step", 14 },
	[OP_COME_BACK] = { "come-back", 10 },
	[OP_PREFETCH] = { "prefetch", 6 },
	[OP_IO_FAILS] = { "io-fails", 2 },
	[OP_PIN] = { "pin", 3 },
	[OP_MACHINE] = { "machine", 2 },
};

/* What a hostile program passes. */
static const u64 odd[] = {
	0, 1, PAGE_SIZE - 1, PAGE_SIZE, 0x7fffffffffffffff, 0x8000000000000000, ~0UL, -PAGE_SIZE,
	-PAGE_SIZE + 1, TASK_SIZE, TASK_SIZE - PAGE_SIZE, TASK_SIZE + PAGE_SIZE, TASK_SIZE - 1,
	SIM_BASE, SIM_END, SIM_BASE + 1, SIM_END - PAGE_SIZE, SIM_BASE - PAGE_SIZE,
};

static const int advices[] = {
	MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTNEED, MADV_DONTNEED, MADV_FREE, MADV_FREE,
	MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_DONTDUMP, MADV_DODUMP,
	MADV_DONTNEED_LOCKED_, 99, MADV_FREE,
};

static enum sim_op_kind kind_of(u8 byte)
{
	u32 sum = 0;

	for (u32 k = 0; k < NR_OPS; k++) {
		sum += ops[k].weight;
		if (byte < sum)
			return k;
	}
	BUG("the weights sum up to %u", sum);
}

static u64 page_of(u8 byte)
{
	return sim_addr(byte % SIM_PAGES);
}

static u64 len_of(u8 byte)
{
	u32 most = byte < 128 ? 4 : byte < 224 ? 16 : 64;

	return (1 + byte % most) * PAGE_SIZE;
}

static int mmap_flags_of(u8 bits, u8 place)
{
	int flags = 0;

	if (bits & 1)
		flags |= MAP_FIXED;
	else if ((bits & 6) == 6)
		flags |= MAP_FIXED_NOREPLACE;
	if ((bits & 0x38) == 0x38)
		flags |= MAP_GROWSDOWN;
	if ((bits & 0x70) == 0x40)
		flags |= MAP_NORESERVE;
	if ((place & 0xf) == 1)
		flags |= MAP_POPULATE;
	if ((place & 0xf) == 2)
		flags |= MAP_LOCKED;
	if ((place & 0xf) == 3)
		flags |= MAP_STACK;
	return flags;
}

/* The kinds of mappings: half are ours. */
static void decode_mmap(struct sim_op *op, const u8 *b)
{
	op->prot = b[5] & 7;
	if ((b[5] & 0x18) == 0)
		op->prot = PROT_READ | PROT_WRITE;
	op->flags = mmap_flags_of(b[6], b[4]);
	op->bottom_up = b[6] & 0x80;
	switch (b[5] >> 5) {
	case 0: /* a file, shared */
		op->file = 1 + b[4] % SIM_FILES;
		op->flags |= MAP_SHARED;
		break;
	case 1: /* a file, private */
		op->file = 1 + b[4] % SIM_FILES;
		op->flags |= MAP_PRIVATE;
		break;
	case 2: /* shared anonymous */
		op->flags |= MAP_SHARED | MAP_ANONYMOUS;
		op->unmanaged = true;
		break;
	default:
		op->flags |= MAP_PRIVATE | MAP_ANONYMOUS;
	}
	op->unmanaged |= op->file != 0;
}

static void decode_trouble(struct sim_op *op, const u8 *b)
{
	static const int errors[4] = { -EAGAIN, -EAGAIN, -ENOMEM, -ENOMEM };
	u8 t = b[7];

	switch (t >> 4) {
	case 0xf:
		op->alloc_fails_at = 1 + (t & 15);
		break;
	case 0xe:
		op->script = (struct sim_script){
			.nth = 1 + (t & 3),
			.err = b[6] == 0xff ? -ESRCH : errors[t >> 2 & 3],
			.burst = (t & 12) == 4 ? 5 : 0,
			.after = b[5] & 3,
		};
		break;
	case 0xd:
		if (t & 1)
			op->addr = odd[b[2] % ARRAY_SIZE(odd)];
		if (t & 2)
			op->len = odd[b[3] % ARRAY_SIZE(odd)];
		if (t & 4)
			op->new_addr = odd[b[4] % ARRAY_SIZE(odd)];
		if (t & 8) {
			op->new_len = odd[b[5] % ARRAY_SIZE(odd)];
			op->prot = op->kind == OP_MPROTECT ? b[5] : op->prot;
		}
		break;
	}
}

struct sim_op sim_decode_op(const u8 b[SIM_OP_BYTES])
{
	struct sim_op op = {
		.kind = kind_of(b[0]),
		.task = b[1],
		.addr = page_of(b[2]),
		.len = len_of(b[3]),
		.new_addr = page_of(b[4]),
		.new_len = len_of(b[5]),
		.prot = b[6] & 7,
		.flags = b[6] & 7,
		.advice = advices[b[6] % ARRAY_SIZE(advices)],
		.write = b[6] & 1,
		.bottom_up = b[6] & 0x80,
		.pick = b[4],
		.quick = b[7] % 7 == 3,
		.between = b[7] % 5 == 1 ? b[1] >> 4 : 0,
	};

	if (op.kind == OP_MMAP || op.kind == OP_RECONCILE)
		decode_mmap(&op, b);
	if (op.kind == OP_MREMAP && b[6] & 8)
		op.new_len = op.len;
	decode_trouble(&op, b);
	return op;
}

static void print_place(const char *what, u64 x, FILE *f)
{
	if (x >= SIM_BASE && x <= SIM_END && page_aligned(x))
		fprintf(f, " %s=page %u", what, sim_index(x));
	else
		fprintf(f, " %s=%#" PRIx64, what, x);
}

static void print_len(const char *what, u64 x, FILE *f)
{
	if (page_aligned(x) && x <= SIM_PAGES * PAGE_SIZE)
		fprintf(f, " %s=%" PRIu64 " pages", what, x >> PAGE_SHIFT);
	else
		fprintf(f, " %s=%#" PRIx64, what, x);
}

void sim_print_op(const u8 *bytes, FILE *f)
{
	struct sim_op op = sim_decode_op(bytes);

	fprintf(f, "task %u: %s", op.task % SIM_TASKS, ops[op.kind].name);
	print_place("addr", op.addr, f);
	print_len("len", op.len, f);
	switch (op.kind) {
	case OP_MMAP:
	case OP_RECONCILE:
		fprintf(f, " prot=%d flags=%#x file=%u%s%s", op.prot, op.flags, op.file,
			op.bottom_up ? " bottom-up" : "", op.quick ? " quick-touch" : "");
		break;
	case OP_MPROTECT:
		fprintf(f, " prot=%#x", op.prot);
		break;
	case OP_MADVISE:
		fprintf(f, " advice=%d", op.advice);
		break;
	case OP_MREMAP:
		print_place("new_addr", op.new_addr, f);
		print_len("new_len", op.new_len, f);
		fprintf(f, " flags=%d", op.flags);
		break;
	case OP_MLOCK:
	case OP_MLOCKALL:
		fprintf(f, " flags=%d", op.flags);
		break;
	case OP_READ_LATE:
	case OP_DROP_LAZYFREE:
		fprintf(f, " pick=%u", op.pick);
		break;
	case OP_BUDGET:
	case OP_POLICY:
	case OP_IO_FAILS:
	case OP_PIN:
	case OP_MACHINE:
		fprintf(f, " pick=%u %s", op.pick, op.write ? "on" : "off");
		break;
	case OP_SEND_LATE:
		fprintf(f, " %s", op.write ? "store" : "load");
		break;
	default:
		break;
	}
	if (op.between)
		fprintf(f, "  [%u between the kernel and us]", op.between);
	if (op.alloc_fails_at)
		fprintf(f, "  [allocation %u fails]", op.alloc_fails_at);
	if (op.script.nth)
		fprintf(f, "  [hw call %u says %d after %u pages, %u more times]", op.script.nth,
			op.script.err, op.script.after, op.script.burst);
	fputc('\n', f);
}
