// SPDX-License-Identifier: MIT
/* Resource limits: refused with the kernel's errno, and the program goes on. */
#include <sys/auxv.h>
#include <sys/resource.h>
#include "e2e.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define AREA (64 * PAGE)

static char *area;

static void set_limit(int which, rlim_t value)
{
	struct rlimit rl = { value, value };

	SYS(setrlimit(which, &rl));
}

/* Total virtual size now, in bytes. */
static size_t vm_size(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	CHECK(f && fscanf(f, "%ld", &pages) == 1);
	fclose(f);
	return pages * PAGE;
}

static void address_space(void *unused)
{
	void *p;

	set_limit(RLIMIT_AS, vm_size() + 16 * MIB);
	FAILS(ENOMEM, mmap(NULL, 64 * MIB, RW, ANON, -1, 0));
	FAILS(ENOMEM, mmap(NULL, 64 * MIB, PROT_NONE, ANON | MAP_NORESERVE, -1, 0));
	FAILS(ENOMEM, mremap(area, AREA, 64 * MIB, MREMAP_MAYMOVE));
	CHECK(sbrk(64 * MIB) == (void *)-1 && errno == ENOMEM);
	CHECK(!malloc(64 * MIB) && errno == ENOMEM);
	p = SYS(mmap(NULL, 8 * MIB, RW, ANON, -1, 0));
	fill_marks(p, 8 * MIB, 1);
	check_marks(p, 8 * MIB, 1);
	SYS(munmap(p, 8 * MIB));
	p = SYS(mmap(NULL, 8 * MIB, RW, ANON, -1, 0));
	check_bytes(p, PAGE, 0);
	fill_marks(p, 8 * MIB, 2);
	check_marks(area, AREA, 9);
	check_marks(p, 8 * MIB, 2);
}

static void data_size(void *unused)
{
	void *p;

	set_limit(RLIMIT_DATA, 24 * MIB);
	FAILS(ENOMEM, mmap(NULL, 64 * MIB, RW, ANON, -1, 0));
	p = SYS(mmap(NULL, 64 * MIB, PROT_READ, ANON, -1, 0));
	FAILS(ENOMEM, mprotect(p, 64 * MIB, RW));
	check_bytes(p, PAGE, 0);
	SYS(munmap(p, 64 * MIB));
	p = SYS(mmap(NULL, 4 * MIB, RW, ANON, -1, 0));
	fill_marks(p, 4 * MIB, 1);
	check_marks(p, 4 * MIB, 1);
}

static void processes(void *unused)
{
	pid_t pid;

	if (geteuid() == 0) {
		SYS(setgid(65534));
		SYS(setuid(65534));
	}
	set_limit(RLIMIT_NPROC, 0);
	pid = fork();
	if (!pid)
		_exit(0);
	if (pid > 0)
		CHECK(0, "fork went through with RLIMIT_NPROC 0");
	CHECK(errno == EAGAIN);
	fill_marks(area, AREA, 3);
	check_marks(area, AREA, 3);
}

static void open_files(void *unused)
{
	char *p;

	set_limit(RLIMIT_NOFILE, 4);
	close(3);
	CHECK(SYS(open("/dev/null", O_RDONLY)) == 3);
	FAILS(EMFILE, open("/dev/null", O_RDONLY));
	p = map_anon(AREA);
	fill_marks(p, AREA, 4);
	p = SYS(mremap(p, AREA, 2 * AREA, MREMAP_MAYMOVE));
	check_marks(p, AREA, 4);
	pid_t pid = SYS(fork());
	if (!pid) {
		check_marks(p, AREA, 4);
		fill_marks(p, 2 * AREA, 5);
		SYS(dup2(3, 2)); /* the loader's complaint is expected */
		execl("/proc/self/exe", "limits", "full", NULL);
		_exit(1);
	}
	/* The dynamic loader needs one descriptor for the C library; a static program none. */
	expect_exit(pid, getauxval(AT_BASE) ? 127 : 18);
	SYS(close(3));
	pid = SYS(fork());
	if (!pid) {
		execl("/proc/self/exe", "limits", "room", NULL);
		_exit(1);
	}
	expect_exit(pid, 18);
	check_marks(p, AREA, 4);
}

static void cpu_time(void *unused)
{
	set_limit(RLIMIT_CORE, 0);
	struct rlimit rl = { 1, 5 };

	SYS(setrlimit(RLIMIT_CPU, &rl));
	for (volatile uint64_t i = 0;; i++)
		;
}

static void file_size(void *unused)
{
	int fd = marked_file(PAGE, 1);

	set_limit(RLIMIT_CORE, 0);
	set_limit(RLIMIT_FSIZE, PAGE);
	signal(SIGXFSZ, SIG_IGN);
	FAILS(EFBIG, pwrite(fd, area, PAGE, PAGE));
	signal(SIGXFSZ, SIG_DFL);
	pwrite(fd, area, PAGE, PAGE);
	CHECK(0, "write beyond RLIMIT_FSIZE went through");
}

static void rlimit_as(void)
{
	expect_exit(fork_run(address_space, NULL), 0);
}

static void rlimit_data(void)
{
	expect_exit(fork_run(data_size, NULL), 0);
}

static void rlimit_nproc(void)
{
	expect_exit(fork_run(processes, NULL), 0);
}

static void rlimit_nofile(void)
{
	expect_exit(fork_run(open_files, NULL), 0);
}

static void rlimit_cpu(void)
{
	expect_signal(fork_run(cpu_time, NULL), SIGXCPU);
}

static void rlimit_fsize(void)
{
	expect_signal(fork_run(file_size, NULL), SIGXFSZ);
}

static void sleep_on(void *unused)
{
	sleep_ms(10000);
}

/* prlimit of another process: seen by both, and exact. */
static void prlimit_of_a_child(void)
{
	struct rlimit rl = { 12345 * PAGE, 23456 * PAGE }, *old = map_anon(PAGE), now;
	pid_t pid = fork_run(sleep_on, NULL);

	SYS(prlimit(pid, RLIMIT_STACK, &rl, old));
	CHECK(old->rlim_cur > 0);
	SYS(prlimit(pid, RLIMIT_STACK, NULL, &now));
	CHECK(now.rlim_cur == rl.rlim_cur && now.rlim_max == rl.rlim_max);
	SYS(getrlimit(RLIMIT_STACK, &now));
	CHECK(now.rlim_cur == old->rlim_cur);
	FAILS(EINVAL, prlimit(pid, 12345, NULL, &now));
	SYS(kill(pid, SIGTERM));
	expect_signal(pid, SIGTERM);
	SYS(munmap(old, PAGE));
}

int main(int argc, char **argv)
{
	if (argc == 2) {
		area = map_anon(AREA);
		fill_marks(area, AREA, 1);
		check_marks(area, AREA, 1);
		return 18;
	}
	area = map_anon(AREA);
	fill_marks(area, AREA, 9);
	RUN(rlimit_as);
	RUN(rlimit_data);
	RUN(rlimit_nproc);
	RUN(rlimit_nofile);
	RUN(rlimit_cpu);
	RUN(rlimit_fsize);
	RUN(prlimit_of_a_child);
	return 0;
}
