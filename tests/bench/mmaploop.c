/* SPDX-License-Identifier: MIT */
/*
 * mmaploop.c - mmap and munmap of 64 KiB, again and again.
 *
 *	mmaploop [touch]	touch: with one write to the first page
 *
 * Prints ns a pair.
 */
#include "bench.h"

#define NR_PAIRS 20000
#define LEN      (64 * 1024UL)

int main(int argc, char **argv)
{
	bool touch = argc > 1 && !strcmp(argv[1], "touch");
	u64 nr_pairs = scaled(NR_PAIRS), start;

	if (argc > 1 && !touch)
		usage("[touch]");
	start = now_ns();
	for (u64 i = 0; i < nr_pairs; i++) {
		volatile char *mem = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (mem == MAP_FAILED)
			die("mmap");
		if (touch)
			*mem = 1;
		if (munmap((void *)mem, LEN))
			die("munmap");
	}
	print_per_op(now_ns() - start, nr_pairs);
	return 0;
}
