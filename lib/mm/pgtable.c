/* SPDX-License-Identifier: MIT */
/*
 * pgtable.c - see pgtable.h.  Levels count from the leaves: 0 holds ptes, PGTABLE_DEPTH - 1 is the pgd.
 */
#include "mm/pgtable.h"

#include "mm/mm.h"

#define PGTABLE_DEPTH 4

static u32 level_shift(int level)
{
	return PAGE_SHIFT + 9 * level;
}

/* Which entry of a table at `level` addr falls into. */
static u32 entry_index(u64 addr, int level)
{
	return (addr >> level_shift(level)) & (PTRS_PER_TABLE - 1);
}

struct pte_ref pte_offset(const struct mm_struct *mm, u64 addr)
{
	struct pgtable *t = mm->pgd;

	BUG_ON(addr >= TASK_SIZE);
	for (int level = PGTABLE_DEPTH - 1; level > 0 && t; level--)
		t = t->child[entry_index(addr, level)];
	if (t)
		__builtin_prefetch(&t->nr_used, 1); /* who sets the entry counts it, in another line and page */
	return (struct pte_ref){ t, pte_index(addr) };
}

pte_t pte_lookup(const struct mm_struct *mm, u64 addr)
{
	struct pte_ref ref = pte_offset(mm, addr);

	return ref.table ? pte_get(ref) : (pte_t){ 0 };
}

static struct pte_ref walk_alloc(struct mm_struct *mm, u64 addr, struct mm_reserve *res)
{
	struct pgtable *t = mm->pgd;

	BUG_ON(addr >= TASK_SIZE);
	for (int level = PGTABLE_DEPTH - 1; level > 0; level--) {
		struct pgtable **slot = &t->child[entry_index(addr, level)];

		if (!*slot) {
			*slot = res ? reserve_take_table(res) : slab_alloc(&mm->world->table_slab);
			if (!*slot) {
				pgtable_trim(mm, addr);
				return (struct pte_ref){ NULL, 0 };
			}
			t->nr_used++;
			mm->pgtables_bytes += PAGE_SIZE;
		}
		t = *slot;
	}
	return (struct pte_ref){ t, pte_index(addr) };
}

struct pte_ref pte_alloc(struct mm_struct *mm, u64 addr)
{
	struct pte_ref ref = pte_offset(mm, addr);

	return ref.table ? ref : walk_alloc(mm, addr, NULL);
}

struct pte_ref pte_alloc_reserved(struct mm_struct *mm, u64 addr, struct mm_reserve *res)
{
	return walk_alloc(mm, addr, res);
}

void pte_set(struct mm_struct *mm, struct pte_ref ref, pte_t pte)
{
	pte_t *slot = &ref.table->pte[ref.index];
	pte_t old = *slot;

	*slot = pte;
	ref.table->nr_used += !pte_none(pte);
	ref.table->nr_used -= !pte_none(old);
	if (pte_present(pte)) {
		mm->nr_anon_ptes++;
		mm->hiwater_rss = u64_max(mm->hiwater_rss, mm->nr_anon_ptes);
	}
	mm->nr_anon_ptes -= pte_present(old);
	mm->nr_swap_ptes += pte_swap(pte);
	mm->nr_swap_ptes -= pte_swap(old);
	if (unlikely(pte_zero(pte) != pte_zero(old))) {
		s64 change = pte_zero(pte) ? 1 : -1;

		mm->nr_zero_ptes += change;
		mm->world->zero_ptes += change;
		mm->world->zero_total += pte_zero(pte);
	}
}

static void free_table(struct mm_struct *mm, struct pgtable *t, struct mm_reserve *res)
{
	if (res)
		reserve_give_table(res, t);
	else
		slab_free(&mm->world->table_slab, t);
	mm->pgtables_bytes -= PAGE_SIZE;
}

struct walk {
	struct mm_struct *mm;
	pte_fn fn;
	void *arg;
	struct mm_reserve *res;
};

/* `base`: the first address that the table spans; r lies within it. */
static void walk_table(struct walk *w, struct pgtable *t, int level, u64 base, struct range r)
{
	u64 size = 1UL << level_shift(level);
	u32 first = entry_index(r.start, level);
	u32 last = entry_index(r.end - 1, level);

	for (u32 i = first; i <= last && t->nr_used; i++) {
		u64 start = base + i * size;
		struct pgtable *child;

		if (level == 0) {
			if (!pte_none(t->pte[i]))
				w->fn(w->mm, start, (struct pte_ref){ t, i }, w->arg);
			continue;
		}
		child = t->child[i];
		if (!child)
			continue;
		walk_table(w, child, level - 1, start,
			   range_intersect(r, range_of(start, size)));
		if (!child->nr_used) {
			t->child[i] = NULL;
			t->nr_used--;
			free_table(w->mm, child, w->res);
		}
	}
}

void pte_walk(struct mm_struct *mm, struct range r, pte_fn fn, void *arg, struct mm_reserve *res)
{
	struct walk w = { mm, fn, arg, res };

	BUG_ON(r.end > TASK_SIZE);
	if (!range_empty(r))
		walk_table(&w, mm->pgd, PGTABLE_DEPTH - 1, 0, r);
}

static void no_pte(struct mm_struct *mm, u64 addr, struct pte_ref ref, void *arg)
{
}

void pgtable_trim(struct mm_struct *mm, u64 addr)
{
	pte_walk(mm, range_of(addr, PAGE_SIZE), no_pte, NULL, NULL);
}

/* First used pte of the table in r; r.end when there is none. */
static u64 next_in_table(const struct pgtable *t, int level, u64 base, struct range r, pte_t *pte)
{
	u64 size = 1UL << level_shift(level);
	u32 last = entry_index(r.end - 1, level);

	for (u32 i = entry_index(r.start, level); i <= last; i++) {
		u64 start = base + i * size;
		struct range part = range_intersect(r, range_of(start, size));
		u64 found;

		if (level == 0) {
			if (pte_none(t->pte[i]))
				continue;
			*pte = t->pte[i];
			return start;
		}
		if (!t->child[i])
			continue;
		found = next_in_table(t->child[i], level - 1, start, part, pte);
		if (found != part.end)
			return found;
	}
	return r.end;
}

u64 pte_next(const struct mm_struct *mm, struct range r, pte_t *pte)
{
	BUG_ON(r.end > TASK_SIZE);
	if (range_empty(r))
		return r.end;
	return next_in_table(mm->pgd, PGTABLE_DEPTH - 1, 0, r, pte);
}

static u64 count_tables(const struct pgtable *t, int level)
{
	u64 nr_tables = 1;
	u32 used = 0;

	for (u32 i = 0; i < PTRS_PER_TABLE; i++) {
		if (level == 0) {
			used += !pte_none(t->pte[i]);
		} else if (t->child[i]) {
			used++;
			nr_tables += count_tables(t->child[i], level - 1);
		}
	}
	if (used != t->nr_used)
		BUG("I2: a table says %u entries and has %u", t->nr_used, used);
	if (!used && level != PGTABLE_DEPTH - 1)
		BUG("I2: an empty table was left");
	return nr_tables;
}

u64 pgtable_count(const struct mm_struct *mm)
{
	return count_tables(mm->pgd, PGTABLE_DEPTH - 1);
}
