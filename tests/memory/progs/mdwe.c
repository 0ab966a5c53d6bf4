// SPDX-License-Identifier: MIT
/*
 * mdwe KIB: after PR_SET_MDWE (Linux 6.3), in a child of it and in what that executes, where no memory may become
 * executable that was not, fill KIB and verify it.
 */
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "pressure.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE		65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

int main(int argc, char **argv)
{
	size_t nr = arg_or(argc, argv, 1, 512) * KIB / PAGE;
	pid_t pid;

	if (argc > 2) {
		use_memory(nr, 1);
		return 17;
	}
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
		CHECK(errno == EINVAL, "%s", strerror(errno));
	else
		FAILS(EACCES, mprotect(map_anon(PAGE), PAGE, PROT_READ | PROT_EXEC));
	use_memory(nr, 2);
	pid = SYS(fork());
	if (!pid) {
		use_memory(nr, 3);
		execl("/proc/self/exe", argv[0], argv[1], "again", NULL);
		_exit(1);
	}
	use_memory(nr, 4);
	expect_exit(pid, 17);
	return 0;
}
