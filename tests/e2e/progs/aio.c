// SPDX-License-Identifier: MIT
/* I/O that the kernel does to our pages beside the program: io_uring, O_DIRECT, libaio calls. */
#include <liburing.h>
#include <linux/aio_abi.h>
#include "e2e.h"

#define AREA (32 * PAGE)

/* One request, its result. */
static int complete(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int res;

	CHECK(io_uring_submit(ring) == 1);
	CHECK(io_uring_wait_cqe(ring, &cqe) == 0);
	res = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return res;
}

static bool ring_init(struct io_uring *ring, unsigned int flags)
{
	int ret = io_uring_queue_init(16, ring, flags);

	if (ret == -ENOSYS || ret == -EPERM) {
		puts("skipped: io_uring is not allowed here");
		return false;
	}
	CHECK(ret == 0, "io_uring_queue_init: %s", strerror(-ret));
	return true;
}

static void ring_read_write(unsigned int sqe_flags)
{
	struct io_uring ring;
	int fd = marked_file(AREA, 1);
	char *p = map_anon(AREA), *zero = map_anon(AREA);

	if (ring_init(&ring, 0)) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		io_uring_prep_read(sqe, fd, p, AREA, 0);
		sqe->flags |= sqe_flags;
		CHECK(complete(&ring) == (int)AREA);
		check_marks(p, AREA, 1);
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_write(sqe, fd, zero, AREA, 0);
		sqe->flags |= sqe_flags;
		CHECK(complete(&ring) == (int)AREA);
		SYS(madvise(p, AREA, MADV_DONTNEED));
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_read(sqe, fd, p + 1, AREA - 1, 0);
		sqe->flags |= sqe_flags;
		CHECK(complete(&ring) == (int)AREA - 1);
		check_bytes(p, AREA, 0);
		io_uring_queue_exit(&ring);
	}
	SYS(munmap(p, AREA));
	SYS(munmap(zero, AREA));
	SYS(close(fd));
}

static void ring_inline(void)
{
	ring_read_write(0);
}

/* The work is done by a kernel thread that shares our memory. */
static void ring_worker(void)
{
	ring_read_write(IOSQE_ASYNC);
}

/* Registered buffers: all of them pinned before they were ever touched. */
static void ring_fixed_buffers(void)
{
	struct io_uring ring;
	int fd = marked_file(AREA, 2), ret;
	char *p = map_anon(AREA);
	struct iovec iov[2] = { { p, AREA / 2 }, { p + AREA / 2, AREA / 2 } };

	if (!ring_init(&ring, 0))
		return;
	ret = io_uring_register_buffers(&ring, iov, 2);
	CHECK(ret == 0, "register_buffers: %s", strerror(-ret));
	for (int i = 0; i < 2; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		io_uring_prep_read_fixed(sqe, fd, iov[i].iov_base, AREA / 2, i * AREA / 2, i);
		CHECK(complete(&ring) == (int)AREA / 2);
	}
	check_marks(p, AREA, 2);
	/* Pinned pages stay the same pages over fork and writes. */
	pid_t pid = SYS(fork());
	if (!pid) {
		check_marks(p, AREA, 2);
		fill_marks(p, AREA, 3);
		_exit(0);
	}
	expect_exit(pid, 0);
	fill_marks(p, AREA, 4);
	for (int i = 0; i < 2; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

		io_uring_prep_read_fixed(sqe, fd, iov[i].iov_base, AREA / 2, i * AREA / 2, i);
		CHECK(complete(&ring) == (int)AREA / 2);
	}
	check_marks(p, AREA, 2);
	io_uring_queue_exit(&ring);
	SYS(munmap(p, AREA));
	SYS(close(fd));
}

/* O_DIRECT pins our pages for the device; where the file system has no O_DIRECT, said so. */
static void direct_io(void)
{
	char path[] = "/var/tmp/e2e-direct-XXXXXX";
	int fd = mkstemp(path), direct;
	char *p = map_anon(AREA), *q = map_anon(AREA);

	if (fd < 0) {
		puts("skipped: no /var/tmp");
		return;
	}
	SYS(ftruncate(fd, AREA));
	direct = open(path, O_RDWR | O_DIRECT);
	SYS(unlink(path));
	if (direct < 0) {
		puts("skipped: no O_DIRECT on this file system");
	} else {
		fill_marks(p, AREA, 5);
		CHECK(SYS(pwrite(direct, p, AREA, 0)) == (ssize_t)AREA);
		CHECK(SYS(pread(direct, q, AREA, 0)) == (ssize_t)AREA);
		check_marks(q, AREA, 5);
		SYS(madvise(p, AREA, MADV_DONTNEED));
		CHECK(SYS(pwrite(direct, p, AREA / 2, 0)) == (ssize_t)AREA / 2);
		CHECK(SYS(pread(direct, p + AREA / 2, AREA / 2, 0)) == (ssize_t)AREA / 2);
		check_bytes(p, AREA, 0);
		SYS(close(direct));
	}
	SYS(close(fd));
	SYS(munmap(p, AREA));
	SYS(munmap(q, AREA));
}

/* The old io_submit interface; its ring is a mapping that io_setup makes by itself. */
static void kernel_aio(void)
{
	aio_context_t ctx = 0;
	struct io_event *ev = map_anon(PAGE);
	struct iocb *cb = map_anon(PAGE);
	int fd = marked_file(AREA, 6);
	char *p = map_anon(AREA);

	SYS(syscall(SYS_io_setup, 8, &ctx));
	*cb = (struct iocb){ .aio_fildes = fd, .aio_lio_opcode = IOCB_CMD_PREAD,
			     .aio_buf = (uintptr_t)p, .aio_nbytes = AREA };
	CHECK(SYS(syscall(SYS_io_submit, ctx, 1L, &cb)) == 1);
	CHECK(SYS(syscall(SYS_io_getevents, ctx, 1L, 1L, ev, NULL)) == 1);
	CHECK(ev->res == (long)AREA);
	check_marks(p, AREA, 6);
	SYS(syscall(SYS_io_destroy, ctx));
	SYS(munmap(p, AREA));
	SYS(close(fd));
}

int main(void)
{
	RUN(ring_inline);
	RUN(ring_worker);
	RUN(ring_fixed_buffers);
	RUN(direct_io);
	RUN(kernel_aio);
	return 0;
}
