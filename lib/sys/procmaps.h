/* SPDX-License-Identifier: MIT */
/*
 * procmaps.h - what the kernel says of a process's memory: /proc/PID/{maps,pagemap,stat}.
 *
 * Read at exec to seed the model, after calls whose effect cannot be derived, and by the audit.
 * Counterpart: rr's kernel map iterator; Linux fs/proc/task_mmu.c.
 */
#ifndef UPAGER_PROCMAPS_H
#define UPAGER_PROCMAPS_H

#include <sys/types.h>

#include "base/base.h"

enum map_perm {
	MAP_PERM_READ = 1 << 0,
	MAP_PERM_WRITE = 1 << 1,
	MAP_PERM_EXEC = 1 << 2,
	MAP_PERM_SHARED = 1 << 3,
};

/* One line of /proc/PID/maps. */
struct map_line {
	u64 start, end;
	unsigned int perm;
	u64 pgoff;        /* pages */
	u64 dev, ino;     /* makedev(); 0 for anonymous memory */
	const char *name; /* "", a path, "[stack]" …; points into struct maps */
};

struct maps {
	struct map_line *lines;
	size_t nr;
	/* private */
	size_t nr_alloc;
	char *text;
	size_t text_alloc;
};

/* Pre: *maps is zeroed or was filled before (its memory is used again).  Returns 0, -ESRCH, -ENOMEM. */
int must_check maps_read(struct maps *maps, pid_t pid);
void maps_free(struct maps *maps);

/* Bits of a pagemap entry (Documentation/admin-guide/mm/pagemap.rst). */
#define PAGEMAP_PRESENT (1ULL << 63)
#define PAGEMAP_SWAP    (1ULL << 62)
#define PAGEMAP_FILE    (1ULL << 61)
#define PAGEMAP_EXCLUSIVE (1ULL << 56) /* nobody else maps it */
#define PAGEMAP_WP      (1ULL << 57)
#define PAGEMAP_PFN(e)  ((e) & ((1ULL << 55) - 1))

/* Returns a descriptor of /proc/PID/pagemap, or -errno. */
int pagemap_open(pid_t pid);
/* Read nr entries from the page at addr.  Returns how many were read (less: end of the address space), or -errno. */
s64 pagemap_read(int fd, u64 addr, u64 *entries, size_t nr);

/* The KPF_ bits of a page by its PFN; 0 where the kernel does not tell (without CAP_SYS_ADMIN). */
u64 kpageflags(u64 pfn);
#define KPF_KSM	      (1ULL << 21)
#define KPF_ZERO_PAGE (1ULL << 24) /* the small or a part of the huge one */

/* The fields of /proc/PID/stat that the model keeps (numbers as in proc(5)). */
struct proc_stat_mm {
	u64 start_code, end_code, start_stack;       /* 26 27 28 */
	u64 start_data, end_data, start_brk;         /* 45 46 47 */
	u64 arg_start, arg_end, env_start, env_end;  /* 48-51 */
};
int must_check proc_stat_mm(pid_t pid, struct proc_stat_mm *out);

/* The sizes of /proc/PID/status, in kB. */
struct proc_status_mm {
	u64 vm_peak, vm_size, vm_lck, vm_pin, vm_data, vm_stk, vm_exe, vm_lib, vm_pte;
};
/* Returns 0, or -ESRCH: also of a zombie, which has none. */
int must_check proc_status_mm(pid_t pid, struct proc_status_mm *out);

/* Where the link /proc/TID/NAME leads to, "" when nowhere; `len` bytes of it at the most, and 0 behind them. */
void proc_link(pid_t tid, const char *name, char *to, size_t len);
/* Is descriptor `fd` of `tid` a file of a /proc?  *dev: of which. */
bool proc_fd_is_proc(pid_t tid, int fd, dev_t *dev);

/* The auxiliary vector: up to nr values, pairs of (AT_*, value).  Returns how many, or -ESRCH. */
s64 proc_auxv(pid_t pid, u64 *values, size_t nr);

/* The CPU a task last ran on (field 39), or -ESRCH. */
int proc_task_cpu(pid_t tid);
/* It has not yet given up its address space, though it may be dying. */
bool proc_task_has_mm(pid_t tid);
/* The parent process of `tid` (field 4), or -ESRCH. */
pid_t proc_ppid(pid_t tid);
/* Is it a thread other than the first of its process? */
bool proc_is_thread(pid_t tid);
/* Who traces `tid` (TracerPid:), 0: nobody; or -ESRCH. */
pid_t proc_tracer(pid_t tid);

/* The number of `tid` in the PID namespace in which its process has the number `tgid`; 0: there is none, or it is gone. */
pid_t proc_pid_beside(pid_t tid, pid_t tgid);

/*
 * The first child of task `tid` of process `tgid` that `is` it.  Returns its pid; 0: there is none; -ENOENT: the task is
 * gone, or the kernel does not tell (CONFIG_PROC_CHILDREN).  Pre: the task is stopped, or the list may have gaps.
 */
pid_t proc_child(pid_t tgid, pid_t tid, bool (*is)(pid_t child, void *arg), void *arg);

/* Is it of the first process of a PID namespace below ours?  That does not change while it lives. */
bool proc_is_init(pid_t tid);
/* Has it a handler for `sig`? */
bool proc_catches(pid_t tid, int sig);
/* Has it asked to ignore `sig`, or is that the default and not changed? */
bool proc_ignores(pid_t tid, int sig);

/* Would `sig`, delivered to task `tid` now, write a core file: no handler, not ignored, RLIMIT_CORE not 0? */
bool proc_dumps_core(pid_t tid, int sig);

/*
 * Can `tid` have another thread?  Not while its children are to be born into another PID or time namespace than its own
 * (after unshare or setns).  Source: copy_process, copy_namespaces.
 */
bool proc_may_clone_thread(pid_t tid);

#endif /* UPAGER_PROCMAPS_H */
