/* SPDX-License-Identifier: MIT */
/*
 * outside.c - probes: what others see of memory that was evicted: /proc/PID/mem, cmdline, a core dump.
 *
 * The page that a probe calls evicted is armed and missing; nobody answers for it.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

#define P PAGE_SIZE

static void hold_1(struct lab *lab)
{
	lab_hold(lab, 1);
}

static int open_proc(pid_t pid, const char *name)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	EXPECT(fd >= 0);
	return fd;
}

/* ---- /proc/PID/mem ---- */

PROBE(proc_mem_partial, "a read of /proc/PID/mem stops at the first missing page: the bytes before it, EIO when it is the "
			"first; whole pages in between are right")
{
	struct subject s = subject_start(4, FEATURES_RUN, hold_1);
	int fd = open_proc(s.pid, "mem");
	u8 bytes[4 * P];

	for (u64 i = 0; i < 4; i++)
		if (i != 2)
			EXPECT_EQ(fill_page(s.uffd, s.mem + i * P, (u8)(i + 1), 0), 0);
	EXPECT_EQ(pread(fd, bytes, 4 * P, (off_t)s.mem), 2 * P);
	EXPECT_EQ(bytes[0], 1);
	EXPECT_EQ(bytes[P], 2);
	EXPECT_EQ(bytes[2 * P - 1], 2);
	EXPECT_EQ(pread(fd, bytes, 4 * P, (off_t)s.mem + 100), 2 * P - 100);
	EXPECT_EQ(pread(fd, bytes, 2 * P, (off_t)(s.mem + 2 * P)), -1);
	EXPECT_EQ(errno, EIO);
	EXPECT_EQ(pread(fd, bytes, P, (off_t)(s.mem + 3 * P)), P);
	EXPECT_EQ(bytes[0], 4);
	expect_silence(s.uffd, 10);
	lab_let(s.lab, 1);
	subject_end(&s);
}

static void protect_by_steps(struct lab *lab)
{
	lab_hold(lab, 1);
	EXPECT(!mprotect((void *)lab->mem, 2 * P, PROT_NONE));
	lab_reach(lab, 1);
	lab_hold(lab, 2);
}

PROBE(proc_mem_prot_none, "/proc/PID/mem reads present pages of a PROT_NONE mapping; a missing one is EIO there too")
{
	struct subject s = subject_start(2, FEATURES_RUN, protect_by_steps);
	int fd = open_proc(s.pid, "mem");
	u8 bytes[2 * P];

	EXPECT_EQ(fill_page(s.uffd, s.mem, 42, 0), 0);
	lab_let(s.lab, 1);
	lab_await(s.lab, 1);
	EXPECT_EQ(pread(fd, bytes, 2 * P, (off_t)s.mem), P);
	EXPECT_EQ(bytes[0], 42);
	EXPECT_EQ(bytes[P - 1], 42);
	EXPECT_EQ(pread(fd, bytes, P, (off_t)(s.mem + P)), -1);
	EXPECT_EQ(errno, EIO);
	expect_silence(s.uffd, 10);
	lab_let(s.lab, 2);
	subject_end(&s);
}

PROBE(proc_mem_wp, "a read of a wp page by /proc/PID/mem sends nothing; a write to one is EIO and sends nothing")
{
	struct subject s = subject_start(1, FEATURES_RUN, hold_1);
	int fd;
	char path[48];
	u8 byte = 0;

	snprintf(path, sizeof(path), "/proc/%d/mem", s.pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	EXPECT(fd >= 0);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 42, UFFDIO_COPY_MODE_WP), 0);
	EXPECT_EQ(pread(fd, &byte, 1, (off_t)s.mem), 1);
	EXPECT_EQ(byte, 42);
	EXPECT_EQ(pwrite(fd, "x", 1, (off_t)s.mem), -1);
	EXPECT_EQ(errno, EIO);
	expect_silence(s.uffd, 10);
	lab_let(s.lab, 1);
	subject_end(&s);
}

/* ---- /proc/PID/cmdline ---- */

/* Runs in a thread: the page of the arguments may be that of the main thread's frames. */
static void *empty_args_page(void *arg)
{
	struct lab *lab = arg;
	u64 page = page_align_down((u64)program_invocation_name); /* argv[0] */

	atomic_store(&lab->value[0], (long)page);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	EXPECT(!madvise((void *)page, P, MADV_DONTNEED));
	lab_reach(lab, 2);
	lab_hold(lab, 2);
	_exit(0);
}

static void args_evicted(struct lab *lab)
{
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, empty_args_page, lab));
	pthread_join(thread, NULL);
}

PROBE(cmdline_evicted, "/proc/PID/cmdline is empty when its page is missing, and waits for nobody")
{
	struct subject s = subject_start(1, FEATURES_RUN, args_evicted);
	int fd = open_proc(s.pid, "cmdline");
	char text[P];
	u64 page;

	lab_await(s.lab, 1);
	page = (u64)atomic_load(&s.lab->value[0]);
	EXPECT_EQ(uffd_register(s.uffd, range_of(page, P)), 0);
	EXPECT(pread(fd, text, sizeof(text), 0) > 0);
	lab_let(s.lab, 1);
	lab_await(s.lab, 2);
	EXPECT_EQ(pread(fd, text, sizeof(text), 0), 0);
	expect_silence(s.uffd, 10);
	EXPECT_EQ(fill_page(s.uffd, page, 'a', 0), 0);
	EXPECT(pread(fd, text, sizeof(text), 0) > 0);
	EXPECT_EQ(text[0], 'a');
	lab_let(s.lab, 2);
	subject_end(&s);
}

/* ---- a core dump ---- */

static const char *core_dir;

static void dump_core(struct lab *lab)
{
	EXPECT(!chdir(core_dir));
	EXPECT(!setrlimit(RLIMIT_CORE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}));
	signal(SIGABRT, SIG_DFL);
	lab_hold(lab, 1);
	raise(SIGABRT);
}

/* The core file in core_dir, whatever it is called; -1: there is none. */
static int open_core(void)
{
	DIR *dir = opendir(core_dir);
	struct dirent *e;
	int fd = -1;

	EXPECT(dir);
	while (fd < 0 && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
	closedir(dir);
	return fd;
}

/* What the core says that `addr` held, one byte; -1: not in the core. */
static int core_byte(int fd, u64 addr)
{
	Elf64_Ehdr e;
	Elf64_Phdr ph;
	u8 byte;

	EXPECT_EQ(pread(fd, &e, sizeof(e), 0), (ssize_t)sizeof(e));
	for (int i = 0; i < e.e_phnum; i++) {
		EXPECT_EQ(pread(fd, &ph, sizeof(ph), (off_t)(e.e_phoff + (u64)i * sizeof(ph))),
			  (ssize_t)sizeof(ph));
		if (ph.p_type == PT_LOAD && addr - ph.p_vaddr < ph.p_filesz) {
			EXPECT_EQ(pread(fd, &byte, 1, (off_t)(ph.p_offset + addr - ph.p_vaddr)), 1);
			return byte;
		}
	}
	return -1;
}

static bool cores_are_plain_files(void)
{
	char pattern[256] = "";
	int fd = open("/proc/sys/kernel/core_pattern", O_RDONLY | O_CLOEXEC);

	EXPECT(fd >= 0);
	EXPECT(read(fd, pattern, sizeof(pattern) - 1) >= 0);
	close(fd);
	return pattern[0] && !strpbrk(pattern, "|/@");
}

PROBE(core_of_evicted, "a core dump does not fault evicted pages in: it has zeroes for them")
{
	char dir[] = "/tmp/probe-core-XXXXXX", remove[64];
	struct subject s;
	int fd, status;

	if (!cores_are_plain_files())
		SKIP("core_pattern does not make plain files");
	core_dir = mkdtemp(dir);
	EXPECT(core_dir);
	s = subject_start(3, FEATURES_RUN, dump_core);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 42, 0), 0);
	EXPECT_EQ(fill_page(s.uffd, s.mem + 2 * P, 43, 0), 0);
	lab_let(s.lab, 1);
	status = reap(s.pid);
	EXPECT_EQ(WTERMSIG(status), SIGABRT);
	fd = open_core();
	snprintf(remove, sizeof(remove), "rm -r %s", dir);
	EXPECT_EQ(system(remove), 0);
	EXPECT(fd >= 0 && WCOREDUMP(status));
	EXPECT_EQ(core_byte(fd, s.mem), 42);
	EXPECT_EQ(core_byte(fd, s.mem + P), 0);
	EXPECT_EQ(core_byte(fd, s.mem + 2 * P), 43);
}
