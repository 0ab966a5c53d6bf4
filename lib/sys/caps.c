/* SPDX-License-Identifier: MIT */
/*
 * caps.c - find out by trying what this kernel and this user's privileges allow (see caps.h).
 *
 * Every try works on a scratch object and leaves nothing behind.  UFFDIO_API works once per
 * userfaultfd, so each question about features costs an fd of its own.  The wake-up measurements
 * are in caps_wakeup.c.  Start reading at caps_detect_run().  Counterpart: CRIU's kerndat.c.
 */
#include "sys/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/uapi.h"
#include "sys/uffd.h"

/* Below this many descriptors not even a small process tree can be held. */
#define NOFILE_MIN 32

/* Return: a userfaultfd, or -errno. */
static int uffd_open_syscall(int flags)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | flags);

	return fd < 0 ? -errno : fd;
}

/* Return: a userfaultfd got from the device, or -errno. */
static int uffd_open_dev(void)
{
	int dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd;

	if (dev < 0)
		return -errno;
	fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	fd = fd < 0 ? -errno : fd;
	close(dev);
	return fd;
}

/* Close `fd` if it is one.  Return: 0, or the -errno that `fd` is. */
static caps_t close_scratch(int fd)
{
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* Return: a scratch userfaultfd by whichever way works, or the -errno of the system call. */
static int uffd_open_any(void)
{
	int fd = uffd_open_syscall(0), other;

	if (fd >= 0)
		return fd;
	other = uffd_open_dev();
	if (other < 0)
		other = uffd_open_syscall(UFFD_USER_MODE_ONLY);
	return other >= 0 ? other : fd;
}

/* Ask a new scratch userfaultfd for `features`.  *has: those that the kernel has. */
static caps_t uffd_try_features(u64 features, u64 *has)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = uffd_open_any();
	caps_t ret = 0;

	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api))
		ret = -errno;
	else
		*has = api.features;
	close(fd);
	return ret;
}

static void detect_uffd(struct caps *c)
{
	u64 ignored;

	c->uffd_syscall = close_scratch(uffd_open_syscall(0));
	c->uffd_dev = close_scratch(uffd_open_dev());
	c->uffd_user = close_scratch(uffd_open_syscall(UFFD_USER_MODE_ONLY));
	if (uffd_try_features(0, &c->uffd_features))
		c->uffd_features = 0;
	c->uffd_fork = uffd_try_features(UFFD_FEATURE_EVENT_FORK, &ignored);
}

/* A flag that the kernel knows gets as far as the (absent) filter: EFAULT.  Unknown: EINVAL. */
static caps_t seccomp_try_flag(unsigned long flag)
{
	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag, NULL))
		return 0;
	return errno == EFAULT ? 0 : -errno;
}

static void detect_seccomp(struct caps *c)
{
	u32 action = SECCOMP_RET_TRACE;

	c->seccomp_trace = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) ? -errno : 0;
	c->seccomp_spec_allow = seccomp_try_flag(SECCOMP_FILTER_FLAG_SPEC_ALLOW);
}

static caps_t try_pidfd_getfd(void)
{
	int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	caps_t ret;
	int fd;

	if (pidfd < 0)
		return -errno;
	fd = syscall(__NR_pidfd_getfd, pidfd, pidfd, 0);
	ret = fd < 0 ? -errno : close_scratch(fd);
	close(pidfd);
	return ret;
}

static caps_t try_pagemap_scan(void)
{
	u64 page = page_align_down((u64)&page);
	struct page_region region;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = page,
		.end = page + PAGE_SIZE,
		.vec = (u64)&region,
		.vec_len = 1,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	caps_t ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, PAGEMAP_SCAN, &arg) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* Read a small file.  Return: its length in buf, NUL-terminated, or -errno with buf "". */
static int read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	n = n < 0 ? -errno : n;
	close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return n;
}

/* Return: the number in a sysctl file, -1 if there is none. */
static s64 read_number(const char *path)
{
	char buf[32];

	return read_text(path, buf, sizeof(buf)) > 0 ? strtoll(buf, NULL, 10) : -1;
}

static void detect_capabilities(struct caps *c)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &head, data))
		return;
	c->cap_sys_ptrace = data[0].effective & (1U << CAP_SYS_PTRACE);
	c->cap_sys_admin = data[0].effective & (1U << CAP_SYS_ADMIN);
}

void caps_detect_run(struct caps *c)
{
	unsigned int major = 0, minor = 0, patch = 0;
	struct utsname uts;
	struct rlimit lim;

	memset(c, 0, sizeof(*c));
	uname(&uts);
	snprintf(c->release, sizeof(c->release), "%s", uts.release);
	sscanf(uts.release, "%u.%u.%u", &major, &minor, &patch);
	c->version = major << 16 | (minor & 255) << 8 | (patch & 255);

	detect_uffd(c);
	detect_seccomp(c);
	detect_capabilities(c);
	c->pidfd_getfd = try_pidfd_getfd();
	c->proc = access("/proc/self/maps", R_OK) ? -errno : 0;
	c->pagemap_scan = try_pagemap_scan();
	c->yama_scope = read_number("/proc/sys/kernel/yama/ptrace_scope");
	getrlimit(RLIMIT_NOFILE, &lim);
	c->nofile = lim.rlim_cur;
	c->nofile_max = lim.rlim_max;
}

/* Really seize a child with every option that `run` uses. */
static caps_t try_ptrace(void)
{
	const unsigned long options = PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
				      PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
				      PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXIT |
				      PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
	pid_t pid = fork();
	caps_t ret;

	if (pid < 0)
		return -errno;
	if (!pid) {
		for (;;)
			pause();
	}
	ret = ptrace(PTRACE_SEIZE, pid, NULL, options) ? -errno : 0;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return ret;
}

static caps_t try_io_uring(u32 *features)
{
	struct io_uring_params params = {0};
	struct io_uring ring;
	int ret = io_uring_queue_init_params(8, &ring, &params);

	if (ret)
		return ret;
	*features = params.features;
	io_uring_queue_exit(&ring);
	return 0;
}

/* The word in brackets of "always [madvise] never". */
static void detect_thp(struct caps_all *c)
{
	char buf[64], *from, *to;

	read_text("/sys/kernel/mm/transparent_hugepage/enabled", buf, sizeof(buf));
	from = strchr(buf, '[');
	to = from ? strchr(from, ']') : NULL;
	if (to)
		snprintf(c->thp, sizeof(c->thp), "%.*s", (int)(to - from - 1), from + 1);
}

static int tracer_pid(void)
{
	char buf[4096], *line;

	read_text("/proc/self/status", buf, sizeof(buf));
	line = strstr(buf, "\nTracerPid:");
	return line ? atoi(line + strlen("\nTracerPid:")) : 0;
}

void caps_detect_all(struct caps_all *c)
{
	const struct scmp_version *lib = seccomp_version();
	cpu_set_t cpus;

	memset(c, 0, sizeof(*c));
	caps_detect_run(&c->run);
	c->ptrace = try_ptrace();
	c->io_uring = try_io_uring(&c->uring_features);
	c->uring_disabled = read_number("/proc/sys/kernel/io_uring_disabled");
	c->seccomp_mode = prctl(PR_GET_SECCOMP);
	if (lib)
		snprintf(c->seccomp_lib, sizeof(c->seccomp_lib), "%u.%u.%u", lib->major, lib->minor,
			 lib->micro);
	detect_thp(c);
	c->unprivileged_userfaultfd = read_number("/proc/sys/vm/unprivileged_userfaultfd");
	c->max_map_count = read_number("/proc/sys/vm/max_map_count");
	c->overcommit = read_number("/proc/sys/vm/overcommit_memory");
	c->mem_bytes = (u64)sysconf(_SC_PHYS_PAGES) * PAGE_SIZE;
	if (!sched_getaffinity(0, sizeof(cpus), &cpus))
		c->nr_cpus = CPU_COUNT(&cpus);
	c->tracer = tracer_pid();
}

const char *caps_blocker(const struct caps *c)
{
	if (c->proc)
		return "/proc is not mounted: mount -t proc proc /proc";
	if (c->uffd_syscall == -ENOSYS)
		return "this kernel has no userfaultfd: boot one built with CONFIG_USERFAULTFD";
	if (c->uffd_syscall == -EMFILE)
		return "no file descriptor is free: ulimit -n 1024";
	if (c->uffd_syscall)
		return "userfaultfd is not permitted: run upager as root (CAP_SYS_PTRACE), "
		       "or sysctl vm.unprivileged_userfaultfd=1";
	if (~c->uffd_features & UFFD_FEATURES_REQUIRED)
		return "this kernel's userfaultfd is too old: boot Linux 6.1 or newer";
	if (c->uffd_fork)
		return "fork events are not permitted: run upager as root (CAP_SYS_PTRACE)";
	if (c->seccomp_trace)
		return "this kernel has no seccomp filters: boot one built with "
		       "CONFIG_SECCOMP_FILTER";
	if (c->yama_scope >= 3)
		return "ptrace is switched off (kernel.yama.ptrace_scope=3): it can be lifted only "
		       "by a reboot with another value";
	if (c->yama_scope == 2 && !c->cap_sys_ptrace)
		return "ptrace is for root only (kernel.yama.ptrace_scope=2): run upager as root, "
		       "or sysctl kernel.yama.ptrace_scope=1";
	if (c->pidfd_getfd)
		return "pidfd_getfd is not permitted: lift the container's seccomp profile "
		       "(--security-opt seccomp=unconfined)";
	if (c->nofile < NOFILE_MIN)
		return "too few file descriptors: ulimit -n 1024";
	return NULL;
}
