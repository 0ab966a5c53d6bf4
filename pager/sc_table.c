/* SPDX-License-Identifier: MIT */
/*
 * sc_table.c - every call that upager stops at, one row each; the filter is made from it.
 *
 * A call that is not here cannot change what the model knows, and runs at full speed.  A call that
 * upager cannot support is a row that refuses, with the errno a program is prepared for.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/check.h"
#include "sc.h"
#include "sys/uapi.h"

#define ARG32(n, v) { .match = FILTER_EQUAL, .arg = (n), .mask = 0xffffffffUL, .value = (v) }

#define FLAG(n, v) { .match = FILTER_EQUAL, .arg = (n), .mask = (v), .value = (v) }

/* Not with O_NOFOLLOW: so walk those who go through whole trees (find, rm -r). */
#define DIRECTORY(n) { .match = FILTER_EQUAL, .arg = (n), .mask = O_DIRECTORY | O_NOFOLLOW, .value = O_DIRECTORY }

/* No flags, and from a descriptor: not stat(2), nor fstat(2), nor a walk through a tree. */
#define STAT_AT(fd, flags) { .match = FILTER_EQUAL, .arg = (flags), .mask = 0xffffffffUL, .and = { (fd), 1UL << 31, 0 } }

/* io_uring_register(2): the highest bit of the opcode says that the ring's descriptor is an index. */
#define URING(op, also) { .match = FILTER_EQUAL, .arg = 1, .mask = 0x7fffffffUL & ~(u64)(also), .value = (op) }

/* futex(2): an operation, and the one that differs by the bit `also`; whether PRIVATE or CLOCK_REALTIME. */
#define FUTEX(op, also) \
	{ .match = FILTER_EQUAL, .arg = 1, .mask = (u32)FUTEX_CMD_MASK & ~(u64)(also), .value = (op) & ~(u64)(also) }

/* arch_prctl(2) codes that are in no header of Debian 12. */
#define ARCH_SHSTK_ENABLE 0x5001

const struct sc_row sc_table[] = {
	{ SYS_mmap, "mmap", SC_MM | SC_PROMPT, sc_mmap_enter, sc_mmap_leave },
	{ SYS_munmap, "munmap", SC_MM, sc_munmap_enter, sc_munmap_leave },
	{ SYS_mremap, "mremap", SC_MM, sc_mremap_enter, sc_mremap_leave },
	{ SYS_brk, "brk", SC_MM | SC_PROMPT, sc_brk_enter, sc_brk_leave },
	{ SYS_mprotect, "mprotect", SC_MM | SC_PROMPT, sc_mprotect_enter, sc_mprotect_leave },
	{ SYS_pkey_mprotect, "pkey_mprotect", SC_MM, sc_mprotect_enter, sc_mprotect_leave },
	{ SYS_madvise, "madvise", SC_MM | SC_STUB, sc_madvise_enter, sc_madvise_leave },
	{ SYS_mlock, "mlock", SC_MM, sc_mlock_enter, sc_mlock_leave },
	{ SYS_mlock2, "mlock2", SC_MM, sc_mlock2_enter, sc_mlock2_leave },
	{ SYS_munlock, "munlock", SC_MM | SC_STUB, sc_munlock_enter, sc_munlock_leave },
	{ SYS_mlockall, "mlockall", SC_MM, sc_mlockall_enter, sc_mlockall_leave },
	{ SYS_munlockall, "munlockall", SC_MM, sc_munlockall_enter, sc_munlockall_leave },
	{ __NR_mseal, "mseal", SC_MM, sc_mseal_enter, sc_mseal_leave },
	/* New mappings whose place or size only the kernel knows. */
	{ SYS_shmat, "shmat", SC_MM, sc_shmat_enter, sc_shmat_leave },
	{ SYS_shmdt, "shmdt", SC_MM, sc_opaque_enter, sc_opaque_leave },
	{ SYS_remap_file_pages, "remap_file_pages", SC_MM, sc_opaque_enter, sc_remap_file_pages_leave },
	{ SYS_io_setup, "io_setup", SC_MM, sc_opaque_enter, sc_opaque_leave },
	{ SYS_io_destroy, "io_destroy", SC_MM, sc_opaque_enter, sc_opaque_leave },
	{ __NR_map_shadow_stack, "map_shadow_stack", SC_MM, sc_opaque_enter, sc_opaque_leave },
	/* Pages that the kernel holds on to, or lets go of. */
	{ SYS_io_uring_register, "io_uring_register", SC_MM, sc_uring_register_enter, sc_uring_register_leave,
	  .when = { URING(IORING_REGISTER_BUFFERS, IORING_UNREGISTER_BUFFERS), URING(IORING_REGISTER_BUFFERS2, 0),
		    URING(IORING_REGISTER_BUFFERS_UPDATE, 0), URING(IORING_REGISTER_PBUF_RING, 0) },
	  .nr_when = 4 },
	{ SYS_process_vm_writev, "process_vm_writev", SC_STAGED, sc_vm_write_enter, sc_vm_write_leave },
	/* Words that the kernel writes to in a way for which userfaultfd does nothing: PI, FUTEX_WAKE_OP. */
	{ SYS_futex, "futex", 0, sc_futex_enter, sc_futex_leave,
	  .when = { FUTEX(FUTEX_LOCK_PI, FUTEX_LOCK_PI ^ FUTEX_UNLOCK_PI),
		    FUTEX(FUTEX_TRYLOCK_PI, FUTEX_TRYLOCK_PI ^ FUTEX_CMP_REQUEUE_PI),
		    FUTEX(FUTEX_WAKE_OP, FUTEX_WAKE_OP ^ FUTEX_LOCK_PI2), FUTEX(FUTEX_WAIT_REQUEUE_PI, 0) },
	  .nr_when = 4 },
	/* New address spaces. */
	{ SYS_fork, "fork", SC_MM | SC_FORK, sc_clone_enter, sc_clone_leave },
	{ SYS_vfork, "vfork", SC_MM | SC_FORK, sc_clone_enter, sc_clone_leave },
	{ SYS_clone, "clone", SC_MM | SC_FORK, sc_clone_enter, sc_clone_leave },
	{ SYS_set_tid_address, "set_tid_address", 0, sc_set_tid_address_enter },
	{ SYS_clone3, "clone3", SC_MM | SC_FORK, sc_clone_enter, sc_clone_leave },
	/* Waits that may find nothing: for these the ends of dead children must have been taken. */
	{ SYS_wait4, "wait4", 0, sc_wait_enter, .when = { FLAG(2, WNOHANG) }, .nr_when = 1 },
	{ SYS_waitid, "waitid", 0, sc_wait_enter,
	  .when = { FLAG(3, WNOHANG), ARG32(0, P_PIDFD) /* it may be O_NONBLOCK */ }, .nr_when = 2 },
	/* Affinity, which placement borrows. */
	{ SYS_sched_setaffinity, "sched_setaffinity", 0, sc_affinity_enter,
	  sc_affinity_leave },
	{ SYS_sched_getaffinity, "sched_getaffinity", 0, sc_affinity_enter,
	  sc_affinity_leave },
	/* The kernel refuses them to a process that has more threads than the program knows of. */
	{ SYS_unshare, "unshare", SC_MM, sc_alone_enter, sc_alone_leave,
	  .when = { FLAG(0, CLONE_NEWUSER), FLAG(0, CLONE_VM), FLAG(0, CLONE_SIGHAND),
		    FLAG(0, CLONE_THREAD) }, .nr_when = 4 },
	{ SYS_setns, "setns", SC_MM, sc_alone_enter, sc_alone_leave },
	/* How the threads of a process can be counted. */
	{ SYS_open, "open", SC_STAGED, sc_listing_enter, .when = { DIRECTORY(1) }, .nr_when = 1 },
	{ SYS_openat, "openat", SC_STAGED, sc_listing_enter, .when = { DIRECTORY(2) }, .nr_when = 1 },
	{ SYS_newfstatat, "newfstatat", SC_STAGED, sc_listing_enter, .when = { STAT_AT(0, 3) }, .nr_when = 1 },
	/* Filters of the program's own. */
	{ SYS_seccomp, "seccomp", SC_MM, sc_seccomp_enter },
	{ SYS_prctl, "prctl", SC_MM, sc_prctl_enter,
	  .when = { ARG32(0, PR_SET_SECCOMP), ARG32(0, PR_GET_SECCOMP), ARG32(0, PR_SET_MM) }, .nr_when = 3 },
	/* Refused. */
	{ SYS_ptrace, "ptrace", 0, sc_refuse_eperm },
	{ SYS_userfaultfd, "userfaultfd", 0, sc_refuse_eperm },
	{ SYS_arch_prctl, "arch_prctl", 0, sc_refuse_eopnotsupp,
	  .when = { ARG32(0, ARCH_SHSTK_ENABLE) }, .nr_when = 1 },
	/* Before 6.13 no advice that takes memory away could be given this way. */
	{ SYS_process_madvise, "process_madvise", 0, sc_refuse_einval,
	  .when = { ARG32(3, MADV_DONTNEED), ARG32(3, MADV_FREE), ARG32(3, MADV_DONTNEED_LOCKED),
		    ARG32(3, MADV_GUARD_INSTALL) }, .nr_when = 4 },
};
const size_t sc_table_len = ARRAY_SIZE(sc_table);

const struct sc_row *sc_row_find(long nr)
{
	for (size_t i = 0; i < sc_table_len; i++)
		if (sc_table[i].nr == nr)
			return &sc_table[i];
	return NULL;
}

size_t sc_row_index(const struct sc_row *row)
{
	return (size_t)(row - sc_table);
}

int sc_build_filter(struct sock_fprog *prog, u64 secret, bool staged)
{
	struct filter_rule rules[ARRAY_SIZE(sc_table) * 4 + 1];
	size_t n = 0;

	_Static_assert(ARRAY_SIZE(sc_table) <= STATS_MAX_CALLS, "struct stats counts by row");
	for (size_t i = 0; i < sc_table_len; i++) {
		const struct sc_row *row = &sc_table[i];

		if (row->flags & SC_STAGED && !staged)
			continue;
		if (row->flags & SC_STUB)
			rules[n++] = (struct filter_rule){ .nr = row->nr, .match = FILTER_NOT_EQUAL,
							   .arg = 5, .value = secret };
		else if (!row->nr_when)
			rules[n++] = (struct filter_rule){ .nr = row->nr };
		for (int k = 0; k < row->nr_when; k++) {
			rules[n] = row->when[k];
			rules[n++].nr = row->nr;
		}
	}
	/* The number by which a task that may not make a userfaultfd asks for /dev/userfaultfd (space.c). */
	rules[n++] = (struct filter_rule){ .nr = SC_GIVE_FD, .match = FILTER_NOTIFY, .arg = 5,
					   .mask = ~0UL, .value = secret };
	return filter_build(rules, n, prog);
}
