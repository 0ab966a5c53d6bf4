/* SPDX-License-Identifier: MIT */
/*
 * ops.h - one operation of a run, between its bytes (decode.c) and its execution (stream.c).
 */
#ifndef UPAGER_SIM_OPS_H
#define UPAGER_SIM_OPS_H

#include "sim/stream.h"

enum sim_op_kind {
	OP_LOAD, OP_STORE, OP_STORE_RUN, OP_LOAD_RUN,
	OP_MMAP, OP_MUNMAP, OP_MPROTECT, OP_MADVISE, OP_MREMAP, OP_BRK,
	OP_MLOCK, OP_MUNLOCK, OP_MLOCKALL, OP_MUNLOCKALL, OP_MSEAL,
	OP_FORK, OP_SHARE, OP_EXEC, OP_EXIT, OP_RECONCILE,
	OP_SEND_LATE, OP_READ_LATE, OP_DROP_LAZYFREE,
	OP_BUDGET, OP_POLICY, OP_EVICT, OP_WRITE_OUT, OP_STEP, OP_COME_BACK, OP_PREFETCH,
	OP_IO_FAILS, OP_PIN, OP_MACHINE,
	NR_OPS,
};

struct sim_op {
	enum sim_op_kind kind;
	u8 task;         /* the nth living one */
	u64 addr, len, new_addr, new_len;
	int prot, flags, advice;
	u8 file;         /* mmap, reconcile: index + 1; 0: anonymous */
	bool unmanaged, bottom_up, write;
	bool quick;      /* mmap …: another thread touches the page before it is armed */
	u8 between;      /* calls: what goes on before the model hears of its end: so many accesses, and steps */
	u32 pick;        /* which of what there is */
	/* what goes wrong: */
	u32 alloc_fails_at; /* 0: not */
	struct sim_script script;
};

struct sim_op sim_decode_op(const u8 bytes[SIM_OP_BYTES]);

#endif /* UPAGER_SIM_OPS_H */
