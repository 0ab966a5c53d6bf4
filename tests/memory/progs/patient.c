// SPDX-License-Identifier: MIT
/*
 * patient KIB [sigbus]: fills KIB, says "filled", waits for the end of stdin, and verifies every byte.  With
 * "sigbus" pages whose access is answered by SIGBUS are left out, and how many there were is said.
 */
#include <setjmp.h>
#include "pressure.h"

static sigjmp_buf lost;

static void on_sigbus(int sig)
{
	siglongjmp(lost, 1);
}

int main(int argc, char **argv)
{
	size_t nr = arg_or(argc, argv, 1, 1024) * KIB / PAGE;
	volatile unsigned long nr_lost = 0;
	char *p = map_anon(nr * PAGE), c;

	if (argc > 2)
		signal(SIGBUS, on_sigbus);
	fill_pages(p, nr, 1, 0);
	puts("filled");
	fflush(stdout);
	while (SYS(read(0, &c, 1)) > 0)
		;
	for (volatile size_t i = 0; i < nr; i++) {
		if (sigsetjmp(lost, 1))
			nr_lost++;
		else
			check_page(p + i * PAGE, 1, i, 0);
	}
	printf("%lu pages lost\n", (unsigned long)nr_lost);
	return 0;
}
