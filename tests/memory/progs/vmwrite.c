// SPDX-License-Identifier: MIT
/*
 * vmwrite [PAGES [ROUNDS]]: process_vm_writev into one's own memory and a child's, plain, executable and in pieces.  The
 * kernel holds many pages for one call, and waits in it for those that are out.
 */
#include <sys/uio.h>
#include "pressure.h"

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

static size_t nr_pages, rounds;
static uint64_t seed = 1;

static void write_to(pid_t pid, char *to, char *from, size_t pages)
{
	struct iovec local = { from, pages * PAGE };
	struct iovec remote[2] = { { to, PAGE / 2 }, { to + PAGE / 2, pages * PAGE - PAGE / 2 } };

	CHECK(process_vm_writev(pid, &local, 1, remote, 2, 0) == (ssize_t)(pages * PAGE), "process_vm_writev: %m");
}

static void own(char *to)
{
	char *from = map_anon(nr_pages * PAGE);

	for (uint32_t i = 1; i <= rounds; i++) {
		size_t n = 1 + rnd(&seed) % (nr_pages / 8), at = rnd(&seed) % (nr_pages - n);

		fill_pages(from + at * PAGE, n, at, i);
		write_to(getpid(), to + at * PAGE, from + at * PAGE, n);
		check_pages(to + at * PAGE, n, at, i);
	}
	SYS(munmap(to, nr_pages * PAGE));
	SYS(munmap(from, nr_pages * PAGE));
}

static void plain(void)
{
	own(map_anon(nr_pages * PAGE));
}

static void executable(void)
{
	own(SYS(mmap(NULL, nr_pages * PAGE, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
}

/* Many mappings for the kernel, each with an anon_vma of its own; one for those who do not know of that. */
static void in_pieces(void)
{
	char *to = map_anon(nr_pages * PAGE);

	for (size_t i = 0; i + 3 <= nr_pages; i += 11)
		SYS(mmap(to + i * PAGE, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0));
	own(to);
}

static void of_a_child(void)
{
	size_t n = nr_pages / 8;
	char *to = SYS(mmap(NULL, n * PAGE, RWX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	char *from = map_anon(n * PAGE), go;
	int ask[2], done[2];
	pid_t pid;

	SYS(pipe(ask));
	SYS(pipe(done));
	pid = SYS(fork());
	if (!pid) {
		close(ask[1]);
		for (uint32_t i = 1; read(ask[0], &go, 1) == 1; i++) {
			check_pages(to, n, 7, i);
			push_out(nr_pages * PAGE);
			CHECK(write(done[1], &go, 1) == 1, "%m");
		}
		_exit(0);
	}
	for (uint32_t i = 1; i <= 20; i++) {
		fill_pages(from, n, 7, i);
		write_to(pid, to, from, n);
		CHECK(write(ask[1], &go, 1) == 1 && read(done[0], &go, 1) == 1, "%m");
	}
	close(ask[1]);
	expect_exit(pid, 0);
}

int main(int argc, char **argv)
{
	nr_pages = arg_or(argc, argv, 1, 512);
	rounds = arg_or(argc, argv, 2, 200);
	RUN(plain);
	RUN(executable);
	RUN(in_pieces);
	RUN(of_a_child);
	return 0;
}
