/* SPDX-License-Identifier: MIT */
#include "sys/ring.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/check.h"

#define RING_ENTRIES 256
#define TAG_IGNORE   UINT64_MAX /* completions nobody asked to see: of cancellations */

int ring_init(struct ring *ring)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN,
		.cq_entries = RING_ENTRIES * 16,
	};
	int ret = io_uring_queue_init_params(RING_ENTRIES, &ring->uring, &p);

	if (ret == -EINVAL) { /* before 6.1 */
		p = (struct io_uring_params){ .flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
					      .cq_entries = RING_ENTRIES * 16 };
		ret = io_uring_queue_init_params(RING_ENTRIES, &ring->uring, &p);
	}
	return ret;
}

void ring_fini(struct ring *ring)
{
	io_uring_queue_exit(&ring->uring);
}

static void ring_submit(struct ring *ring)
{
	int ret = io_uring_submit(&ring->uring);

	if (ret < 0)
		BUG("io_uring_submit: error %d", -ret);
}

static struct io_uring_sqe *ring_sqe(struct ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

	if (!sqe) {
		ring_submit(ring);
		sqe = io_uring_get_sqe(&ring->uring);
		BUG_ON(!sqe);
	}
	return sqe;
}

void ring_poll(struct ring *ring, int fd, u64 tag)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	io_uring_prep_poll_multishot(sqe, fd, POLLIN);
	io_uring_sqe_set_data64(sqe, tag);
}

void ring_unpoll(struct ring *ring, u64 tag)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	/* A poll removal would fail (-EALREADY) while the poll has something to tell, and the descriptor stay open. */
	io_uring_prep_cancel64(sqe, tag, 0);
	io_uring_sqe_set_data64(sqe, TAG_IGNORE);
}

static const struct __kernel_timespec peer_limit = { .tv_sec = RING_PEER_SECONDS };

/* Two entries that are submitted together: the first is cancelled when time is up. */
static struct io_uring_sqe *limited_sqe(struct ring *ring, struct io_uring_sqe **limit)
{
	struct io_uring_sqe *sqe;

	if (io_uring_sq_space_left(&ring->uring) < 2)
		ring_submit(ring);
	sqe = ring_sqe(ring);
	*limit = ring_sqe(ring);
	return sqe;
}

static void link_limit(struct io_uring_sqe *sqe, struct io_uring_sqe *limit, u64 tag)
{
	sqe->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(sqe, tag);
	io_uring_prep_link_timeout(limit, (struct __kernel_timespec *)&peer_limit, 0);
	io_uring_sqe_set_data64(limit, TAG_IGNORE);
}

void ring_recv(struct ring *ring, int fd, void *buf, size_t len, u64 tag)
{
	struct io_uring_sqe *limit, *sqe = limited_sqe(ring, &limit);

	io_uring_prep_recv(sqe, fd, buf, len, 0);
	link_limit(sqe, limit, tag);
}

void ring_send(struct ring *ring, int fd, const void *buf, size_t len, u64 tag)
{
	struct io_uring_sqe *limit, *sqe = limited_sqe(ring, &limit);

	io_uring_prep_send(sqe, fd, buf, len, MSG_WAITALL | MSG_NOSIGNAL);
	link_limit(sqe, limit, tag);
}

void ring_read(struct ring *ring, int fd, void *buf, u32 len, u64 offset, u64 tag)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	io_uring_prep_read(sqe, fd, buf, len, offset);
	io_uring_sqe_set_data64(sqe, tag);
}

void ring_write(struct ring *ring, int fd, const void *buf, u32 len, u64 offset, u64 tag)
{
	struct io_uring_sqe *sqe = ring_sqe(ring);

	io_uring_prep_write(sqe, fd, buf, len, offset);
	io_uring_sqe_set_data64(sqe, tag);
}

static int ring_collect(struct ring *ring, struct ring_event *ev, int max)
{
	struct io_uring_cqe *cqe;
	unsigned int head, seen = 0;
	int n = 0;

	io_uring_for_each_cqe(&ring->uring, head, cqe) {
		if (n == max)
			break;
		seen++;
		if (cqe->user_data == TAG_IGNORE)
			continue;
		ev[n++] = (struct ring_event){
			.tag = cqe->user_data,
			.res = cqe->res,
			.more = cqe->flags & IORING_CQE_F_MORE,
		};
	}
	io_uring_cq_advance(&ring->uring, seen);
	return n;
}

int ring_wait(struct ring *ring, struct ring_event *ev, int max, u64 timeout_ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (s64)(timeout_ns / 1000000000),
		.tv_nsec = (long long)(timeout_ns % 1000000000),
	};
	struct io_uring_cqe *cqe;
	int ret;

	if (timeout_ns == UINT64_MAX)
		ret = io_uring_submit_and_wait(&ring->uring, 1);
	else if (timeout_ns == 0)
		ret = io_uring_submit_and_get_events(&ring->uring);
	else
		ret = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &ts, NULL);
	if (ret < 0 && ret != -ETIME && ret != -EINTR && ret != -EAGAIN && ret != -EBUSY)
		BUG("io_uring_enter: error %d", -ret);
	return ring_collect(ring, ev, max);
}
