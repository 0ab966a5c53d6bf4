/* SPDX-License-Identifier: MIT */
/*
 * calls.c - the naive oracle: what Linux answers to each call on mappings, page by page.
 *
 * No vma, no tree, no merge: a page is mapped or not and has flags.  Checks stand in the order in which Linux
 * makes them.  Only the window exists, so what Linux would map elsewhere is refused with -ENOMEM.
 * Linux counterpart: mm/mmap.c, mm/mprotect.c, mm/madvise.c, mm/mlock.c, mm/mremap.c, mm/mseal.c of 6.18.
 */
#include <sys/mman.h>

#include "sim/sim.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define MADV_DONTNEED_LOCKED_ 24
#define MADV_GUARD_INSTALL_   102

#define SIM_VM_SPECIAL (VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP)

/* ---- on runs of pages ---- */

static bool any_mapped(const struct sim_space *s, struct range r)
{
	sim_for_each_page(i, r) {
		if (s->page[i].mapped)
			return true;
	}
	return false;
}

static bool any_sealed(const struct sim_space *s, struct range r)
{
	sim_for_each_page(i, r) {
		if (s->page[i].mapped && s->page[i].vm_flags & VM_SEALED)
			return true;
	}
	return false;
}

static bool is_mapped(const struct sim_space *s, u64 addr)
{
	return sim_in_window(addr) && s->page[sim_index(addr)].mapped;
}

static void page_zap(struct sim *sim, struct sim_page *p)
{
	sim_pte_clear(sim, p);
	p->tag = 0;
	p->maybe_zero = false;
}

static void unmap_range(struct sim_space *s, struct range r)
{
	sim_for_each_page(i, r) {
		sim_pte_clear(s->sim, &s->page[i]);
		s->page[i] = (struct sim_page){ 0 };
	}
}

static void map_range(struct sim_space *s, struct range r, u64 vm_flags, u8 file, u32 pgoff)
{
	u32 n = 0;

	sim_for_each_page(i, r) {
		BUG_ON(s->page[i].mapped);
		s->page[i] = (struct sim_page){
			.mapped = true,
			.vm_flags = vm_flags,
			.file = file,
			.pgoff = file ? pgoff + n++ : 0,
		};
	}
}

static bool out_of_window(u64 addr, u64 len)
{
	return addr < SIM_BASE || addr + len > SIM_END;
}

/* The lowest or highest hole of len bytes; 0: none. */
static u64 unmapped_area(const struct sim_space *s, u64 len, bool bottom_up)
{
	u32 n = len >> PAGE_SHIFT, run = 0;

	if (len > SIM_END - SIM_BASE)
		return 0;
	for (u32 k = 0; k < SIM_PAGES; k++) {
		u32 i = bottom_up ? k : SIM_PAGES - 1 - k;

		run = s->page[i].mapped ? 0 : run + 1;
		if (run == n)
			return sim_addr(bottom_up ? i + 1 - n : i);
	}
	return 0;
}

/* ---- mmap, munmap, brk ---- */

static u64 mmap_flags(const struct sim_space *s, const struct mmap_args *a)
{
	u64 f = s->def_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;

	if (a->prot & PROT_READ)
		f |= VM_READ;
	if (a->prot & PROT_WRITE)
		f |= VM_WRITE;
	if (a->prot & PROT_EXEC)
		f |= VM_EXEC;
	if (a->flags & MAP_GROWSDOWN)
		f |= VM_GROWSDOWN;
	if (a->flags & MAP_LOCKED)
		f |= VM_LOCKED;
	if (a->flags & MAP_NORESERVE)
		f |= VM_NORESERVE;
	if (a->flags & MAP_STACK)
		f |= VM_NOHUGEPAGE;
	if ((a->flags & MAP_TYPE) == MAP_SHARED)
		f |= VM_SHARED | VM_MAYSHARE;
	if (a->unmanaged)
		f |= VM_UNMANAGED;
	return f;
}

s64 sim_sys_mmap(struct sim_space *s, const struct sim_mmap *m)
{
	const struct mmap_args *a = &m->args;
	bool fixed = a->flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
	int type = a->flags & MAP_TYPE;
	u64 len = page_align_up(a->len);
	u64 addr = a->addr;

	if (!a->len)
		return -EINVAL;
	if (!len)
		return -ENOMEM;
	if (len > TASK_SIZE)
		return -ENOMEM;
	if (fixed) {
		if (addr >= -4095UL)
			return (s64)addr; /* Linux takes it for an errno */
		if (addr > TASK_SIZE - len)
			return -ENOMEM;
		if (!page_aligned(addr))
			return -EINVAL;
		if (a->flags & MAP_FIXED_NOREPLACE && any_mapped(s, range_of(addr, len)))
			return -EEXIST;
	} else {
		addr = unmapped_area(s, len, m->bottom_up);
	}
	if (type != MAP_SHARED && type != MAP_PRIVATE)
		return -EINVAL;
	if (type == MAP_SHARED && a->flags & MAP_ANONYMOUS && a->flags & MAP_GROWSDOWN)
		return -EINVAL;
	if (any_sealed(s, range_of(addr, len)))
		return -EPERM;
	if (out_of_window(addr, len))
		return -ENOMEM; /* also when there is no hole */
	unmap_range(s, range_of(addr, len));
	map_range(s, range_of(addr, len), mmap_flags(s, a), m->file, a->pgoff);
	return addr;
}

s64 sim_sys_munmap(struct sim_space *s, u64 addr, u64 len)
{
	struct range r = range_of(addr, page_align_up(len));

	if (!page_aligned(addr) || addr > TASK_SIZE || len > TASK_SIZE - addr || !page_align_up(len))
		return -EINVAL;
	if (any_sealed(s, r))
		return -EPERM;
	unmap_range(s, r);
	return 0;
}

s64 sim_sys_brk(struct sim_space *s, u64 brk)
{
	u64 old = page_align_up(s->brk), new = page_align_up(brk);
	u64 flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | s->def_flags;

	if (brk < s->start_brk)
		return s->brk;
	if (brk > s->brk && new < old)
		return s->brk; /* wraps */
	if (new < old) {
		if (!any_mapped(s, (struct range){ new, old }) ||
		    any_sealed(s, (struct range){ new, old }))
			return s->brk;
		unmap_range(s, (struct range){ new, old });
	} else if (new > old) {
		/* a page must stay free above, and a stack's guard gap below it */
		if (new > SIM_END - PAGE_SIZE || any_mapped(s, (struct range){ old, new + PAGE_SIZE }))
			return s->brk;
		sim_for_each_page(i, ((struct range){ new, new + PAGE_SIZE + SIM_GUARD_GAP })) {
			if (s->page[i].mapped && s->page[i].vm_flags & VM_GROWSDOWN)
				return s->brk;
			if (s->page[i].mapped)
				break;
		}
		map_range(s, (struct range){ old, new }, flags, 0, 0);
	}
	s->brk = brk;
	return brk;
}

/* ---- mprotect, madvise ---- */

s64 sim_sys_mprotect(struct sim_space *s, u64 addr, u64 len, int prot)
{
	struct range r = range_of(addr, page_align_up(len));
	u64 access = 0;

	if (!page_aligned(addr))
		return -EINVAL;
	if (!len)
		return 0;
	if (r.end <= r.start)
		return -ENOMEM;
	if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | 8 /* PROT_SEM */))
		return -EINVAL;
	access |= prot & PROT_READ ? VM_READ : 0;
	access |= prot & PROT_WRITE ? VM_WRITE : 0;
	access |= prot & PROT_EXEC ? VM_EXEC : 0;
	for (u64 a = r.start; a < r.end; a += PAGE_SIZE) {
		struct sim_page *p = sim_page(s, a);

		if (!p || !p->mapped)
			return -ENOMEM;
		if (access & ~(p->vm_flags >> 4))
			return -EACCES;
		if (p->vm_flags & VM_SEALED)
			return -EPERM;
		p->vm_flags = (p->vm_flags & ~(VM_READ | VM_WRITE | VM_EXEC)) | access;
	}
	return 0;
}

static int advise_page(struct sim *sim, struct sim_page *p, int advice)
{
	bool anonymous = !p->file && !(p->vm_flags & VM_SHARED);
	u64 *f = &p->vm_flags;

	if (*f & VM_SEALED && anonymous && !(*f & VM_WRITE) &&
	    (advice == MADV_FREE || advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED_ ||
	     advice == MADV_DONTFORK || advice == MADV_WIPEONFORK))
		return -EPERM;
	switch (advice) {
	case MADV_NORMAL:
		*f &= ~(VM_RAND_READ | VM_SEQ_READ);
		return 0;
	case MADV_SEQUENTIAL:
		*f = (*f & ~VM_RAND_READ) | VM_SEQ_READ;
		return 0;
	case MADV_RANDOM:
		*f = (*f & ~VM_SEQ_READ) | VM_RAND_READ;
		return 0;
	case MADV_DONTFORK:
		*f |= VM_DONTCOPY;
		return 0;
	case MADV_DOFORK:
		*f &= ~VM_DONTCOPY;
		return 0;
	case MADV_WIPEONFORK:
		if (!anonymous)
			return -EINVAL;
		*f |= VM_WIPEONFORK;
		return 0;
	case MADV_KEEPONFORK:
		*f &= ~VM_WIPEONFORK;
		return 0;
	case MADV_DONTDUMP:
		*f |= VM_DONTDUMP;
		return 0;
	case MADV_DODUMP:
		*f &= ~VM_DONTDUMP;
		return 0;
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED_:
		if (*f & VM_LOCKED && advice == MADV_DONTNEED)
			return -EINVAL;
		page_zap(sim, p);
		return 0;
	case MADV_FREE:
		if (*f & VM_LOCKED || !anonymous)
			return -EINVAL;
		p->lazyfree = p->state == SIM_PRESENT;
		p->maybe_zero |= p->tag != 0; /* what is out is dropped at once */
		return 0;
	}
	BUG("advice %d", advice);
}

static bool advice_is_known(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_SEQUENTIAL:
	case MADV_RANDOM:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED_:
	case MADV_FREE:
		return true;
	}
	return false;
}

s64 sim_sys_madvise(struct sim_space *s, u64 addr, u64 len, int advice)
{
	struct range r = range_of(addr, page_align_up(len));
	u64 mapped = 0;

	if (!advice_is_known(advice) || !page_aligned(addr))
		return -EINVAL;
	if ((len && !page_align_up(len)) || r.end < r.start)
		return -EINVAL;
	if (r.start == r.end)
		return 0;
	sim_for_each_page(i, r) {
		int err;

		if (!s->page[i].mapped)
			continue;
		err = advise_page(s->sim, &s->page[i], advice);
		if (err)
			return err;
		mapped += PAGE_SIZE;
	}
	return mapped == range_len(r) ? 0 : -ENOMEM;
}

/* ---- mlock, mseal ---- */

static void lock_page(struct sim_page *p, u64 lock)
{
	if (!(p->vm_flags & (SIM_VM_SPECIAL | VM_HUGETLB)))
		p->vm_flags = (p->vm_flags & ~SIM_LOCKED_MASK) | lock;
}

/* Linux then fills the locked pages, and says -ENOMEM when it meets PROT_NONE. */
static s64 populate_answer(struct sim_space *s, struct range r)
{
	for (u64 a = r.start; a < r.end; a += PAGE_SIZE) {
		const struct sim_page *p = sim_page(s, a);

		if (!(p->vm_flags & VM_ACCESS_FLAGS) && !(p->vm_flags & VM_LOCKONFAULT))
			return -ENOMEM;
	}
	return 0;
}

s64 sim_sys_mlock(struct sim_space *s, u64 addr, u64 len, unsigned int flags, bool lock)
{
	u64 start = page_align_down(addr);
	struct range r = range_of(start, page_align_up(len + (addr - start)));
	u64 bits = 0;

	if (flags & ~MLOCK_ONFAULT)
		return -EINVAL;
	if (lock)
		bits = VM_LOCKED | (flags & MLOCK_ONFAULT ? VM_LOCKONFAULT : 0);
	if (r.end < r.start)
		return -EINVAL;
	for (u64 a = r.start; a < r.end; a += PAGE_SIZE) {
		if (!is_mapped(s, a))
			return -ENOMEM;
		lock_page(sim_page(s, a), bits);
	}
	return lock ? populate_answer(s, r) : 0;
}

s64 sim_sys_mlockall(struct sim_space *s, int flags)
{
	u64 lock = VM_LOCKED | (flags & MCL_ONFAULT ? VM_LOCKONFAULT : 0);

	if (!flags || flags == MCL_ONFAULT || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT))
		return -EINVAL;
	s->def_flags = flags & MCL_FUTURE ? lock : 0;
	for (u32 i = 0; flags & MCL_CURRENT && i < SIM_PAGES; i++) {
		if (s->page[i].mapped)
			lock_page(&s->page[i], lock);
	}
	return 0;
}

s64 sim_sys_munlockall(struct sim_space *s)
{
	s->def_flags = 0;
	for (u32 i = 0; i < SIM_PAGES; i++) {
		if (s->page[i].mapped)
			lock_page(&s->page[i], 0);
	}
	return 0;
}

s64 sim_sys_mseal(struct sim_space *s, u64 addr, u64 len)
{
	struct range r = range_of(addr, page_align_up(len));

	if (!page_aligned(addr) || (len && !page_align_up(len)) || r.end < r.start)
		return -EINVAL;
	for (u64 a = r.start; a < r.end; a += PAGE_SIZE) {
		if (!is_mapped(s, a))
			return -ENOMEM;
	}
	sim_for_each_page(i, r)
		s->page[i].vm_flags |= VM_SEALED;
	return 0;
}

/* ---- mremap ---- */

/*
 * Where the vma that holds addr ends.  This alone is asked of the model: whether two equal neighbours are
 * one vma depends on their past, which flat arrays do not know.  tests/diff proves that part.
 */
static u64 vma_end(const struct sim_space *s, u64 addr)
{
	struct vma_info v;

	BUG_ON(!mm_find_vma(s->mm, addr, &v) || v.start > addr);
	return v.end;
}

/* Move the pages of `from` to `to`, which is empty and as long or longer. */
static void move_pages(struct sim_space *s, struct range from, struct range to, bool dontunmap)
{
	struct sim_page like = *sim_page(s, from.start);

	for (u64 off = 0; off < range_len(to); off += PAGE_SIZE) {
		struct sim_page *dst = sim_page(s, to.start + off);
		struct sim_page *src = sim_page(s, from.start + off);

		if (off >= range_len(from)) {
			*dst = (struct sim_page){
				.mapped = true,
				.vm_flags = like.vm_flags,
				.file = like.file,
				.pgoff = like.file ? like.pgoff + (off >> PAGE_SHIFT) : 0,
				/* locked: the kernel fills it before it is heard of (pager/on_fault.c) */
				.armed = like.armed && !(like.vm_flags & VM_LOCKED),
			};
			continue;
		}
		*dst = *src;
		*src = (struct sim_page){ 0 };
		if (dontunmap) {
			src->mapped = true;
			src->vm_flags = dst->vm_flags & ~SIM_LOCKED_MASK;
			src->file = dst->file;
			src->pgoff = dst->pgoff;
			src->armed = dst->armed;
		}
	}
}

/* What is refused for the vma at `old`.  Source: check_prep_vma. */
static int mremap_check_vma(const struct sim_space *s, u64 old, u64 old_len, u64 new_len, int flags)
{
	const struct sim_page *p;

	if (!is_mapped(s, old))
		return -EFAULT;
	p = &s->page[sim_index(old)];
	if (p->vm_flags & VM_SEALED)
		return -EPERM;
	if (new_len <= old_len && !(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
		return 0;
	if (!old_len && !(p->vm_flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;
	if (u64_min(old_len, new_len) > vma_end(s, old) - old)
		return -EFAULT;
	return 0;
}

/* A whole-length move to a given place may take several vmas along, each at its distance (6.17). */
static s64 mremap_move_run(struct sim_space *s, struct range from, u64 new_addr, int flags)
{
	struct range to = range_of(new_addr, range_len(from));

	if (!is_mapped(s, from.start))
		return -EFAULT;
	if (any_sealed(s, from) || any_sealed(s, to))
		return -EPERM;
	if (out_of_window(new_addr, range_len(from)))
		return -ENOMEM;
	for (u64 off = 0; off < range_len(from); off += PAGE_SIZE) {
		if (!is_mapped(s, from.start + off))
			continue;
		unmap_range(s, range_of(to.start + off, PAGE_SIZE));
		move_pages(s, range_of(from.start + off, PAGE_SIZE),
			   range_of(to.start + off, PAGE_SIZE), flags & MREMAP_DONTUNMAP);
	}
	return new_addr;
}

static int mremap_check_args(u64 old, u64 old_len, u64 new_len, int flags, u64 new_addr)
{
	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return -EINVAL;
	if (!page_aligned(old) || !new_len || new_len > TASK_SIZE)
		return -EINVAL;
	if (!(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)))
		return 0;
	if (new_addr > TASK_SIZE - new_len || !page_aligned(new_addr) || !(flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if (flags & MREMAP_DONTUNMAP && old_len != new_len)
		return -EINVAL;
	if (old + old_len > new_addr && new_addr + new_len > old)
		return -EINVAL;
	return 0;
}

s64 sim_sys_mremap(struct sim_space *s, u64 old, u64 old_len, u64 new_len, int flags, u64 new_addr,
		   bool bottom_up)
{
	bool to_new = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
	struct range tail;
	int err;

	old_len = page_align_up(old_len);
	new_len = page_align_up(new_len);
	err = mremap_check_args(old, old_len, new_len, flags, new_addr);
	if (err)
		return err;
	if (flags & MREMAP_FIXED && old_len == new_len)
		return mremap_move_run(s, range_of(old, old_len), new_addr, flags);
	err = mremap_check_vma(s, old, old_len, new_len, flags);
	if (err)
		return err;
	tail = (struct range){ old + new_len, old + old_len };
	if (flags & MREMAP_FIXED && any_sealed(s, range_of(new_addr, new_len)))
		return -EPERM;
	if (new_len < old_len && (tail.end < old || tail.end > TASK_SIZE))
		return -EINVAL;
	if (any_sealed(s, tail))
		return -EPERM;
	if (flags & MREMAP_FIXED && out_of_window(new_addr, new_len))
		return -ENOMEM;
	if (new_len < old_len) {
		unmap_range(s, tail);
		old_len = new_len;
	}
	if (!to_new && new_len == old_len)
		return old;
	if (!to_new && old + old_len == vma_end(s, old) && old + new_len <= SIM_END &&
	    !any_mapped(s, (struct range){ old + old_len, old + new_len })) {
		struct sim_page *last = sim_page(s, old + old_len - PAGE_SIZE);

		map_range(s, (struct range){ old + old_len, old + new_len }, last->vm_flags,
			  last->file, last->pgoff + 1);
		sim_for_each_page(i, ((struct range){ old + old_len, old + new_len }))
			s->page[i].armed = last->armed;
		return old;
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	if (flags & MREMAP_FIXED) {
		unmap_range(s, range_of(new_addr, new_len));
	} else {
		new_addr = unmapped_area(s, new_len, bottom_up);
		if (!new_addr)
			return -ENOMEM;
	}
	move_pages(s, range_of(old, old_len), range_of(new_addr, new_len), flags & MREMAP_DONTUNMAP);
	return new_addr;
}

/* ---- fork ---- */

void sim_sys_fork(struct sim_space *s, struct sim_space *child)
{
	child->start_brk = s->start_brk;
	child->brk = s->brk;
	for (u32 i = 0; i < SIM_PAGES; i++) {
		struct sim_page *p = &s->page[i];
		struct sim_page *c = &child->page[i];

		if (!p->mapped || p->vm_flags & VM_DONTCOPY)
			continue;
		c->mapped = true;
		c->vm_flags = p->vm_flags & ~SIM_LOCKED_MASK;
		c->file = p->file;
		c->pgoff = p->pgoff;
		c->armed = p->armed;
		if (p->vm_flags & VM_WIPEONFORK)
			continue;
		c->tag = p->tag;
		c->maybe_zero = p->maybe_zero;
		sim_pte_dup(s->sim, p, c);
	}
}
