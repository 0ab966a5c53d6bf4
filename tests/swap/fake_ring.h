/* SPDX-License-Identifier: MIT */
/*
 * fake_ring.h - in place of sys/ring.c: requests wait until the test ends them, in any order and any way.
 *
 * The disk is an array.  A page that failed alone is remembered, and the test fails when it is written again.
 */
#ifndef UPAGER_TEST_FAKE_RING_H
#define UPAGER_TEST_FAKE_RING_H

#include "unit.h"

#define FAKE_DISK_PAGES 4096u

struct fake_request {
	bool write;
	u8 *buf;
	u32 len;
	u64 offset;
	u64 tag;
};

extern u8 fake_disk[FAKE_DISK_PAGES * PAGE_SIZE];

/* All requests of an earlier test are forgotten, the disk is zero, and no page of it is bad. */
void fake_ring_reset(void);
u32 fake_ring_pending(void);
const struct fake_request *fake_ring_request(u32 i);
/*
 * Request i is over.  max_len bytes of it are done (0: none), then res is the answer if it is negative, else what
 * was done.  Returns the answer; the request's tag is in *tag.
 */
int fake_ring_end(u32 i, u32 max_len, int res, u64 *tag);

#endif /* UPAGER_TEST_FAKE_RING_H */
