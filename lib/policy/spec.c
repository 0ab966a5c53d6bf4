/* SPDX-License-Identifier: MIT */
/*
 * spec.c - "NAME:key=value,…" taken apart, for --policy and --prefetch.
 *
 * The first parameter may stand without a key (cluster:8, recorded:FILE, ./mine.so:args); its key
 * is then "".
 */
#include <errno.h>
#include <string.h>

#include "policy/reclaim_ops.h"

static int spec_error(char *err, size_t len, const char *arg, const char *what)
{
	snprintf(err, len, "%s: %s", arg, what);
	return -EINVAL;
}

int policy_spec_parse(struct policy_spec *spec, const char *arg, char *err, size_t len)
{
	char *p;

	*spec = (struct policy_spec){ .nr_params = 0 };
	if (strlen(arg) >= sizeof(spec->text))
		return spec_error(err, len, arg, "too long");
	strcpy(spec->text, arg);
	spec->name = spec->text;
	p = strchr(spec->text, ':');
	if (p)
		*p++ = '\0';
	if (!*spec->name)
		return spec_error(err, len, arg, "a name is missing");
	while (p && *p) {
		struct policy_param *param = &spec->params[spec->nr_params];
		char *next = strchr(p, ','), *value;

		if (next)
			*next++ = '\0';
		if (spec->nr_params == POLICY_MAX_PARAMS)
			return spec_error(err, len, arg, "too many parameters");
		value = strchr(p, '=');
		if (value)
			*value++ = '\0';
		if (value ? !*p : spec->nr_params > 0 || !*p)
			return spec_error(err, len, arg, "parameters are key=value,key=value");
		param->key = value ? p : "";
		param->value = value ? value : p;
		spec->nr_params++;
		p = next;
	}
	return 0;
}
