// SPDX-License-Identifier: MIT
/* Memory is promised by mmap and given at the first touch of each page. */
#include "demo.h"

int main(void)
{
	char *p = fresh_memory(64 * MIB);

	printf("mmap promised 64 MiB (16384 pages); nothing is there yet\n");
	for (int i = 0; i < 1000; i++)
		p[(i * 97 % 16384) * PAGE] = 1;
	printf("wrote one byte to each of 1000 scattered pages: 1000 faults, 1000 pages\n");
	for (int round = 0; round < 100; round++)
		for (int i = 0; i < 1000; i++)
			p[(i * 97 % 16384) * PAGE]++;
	printf("wrote to the same pages 100 times more: no fault\n");
	return 0;
}
