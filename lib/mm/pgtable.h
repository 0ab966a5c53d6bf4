/* SPDX-License-Identifier: MIT */
/*
 * pgtable.h - the model's page tables: PGD -> PUD -> PMD -> PTE, 512 entries each (the P4D of
 * five-level x86-64 is folded, as Linux folds it on this hardware).
 *
 * Who calls it: memory.c and its kin.  Only managed private memory has ptes.  A table exists while
 * an entry of it is used; the root always.  It knows nothing of vmas or of frames but their number.
 * Linux counterpart: pgtable.h, mm/pagewalk.c; the count of used entries stands in for free_pgtables.
 */
#ifndef UPAGER_PGTABLE_H
#define UPAGER_PGTABLE_H

#include "base/base.h"
#include "mm/swap.h"

#define PTRS_PER_TABLE 512u
#define PMD_SIZE       (PTRS_PER_TABLE * PAGE_SIZE) /* what one table of ptes spans */

struct mm_struct;
struct mm_reserve;

/* One page's state.  Not to be calculated with: use the helpers below.  All zero: none. */
typedef struct {
	u64 val;
} pte_t;

#define _PTE_PRESENT  (1UL << 0) /* maps frame `pfn` */
#define _PTE_ZERO     (1UL << 1) /* maps the zero page */
#define _PTE_WP       (1UL << 2) /* the machine holds it write-protected for us */
#define _PTE_SWAP     (1UL << 4) /* its bytes are in a swap slot */
#define _PTE_LAZYFREE (1UL << 3) /* MADV_FREE: the kernel may have dropped it; only with PRESENT */
#define _PTE_UNWRITTEN (1UL << 5) /* its protection was lifted ahead of a write (cow.c) */
#define PTE_PFN_SHIFT 12

static inline bool pte_none(pte_t pte)
{
	return pte.val == 0;
}

static inline bool pte_present(pte_t pte)
{
	return pte.val & _PTE_PRESENT;
}

static inline bool pte_zero(pte_t pte)
{
	return pte.val & _PTE_ZERO;
}

static inline bool pte_swap(pte_t pte)
{
	return pte.val & _PTE_SWAP;
}

static inline swp_entry_t pte_to_swp_entry(pte_t pte)
{
	return (swp_entry_t){ (u32)(pte.val >> PTE_PFN_SHIFT) };
}

static inline pte_t swp_entry_to_pte(swp_entry_t entry)
{
	return (pte_t){ (u64)entry.val << PTE_PFN_SHIFT | _PTE_SWAP };
}

static inline bool pte_wp(pte_t pte)
{
	return pte.val & _PTE_WP;
}

static inline bool pte_lazyfree(pte_t pte)
{
	return pte.val & _PTE_LAZYFREE;
}

static inline u32 pte_pfn(pte_t pte)
{
	return (u32)(pte.val >> PTE_PFN_SHIFT);
}

static inline pte_t mk_pte(u32 pfn, bool wp)
{
	return (pte_t){ (u64)pfn << PTE_PFN_SHIFT | _PTE_PRESENT | (wp ? _PTE_WP : 0) };
}

static inline pte_t mk_pte_zero(bool wp)
{
	return (pte_t){ _PTE_ZERO | (wp ? _PTE_WP : 0) };
}

static inline pte_t pte_mkwp(pte_t pte)
{
	return (pte_t){ pte.val | _PTE_WP };
}

/* The protection is lifted for a write that is to come now. */
static inline pte_t pte_clear_wp(pte_t pte)
{
	return (pte_t){ pte.val & ~(_PTE_WP | _PTE_UNWRITTEN) };
}

/* The protection is lifted, and perhaps nobody will write. */
static inline pte_t pte_mkunwritten(pte_t pte)
{
	return (pte_t){ (pte.val & ~_PTE_WP) | _PTE_UNWRITTEN };
}

static inline bool pte_unwritten(pte_t pte)
{
	return pte.val & _PTE_UNWRITTEN;
}

static inline pte_t pte_mklazyfree(pte_t pte)
{
	return (pte_t){ pte.val | _PTE_LAZYFREE };
}

/* A table of any level; the lowest holds ptes.  Owned by its parent entry. */
struct pgtable {
	union {
		struct pgtable *child[PTRS_PER_TABLE];
		pte_t pte[PTRS_PER_TABLE];
	};
	u32 nr_used; /* entries that are not empty */
};

/* Where one pte stands; table == NULL: there is no table, the pte is none. */
struct pte_ref {
	struct pgtable *table;
	u32 index;
};

static inline u32 pte_index(u64 addr)
{
	return (addr >> PAGE_SHIFT) & (PTRS_PER_TABLE - 1);
}

/* Pre: ref.table != NULL. */
static inline pte_t pte_get(struct pte_ref ref)
{
	return ref.table->pte[ref.index];
}

/* Pre: addr < TASK_SIZE, in all of these. */
struct pte_ref pte_offset(const struct mm_struct *mm, u64 addr);
/* The pte of addr, or none; never fails. */
pte_t pte_lookup(const struct mm_struct *mm, u64 addr);
/* As pte_offset, but makes the tables that lack: ref.table == NULL only for lack of memory. */
struct pte_ref pte_alloc(struct mm_struct *mm, u64 addr);
/* As pte_alloc, with tables from the reserve: cannot fail.  At most PGTABLE_DEPTH - 1 are taken. */
struct pte_ref pte_alloc_reserved(struct mm_struct *mm, u64 addr, struct mm_reserve *res);

/*
 * Replace a pte.  Keeps the table's count and the mm's counters (rss, zero ptes); the frame's are the
 * caller's business.  Pre: ref.table != NULL.
 */
void pte_set(struct mm_struct *mm, struct pte_ref ref, pte_t pte);

/*
 * Call fn for each pte of `r` that is not none, in order of address.  fn may change or clear that pte
 * and set ptes outside `r`; tables that are empty afterwards are freed (into `res` unless NULL).
 */
typedef void (*pte_fn)(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg);
void pte_walk(struct mm_struct *mm, struct range r, pte_fn fn, void *arg, struct mm_reserve *res);

/* Free the tables on the way to addr that hold nothing (left by a pte_alloc that was not used). */
void pgtable_trim(struct mm_struct *mm, u64 addr);

/* The first pte in `r` that is not none: its address, or r.end.  O(tables passed). */
u64 pte_next(const struct mm_struct *mm, struct range r, pte_t *pte);

/* How many tables there are, and are they counted right?  Walks all of them; for mm_verify. */
u64 pgtable_count(const struct mm_struct *mm);

#endif /* UPAGER_PGTABLE_H */
