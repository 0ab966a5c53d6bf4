// SPDX-License-Identifier: MIT
/* Programs that confine themselves: seccomp filters, no_new_privs, other users, chroot. */
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <ucontext.h>
#include <sys/prctl.h>
#include "e2e.h"

#define AREA (32 * PAGE)
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(v) BPF_STMT(BPF_RET | BPF_K, (v))
/* Answer `v` when the number just loaded is `nr`. */
#define ON(nr, v) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), RET(v)

static char *area;

static void install(struct sock_filter *insns, size_t n)
{
	struct sock_fprog prog = { .len = n, .filter = insns };

	SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
	CHECK(SYS(prctl(PR_GET_SECCOMP)) == 2);
}

/* Fault, in a page nobody has touched, on the heap, on the stack. */
static void use_memory(uint64_t tag)
{
	char stack[8 * PAGE];

	memset(stack, (int)tag, sizeof(stack));
	check_bytes(stack, sizeof(stack), (int)tag);
	fill_marks(area, AREA, tag);
	check_marks(area, AREA, tag);
}

static void fresh_area(void)
{
	SYS(madvise(area, AREA, MADV_DONTNEED));
}

/* mmap and its kin are errors from now on; memory that there is goes on working, over fork too. */
static void without_mmap(void *unused)
{
	struct sock_filter f[] = {
		LOAD(nr),
		ON(SYS_mmap, SECCOMP_RET_ERRNO | EPERM),
		ON(SYS_munmap, SECCOMP_RET_ERRNO | EPERM),
		ON(SYS_mremap, SECCOMP_RET_ERRNO | EPERM),
		ON(SYS_mprotect, SECCOMP_RET_ERRNO | EPERM),
		ON(SYS_madvise, SECCOMP_RET_ERRNO | EPERM),
		ON(SYS_userfaultfd, SECCOMP_RET_ERRNO | EPERM),
		ON(SYS_ioctl, SECCOMP_RET_ERRNO | EPERM),
		RET(SECCOMP_RET_ALLOW),
	};

	fresh_area();
	install(f, ARRAY_SIZE(f));
	use_memory(1);
	FAILS(EPERM, syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	FAILS(EPERM, syscall(SYS_mprotect, area, PAGE, PROT_READ));
	FAILS(EPERM, syscall(SYS_madvise, area, PAGE, MADV_DONTNEED));
	pid_t pid = SYS(fork());
	if (!pid) {
		check_marks(area, AREA, 1);
		use_memory(2);
		_exit(0);
	}
	use_memory(3);
	expect_exit(pid, 0);
	check_marks(area, AREA, 3);
}

/* An allow-list of a few calls; anything else kills. */
static void strict_list(void *unused)
{
	struct sock_filter f[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		RET(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		ON(SYS_read, SECCOMP_RET_ALLOW),
		ON(SYS_write, SECCOMP_RET_ALLOW),
		ON(SYS_exit_group, SECCOMP_RET_ALLOW),
		ON(SYS_rt_sigreturn, SECCOMP_RET_ALLOW),
		ON(SYS_brk, SECCOMP_RET_ALLOW),
		ON(SYS_prctl, SECCOMP_RET_ALLOW),
		RET(SECCOMP_RET_KILL_PROCESS),
	};

	fresh_area();
	install(f, ARRAY_SIZE(f));
	use_memory(4);
	syscall(SYS_brk, syscall(SYS_brk, 0) + MIB);
	use_memory(5);
}

static void strict_then_forbidden(void *arg)
{
	strict_list(arg);
	getppid();
}

/* SECCOMP_MODE_STRICT: read, write, exit, sigreturn; SIGKILL for the rest. */
static void mode_strict(void *then)
{
	fresh_area();
	SYS(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	use_memory(6);
	if (then)
		syscall(SYS_getppid);
	syscall(SYS_exit, 5);
}

/* Through the newer call, on all threads, then exec: the filter goes along. */
static void *idle_thread(void *unused)
{
	for (int i = 0; i < 20; i++) {
		fill_marks(area, AREA, 9);
		sleep_ms(1);
	}
	return NULL;
}

static void tsync_and_exec(void *unused)
{
	struct sock_filter f[] = {
		LOAD(nr),
		ON(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV),
		RET(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(f), .filter = f };
	pthread_t t;

	CHECK(pthread_create(&t, NULL, idle_thread, NULL) == 0);
	SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SYS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog));
	FAILS(EXDEV, syscall(SYS_getppid));
	CHECK(pthread_join(t, NULL) == 0);
	use_memory(7);
	execl("/proc/self/exe", "confine", "filtered", NULL);
	_exit(1);
}

/* Our exec image under the filter of the old one. */
static int filtered_image(void)
{
	FAILS(EXDEV, syscall(SYS_getppid));
	CHECK(SYS(prctl(PR_GET_SECCOMP)) == 2);
	CHECK(SYS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)) == 1);
	area = map_anon(AREA);
	use_memory(8);
	return 16;
}

static void on_sys(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	CHECK(si->si_code == 1 && si->si_syscall == SYS_getppid);
	uc->uc_mcontext.gregs[REG_RAX] = 4242;
}

/* RET_TRAP: the program answers its own call in a SIGSYS handler. */
static void trap_to_handler(void *unused)
{
	struct sigaction sa = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO };
	struct sock_filter f[] = {
		LOAD(nr), ON(SYS_getppid, SECCOMP_RET_TRAP), RET(SECCOMP_RET_ALLOW),
	};

	SYS(sigaction(SIGSYS, &sa, NULL));
	install(f, ARRAY_SIZE(f));
	CHECK(syscall(SYS_getppid) == 4242);
	fresh_area();
	use_memory(10);
}

static void filters(void)
{
	expect_exit(fork_run(without_mmap, NULL), 0);
	expect_exit(fork_run(strict_list, NULL), 0);
	expect_signal(fork_run(strict_then_forbidden, NULL), SIGSYS);
	expect_exit(fork_run(tsync_and_exec, NULL), 16);
	expect_exit(fork_run(trap_to_handler, NULL), 0);
}

static void forbid_getppid(uint32_t with)
{
	struct sock_filter f[] = { LOAD(nr), ON(SYS_getppid, with), RET(SECCOMP_RET_ALLOW) };

	fresh_area();
	install(f, ARRAY_SIZE(f));
	use_memory(9);
}

static void *forbidden_thread(void *after)
{
	volatile pid_t *tid = after; /* the kernel zeroes it when that thread is gone */

	while (tid && *tid)
		sched_yield();
	use_memory(10);
	syscall(SYS_getppid);
	return NULL;
}

static void killed_alone(void *unused)
{
	SYS(prctl(PR_SET_DUMPABLE, 0));
	forbid_getppid(SECCOMP_RET_KILL_THREAD);
	syscall(SYS_getppid);
}

static void killed_with_handler(void *unused)
{
	signal(SIGSYS, exit);
	killed_alone(unused);
}

static void killed_beside_main(void *unused)
{
	pthread_t t;

	forbid_getppid(SECCOMP_RET_KILL_THREAD);
	CHECK(pthread_create(&t, NULL, forbidden_thread, NULL) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	use_memory(11);
}

static void killed_after_main(void *unused)
{
	static pid_t tid;
	pthread_t t;

	forbid_getppid(SECCOMP_RET_KILL_THREAD);
	tid = (pid_t)SYS(syscall(SYS_set_tid_address, &tid));
	CHECK(pthread_create(&t, NULL, forbidden_thread, &tid) == 0);
	syscall(SYS_exit, 3);
}

/* RET_KILL_THREAD: that thread alone; when it was the last, its process has died by SIGSYS, whatever handler it had. */
static void kill_thread(void)
{
	expect_signal(fork_run(killed_alone, NULL), SIGSYS);
	expect_signal(fork_run(killed_with_handler, NULL), SIGSYS);
	expect_exit(fork_run(killed_beside_main, NULL), 0);
	expect_signal(fork_run(killed_after_main, NULL), SIGSYS);
}

/* RET_TRACE where nobody traces is ENOSYS, of calls that upager traps, too; but an errno of another filter goes first. */
static void trace_is_enosys(void *first)
{
	struct sock_filter f[] = {
		LOAD(nr),
		ON(SYS_getppid, SECCOMP_RET_TRACE | 7),
		ON(SYS_munmap, SECCOMP_RET_TRACE | 7),
		ON(SYS_prctl, SECCOMP_RET_TRACE | 0x7570), /* upager's own */
		RET(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(f), f };

	if (first)
		forbid_getppid(SECCOMP_RET_ERRNO | EXDEV);
	SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SYS(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
	FAILS(first ? EXDEV : ENOSYS, syscall(SYS_getppid));
	FAILS(ENOSYS, munmap(area, PAGE));
	FAILS(ENOSYS, prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	use_memory(12);
	_exit(0);
}

static void errno_after_trace(void *unused)
{
	struct sock_filter f[] = { LOAD(nr), ON(SYS_getppid, SECCOMP_RET_TRACE), RET(SECCOMP_RET_ALLOW) };

	install(f, ARRAY_SIZE(f));
	forbid_getppid(SECCOMP_RET_ERRNO | EXDEV);
	FAILS(EXDEV, syscall(SYS_getppid));
}

static void untraced(void)
{
	expect_exit(fork_run(trace_is_enosys, NULL), 0);
	expect_exit(fork_run(trace_is_enosys, area), 0);
	expect_exit(fork_run(errno_after_trace, NULL), 0);
}

static void only_get_mode(void *mode)
{
	_exit(prctl(PR_GET_SECCOMP) == (int)(intptr_t)mode ? 0 : 1);
}

static void modes_of_children(void *mode)
{
	forbid_getppid(SECCOMP_RET_ERRNO | EXDEV);
	expect_exit(fork_run(only_get_mode, mode), 0);
	FAILS(EINVAL, prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
	FAILS(EINVAL, syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
	CHECK(SYS(prctl(PR_GET_SECCOMP)) == 2);
}

/* What a task is in, and that it stays in it: as without upager. */
static void modes(void)
{
	FAILS(EINVAL, syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL));
	FAILS(EINVAL, syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, area));
	printf("mode %d\n", SYS(prctl(PR_GET_SECCOMP)));
	expect_exit(fork_run(modes_of_children, (void *)2), 0);
	printf("mode %d\n", SYS(prctl(PR_GET_SECCOMP)));
}

static void strict_mode(void)
{
	expect_exit(fork_run(mode_strict, NULL), 5);
	expect_signal(fork_run(mode_strict, (void *)1), SIGKILL);
}

static void filter_errors(void)
{
	struct sock_fprog prog = { .len = 0, .filter = NULL };

	FAILS(EINVAL, prctl(PR_SET_SECCOMP, 99, NULL));
	FAILS(EINVAL, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
	FAILS(EFAULT, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 8));
	CHECK(SYS(prctl(PR_GET_SECCOMP)) >= 0);
}

static void become_nobody(void *unused)
{
	char *p;

	SYS(setgroups(0, NULL));
	SYS(setresgid(65534, 65534, 65534));
	SYS(setresuid(65534, 65534, 65534));
	FAILS(EPERM, setuid(0));
	fresh_area();
	use_memory(11);
	p = map_anon(AREA);
	fill_marks(p, AREA, 12);
	expect_exit(fork_run(trap_to_handler, NULL), 0);
	check_marks(p, AREA, 12);
	if (access("/bin/sh", X_OK) == 0) {
		execl("/bin/sh", "sh", "-c", "exit 17", NULL);
		_exit(1);
	}
	_exit(17);
}

static void chrooted(void *dir)
{
	SYS(chroot(dir));
	SYS(chdir("/"));
	FAILS(ENOENT, open("/proc/self/maps", O_RDONLY));
	fresh_area();
	use_memory(13);
	expect_exit(fork_run(trap_to_handler, NULL), 0);
	char *p = SYS(mremap(map_anon(AREA), AREA, 2 * AREA, MREMAP_MAYMOVE));
	fill_marks(p, 2 * AREA, 14);
	check_marks(p, 2 * AREA, 14);
	use_memory(15);
}

/* Needs root; there is no other way to prove it. */
static void other_user_and_root(void)
{
	char dir[] = "/tmp/e2e-root-XXXXXX";

	if (geteuid() != 0) {
		puts("skipped: not root");
		return;
	}
	expect_exit(fork_run(become_nobody, NULL), 17);
	CHECK(mkdtemp(dir));
	expect_exit(fork_run(chrooted, dir), 0);
	SYS(rmdir(dir));
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return filtered_image();
	area = map_anon(AREA);
	RUN(filters);
	RUN(kill_thread);
	RUN(modes);
	RUN(untraced);
	RUN(strict_mode);
	RUN(filter_errors);
	RUN(other_user_and_root);
	return 0;
}
