/* SPDX-License-Identifier: MIT */
/*
 * mm_api.h - what the pager (or the simulation) may do with the model.
 *
 * Start reading here.  The model is a pure data structure: nothing in lib/mm makes a system call;
 * what must happen on the machine goes through hw.h.  One thread owns it, so there are no locks.
 * No vma pointer that is got here may be kept across an event.
 *
 * A trapped call goes   plan (may fail, invisible) -> the kernel does it -> commit (cannot fail) | abort.
 * At most one plan is open per mm.  A fault goes through mm_handle_fault().
 */
#ifndef UPAGER_MM_API_H
#define UPAGER_MM_API_H

#include <stdio.h>

#include "base/base.h"
#include "mm/hw.h"
#include "mm/vm_flags.h"

struct mm_struct;
struct mm_world;
struct backing_ops;
struct mm_plan;
struct vm_file;

/* ---- the world: all address spaces of one run ---- */

/* Who chooses where a mapping goes that nobody placed. */
enum mm_layout_mode {
	MM_LAYOUT_KERNEL,   /* the kernel */
	MM_LAYOUT_TOPDOWN,  /* we: below a gap for the stack, downwards */
	MM_LAYOUT_BOTTOMUP, /* we: from a third of the address space, upwards (Linux's legacy layout) */
};

/* Linux's modes (sysctl vm.overcommit_memory 0, 1, 2), and none of ours. */
enum overcommit_mode {
	MM_OVERCOMMIT_KERNEL, /* we refuse nothing */
	MM_OVERCOMMIT_GUESS,  /* 0: refuse a call that asks for more than there can be */
	MM_OVERCOMMIT_ALWAYS, /* 1: as KERNEL, said on purpose */
	MM_OVERCOMMIT_NEVER,  /* 2: refuse what would bring the sum of all above the limit */
};

struct mm_config {
	const struct hw_ops *hw;  /* never NULL */
	const struct backing_ops *backing; /* where swapped pages are; NULL: nothing will be swapped */
	void *backing_arg;
	u64 max_map_count;        /* sysctl vm.max_map_count */
	u64 stack_guard_gap;      /* bytes; Linux's default is 256 pages */
	u32 prefetch_max_pages;   /* fault-around window for sequential first touches; 0 or 1: off */
	u32 cow_around;           /* pages that one write after a fork makes writable; 0 or 1: that one */
	enum mm_layout_mode layout;
	enum overcommit_mode overcommit;
	u64 commit_limit;         /* pages: of one call (GUESS), of all (NEVER) */
};

/* Returns a new world, or NULL for lack of memory.  Owned by the caller. */
struct mm_world *mm_world_create(const struct mm_config *config);
/* Pre: every mm of the world has been put. */
void mm_world_destroy(struct mm_world *world);

struct mm_world_stats {
	u64 resident;      /* frames in use now */
	u64 resident_max;  /* the most there were at once */
	u64 zero_ptes;     /* ptes that map the zero page now */
	u64 zero_total;    /* zero page mappings ever made */
	u64 committed;     /* pages promised: private writable memory of all address spaces (VM_ACCOUNT) */
	u64 committed_max; /* the most there were after a call */
	u64 swapped;       /* slots in use, those of pages that came back among them */
	u64 model_bytes;   /* heap bytes that the model holds: vmas, ptes, frames, rmap, tables */
};
void mm_world_stats(const struct mm_world *world, struct mm_world_stats *out);

/* ---- mm_struct ---- */

/* Facts about a fresh image, read from /proc/PID at exec (all addresses in bytes). */
struct mm_layout {
	u64 start_code, end_code, start_data, end_data;
	u64 start_brk, brk, start_stack;
	u64 arg_start, arg_end, env_start, env_end;
	u64 mmap_base;      /* 0: unknown */
};

/*
 * A new, empty address space with mm_users == 1, linked into init_mm's mmlist.
 * `host`: the machine's handle, passed to nobody but hw_ops through mm_host().
 * Returns NULL for lack of memory.
 */
struct mm_struct *mm_alloc(struct mm_world *world, void *host);
void mm_set_layout(struct mm_struct *mm, const struct mm_layout *layout);
void *mm_host(const struct mm_struct *mm);
void mm_set_host(struct mm_struct *mm, void *host);
/* mm_users: tasks that use it.  mm_put() of the last one drops every vma, pte and frame and frees it. */
void mm_get(struct mm_struct *mm);
void mm_put(struct mm_struct *mm);
/*
 * Drop every pte, frame and swap entry now, the vmas later with mm_put(): the machine's address space is gone, though
 * not all of its tasks are.  Pre: no plan is open.  Source: exit_mmap, its first half.
 */
void mm_drop_pages(struct mm_struct *mm);
u32 mm_users(const struct mm_struct *mm);
u32 mm_map_count(const struct mm_struct *mm);
u64 mm_brk(const struct mm_struct *mm);

/* ---- layout ---- */

/*
 * Where mappings begin in a layout of ours; `stack_limit` is RLIMIT_STACK, all in bytes.  The same for the
 * same arguments.  Pre: mode is not MM_LAYOUT_KERNEL.  Source: arch_pick_mmap_layout.
 */
u64 mm_mmap_base(enum mm_layout_mode mode, u64 stack_limit, u64 stack_guard_gap);
/*
 * The place for `len` bytes: `hint` if it is not 0 and free there, else as the world's layout says;
 * low_2gib: MAP_32BIT.  Pre: the world's layout is not the kernel's, and mm_set_layout() gave mmap_base.
 * Returns the address, or -ENOMEM: there is no room (or len is 0).
 * Source: arch_get_unmapped_area, arch_get_unmapped_area_topdown.
 */
s64 must_check mm_get_unmapped_area(struct mm_struct *mm, u64 hint, u64 len, bool low_2gib);
/*
 * The same for an mremap that must move; -EEXIST: it stays where it is, or Linux will refuse it.
 */
s64 must_check mm_get_remap_area(struct mm_struct *mm, u64 old, u64 old_len, u64 new_len, int flags,
				 u64 hint);

/* ---- files behind unmanaged (later: managed) mappings ---- */

struct vm_file_id {
	u64 dev; /* makedev() of /proc/PID/maps; 0: unknown */
	u64 ino;
};
/*
 * The one vm_file for `id` (interned per world), with a reference for the caller.
 * `name` is copied on first sight; may be "".  Returns NULL for lack of memory.
 */
struct vm_file *vm_file_get(struct mm_world *world, struct vm_file_id id, const char *name);
void vm_file_put(struct vm_file *file);

/* ---- seeding and reconciling with /proc/PID/maps ---- */

/* One mapping as the caller knows it.  pgoff in pages; for anonymous memory start >> PAGE_SHIFT. */
struct vma_desc {
	u64 start, end;
	u64 vm_flags;         /* VM_UNMANAGED decides who pages it */
	u64 pgoff;
	struct vm_file *file; /* borrowed; NULL: anonymous */
};

/*
 * Make the model's vmas equal to v[0..n), sorted and disjoint: map what is missing, unmap what is gone,
 * change what differs; ptes survive where a managed vma stays managed.  For exec, and after calls
 * whose effect cannot be derived from their arguments (shmat, io_setup, remap_file_pages …).
 * With n == 0 for VM_LOCKED etc. the model's own bits that maps does not show are kept.
 * Returns 0, or -ENOMEM with the model unchanged.
 */
int must_check mm_reconcile(struct mm_struct *mm, const struct vma_desc *v, size_t n);

/*
 * The kernel has a page at addr that was never faulted through us (made before arming, or by
 * MAP_LOCKED).  Gives it a frame (or the zero page) as if a fault had; no-op when the model already
 * has a pte there.  Returns 0, -ENOMEM, or -EFAULT when addr lies in no managed vma.
 */
int must_check mm_adopt_page(struct mm_struct *mm, u64 addr, bool zero_page, bool wp);

/* ---- looking ---- */

struct vma_info {
	u64 start, end;
	u64 vm_flags;
	u64 pgoff;
	struct vm_file_id file; /* {0,0}: anonymous */
	const char *name;       /* file's name or "" (borrowed until the next change) */
};
/* The first vma with end > addr.  Returns false when there is none. */
bool mm_find_vma(const struct mm_struct *mm, u64 addr, struct vma_info *out);

enum pte_state { PTE_NONE, PTE_ZERO, PTE_PRESENT, PTE_SWAP };
struct pte_info {
	enum pte_state state;
	bool wp;        /* the machine holds it write-protected: the next write comes to us */
	bool lazyfree;  /* MADV_FREE: the kernel may have dropped it */
	bool busy;      /* on its way out: the machine may or may not have it */
	u64 pfn;        /* the frame's number in the model; frames shared after fork have one */
	u32 mapcount;
};
void mm_lookup_pte(const struct mm_struct *mm, u64 addr, struct pte_info *out);
/*
 * The next non-empty pte at or after addr and below end.  Returns its address, or `end` when there is
 * none.  Skips empty tables in O(tables).
 */
u64 mm_next_pte(const struct mm_struct *mm, u64 addr, u64 end, struct pte_info *out);

/* Call fn for each maximal run of pages in `r` that are present (or zero) and not wp. */
int mm_for_each_writable_run(struct mm_struct *mm, struct range r,
			     int (*fn)(struct mm_struct *mm, struct range run, void *arg), void *arg);

/* ---- faults ---- */

enum fault_flags {
	FAULT_FLAG_WRITE = 1 << 0, /* the access was a write */
	FAULT_FLAG_WP = 1 << 1,    /* a write to a present, write-protected page */
	FAULT_FLAG_MINOR = 1 << 2,
};

/* Which function of the case table answered (DESIGN §4). */
enum fault_handler {
	FH_NONE,
	FH_DO_ANONYMOUS_PAGE_ZERO,  /* read: the zero page */
	FH_DO_ANONYMOUS_PAGE,       /* write: a zeroed frame */
	FH_DO_WP_PAGE_ZERO,         /* first write to the zero page: a new frame */
	FH_DO_WP_PAGE_REUSE,        /* mapped once: lift the protection */
	FH_DO_WP_PAGE_COPY,         /* shared after fork: a frame of its own */
	FH_DO_SWAP_PAGE,            /* from its slot */
	FH_DO_SWAP_PAGE_SOFT,       /* from staging, moved */
	FH_DO_READ_FAULT,
	FH_DO_COW_FAULT,
	FH_DO_SHARED_FAULT,
	NR_FAULT_HANDLERS,
};
/* "do_anonymous_page" … the stable key used in reports. */
const char *fault_handler_name(enum fault_handler h);

enum fault_result {
	FAULT_RESOLVED, /* the machine was told and the thread woken */
	FAULT_SPURIOUS, /* the model says nothing is missing, or that nothing is mapped: woken, the kernel decides */
	FAULT_RETRY,    /* the machine says -EAGAIN: come again from the top */
	FAULT_PARKED,   /* waits for I/O or memory; come again when it is there */
	FAULT_SIGBUS,
	FAULT_GONE,     /* -ESRCH */
	FAULT_OOM,      /* the model or the machine has no memory */
};

struct vm_fault {
	u64 address;
	unsigned int flags; /* enum fault_flags */
	/* set by mm_handle_fault: */
	enum fault_handler handler;
	u32 nr_mapped;      /* pages mapped, with fault-around */
	bool grew_stack;
};

/*
 * Answer one fault.  Everything that can fail is done first, then the machine is told by one ioctl
 * that wakes the thread, then the ptes are set.  A fault below a VM_GROWSDOWN vma expands it first
 * (the kernel already did).  Permissions are not asked: the kernel did before it raised the fault.
 */
enum fault_result mm_handle_fault(struct mm_struct *mm, struct vm_fault *vmf);

/* ---- COW at the fork ---- */

/*
 * The next pages at or after addr that mm shares with another mm since a fork and could have for itself: at most
 * one table of ptes, of one vma.  Leaves half of the budget's room to faults.
 * Return: empty when there are none any more, or no room.
 */
struct range mm_cow_next_shared(struct mm_struct *mm, u64 addr);
/*
 * Give mm a frame of its own for each page of `run`, as if each were written to; the machine's protection is
 * lifted.  The caller then has the machine copy them; those that it does not it copies at the first write.
 * Pre: `run` is what mm_cow_next_shared() said.
 * Return: 0; -ENOMEM, or the machine's refusal (hw.h): then nothing has changed.
 */
int must_check mm_cow_separate(struct mm_struct *mm, struct range run);
/* Lift the protection of all pages that mm maps alone: the next write of each is no fault for us. */
void mm_cow_reuse(struct mm_struct *mm);

/* ---- calls: plan -> kernel -> commit | abort ---- */

/*
 * Every mm_plan_*() returns 0 and an open plan in *plan, or a negative errno (the one Linux gives
 * for that refusal, or -ENOMEM when the model cannot get its own memory) and no plan.
 * The arguments are those of the call, unchecked: a hostile program's odd values (huge lengths,
 * wrap-around, unaligned) give Linux's errno.  The caller lets the kernel try in any case except
 * -ENOMEM of the model itself; `mm_plan_is_ours()` tells the two apart.
 *
 * mm_plan_commit() takes the call's result, closes and frees the plan, and cannot fail:
 *   mmap, mremap: the address; brk: the new break;
 *   mprotect, madvise, mlock, munlock, mseal: 0, or the errno that mm_plan_expects() named, as the kernel
 *   returned it ((u64)-ENOMEM …).  With 0 the whole range is changed, even where the model thought that
 *   a vma would refuse; with an errno, the part that Linux changes before it refuses;
 *   others: 0.
 * mm_plan_abort() closes it; the model is as before.
 */
struct mmap_args {
	u64 addr, len;
	int prot, flags;      /* as the kernel will see them */
	u64 pgoff;            /* pages */
	struct vm_file *file; /* borrowed; NULL: anonymous */
	bool unmanaged;       /* shared, file, hugetlb …: the kernel pages it */
	u64 extra_vm_flags;   /* or-ed in */
};
int must_check mm_plan_mmap(struct mm_struct *mm, const struct mmap_args *a, struct mm_plan **plan);
int must_check mm_plan_munmap(struct mm_struct *mm, u64 addr, u64 len, struct mm_plan **plan);
int must_check mm_plan_brk(struct mm_struct *mm, u64 brk, struct mm_plan **plan);
int must_check mm_plan_mprotect(struct mm_struct *mm, u64 addr, u64 len, int prot,
				struct mm_plan **plan);
int must_check mm_plan_mremap(struct mm_struct *mm, u64 old_addr, u64 old_len, u64 new_len,
			      int flags, u64 new_addr, struct mm_plan **plan);
int must_check mm_plan_madvise(struct mm_struct *mm, u64 addr, u64 len, int advice,
			       struct mm_plan **plan);
int must_check mm_plan_mlock(struct mm_struct *mm, u64 addr, u64 len, unsigned int mlock2_flags,
			     struct mm_plan **plan);
int must_check mm_plan_munlock(struct mm_struct *mm, u64 addr, u64 len, struct mm_plan **plan);
int must_check mm_plan_mlockall(struct mm_struct *mm, int flags, struct mm_plan **plan);
int must_check mm_plan_munlockall(struct mm_struct *mm, struct mm_plan **plan);
int must_check mm_plan_mseal(struct mm_struct *mm, u64 addr, u64 len, struct mm_plan **plan);
/*
 * The kernel pins the pages of nr > 0 ranges of whole pages (copied) for a device: commit when it has.  From then on
 * those that are there are not evicted but by a move, which the machine refuses while it holds them.
 */
int must_check mm_plan_pin(struct mm_struct *mm, const struct range *ranges, u32 nr, struct mm_plan **plan);
/*
 * fork: the child's mm is built whole (dup_mmap: DONTCOPY and WIPEONFORK honoured, swap entries
 * duplicated, anon_vma_fork).  Pre: the caller has write-protected every writable run on the machine
 * and told the model with mm_mark_wp(); no fault is answered between plan and commit.
 * Commit publishes it; `result` is ignored; the child is *child (mm_users == 1, host NULL),
 * valid only after commit.
 */
int must_check mm_plan_fork(struct mm_struct *mm, struct mm_plan **plan, struct mm_struct **child);

/* While the plan is open the page at addr must not be evicted: the kernel may have pinned it already.  O(ranges). */
bool mm_plan_pins(const struct mm_plan *plan, u64 addr);
/* Has a plan to pin been committed since the last mm_unpin()? */
bool mm_has_pinned(const struct mm_struct *mm);
/* The kernel holds no page of the mm's any more. */
void mm_unpin(struct mm_struct *mm);

void mm_plan_commit(struct mm_plan *plan, u64 result);
void mm_plan_abort(struct mm_plan *plan);

/*
 * What commit will drop or move: faults inside must wait until the plan is closed, or the model would
 * forget a page that was mapped after the kernel dropped the old one.  Empty: none
 * (mlock, populate: those faults must be answered).
 */
struct range mm_plan_zaps(const struct mm_plan *plan);
/*
 * The thread that makes the call has faulted inside it: mlock and mlockall fill what they have locked, so all
 * vmas are changed already.  Does that now, so that the pages go into them; commit has nothing left to
 * do.  Nothing for other calls.  To be called before mm_handle_fault(), as often as one likes.
 */
void mm_plan_filling(struct mm_plan *plan);
/* True when the whole effect is known before the kernel runs and it cannot refuse (a whole-vma munmap). */
bool mm_plan_is_certain(const struct mm_plan *plan);

/*
 * What Linux will answer as far as the model can tell: 0, or the negative errno of a call that a vma
 * or a hole in its range will refuse, perhaps after it changed what lies before (madvise, mprotect, mlock,
 * munlock).  Commit when the kernel's result is a success or equals this.  Any other error: abort, and
 * reconcile where a part may have been done.
 */
int mm_plan_expects(const struct mm_plan *plan);
/* After mm_plan_*() said -ENOMEM: was it the model's own memory (true), or what Linux would say? */
bool mm_plan_is_ours(const struct mm_struct *mm);

/*
 * Would the plan's commit promise more memory than the world's overcommit mode allows?  Then the call is to be
 * refused with ENOMEM and the plan aborted; the kernel is not asked.
 */
bool mm_plan_over_commit(const struct mm_plan *plan);
/* The same of a fork, before anything is prepared for it. */
bool mm_fork_over_commit(const struct mm_struct *mm);

/* The machine write-protected `r`: set wp in each present pte of it. */
void mm_mark_wp(struct mm_struct *mm, struct range r);

/* ---- checking and showing ---- */

/* Invariants I1-I13 (docs/ARCHITECTURE.md).  BUG()s with the invariant's number on the first that fails. */
void mm_verify(const struct mm_struct *mm);
void mm_world_verify(const struct mm_world *world);
/* In the manner of /proc/PID/smaps plus rmap facts.  Deterministic (no pointers). */
void mm_dump(const struct mm_struct *mm, FILE *f);
void mm_world_dump(const struct mm_world *world, FILE *f);

#endif /* UPAGER_MM_API_H */
