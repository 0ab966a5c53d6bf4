/* SPDX-License-Identifier: MIT */
/*
 * compare.c - does the model say what the oracle and the machine say?
 *
 * Flags, files and counters must equal the oracle's; ptes the machine's; a page that is out must have its bytes in
 * staging or in its slot (I12).  Three leniencies, each with its name:
 *   VM_ACCOUNT   whether mprotect clears it depends on an anon_vma, which the oracle does not have;
 *   alien        pages that the kernel made by itself need not be known to the model;
 *   lag          when protection was lifted and nobody has stored yet, the kernel still shares what the
 *                model has parted.
 */
#include <inttypes.h>
#include <string.h>

#include "sim/swapper.h"

#define NOT_COMPARED (VM_ACCOUNT | VM_SOFTDIRTY)

static u8 file_index(const struct sim *sim, const struct vm_file *file)
{
	for (u32 i = 0; file && i < SIM_FILES; i++) {
		if (sim->file[i] == file)
			return i + 1;
	}
	BUG_ON(file);
	return 0;
}

/* Every page of a vma of the model is the oracle's; returns how many. */
static u32 check_vma(const struct sim_space *s, const struct vm_area_struct *vma)
{
	u8 file = file_index(s->sim, vma->vm_file);

	if (vma->vm_start < SIM_BASE || vma->vm_end > SIM_END)
		BUG("a vma outside of the window at %" PRIx64, vma->vm_start);
	sim_for_each_page(i, vma_range(vma)) {
		const struct sim_page *p = &s->page[i];

		if (!p->mapped)
			BUG("page %u is in a vma of the model, the oracle has it unmapped", i);
		if ((p->vm_flags ^ vma->vm_flags) & ~NOT_COMPARED)
			BUG("page %u: vm_flags are %" PRIx64 " in the model, %" PRIx64 " in the oracle", i,
			    vma->vm_flags & ~NOT_COMPARED, p->vm_flags & ~NOT_COMPARED);
		if (p->file != file)
			BUG("page %u is of file %u in the model, %u in the oracle", i, file, p->file);
		if (file && linear_page_index(vma, sim_addr(i)) != p->pgoff)
			BUG("page %u is the file's page %" PRIu64 " in the model, %u in the oracle", i,
			    linear_page_index(vma, sim_addr(i)), p->pgoff);
	}
	return vma_pages(vma);
}

struct counters {
	u64 total_vm, data_vm, exec_vm, stack_vm, locked_vm, mapped;
};

static struct counters count(const struct sim_space *s)
{
	struct counters c = { 0 };

	for (u32 i = 0; i < SIM_PAGES; i++) {
		const struct sim_page *p = &s->page[i];
		bool exec = p->vm_flags & VM_EXEC, write = p->vm_flags & VM_WRITE;
		bool stack = p->vm_flags & VM_GROWSDOWN;

		if (!p->mapped)
			continue;
		c.total_vm++;
		c.locked_vm += (p->vm_flags & VM_LOCKED) != 0;
		if (stack)
			c.stack_vm++;
		else if (exec && !write)
			c.exec_vm++;
		else if (write && !(p->vm_flags & VM_SHARED))
			c.data_vm++;
	}
	return c;
}

static void check_counters(const struct sim_space *s)
{
	const struct mm_struct *mm = s->mm;
	struct counters c = count(s);

#define SAME(name)                                                                             \
	do {                                                                                   \
		if (mm->name != c.name)                                                        \
			BUG(#name " is %" PRIu64 " in the model, %" PRIu64 " in the oracle",   \
			    mm->name, c.name);                                                 \
	} while (0)
	SAME(total_vm);
	SAME(data_vm);
	SAME(exec_vm);
	SAME(stack_vm);
	SAME(locked_vm);
#undef SAME
	if (mm_brk(mm) != s->brk)
		BUG("brk is %" PRIx64 " in the model, %" PRIx64 " in the oracle", mm_brk(mm), s->brk);
	if (mm->def_flags != s->def_flags)
		BUG("def_flags are %" PRIx64 " in the model, %" PRIx64 " in the oracle", mm->def_flags,
		    s->def_flags);
}

static void check_content(const struct sim_space *s, u32 i)
{
	const struct sim_page *p = &s->page[i];
	u8 holds = p->state == SIM_PRESENT ? s->sim->frame[p->frame].tag : 0;

	if (p->state == SIM_NONE && sim_managed(p) && !p->dropped && !sim_find_swapped(s, sim_addr(i), &holds))
		holds = 0;
	if (holds != p->tag && !(p->maybe_zero && holds == 0))
		BUG("page %u holds %u, stored was %u", i, holds, p->tag);
}

/* One pte of the model against the machine's.  Returns 1 when it counts as resident. */
static u32 check_pte(struct sim_space *s, u32 i)
{
	struct sim_page *p = &s->page[i];
	struct pte_info pte;

	mm_lookup_pte(s->mm, sim_addr(i), &pte);
	if (pte.state == PTE_NONE) {
		if (p->state != SIM_NONE && !p->alien)
			BUG("page %u is on the machine and not in the model", i);
		return 0;
	}
	if (pte.state == PTE_SWAP) {
		if (p->state != SIM_NONE && !sim_is_rescued(s, sim_addr(i)))
			BUG("page %u is swapped out in the model, and the machine has it", i);
		return 0;
	}
	if (p->state == SIM_NONE) {
		if (!p->dropped && !pte.busy)
			BUG("page %u is in the model and not on the machine", i);
		return 1;
	}
	if (p->alien && pte.wp != p->wp) /* of an old page of the model's, which the machine has dropped */
		return pte.state == PTE_PRESENT;
	if (p->alien) { /* adopted: what it shares is the kernel's affair until the next store */
		p->alien = false;
		p->lag = true;
	}
	if (pte.wp != p->wp)
		BUG("page %u: wp is %d in the model, %d on the machine", i, pte.wp, p->wp);
	if (pte.state == PTE_ZERO && p->state != SIM_ZERO)
		BUG("page %u is the zero page in the model, not on the machine", i);
	if (pte.state == PTE_PRESENT && p->state != SIM_PRESENT && !p->lag)
		BUG("page %u has a frame in the model, not on the machine", i);
	if (p->lazyfree && !p->lag && !pte.lazyfree)
		BUG("page %u may be dropped by the machine, not in the model", i);
	return pte.state == PTE_PRESENT;
}

void sim_check_space(struct sim_space *s)
{
	const struct vm_area_struct *vma;
	u64 in_vmas = 0, rss = 0;

	if (s->gone)
		return;
	for (vma = s->mm->mmap; vma; vma = vma->vm_next)
		in_vmas += check_vma(s, vma);
	check_counters(s);
	if (in_vmas != s->mm->total_vm)
		BUG("the oracle has a page mapped that is in no vma of the model");
	for (u32 i = 0; i < SIM_PAGES; i++) {
		check_content(s, i);
		if (sim_managed(&s->page[i]))
			rss += check_pte(s, i);
	}
	if (rss != s->mm->nr_anon_ptes)
		BUG("rss is %" PRIu64 " in the model, counted were %" PRIu64, s->mm->nr_anon_ptes, rss);
}

#define NR_PFNS (2 * SIM_FRAMES) /* lag and dropped pages make the model hold more than the machine */

void sim_check_sharing(struct sim *sim)
{
	static u32 pfn_of[SIM_FRAMES];   /* + 1; 0: not seen */
	static u16 frame_of[NR_PFNS];    /* + 1 */

	memset(pfn_of, 0, sizeof(pfn_of));
	memset(frame_of, 0, sizeof(frame_of));
	for (u32 n = 0; n < SIM_SPACES; n++) {
		struct sim_space *s = sim->space[n];

		for (u32 i = 0; s && !s->gone && i < SIM_PAGES; i++) {
			const struct sim_page *p = &s->page[i];
			struct pte_info pte;

			if (p->state != SIM_PRESENT || p->alien || p->lag)
				continue;
			mm_lookup_pte(s->mm, sim_addr(i), &pte);
			if (pte.state != PTE_PRESENT)
				continue;
			BUG_ON(pte.pfn >= NR_PFNS);
			if (!pfn_of[p->frame] && !frame_of[pte.pfn]) {
				pfn_of[p->frame] = pte.pfn + 1;
				frame_of[pte.pfn] = p->frame + 1;
			}
			if (frame_of[pte.pfn] != p->frame + 1)
				BUG("page %u of space %u: one frame in the model, two on the machine", i,
				    s->id);
			if (pfn_of[p->frame] != pte.pfn + 1)
				BUG("page %u of space %u: one frame on the machine, two in the model", i,
				    s->id);
		}
	}
}
