// SPDX-License-Identifier: MIT
/*
 * corefile [KIB]: the core file of a process that dies under pressure holds every byte it had, also those that
 * were out of memory: for the kernel dumps what it finds, and does not ask userfaultfd.
 */
#include <elf.h>
#include <sys/resource.h>
#include "pressure.h"

static size_t nr_pages;
static char *own, *inherited;

/* The core's bytes at virtual address `at`; they must be in the file. */
static void read_core(int fd, uintptr_t at, void *page)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	CHECK(SYS(pread(fd, &eh, sizeof(eh), 0)) == sizeof(eh) && !memcmp(eh.e_ident, ELFMAG, SELFMAG));
	for (int i = 0; i < eh.e_phnum; i++) {
		SYS(pread(fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph)));
		if (ph.p_type != PT_LOAD || at < ph.p_vaddr || at + PAGE > ph.p_vaddr + ph.p_filesz)
			continue;
		CHECK(SYS(pread(fd, page, PAGE, ph.p_offset + at - ph.p_vaddr)) == (ssize_t)PAGE);
		return;
	}
	CHECK(false, "the core has nothing for %#lx", (long)at);
}

/* Die with every page of `own` written, and every third of those inherited. */
static void crash(void *unused)
{
	struct rlimit rl = { RLIM_INFINITY, RLIM_INFINITY };

	SYS(setrlimit(RLIMIT_CORE, &rl));
	fill_pages(own, nr_pages, 1, 0);
	for (size_t i = 0; i < nr_pages; i += 3)
		fill_page(inherited + i * PAGE, 2, i, 1);
	push_out(nr_pages * PAGE);
	abort();
}

static int open_core(pid_t pid)
{
	char name[32];
	int fd = open("core", O_RDONLY);

	if (fd < 0) {
		snprintf(name, sizeof(name), "core.%d", pid);
		fd = SYS(open(name, O_RDONLY));
	}
	return fd;
}

static bool cores_come_here(void)
{
	char pattern[16] = "";
	int fd = SYS(open("/proc/sys/kernel/core_pattern", O_RDONLY));
	struct rlimit rl;

	SYS(read(fd, pattern, sizeof(pattern) - 1));
	SYS(close(fd));
	SYS(getrlimit(RLIMIT_CORE, &rl));
	return !strcmp(pattern, "core\n") && rl.rlim_max == RLIM_INFINITY;
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/corefile-XXXXXX", page[PAGE];
	pid_t pid;
	int fd, st;

	nr_pages = arg_or(argc, argv, 1, 2048) * KIB / PAGE;
	if (!cores_come_here()) {
		puts("skipped: core_pattern is not 'core', or RLIMIT_CORE may not be raised");
		return 0;
	}
	SYS(chdir(mkdtemp(dir)));
	own = map_anon(nr_pages * PAGE);
	inherited = map_anon(nr_pages * PAGE);
	fill_pages(inherited, nr_pages, 2, 0);
	pid = fork_run(crash, NULL);
	CHECK(SYS(waitpid(pid, &st, 0)) == pid);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT && WCOREDUMP(st), "status %#x", st);
	fd = open_core(pid);
	for (size_t i = 0; i < nr_pages; i++) {
		read_core(fd, (uintptr_t)own + i * PAGE, page);
		check_page(page, 1, i, 0);
		read_core(fd, (uintptr_t)inherited + i * PAGE, page);
		check_page(page, 2, i, i % 3 == 0);
	}
	check_pages(inherited, nr_pages, 2, 0);
	SYS(close(fd));
	for (int k = 0; k < 2; k++) {
		snprintf(page, sizeof(page), k ? "core.%d" : "core", pid);
		unlink(page);
	}
	SYS(rmdir(dir));
	puts("the core is whole");
	return 0;
}
