/* SPDX-License-Identifier: MIT */
/*
 * rwloop.c - write and read of one byte, again and again: system calls that upager does not trap.
 *
 *	rwloop pipe|dev		dev: write to /dev/null, read from /dev/zero
 *
 * Prints ns a pair of calls.
 */
#include <fcntl.h>

#include "bench.h"

#define NR_PAIRS 500000

int main(int argc, char **argv)
{
	u64 nr_pairs = scaled(NR_PAIRS), start;
	char byte = 'x';
	int fds[2]; /* read, write */

	if (argc > 1 && !strcmp(argv[1], "pipe")) {
		if (pipe(fds))
			die("pipe");
	} else if (argc > 1 && !strcmp(argv[1], "dev")) {
		fds[0] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
		fds[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (fds[0] < 0 || fds[1] < 0)
			die("open");
	} else {
		usage("pipe|dev");
	}
	start = now_ns();
	for (u64 i = 0; i < nr_pairs; i++)
		if (write(fds[1], &byte, 1) != 1 || read(fds[0], &byte, 1) != 1)
			die("write and read");
	print_per_op(now_ns() - start, nr_pairs);
	return 0;
}
