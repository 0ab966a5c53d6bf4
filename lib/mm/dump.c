/* SPDX-License-Identifier: MIT */
/*
 * dump.c - the model as text, in the manner of /proc/PID/smaps plus rmap facts.
 *
 * For people, and for tests that compare "before" and "after": no pointers, the same text for the same
 * content.  Linux counterpart: fs/proc/task_mmu.c, mm/debug.c.
 */
#include <inttypes.h>

#include "mm/mm.h"

static const struct {
	u64 bit;
	char name[3];
} flag_names[] = { /* smaps' VmFlags, then ours */
	{ VM_READ, "rd" }, { VM_WRITE, "wr" }, { VM_EXEC, "ex" }, { VM_SHARED, "sh" },
	{ VM_MAYREAD, "mr" }, { VM_MAYWRITE, "mw" }, { VM_MAYEXEC, "me" }, { VM_MAYSHARE, "ms" },
	{ VM_GROWSDOWN, "gd" }, { VM_PFNMAP, "pf" }, { VM_LOCKED, "lo" }, { VM_IO, "io" },
	{ VM_SEQ_READ, "sr" }, { VM_RAND_READ, "rr" }, { VM_DONTCOPY, "dc" },
	{ VM_DONTEXPAND, "de" }, { VM_LOCKONFAULT, "lf" }, { VM_ACCOUNT, "ac" },
	{ VM_NORESERVE, "nr" }, { VM_HUGETLB, "ht" }, { VM_SYNC, "sf" }, { VM_WIPEONFORK, "wf" },
	{ VM_DONTDUMP, "dd" }, { VM_SOFTDIRTY, "sd" }, { VM_MIXEDMAP, "mm" },
	{ VM_HUGEPAGE, "hg" }, { VM_NOHUGEPAGE, "nh" }, { VM_MERGEABLE, "mg" },
	{ VM_UFFD_MISSING, "um" }, { VM_UFFD_WP, "uw" }, { VM_UNMANAGED, "-u" },
	{ VM_SPECIAL_MAP, "-s" }, { VM_SEALED, "sl" },
};

void vm_flags_show(u64 vm_flags, FILE *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (vm_flags & flag_names[i].bit)
			fprintf(f, " %s", flag_names[i].name);
}

static void dump_chain(const struct vm_area_struct *vma, FILE *f)
{
	const struct anon_vma_chain *avc;

	if (!vma->anon_vma)
		return;
	fprintf(f, "  anon_vma %" PRIu32 " chain", vma->anon_vma->id);
	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma)
		fprintf(f, " %" PRIu32 "(parent %" PRIu32 " children %" PRIu32 " active %" PRIu32 ")",
			avc->anon_vma->id, avc->anon_vma->parent->id, avc->anon_vma->num_children,
			avc->anon_vma->num_active_vmas);
	fputc('\n', f);
}

static void dump_vma(const struct vm_area_struct *vma, FILE *f)
{
	const struct vm_file *file = vma->vm_file;
	struct vma_usage u;

	fprintf(f, "%08" PRIx64 "-%08" PRIx64 " %c%c%c%c %" PRIx64, vma->vm_start, vma->vm_end,
		vma->vm_flags & VM_READ ? 'r' : '-', vma->vm_flags & VM_WRITE ? 'w' : '-',
		vma->vm_flags & VM_EXEC ? 'x' : '-', vma->vm_flags & VM_SHARED ? 's' : 'p',
		vma->vm_pgoff);
	if (file)
		fprintf(f, " %" PRIx64 ":%" PRIu64 " %s", file->id.dev, file->id.ino, file->name);
	fputs("\n  VmFlags:", f);
	vm_flags_show(vma->vm_flags, f);
	fputc('\n', f);
	if (vma->vm_flags & VM_UNMANAGED)
		return;
	(void)mm_vma_usage(vma->vm_mm, vma->vm_start, &u);
	fprintf(f,
		"  pages %" PRIu64 " present %" PRIu64 " shared %" PRIu64 " zero %" PRIu64
		" wp %" PRIu64 " lazyfree %" PRIu64 "\n",
		vma_pages(vma), u.nr_present, u.nr_shared, u.nr_zero, u.nr_wp, u.nr_lazyfree);
	dump_chain(vma, f);
}

void mm_dump(const struct mm_struct *mm, FILE *f)
{
	fprintf(f,
		"mm users %" PRIu32 " count %" PRIu32 " map_count %" PRIu32 " brk %" PRIx64 "-%" PRIx64
		" def_flags %" PRIx64 "\n",
		mm->mm_users, mm->mm_count, mm->map_count, mm->layout.start_brk, mm->layout.brk,
		mm->def_flags);
	fprintf(f,
		"pages total %" PRIu64 " data %" PRIu64 " exec %" PRIu64 " stack %" PRIu64
		" locked %" PRIu64 " pinned %" PRIu64 " rss %" PRIu64 " zero %" PRIu64
		" hiwater_rss %" PRIu64 " hiwater_vm %" PRIu64 " pgtables %" PRIu64 " bytes\n",
		mm->total_vm, mm->data_vm, mm->exec_vm, mm->stack_vm, mm->locked_vm, mm->pinned_vm,
		mm->nr_anon_ptes, mm->nr_zero_ptes, mm->hiwater_rss, mm->hiwater_vm,
		mm->pgtables_bytes);
	for (const struct vm_area_struct *vma = mm->mmap; vma; vma = vma->vm_next)
		dump_vma(vma, f);
}

void mm_world_dump(const struct mm_world *world, FILE *f)
{
	const struct mm_struct *mm;

	fprintf(f, "world mms %" PRIu32 " frames %" PRIu64 " max %" PRIu64 " zero %" PRIu64 "\n",
		world->nr_mms, world->frames.nr_used, world->frames.nr_used_max, world->zero_ptes);
	fprintf(f, "init_mm users %" PRIu32 " count %" PRIu32 ", heads mmlist:\n",
		world->init_mm.mm_users, world->init_mm.mm_count);
	list_for_each_entry(mm, &world->init_mm.mmlist, mmlist)
		mm_dump(mm, f);
}
