// SPDX-License-Identifier: MIT
/* fork copies nothing: parent and child share each page until one of them writes to it. */
#include <sys/wait.h>
#include "demo.h"

#define NR 1000

int main(void)
{
	char *p = fresh_memory(NR * PAGE);
	int sum = 0;

	for (int i = 0; i < NR; i++)
		p[i * PAGE] = 1;
	printf("%d pages written; now fork: both have them all, none is copied\n", NR);
	fflush(stdout);
	if (fork() == 0) {
		for (int i = 0; i < 100; i++)
			p[i * 10 * PAGE] = 2;
		printf("the child wrote to 100 of them: 100 write-protect faults, 100 copies\n");
		return 0;
	}
	wait(NULL);
	for (int i = 0; i < NR; i++)
		sum += p[i * PAGE];
	printf("the parent still sees its own bytes: sum %d\n", sum);
	for (int i = 0; i < NR; i++)
		p[i * PAGE]++;
	printf("the parent wrote to all %d, alone now: reused in place, no copy\n", NR);
	return 0;
}
