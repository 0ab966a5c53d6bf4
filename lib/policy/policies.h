/* SPDX-License-Identifier: MIT */
/* policies.h - the built-in eviction policies, one file each; registry.c lists them. */
#ifndef UPAGER_POLICY_POLICIES_H
#define UPAGER_POLICY_POLICIES_H

#include "policy/reclaim_ops.h"

extern const struct reclaim_ops fifo_ops, random_ops, clock_ops, lru2_ops, twoq_ops, arc_ops, lirs_ops, s3fifo_ops,
	sieve_ops, mru_ops, sfifo_ops;

#endif /* UPAGER_POLICY_POLICIES_H */
