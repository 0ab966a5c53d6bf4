/* SPDX-License-Identifier: MIT */
/*
 * sim.h - a fake machine behind hw_ops, and what Linux would do, both as flat arrays.
 *
 * Who calls it: tests/sim and tests/fuzz, through stream.h; nothing of the pager.  It must not ask the model
 * what is right, with one exception that is named where it stands (sim_sys_mremap).  Start reading at
 * struct sim_page: it holds the two truths that the model is compared with.
 *
 *   calls.c    Linux's answer to each call, page by page: the naive oracle
 *   machine.c  the page tables and frames of the fake machine, loads and stores, the hw_ops
 *   compare.c  the model against both
 *   swapper.c  budget, eviction, staging and swap, which the pager does around the model
 *   stream.c   a byte string -> operations on all of them
 *
 * An address space has SIM_PAGES pages, around an address where every level of page table has a border.
 */
#ifndef UPAGER_SIM_H
#define UPAGER_SIM_H

#include "mm/mm.h"

#define SIM_PAGES     192u
#define SIM_BASE      ((1UL << 39) - SIM_PAGES / 2 * PAGE_SIZE)
#define SIM_END       (SIM_BASE + SIM_PAGES * PAGE_SIZE)
#define SIM_SPACES    6u
#define SIM_TASKS     8u
#define SIM_FILES     3u
#define SIM_FRAMES    (SIM_SPACES * SIM_PAGES + 1024) /* and what is still in staging */
#define SIM_GUARD_GAP (4 * PAGE_SIZE)

#define SIM_LOCKED_MASK (VM_LOCKED | VM_LOCKONFAULT)

enum sim_state { SIM_NONE, SIM_ZERO, SIM_PRESENT };

/* One page of one address space.  All zero: not mapped. */
struct sim_page {
	/* the oracle: what the calls made of it, and what a load must return */
	u64 vm_flags;
	u32 pgoff;       /* of a file; 0 for anonymous memory */
	u8 file;         /* index + 1; 0: anonymous */
	bool mapped;
	u8 tag;          /* the byte that was stored last; 0: never */
	bool maybe_zero; /* MADV_FREE: a load may return 0, and then must go on to */
	/* the machine: what its page table holds */
	u8 state;        /* enum sim_state */
	bool armed;      /* faults come to us */
	bool wp;         /* write-protected by us: the next store is a WP fault */
	bool lazyfree;   /* may be dropped at any time */
	bool dropped;    /* … and has been; the model will hear of it at the next touch */
	bool alien;      /* the machine made it by itself; the model need not know */
	bool lag;        /* protection was lifted but nobody has stored yet: the kernel's copy is to come */
	bool pinned;     /* a device holds it, and may write to it: it cannot be moved, and fork copies it */
	u16 frame;       /* of SIM_PRESENT */
};

/* A page of memory.  `tag` stands for its bytes. */
struct sim_frame {
	u8 tag;
	bool exclusive; /* PageAnonExclusive: of one page table, and not shared by a fork since it was last copied */
	u16 refs;       /* page table entries that map it, and places in staging */
};

/* What the machine will answer to hw_ops calls: an error at the nth call from now on. */
struct sim_script {
	u32 nth;    /* 0: never */
	u32 burst;  /* how many calls in a row */
	int err;    /* -EAGAIN, -ENOMEM, -ESRCH */
	u32 after;  /* pages of a run that are done before it */
};

struct sim;

/* An address space on the machine.  Lives as long as its mm_struct. */
struct sim_space {
	struct sim *sim;
	struct mm_struct *mm;
	u32 id;            /* never used twice */
	u64 start_brk, brk, def_flags;
	struct sim_stage *stage; /* NULL: none yet */
	struct mm_plan *plan;    /* of the call that is in the kernel; NULL: none */
	bool gone;               /* only commands hold it: what a call left half done does not matter */
	u32 nr_commands;         /* that touch its pages: calls wait */
	struct sim_page page[SIM_PAGES];
};

/* A fault message that was sent and is still to be read. */
struct sim_late_fault {
	u32 space_id;
	u64 address;
	unsigned int flags;
};
#define SIM_LATE_FAULTS 8u

struct sim_stats {
	u64 ops, calls, calls_ok, refusals, faults, loads, stores, segv, forks, injected, late, drops;
	u64 parked, sigbus, io_errors, emergencies, between;
	u64 isolated, staged, rescued, evicted, clean, refused, swapped_in, prefetched; /* the model's */
	u64 handled[NR_FAULT_HANDLERS];
};

/* Everything of one run.  Owned by sim_create()'s caller. */
struct sim {
	struct mm_world *world;
	struct vm_file *file[SIM_FILES];
	struct sim_space *task[SIM_TASKS]; /* NULL: no such task */
	struct sim_space *space[SIM_SPACES];
	u32 next_space_id;
	u8 next_tag;

	struct sim_frame frame[SIM_FRAMES];
	u16 free_frame[SIM_FRAMES];
	u32 nr_free;
	struct sim_script script;
	bool injected;        /* the script's error was given since this was last cleared */
	struct range woken;   /* by the last hw_ops call */
	struct sim_late_fault late[SIM_LATE_FAULTS];
	u32 nr_late;
	struct sim_swap *swap; /* swapper.h */
	struct sim_stats stats;
};

static inline u64 sim_addr(u32 i)
{
	return SIM_BASE + (u64)i * PAGE_SIZE;
}

static inline bool sim_in_window(u64 addr)
{
	return addr >= SIM_BASE && addr < SIM_END;
}

/* Pre: sim_in_window(addr). */
static inline u32 sim_index(u64 addr)
{
	return (addr - SIM_BASE) >> PAGE_SHIFT;
}

/* The page at addr, NULL outside of the window. */
static inline struct sim_page *sim_page(struct sim_space *s, u64 addr)
{
	return sim_in_window(addr) ? &s->page[sim_index(addr)] : NULL;
}

static inline bool sim_managed(const struct sim_page *p)
{
	return p->mapped && !(p->vm_flags & VM_UNMANAGED);
}

/* May the kernel move it to a staging area, which is plain, and back? */
static inline bool sim_is_plain(const struct sim_page *p)
{
	return (p->vm_flags & (VM_ACCESS_FLAGS | VM_LOCKED)) == (VM_READ | VM_WRITE);
}

/* For each page of range r that lies in the window. */
#define sim_for_each_page(i, r)                                                         \
	for (u32 i = (r).start <= SIM_BASE ? 0 :                                        \
			     (r).start >= SIM_END ? SIM_PAGES : sim_index((r).start);   \
	     i < SIM_PAGES && sim_addr(i) < (r).end; i++)

/* ---- machine.c ---- */

extern const struct hw_ops sim_hw_ops;

/* Make the page table entry none. */
void sim_pte_clear(struct sim *sim, struct sim_page *p);
/* Copy the page table entry to the child's page, with all that the kernel copies at fork. */
void sim_pte_dup(struct sim *sim, struct sim_page *from, struct sim_page *to);
void sim_frame_unref(struct sim *sim, u16 frame);
/* The page's frame goes somewhere else, or comes from there.  Pre: PRESENT; nothing is there. */
u16 sim_frame_take(struct sim *sim, struct sim_page *p);
void sim_frame_give(struct sim *sim, struct sim_page *p, u16 frame);
/* The error that the script has for this call of the machine, or 0. */
int sim_scripted(struct sim *sim, bool may_lack_memory);
/* The kernel's own copy-on-write, at a store that nothing of ours stops. */
void sim_kernel_cow(struct sim *sim, struct sim_page *p);
/* The kernel fills the page by itself, as at a first touch (populate, or memory not armed yet). */
void sim_kernel_touch(struct sim *sim, struct sim_page *p, bool write);
/* MADV_FREE reclaim: drop the page when it may be. */
bool sim_drop_lazyfree(struct sim *sim, struct sim_page *p);

enum sim_access { SIM_ACCESS_OK, SIM_ACCESS_SEGV, SIM_ACCESS_SIGBUS, SIM_ACCESS_GONE };
/*
 * A load or store of the program at addr, with all faults that it raises, each answered by the model.
 * A store leaves a new tag; a load is compared with the oracle.  BUG()s when the thread would hang.
 */
enum sim_access sim_access(struct sim_space *s, u64 addr, bool write);
/* The same for the kernel (populate): no bytes change, permissions but PROT_NONE do not matter. */
enum sim_access sim_populate(struct sim_space *s, struct range r);
/* The fault that an access would raise now: its flags, or -1 for none. */
int sim_fault_of(const struct sim_page *p, bool write);
/*
 * Send one fault to the model, again and again as long as it asks for that, and check each answer.
 * When it must wait, jobs of the swapper go on until it need not.
 * Returns FAULT_RESOLVED, FAULT_SPURIOUS, FAULT_SIGBUS or FAULT_GONE.
 */
enum fault_result sim_send_fault(struct sim_space *s, u64 addr, unsigned int flags);
/* Would Linux let an access at addr, where nothing is mapped, grow a stack?  Then grow it. */
bool sim_grow_stack(struct sim_space *s, u64 addr);

/* ---- calls.c: Linux's answers.  Each returns the call's result or -errno, and takes effect ---- */

struct sim_mmap {
	struct mmap_args args;
	u8 file;       /* index + 1 */
	bool bottom_up;
};
s64 sim_sys_mmap(struct sim_space *s, const struct sim_mmap *m);
s64 sim_sys_munmap(struct sim_space *s, u64 addr, u64 len);
s64 sim_sys_mprotect(struct sim_space *s, u64 addr, u64 len, int prot);
s64 sim_sys_madvise(struct sim_space *s, u64 addr, u64 len, int advice);
s64 sim_sys_mlock(struct sim_space *s, u64 addr, u64 len, unsigned int flags, bool lock);
s64 sim_sys_mlockall(struct sim_space *s, int flags);
s64 sim_sys_munlockall(struct sim_space *s);
s64 sim_sys_mseal(struct sim_space *s, u64 addr, u64 len);
s64 sim_sys_brk(struct sim_space *s, u64 brk);
s64 sim_sys_mremap(struct sim_space *s, u64 old, u64 old_len, u64 new_len, int flags, u64 new_addr,
		   bool bottom_up);
/* The child's pages, as fork leaves them.  Pre: child is empty. */
void sim_sys_fork(struct sim_space *s, struct sim_space *child);

/* ---- compare.c ---- */

/* The model's vmas, counters and ptes against the oracle and the machine.  BUG()s. */
void sim_check_space(struct sim_space *s);
/* Frames that the model calls one are one, those it calls different differ, over all spaces.  BUG()s. */
void sim_check_sharing(struct sim *sim);

#endif /* UPAGER_SIM_H */
