/* SPDX-License-Identifier: MIT */
/* param.c - see param.h. */
#include "policy/param.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

u64 policy_bytes;

void *policy_zalloc(size_t bytes, char *err, size_t len)
{
	void *p = mem_zalloc(&policy_bytes, bytes);

	if (!p)
		snprintf(err, len, "no memory");
	return p;
}

void policy_free(void *p, size_t bytes)
{
	mem_free(&policy_bytes, p, bytes);
}

/*
 * Digits at *s, which is moved behind them.  False: none there, or more than 15 (no overflow
 * below).
 */
static bool read_digits(const char **s, u64 *value)
{
	const char *start = *s;

	for (*value = 0; **s >= '0' && **s <= '9'; ++*s) {
		if (*s - start >= 15)
			return false;
		*value = *value * 10 + (u64)(**s - '0');
	}
	return *s > start;
}

static bool read_number(const char *s, u64 *value)
{
	return read_digits(&s, value) && !*s;
}

/* A/B, A%, A.B or A.B%, in millionths; further decimals are dropped. */
static bool read_ratio(const char *s, u64 *value)
{
	u64 whole, part, scale = POLICY_RATIO_ONE;

	if (!read_digits(&s, &whole) || whole > 1000000)
		return false;
	if (*s == '/') {
		s++;
		if (!read_digits(&s, &part) || !part || *s)
			return false;
		*value = whole * POLICY_RATIO_ONE / part;
		return true;
	}
	*value = whole * POLICY_RATIO_ONE;
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9'; s++)
			*value += (u64)(*s - '0') * (scale /= 10);
	if (*s == '%') {
		*value /= 100;
		s++;
	}
	return !*s;
}

static const struct policy_value *find_value(const char *key, const struct policy_value *values,
					     u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		if (!strcmp(values[i].key, key))
			return &values[i];
	return NULL;
}

static void unknown_key(const char *key, const struct policy_value *values, u32 nr, char *err,
			size_t len)
{
	size_t at = (size_t)snprintf(err, len, "unknown parameter '%s' (known:", key);

	for (u32 i = 0; i < nr && at < len; i++)
		at += (size_t)snprintf(err + at, len - at, " %s", values[i].key);
	if (at < len)
		snprintf(err + at, len - at, "%s)", nr ? "" : " none");
}

int policy_params_read(const struct policy_param *params, u32 nr, const struct policy_value *values,
		       u32 nr_values, char *err, size_t len)
{
	for (u32 i = 0; i < nr; i++) {
		const struct policy_value *v = find_value(params[i].key, values, nr_values);
		bool ratio;
		u64 value;

		if (!v) {
			unknown_key(params[i].key, values, nr_values, err, len);
			return -EINVAL;
		}
		ratio = v->kind == POLICY_RATIO;
		if (!(ratio ? read_ratio(params[i].value, &value)
			    : read_number(params[i].value, &value))) {
			snprintf(err, len, "%s=%s: not %s", v->key, params[i].value,
				 ratio ? "a ratio (10%, 0.1 or 1/10)" : "a number");
			return -EINVAL;
		}
		if (value < v->min || value > v->max) {
			u64 unit = ratio ? POLICY_RATIO_ONE / 100 : 1;

			snprintf(err, len, "%s=%s: must be from %g%s to %g%s", v->key,
				 params[i].value, (double)v->min / (double)unit, ratio ? "%" : "",
				 (double)v->max / (double)unit, ratio ? "%" : "");
			return -EINVAL;
		}
		*v->value = value;
	}
	return 0;
}
