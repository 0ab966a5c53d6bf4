/* SPDX-License-Identifier: MIT */
#include "sys/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>

int notify_give_fd(int listener, int fd, int timeout_ms)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	struct seccomp_notif req = { 0 };
	struct seccomp_notif_addfd add = {
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (u32)fd,
		.newfd_flags = O_CLOEXEC,
	};
	struct seccomp_notif_resp refusal = { 0 };
	int err;

	if (poll(&p, 1, timeout_ms) <= 0)
		return -EAGAIN;
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req))
		return errno == ENOENT || errno == EINTR ? -EAGAIN : -errno;
	add.id = req.id;
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0)
		return 0;
	err = errno;
	refusal.id = req.id;
	refusal.error = -err;
	(void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &refusal); /* gone already */
	return -err;
}
