/* SPDX-License-Identifier: MIT */
/*
 * options.c - see options.h: reading what is said in an option's argument.
 *
 * Called by cmd_run.c before any process is made, and by control.c for what `upager ctl` changes
 * live.
 */
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

int parse_size(const char *text, u64 *bytes)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	unsigned long long v;
	unsigned int shift = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || !*unit || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (v > (UINT64_MAX >> shift))
		return -EINVAL;
	*bytes = v << shift;
	return 0;
}

int parse_memory(const char *arg, u64 *bytes, char *err, size_t len)
{
	if (parse_size(arg, bytes)) {
		snprintf(err, len, "bad memory size '%s': a size such as 64M", arg);
		return -EINVAL;
	}
	if (*bytes < MEMORY_MIN_PAGES * PAGE_SIZE) {
		snprintf(err, len, "memory size %s is too small to run a program: %lluK at least",
			 arg, (unsigned long long)(MEMORY_MIN_PAGES * PAGE_SIZE >> 10));
		return -EINVAL;
	}
	*bytes &= PAGE_MASK;
	return 0;
}

/* ---- swap ---- */

static int parse_zpool(const char *algo, struct swap_options *swap, char *err, size_t len)
{
	if (!algo || !strcmp(algo, "lz4")) {
		swap->algo = SWAP_LZ4;
	} else if (!strcmp(algo, "zstd")) {
		swap->algo = SWAP_ZSTD;
	} else {
		snprintf(err, len, "bad swap 'zpool:%s': zpool:lz4 or zpool:zstd", algo);
		return -EINVAL;
	}
	swap->pool = true;
	return 0;
}

static int parse_file(const char *path, struct swap_options *swap, char *err, size_t len)
{
	if (!path || !*path) {
		snprintf(err, len, "bad swap 'file': file:PATH");
		return -EINVAL;
	}
	if (swap->file) {
		snprintf(err, len, "a second swap file, '%s': there can be one", path);
		return -EINVAL;
	}
	swap->file = path;
	return 0;
}

/* key=value of the file that was named before it. */
static int parse_file_option(const char *key, const char *value, struct swap_options *swap,
			     char *err, size_t len)
{
	if (!strcmp(key, "size")) {
		if (!parse_size(value, &swap->file_size) && swap->file_size >= PAGE_SIZE)
			return 0;
		snprintf(err, len, "bad size of the swap file '%s': a size such as 4G", value);
	} else if (!strcmp(key, "checksum")) {
		swap->checksum = !strcmp(value, "on");
		if (swap->checksum || !strcmp(value, "off"))
			return 0;
		snprintf(err, len, "bad checksum of the swap file '%s': on or off", value);
	} else {
		snprintf(err, len, "bad swap '%s=%s': a file has size= and checksum=", key, value);
	}
	return -EINVAL;
}

static int parse_swap_word(char *word, struct swap_options *swap, char *err, size_t len)
{
	char *colon = strchr(word, ':');
	char *equals = strchr(word, '=');

	if (equals && (!colon || equals < colon) && swap->file) {
		*equals = '\0';
		return parse_file_option(word, equals + 1, swap, err, len);
	}
	if (colon)
		*colon++ = '\0';
	if (!strcmp(word, "zpool"))
		return parse_zpool(colon, swap, err, len);
	if (!strcmp(word, "file"))
		return parse_file(colon, swap, err, len);
	snprintf(err, len,
		 "bad swap '%s': zpool, zpool:zstd, file:PATH, or zpool,file:PATH,size=4G", word);
	return -EINVAL;
}

int parse_swap(const char *arg, struct swap_options *swap, char *err, size_t len)
{
	char *text = strdup(arg), *rest = text, *word;
	const char *file = swap->file;
	int ret = 0;

	if (!text) {
		snprintf(err, len, "out of memory");
		return -EINVAL;
	}
	if (!swap->given)
		swap->pool = false;
	swap->given = true;
	while (!ret && (word = strsep(&rest, ",")))
		ret = parse_swap_word(word, swap, err, len);
	if (swap->file != file)
		swap->text = text; /* the path is in it */
	else
		free(text);
	return ret;
}

/* ---- other words ---- */

int parse_cow(const char *arg, struct run_options *opt, char *err, size_t len)
{
	u64 pages;

	if (!strcmp(arg, "lazy")) {
		opt->cow = COW_LAZY;
	} else if (!strcmp(arg, "eager")) {
		opt->cow = COW_EAGER;
	} else if (!strncmp(arg, "around:", 7) && !parse_size(arg + 7, &pages) && pages >= 1 &&
		   pages <= FAULT_AROUND_MAX_PAGES) {
		opt->cow = COW_AROUND;
		opt->cow_around = (u32)pages;
	} else {
		snprintf(err, len, "bad --cow '%s': lazy, eager, or around:N with N from 1 to %d",
			 arg, FAULT_AROUND_MAX_PAGES);
		return -EINVAL;
	}
	return 0;
}

int parse_fault_around(const char *arg, u32 *pages, char *err, size_t len)
{
	u64 n = 1;

	if (strcmp(arg, "off") && (parse_size(arg, &n) || n < 1 || n > FAULT_AROUND_MAX_PAGES)) {
		snprintf(err, len, "bad --fault-around '%s': off, or 1 to %d pages", arg,
			 FAULT_AROUND_MAX_PAGES);
		return -EINVAL;
	}
	*pages = (u32)n;
	return 0;
}

/* ---- policies ---- */

int check_policy(const char *arg, u64 capacity, char *err, size_t len)
{
	const struct reclaim_ops *ops;
	void *policy;
	int ret;

	if (policy_is_plugin(arg))
		return policy_try(arg, capacity, err, len);
	ret = policy_open(arg, capacity, NULL, &ops, &policy, err, len);
	if (!ret)
		ops->fini(policy);
	return ret;
}

int check_prefetch(const char *arg, char *err, size_t len)
{
	const struct prefetch_ops *ops;
	void *prefetch;
	int ret = prefetch_open(arg, false, &ops, &prefetch, err, len);

	if (!ret)
		ops->fini(prefetch);
	return ret;
}
