/* SPDX-License-Identifier: MIT */
/*
 * modelmem.c - what a page of this program costs the supervisor.
 *
 *	modelmem resident|mapped
 *
 * resident: 512 MiB written to; mapped: 64 GiB never touched.  Looks at the private memory of its
 * tracer, which is upager's supervisor, before and after.  Prints bytes a page.  Runs only under
 * upager.
 */
#include "bench.h"

/* The number after `key` in a file of "key:   number" lines. */
static u64 read_field(const char *path, const char *key)
{
	FILE *f = fopen(path, "re");
	char line[256];
	u64 value = 0;
	bool found = false;

	if (!f)
		die(path);
	while (!found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)))
			continue;
		value = strtoull(line + strlen(key), NULL, 10);
		found = true;
	}
	fclose(f);
	if (!found) {
		fprintf(stderr, "modelmem: no %s in %s\n", key, path);
		exit(1);
	}
	return value;
}

static u64 tracer_bytes(void)
{
	u64 tracer = read_field("/proc/self/status", "TracerPid:");
	char path[64];

	if (!tracer) {
		fprintf(stderr, "modelmem: not traced: runs only under upager\n");
		exit(1);
	}
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)tracer);
	return 1024 * (read_field(path, "Private_Dirty:") + read_field(path, "Swap:"));
}

int main(int argc, char **argv)
{
	bool resident = argc > 1 && !strcmp(argv[1], "resident");
	u64 len = scaled(resident ? 512 * MIB : 64 * GIB), before;
	volatile char *mem;

	if (argc != 2 || (!resident && strcmp(argv[1], "mapped")))
		usage("resident|mapped");
	tracer_bytes(); /* whatever looking itself costs, once before */
	before = tracer_bytes();
	mem = map_untouched(len);
	if (resident)
		for (u64 at = 0; at < len; at += PAGE_SIZE)
			mem[at] = 1;
	printf("%.4f\n", ((double)tracer_bytes() - (double)before) / (double)(len / PAGE_SIZE));
	return 0;
}
