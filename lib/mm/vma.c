/* SPDX-License-Identifier: MIT */
/*
 * vma.c - finding a vma, and the four changes that keep tree, rmap and counters consistent: link, unlink,
 * set_range, set_flags.  Splitting and merging stand on them, in vma_merge.c.
 */
#include "mm/vma.h"

#include <sys/mman.h>

#include "mm/mm.h"

#define P__ PROT_NONE
#define PR_ PROT_READ
#define P_W PROT_WRITE
#define PX_ PROT_EXEC
/* Index: VM_SHARED VM_EXEC VM_WRITE VM_READ, from the high bit down. */
const u8 protection_map[16] = {
	P__, PR_, P_W, P_W | PR_, PX_, PX_ | PR_, PX_ | P_W, PX_ | P_W | PR_,
	P__, PR_, P_W, P_W | PR_, PX_, PX_ | PR_, PX_ | P_W, PX_ | P_W | PR_,
};

int vm_get_page_prot(u64 vm_flags)
{
	return protection_map[vm_flags & (VM_READ | VM_WRITE | VM_EXEC | VM_SHARED)];
}

u64 vm_start_gap(const struct vm_area_struct *vma)
{
	u64 gap = vma->vm_flags & VM_GROWSDOWN ? vma->vm_mm->world->config.stack_guard_gap : 0;

	return vma->vm_start > gap ? vma->vm_start - gap : 0;
}

struct vm_area_struct *find_vma(struct mm_struct *mm, u64 addr)
{
	struct vm_area_struct *found = mm->vmacache;

	if (found && addr >= found->vm_start && addr < found->vm_end)
		return found;
	found = vma_tree_find(mm, addr);
	if (found)
		mm->vmacache = found;
	return found;
}

struct vm_area_struct *find_vma_prev(struct mm_struct *mm, u64 addr, struct vm_area_struct **prev)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	*prev = vma ? vma->vm_prev : vma_tree_last(mm);
	return vma;
}

struct vm_area_struct *find_vma_intersection(struct mm_struct *mm, u64 start, u64 end)
{
	struct vm_area_struct *vma = find_vma(mm, start);

	return vma && vma->vm_start < end ? vma : NULL;
}

struct vm_area_struct *vma_lookup(struct mm_struct *mm, u64 addr)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	return vma && vma->vm_start <= addr ? vma : NULL;
}

void vma_link(struct mm_reserve *res, struct mm_struct *mm, struct vm_area_struct *vma)
{
	struct vm_area_struct *prev, *next = find_vma_prev(mm, vma->vm_start, &prev);

	BUG_ON(vma->vm_start >= vma->vm_end || vma->vm_end > TASK_SIZE);
	BUG_ON(next && next->vm_start < vma->vm_end);
	vma->vm_mm = mm;
	vma->vm_prev = prev;
	vma->vm_next = next;
	if (prev)
		prev->vm_next = vma;
	else
		mm->mmap = vma;
	if (next)
		next->vm_prev = vma;
	vma_tree_insert(res, vma);
	mm->map_count++;
	vm_stat_account(mm, vma->vm_flags, vma_pages(vma));
}

void vma_unlink(struct mm_reserve *res, struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;

	if (vma->vm_prev)
		vma->vm_prev->vm_next = vma->vm_next;
	else
		mm->mmap = vma->vm_next;
	if (vma->vm_next)
		vma->vm_next->vm_prev = vma->vm_prev;
	vma_tree_erase(res, vma);
	if (mm->vmacache == vma)
		mm->vmacache = NULL;
	mm->map_count--;
	vm_stat_account(mm, vma->vm_flags, -(s64)vma_pages(vma));
}

int insert_vm_struct(struct mm_reserve *res, struct mm_struct *mm, struct vm_area_struct *vma)
{
	if (find_vma_intersection(mm, vma->vm_start, vma->vm_end))
		return -ENOMEM;
	vma_link(res, mm, vma);
	return 0;
}

void vma_set_range(struct vm_area_struct *vma, u64 start, u64 end, u64 pgoff)
{
	s64 more_pages = (s64)((end - start) >> PAGE_SHIFT) - (s64)vma_pages(vma);

	BUG_ON(start >= end || end > TASK_SIZE);
	BUG_ON(vma->vm_prev && vma->vm_prev->vm_end > start);
	BUG_ON(vma->vm_next && vma->vm_next->vm_start < end);
	anon_vma_interval_tree_pre_update_vma(vma);
	vma->vm_start = start;
	vma->vm_end = end;
	vma->vm_pgoff = pgoff;
	anon_vma_interval_tree_post_update_vma(vma);
	vma_tree_update(vma);
	vm_stat_account(vma->vm_mm, vma->vm_flags, more_pages);
}

void vma_set_flags(struct vm_area_struct *vma, u64 vm_flags)
{
	bool guard_gap_changes = (vma->vm_flags ^ vm_flags) & VM_GROWSDOWN;

	vm_stat_account(vma->vm_mm, vma->vm_flags, -(s64)vma_pages(vma));
	vma->vm_flags = vm_flags;
	vm_stat_account(vma->vm_mm, vma->vm_flags, vma_pages(vma));
	if (guard_gap_changes)
		vma_tree_update(vma);
}

struct vm_area_struct *vma_new(struct mm_reserve *res, struct range r, u64 vm_flags, u64 pgoff,
			       struct vm_file *file)
{
	struct vm_area_struct *vma = reserve_take_vma(res);

	vma->vm_start = r.start;
	vma->vm_end = r.end;
	vma->vm_flags = vm_flags;
	vma->vm_pgoff = pgoff;
	vma->vm_file = file;
	if (file)
		file->refcount++;
	return vma;
}

void vma_free(struct mm_reserve *res, struct vm_area_struct *vma)
{
	BUG_ON(vma->anon_vma || !list_empty(&vma->anon_vma_chain));
	if (vma->vm_file)
		vm_file_put(vma->vm_file);
	reserve_give_vma(res, vma);
}

/*
 *   start        addr       end          start   addr     addr      end
 *   |-----------vma----------|    ->     |--vma---|        |---new---|
 */
struct vm_area_struct *vma_split(struct mm_reserve *res, struct vm_area_struct *vma, u64 addr)
{
	struct range upper = { addr, vma->vm_end };
	struct vm_area_struct *new;

	BUG_ON(addr <= vma->vm_start || addr >= vma->vm_end);
	new = vma_new(res, upper, vma->vm_flags, linear_page_index(vma, addr), vma->vm_file);
	new->anon_vma = vma->anon_vma;
	vma_set_range(vma, vma->vm_start, addr, vma->vm_pgoff);
	anon_vma_clone(res, new, vma);
	vma_link(res, vma->vm_mm, new);
	return new;
}
