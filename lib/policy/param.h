/* SPDX-License-Identifier: MIT */
/*
 * param.h - the parameters and the memory of policies and prefetchers.
 *
 * Who calls it: each policy's init().  A policy lists its keys in a table of struct policy_value,
 * each with a default that is already in place, and policy_params_read() overwrites what the user
 * gave.
 * Linux counterpart: fs_parameter_spec of fs_parser.h.
 */
#ifndef UPAGER_POLICY_PARAM_H
#define UPAGER_POLICY_PARAM_H

#include "policy/reclaim_ops.h"

enum policy_value_kind {
	POLICY_NUMBER, /* decimal digits */
	POLICY_RATIO,  /* "12.5%", "0.125" or "1/8"; kept in millionths */
};
#define POLICY_RATIO_ONE 1000000UL

/* One key that a policy knows.  *value holds the default before and the result after. */
struct policy_value {
	const char *key;
	enum policy_value_kind kind;
	u64 *value;
	u64 min, max; /* both allowed; of a ratio in millionths */
};

/*
 * Read all of params[0..nr) by the table.  Return: 0, or -EINVAL with a message for the user in
 * err[0..len): a key that is not in the table, a value that is no number or out of its bounds.
 * Values read before the bad one are already changed.
 */
int must_check policy_params_read(const struct policy_param *params, u32 nr,
				  const struct policy_value *values, u32 nr_values, char *err,
				  size_t len);

/* ratio (in millionths) of n, rounded down. */
static inline u64 policy_ratio_of(u64 ratio, u64 n)
{
	return n / POLICY_RATIO_ONE * ratio + n % POLICY_RATIO_ONE * ratio / POLICY_RATIO_ONE;
}

/* Bytes that all policies and prefetchers hold now (an account of base/alloc.h). */
extern u64 policy_bytes;

/*
 * A zeroed instance of a policy, or NULL with "no memory" in err[0..len).  Freed with
 * policy_free().
 */
void *policy_zalloc(size_t bytes, char *err, size_t len);
void policy_free(void *p, size_t bytes);

#endif /* UPAGER_POLICY_PARAM_H */
