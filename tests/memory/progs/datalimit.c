// SPDX-License-Identifier: MIT
/*
 * datalimit KIB: under a RLIMIT_DATA that leaves 2 MiB beside KIB, set before and after a process has memory out, fill
 * KIB and verify it; what fits the limit natively fits, and what does not is refused.
 */
#include <sys/resource.h>

#include "pressure.h"

static void at_the_limit(size_t nr)
{
	char *p;

	use_memory(nr, 1);
	p = map_anon(nr * PAGE + MIB);
	FAILS(ENOMEM, mmap(NULL, 2 * MIB, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SYS(munmap(p, nr * PAGE + MIB));
	use_memory(nr, 2);
}

int main(int argc, char **argv)
{
	size_t nr = arg_or(argc, argv, 1, 512) * KIB / PAGE;
	struct rlimit limit = { nr * PAGE + 2 * MIB, nr * PAGE + 2 * MIB };
	pid_t pid;

	if (argc > 2) {
		at_the_limit(nr);
		return 17;
	}
	use_memory(nr, 3);
	SYS(setrlimit(RLIMIT_DATA, &limit));
	at_the_limit(nr);
	pid = SYS(fork());
	if (!pid) {
		at_the_limit(nr);
		execl("/proc/self/exe", argv[0], argv[1], "again", NULL);
		_exit(1);
	}
	expect_exit(pid, 17);
	return 0;
}
