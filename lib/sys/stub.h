/* SPDX-License-Identifier: MIT */
/*
 * stub.h - a task of ours inside a program's address space, which makes system calls for us in batches.
 *
 * UFFDIO_MOVE and MADV_DONTNEED work only from inside.  The stub is a thread of the program's process with
 * descriptors of its own and all signals blocked.  It runs a few
 * instructions of our own on pages that it shares with us and with nobody else, and is told what to do by a
 * ring of commands there.  The commands' pages are read-only for the program; what the stub writes back
 * (results) is never trusted.
 *
 *      one file, STUB_PAGES pages:    code | commands | results | scratch     mapped in us and in the program
 *      commands: head, { nr, a0..a4 } [STUB_RING]    we write, the stub reads    (program: PROT_READ)
 *      results:  tail, { result } [STUB_RING]        the stub writes, we read    (program: PROT_READ|WRITE)
 *
 * It waits in futex(FUTEX_WAIT) on `head`; when it has run dry it writes to an eventfd of ours.
 *
 * One thread uses a struct stub.  Used by pager/; it must not know what the commands are for.
 * Start reading at arch/stub_x86_64.S.  Linux counterpart: arch/um/kernel/skas/stub.c.
 */
#ifndef UPAGER_STUB_H
#define UPAGER_STUB_H

#include <sys/types.h>

#include "base/base.h"
#include "sys/stub_layout.h"

struct stub_area; /* the memfd's pages as we see them */

/* A command: any system call with up to five arguments; the sixth is the run's secret. */
struct stub_cmd {
	u64 nr;
	u64 arg[5];
};

/* This number ends the stub: it exits with status 0.  Such a command has no result. */
#define STUB_CMD_EXIT ((u64)STUB_EXIT)

struct stub {
	struct stub_area *area; /* ours; NULL: none */
	int fd;
	u64 offset;             /* of the area in that file */
	u64 base;               /* where the program has it; set by stub_start_regs() */
	u64 head;               /* commands given */
	u64 published;          /* of those, shown to the stub */
	u64 seen;               /* results taken: head - STUB_RING <= seen <= published <= head */
};

/* ---- our side ---- */

/*
 * A file for an area: the shared anonymous mapping of exactly the area's size that task `pid` has at `start`
 * (needs CAP_CHECKPOINT_RESTORE, and a kernel with it), or one of our own for it to map.
 * Return a descriptor (close-on-exec), or -errno.
 */
int must_check stub_open_mapped(pid_t pid, u64 start);
int must_check stub_open_memfd(void);

/*
 * A new area at `offset` of that file, the code in place.  `secret` goes into the code's page, which the program can
 * read.  Owns fd, also when it fails; one area serves one stub, from its first instruction to its end.
 * Returns 0, or -errno.
 */
int must_check stub_create(struct stub *stub, int fd, u64 offset, u64 secret);
/* The memory and the descriptor; a stub that still runs goes on.  Nothing when stub->area is NULL. */
void stub_destroy(struct stub *stub);

#define STUB_PAGES (STUB_AREA_SIZE / PAGE_SIZE)
/*
 * How page `n` (0 .. STUB_PAGES - 1) of the area is to be mapped in the program: PROT_*; all MAP_SHARED.
 * Neighbours that are alike may be mapped by one call.  Post (the caller's duty): MADV_DONTFORK, or a
 * child has the area of its parent.
 */
int stub_page_prot(unsigned int n);
/* The first page after `n` that is mapped otherwise, or STUB_PAGES. */
unsigned int stub_part_end(unsigned int n);

/*
 * Registers for the stub's first instruction, when the program has the area at `base` and its descriptor
 * `eventfd` is ours: only what is named here matters.  The stack is never used.  Sets stub->base.
 */
struct stub_regs {
	u64 rip, rsp, rdi, rsi;
};
struct stub_regs stub_start_regs(struct stub *stub, u64 base, int eventfd);

/*
 * Iterations (of pause) before an idle stub sleeps.  0 until this is called: a stub is best held on the CPU of
 * who waits for it (`probe --costs`), and there it would spin in that one's time.
 */
void stub_set_spin(struct stub *stub, u32 iterations);

/* How many commands there is room for now. */
u32 stub_room(const struct stub *stub);
/* Append one.  Pre: there is room.  Not seen by the stub before stub_kick(). */
void stub_queue(struct stub *stub, const struct stub_cmd *cmd);
/*
 * Publish what was queued and wake the stub if it sleeps.  Always one system call: whether it sleeps could
 * only be read in the page that the program can write.
 *
 * Post: after the last result the eventfd is written.  It may also be written when all results were already
 * taken; a batch that grows while it is run is announced once.  Without anything new to publish, a stub
 * that sleeps writes its tail again (no event): for when an event has come and results have not.
 */
void stub_kick(struct stub *stub);
/*
 * The results of the oldest commands not yet taken, at most max, in the order of the commands.
 * A result is the system call's (-errno as such).  Returns how many: never more than were published,
 * whatever the program does to the page.  A `tail` that cannot be is taken for "nothing yet".
 */
u32 stub_collect(struct stub *stub, s64 *result, u32 max);

/*
 * A place of 64 bytes for a command's own use (struct uffdio_move …).  The natural index of a command is its
 * number modulo STUB_RING, i.e. (u32)stub->head % STUB_RING before stub_queue(): free again when the
 * command's result was taken.  Pre: index < STUB_RING.
 */
#define STUB_SCRATCH_LEN 64
/* Its address in the program.  Pre: stub_start_regs() was called. */
u64 stub_scratch(const struct stub *stub, u32 index);
/* Ours: write there before the command, or read after it (not to be trusted: copy, then check). */
void *stub_scratch_ours(const struct stub *stub, u32 index);

#endif /* UPAGER_STUB_H */
