/* SPDX-License-Identifier: MIT */
/*
 * uffd.h - userfaultfd(2) and ioctl_userfaultfd(2) as functions that return 0 or -errno.
 *
 * Called by pager/hw_linux.c and by probes.  It knows nothing of the model.  Every function says what
 * the kernel means by each error; the classes are those of CRIU's criu/uffd.c: gone, retry, fatal.
 *   -EAGAIN  the address space is changing (an event is unread): nothing beyond *done was done
 *   -ESRCH   the address space is gone
 *   -ENOENT  the range is not (or not wholly) registered with this descriptor
 */
#ifndef UPAGER_UFFD_H
#define UPAGER_UFFD_H

#include "base/base.h"
#include "sys/uapi.h"

/* Features without which upager cannot run. */
#define UFFD_FEATURES_REQUIRED                                                              \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | \
	 UFFD_FEATURE_THREAD_ID)

/* Handshake.  `features` to enable.  Returns 0, -EINVAL (kernel lacks one), -EPERM (EVENT_FORK). */
int uffd_api(int fd, u64 features);

/* Deliver missing and write-protect faults of `r`.  Returns 0, -EINVAL (not registrable), -EBUSY (another's). */
int uffd_register(int fd, struct range r);
int uffd_unregister(int fd, struct range r);

/*
 * Copy `len` bytes from src to new pages at dst; `mode` UFFDIO_COPY_MODE_*.  *done: bytes copied.
 * Returns 0, -EAGAIN (also after a part: look at *done), -EEXIST (a page is there; nobody is woken),
 * -ENOENT, -ESRCH, -ENOMEM.
 */
int uffd_copy(int fd, u64 dst, const void *src, u64 len, u64 mode, u64 *done);
/* As uffd_copy with the zero page; `mode` UFFDIO_ZEROPAGE_MODE_*. */
int uffd_zeropage(int fd, u64 dst, u64 len, u64 mode, u64 *done);
/* Set (wp) or lift the write protection of present pages; lifting wakes unless `nowake`. */
int uffd_writeprotect(int fd, struct range r, bool wp, bool nowake);
/*
 * Has the last task let go of the address space?  Pre: the last page below TASK_SIZE is not managed; asked there, an
 * address space that goes on says -ENOENT.
 */
bool uffd_is_over(int fd);
/* The next access to the empty pages of `r` gets SIGBUS; wakes.  Returns also -ENOTTY, -EINVAL (before 6.6). */
int uffd_poison(int fd, struct range r);
/* Wake whoever waits in `r`. */
int uffd_wake(int fd, struct range r);

/* Read up to `max` messages.  Returns how many (0: none now), or -errno. */
int uffd_read(int fd, struct uffd_msg *msgs, int max);

#endif /* UPAGER_UFFD_H */
