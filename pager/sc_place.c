/* SPDX-License-Identifier: MIT */
/*
 * sc_place.c - with a layout of our own, the place of each mapping that the program left open.
 *
 * Called at the stop of mmap, mremap and shmat, with the mm's call slot held.  The choice is the model's
 * (mm_get_unmapped_area); the kernel is told by the address argument, which is a wish that it grants when the
 * place is free.  Should it not be, because the model is behind, the kernel chooses another: no program
 * loses memory for it.  Only mremap knows no wishes: it gets MREMAP_FIXED.  After the call the program's
 * registers are as it set them (sc_change_arg).
 *
 * What the kernel itself places at exec follows from personality(2) (front.c) and from
 * RLIMIT_STACK.  Linux: get_unmapped_area; it has no counterpart of this indirection.
 */
#include <errno.h>
#include <linux/mman.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include "sc.h"
#include "sup.h"

#define STACK_LIMIT_DEFAULT (8UL << 20)

static bool is_ours(const struct sup *sup)
{
	return sup->opt->layout != MM_LAYOUT_KERNEL;
}

u64 place_mmap_base(const struct sup *sup, pid_t pid, u64 stack_guard_gap)
{
	struct rlimit stack;

	if (!is_ours(sup))
		return 0;
	if (prlimit(pid, RLIMIT_STACK, NULL, &stack))
		stack.rlim_cur = STACK_LIMIT_DEFAULT; /* of another user, or dying */
	return mm_mmap_base(sup->opt->layout, stack.rlim_cur, stack_guard_gap);
}

/*
 * Drivers place their mappings by rules of their own; io_uring even refuses a wish with EINVAL.  Then the
 * kernel chooses, which is repeatable as long as the rest is.
 */
static bool takes_wishes(const struct task *t)
{
	struct stat st;
	char path[48];

	if (sc_arg(&t->call.regs, 3) & MAP_ANONYMOUS)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", t->tid, (int)sc_arg(&t->call.regs, 4));
	return !stat(path, &st) && S_ISREG(st.st_mode);
}

void place_mmap(struct sup *sup, struct task *t)
{
	u64 flags = sc_arg(&t->call.regs, 3);
	s64 addr;

	/* Huge pages have an alignment of their own. */
	if (!is_ours(sup) || flags & (MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_HUGETLB) ||
	    !takes_wishes(t))
		return;
	addr = mm_get_unmapped_area(t->space->mm, sc_arg(&t->call.regs, 0),
				    sc_arg(&t->call.regs, 1), flags & MAP_32BIT);
	if (addr >= 0) /* else the kernel finds the errno */
		sc_change_arg(t, 0, (u64)addr);
}

void place_mremap(struct sup *sup, struct task *t)
{
	const sc_regs *regs = &t->call.regs;
	u64 flags = sc_arg(regs, 3);
	s64 addr;

	if (!is_ours(sup))
		return;
	addr = mm_get_remap_area(t->space->mm, sc_arg(regs, 0), sc_arg(regs, 1), sc_arg(regs, 2),
				 (int)flags, sc_arg(regs, 4));
	if (addr < 0)
		return;
	sc_change_arg(t, 4, (u64)addr);
	if (!(flags & MREMAP_DONTUNMAP)) /* which takes a wish */
		sc_change_arg(t, 3, flags | MREMAP_FIXED);
}

/* Do our segment ids mean the same as the task's? */
static bool same_ipc_namespace(pid_t pid)
{
	struct stat ours, its;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", pid);
	return !stat("/proc/self/ns/ipc", &ours) && !stat(path, &its) &&
	       ours.st_ino == its.st_ino && ours.st_dev == its.st_dev;
}

void place_shmat(struct sup *sup, struct task *t)
{
	struct shmid_ds ds;
	s64 addr;

	if (!is_ours(sup) || sc_arg(&t->call.regs, 1) || !same_ipc_namespace(t->tid) ||
	    shmctl((int)sc_arg(&t->call.regs, 0), IPC_STAT, &ds) < 0)
		return; /* the kernel chooses */
	addr = mm_get_unmapped_area(t->space->mm, 0, ds.shm_segsz, false);
	if (addr >= 0)
		sc_change_arg(t, 1, (u64)addr);
}
