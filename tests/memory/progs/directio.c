// SPDX-License-Identifier: MIT
/*
 * directio [KIB [PAGES [ROUNDS]]]: transfers by O_DIRECT into and out of memory that has to leave, PAGES at a
 * time, while a thread needs KIB for itself.
 *
 * A page whose transfer is under way is pinned by the kernel: whoever takes it away meanwhile loses what
 * the device writes.  Block i of the file is page i of key 3, generation `file_gen`.
 */
#include <liburing.h>
#include <linux/aio_abi.h>
#include <sys/uio.h>
#include "pressure.h"

#define FILE_PAGES 256UL
#define KEY 3

static char *buf;
static size_t io_pages, rounds, thrash_bytes;
static int fd;
static uint32_t file_gen;

/* Where transfer number n goes: any run of io_pages blocks. */
static size_t first_block(size_t n)
{
	return mix64(n + 77) % (FILE_PAGES - io_pages + 1);
}

static void check_blocks(const char *p, size_t block, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		check_page(p + i * PAGE, KEY, block + i, file_gen);
}

/* The bytes in the buffer are no use before a transfer: half of the time wrong ones, else none at all. */
static void spoil(size_t n)
{
	if (n % 2)
		fill_pages(buf, io_pages, 4, n);
	else
		SYS(madvise(buf, io_pages * PAGE, MADV_DONTNEED));
}

static void by_read(void)
{
	for (size_t n = 0; n < rounds; n++) {
		size_t block = first_block(n);

		spoil(n);
		SYS(lseek(fd, block * PAGE, SEEK_SET));
		CHECK(SYS(read(fd, buf, io_pages * PAGE)) == (ssize_t)(io_pages * PAGE));
		check_blocks(buf, block, io_pages);
	}
}

/* Backwards through memory, a page a vector. */
static void by_preadv(void)
{
	struct iovec iov[64];

	for (size_t n = 0; n < rounds; n++) {
		size_t block = first_block(n);

		spoil(n);
		for (size_t i = 0; i < io_pages; i++)
			iov[i] = (struct iovec){ buf + (io_pages - 1 - i) * PAGE, PAGE };
		CHECK(SYS(preadv(fd, iov, io_pages, block * PAGE)) == (ssize_t)(io_pages * PAGE));
		for (size_t i = 0; i < io_pages; i++)
			check_page(iov[i].iov_base, KEY, block + i, file_gen);
	}
}

/* As many requests in flight as there are pages, by the calls libaio makes. */
static void by_io_submit(void)
{
	aio_context_t ctx = 0;
	struct iocb cb[64], *list[64];
	struct io_event done[64];

	SYS(syscall(SYS_io_setup, 64, &ctx));
	for (size_t n = 0; n < rounds; n++) {
		size_t block = first_block(n), got = 0;

		spoil(n);
		for (size_t i = 0; i < io_pages; i++) {
			cb[i] = (struct iocb){ .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = fd,
					       .aio_buf = (uintptr_t)buf + i * PAGE, .aio_nbytes = PAGE,
					       .aio_offset = (block + i) * PAGE };
			list[i] = &cb[i];
		}
		CHECK(SYS(syscall(SYS_io_submit, ctx, io_pages, list)) == (long)io_pages);
		while (got < io_pages) {
			long nr = SYS(syscall(SYS_io_getevents, ctx, 1, 64, done, NULL));

			for (long k = 0; k < nr; k++)
				CHECK(done[k].res == (long)PAGE, "%ld", (long)done[k].res);
			got += nr;
		}
		check_blocks(buf, block, io_pages);
	}
	SYS(syscall(SYS_io_destroy, ctx));
}

static bool ring_init(struct io_uring *ring)
{
	int ret = io_uring_queue_init(64, ring, 0);

	if (ret == -ENOSYS || ret == -EPERM) {
		puts("skipped: io_uring is not allowed here");
		return false;
	}
	CHECK(ret == 0, "io_uring_queue_init: %s", strerror(-ret));
	return true;
}

static void wait_all(struct io_uring *ring, size_t nr)
{
	struct io_uring_cqe *cqe;

	for (size_t i = 0; i < nr; i++) {
		int ret;

		while ((ret = io_uring_wait_cqe(ring, &cqe)) == -EINTR)
			;
		CHECK(ret == 0 && cqe->res == (int)PAGE, "%d, result %d", ret, cqe->res);
		io_uring_cqe_seen(ring, cqe);
	}
}

static void by_ring(struct io_uring *ring, char *to, size_t nr_pages, bool fixed)
{
	for (size_t n = 0; n < rounds; n++) {
		size_t block = first_block(n);

		for (size_t i = 0; i < nr_pages; i++) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

			if (fixed)
				io_uring_prep_read_fixed(sqe, fd, to + i * PAGE, PAGE,
							 (block + i) * PAGE, 0);
			else
				io_uring_prep_read(sqe, fd, to + i * PAGE, PAGE, (block + i) * PAGE);
		}
		CHECK(io_uring_submit(ring) == (int)nr_pages);
		wait_all(ring, nr_pages);
		check_blocks(to, block, nr_pages);
	}
}

static void by_io_uring(void)
{
	struct io_uring ring;

	if (!ring_init(&ring))
		return;
	by_ring(&ring, buf, io_pages, false);
	io_uring_queue_exit(&ring);
}

/*
 * Registered once: the kernel keeps these very pages, whatever the page tables say.  They are pinned as long as
 * the ring lives, so no more than four of them.
 */
static void by_fixed_buffers(void)
{
	size_t nr = io_pages < 4 ? io_pages : 4;
	struct iovec iov = { map_anon(nr * PAGE), nr * PAGE };
	struct io_uring ring;
	int ret;

	if (!ring_init(&ring))
		return;
	fill_pages(iov.iov_base, nr, 5, 0);
	push_out(thrash_bytes);
	check_pages(iov.iov_base, nr, 5, 0);
	ret = io_uring_register_buffers(&ring, &iov, 1);
	CHECK(ret == 0, "io_uring_register_buffers: %s", strerror(-ret));
	check_pages(iov.iov_base, nr, 5, 0);
	by_ring(&ring, iov.iov_base, nr, true);
	io_uring_queue_exit(&ring);
	SYS(munmap(iov.iov_base, nr * PAGE));
}

/* Out of memory: the file must hold what the program had written there. */
static void by_write(void)
{
	char *back = map_anon(PAGE);

	for (size_t block = 0; block + io_pages <= FILE_PAGES; block += io_pages) {
		for (size_t i = 0; i < io_pages; i++)
			fill_page(buf + i * PAGE, KEY, block + i, 1);
		if (block / io_pages % 3 == 0)
			sleep_ms(2);
		CHECK(SYS(pwrite(fd, buf, io_pages * PAGE, block * PAGE)) == (ssize_t)(io_pages * PAGE));
		for (size_t i = 0; i < io_pages; i++)
			check_page(buf + i * PAGE, KEY, block + i, 1);
	}
	for (size_t i = 0; i < FILE_PAGES / io_pages * io_pages; i++) {
		CHECK(SYS(pread(fd, back, PAGE, i * PAGE)) == (ssize_t)PAGE);
		check_page(back, KEY, i, 1);
	}
	SYS(munmap(back, PAGE));
}

/* An unlinked file in the working directory, opened O_DIRECT where its filesystem can. */
static int make_file(void)
{
	char path[] = "directio-XXXXXX", *page = map_anon(PAGE);
	int file = SYS(mkstemp(path));

	for (size_t i = 0; i < FILE_PAGES; i++) {
		fill_page(page, KEY, i, 0);
		CHECK(SYS(pwrite(file, page, PAGE, i * PAGE)) == (ssize_t)PAGE);
	}
	SYS(fsync(file));
	SYS(munmap(page, PAGE));
	SYS(close(file));
	file = open(path, O_RDWR | O_DIRECT);
	if (file < 0 && errno == EINVAL) {
		puts("without O_DIRECT: the filesystem has none");
		file = SYS(open(path, O_RDWR));
	}
	CHECK(file >= 0, "%s: %s", path, strerror(errno));
	SYS(unlink(path));
	return file;
}

int main(int argc, char **argv)
{
	struct thrash thrash;

	thrash_bytes = arg_or(argc, argv, 1, 4096) * KIB;
	io_pages = arg_or(argc, argv, 2, 4);
	rounds = arg_or(argc, argv, 3, 100);
	CHECK(io_pages >= 1 && io_pages <= 64);
	fd = make_file();
	buf = map_anon(io_pages * PAGE);
	thrash_start(&thrash, thrash_bytes, 6);
	RUN(by_read);
	RUN(by_preadv);
	RUN(by_io_submit);
	RUN(by_io_uring);
	RUN(by_fixed_buffers);
	RUN(by_write);
	thrash_end(&thrash);
	return 0;
}
