/* SPDX-License-Identifier: MIT */
/*
 * move.c - probes: which pages UFFDIO_MOVE takes, what it leaves behind and whom it wakes.
 *
 * What reclaim relies on (DESIGN section 4).  The stub makes the calls, so these are facts about what upager
 * will see and not only about the kernel.
 */
#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stubbed.h"

#define FEATURES_MOVE (FEATURES_RUN | UFFD_FEATURE_MOVE)
#define P	      PAGE_SIZE

static const u64 WRITE = UFFD_PAGEFAULT_FLAG_WRITE;
static const u64 WRITE_WP = UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP;

static u64 page_of(const struct stubbed *t, u64 i)
{
	return t->mem + i * P;
}

static u64 staging_of(const struct stubbed *t, u64 i)
{
	return t->staging + i * P;
}

static int move_out(struct stubbed *t, u64 i)
{
	return stubbed_move(t, staging_of(t, i), page_of(t, i), P, 0, NULL);
}

static int move_back(struct stubbed *t, u64 i)
{
	return stubbed_move(t, page_of(t, i), staging_of(t, i), P, 0, NULL);
}

static void wait_for_step_1(struct lab *lab)
{
	lab_hold(lab, 1);
}

/* Pages 0 .. nr - 1 present, filled with their number + 1. */
static void fill(struct stubbed *t, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		EXPECT_EQ(fill_page(t->s.uffd, page_of(t, i), (u8)(i + 1), 0), 0);
}

static void finish(struct stubbed *t)
{
	lab_let(t->s.lab, 1);
	stubbed_end(t);
}

static bool pagemap_has(const struct stubbed *t, u64 addr, u64 bits)
{
	return (pagemap_entry(t->s.pid, addr) & bits) == bits;
}

/* ---- pages that a fork has shared ---- */

/* Fork at step 1, end the child at step 2, end at step 3. */
static void fork_by_steps(struct lab *lab)
{
	pid_t pid;

	lab_hold(lab, 1);
	pid = fork();
	if (!pid) {
		lab_hold(lab, 2);
		_exit(0);
	}
	lab_reach(lab, 1);
	EXPECT_EQ(reap(pid), 0);
	lab_reach(lab, 2);
	lab_hold(lab, 3);
}

/* A subject whose page 0 was shared by a fork; *child the child's userfaultfd. */
static struct stubbed start_forked(u64 nr_pages, bool wp, int *child)
{
	struct stubbed t = stubbed_start(nr_pages, FEATURES_MOVE, fork_by_steps);

	fill(&t, nr_pages);
	if (wp)
		EXPECT_EQ(protect_page(t.s.uffd, t.mem, true), 0);
	lab_let(t.s.lab, 1);
	*child = expect_fork(t.s.uffd);
	lab_await(t.s.lab, 1);
	return t;
}

PROBE(move_after_fork_child_gone, "MOVE says EBUSY of a page that a fork has shared, also when the child is gone and "
				  "when its wp was lifted")
{
	int child;
	struct stubbed t = start_forked(1, true, &child);

	EXPECT_EQ(move_out(&t, 0), -EBUSY);
	lab_let(t.s.lab, 2);
	lab_await(t.s.lab, 2);
	EXPECT_EQ(move_out(&t, 0), -EBUSY);
	EXPECT_EQ(protect_page(t.s.uffd, t.mem, false), 0);
	EXPECT_EQ(move_out(&t, 0), -EBUSY);
	EXPECT(!pagemap_has(&t, t.mem, PM_UFFD_WP));
	lab_let(t.s.lab, 3);
	stubbed_end(&t);
}

PROBE(populate_makes_movable, "after MADV_POPULATE_WRITE by the stub a page that a fork had shared can be moved: "
			      "reused when the child is gone, copied when it is not")
{
	int child;
	struct stubbed t = start_forked(2, false, &child);

	EXPECT_EQ(stubbed_madvise(&t, page_of(&t, 0), P, MADV_POPULATE_WRITE), 0); /* copied */
	EXPECT_EQ(move_out(&t, 0), 0);
	EXPECT_EQ(move_out(&t, 1), -EBUSY);
	lab_let(t.s.lab, 2);
	lab_await(t.s.lab, 2);
	EXPECT_EQ(move_out(&t, 1), -EBUSY);
	EXPECT_EQ(stubbed_madvise(&t, page_of(&t, 1), P, MADV_POPULATE_WRITE), 0); /* reused */
	EXPECT_EQ(move_out(&t, 1), 0);
	expect_silence(t.s.uffd, 10);
	lab_let(t.s.lab, 3);
	stubbed_end(&t);
}

PROBE(populate_of_wp_waits, "MADV_POPULATE_WRITE by the stub of a wp page is a WP fault of the stub, which waits for us")
{
	struct stubbed t = stubbed_start(1, FEATURES_MOVE, wait_for_step_1);
	struct uffd_msg msg;

	fill(&t, 1);
	EXPECT_EQ(protect_page(t.s.uffd, t.mem, true), 0);
	stubbed_begin(&t, SYS_madvise, t.mem, P, MADV_POPULATE_WRITE, 0, 0);
	msg = expect_fault(t.s.uffd, t.mem, WRITE_WP);
	EXPECT_EQ(msg.arg.pagefault.feat.ptid, t.pid);
	EXPECT_EQ(protect_page(t.s.uffd, t.mem, false), 0);
	EXPECT_EQ(stubbed_finish(&t), 0);
	finish(&t);
}

/* ---- pinned pages ---- */

/* Page 2 is pinned between the steps 1 and 2 by an io_uring's fixed buffer, with a read under way. */
static void pin_page_2(struct lab *lab)
{
	struct iovec iov = {(void *)(lab->mem + 2 * P), P};
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int fd[2];

	lab_hold(lab, 1);
	EXPECT(!pipe(fd));
	if (io_uring_queue_init(4, &ring, 0) < 0) {
		atomic_store(&lab->value[0], 1);
		lab_reach(lab, 1);
		return;
	}
	EXPECT_EQ(io_uring_register_buffers(&ring, &iov, 1), 0);
	lab_reach(lab, 1);
	lab_hold(lab, 2);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read_fixed(sqe, fd[0], iov.iov_base, P, 0, 0);
	EXPECT_EQ(io_uring_submit(&ring), 1);
	lab_reach(lab, 2);
	lab_hold(lab, 3);
	EXPECT_EQ(write(fd[1], "hello", 5), 5);
	EXPECT_EQ(io_uring_wait_cqe(&ring, &cqe), 0);
	EXPECT_EQ(cqe->res, 5);
	EXPECT(!memcmp(iov.iov_base, "hello", 5));
	EXPECT_EQ(io_uring_unregister_buffers(&ring), 0);
	lab_reach(lab, 3);
	lab_hold(lab, 4);
}

static struct stubbed start_pinned(void)
{
	struct stubbed t = stubbed_start(4, FEATURES_MOVE, pin_page_2);

	fill(&t, 4);
	lab_let(t.s.lab, 1);
	lab_await(t.s.lab, 1);
	if (atomic_load(&t.s.lab->value[0]))
		SKIP("io_uring is not available here");
	return t;
}

PROBE(move_pinned, "MOVE says EBUSY of a page under an io_uring fixed buffer, idle or being read into, and takes it after "
		   "that is unregistered")
{
	struct stubbed t = start_pinned();
	int ret;

	EXPECT_EQ(move_out(&t, 2), -EBUSY);
	lab_let(t.s.lab, 2);
	lab_await(t.s.lab, 2);
	EXPECT_EQ(move_out(&t, 2), -EBUSY);
	lab_let(t.s.lab, 3);
	lab_await(t.s.lab, 3);
	for (int i = 0; (ret = move_out(&t, 2)) == -EBUSY && i < 1000; i++)
		sleep_ms(1); /* the ring unpins a moment after its call returned */
	EXPECT_EQ(ret, 0);
	lab_let(t.s.lab, 4);
	stubbed_end(&t);
}

/* ---- ranges ---- */

PROBE(move_stops_at_pinned, "MOVE of a range stops at a page it cannot take: EAGAIN with the bytes before it, and "
			    "EBUSY when that is the first")
{
	struct stubbed t = start_pinned();
	s64 moved;

	EXPECT_EQ(stubbed_move(&t, t.staging, t.mem, t.len, 0, &moved), -EAGAIN);
	EXPECT_EQ(moved, 2 * P);
	EXPECT(!pagemap_has(&t, page_of(&t, 1), PM_PRESENT));
	EXPECT(pagemap_has(&t, staging_of(&t, 1), PM_PRESENT));
	EXPECT(pagemap_has(&t, page_of(&t, 2), PM_PRESENT));
	EXPECT(pagemap_has(&t, page_of(&t, 3), PM_PRESENT));
	EXPECT_EQ(stubbed_move(&t, staging_of(&t, 2), page_of(&t, 2), 2 * P, 0, &moved), -EBUSY);
	EXPECT_EQ(moved, -EBUSY);
	lab_let(t.s.lab, 4);
	stubbed_end(&t);
}

PROBE(move_holes, "MOVE of a range stops at a hole: EAGAIN with the bytes before it, ENOENT when it is the first; with "
		  "ALLOW_SRC_HOLES it goes on, counts the hole and leaves one")
{
	struct stubbed t = stubbed_start(4, FEATURES_MOVE, wait_for_step_1);
	s64 moved;

	fill(&t, 4);
	EXPECT_EQ(stubbed_madvise(&t, page_of(&t, 1), P, MADV_DONTNEED), 0);
	EXPECT_EQ(stubbed_move(&t, t.staging, t.mem, t.len, 0, &moved), -EAGAIN);
	EXPECT_EQ(moved, P);
	EXPECT_EQ(stubbed_move(&t, staging_of(&t, 1), page_of(&t, 1), 3 * P, 0, &moved), -ENOENT);
	EXPECT_EQ(moved, -ENOENT);
	EXPECT_EQ(stubbed_move(&t, staging_of(&t, 1), page_of(&t, 1), 3 * P,
			       UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES, &moved),
		  0);
	EXPECT_EQ(moved, 3 * P);
	EXPECT(!pagemap_has(&t, staging_of(&t, 1), PM_PRESENT));
	EXPECT(pagemap_has(&t, staging_of(&t, 2), PM_PRESENT));
	EXPECT(pagemap_has(&t, staging_of(&t, 3), PM_PRESENT));
	finish(&t);
}

PROBE(move_onto_present, "MOVE onto a page that is there says EEXIST and changes nothing")
{
	struct stubbed t = stubbed_start(1, FEATURES_MOVE, wait_for_step_1);

	fill(&t, 1);
	EXPECT_EQ(fill_page(t.s.uffd, t.staging, 9, 0), 0);
	EXPECT_EQ(move_out(&t, 0), -EEXIST);
	EXPECT(pagemap_has(&t, t.mem, PM_PRESENT));
	finish(&t);
}

PROBE(move_zero_page, "MOVE takes the kernel's zero page too")
{
	struct stubbed t = stubbed_start(1, FEATURES_MOVE, wait_for_step_1);

	EXPECT_EQ(zero_page(t.s.uffd, t.mem, 0), 0);
	EXPECT_EQ(move_out(&t, 0), 0);
	EXPECT(!pagemap_has(&t, t.mem, PM_PRESENT));
	finish(&t);
}

/* ---- unlike mappings ---- */

/* Page 0 of `mem` is changed by one call of the stub; returns what MOVE to staging then says. */
static int move_after(long nr, u64 a1, u64 a2, u64 a3)
{
	struct stubbed t = stubbed_start(1, FEATURES_MOVE, wait_for_step_1);
	int ret;

	fill(&t, 1);
	EXPECT_EQ(stubbed_call(&t, nr, t.mem, a1, a2, a3, 0), 0);
	ret = move_out(&t, 0);
	finish(&t);
	return ret;
}

PROBE(move_other_protection, "MOVE between mappings of different protection, or from one without write permission, is "
			     "EINVAL")
{
	EXPECT_EQ(move_after(SYS_mprotect, P, PROT_READ | PROT_WRITE | PROT_EXEC, 0), -EINVAL);
	EXPECT_EQ(move_after(SYS_mprotect, P, PROT_READ, 0), -EINVAL);
	EXPECT_EQ(move_after(SYS_mprotect, P, PROT_NONE, 0), -EINVAL);
}

PROBE(move_other_pkey, "MOVE between mappings with different protection keys is EINVAL")
{
	struct stubbed t = stubbed_start(1, FEATURES_MOVE, wait_for_step_1);
	s64 key = stubbed_call(&t, SYS_pkey_alloc, 0, 0, 0, 0, 0);

	if (key < 0)
		SKIP("this machine has no protection keys");
	fill(&t, 1);
	EXPECT_EQ(stubbed_call(&t, SYS_pkey_mprotect, t.mem, P, PROT_READ | PROT_WRITE, (u64)key, 0), 0);
	EXPECT_EQ(move_out(&t, 0), -EINVAL);
	EXPECT_EQ(stubbed_call(&t, SYS_pkey_mprotect, t.staging, P, PROT_READ | PROT_WRITE, (u64)key, 0), 0);
	EXPECT_EQ(move_out(&t, 0), 0);
	finish(&t);
}

PROBE(move_locked, "MOVE from a locked mapping to one that is not is EINVAL")
{
	EXPECT_EQ(move_after(SYS_mlock, P, 0, 0), -EINVAL);
}

PROBE(move_other_advice, "MOVE does not care for advice: DONTFORK, DONTDUMP, SEQUENTIAL, RANDOM, HUGEPAGE, NOHUGEPAGE, "
			 "MERGEABLE, WIPEONFORK")
{
	static const int advice[] = {MADV_DONTFORK, MADV_DONTDUMP,   MADV_SEQUENTIAL, MADV_RANDOM,
				     MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE,  MADV_WIPEONFORK};

	for (size_t i = 0; i < ARRAY_SIZE(advice); i++) {
		struct stubbed t = stubbed_start(1, FEATURES_MOVE, wait_for_step_1);
		int ret;

		fill(&t, 1);
		ret = stubbed_madvise(&t, t.mem, P, advice[i]);
		EXPECT(ret == 0 || ret == -EINVAL); /* the kernel may be built without huge pages, KSM */
		EXPECT_EQ(move_out(&t, 0), 0);
		EXPECT_EQ(move_back(&t, 0), 0);
		finish(&t);
	}
}

PROBE(move_other_accounting, "MOVE does not care for NORESERVE and GROWSDOWN")
{
	static const int flags[] = {MAP_NORESERVE, MAP_GROWSDOWN, MAP_STACK};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct stubbed t = stubbed_start(1, FEATURES_MOVE, wait_for_step_1);

		/* The stub's call has the secret as offset, which anonymous memory does not mind. */
		EXPECT_EQ(stubbed_call(&t, SYS_mmap, t.mem, P, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (u64)flags[i],
				       (u64)-1),
			  (s64)t.mem);
		EXPECT_EQ(uffd_register(t.s.uffd, range_of(t.mem, P)), 0);
		fill(&t, 1);
		EXPECT_EQ(move_out(&t, 0), 0);
		EXPECT_EQ(move_back(&t, 0), 0);
		finish(&t);
	}
}

/* ---- what it leaves, whom it wakes ---- */

PROBE(move_drops_wp, "a page that was moved has lost its wp bit and is writable, there and back")
{
	struct stubbed t = stubbed_start(1, FEATURES_MOVE, wait_for_step_1);

	fill(&t, 1);
	EXPECT_EQ(protect_page(t.s.uffd, t.mem, true), 0);
	EXPECT(pagemap_has(&t, t.mem, PM_PRESENT | PM_UFFD_WP));
	EXPECT_EQ(move_out(&t, 0), 0);
	EXPECT(pagemap_has(&t, t.staging, PM_PRESENT));
	EXPECT(!pagemap_has(&t, t.staging, PM_UFFD_WP));
	EXPECT_EQ(pagemap_entry(t.s.pid, t.mem), pagemap_entry(t.s.pid, t.mem) & PM_SOFT_DIRTY); /* nothing */
	EXPECT_EQ(move_back(&t, 0), 0);
	EXPECT(pagemap_has(&t, t.mem, PM_PRESENT));
	EXPECT(!pagemap_has(&t, t.mem, PM_UFFD_WP));
	finish(&t);
}

PROBE(move_to_wp_marker, "MOVE onto an empty page that is write-protected says EEXIST")
{
	struct stubbed t = stubbed_start(1, FEATURES_MOVE | UFFD_FEATURE_WP_UNPOPULATED, wait_for_step_1);

	fill(&t, 1);
	EXPECT_EQ(protect_page(t.s.uffd, t.staging, true), 0);
	EXPECT_EQ(move_out(&t, 0), -EEXIST);
	finish(&t);
}

static void touch_by_steps(struct lab *lab)
{
	lab_hold(lab, 1);
	EXPECT_EQ(peek(lab->mem), 1);
	lab_reach(lab, 1);
	lab_hold(lab, 2);
	poke(lab->mem, 7);
	lab_reach(lab, 2);
}

PROBE(move_wakes, "MOVE wakes who waits for the page; with DONTWAKE it does not")
{
	struct stubbed t = stubbed_start(1, FEATURES_MOVE, touch_by_steps);

	fill(&t, 1);
	EXPECT_EQ(move_out(&t, 0), 0);
	lab_let(t.s.lab, 1);
	expect_fault(t.s.uffd, t.mem, 0);
	EXPECT_EQ(move_back(&t, 0), 0);
	lab_await(t.s.lab, 1);
	EXPECT_EQ(move_out(&t, 0), 0);
	lab_let(t.s.lab, 2);
	expect_fault(t.s.uffd, t.mem, WRITE);
	EXPECT_EQ(stubbed_move(&t, t.mem, t.staging, P, UFFDIO_MOVE_MODE_DONTWAKE, NULL), 0);
	sleep_ms(50);
	EXPECT_EQ(atomic_load(&t.s.lab->child_step), 1);
	EXPECT_EQ(uffd_wake(t.s.uffd, range_of(t.mem, P)), 0);
	lab_await(t.s.lab, 2);
	expect_silence(t.s.uffd, 10);
	stubbed_end(&t);
}

/* ---- the other way: drop many pages by one call ---- */

PROBE(process_madvise_self, "process_madvise(DONTNEED) by the stub drops scattered pages of the program, named by "
			    "PIDFD_SELF, and says how many bytes")
{
	struct stubbed t = stubbed_start(5, FEATURES_RUN, wait_for_step_1);
	struct iovec *iov = stub_scratch_ours(&t.stub, 0);
	s64 ret;

	fill(&t, 5);
	for (u64 i = 0; i < 3; i++)
		iov[i] = (struct iovec){(void *)page_of(&t, 2 * i), P};
	ret = stubbed_call(&t, __NR_process_madvise, (u64)PIDFD_SELF_THREAD_GROUP,
			   stub_scratch(&t.stub, 0), 3, MADV_DONTNEED, 0);
	if (ret == -EBADF || ret == -EINVAL)
		SKIP("this kernel's process_madvise knows no PIDFD_SELF (6.14)");
	EXPECT_EQ(ret, 3 * P);
	for (u64 i = 0; i < 5; i++)
		EXPECT_EQ(pagemap_has(&t, page_of(&t, i), PM_PRESENT), i % 2);
	finish(&t);
}
