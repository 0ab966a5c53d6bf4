/* SPDX-License-Identifier: MIT */
/*
 * reconcile.c - make the model's vmas say what /proc/PID/maps says.
 *
 * Both are cut at each other's borders into pieces; a piece is in one, in the other or in both.  The walk
 * runs twice, first to count what it may take from the reserve.  No Linux counterpart; compare rr's
 * AddressSpace::verify.
 */
#include "mm/plan.h"

/* What maps shows (or the caller knows); all other bits are the model's own. */
#define VM_VISIBLE \
	(VM_ACCESS_FLAGS | VM_SHARED | VM_MAYSHARE | VM_UNMANAGED | VM_SPECIAL_MAP)
#define VM_MAY (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)

/* The bits that the kernel will have given a mapping, where the caller cannot see them. */
static u64 seeded_flags(u64 f)
{
	if (!(f & VM_MAY))
		f |= VM_MAY;
	if ((f & (VM_NORESERVE | VM_SHARED | VM_WRITE | VM_HUGETLB)) == VM_WRITE)
		f |= VM_ACCOUNT;
	return f;
}

static bool same_backing(const struct vm_area_struct *vma, const struct vma_desc *d, u64 addr)
{
	if (vma->vm_file != d->file || (vma->vm_flags ^ d->vm_flags) & VM_UNMANAGED)
		return false;
	return !d->file ||
	       linear_page_index(vma, addr) == d->pgoff + ((addr - d->start) >> PAGE_SHIFT);
}

static u64 desc_pgoff(const struct vma_desc *d, u64 addr)
{
	return d->pgoff + ((addr - d->start) >> PAGE_SHIFT);
}

/*
 * One piece: vma or d may be NULL, not both.  With res == NULL add to *need what acting would take.
 */
static void reconcile_piece(struct mm_struct *mm, struct range piece, struct vm_area_struct *vma,
			    const struct vma_desc *d, struct mm_reserve *res,
			    struct reserve_need *need)
{
	bool keep = vma && d && same_backing(vma, d, piece.start);

	if (keep) {
		u64 flags = mprotect_account(vma, (vma->vm_flags & ~VM_VISIBLE) | d->vm_flags);

		if (flags == vma->vm_flags)
			return;
		if (res)
			vma_modify_flags(res, vma, piece.start, piece.end, flags);
		else
			*need = need_add(*need, range_need(mm, piece));
		return;
	}
	if (vma) {
		if (res)
			do_munmap(res, mm, piece);
		else
			*need = need_add(*need, range_need(mm, piece));
	}
	if (d) {
		if (res)
			mmap_region(res, mm, piece, seeded_flags(d->vm_flags),
				    desc_pgoff(d, piece.start), d->file);
		else
			*need = need_add(*need, (struct reserve_need){ .vmas = 1, .avcs = 1 });
	}
}

static void reconcile_walk(struct mm_struct *mm, const struct vma_desc *v, size_t n,
			   struct mm_reserve *res, struct reserve_need *need)
{
	u64 addr = 0;
	size_t i = 0;

	for (;;) {
		struct vm_area_struct *vma = find_vma(mm, addr);
		const struct vma_desc *d = i < n ? &v[i] : NULL;
		struct range piece = { addr, UINT64_MAX };
		bool in_vma, in_d;

		if (!vma && !d)
			return;
		in_vma = vma && vma->vm_start <= addr;
		in_d = d && d->start <= addr;
		if (vma)
			piece.end = u64_min(piece.end, in_vma ? vma->vm_end : vma->vm_start);
		if (d)
			piece.end = u64_min(piece.end, in_d ? d->end : d->start);
		if (in_vma || in_d)
			reconcile_piece(mm, piece, in_vma ? vma : NULL, in_d ? d : NULL, res, need);
		addr = piece.end;
		while (i < n && v[i].end <= addr)
			i++;
	}
}

int mm_reconcile(struct mm_struct *mm, const struct vma_desc *v, size_t n)
{
	struct reserve_need need = { 0 };
	struct mm_reserve res;
	int err;

	BUG_ON(mm->plan);
	for (size_t i = 0; i < n; i++) {
		BUG_ON(v[i].start >= v[i].end || v[i].end > TASK_SIZE);
		BUG_ON(i && v[i].start < v[i - 1].end);
	}
	reserve_init(&res, mm->world);
	reconcile_walk(mm, v, n, NULL, &need);
	err = reserve_fill(&res, need);
	if (!err)
		reconcile_walk(mm, v, n, &res, NULL);
	reserve_release(&res);
	return err;
}
