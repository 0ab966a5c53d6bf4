/* SPDX-License-Identifier: MIT */
/*
 * fault.c - probes: which faults are delivered, and what each answer does.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/magic.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"
#include "sys/procmaps.h"

static const u64 WRITE = UFFD_PAGEFAULT_FLAG_WRITE;
static const u64 WRITE_WP = UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP;

static u64 page_of(const struct subject *s, u64 i)
{
	return s->mem + i * PAGE_SIZE;
}

/* ---- missing faults ---- */

static void read_then_write(struct lab *lab)
{
	EXPECT_EQ(peek(lab->mem + 100), 0);
	poke(lab->mem + PAGE_SIZE, 5);
	EXPECT_EQ(peek(lab->mem + PAGE_SIZE + 1), 7);
	EXPECT_EQ(peek(lab->mem + PAGE_SIZE), 5);
}

PROBE(missing_other_process,
      "missing faults of a process reach whoever took its userfaultfd by pidfd_getfd, "
      "who may answer")
{
	struct subject s = subject_start(2, FEATURES_RUN, read_then_write);
	struct uffd_msg msg = expect_fault(s.uffd, page_of(&s, 0), 0);

	EXPECT_EQ(msg.arg.pagefault.feat.ptid, s.pid);
	EXPECT_EQ(zero_page(s.uffd, page_of(&s, 0), 0), 0);
	expect_fault(s.uffd, page_of(&s, 1), WRITE);
	EXPECT_EQ(fill_page(s.uffd, page_of(&s, 1), 7, 0), 0);
	subject_end(&s);
}

static void poke_exact(struct lab *lab)
{
	poke(lab->mem + 0x123, 1);
}

PROBE(exact_address, "EXACT_ADDRESS gives the byte of a fault, not its page")
{
	struct subject s = subject_start(1, FEATURES_RUN | UFFD_FEATURE_EXACT_ADDRESS, poke_exact);
	struct uffd_msg msg = expect_fault(s.uffd, s.mem, WRITE);

	EXPECT_EQ(msg.arg.pagefault.address, s.mem + 0x123);
	EXPECT_EQ(zero_page(s.uffd, s.mem, 0), 0);
	subject_end(&s);
}

/* ---- the zero page ---- */

static void read_hold_write(struct lab *lab)
{
	EXPECT_EQ(peek(lab->mem), 0);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	poke(lab->mem, 9);
	lab_reach(lab, 2);
	EXPECT_EQ(peek(lab->mem), 9);
}

PROBE(zeropage_write_unseen,
      "a write to a ZEROPAGE page that is not write-protected sends no message")
{
	struct subject s = subject_start(1, FEATURES_RUN, read_hold_write);

	expect_fault(s.uffd, s.mem, 0);
	EXPECT_EQ(zero_page(s.uffd, s.mem, 0), 0);
	lab_await(s.lab, 1);
	lab_let(s.lab, 1);
	lab_await(s.lab, 2);
	expect_silence(s.uffd, 20);
	subject_end(&s);
}

PROBE(zeropage_then_wp, "ZEROPAGE followed by WRITEPROTECT gives a WP fault at the first write")
{
	struct subject s = subject_start(1, FEATURES_RUN, read_hold_write);

	expect_fault(s.uffd, s.mem, 0);
	EXPECT_EQ(zero_page(s.uffd, s.mem, UFFDIO_ZEROPAGE_MODE_DONTWAKE), 0);
	EXPECT_EQ(protect_page(s.uffd, s.mem, true), 0);
	EXPECT_EQ(uffd_wake(s.uffd, range_of(s.mem, PAGE_SIZE)), 0);
	lab_await(s.lab, 1);
	lab_let(s.lab, 1);
	expect_fault(s.uffd, s.mem, WRITE_WP);
	EXPECT_EQ(protect_page(s.uffd, s.mem, false), 0);
	lab_await(s.lab, 2);
	expect_silence(s.uffd, 20);
	subject_end(&s);
}

PROBE(copy_wp_mode, "COPY with MODE_WP maps a page whose first write is a WP fault")
{
	struct subject s = subject_start(1, FEATURES_RUN, read_hold_write);

	expect_fault(s.uffd, s.mem, 0);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, UFFDIO_COPY_MODE_WP), 0);
	lab_await(s.lab, 1);
	lab_let(s.lab, 1);
	expect_fault(s.uffd, s.mem, WRITE_WP);
	EXPECT_EQ(protect_page(s.uffd, s.mem, false), 0);
	subject_end(&s);
}

/* ---- what was there before the memory was armed ---- */

PROBE(armed_late, "pages that were there before REGISTER send nothing until they are write- "
		  "protected")
{
	struct subject s = subject_prepare(1, FEATURES_RUN, read_hold_write);

	subject_begin(&s);
	lab_await(s.lab, 1); /* it has read: the kernel's zero page */
	EXPECT_EQ(uffd_register(s.uffd, range_of(s.mem, s.len)), 0);
	EXPECT_EQ(protect_page(s.uffd, s.mem, true), 0);
	lab_let(s.lab, 1);
	expect_fault(s.uffd, s.mem, WRITE_WP);
	EXPECT_EQ(protect_page(s.uffd, s.mem, false), 0);
	subject_end(&s);
}

/* ---- faults inside system calls ---- */

static void read_into_missing(struct lab *lab)
{
	int fd[2];

	EXPECT(!pipe(fd));
	EXPECT_EQ(write(fd[1], "hello", 5), 5);
	EXPECT_EQ(read(fd[0], (void *)(lab->mem + 10), 5), 5);
	EXPECT(!memcmp((void *)(lab->mem + 10), "hello", 5));
	EXPECT_EQ(write(fd[1], (void *)(lab->mem + PAGE_SIZE), 3), 3);
}

PROBE(fault_in_syscall, "a fault inside read() or write() is delivered, and the call completes")
{
	struct subject s = subject_start(2, FEATURES_RUN, read_into_missing);

	expect_fault(s.uffd, page_of(&s, 0), WRITE);
	EXPECT_EQ(fill_page(s.uffd, page_of(&s, 0), 0, 0), 0);
	expect_fault(s.uffd, page_of(&s, 1), 0);
	EXPECT_EQ(zero_page(s.uffd, page_of(&s, 1), 0), 0);
	subject_end(&s);
}

static void uring_read(struct lab *lab)
{
	struct io_uring ring;
	struct io_uring_cqe *cqe;
	int fd[2], ret = io_uring_queue_init(4, &ring, 0);

	atomic_store(&lab->value[0], ret);
	lab_reach(lab, 1);
	if (ret)
		return;
	EXPECT(!pipe(fd));
	EXPECT_EQ(write(fd[1], "uring", 5), 5);
	io_uring_prep_read(io_uring_get_sqe(&ring), fd[0], (void *)lab->mem, 5, -1);
	EXPECT_EQ(io_uring_submit_and_wait(&ring, 1), 1);
	EXPECT(!io_uring_wait_cqe(&ring, &cqe));
	EXPECT_EQ(cqe->res, 5);
	EXPECT(!memcmp((void *)lab->mem, "uring", 5));
}

PROBE(fault_in_io_uring, "an io_uring read into a missing page faults and completes")
{
	struct subject s = subject_start(1, FEATURES_RUN, uring_read);

	lab_await(s.lab, 1);
	if (atomic_load(&s.lab->value[0]))
		SKIP("io_uring is not available here");
	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	subject_end(&s);
}

static void populate_and_lock(struct lab *lab)
{
	EXPECT(!madvise((void *)lab->mem, PAGE_SIZE, MADV_POPULATE_WRITE));
	EXPECT(!mlock((void *)(lab->mem + PAGE_SIZE), PAGE_SIZE));
}

PROBE(fault_in_populate, "MADV_POPULATE_WRITE and mlock() of missing pages fault like a touch")
{
	struct subject s = subject_start(2, FEATURES_RUN, populate_and_lock);

	expect_fault(s.uffd, page_of(&s, 0), WRITE);
	EXPECT_EQ(fill_page(s.uffd, page_of(&s, 0), 0, 0), 0);
	expect_fault(s.uffd, page_of(&s, 1), WRITE);
	EXPECT_EQ(fill_page(s.uffd, page_of(&s, 1), 0, 0), 0);
	subject_end(&s);
}

PROBE(user_mode_only,
      "a USER_MODE_ONLY userfaultfd makes faults inside system calls fail with EFAULT")
{
	int uffd = syscall(SYS_userfaultfd, UFFD_USER_MODE_ONLY), fd[2];
	char *mem =
		mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(uffd >= 0);
	EXPECT_EQ(uffd_api(uffd, 0), 0);
	EXPECT_EQ(uffd_register(uffd, range_of((u64)mem, PAGE_SIZE)), 0);
	EXPECT(!pipe(fd));
	EXPECT_EQ(write(fd[1], "x", 1), 1);
	EXPECT_EQ(read(fd[0], mem, 1), -1);
	EXPECT_EQ(errno, EFAULT);
}

/* ---- errors of the answers ---- */

static void touch_once(struct lab *lab)
{
	poke(lab->mem, 3);
	lab_reach(lab, 1);
}

PROBE(eexist_does_not_wake, "an answer that says EEXIST wakes nobody; WAKE does")
{
	struct subject s = subject_start(1, FEATURES_RUN, touch_once);

	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, UFFDIO_COPY_MODE_DONTWAKE), 0);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), -EEXIST);
	sleep_ms(50);
	EXPECT_EQ(atomic_load(&s.lab->child_step), 0);
	EXPECT_EQ(uffd_wake(s.uffd, range_of(s.mem, PAGE_SIZE)), 0);
	lab_await(s.lab, 1);
	subject_end(&s);
}

static void touch_and_hold(struct lab *lab)
{
	poke(lab->mem, 3);
	lab_hold(lab, 1);
}

PROBE(copy_stops_at_present,
      "COPY of several pages does those before a present one and says EAGAIN with the "
      "count")
{
	static u8 src[4 * 4096];
	struct subject s = subject_start(4, FEATURES_RUN, touch_and_hold);
	u64 done = 0;

	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, page_of(&s, 2), 1, 0), 0);
	EXPECT_EQ(uffd_copy(s.uffd, s.mem, src, s.len, 0, &done), -EAGAIN);
	EXPECT_EQ(done, 2 * PAGE_SIZE);
	EXPECT_EQ(uffd_copy(s.uffd, page_of(&s, 2), src, PAGE_SIZE, 0, &done), -EEXIST);
	EXPECT_EQ(done, 0);
	lab_let(s.lab, 1);
	subject_end(&s);
}

PROBE(copy_into_nothing, "COPY to where nothing is armed says ENOENT")
{
	struct subject s = subject_start(1, FEATURES_RUN, touch_once);

	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem - PAGE_SIZE, 0, 0), -ENOENT); /* the guard page */
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	subject_end(&s);
}

PROBE(process_gone, "answers for a process that is gone say ESRCH")
{
	struct subject s = subject_start(1, FEATURES_RUN, touch_once);
	int ret;

	expect_fault(s.uffd, s.mem, WRITE);
	kill(s.pid, SIGKILL);
	reap(s.pid);
	ret = fill_page(s.uffd, s.mem, 0, 0);
	EXPECT(ret == -ESRCH || ret == -ENOSPC);
}

static int pipe_fd[2];

static void read_into_page(struct lab *lab)
{
	close(pipe_fd[1]);
	EXPECT_EQ(read(pipe_fd[0], (void *)lab->mem, 1), 1);
}

static void write_and_end(struct lab *lab)
{
	close(pipe_fd[0]);
	EXPECT_EQ(write(pipe_fd[1], "a", 1), 1);
	lab_hold(lab, 1);
}

/*
 * The reader holds the pipe's lock while its page is missing.  The writer closes the pipe at its end, when it has given up
 * its memory, and waits for that lock.
 */
PROBE(mm_gone_before_end, "of who dies WRITEPROTECT says ESRCH, and stat no size, before its end; of who lives ENOENT of nothing")
{
	struct subject reader, writer;

	EXPECT(!pipe(pipe_fd));
	reader = subject_start(1, FEATURES_RUN, read_into_page);
	writer = subject_start(1, FEATURES_RUN, write_and_end);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	expect_fault(reader.uffd, reader.mem, WRITE);
	EXPECT_EQ(uffd_writeprotect(writer.uffd, (struct range){ TASK_SIZE - PAGE_SIZE, TASK_SIZE }, false, true),
		  -ENOENT);
	EXPECT(!uffd_is_over(writer.uffd));
	EXPECT(proc_task_has_mm(writer.pid));
	lab_let(writer.lab, 1);
	while (!uffd_is_over(writer.uffd) || proc_task_has_mm(writer.pid))
		sleep_ms(1); /* the probe's time limit ends this */
	EXPECT_EQ(waitpid(writer.pid, NULL, WNOHANG), 0);
	EXPECT_EQ(fill_page(reader.uffd, reader.mem, 0, 0), 0);
	subject_end(&writer);
	subject_end(&reader);
}

PROBE(wp_marker_empty,
      "with WP_UNPOPULATED an empty page can be protected: ZEROPAGE says EEXIST, COPY "
      "replaces it")
{
	struct subject s;

	if (!(probe_uffd_features() & UFFD_FEATURE_WP_UNPOPULATED))
		SKIP("this kernel has no UFFD_FEATURE_WP_UNPOPULATED (6.4)");
	s = subject_start(1, FEATURES_RUN | UFFD_FEATURE_WP_UNPOPULATED, read_hold_write);
	expect_fault(s.uffd, s.mem, 0);
	EXPECT_EQ(protect_page(s.uffd, s.mem, true), 0);
	EXPECT_EQ(zero_page(s.uffd, s.mem, 0), -EEXIST);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, UFFDIO_COPY_MODE_WP), 0);
	lab_await(s.lab, 1);
	lab_let(s.lab, 1);
	expect_fault(s.uffd, s.mem, WRITE_WP);
	EXPECT_EQ(protect_page(s.uffd, s.mem, false), 0);
	subject_end(&s);
}

PROBE(register_busy, "memory of another context is refused with EBUSY")
{
	int a = syscall(SYS_userfaultfd, 0), b = syscall(SYS_userfaultfd, 0);
	void *mem =
		mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(a >= 0 && b >= 0 && mem != MAP_FAILED);
	EXPECT_EQ(uffd_api(a, 0), 0);
	EXPECT_EQ(uffd_api(b, 0), 0);
	EXPECT_EQ(uffd_register(a, range_of((u64)mem, PAGE_SIZE)), 0);
	EXPECT_EQ(uffd_register(b, range_of((u64)mem, PAGE_SIZE)), -EBUSY);
}

PROBE(register_file, "a mapping of an ordinary file is refused with EINVAL, private or shared")
{
	static const int sharing[] = {MAP_PRIVATE, MAP_SHARED};
	int uffd = syscall(SYS_userfaultfd, 0), fd = open("/proc/self/exe", O_RDONLY);
	struct statfs fs;

	EXPECT(uffd >= 0 && fd >= 0 && !fstatfs(fd, &fs));
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		SKIP("this program lies in memory itself: no ordinary file to map");
	EXPECT_EQ(uffd_api(uffd, 0), 0);
	for (int i = 0; i < 2; i++) {
		void *file = mmap(NULL, PAGE_SIZE, PROT_READ, sharing[i], fd, 0);

		EXPECT(file != MAP_FAILED);
		EXPECT_EQ(uffd_register(uffd, range_of((u64)file, PAGE_SIZE)), -EINVAL);
	}
}

/* ---- the end of a userfaultfd ---- */

static void touch_expect_zero(struct lab *lab)
{
	EXPECT_EQ(peek(lab->mem), 0);
	poke(lab->mem + PAGE_SIZE, 1);
}

PROBE(close_wakes_with_zeroes,
      "closing the last descriptor unregisters and wakes: missing pages read as "
      "zeroes")
{
	struct subject s = subject_start(2, FEATURES_RUN, touch_expect_zero);

	expect_fault(s.uffd, s.mem, 0);
	close(s.uffd);
	EXPECT_EQ(reap(s.pid), 0);
}

/* ---- waiting threads and signals ---- */

static _Atomic int handled;

static void on_signal(int sig)
{
	atomic_store(&handled, 1);
}

static void touch_with_handler(struct lab *lab)
{
	signal(SIGUSR1, on_signal);
	lab_reach(lab, 1);
	poke(lab->mem, 1);
	EXPECT_EQ(atomic_load(&handled), 1);
}

PROBE(signal_during_fault,
      "a signal interrupts a thread that waits for a fault in user mode; it faults "
      "again after the handler")
{
	struct subject s = subject_start(1, FEATURES_RUN, touch_with_handler);

	expect_fault(s.uffd, s.mem, WRITE);
	sleep_ms(20);
	kill(s.pid, SIGUSR1);
	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	subject_end(&s);
}

static void read_with_handler(struct lab *lab)
{
	int fd[2];

	signal(SIGUSR1, on_signal);
	EXPECT(!pipe(fd));
	EXPECT_EQ(write(fd[1], "abc", 3), 3);
	EXPECT_EQ(read(fd[0], (void *)lab->mem, 3), 3);
	EXPECT_EQ(atomic_load(&handled), 1);
}

PROBE(signal_during_syscall_fault,
      "a signal during a fault inside a system call neither fails the call nor loses "
      "the fault")
{
	struct subject s = subject_start(1, FEATURES_RUN, read_with_handler);

	expect_fault(s.uffd, s.mem, WRITE);
	sleep_ms(20);
	kill(s.pid, SIGUSR1);
	sleep_ms(20);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	subject_end(&s);
}

PROBE(kill_during_syscall_fault,
      "SIGKILL ends a process that waits for a fault inside a system call")
{
	struct subject s = subject_start(1, FEATURES_RUN, read_with_handler);

	expect_fault(s.uffd, s.mem, WRITE);
	sleep_ms(20);
	kill(s.pid, SIGKILL);
	EXPECT_EQ(reap(s.pid), SIGKILL);
}

PROBE(interrupt_during_fault,
      "PTRACE_INTERRUPT stops a thread that waits for a fault; resumed, it faults "
      "again")
{
	struct subject s = subject_start(1, FEATURES_RUN, touch_once);
	int status;

	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT(!ptrace(PTRACE_SEIZE, s.pid, NULL, NULL));
	EXPECT(!ptrace(PTRACE_INTERRUPT, s.pid, NULL, NULL));
	status = reap(s.pid);
	EXPECT_EQ(status >> 8, SIGTRAP | 128 << 8); /* PTRACE_EVENT_STOP */
	EXPECT(!ptrace(PTRACE_DETACH, s.pid, NULL, NULL));
	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	subject_end(&s);
}

/* ---- poison ---- */

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	EXPECT(info->si_code == BUS_MCEERR_AR || info->si_code == BUS_ADRERR);
	_exit(0);
}

static void touch_poisoned(struct lab *lab)
{
	struct sigaction act = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

	sigaction(SIGBUS, &act, NULL);
	poke(lab->mem, 1);
	EXPECT(!"reached after the poisoned page");
}

PROBE(poison, "POISON of a missing page raises SIGBUS: BUS_MCEERR_AR, or BUS_ADRERR without "
	      "CONFIG_MEMORY_FAILURE")
{
	struct uffdio_poison op = {.range.len = PAGE_SIZE};
	struct subject s;

	if (!(probe_uffd_features() & UFFD_FEATURE_POISON))
		SKIP("this kernel has no UFFDIO_POISON (6.6)");
	s = subject_start(1, FEATURES_RUN | UFFD_FEATURE_POISON, touch_poisoned);
	expect_fault(s.uffd, s.mem, WRITE);
	op.range.start = s.mem;
	EXPECT(!ioctl(s.uffd, UFFDIO_POISON, &op));
	subject_end(&s);
}
