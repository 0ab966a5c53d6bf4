// SPDX-License-Identifier: MIT
/*
 * Processes that look into each other: process_vm_readv/writev, /proc/PID/mem, ptrace, pidfd_getfd,
 * a userfaultfd of the program's own. What upager refuses it must refuse at once and clearly.
 */
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include "e2e.h"

#define AREA (16 * PAGE)

static char *area, *untouched;
static int gate[2];

static void wait_at_gate(void *unused)
{
	char c;

	SYS(close(gate[1]));
	CHECK(SYS(read(gate[0], &c, 1)) == 0);
	check_marks(area, AREA, 1);
	check_marks(untouched, AREA, 2);
}

/* The parent reads pages that its child has and has not, and writes into both. */
static void process_vm(void)
{
	char *buf = map_anon(AREA);
	struct iovec local = { buf, AREA }, remote = { NULL, AREA };
	pid_t pid;

	SYS(pipe(gate));
	fill_marks(area, AREA, 1);
	pid = fork_run(wait_at_gate, NULL);
	SYS(close(gate[0]));
	fill_marks(area, AREA, 9);
	remote.iov_base = area;
	CHECK(SYS(process_vm_readv(pid, &local, 1, &remote, 1, 0)) == (ssize_t)AREA);
	check_marks(buf, AREA, 1);
	remote.iov_base = untouched;
	CHECK(SYS(process_vm_readv(pid, &local, 1, &remote, 1, 0)) == (ssize_t)AREA);
	check_bytes(buf, AREA, 0);
	fill_marks(buf, AREA, 2);
	CHECK(SYS(process_vm_writev(pid, &local, 1, &remote, 1, 0)) == (ssize_t)AREA);
	check_bytes(untouched, AREA, 0);
	fill_marks(buf, AREA, 1);
	remote.iov_base = area;
	CHECK(SYS(process_vm_writev(pid, &local, 1, &remote, 1, 0)) == (ssize_t)AREA);
	check_marks(area, AREA, 9);
	SYS(close(gate[1]));
	expect_exit(pid, 0);
	remote.iov_base = area;
	FAILS(ESRCH, process_vm_readv(pid, &local, 1, &remote, 1, 0));
	SYS(munmap(buf, AREA));
}

/* The same on oneself, over pages that are not there yet. */
static void process_vm_self(void)
{
	char *from = map_anon(AREA), *to = map_anon(AREA);
	struct iovec local = { to, AREA }, remote = { from, AREA };

	CHECK(SYS(process_vm_readv(getpid(), &local, 1, &remote, 1, 0)) == (ssize_t)AREA);
	check_bytes(to, AREA, 0);
	fill_marks(from, AREA, 3);
	CHECK(SYS(process_vm_readv(getpid(), &local, 1, &remote, 1, 0)) == (ssize_t)AREA);
	check_marks(to, AREA, 3);
	SYS(munmap(from, AREA));
	SYS(munmap(to, AREA));
}

/* /proc/self/mem: pages that are there. (A missing page may be refused with EIO under a pager.) */
static void proc_self_mem(void)
{
	int fd = SYS(open("/proc/self/mem", O_RDWR));
	char *p = map_anon(AREA), *q = map_anon(AREA);

	fill_marks(p, AREA, 4);
	CHECK(SYS(pread(fd, q, AREA, (off_t)(uintptr_t)p)) == (ssize_t)AREA);
	check_marks(q, AREA, 4);
	fill_marks(q, AREA, 5);
	CHECK(SYS(pwrite(fd, q, AREA, (off_t)(uintptr_t)p)) == (ssize_t)AREA);
	check_marks(p, AREA, 5);
	SYS(close(fd));
	SYS(munmap(p, AREA));
	SYS(munmap(q, AREA));
}

/* A program that traces: works (natively), or EPERM at once since somebody traces it already. */
static void ptrace_works_or_says_no(void)
{
	pid_t pid = SYS(fork());
	int st;

	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(errno == EPERM ? 10 : 1);
		raise(SIGSTOP);
		_exit(10);
	}
	CHECK(SYS(waitpid(pid, &st, 0)) == pid);
	if (WIFSTOPPED(st)) {
		CHECK(WSTOPSIG(st) == SIGSTOP);
		SYS(ptrace(PTRACE_CONT, pid, NULL, NULL));
		CHECK(SYS(waitpid(pid, &st, 0)) == pid);
	}
	CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 10, "status %#x", st);
	pid = SYS(fork());
	if (!pid) {
		pause();
		_exit(0);
	}
	CHECK(ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0 || errno == EPERM);
	SYS(kill(pid, SIGKILL));
	expect_signal(pid, SIGKILL);
}

/* A userfaultfd of the program's own: a working answer or a clear refusal. */
static void own_userfaultfd(void)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API };

	if (fd < 0) {
		CHECK(errno == EPERM || errno == ENOSYS, "userfaultfd: %s", strerror(errno));
		return;
	}
	SYS(ioctl(fd, UFFDIO_API, &api));
	SYS(close(fd));
}

static void check_inherited(void *unused)
{
	check_marks(area, AREA, 2);
	fill_marks(area, AREA, 4);
}

/* A child that nobody may look into still runs. */
static void not_dumpable(void *unused)
{
	SYS(prctl(PR_SET_DUMPABLE, 0));
	CHECK(SYS(prctl(PR_GET_DUMPABLE)) == 0);
	check_marks(area, AREA, 1);
	fill_marks(area, AREA, 2);
	char *p = map_anon(AREA);
	fill_marks(p, AREA, 3);
	check_marks(p, AREA, 3);
	expect_exit(fork_run(check_inherited, NULL), 0);
	check_marks(area, AREA, 2);
}

static void undumpable_child(void)
{
	fill_marks(area, AREA, 1);
	expect_exit(fork_run(not_dumpable, NULL), 0);
	check_marks(area, AREA, 1);
}

int main(void)
{
	area = map_anon(AREA);
	untouched = map_anon(AREA);
	RUN(process_vm);
	RUN(process_vm_self);
	RUN(proc_self_mem);
	RUN(ptrace_works_or_says_no);
	RUN(own_userfaultfd);
	RUN(undumpable_child);
	return 0;
}
