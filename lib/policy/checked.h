/* SPDX-License-Identifier: MIT */
/*
 * checked.h - a policy inside a checker that looks at each answer and at each call.
 *
 * Who calls it: the tests, around every built-in policy; whoever runs one that he does not trust.
 * The checker is itself a reclaim_ops, with the policy that it wraps as its instance.  What it
 * asserts:
 *
 *   of the policy: a victim is a node that it holds (a wild pointer is not followed); none is
 *   named twice, or after forget(); victim() finds one as long as it holds any.  When it fails:
 *   CHECKED_BUG aborts; CHECKED_REPORT keeps the first error for checked_error(), answers NULL to
 *   victim() from then on and calls the policy no more, except for fini().  The mechanism then
 *   goes on with another policy.
 *   of the mechanism: each call fits the life of a page (reclaim_ops.h).  A failure is always a
 *   BUG.
 *
 * Each call costs one hash lookup more.
 */
#ifndef UPAGER_POLICY_CHECKED_H
#define UPAGER_POLICY_CHECKED_H

#include "policy/reclaim_ops.h"

enum checked_mode { CHECKED_BUG, CHECKED_REPORT };

/* All of reclaim_ops but init(): instances come from checked_new(). */
extern const struct reclaim_ops checked_ops;

/*
 * Wrap the instance `policy` of `ops`, which has no pages yet; fini() of the result ends both.
 * Return: the instance to use with checked_ops, or NULL for lack of memory: `policy` is still the
 * caller's.
 */
void *checked_new(const struct reclaim_ops *ops, void *policy, enum checked_mode mode);

/* What the policy did wrong, a line without a newline, valid until fini(); NULL: nothing so far. */
const char *checked_error(const void *checked);

/*
 * Nodes that the policy holds, and that are on probation (those freed there count until they come
 * again).
 */
u64 checked_nr_held(const void *checked);
u64 checked_nr_out(const void *checked);

#endif /* UPAGER_POLICY_CHECKED_H */
