/* SPDX-License-Identifier: MIT */
#include "sys/uffd.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int uffd_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int uffd_api(int fd, u64 features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	return uffd_ioctl(fd, UFFDIO_API, &api);
}

int uffd_register(int fd, struct range r)
{
	struct uffdio_register reg = {
		.range = { r.start, range_len(r) },
		.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};

	return uffd_ioctl(fd, UFFDIO_REGISTER, &reg);
}

int uffd_unregister(int fd, struct range r)
{
	struct uffdio_range range = { r.start, range_len(r) };

	return uffd_ioctl(fd, UFFDIO_UNREGISTER, &range);
}

/* `field` may hold what was done, -errno, or be untouched: only a positive value counts. */
static u64 done_bytes(int ret, s64 field, u64 len)
{
	if (ret == 0)
		return len;
	return field > 0 ? (u64)field : 0;
}

int uffd_copy(int fd, u64 dst, const void *src, u64 len, u64 mode, u64 *done)
{
	struct uffdio_copy copy = { .dst = dst, .src = (u64)src, .len = len, .mode = mode };
	int ret = uffd_ioctl(fd, UFFDIO_COPY, &copy);

	*done = done_bytes(ret, copy.copy, len);
	return ret;
}

int uffd_zeropage(int fd, u64 dst, u64 len, u64 mode, u64 *done)
{
	struct uffdio_zeropage zero = { .range = { dst, len }, .mode = mode };
	int ret = uffd_ioctl(fd, UFFDIO_ZEROPAGE, &zero);

	*done = done_bytes(ret, zero.zeropage, len);
	return ret;
}

int uffd_writeprotect(int fd, struct range r, bool wp, bool nowake)
{
	struct uffdio_writeprotect prot = {
		.range = { r.start, range_len(r) },
		.mode = (wp ? UFFDIO_WRITEPROTECT_MODE_WP : 0) |
			(nowake && !wp ? UFFDIO_WRITEPROTECT_MODE_DONTWAKE : 0),
	};

	return uffd_ioctl(fd, UFFDIO_WRITEPROTECT, &prot);
}

bool uffd_is_over(int fd)
{
	return uffd_writeprotect(fd, (struct range){ TASK_SIZE - PAGE_SIZE, TASK_SIZE }, false, true) == -ESRCH;
}

int uffd_wake(int fd, struct range r)
{
	struct uffdio_range range = { r.start, range_len(r) };

	return uffd_ioctl(fd, UFFDIO_WAKE, &range);
}

int uffd_read(int fd, struct uffd_msg *msgs, int max)
{
	ssize_t n = read(fd, msgs, (size_t)max * sizeof(*msgs));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	return (int)((size_t)n / sizeof(*msgs));
}

int uffd_poison(int fd, struct range r)
{
	struct uffdio_poison p = { .range = { r.start, range_len(r) } };

	return ioctl(fd, UFFDIO_POISON, &p) ? -errno : 0;
}
