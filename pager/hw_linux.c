/* SPDX-License-Identifier: MIT */
/*
 * hw_linux.c - hw_ops on a real address space: one userfaultfd ioctl each.
 *
 * Called by lib/mm only.  It must not call back into the model.
 */
#include <errno.h>

#include "reclaim.h"
#include "sup.h"
#include "sys/uffd.h"

/*
 * What new pages are copied from.  Never written, and not const: so it lies in the bss, where the kernel maps
 * its one zero page again and again, which stays hot in the cache.
 */
#define ZEROES_PAGES FAULT_AROUND_MAX_PAGES
static u8 zeroes[ZEROES_PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static int fd_of(struct mm_struct *mm)
{
	return ((struct space *)mm_host(mm))->uffd;
}

static int linux_arm(struct mm_struct *mm, struct range r)
{
	return uffd_register(fd_of(mm), r);
}

static int linux_disarm(struct mm_struct *mm, struct range r)
{
	return uffd_unregister(fd_of(mm), r);
}

/*
 * The kernel refuses a whole window with ENOENT when it crosses the end of one of its vmas, where ours
 * may be merged.  hw_ops promises to do what comes before: the first page at least.
 */
static bool crossed_vma(int err, u64 nr_pages, u64 done)
{
	return err == -ENOENT && nr_pages > 1 && !done;
}

static int linux_map_zero(struct mm_struct *mm, u64 addr, u64 nr_pages, unsigned int flags,
			  u64 *done)
{
	int fd = fd_of(mm);
	struct range r = range_of(addr, nr_pages << PAGE_SHIFT);
	u64 bytes;
	int ret = uffd_zeropage(fd, addr, range_len(r), UFFDIO_ZEROPAGE_MODE_DONTWAKE, &bytes);

	if (crossed_vma(ret, nr_pages, bytes))
		return linux_map_zero(mm, addr, 1, flags, done);
	if (done)
		*done = bytes >> PAGE_SHIFT;
	if (!bytes)
		return ret;
	/*
	 * UFFDIO_ZEROPAGE cannot protect.  Another thread may write in between: then the kernel has
	 * given it a page of its own, which is protected just the same, and its next write comes to us.
	 */
	r.end = r.start + bytes;
	ret = uffd_writeprotect(fd, r, true, false);
	if (ret == -EAGAIN) /* an mremap has begun meanwhile */
		return -EBUSY;
	if (ret) {
		if (done)
			*done = 0;
		return ret;
	}
	return flags & HW_NOWAKE ? 0 : uffd_wake(fd, r);
}

static int linux_map_copy(struct mm_struct *mm, u64 addr, u64 nr_pages, const void *src,
			  unsigned int flags, u64 *done)
{
	u64 mode = (flags & HW_WP ? UFFDIO_COPY_MODE_WP : 0) |
		   (flags & HW_NOWAKE ? UFFDIO_COPY_MODE_DONTWAKE : 0);
	u64 len = nr_pages << PAGE_SHIFT;
	u64 bytes;
	int ret;

	if (!src) {
		src = zeroes;
		len = u64_min(len, sizeof(zeroes));
	}
	ret = uffd_copy(fd_of(mm), addr, src, len, mode, &bytes);
	if (crossed_vma(ret, nr_pages, bytes))
		return linux_map_copy(mm, addr, 1, src, flags, done);
	if (done)
		*done = bytes >> PAGE_SHIFT;
	return ret;
}

static int linux_protect(struct mm_struct *mm, struct range r, unsigned int flags)
{
	return uffd_writeprotect(fd_of(mm), r, flags & HW_WP, flags & HW_NOWAKE);
}

static int linux_wake(struct mm_struct *mm, struct range r)
{
	return uffd_wake(fd_of(mm), r);
}

const struct hw_ops hw_linux = {
	.arm = linux_arm,
	.disarm = linux_disarm,
	.map_zero = linux_map_zero,
	.zero_takes_anon_vma = true,
	.map_copy = linux_map_copy,
	.protect = linux_protect,
	.wake = linux_wake,
	.unstage = reclaim_unstage,
	.peek = reclaim_peek,
	.unstage_drop = reclaim_unstage_drop,
};
