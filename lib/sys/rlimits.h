/* SPDX-License-Identifier: MIT */
/*
 * rlimits.h - limits that a program set for itself are not for what we add to it: lifted while its task makes our calls.
 */
#ifndef UPAGER_RLIMITS_H
#define UPAGER_RLIMITS_H

#include <sys/resource.h>
#include <sys/types.h>

#define NR_RLIMITS_LIFTED 3

struct rlimits {
	pid_t tid;
	struct rlimit saved[NR_RLIMITS_LIFTED];
};

/*
 * Lift the limits on descriptors, address space and processes of the process of `tid`, as far as we may: without
 * CAP_SYS_RESOURCE to its hard limits.  Pre: the task is stopped, and rlimits_restore() follows before it goes on.
 */
void rlimits_lift(struct rlimits *r, pid_t tid);
void rlimits_restore(const struct rlimits *r);

#endif /* UPAGER_RLIMITS_H */
