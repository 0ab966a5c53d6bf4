/* SPDX-License-Identifier: MIT */
/*
 * table.c - what each prefetcher makes of each pattern of use, as a table:
 * upager-prefetch-table [blind] [random].
 *
 * blind, random: see struct machine_setup.  For each pair: faults, pages prefetched, and pages
 * prefetched in vain, of 1000 uses; and the time that this would take, none being 100: a fault
 * is reckoned as 15 us, a page brought ahead as 3 us.
 */
#include "machine.h"

#include <stdio.h>
#include <string.h>

#define FAULT_US 15
#define BRING_US 3

static const char *const specs[] = {
	"none", "cluster:8", "readahead", "stride", "stride:max=16", "stride:max=256",
};

static double per_thousand(u64 n, const struct machine_result *r)
{
	return 1000.0 * (double)n / (double)r->uses;
}

static double time_of(const struct machine_result *r)
{
	return (double)(r->faults * FAULT_US + r->brought * BRING_US);
}

int main(int argc, char **argv)
{
	struct machine_setup setup = { .nr_pages = 65536, .nr_frames = 32768, .nr_uses = 8 * 65536 };

	for (int i = 1; i < argc; i++) {
		setup.blind |= !strcmp(argv[i], "blind");
		setup.random_victims |= !strcmp(argv[i], "random");
	}
	printf("%-16s%-16s%8s%9s%8s%7s\n", "", "of 1000 uses:", "faults", "brought", "wasted", "time");
	for (const struct pattern *p = patterns; p->name; p++) {
		double base = 0;

		for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
			struct machine_result r = machine_run(&setup, specs[i], p);

			base = i ? base : time_of(&r);
			printf("%-16s%-16s%8.1f%9.1f%8.1f%7.0f\n", i ? "" : p->name, specs[i],
			       per_thousand(r.faults, &r), per_thousand(r.brought, &r),
			       per_thousand(r.wasted, &r), 100 * time_of(&r) / base);
		}
	}
	return 0;
}
