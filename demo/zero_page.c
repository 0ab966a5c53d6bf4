// SPDX-License-Identifier: MIT
/* Reading a new page costs no memory: all such pages are one page of zeroes, until a write. */
#include "demo.h"

int main(void)
{
	char *p = fresh_memory(1000 * PAGE);
	int sum = 0;

	for (int i = 0; i < 1000; i++)
		sum += p[i * 7 % 1000 * PAGE];
	printf("read 1000 new pages: the sum is %d, and they are one shared page of zeroes\n", sum);
	for (int i = 0; i < 10; i++)
		p[i * 100 * PAGE] = 1;
	printf("wrote to 10 of them: 10 write-protect faults, 10 pages of their own\n");
	return 0;
}
