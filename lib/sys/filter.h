/* SPDX-License-Identifier: MIT */
/*
 * filter.h - the seccomp filter that stops the program at the calls upager answers for.
 *
 * Built once by libseccomp in the supervisor, installed by the child between fork and exec, inherited
 * by every process of the tree.  Calls that are not named run at full speed (the kernel caches
 * "always allowed" by number).  Other ABIs of the machine (int 0x80, x32) get ENOSYS.
 */
#ifndef UPAGER_FILTER_H
#define UPAGER_FILTER_H

#include <linux/filter.h>

#include "base/base.h"

/* SECCOMP_RET_DATA of our stops, so that they are not taken for those of another filter. */
#define FILTER_TRACE_DATA 0x7570

enum filter_match {
	FILTER_ALWAYS,  /* the call, whatever its arguments */
	FILTER_EQUAL,   /* when (argument & mask) == value */
	FILTER_NOT_EQUAL, /* when argument != value */
	FILTER_NOTIFY,  /* as FILTER_EQUAL, but to the filter's listener instead of a stop (notify.h) */
};

/* Stop at call `nr` when it matches; several rules for one call are alternatives. */
struct filter_rule {
	int nr;
	enum filter_match match;
	int arg; /* 0..5 */
	u64 mask;
	u64 value;
	struct {
		int arg;
		u64 mask; /* 0: nothing more is asked */
		u64 value;
	} and; /* FILTER_EQUAL: and (argument & mask) == value of another argument */
};

/*
 * Compile.  *prog is allocated; free it with filter_free().
 * Returns 0, -ENOMEM, or libseccomp's -errno.
 */
int must_check filter_build(const struct filter_rule *rules, size_t nr_rules,
			    struct sock_fprog *prog);
void filter_free(struct sock_fprog *prog);

/*
 * Install on the calling task.  Async-signal-safe.  Sets no_new_privs only when the kernel asks for it
 * (no CAP_SYS_ADMIN).  *listener: the descriptor for FILTER_NOTIFY calls (close-on-exec), or -1 when
 * there can be none (a filter of an outer program has one).
 * Returns 0, -EINVAL (no seccomp filters here), -EACCES.
 */
int must_check filter_install(const struct sock_fprog *prog, int *listener);

#endif /* UPAGER_FILTER_H */
