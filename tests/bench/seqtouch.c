/* SPDX-License-Identifier: MIT */
/* seqtouch.c - sequential first touch of 256 MiB, one write a page.  Prints ns a page. */
#include "bench.h"

int main(void)
{
	u64 len = scaled(256 * MIB), start;
	volatile char *mem = map_untouched(len);

	start = now_ns();
	for (u64 at = 0; at < len; at += PAGE_SIZE)
		mem[at] = 1;
	print_per_op(now_ns() - start, len / PAGE_SIZE);
	return 0;
}
