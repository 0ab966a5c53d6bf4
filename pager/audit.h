/* SPDX-License-Identifier: MIT */
/* audit.h - the parts of the audit (--check 3) that audit_space() in audit.c puts together. */
#ifndef UPAGER_AUDIT_H
#define UPAGER_AUDIT_H

#include "sup.h"

/*
 * What mm_struct counts against /proc/PID/{status,stat}.  Pre: sup->audit_maps has just been read, and the vmas
 * agree.  Returns false when the process is gone, or after a difference was said and the run failed.
 */
bool audit_counters(struct space *space, const char *after);

/*
 * Frames: pages that the model maps to one frame have one PFN, wherever they are mapped; pages of different
 * frames have different ones.  All spaces of the run that are at rest, and `space`.
 * `must`: look now; else only now and then.  A difference is said and fails the run.
 */
void audit_frames(struct space *space, const char *after, bool must);

/*
 * Before a fork protects the pages of `space`: are there some whose copy is still to come (R15)?
 * Pre: the fork holds the call slot.
 */
void audit_before_fork(struct space *space);

#endif /* UPAGER_AUDIT_H */
