/* SPDX-License-Identifier: MIT */
/*
 * stub_layout.h - where things are in the pages that the stub and we share: numbers only.
 *
 * Read by the stub's assembly (arch/stub_x86_64.S) and by stub.c, which asserts that its structs agree.
 * Nobody else needs it.
 *
 *      0x0000  code       r-x   instructions, the secret, a constant 1
 *      0x1000  commands   r--   head, spin, commands[STUB_RING]
 *      0x5000  results    rw-   tail, results[STUB_RING]
 *      0x6000  scratch    rw-   places of 64 bytes [STUB_RING]
 *      0xa000  end
 *
 * What steers the stub is in its registers or in pages that the program cannot write.
 */
#ifndef UPAGER_STUB_LAYOUT_H
#define UPAGER_STUB_LAYOUT_H

#define STUB_RING      256 /* a power of two */
#define STUB_COMMANDS  0x1000
#define STUB_RESULTS   0x5000
#define STUB_SCRATCH   0x6000
#define STUB_AREA_SIZE 0xa000

/* Offsets in the commands' pages. */
#define STUB_HEAD    0  /* u64: commands given so far; its low half is the futex */
#define STUB_SPIN    8  /* u64: how often to look at head before sleeping */
#define STUB_CMDS    64
#define STUB_CMD_LEN 48

/* Offsets in the results' page. */
#define STUB_TAIL 0 /* u64: commands done so far */
#define STUB_RES  64

#define STUB_EXIT (-1) /* a command with this number ends the stub */

#endif /* UPAGER_STUB_LAYOUT_H */
