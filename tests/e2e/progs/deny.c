// SPDX-License-Identifier: MIT
/*
 * deny CALL PROG [ARG…]: run PROG with one system call refused (EPERM), as a container would.
 * CALL: userfaultfd, ptrace, seccomp, pidfd_getfd, io_uring_setup.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include "e2e.h"

static const struct {
	const char *name;
	int nr;
} calls[] = {
	{ "userfaultfd", SYS_userfaultfd },
	{ "ptrace", SYS_ptrace },
	{ "seccomp", SYS_seccomp },
	{ "pidfd_getfd", SYS_pidfd_getfd },
	{ "io_uring_setup", SYS_io_uring_setup },
	{ "clone3", SYS_clone3 },
	{ "eventfd2", SYS_eventfd2 },
	{ "memfd_create", SYS_memfd_create },
	{ "fallocate", SYS_fallocate },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls) && argc > 2; i++) {
		struct sock_filter f[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i].nr, 0, 1),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
			BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		};
		struct sock_fprog prog = { .len = ARRAY_SIZE(f), .filter = f };

		if (strcmp(calls[i].name, argv[1]))
			continue;
		SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
		SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
		execvp(argv[2], argv + 2);
		CHECK(0, "%s: %s", argv[2], strerror(errno));
	}
	return 2;
}
