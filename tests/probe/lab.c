/* SPDX-License-Identifier: MIT */
/*
 * lab.c - what the probes share: a child with armed memory, turns, messages, answers (see probe.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

#define WAIT_MS 10000

void sleep_ms(int ms)
{
	struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

struct lab *lab_new(void)
{
	struct lab *lab =
		mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	EXPECT(lab != MAP_FAILED);
	return lab;
}

static void wait_step(_Atomic u32 *step, u32 n, const char *who)
{
	struct timespec tick = {0, 200000};

	for (int i = 0; atomic_load(step) < n; i++) {
		if (i > WAIT_MS * 5)
			probe_fail(__FILE__, __LINE__, "%s did not come to step %u", who, n);
		nanosleep(&tick, NULL);
	}
}

void lab_reach(struct lab *lab, u32 n)
{
	atomic_store(&lab->child_step, n);
}

void lab_await(struct lab *lab, u32 n)
{
	wait_step(&lab->child_step, n, "the child");
}

void lab_let(struct lab *lab, u32 n)
{
	atomic_store(&lab->parent_step, n);
}

void lab_hold(struct lab *lab, u32 n)
{
	wait_step(&lab->parent_step, n, "the probe");
}

pid_t fork_child(void)
{
	pid_t parent = getpid(), pid = fork();

	EXPECT(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		EXPECT_EQ(getppid(), parent);
	}
	return pid;
}

/*
 *   mem - 1 page   mem                 mem + len
 *   [ PROT_NONE ]  [ nr_pages, rw  ]   [ PROT_NONE ]
 * The guards keep the kernel from merging the memory with a neighbour.
 */
u64 map_guarded(u64 nr_pages)
{
	u64 len = (nr_pages + 2) * PAGE_SIZE;
	char *at = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(at != MAP_FAILED);
	EXPECT(!mprotect(at + PAGE_SIZE, nr_pages * PAGE_SIZE, PROT_READ | PROT_WRITE));
	return (u64)at + PAGE_SIZE;
}

/* Steps 1000 and up are the frame's own; probes use the ones below. */
#define STEP_MAPPED 1000

static noreturn void subject_child(struct lab *lab, void (*fn)(struct lab *lab))
{
	int uffd;

	lab->mem = map_guarded(lab->nr_pages);
	uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	atomic_store(&lab->uffd, uffd < 0 ? -errno : uffd);
	lab_reach(lab, STEP_MAPPED);
	lab_hold(lab, STEP_MAPPED);
	if (uffd >= 0 && !atomic_load(&lab->keep_uffd))
		close(uffd);
	atomic_store(&lab->parent_step, 0); /* before the parent sees that we began */
	atomic_store(&lab->child_step, 0);
	fn(lab);
	_exit(0);
}

static int take_fd(pid_t pid, int remote_fd)
{
	int pidfd = syscall(SYS_pidfd_open, pid, 0), fd;

	EXPECT(pidfd >= 0);
	fd = syscall(__NR_pidfd_getfd, pidfd, remote_fd, 0);
	EXPECT(fd >= 0);
	close(pidfd);
	return fd;
}

struct subject subject_prepare(u64 nr_pages, u64 features, void (*fn)(struct lab *lab))
{
	struct subject s = {.lab = lab_new(), .len = nr_pages * PAGE_SIZE};
	int fd;

	s.lab->nr_pages = nr_pages;
	s.pid = fork_child();
	if (!s.pid)
		subject_child(s.lab, fn);
	lab_await(s.lab, STEP_MAPPED);
	s.mem = s.lab->mem;
	fd = atomic_load(&s.lab->uffd);
	if (fd == -EPERM)
		SKIP("userfaultfd is not permitted here");
	EXPECT(fd >= 0);
	s.uffd = take_fd(s.pid, fd);
	EXPECT_EQ(uffd_api(s.uffd, features), 0);
	return s;
}

void subject_begin(struct subject *s)
{
	lab_let(s->lab, STEP_MAPPED);
	for (int i = 0; atomic_load(&s->lab->child_step) >= STEP_MAPPED; i++) {
		EXPECT(i < WAIT_MS);
		sleep_ms(1);
	}
}

struct subject subject_start(u64 nr_pages, u64 features, void (*fn)(struct lab *lab))
{
	struct subject s = subject_prepare(nr_pages, features, fn);

	EXPECT_EQ(uffd_register(s.uffd, range_of(s.mem, s.len)), 0);
	subject_begin(&s);
	return s;
}

int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		EXPECT_EQ(errno, EINTR);
	return status;
}

void subject_end(struct subject *s)
{
	EXPECT_EQ(reap(s->pid), 0);
	close(s->uffd);
}

u64 probe_uffd_features(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	EXPECT(fd >= 0);
	EXPECT(!ioctl(fd, UFFDIO_API, &api));
	close(fd);
	return api.features;
}

/* Return: whether a message could be read within `ms`. */
static bool read_msg(int uffd, int ms, struct uffd_msg *msg)
{
	struct pollfd p = {.fd = uffd, .events = POLLIN};

	while (poll(&p, 1, ms) > 0) {
		int n = uffd_read(uffd, msg, 1);

		EXPECT(n >= 0);
		if (n == 1)
			return true;
	}
	return false;
}

struct uffd_msg next_msg(int uffd)
{
	struct uffd_msg msg;

	EXPECT(read_msg(uffd, 5000, &msg));
	return msg;
}

void expect_silence(int uffd, int ms)
{
	struct uffd_msg msg;

	if (read_msg(uffd, ms, &msg))
		probe_fail(__FILE__, __LINE__, "unexpected message 0x%x at 0x%llx flags %llu",
			   msg.event, (unsigned long long)msg.arg.pagefault.address,
			   (unsigned long long)msg.arg.pagefault.flags);
}

struct uffd_msg expect_fault(int uffd, u64 addr, u64 flags)
{
	struct uffd_msg msg = next_msg(uffd);

	EXPECT_EQ(msg.event, UFFD_EVENT_PAGEFAULT);
	EXPECT_EQ(page_align_down(msg.arg.pagefault.address), page_align_down(addr));
	EXPECT_EQ(msg.arg.pagefault.flags, flags);
	return msg;
}

int expect_fork(int uffd)
{
	struct uffd_msg msg = next_msg(uffd);

	EXPECT_EQ(msg.event, UFFD_EVENT_FORK);
	return (int)msg.arg.fork.ufd;
}

int fill_page(int uffd, u64 addr, u8 byte, u64 mode)
{
	static u8 page[4096] __attribute__((aligned(4096)));
	u64 done;

	memset(page, byte, sizeof(page));
	return uffd_copy(uffd, page_align_down(addr), page, PAGE_SIZE, mode, &done);
}

int zero_page(int uffd, u64 addr, u64 mode)
{
	u64 done;

	return uffd_zeropage(uffd, page_align_down(addr), PAGE_SIZE, mode, &done);
}

int protect_page(int uffd, u64 addr, bool wp)
{
	return uffd_writeprotect(uffd, range_of(page_align_down(addr), PAGE_SIZE), wp, false);
}

u64 pagemap_entry(pid_t pid, u64 addr)
{
	char path[32];
	u64 entry;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0);
	EXPECT_EQ(pread(fd, &entry, sizeof(entry), (off_t)(addr / PAGE_SIZE * sizeof(entry))),
		  sizeof(entry));
	close(fd);
	return entry;
}

u64 vdso_base(pid_t pid)
{
	char path[32], line[512];
	u64 base = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	EXPECT(f);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "[vdso]"))
			sscanf(line, "%" SCNx64, &base);
	}
	fclose(f);
	return base;
}

int seccomp_trace_call(int nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 7),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {ARRAY_SIZE(code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) ? -errno : 0;
}

noreturn void exec_victim(const char *how)
{
	char *argv[] = {(char *)"probe", (char *)"--victim", (char *)how, NULL};
	char *envp[] = {NULL};

	execve("/proc/self/exe", argv, envp);
	probe_fail(__FILE__, __LINE__, "execve: %s", strerror(errno));
}
