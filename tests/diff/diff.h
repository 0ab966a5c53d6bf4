/* SPDX-License-Identifier: MIT */
/*
 * diff.h - the model against the kernel that runs this test, case by case.
 *
 * A case is a list of steps: calls on mappings, loads, stores, a fork.  native.c does the
 * steps of a batch of cases in a child, which allocates nothing and writes down each result
 * and at the end what smaps, pagemap, statm and status say.  model.c then does the same
 * steps with mm_plan_*()/commit, giving each commit the kernel's own result, and requires:
 * the errno that the plan named, and exactly the same mappings.
 *
 * Two windows are looked at: LOW, below everything else of the process, and HEAP, where brk
 * cases move their heap to.  Nothing is normalised but what rules.h names.
 */
#ifndef UPAGER_DIFF_H
#define UPAGER_DIFF_H

#include <stdio.h>

#include "mm/mm.h"

#define WINDOW_PAGES 64u
#define LOW  0x10000000UL /* low, also below the shadow of AddressSanitizer */
#define HEAP 0x5c0000000000UL /* above any program, below the heap of AddressSanitizer */
#define AT(page) (LOW + (u64)(page) * PAGE_SIZE)
#define BRK_AT(page) (HEAP + (u64)(page) * PAGE_SIZE)
#define PAGES(n) ((u64)(n) * PAGE_SIZE)

enum call {
	C_MMAP, C_MUNMAP, C_MPROTECT, C_MADVISE, C_MREMAP, C_MLOCK, C_MUNLOCK, C_MLOCKALL,
	C_MUNLOCKALL, C_MSEAL, C_BRK, C_READ, C_WRITE, C_FORK,
	NR_CALLS,
};

/* Which file a mmap step maps: none, or the test's file from page `pgoff` on. */
struct step {
	u8 call;
	bool file;
	int prot;      /* or advice, or mlock2's flags */
	int flags;
	u64 addr, len;
	u64 addr2, len2; /* mremap: new; mmap: addr2 is the file's page */
};

#define MAX_STEPS 16
struct test_case {
	struct step step[MAX_STEPS];
	u8 nr_steps;
	bool heap; /* a brk case: the window is HEAP, with an empty heap at BRK_AT(0) to begin with
		    */
};

/* One mapping as smaps shows it. */
struct line {
	u64 start, end, vm_flags;
};

/* What the kernel did. */
struct outcome {
	s64 result[MAX_STEPS];
	u8 nr_lines;
	struct line line[WINDOW_PAGES];
	u64 present;          /* bit n: page n of the window is there, by pagemap */
	s64 total_vm, data_vm; /* pages more than before the case; data_vm: data and stack, as statm
				  has it */
	s64 locked_vm;
	bool died;            /* a load or store was answered with a signal */
};

/* The bits of vm_flags that smaps shows and both sides know. */
#define SHOWN_FLAGS                                                                             \
	(VM_READ | VM_WRITE | VM_EXEC | VM_SHARED | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC |     \
	 VM_MAYSHARE | VM_GROWSDOWN | VM_LOCKED | VM_SEQ_READ | VM_RAND_READ | VM_DONTCOPY |    \
	 VM_LOCKONFAULT | VM_ACCOUNT | VM_NORESERVE | VM_WIPEONFORK | VM_DONTDUMP |             \
	 VM_HUGEPAGE | VM_NOHUGEPAGE | VM_MERGEABLE | VM_SEALED)

/* ---- native.c ---- */

/* Open what is needed before the first batch.  Returns 0, or -errno when this machine cannot run
 * the test. */
int native_init(void);
/* One step, in the calling process: its result or -errno. */
s64 native_step(const struct step *s);
/* Do cases[0..n) in a child.  out is in memory shared with it. */
void native_run(const struct test_case *cases, struct outcome *out, u32 n);

/* ---- model.c ---- */

/*
 * Do the case on the model and compare.  Returns true when all agrees; else says on f what
 * does not.
 */
bool model_agrees(const struct test_case *c, const struct outcome *native, FILE *f);
/* The same for a long run of calls under a limit of mappings, of which `left` remain at the end;
 * tells on stdout. */
bool model_agrees_at_limit(const struct step *step, const s64 *result, u32 nr_steps,
			   u32 max_map_count, u32 left);
void print_case(const struct test_case *c, const struct outcome *native, FILE *f);

/* ---- the sets of cases ---- */

/* Where a generator hands over its cases. */
void diff_case(const struct test_case *c);

static inline void case_add(struct test_case *c, struct step s)
{
	BUG_ON(c->nr_steps == MAX_STEPS);
	c->step[c->nr_steps++] = s;
}

void cases_layouts(u32 part, u32 parts); /* three slots, all placements, all calls */
void cases_forked(void);                 /* the same after a fork, in child and parent's flags */
void cases_mremap(u32 part, u32 parts);
void cases_files(void);                  /* files and shared memory among anonymous memory */
void cases_locked(void);                 /* locked memory */
void cases_brk(void);
void cases_hostile(void);                /* odd addresses and lengths */

/* limit.c: vm.max_map_count.  Returns the test's exit status. */
int limit_main(void);

#endif /* UPAGER_DIFF_H */
