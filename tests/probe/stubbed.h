/* SPDX-License-Identifier: MIT */
/*
 * stubbed.h - a subject with a stub (lib/sys/stub.h) in its memory, which the probe drives.
 *
 *      the program   [ mem: nr_pages, armed ]   [ staging: nr_pages, armed ]   [ the stub's area ]
 *
 * The probe holds the userfaultfd, as upager does; the stub has a copy.  No ptrace is involved: the child
 * maps the area and starts the stub itself.
 */
#ifndef UPAGER_STUBBED_H
#define UPAGER_STUBBED_H

#include "probe.h"
#include "sys/stub.h"

struct stubbed {
	struct subject s;
	struct stub stub;
	int event;	/* the stub's eventfd: our end */
	int their_uffd; /* the userfaultfd's number in the program and the stub */
	pid_t pid;	/* the stub */
	u64 mem, staging, len;
};

#define STUBBED_SECRET 0x5ec2e7000UL /* page-aligned: a probe gives it to mmap as an offset */

/*
 * Start: program(lab) runs in the child once the stub is ready; the child reaps the stub when program has
 * returned and the stub has been told to exit.  Skips the probe when `features` are not there.
 */
struct stubbed stubbed_start(u64 nr_pages, u64 features, void (*program)(struct lab *lab));
/* End stub and program, and expect both to end with status 0. */
void stubbed_end(struct stubbed *t);

/* Wait (5 s) until the stub says that it has run dry; returns how often it said so since the last time. */
u64 stubbed_wait_event(struct stubbed *t);
/* One call made by the stub: what the kernel returned, -errno as such. */
s64 stubbed_call(struct stubbed *t, long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4);
/* The same in two halves, for a call that waits. */
void stubbed_begin(struct stubbed *t, long nr, u64 a0, u64 a1, u64 a2, u64 a3, u64 a4);
s64 stubbed_finish(struct stubbed *t);
/* UFFDIO_MOVE by the stub; returns 0 or -errno, *moved what the kernel wrote there (0 if nothing). */
int stubbed_move(struct stubbed *t, u64 dst, u64 src, u64 len, u64 mode, s64 *moved);
int stubbed_madvise(struct stubbed *t, u64 addr, u64 len, int advice);

#endif /* UPAGER_STUBBED_H */
