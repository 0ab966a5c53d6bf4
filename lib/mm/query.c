/* SPDX-License-Identifier: MIT */
/* query.c - see mm_query.h.  Nothing here changes the model, but for mm_set_auxv(). */
#include <string.h>

#include "mm/mm.h"
#include "mm/mm_query.h"

void mm_get_counters(const struct mm_struct *mm, struct mm_counters *out)
{
	*out = (struct mm_counters){
		.mm_users = mm->mm_users,
		.mm_count = mm->mm_count,
		.map_count = mm->map_count,
		.total_vm = mm->total_vm,
		.data_vm = mm->data_vm,
		.exec_vm = mm->exec_vm,
		.stack_vm = mm->stack_vm,
		.locked_vm = mm->locked_vm,
		.pinned_vm = mm->pinned_vm,
		.anon_rss = mm->nr_anon_ptes,
		.swap_ptes = mm->nr_swap_ptes,
		.zero_ptes = mm->nr_zero_ptes,
		.hiwater_rss = mm->hiwater_rss,
		.hiwater_vm = mm->hiwater_vm,
		.pgtables_bytes = mm->pgtables_bytes,
		.def_flags = mm->def_flags,
		.layout = mm->layout,
	};
}

static void count_ptes(const struct mm_struct *mm, struct range r, struct vma_usage *u)
{
	pte_t pte;

	while ((r.start = pte_next(mm, r, &pte)) < r.end) {
		u->nr_swap += pte_swap(pte);
		u->nr_zero += pte_zero(pte);
		u->nr_wp += pte_wp(pte);
		u->nr_lazyfree += pte_lazyfree(pte);
		if (pte_present(pte)) {
			u->nr_present++;
			u->nr_shared += pfn_to_frame(mm->world, pte_pfn(pte))->mapcount > 1;
		}
		r.start += PAGE_SIZE;
	}
}

static void count_rmap(const struct vm_area_struct *vma, struct vma_usage *u)
{
	const struct anon_vma *av = vma->anon_vma;
	const struct interval_node *node;
	struct range all = { 0, UINT64_MAX };

	u->nr_ancestors = anon_vma_chain_len(vma);
	if (!av)
		return;
	u->anon_vma = av->id;
	u->degree = av->num_children + av->num_active_vmas;
	for (node = interval_first(&av->rb_root, all); node; node = interval_next(node, all))
		u->nr_reached++;
}

bool mm_vma_usage(const struct mm_struct *mm, u64 addr, struct vma_usage *out)
{
	const struct vm_area_struct *vma = find_vma((struct mm_struct *)mm, addr);

	if (!vma)
		return false;
	*out = (struct vma_usage){ 0 };
	if (!(vma->vm_flags & VM_UNMANAGED))
		count_ptes(mm, vma_range(vma), out);
	count_rmap(vma, out);
	return true;
}

void mm_set_auxv(struct mm_struct *mm, const u64 *auxv, size_t nr)
{
	mm->nr_auxv = (u32)u64_min(nr, MM_AUXV_MAX);
	memcpy(mm->saved_auxv, auxv, mm->nr_auxv * sizeof(*auxv));
}

const u64 *mm_auxv(const struct mm_struct *mm, size_t *nr)
{
	*nr = mm->nr_auxv;
	return mm->saved_auxv;
}
