/* SPDX-License-Identifier: MIT */
#include "sys/rlimits.h"

#include "base/base.h"

#define ROOM_FOR_DESCRIPTORS 1024 /* RLIM_INFINITY is refused for them */

static const int lifted[NR_RLIMITS_LIFTED] = { RLIMIT_NOFILE, RLIMIT_AS, RLIMIT_NPROC };

void rlimits_lift(struct rlimits *r, pid_t tid)
{
	r->tid = tid;
	for (size_t i = 0; i < ARRAY_SIZE(lifted); i++) {
		struct rlimit *saved = &r->saved[i], more;

		*saved = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
		if (prlimit(tid, lifted[i], NULL, saved))
			continue;
		more = *saved;
		more.rlim_cur = more.rlim_max;
		if (lifted[i] == RLIMIT_NOFILE)
			more.rlim_max = more.rlim_cur = u64_max(more.rlim_max, ROOM_FOR_DESCRIPTORS);
		else
			more.rlim_max = more.rlim_cur = RLIM_INFINITY;
		if (prlimit(tid, lifted[i], &more, NULL)) { /* without privilege */
			more = (struct rlimit){ saved->rlim_max, saved->rlim_max };
			(void)prlimit(tid, lifted[i], &more, NULL);
		}
	}
}

void rlimits_restore(const struct rlimits *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(lifted); i++)
		(void)prlimit(r->tid, lifted[i], &r->saved[i], NULL);
}
