// SPDX-License-Identifier: MIT
/* Shared memory that the kernel locks without being asked by a flag of mmap: memfd_secret, remap_file_pages of locked pages. */
#include <sys/syscall.h>
#include "e2e.h"

#define RW (PROT_READ | PROT_WRITE)

static void secret(void)
{
	int fd = (int)syscall(SYS_memfd_secret, 0);
	char *p, *q = map_anon(8 * PAGE);

	if (fd < 0)
		return; /* not on this machine */
	SYS(ftruncate(fd, 8 * PAGE));
	p = mmap(NULL, 8 * PAGE, RW, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED, "%m");
	memset(p, 7, 8 * PAGE);
	SYS(munlock(p, PAGE)); /* it stays locked */
	SYS(mprotect(p + 2 * PAGE, PAGE, PROT_READ));
	SYS(munmap(p + 4 * PAGE, PAGE));
	memcpy(q, p, 4 * PAGE);
	CHECK(q[PAGE] == 7);
	SYS(munmap(p, 8 * PAGE));
	SYS(munmap(q, 8 * PAGE));
	SYS(close(fd));
}

static void remapped(void)
{
	char *p = mmap(NULL, 8 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED, "%m");
	for (int i = 0; i < 8; i++)
		p[i * PAGE] = (char)i;
	for (int i = 0; i < 8; i++) {
		if (i % 2)
			SYS(mlock(p + i * PAGE, PAGE));
		SYS(remap_file_pages(p + i * PAGE, PAGE, 0, 7 - i, 0));
	}
	for (int i = 0; i < 8; i++)
		CHECK(p[i * PAGE] == 7 - i);
	SYS(munlock(p, 4 * PAGE));
	SYS(munmap(p, 8 * PAGE));
}

/* What may be dropped is not locked, and nobody is told (Linux 6.11). */
static void droppable(void)
{
	char *p = mmap(NULL, 8 * PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		CHECK(errno == EINVAL, "%s", strerror(errno));
		return;
	}
	SYS(mlock(p, 4 * PAGE));
	SYS(mlock2(p + 4 * PAGE, 2 * PAGE, MLOCK_ONFAULT));
	SYS(munlock(p + 2 * PAGE, PAGE));
	SYS(mlockall(MCL_FUTURE));
	char *q = mmap(NULL, 8 * PAGE, RW, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	CHECK(q != MAP_FAILED, "%m");
	SYS(munlock(q, 4 * PAGE));
	SYS(munlockall());
	SYS(munmap(p, 8 * PAGE));
	SYS(munmap(q, 8 * PAGE));
}

int main(void)
{
	RUN(secret);
	RUN(droppable);
	RUN(remapped);
	return 0;
}
