// SPDX-License-Identifier: MIT
/* Touching in order lets a pager bring many pages at once; at random it cannot. */
#include "demo.h"

#define NR 8192UL

static double touch(size_t step)
{
	char *p = fresh_memory(NR * PAGE);
	double start = now_us(), spent;

	for (size_t i = 0; i < NR; i++)
		p[i * step % NR * PAGE] = 1;
	spent = now_us() - start;
	munmap(p, NR * PAGE);
	return spent / NR;
}

int main(void)
{
	printf("%lu new pages in order:  %6.2f us a page\n", NR, touch(1));
	printf("%lu new pages at random: %6.2f us a page\n", NR, touch(4099));
	return 0;
}
