// SPDX-License-Identifier: MIT
/* mmap's flags one by one, and what each call refuses with which errno. */
#include <sys/prctl.h>
#include "e2e.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define AREA (16 * PAGE)

static void fixed_noreplace(void)
{
	char *p = map_anon(3 * AREA);

	SYS(munmap(p + AREA, AREA));
	fill_marks(p, AREA, 1);
	FAILS(EEXIST, mmap(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	FAILS(EEXIST, mmap(p + AREA - PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	FAILS(EEXIST, mmap(p + AREA, AREA + PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0));
	CHECK(SYS(mmap(p + AREA, AREA, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0)) == p + AREA);
	check_marks(p, AREA, 1);
	check_bytes(p + AREA, AREA, 0);
	SYS(munmap(p, 3 * AREA));
}

/* Populated pages are in core at once, and zero. */
static void populate(void)
{
	unsigned char vec[16];
	char *p = SYS(mmap(NULL, AREA, RW, ANON | MAP_POPULATE, -1, 0));

	SYS(mincore(p, AREA, vec));
	for (int i = 0; i < 16; i++)
		CHECK(vec[i] & 1, "page %d not in core", i);
	check_bytes(p, AREA, 0);
	fill_marks(p, AREA, 1);
	check_marks(p, AREA, 1);
	SYS(munmap(p, AREA));
	p = SYS(mmap(NULL, AREA, PROT_READ, ANON | MAP_POPULATE, -1, 0));
	check_bytes(p, AREA, 0);
	SYS(mprotect(p, AREA, RW));
	fill_marks(p, AREA, 1);
	SYS(munmap(p, AREA));
	p = SYS(mmap(NULL, AREA, PROT_NONE, ANON | MAP_POPULATE, -1, 0));
	SYS(munmap(p, AREA));
}

static void locked(void)
{
	unsigned char vec[16];
	char *p = SYS(mmap(NULL, AREA, RW, ANON | MAP_LOCKED, -1, 0));

	SYS(mincore(p, AREA, vec));
	for (int i = 0; i < 16; i++)
		CHECK(vec[i] & 1, "page %d not in core", i);
	FAILS(EINVAL, madvise(p, AREA, MADV_DONTNEED));
	fill_marks(p, AREA, 1);
	check_marks(p, AREA, 1);
	SYS(munlock(p, AREA));
	SYS(madvise(p, AREA, MADV_DONTNEED));
	check_bytes(p, AREA, 0);
	SYS(munmap(p, AREA));
}

static void noreserve_stack_32bit(void)
{
	char *p = SYS(mmap(NULL, 64 * GIB, RW, ANON | MAP_NORESERVE, -1, 0));

	for (size_t at = 0; at < 64 * GIB; at += 4 * GIB)
		p[at + 123] = (char)(at / GIB + 1);
	for (size_t at = 0; at < 64 * GIB; at += 4 * GIB)
		CHECK(p[at + 123] == (char)(at / GIB + 1) && p[at] == 0);
	SYS(munmap(p, 64 * GIB));
	p = SYS(mmap(NULL, AREA, RW, ANON | MAP_STACK, -1, 0));
	fill_marks(p, AREA, 1);
	check_marks(p, AREA, 1);
	SYS(munmap(p, AREA));
	p = SYS(mmap(NULL, AREA, RW, ANON | MAP_32BIT, -1, 0));
	CHECK((uintptr_t)p + AREA <= 1UL << 32);
	fill_marks(p, AREA, 1);
	check_marks(p, AREA, 1);
	SYS(munmap(p, AREA));
}

/* A mapping that grows down by touch, until its neighbour's guard gap. */
static void growsdown(void)
{
	char *p = map_anon(64 * MIB), *top;

	SYS(munmap(p, 64 * MIB));
	top = SYS(mmap(p + 60 * MIB, PAGE, RW, ANON | MAP_FIXED | MAP_GROWSDOWN, -1, 0));
	for (char *at = top; at > top - 256 * PAGE; at -= PAGE) {
		CHECK(*at == 0);
		*at = 1;
	}
	for (char *at = top; at > top - 256 * PAGE; at -= PAGE)
		CHECK(*at == 1);
	*(top - 6 * MIB) = 7;
	CHECK(*(top - 6 * MIB) == 7 && *(top - 3 * MIB) == 0);
	SYS(munmap(top - 6 * MIB, 6 * MIB + PAGE));
}

/* Hints: a free address is taken, a used one is not, an odd one is rounded. */
static void hints(void)
{
	char *p = map_anon(4 * AREA), *q;

	SYS(munmap(p + AREA, 2 * AREA));
	q = SYS(mmap(p + AREA, AREA, RW, ANON, -1, 0));
	CHECK(q == p + AREA);
	CHECK(SYS(mmap(p + AREA, PAGE, RW, ANON, -1, 0)) != p + AREA);
	fill_marks(q, AREA, 1);
	check_marks(q, AREA, 1);
	SYS(munmap(p, 4 * AREA));
}

static void mmap_errors(void)
{
	char *p = map_anon(AREA);
	int fd = marked_file(PAGE, 1), wr = SYS(open("/dev/null", O_WRONLY));

	FAILS(EINVAL, mmap(NULL, 0, RW, ANON, -1, 0));
	FAILS(EINVAL, mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
	FAILS(EINVAL, mmap(p + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	FAILS(EINVAL, mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 100));
	FAILS(EBADF, mmap(NULL, PAGE, RW, MAP_PRIVATE, 9999, 0));
	FAILS(EACCES, mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, wr, 0));
	FAILS(ENOMEM, mmap(NULL, 1UL << 47, RW, ANON, -1, 0));
	FAILS(ENOMEM, mmap(NULL, ~0UL, RW, ANON, -1, 0));
	FAILS(ENOMEM, mmap((void *)0x7ffffffff000, PAGE, RW, ANON | MAP_FIXED, -1, 0));
	FAILS(EINVAL, munmap(p + 1, PAGE));
	FAILS(EINVAL, munmap(p, 0));
	FAILS(EINVAL, munmap(p, ~0UL - PAGE));
	SYS(close(fd));
	SYS(close(wr));
	SYS(munmap(p, AREA));
}

static void other_errors(void)
{
	char *p = map_anon(AREA);

	FAILS(EINVAL, mprotect(p + 1, PAGE, RW));
	FAILS(EINVAL, mprotect(p, PAGE, 0x4000000));
	FAILS(ENOMEM, mprotect(p, ~0UL - PAGE, RW));
	FAILS(EINVAL, mremap(p + 1, PAGE, PAGE, 0));
	FAILS(EINVAL, mremap(p, PAGE, 0, 0));
	FAILS(EINVAL, mremap(p, PAGE, PAGE, MREMAP_FIXED, p));
	FAILS(EINVAL, mremap(p, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE));
	FAILS(EINVAL, mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL));
	FAILS(EINVAL, madvise(p + 1, PAGE, MADV_DONTNEED));
	FAILS(EINVAL, madvise(p, PAGE, 12345));
	SYS(madvise(p, 0, MADV_DONTNEED));
	FAILS(EINVAL, msync(p + 1, PAGE, MS_SYNC));
	FAILS(EINVAL, msync(p, PAGE, MS_SYNC | MS_ASYNC));
	SYS(munmap(p, AREA));
	FAILS(ENOMEM, mprotect(p, AREA, RW));
	FAILS(ENOMEM, madvise(p, AREA, MADV_DONTNEED));
	FAILS(ENOMEM, msync(p, AREA, MS_SYNC));
	FAILS(ENOMEM, mlock(p, AREA));
	FAILS(EFAULT, mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	SYS(munmap(p, AREA));
}

/* Code written, made executable, run, rewritten: what a JIT does. */
static void generated_code(void)
{
	unsigned char code[] = { 0xb8, 0, 0, 0, 0, 0xc3 }; /* mov $N, %eax; ret */
	unsigned char *p = map_anon(AREA);

	for (int i = 0; i < 60; i++) {
		unsigned char *at = p + (i % 16) * PAGE + i * 16;

		memcpy(code + 1, &i, 4);
		SYS(mprotect(p, AREA, RW));
		memcpy(at, code, sizeof(code));
		SYS(mprotect(p, AREA, PROT_READ | PROT_EXEC));
		CHECK(((int (*)(void))(uintptr_t)at)() == i);
	}
	SYS(munmap(p, AREA));
	p = SYS(mmap(NULL, AREA, RW | PROT_EXEC, ANON, -1, 0));
	memcpy(p + PAGE, code, sizeof(code));
	CHECK(((int (*)(void))(uintptr_t)(p + PAGE))() == 59);
	SYS(munmap(p, AREA));
}

/* Protection keys, where the processor has them. */
static void protection_keys(void)
{
	int key = pkey_alloc(0, 0);
	char *p = map_anon(AREA);

	fill_marks(p, AREA, 1);
	if (key >= 0) {
		SYS(pkey_mprotect(p, AREA, RW, key));
		check_marks(p, AREA, 1);
		SYS(pkey_set(key, PKEY_DISABLE_WRITE));
		check_marks(p, AREA, 1);
		SYS(pkey_set(key, 0));
		fill_marks(p, AREA, 2);
		SYS(pkey_mprotect(p, AREA, RW, -1));
		SYS(pkey_free(key));
	} else {
		CHECK(errno == ENOSPC || errno == ENOSYS || errno == EINVAL);
		FAILS(EINVAL, pkey_mprotect(p, AREA, RW, 5));
		SYS(pkey_mprotect(p, AREA, PROT_READ, -1));
		check_marks(p, AREA, 1);
	}
	SYS(munmap(p, AREA));
}

#define PR_SET_VMA_ANON 0x53564d41

/*
 * Calls that divide a mapping for the kernel alone: a memory policy, a name. Touched in order across
 * the borders, forked, touched again.
 */
static void divided_by_the_kernel(void)
{
	unsigned long node0 = 1;

	for (int how = 0; how < 2; how++) {
		char *p = map_anon(AREA);
		int ret = how ? prctl(PR_SET_VMA_ANON, 0, p + 5 * PAGE, 3 * PAGE, "part")
			      : (int)syscall(SYS_mbind, p + 5 * PAGE, 3 * PAGE, 2, &node0, 8, 0);

		if (ret < 0)
			CHECK(errno == EINVAL || errno == ENOSYS, "%s", strerror(errno));
		fill_marks(p, AREA, how);
		pid_t pid = SYS(fork());
		if (!pid) {
			check_marks(p, AREA, how);
			fill_marks(p, AREA, 5);
			SYS(mprotect(p, AREA, PROT_READ));
			check_marks(p, AREA, 5);
			_exit(0);
		}
		expect_exit(pid, 0);
		check_marks(p, AREA, how);
		SYS(madvise(p, AREA, MADV_DONTNEED));
		fill_marks(p, AREA, 6);
		check_marks(p, AREA, 6);
		SYS(munmap(p, AREA));
	}
}

/* Memory that the kernel may drop (Linux 6.11), as getrandom's vDSO uses; or EINVAL. */
static void droppable(void)
{
	char *p = mmap(NULL, AREA, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		CHECK(errno == EINVAL, "%s", strerror(errno));
		return;
	}
	for (size_t i = 0; i < AREA; i += PAGE) {
		CHECK(p[i] == 0);
		p[i] = 1;
		CHECK(p[i] == 1 || p[i] == 0);
	}
	SYS(munmap(p, AREA));
}

/* 2 MiB and larger, aligned and not, with and without the wish for huge pages. */
static void huge_aligned(void)
{
	size_t len = 8 * MIB;
	char *p = map_anon(len);
	char *aligned = (char *)(((uintptr_t)p + 2 * MIB - 1) & ~(2 * MIB - 1));

	if (madvise(p, len, MADV_HUGEPAGE) < 0)
		CHECK(errno == EINVAL, "%s", strerror(errno));
	for (size_t i = 0; i < 4 * MIB; i += 64 * KIB) {
		check_bytes(aligned + i, 8, 0);
		aligned[i] = (char)(i / (64 * KIB) + 1);
	}
	SYS(mprotect(aligned + MIB, PAGE, PROT_READ));
	SYS(madvise(aligned + 3 * MIB, PAGE, MADV_DONTNEED));
	for (size_t i = 0; i < 4 * MIB; i += 64 * KIB)
		CHECK(aligned[i] == (i == 3 * MIB ? 0 : (char)(i / (64 * KIB) + 1)), "at %zu", i);
	SYS(munmap(p, len));
	FAILS(ENOMEM, mmap(NULL, 1UL << 40, RW, ANON | MAP_HUGETLB, -1, 0));
}

int main(void)
{
	RUN(fixed_noreplace);
	RUN(populate);
	RUN(locked);
	RUN(noreserve_stack_32bit);
	RUN(growsdown);
	RUN(hints);
	RUN(mmap_errors);
	RUN(other_errors);
	RUN(generated_code);
	RUN(protection_keys);
	RUN(divided_by_the_kernel);
	RUN(droppable);
	RUN(huge_aligned);
	return 0;
}
