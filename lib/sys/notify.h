/* SPDX-License-Identifier: MIT */
/*
 * notify.h - giving a descriptor of ours to a task that waits at a seccomp user notification.
 *
 * The only way to put a descriptor into another process without its help (seccomp_unotify(2)).
 */
#ifndef UPAGER_NOTIFY_H
#define UPAGER_NOTIFY_H

#include "base/base.h"

/*
 * Answer one notification that has arrived at `listener`, if there is one within timeout_ms: the call
 * returns a new descriptor, close-on-exec, for the file behind `fd`.
 * Returns 0, -EAGAIN (none came), or -errno: the task is gone, or may open no more files.
 */
int must_check notify_give_fd(int listener, int fd, int timeout_ms);

#endif /* UPAGER_NOTIFY_H */
