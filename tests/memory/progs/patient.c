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

/* Lock whatever is writable and small: the stack's top, data sections. */
static void lock_small(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512], perm[5];
	uintptr_t from, to;

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %4s", &from, &to, perm) == 3 && !strcmp(perm, "rw-p") &&
		    to - from <= 256 * KIB)
			SYS(mlock((void *)from, to - from));
	fclose(f);
}

int main(int argc, char **argv)
{
	size_t nr = arg_or(argc, argv, 1, 1024) * KIB / PAGE;
	volatile unsigned long nr_lost = 0;
	char *p, c;

	if (argc > 2) {
		signal(SIGBUS, on_sigbus);
		lock_small(); /* without its stack nobody can say anything */
	}
	p = map_anon(nr * PAGE);
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
