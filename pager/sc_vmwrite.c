/* SPDX-License-Identifier: MIT */
/*
 * sc_vmwrite.c - process_vm_writev: memory that the kernel holds for one call.
 *
 * It pins many pages at once, waits for those that are out, and writes to all of them, whatever the page tables say by then.
 * MOVE refuses such a page by itself; one that leaves in another way would leave with its old bytes.  So what the call is to
 * write to stays where it could leave only so (vm_writes_to): all memory on kernels without MOVE, and what is executable.
 *
 * In whose memory it is written is not asked: the number of the process may be one of another PID namespace.
 */
#include <sys/uio.h>

#include "mm/vm_flags.h"
#include "sc.h"
#include "sup.h"

/* From the first to the last byte that the call names; everything when it cannot be read, or is too long to be valid. */
static struct range written_by(struct task *t)
{
	u64 addr = sc_arg(&t->call.regs, 3), nr = sc_arg(&t->call.regs, 4);
	struct range hull = { TASK_SIZE, 0 };
	struct iovec iov;

	for (u64 i = 0; i < nr; i++) {
		if (nr > UIO_MAXIOV || space_read(t, addr + i * sizeof(iov), &iov, sizeof(iov)))
			return (struct range){ 0, TASK_SIZE };
		hull.start = u64_min(hull.start, page_align_down((u64)iov.iov_base));
		hull.end = u64_max(hull.end, page_align_up((u64)iov.iov_base + iov.iov_len));
	}
	return hull;
}

enum sc_verdict sc_vm_write_enter(struct sup *sup, struct task *t)
{
	t->vm_write = written_by(t);
	list_add(&t->vm_write_link, &sup->vm_writes);
	return SC_WATCH_FREE;
}

void sc_vm_write_leave(struct sup *sup, struct task *t, long result)
{
	list_del(&t->vm_write_link);
}

bool vm_writes_to(const struct sup *sup, u64 addr)
{
	const struct task *t;

	list_for_each_entry(t, &sup->vm_writes, vm_write_link)
		if (range_contains(t->vm_write, addr))
			return true;
	return false;
}
