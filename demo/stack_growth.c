// SPDX-License-Identifier: MIT
/* The stack is small at first and grows down as calls go deeper. */
#include <sys/resource.h>
#include "demo.h"

static int depth_of(int n)
{
	volatile char frame[4096] = { (char)n };

	return n == 0 ? 0 : depth_of(n - 1) + 1 + (frame[0] - (char)n);
}

int main(void)
{
	struct rlimit rl;

	getrlimit(RLIMIT_STACK, &rl);
	printf("the stack may grow to %lu KiB; now it holds a few pages\n",
	       (unsigned long)rl.rlim_cur / 1024);
	printf("%d calls of 4 KiB each:", depth_of(1000));
	printf(" about a page, and a fault, a call\n");
	printf("%d calls again: the stack is there, no fault\n", depth_of(1000));
	return 0;
}
