// SPDX-License-Identifier: MIT
/*
 * nsmove KIB: processes that have asked for another namespace for their children, and until they ask for their own again
 * can have no thread more (clone() says EINVAL), fill KIB and verify it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>
#include "pressure.h"

static size_t nr;

static int own(const char *ns)
{
	return SYS(open(ns, O_RDONLY | O_CLOEXEC));
}

/* It lists the threads of its process meanwhile. */
static void lists(void)
{
	SYS(unshare(CLONE_NEWPID));
	closedir(opendir("/proc/self/task"));
	use_memory(nr, 1);
}

/* It goes through another call for namespaces, and back. */
static void comes_back(void)
{
	int uts = own("/proc/self/ns/uts"), pid = own("/proc/self/ns/pid");

	SYS(unshare(CLONE_NEWPID));
	SYS(setns(uts, CLONE_NEWUTS));
	SYS(setns(pid, CLONE_NEWPID));
	use_memory(nr, 2);
}

/* Its child is the init of what it has made. */
static void makes_init(void)
{
	pid_t pid;

	SYS(unshare(CLONE_NEWUSER | CLONE_NEWPID));
	pid = SYS(fork());
	if (!pid) {
		CHECK(getpid() == 1);
		use_memory(nr, 3);
		_exit(0);
	}
	SYS(waitpid(pid, NULL, 0));
}

int main(int argc, char **argv)
{
	void (*const phases[])(void) = { lists, comes_back, makes_init };

	nr = arg_or(argc, argv, 1, 512) * KIB / PAGE;
	for (size_t i = 0; i < 3 && !geteuid(); i++) {
		int status;
		pid_t pid = SYS(fork());

		if (!pid) {
			phases[i]();
			_exit(0);
		}
		SYS(waitpid(pid, &status, 0));
		if (status)
			fprintf(stderr, "phase %zu: status %x\n", i, status);
		CHECK(!status);
	}
	puts("nsmove: ok");
	return 0;
}
