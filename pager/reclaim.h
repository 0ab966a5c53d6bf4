/* SPDX-License-Identifier: MIT */
/* reclaim.h - the budget and the policy of a run, seen from outside: what `upager ctl` shows and changes. */
#ifndef UPAGER_RECLAIM_H
#define UPAGER_RECLAIM_H

#include <stdio.h>

#include "base/base.h"

struct sup;

/*
 * A new budget, in bytes (MEMORY_MIN_PAGES pages at least, whole pages).  Returns 0, or -errno with one line of
 * why in err[0..len) and the old budget kept.
 */
int must_check reclaim_set_memory(struct sup *sup, u64 bytes, char *err, size_t len);
/*
 * Another policy: "NAME[:k=v,…]", or the absolute path of a plug-in, "/FILE[:args]".  All pages go over to it.
 * Returns 0, or -errno with one line of why and the old policy kept.
 */
int must_check reclaim_set_policy(struct sup *sup, const char *spec, char *err, size_t len);
/* Settings and figures as key=value lines, sizes in bytes. */
void reclaim_show(struct sup *sup, FILE *out);

#endif /* UPAGER_RECLAIM_H */
