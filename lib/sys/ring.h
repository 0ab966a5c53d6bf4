/* SPDX-License-Identifier: MIT */
/*
 * ring.h - the supervisor's one wait: an io_uring that polls descriptors and carries I/O.
 *
 * A source is named by a 64-bit tag of the caller's.  Polls are multishot: one completion per wake-up
 * of the descriptor, edge-triggered, so the reader must read until the descriptor is empty or a
 * short read says so.
 */
#ifndef UPAGER_RING_H
#define UPAGER_RING_H

#include <liburing.h>

#include "base/base.h"

struct ring {
	struct io_uring uring;
};

/* One completion. */
struct ring_event {
	u64 tag;
	int res;   /* poll: the poll mask; negative errno: the poll ended; all others: bytes or -errno */
	bool more; /* false: a multishot poll is over and must be armed again */
};

/* Returns 0, or -errno (-ENOSYS, -EPERM: io_uring is not allowed here). */
int ring_init(struct ring *ring);
void ring_fini(struct ring *ring);

/* Arm a multishot poll for input on fd.  Queued; takes effect with the next ring_wait(). */
void ring_poll(struct ring *ring, int fd, u64 tag);
/* End the poll that was armed with `tag`, before its descriptor is closed. */
void ring_unpoll(struct ring *ring, u64 tag);

/* A peer that takes longer than this for one ring_recv() or ring_send() is given up: -ECANCELED. */
#define RING_PEER_SECONDS 10

/*
 * Receive what there is, or send all of it, on a socket; one completion with `tag`.
 * Pre: buf stays until the completion.
 */
void ring_recv(struct ring *ring, int fd, void *buf, size_t len, u64 tag);
void ring_send(struct ring *ring, int fd, const void *buf, size_t len, u64 tag);

/*
 * Read or write len bytes of a file at `offset`; one completion with `tag`.  What is queued between two
 * ring_wait() goes to the kernel together, so that neighbours can become one request of the disk.
 * Pre: buf stays until the completion.
 */
void ring_read(struct ring *ring, int fd, void *buf, u32 len, u64 offset, u64 tag);
void ring_write(struct ring *ring, int fd, const void *buf, u32 len, u64 offset, u64 tag);

/*
 * Submit what is queued and wait for at least one completion, at most timeout_ns (0: do not wait,
 * UINT64_MAX: for ever).  Fills ev[0..max).  Returns how many (0: time is up).
 */
int ring_wait(struct ring *ring, struct ring_event *ev, int max, u64 timeout_ns);

#endif /* UPAGER_RING_H */
