// SPDX-License-Identifier: MIT
/* mlock, mlock2, mlockall, munlock, mincore. */
#include <sys/resource.h>
#include "e2e.h"

#define RW (PROT_READ | PROT_WRITE)
#define AREA (32 * PAGE)

/* Number of resident pages of [p, p + AREA). */
static int resident(void *p)
{
	unsigned char vec[AREA / PAGE];
	int n = 0;

	SYS(mincore(p, AREA, vec));
	for (size_t i = 0; i < sizeof(vec); i++)
		n += vec[i] & 1;
	return n;
}

/* One line of /proc/self/status, in kB. */
static long status_kib(const char *key)
{
	char line[256];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			kib = atol(line + strlen(key) + 1);
	fclose(f);
	return kib;
}

static void lock_makes_resident(void)
{
	char *p = map_anon(AREA);

	SYS(mlock(p, AREA));
	CHECK(resident(p) == 32);
	CHECK(status_kib("VmLck") == AREA / KIB, "VmLck %ld", status_kib("VmLck"));
	check_bytes(p, AREA, 0);
	fill_marks(p, AREA, 1);
	FAILS(EINVAL, madvise(p, AREA, MADV_DONTNEED));
	check_marks(p, AREA, 1);
	SYS(munlock(p + 8 * PAGE, 8 * PAGE));
	CHECK(status_kib("VmLck") == (AREA - 8 * PAGE) / KIB);
	SYS(madvise(p + 8 * PAGE, 8 * PAGE, MADV_DONTNEED));
	check_bytes(p + 8 * PAGE, 8 * PAGE, 0);
	SYS(munmap(p, AREA));
	CHECK(status_kib("VmLck") == 0);
}

static void lock_read_only(void)
{
	char *p = map_anon(AREA);

	fill_marks(p, AREA / 2, 1);
	SYS(mprotect(p, AREA, PROT_READ));
	SYS(mlock(p, AREA));
	CHECK(resident(p) == 32);
	SYS(mprotect(p, AREA, RW));
	check_marks(p, AREA / 2, 1);
	fill_marks(p, AREA, 2);
	check_marks(p, AREA, 2);
	SYS(munmap(p, AREA));
	p = SYS(mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	FAILS(ENOMEM, mlock(p, AREA));
	SYS(munmap(p, AREA));
}

/* On fault: nothing is brought in, pages stay locked once they are touched. */
static void lock_on_fault(void)
{
	char *p = map_anon(AREA);

	SYS(mlock2(p, AREA, MLOCK_ONFAULT));
	p[3 * PAGE] = 1;
	CHECK(p[3 * PAGE] == 1);
	check_bytes(p + 4 * PAGE, AREA - 4 * PAGE, 0);
	fill_marks(p, AREA, 3);
	check_marks(p, AREA, 3);
	SYS(munlock(p, AREA));
	SYS(munmap(p, AREA));
	FAILS(EINVAL, mlock2(p, AREA, 77));
}

static void grow_locked(void)
{
	char *p = map_anon(AREA);

	SYS(mlock(p, AREA));
	fill_marks(p, AREA, 4);
	p = SYS(mremap(p, AREA, 2 * AREA, MREMAP_MAYMOVE));
	CHECK(resident(p + AREA) == 32);
	check_marks(p, AREA, 4);
	check_bytes(p + AREA, AREA, 0);
	SYS(munmap(p, 2 * AREA));
}

static void child_is_not_locked(void)
{
	char *p = map_anon(AREA);
	pid_t pid;

	SYS(mlock(p, AREA));
	fill_marks(p, AREA, 5);
	pid = SYS(fork());
	if (!pid) {
		CHECK(status_kib("VmLck") == 0);
		check_marks(p, AREA, 5);
		fill_marks(p, AREA, 6);
		SYS(madvise(p, AREA, MADV_DONTNEED));
		check_bytes(p, AREA, 0);
		_exit(0);
	}
	fill_marks(p, AREA, 7);
	expect_exit(pid, 0);
	check_marks(p, AREA, 7);
	SYS(munmap(p, AREA));
}

static void lock_everything(void *unused)
{
	struct rlimit rl = { RLIM_INFINITY, RLIM_INFINITY };
	char *before = map_anon(AREA), *p;

	if (setrlimit(RLIMIT_MEMLOCK, &rl) < 0)
		_exit(3);
	SYS(mlockall(MCL_CURRENT | MCL_FUTURE));
	CHECK(resident(before) == 32);
	p = map_anon(AREA);
	CHECK(resident(p) == 32);
	FAILS(EINVAL, madvise(p, AREA, MADV_DONTNEED));
	p = sbrk(AREA + PAGE);
	CHECK(resident((void *)(((uintptr_t)p + PAGE - 1) & ~(PAGE - 1))) == 32);
	SYS(munlockall());
	p = map_anon(AREA);
	SYS(madvise(p, AREA, MADV_DONTNEED));
	SYS(mlockall(MCL_FUTURE | MCL_ONFAULT));
	p = map_anon(AREA);
	fill_marks(p, AREA, 8);
	check_marks(p, AREA, 8);
	SYS(munlockall());
	CHECK(status_kib("VmLck") == 0);
	FAILS(EINVAL, mlockall(0));
	FAILS(EINVAL, mlockall(MCL_ONFAULT));
}

/* In a child of its own: it locks all there is. Needs the right to raise RLIMIT_MEMLOCK. */
static void mlockall_and_future(void)
{
	int st;

	CHECK(waitpid(fork_run(lock_everything, NULL), &st, 0) > 0);
	CHECK(WIFEXITED(st) && (WEXITSTATUS(st) == 0 || WEXITSTATUS(st) == 3), "status %#x", st);
	if (WEXITSTATUS(st) == 3)
		puts("skipped: may not raise RLIMIT_MEMLOCK");
}

static void limited(void *unused)
{
	struct rlimit rl = { 64 * KIB, 64 * KIB };
	char *p = map_anon(AREA);

	SYS(setrlimit(RLIMIT_MEMLOCK, &rl));
	if (geteuid() == 0)
		SYS(setuid(65534));
	FAILS(ENOMEM, mlock(p, AREA));
	SYS(mlock(p, 8 * PAGE));
	FAILS(EAGAIN, mmap(NULL, AREA, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0));
	fill_marks(p, AREA, 9);
	check_marks(p, AREA, 9);
}

static void limit_is_obeyed(void)
{
	expect_exit(fork_run(limited, NULL), 0);
}

static void mincore_errors(void)
{
	unsigned char vec[32];
	char *p = map_anon(AREA);

	FAILS(EINVAL, mincore(p + 1, PAGE, vec));
	FAILS(EFAULT, mincore(p, AREA, (void *)8));
	SYS(munmap(p + PAGE, PAGE));
	FAILS(ENOMEM, mincore(p, AREA, vec));
	SYS(munmap(p, AREA));
}

int main(void)
{
	RUN(lock_makes_resident);
	RUN(lock_read_only);
	RUN(lock_on_fault);
	RUN(grow_locked);
	RUN(child_is_not_locked);
	RUN(mlockall_and_future);
	RUN(limit_is_obeyed);
	RUN(mincore_errors);
	return 0;
}
