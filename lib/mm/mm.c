/* SPDX-License-Identifier: MIT */
/*
 * mm.c - address spaces and the world they live in: birth, death, counters.
 * Linux counterpart: kernel/fork.c (mm_init, mmput, mmdrop), mm/mmap.c (exit_mmap, vm_stat_account).
 */
#include "mm/mm.h"
#include "mm/plan.h"

struct mm_world *mm_world_create(const struct mm_config *config)
{
	u64 bytes = 0;
	struct mm_world *w = mem_zalloc(&bytes, sizeof(*w));

	if (!w)
		return NULL;
	BUG_ON(!config->hw);
	w->bytes = bytes;
	w->config = *config;
	list_init(&w->init_mm.mmlist);
	w->init_mm.world = w;
	w->init_mm.mm_users = 1;
	w->init_mm.mm_count = 1;
	frame_table_init(&w->frames);
	slab_init(&w->vma_slab, sizeof(struct vm_area_struct), &w->bytes);
	slab_init(&w->leaf_slab, sizeof(struct vma_leaf), &w->bytes);
	slab_init(&w->avc_slab, sizeof(struct anon_vma_chain), &w->bytes);
	slab_init(&w->anon_vma_slab, sizeof(struct anon_vma), &w->bytes);
	slab_init(&w->table_slab, sizeof(struct pgtable), &w->bytes);
	slab_init(&w->mm_slab, sizeof(struct mm_struct), &w->bytes);
	slab_init(&w->plan_slab, sizeof(struct mm_plan), &w->bytes);
	return w;
}

void mm_world_destroy(struct mm_world *w)
{
	u64 bytes;

	BUG_ON(w->nr_mms);
	BUG_ON(w->files.node);
	mm_set_policy(w, NULL, NULL);
	frame_table_fini(w);
	swap_info_fini(w);
	mem_free(&w->bytes, w->swap_buf, w->swap_buf ? SWAP_BUF_BYTES : 0);
	slab_fini(&w->vma_slab);
	slab_fini(&w->leaf_slab);
	slab_fini(&w->avc_slab);
	slab_fini(&w->anon_vma_slab);
	slab_fini(&w->table_slab);
	slab_fini(&w->mm_slab);
	slab_fini(&w->plan_slab);
	bytes = w->bytes;
	BUG_ON(bytes != sizeof(*w));
	mem_free(&bytes, w, sizeof(*w));
}

void mm_world_stats(const struct mm_world *w, struct mm_world_stats *out)
{
	*out = (struct mm_world_stats){
		.resident = w->frames.nr_used,
		.resident_max = w->frames.nr_used_max,
		.zero_ptes = w->zero_ptes,
		.zero_total = w->zero_total,
		.committed = w->vm_committed_as,
		.committed_max = u64_max(w->committed_max, w->vm_committed_as),
		.swapped = w->swap.nr_used,
		.model_bytes = w->bytes,
	};
}

struct mm_struct *mm_alloc_unpublished(struct mm_world *world)
{
	struct mm_struct *mm = slab_alloc(&world->mm_slab);

	if (!mm)
		return NULL;
	mm->pgd = slab_alloc(&world->table_slab);
	if (!mm->pgd) {
		slab_free(&world->mm_slab, mm);
		return NULL;
	}
	mm->world = world;
	mm->pgtables_bytes = PAGE_SIZE;
	mm->mm_users = 1;
	mm->mm_count = 1;
	list_init(&mm->mmlist);
	world->nr_mms++;
	return mm;
}

void mm_publish(struct mm_struct *mm)
{
	list_add_tail(&mm->mmlist, &mm->world->init_mm.mmlist);
}

struct mm_struct *mm_alloc(struct mm_world *world, void *host)
{
	struct mm_struct *mm = mm_alloc_unpublished(world);

	if (!mm)
		return NULL;
	mm->host = host;
	mm_publish(mm);
	return mm;
}

void mm_set_layout(struct mm_struct *mm, const struct mm_layout *layout)
{
	mm->layout = *layout;
}

void *mm_host(const struct mm_struct *mm)
{
	return mm->host;
}

void mm_set_host(struct mm_struct *mm, void *host)
{
	mm->host = host;
}

void mmgrab(struct mm_struct *mm)
{
	mm->mm_count++;
}

void mmdrop(struct mm_struct *mm)
{
	struct mm_world *world = mm->world;

	BUG_ON(!mm->mm_count);
	if (--mm->mm_count)
		return;
	BUG_ON(mm->mm_users || mm->mmap || mm->pgd->nr_used);
	slab_free(&world->table_slab, mm->pgd);
	slab_free(&world->mm_slab, mm);
	world->nr_mms--;
}

void mm_drop_pages(struct mm_struct *mm)
{
	BUG_ON(mm->plan);
	zap_page_range(mm, (struct range){ 0, TASK_SIZE }, NULL);
}

/* Drop every pte, then every vma: the rmap walk of a frame must find vmas as long as it is mapped. */
static void exit_mmap(struct mm_struct *mm)
{
	struct mm_reserve res;

	reserve_init(&res, mm->world);
	mm_drop_pages(mm);
	while (mm->mmap) {
		struct vm_area_struct *vma = mm->mmap;

		unlink_anon_vmas(&res, vma);
		vma_unlink(&res, vma);
		vma_free(&res, vma);
		reserve_release(&res);
	}
}

void mm_get(struct mm_struct *mm)
{
	BUG_ON(!mm->mm_users);
	mm->mm_users++;
}

void mm_put(struct mm_struct *mm)
{
	BUG_ON(!mm->mm_users);
	if (--mm->mm_users)
		return;
	exit_mmap(mm);
	list_del(&mm->mmlist);
	mmdrop(mm);
}

u32 mm_users(const struct mm_struct *mm)
{
	return mm->mm_users;
}

u32 mm_map_count(const struct mm_struct *mm)
{
	return mm->map_count;
}

u64 mm_brk(const struct mm_struct *mm)
{
	return mm->layout.brk;
}

void vm_stat_account(struct mm_struct *mm, u64 vm_flags, s64 pages)
{
	mm->total_vm += pages;
	mm->hiwater_vm = u64_max(mm->hiwater_vm, mm->total_vm);
	if ((vm_flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) == VM_EXEC)
		mm->exec_vm += pages;
	else if (vm_flags & VM_GROWSDOWN)
		mm->stack_vm += pages;
	else if ((vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE)
		mm->data_vm += pages;
	if (vm_flags & VM_LOCKED)
		mm->locked_vm += pages;
	if (vm_flags & VM_ACCOUNT) {
		mm->committed_vm += pages;
		mm->world->vm_committed_as += pages;
	}
}

bool mm_find_vma(const struct mm_struct *mm, u64 addr, struct vma_info *out)
{
	const struct vm_area_struct *vma = find_vma((struct mm_struct *)mm, addr);

	if (!vma)
		return false;
	*out = (struct vma_info){
		.start = vma->vm_start,
		.end = vma->vm_end,
		.vm_flags = vma->vm_flags,
		.pgoff = vma->vm_pgoff,
		.name = "",
	};
	if (vma->vm_file) {
		out->file = vma->vm_file->id;
		out->name = vma->vm_file->name;
	}
	return true;
}
