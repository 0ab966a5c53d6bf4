/* SPDX-License-Identifier: MIT */
/*
 * steps.h - short hands for the generators of cases.  Pages are those of the LOW window.
 */
#ifndef UPAGER_DIFF_STEPS_H
#define UPAGER_DIFF_STEPS_H

#include <sys/mman.h>

#include "diff.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MOVE_TO (MREMAP_MAYMOVE | MREMAP_FIXED)

static inline struct step mmap_step(u32 page, u32 pages, int prot, int flags)
{
	return (struct step){ .call = C_MMAP, .addr = AT(page), .len = PAGES(pages), .prot = prot,
			      .flags = flags | MAP_FIXED };
}

/* A call that takes a range and perhaps a prot (or advice, or mlock2's flags). */
static inline struct step on(enum call call, u32 page, u32 pages, int prot)
{
	return (struct step){ .call = call, .addr = AT(page), .len = PAGES(pages), .prot = prot };
}

/* `to` only counts where flags give a place. */
static inline struct step mremap_step(u32 page, u32 pages, u32 new_pages, int flags, u32 to)
{
	bool placed = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);

	return (struct step){ .call = C_MREMAP, .addr = AT(page), .len = PAGES(pages),
			      .len2 = PAGES(new_pages), .flags = flags,
			      .addr2 = placed ? AT(to) : 0 };
}

/* Hand the setup over with one step more. */
static inline void with(const struct test_case *setup, struct step s)
{
	struct test_case c = *setup;

	case_add(&c, s);
	diff_case(&c);
}

#endif /* UPAGER_DIFF_STEPS_H */
