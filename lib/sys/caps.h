/* SPDX-License-Identifier: MIT */
/*
 * caps.h - what this kernel and this user's privileges allow.
 *
 * Who calls it: `upager run` asks caps_detect_run() once at start and negotiates its features from the
 * answer; `upager doctor` asks caps_detect_all() and prints it.  Everything here is found by trying it
 * on scratch objects of our own, never by comparing kernel versions: distributions backport, containers
 * forbid.  It knows nothing of tracees or of the model.  Counterpart: CRIU's kerndat.c.
 *
 * A field of type `caps_t` is 0 when the thing works and the -errno it was refused with when not.
 */
#ifndef UPAGER_CAPS_H
#define UPAGER_CAPS_H

#include "base/base.h"

typedef int caps_t;

/* What `upager run` must know before it starts a program.  Plain data, owned by the caller. */
struct caps {
	char release[65]; /* uname -r */
	u32 version;	  /* major << 16 | minor << 8 | patch; for messages and for the audit */

	caps_t uffd_syscall; /* userfaultfd(0): faults of system calls too.  -EPERM: no privilege */
	caps_t uffd_dev;     /* the same through /dev/userfaultfd */
	caps_t uffd_user;    /* only with UFFD_USER_MODE_ONLY, which is of no use to us */
	caps_t uffd_fork;    /* UFFD_FEATURE_EVENT_FORK may be asked for.  -EPERM: no CAP_SYS_PTRACE */
	u64 uffd_features;   /* UFFD_FEATURE_* the kernel has; 0 if no userfaultfd can be created */

	caps_t seccomp_trace;	   /* SECCOMP_RET_TRACE */
	caps_t seccomp_spec_allow; /* SECCOMP_FILTER_FLAG_SPEC_ALLOW: no slow-down by the filter */
	caps_t pidfd_getfd;	   /* on ourselves */
	caps_t pagemap_scan;	   /* PAGEMAP_SCAN.  -ENOTTY before 6.7 */
	caps_t proc;		   /* /proc is mounted and readable */

	int yama_scope;	      /* kernel.yama.ptrace_scope 0..3; -1: no Yama */
	bool cap_sys_ptrace;  /* CAP_SYS_PTRACE is effective */
	bool cap_sys_admin;   /* CAP_SYS_ADMIN is effective: filters without no_new_privs, PFNs */
	u64 nofile, nofile_max; /* RLIMIT_NOFILE, soft and hard; ~0 = unlimited */
};

/* What only `upager doctor` wants to know.  Plain data, owned by the caller. */
struct caps_all {
	struct caps run;

	caps_t ptrace;	    /* a child was really seized, with all the options that we use */
	caps_t io_uring;    /* a ring was really set up */
	u32 uring_features; /* IORING_FEAT_* */
	int uring_disabled; /* kernel.io_uring_disabled 0..2; -1: no such sysctl */
	int seccomp_mode;   /* the mode that we ourselves run in: 0 none, 2 filtered */
	char seccomp_lib[16]; /* libseccomp's version */
	char thp[16];	    /* transparent huge pages: always, madvise, never; "" unknown */
	int unprivileged_userfaultfd; /* the sysctl, 0..1; -1: absent */
	s64 max_map_count;  /* -1: unknown */
	int overcommit;	    /* vm.overcommit_memory 0..2; -1: unknown */
	u64 mem_bytes;	    /* memory of the machine */
	u32 nr_cpus;	    /* CPUs that we may run on */
	int tracer;	    /* pid of who traces us; 0: nobody */
};

/* What it costs to wake another process and be woken back, ns; 0: could not be measured. */
struct caps_wakeup {
	u64 same_cpu_ns;  /* both on one CPU */
	u64 other_cpu_ns; /* held on two different CPUs, both sleep */
	u64 unpinned_ns;  /* where the scheduler puts them */
	u64 spin_ns;	  /* on two CPUs, the waker sleeps, the answerer polls */
	u64 fault_same_cpu_ns;	/* a userfaultfd write fault answered on the same CPU */
	u64 fault_other_cpu_ns; /* the same, answered on another CPU */
};

/*
 * Find out what `upager run` needs, in well under 100 us.
 * out: filled in whole.  Cannot fail: what could not be found out is a refusal in its field.
 * Pre: no more than three spare file descriptors are needed.
 */
void caps_detect_run(struct caps *out);

/* As caps_detect_run(), and everything else; forks once.  Takes a few milliseconds. */
void caps_detect_all(struct caps_all *out);

/*
 * Why `upager run` cannot work here.
 * Return: a static line "what is missing: what mends it", or NULL when it will work.
 */
const char *caps_blocker(const struct caps *c);

/* Measure wake-ups and faults between two processes.  Takes about 50 ms; forks. */
void caps_measure_wakeup(struct caps_wakeup *out);

#endif /* UPAGER_CAPS_H */
