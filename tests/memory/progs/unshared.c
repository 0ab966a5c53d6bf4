// SPDX-License-Identifier: MIT
/*
 * unshared KIB [LIMIT]: memory that was shared by forks until the kernel itself held it for a while (process_vm_readv,
 * direct I/O out of it), and so gave each process pages of its own.
 *
 * LIMIT: so many KiB all processes may have then, under pressure.
 */
#include <sys/uio.h>
#include "pressure.h"

#define CHILDREN 8
#define PIECE (64 * KIB)

static size_t len;
static char *area;

static void read_all_by_call(void)
{
	static char to[PIECE];

	for (size_t at = 0; at < len; at += PIECE) {
		struct iovec local = { to, PIECE }, remote = { area + at, PIECE };

		CHECK(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == PIECE, "%m");
		CHECK(!memcmp(to, area + at, PIECE), "at %zu", at);
	}
}

static size_t anon_kib(pid_t pid)
{
	char path[64], line[256];
	size_t kib = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "r");
	CHECK(f, "%s: %m", path);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "Pss_Anon: %zu", &kib);
	fclose(f);
	return kib;
}

int main(int argc, char **argv)
{
	size_t limit = arg_or(argc, argv, 2, 0), kib, n;
	pid_t pid[CHILDREN];
	int ready[2], end[2];
	char byte = 0;

	len = arg_or(argc, argv, 1, 512) * KIB;
	n = len / PAGE;
	area = map_anon(len);
	fill_pages(area, n, 1, 1);
	SYS(pipe(ready));
	SYS(pipe(end));
	for (int i = 0; i < CHILDREN; i++) {
		pid[i] = SYS(fork());
		if (!pid[i]) {
			close(end[1]);
			read_all_by_call();
			CHECK(write(ready[1], &byte, 1) == 1, "%m");
			CHECK(read(end[0], &byte, 1) == 0, "%m");
			check_pages(area, n, 1, 1);
			_exit(0);
		}
		CHECK(read(ready[0], &byte, 1) == 1, "%m");
	}
	for (int i = 0; i < 3; i++)
		push_out(2 * len);
	kib = anon_kib(getpid());
	for (int i = 0; i < CHILDREN; i++)
		kib += anon_kib(pid[i]);
	CHECK(!limit || kib <= limit, "%zu KiB of %zu", kib, limit);
	close(end[1]);
	for (int i = 0; i < CHILDREN; i++)
		expect_exit(pid[i], 0);
	check_pages(area, n, 1, 1);
	puts("whole");
	return 0;
}
