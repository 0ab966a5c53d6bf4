/* SPDX-License-Identifier: MIT */
/*
 * stub.h - a task of ours inside a program's address space, which makes system calls for us in batches.
 *
 * UFFDIO_MOVE and MADV_DONTNEED work only from inside.  The stub shares the mm (CLONE_VM) and nothing else: a
 * process of its own with its own descriptors, no exit signal and all signals blocked.  It runs a few
 * instructions of our own on a page that it shares with us and with nobody else, and is told what to do by a
 * ring of commands there.  The commands' page is read-only for the program; what the stub writes back
 * (results) is never trusted.
 *
 *      one memfd, 4 pages:   code | commands | results | (guard)        mapped in us and in the program
 *      commands: head, { nr, a0..a4 } [STUB_RING]    we write, the stub reads    (program: PROT_READ)
 *      results:  tail, { result } [STUB_RING]        the stub writes, we read    (program: PROT_READ|WRITE)
 *
 * It waits in futex(FUTEX_WAIT) on `head`; when it has run dry it writes to an eventfd of ours.
 * Linux counterpart: arch/um/kernel/skas/stub.c.
 */
#ifndef UPAGER_STUB_H
#define UPAGER_STUB_H

#include <sys/types.h>

#include "base/base.h"

#define STUB_RING 256

struct stub_area; /* the memfd's pages as we see them */

/* A command: any system call with up to five arguments; the sixth is the run's secret. */
struct stub_cmd {
	u64 nr;
	u64 arg[5];
};

struct stub {
	struct stub_area *area; /* ours; NULL: none */
	int memfd;
	u64 base;               /* where the program has it */
	u64 head;               /* commands given */
	u64 seen;               /* results taken */
};

/* ---- our side ---- */

/* A new area, the code in place.  Returns 0 or -errno.  `secret` goes into the code's page. */
int must_check stub_create(struct stub *stub, u64 secret);
void stub_destroy(struct stub *stub);

#define STUB_PAGES 4u
/* How page `n` (0..3) of the memfd is to be mapped in the program: PROT_*; all MAP_SHARED. */
int stub_page_prot(unsigned int n);

/*
 * Registers for the stub's first instruction, when the program has the area at `base` and its descriptor
 * `eventfd` is ours: only what is named here matters.
 */
struct stub_regs {
	u64 rip, rsp, rdi, rsi;
};
struct stub_regs stub_start_regs(const struct stub *stub, u64 base, int eventfd);

/* How many commands there is room for now. */
u32 stub_room(const struct stub *stub);
/* Append one.  Pre: there is room.  Not seen by the stub before stub_kick(). */
void stub_queue(struct stub *stub, const struct stub_cmd *cmd);
/* Publish what was queued and wake the stub if it sleeps. */
void stub_kick(struct stub *stub);
/*
 * The results of the oldest commands not yet taken, at most max.  Returns how many.  A result is the
 * system call's (-errno as such).  Never more than were queued, whatever the program does to the page.
 */
u32 stub_collect(struct stub *stub, s64 *result, u32 max);
/* A place in the results' page for a command's own use (struct uffdio_move …): its address in the program. */
u64 stub_scratch(const struct stub *stub, u32 index); /* STUB_RING places of 64 bytes */
/* Write there before the command, or read after it (not to be trusted). */
void *stub_scratch_ours(const struct stub *stub, u32 index);

#endif /* UPAGER_STUB_H */
