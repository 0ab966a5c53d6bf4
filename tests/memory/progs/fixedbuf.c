// SPDX-License-Identifier: MIT
/*
 * fixedbuf [KIB [ROUNDS]]: memory that an io_uring holds, while a thread needs KIB for itself.
 *
 * The ring reads and writes those very pages, whatever the page tables say: who gives the program another page there
 * loses what either writes.  Each case runs twice: in memory that is executable too, which UFFDIO_MOVE refuses for
 * its own reasons, and in plain memory.  Block i of the file is page i of key FILE_KEY.
 * All that is held at one time is HELD pages at most, so that a budget of 16 frames has room for more.
 */
#include <liburing.h>
#include <sys/uio.h>
#include "pressure.h"

#define FILE_PAGES 64UL
#define FILE_KEY 3
#define OUR_KEY 4
#define HELD 4

static size_t rounds, thrash_bytes;
static int fd, prot;
static struct io_uring ring;

static char *map_buffer(size_t nr_pages)
{
	return SYS(mmap(NULL, nr_pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void complete(void)
{
	struct io_uring_cqe *cqe;
	int ret;

	CHECK(io_uring_submit(&ring) == 1);
	while ((ret = io_uring_wait_cqe(&ring, &cqe)) == -EINTR)
		;
	CHECK(ret == 0 && cqe->res == (int)PAGE, "%d, result %d", ret, cqe->res);
	io_uring_cqe_seen(&ring, cqe);
}

/* By the ring; `held`: the address under which it knows the page. */
static void ring_read(char *held, size_t block, int buf)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_read_fixed(sqe, fd, held, PAGE, block * PAGE, buf);
	complete();
}

static void ring_write(char *held, size_t block, int buf)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	io_uring_prep_write_fixed(sqe, fd, held, PAGE, block * PAGE, buf);
	complete();
}

/* Both ways through page `page` of a buffer that the program sees at `at`; what it held before must be there still. */
static void both_ways(char *held, char *at, int buf, size_t page, size_t n)
{
	size_t block = mix64(n * HELD + page) % FILE_PAGES;
	char back[PAGE];

	held += page * PAGE;
	at += page * PAGE;
	check_page(at, OUR_KEY, page, n);
	ring_read(held, block, buf);
	check_page(at, FILE_KEY, block, 0);
	fill_page(at, OUR_KEY, block, n);
	push_out(thrash_bytes / 4);
	ring_write(held, block, buf);
	CHECK(SYS(pread(fd, back, PAGE, block * PAGE)) == (ssize_t)PAGE);
	check_page(back, OUR_KEY, block, n);
	fill_page(at, FILE_KEY, block, 0);
	ring_write(held, block, buf);
	fill_page(at, OUR_KEY, page, n + 1);
}

static void use(char *held, char *at, int buf, size_t nr_pages)
{
	for (size_t n = 0; n < rounds; n++)
		for (size_t i = 0; i < nr_pages; i++)
			both_ways(held, at, buf, i, n);
}

static void hold(char *buf, size_t nr_pages)
{
	struct iovec iov = { buf, nr_pages * PAGE };
	int ret;

	fill_pages(buf, nr_pages, OUR_KEY, 0);
	push_out(thrash_bytes); /* some of it is out when the ring asks for it */
	ret = io_uring_register_buffers(&ring, &iov, 1);
	CHECK(ret == 0, "io_uring_register_buffers: %s", strerror(-ret));
}

static void let_go(char *buf, size_t nr_pages)
{
	CHECK(io_uring_unregister_buffers(&ring) == 0);
	SYS(munmap(buf, nr_pages * PAGE));
}

static void registered(void)
{
	char *buf = map_buffer(HELD);

	hold(buf, HELD);
	use(buf, buf, 0, HELD);
	let_go(buf, HELD);
}

/* The second kind of call, with places that are filled, and filled anew, by a third. */
static void updated(void)
{
	char *buf = map_buffer(HELD);
	struct iovec iov = { buf, 2 * PAGE };
	int ret = io_uring_register_buffers_sparse(&ring, 2);

	CHECK(ret == 0, "io_uring_register_buffers_sparse: %s", strerror(-ret));
	fill_pages(buf, 2, OUR_KEY, 0);
	CHECK(io_uring_register_buffers_update_tag(&ring, 1, &iov, NULL, 1) == 1);
	use(buf, buf, 1, 2);
	iov.iov_base = buf + 2 * PAGE;
	fill_pages(iov.iov_base, 2, OUR_KEY, 0);
	push_out(thrash_bytes);
	CHECK(io_uring_register_buffers_update_tag(&ring, 1, &iov, NULL, 1) == 1);
	use(iov.iov_base, iov.iov_base, 1, 2);
	let_go(buf, HELD);
}

/* The ring holds pages and no addresses: they stay held wherever the program moves them. */
static void moved(void)
{
	char *buf = map_buffer(HELD), *to = map_buffer(HELD);

	hold(buf, HELD);
	SYS(mremap(buf, HELD * PAGE, HELD * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	use(buf, to, 0, HELD);
	let_go(to, HELD);
}

/* A fork leaves the parent the pages that are held, and gives the child copies. */
static void forked(void)
{
	char *buf = map_buffer(HELD);
	int go[2];
	pid_t pid;
	char c;

	hold(buf, HELD);
	SYS(pipe(go));
	pid = SYS(fork());
	if (!pid) {
		close(go[1]);
		check_pages(buf, HELD, OUR_KEY, 0);
		(void)!read(go[0], &c, 1);
		check_pages(buf, HELD, OUR_KEY, 0);
		fill_pages(buf, HELD, OUR_KEY, 7);
		push_out(thrash_bytes / 4);
		check_pages(buf, HELD, OUR_KEY, 7);
		_exit(0);
	}
	close(go[0]);
	use(buf, buf, 0, HELD);
	close(go[1]);
	expect_exit(pid, 0);
	check_pages(buf, HELD, OUR_KEY, rounds);
	fill_pages(buf, HELD, OUR_KEY, 0);
	use(buf, buf, 0, HELD);
	let_go(buf, HELD);
}

/* Pages that a child shares are copied when its parent has them held. */
static void shared(void)
{
	char *buf = map_buffer(HELD);
	struct iovec iov = { buf, HELD * PAGE };
	int go[2];
	pid_t pid;
	char c;

	fill_pages(buf, HELD, OUR_KEY, 0);
	SYS(pipe(go));
	pid = SYS(fork());
	if (!pid) {
		close(go[1]);
		(void)!read(go[0], &c, 1);
		check_pages(buf, HELD, OUR_KEY, 0);
		_exit(0);
	}
	close(go[0]);
	CHECK(io_uring_register_buffers(&ring, &iov, 1) == 0);
	use(buf, buf, 0, HELD);
	close(go[1]);
	expect_exit(pid, 0);
	let_go(buf, HELD);
}

/* What was held once need not stay: one after the other they are more than there is room for. */
static void in_turn(void)
{
	enum { NR = 24 };
	char *buf[NR];

	for (int i = 0; i < NR; i++) {
		buf[i] = map_buffer(HELD);
		hold(buf[i], HELD);
		both_ways(buf[i], buf[i], 0, 0, 0);
		CHECK(io_uring_unregister_buffers(&ring) == 0);
	}
	for (int i = 0; i < NR; i++) {
		check_page(buf[i], OUR_KEY, 0, 1);
		check_page(buf[i] + PAGE, OUR_KEY, 1, 0);
		SYS(munmap(buf[i], HELD * PAGE));
	}
}

/* A ring of buffers lies in the program's memory; the program adds to it there, and the kernel looks there. */
static void provided(void)
{
	struct io_uring_buf_ring *br = (void *)map_buffer(1);
	struct io_uring_buf_reg reg = { .ring_addr = (uintptr_t)br, .ring_entries = 8, .bgid = 5 };
	char *buf = map_buffer(1);

	if (io_uring_register_buf_ring(&ring, &reg, 0)) { /* since 5.19 */
		SYS(munmap(br, PAGE));
		SYS(munmap(buf, PAGE));
		return;
	}
	io_uring_buf_ring_init(br);
	for (size_t n = 0; n < rounds * 4; n++) {
		size_t block = mix64(n) % FILE_PAGES;
		struct io_uring_sqe *sqe;

		push_out(thrash_bytes / 2);
		io_uring_buf_ring_add(br, buf, PAGE, n, io_uring_buf_ring_mask(8), 0);
		io_uring_buf_ring_advance(br, 1);
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_read(sqe, fd, NULL, PAGE, block * PAGE);
		io_uring_sqe_set_flags(sqe, IOSQE_BUFFER_SELECT);
		sqe->buf_group = 5;
		complete();
		check_page(buf, FILE_KEY, block, 0);
	}
	CHECK(io_uring_unregister_buf_ring(&ring, 5) == 0);
	SYS(munmap(br, PAGE));
	SYS(munmap(buf, PAGE));
}

/* Memory that nobody has touched, or only read: the ring asks for its pages first. */
static void untouched(void)
{
	char *buf = map_buffer(HELD);
	struct iovec iov = { buf, HELD * PAGE };

	CHECK(buf[PAGE] == 0);
	CHECK(io_uring_register_buffers(&ring, &iov, 1) == 0);
	for (size_t i = 0; i < HELD; i++) {
		CHECK(buf[i * PAGE] == 0);
		fill_page(buf + i * PAGE, OUR_KEY, i, 0);
	}
	use(buf, buf, 0, HELD);
	let_go(buf, HELD);
}

/* What the kernel refuses is refused as ever. */
static void refused(void)
{
	struct iovec iov = { NULL, PAGE };
	char *none = SYS(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	CHECK(io_uring_register_buffers(&ring, (void *)none, 1) == -EFAULT);
	CHECK(io_uring_register_buffers(&ring, &iov, 0) == -EINVAL);
	CHECK(io_uring_register_buffers(&ring, &iov, 1) == -EFAULT);
	iov = (struct iovec){ none, PAGE };
	CHECK(io_uring_register_buffers(&ring, &iov, 1) == -EFAULT);
	CHECK(io_uring_unregister_buffers(&ring) == -ENXIO);
	SYS(munmap(none, PAGE));
}

static int make_file(void)
{
	char path[] = "fixedbuf-XXXXXX", page[PAGE];
	int file = SYS(mkstemp(path));

	SYS(unlink(path));
	for (size_t i = 0; i < FILE_PAGES; i++) {
		fill_page(page, FILE_KEY, i, 0);
		CHECK(SYS(pwrite(file, page, PAGE, i * PAGE)) == (ssize_t)PAGE);
	}
	return file;
}

/* A process for each case, with a ring of its own. */
static void run_alone(const char *name, void (*fn)(void))
{
	struct thrash thrash;
	pid_t pid;

	printf("%s%s\n", name, prot & PROT_EXEC ? ", executable" : "");
	fflush(stdout);
	pid = SYS(fork());
	if (!pid) {
		CHECK(io_uring_queue_init(8, &ring, 0) == 0);
		thrash_start(&thrash, thrash_bytes, 6);
		fn();
		thrash_end(&thrash);
		io_uring_queue_exit(&ring);
		_exit(0);
	}
	expect_exit(pid, 0);
}

#define RUN_ALONE(fn) run_alone(#fn, fn)

static void all_cases(void)
{
	RUN_ALONE(registered);
	RUN_ALONE(updated);
	RUN_ALONE(moved);
	RUN_ALONE(forked);
	RUN_ALONE(shared);
	RUN_ALONE(in_turn);
	RUN_ALONE(provided);
	RUN_ALONE(untouched);
	RUN_ALONE(refused);
}

int main(int argc, char **argv)
{
	int ret = io_uring_queue_init(8, &ring, 0);

	if (ret == -ENOSYS || ret == -EPERM) {
		puts("skipped: io_uring is not allowed here");
		return 0;
	}
	CHECK(ret == 0, "io_uring_queue_init: %s", strerror(-ret));
	io_uring_queue_exit(&ring);
	thrash_bytes = arg_or(argc, argv, 1, 1024) * KIB;
	rounds = arg_or(argc, argv, 2, 4);
	fd = make_file();
	prot = PROT_READ | PROT_WRITE | PROT_EXEC;
	all_cases();
	prot = PROT_READ | PROT_WRITE;
	all_cases();
	return 0;
}
