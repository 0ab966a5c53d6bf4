/* SPDX-License-Identifier: MIT */
/*
 * maps.c - probes: what the memory calls do to armed memory and to its wp bits.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static const u64 WRITE = UFFD_PAGEFAULT_FLAG_WRITE;
static const u64 WRITE_WP = UFFD_PAGEFAULT_FLAG_WRITE | UFFD_PAGEFAULT_FLAG_WP;

enum { MEM, GROWN }; /* lab->value[]: where the child's memory is now, where it grew */

static u64 value(const struct subject *s, int i)
{
	return (u64)atomic_load(&s->lab->value[i]);
}

/* Answer the first touch of s->mem and let the child pass step 1, with the page protected. */
static void fill_and_protect(struct subject *s)
{
	expect_fault(s->uffd, s->mem, WRITE);
	EXPECT_EQ(fill_page(s->uffd, s->mem, 0, 0), 0);
	lab_await(s->lab, 1);
	EXPECT_EQ(protect_page(s->uffd, s->mem, true), 0);
	lab_let(s->lab, 1);
}

/* ---- mremap ---- */

static void remap_larger(struct lab *lab, int flags)
{
	u64 len = lab->nr_pages * PAGE_SIZE;
	char *at;

	poke(lab->mem, 1);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	at = mremap((void *)lab->mem, len, 2 * len, flags);
	EXPECT(at != MAP_FAILED);
	atomic_store(&lab->value[MEM], (long)at);
	lab_reach(lab, 2);
	EXPECT_EQ(peek((u64)at), 1);
	poke((u64)at, 2);
	poke((u64)at + len, 3); /* the grown part */
}

static void remap_move(struct lab *lab)
{
	remap_larger(lab, MREMAP_MAYMOVE); /* a guard page is in the way: it must move */
}

PROBE(mremap_move, "EVENT_REMAP keeps registration and wp bits over a move, and arms what it grew "
		   "by")
{
	struct subject s = subject_start(1, FEATURES_RUN, remap_move);
	struct uffd_msg msg;
	u64 at;

	fill_and_protect(&s);
	msg = next_msg(s.uffd);
	EXPECT_EQ(msg.event, UFFD_EVENT_REMAP);
	EXPECT_EQ(msg.arg.remap.from, s.mem);
	lab_await(s.lab, 2);
	at = value(&s, MEM);
	EXPECT_EQ(msg.arg.remap.to, at);
	EXPECT(at != s.mem);
	expect_fault(s.uffd, at, WRITE_WP);
	EXPECT_EQ(protect_page(s.uffd, at, false), 0);
	expect_fault(s.uffd, at + PAGE_SIZE, WRITE);
	EXPECT_EQ(fill_page(s.uffd, at + PAGE_SIZE, 0, 0), 0);
	subject_end(&s);
}

PROBE(mremap_waits_for_reader, "mremap() does not return before its event is read")
{
	struct subject s = subject_start(1, FEATURES_RUN, remap_move);

	fill_and_protect(&s);
	sleep_ms(100);
	EXPECT_EQ(atomic_load(&s.lab->child_step), 1);
	EXPECT_EQ(next_msg(s.uffd).event, UFFD_EVENT_REMAP);
	lab_await(s.lab, 2);
	expect_fault(s.uffd, value(&s, MEM), WRITE_WP);
	kill(s.pid, SIGKILL);
	reap(s.pid);
}

static void remap_in_place(struct lab *lab)
{
	EXPECT(!munmap((void *)(lab->mem + PAGE_SIZE), PAGE_SIZE)); /* the guard */
	remap_larger(lab, 0);
}

PROBE(mremap_grow_in_place, "growth in place arms the grown part and sends no event")
{
	struct subject s = subject_start(1, FEATURES_RUN, remap_in_place);

	fill_and_protect(&s);
	expect_fault(s.uffd, s.mem, WRITE_WP);
	EXPECT_EQ(value(&s, MEM), s.mem);
	EXPECT_EQ(protect_page(s.uffd, s.mem, false), 0);
	expect_fault(s.uffd, s.mem + PAGE_SIZE, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem + PAGE_SIZE, 0, 0), 0);
	subject_end(&s);
}

PROBE(mremap_without_event, "without EVENT_REMAP a moved mapping is no longer armed")
{
	struct subject s = subject_start(1, UFFD_FEATURE_PAGEFAULT_FLAG_WP, remap_move);

	fill_and_protect(&s);
	lab_await(s.lab, 2);
	expect_silence(s.uffd, 50);
	subject_end(&s);
}

static void remap_dontunmap(struct lab *lab)
{
	char *at;

	poke(lab->mem, 7);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	at = mremap((void *)lab->mem, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	EXPECT(at != MAP_FAILED);
	atomic_store(&lab->value[MEM], (long)at);
	EXPECT_EQ(peek((u64)at), 7);
	poke((u64)at, 8);
	lab_reach(lab, 2);
	EXPECT_EQ(peek(lab->mem), 0); /* the old place is empty */
}

PROBE(mremap_dontunmap,
      "MREMAP_DONTUNMAP leaves the old place armed and empty, and arms the new one")
{
	struct subject s = subject_start(1, FEATURES_RUN, remap_dontunmap);

	fill_and_protect(&s);
	EXPECT_EQ(next_msg(s.uffd).event, UFFD_EVENT_REMAP);
	sleep_ms(20);
	expect_fault(s.uffd, value(&s, MEM), WRITE_WP);
	EXPECT_EQ(protect_page(s.uffd, value(&s, MEM), false), 0);
	lab_await(s.lab, 2);
	expect_fault(s.uffd, s.mem, 0);
	EXPECT_EQ(zero_page(s.uffd, s.mem, 0), 0);
	subject_end(&s);
}

/* ---- new memory beside armed memory ---- */

static void grow_heap(struct lab *lab)
{
	u64 brk0 = (u64)sbrk(0), heap;

	EXPECT(sbrk((long)(page_align_up(brk0) - brk0 + PAGE_SIZE)) != (void *)-1);
	heap = (u64)sbrk(0) - PAGE_SIZE;
	atomic_store(&lab->value[MEM], (long)heap);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	poke(heap, 1);
	EXPECT(sbrk(PAGE_SIZE) != (void *)-1);
	poke(heap + PAGE_SIZE, 2); /* nobody answers: must not be armed */
}

PROBE(brk_growth_unarmed, "brk growth beside the armed heap is not armed")
{
	struct subject s = subject_start(1, FEATURES_RUN, grow_heap);

	lab_await(s.lab, 1);
	EXPECT_EQ(uffd_register(s.uffd, range_of(value(&s, MEM), PAGE_SIZE)), 0);
	lab_let(s.lab, 1);
	expect_fault(s.uffd, value(&s, MEM), WRITE);
	EXPECT_EQ(fill_page(s.uffd, value(&s, MEM), 0, 0), 0);
	expect_silence(s.uffd, 50);
	subject_end(&s);
}

static void map_over(struct lab *lab)
{
	EXPECT(mmap((void *)lab->mem, PAGE_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == (void *)lab->mem);
	poke(lab->mem, 1);
	poke(lab->mem + PAGE_SIZE, 1);
}

PROBE(map_fixed_unarmed, "MAP_FIXED over armed memory gives unarmed memory; the rest stays armed")
{
	struct subject s = subject_start(2, FEATURES_RUN, map_over);

	expect_fault(s.uffd, s.mem + PAGE_SIZE, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem + PAGE_SIZE, 0, 0), 0);
	subject_end(&s);
}

static void grow_stack(struct lab *lab)
{
	const u64 hole = 512 * PAGE_SIZE, top = 4 * PAGE_SIZE;
	char *at = mmap(NULL, hole + top, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 stack = (u64)at + hole;

	EXPECT(at != MAP_FAILED); /* the hole is larger than stack_guard_gap, 256 pages */
	EXPECT(!munmap(at, hole + top));
	EXPECT(mmap((void *)stack, top, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1,
		    0) == (void *)stack);
	atomic_store(&lab->value[MEM], (long)stack);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	poke(stack - 1, 1); /* grows by a page */
}

PROBE(growsdown_armed,
      "an armed MAP_GROWSDOWN mapping that grows stays armed: the touch that grows it "
      "is delivered")
{
	struct subject s = subject_start(1, FEATURES_RUN, grow_stack);
	u64 stack;

	lab_await(s.lab, 1);
	stack = value(&s, MEM);
	EXPECT_EQ(uffd_register(s.uffd, range_of(stack, 4 * PAGE_SIZE)), 0);
	lab_let(s.lab, 1);
	expect_fault(s.uffd, stack - PAGE_SIZE, WRITE);
	EXPECT_EQ(fill_page(s.uffd, stack - PAGE_SIZE, 0, 0), 0);
	subject_end(&s);
}

PROBE(growsdown_no_data, "what is mapped MAP_GROWSDOWN takes nothing from RLIMIT_DATA")
{
	const struct rlimit none = {PAGE_SIZE, PAGE_SIZE};
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	pid_t pid = fork_child();

	if (!pid) {
		void *plain = mmap(NULL, 8 * PAGE_SIZE, PROT_NONE, flags, -1, 0);
		void *stack = mmap(NULL, 8 * PAGE_SIZE, PROT_NONE, flags | MAP_GROWSDOWN, -1, 0);

		EXPECT(plain != MAP_FAILED && stack != MAP_FAILED);
		EXPECT(!setrlimit(RLIMIT_DATA, &none));
		EXPECT(mprotect(plain, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE) && errno == ENOMEM);
		EXPECT(!mprotect(stack, 8 * PAGE_SIZE, PROT_READ | PROT_WRITE));
		_exit(0);
	}
	EXPECT_EQ(reap(pid), 0);
}

/* ---- mprotect, and what pagemap says ---- */

static void protect_and_write(struct lab *lab)
{
	poke(lab->mem, 1);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	EXPECT(!mprotect((void *)lab->mem, PAGE_SIZE, PROT_READ));
	EXPECT(!mprotect((void *)lab->mem, PAGE_SIZE, PROT_READ | PROT_WRITE));
	poke(lab->mem, 2);
}

PROBE(mprotect_keeps_wp, "mprotect() to read-only and back keeps the wp bit")
{
	struct subject s = subject_start(1, FEATURES_RUN, protect_and_write);

	fill_and_protect(&s);
	expect_fault(s.uffd, s.mem, WRITE_WP);
	EXPECT_EQ(protect_page(s.uffd, s.mem, false), 0);
	subject_end(&s);
}

PROBE(pagemap_wp, "pagemap shows present pages by bit 63 and wp by bit 57")
{
	struct subject s = subject_start(1, FEATURES_RUN, protect_and_write);
	u64 entry;

	EXPECT_EQ(pagemap_entry(s.pid, s.mem) & PM_PRESENT, 0);
	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	lab_await(s.lab, 1);
	entry = pagemap_entry(s.pid, s.mem);
	EXPECT(entry & PM_PRESENT);
	EXPECT_EQ(entry & PM_UFFD_WP, 0);
	EXPECT_EQ(protect_page(s.uffd, s.mem, true), 0);
	EXPECT(pagemap_entry(s.pid, s.mem) & PM_UFFD_WP);
	kill(s.pid, SIGKILL);
	reap(s.pid);
}

PROBE(pagemap_scan, "PAGEMAP_SCAN of another process lists its present pages; a protected one is "
		    "not WRITTEN")
{
	struct page_region region[4];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.vec = (u64)region,
		.vec_len = 4,
		.category_mask = PAGE_IS_PRESENT,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_WRITTEN,
	};
	struct subject s = subject_start(2, FEATURES_RUN, protect_and_write);
	char path[32];
	int fd, nr;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", s.pid);
	fd = open(path, O_RDONLY);
	EXPECT(fd >= 0);
	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 0, 0), 0);
	lab_await(s.lab, 1);
	EXPECT_EQ(protect_page(s.uffd, s.mem, true), 0);
	arg.start = s.mem;
	arg.end = s.mem + s.len;
	nr = ioctl(fd, PAGEMAP_SCAN, &arg);
	if (nr < 0 && errno == ENOTTY)
		SKIP("this kernel has no PAGEMAP_SCAN (6.7)");
	EXPECT_EQ(nr, 1);
	EXPECT_EQ(region[0].start, s.mem);
	EXPECT_EQ(region[0].end, s.mem + PAGE_SIZE);
	EXPECT_EQ(region[0].categories, PAGE_IS_PRESENT);
	EXPECT_EQ(protect_page(s.uffd, s.mem, false), 0);
	EXPECT_EQ(ioctl(fd, PAGEMAP_SCAN, &arg), 1);
	EXPECT_EQ(region[0].categories, PAGE_IS_PRESENT | PAGE_IS_WRITTEN);
	kill(s.pid, SIGKILL);
	reap(s.pid);
}

/* ---- giving pages back ---- */

static void drop_and_touch(struct lab *lab)
{
	poke(lab->mem, 1);
	EXPECT(!madvise((void *)lab->mem, PAGE_SIZE, MADV_DONTNEED));
	EXPECT_EQ(peek(lab->mem), 0);
}

PROBE(dontneed_refaults, "after MADV_DONTNEED the next touch is a missing fault again")
{
	struct subject s = subject_start(1, FEATURES_RUN, drop_and_touch);

	expect_fault(s.uffd, s.mem, WRITE);
	EXPECT_EQ(fill_page(s.uffd, s.mem, 9, 0), 0);
	expect_fault(s.uffd, s.mem, 0);
	EXPECT_EQ(zero_page(s.uffd, s.mem, 0), 0);
	subject_end(&s);
}

static void free_and_touch(struct lab *lab)
{
	poke(lab->mem, 1);
	lab_reach(lab, 1);
	lab_hold(lab, 1);
	EXPECT(!madvise((void *)lab->mem, PAGE_SIZE, MADV_FREE));
	poke(lab->mem, 2);
	lab_reach(lab, 2);
	EXPECT(!madvise((void *)lab->mem, PAGE_SIZE, MADV_FREE));
	EXPECT(!madvise((void *)lab->mem, PAGE_SIZE, MADV_PAGEOUT)); /* reclaims it at once */
	lab_reach(lab, 3);
	lab_hold(lab, 3);
	(void)peek(lab->mem);
}

PROBE(madv_free, "MADV_FREE keeps page and wp bit; if the kernel takes the page the next touch "
		 "is a missing fault")
{
	struct subject s = subject_start(1, FEATURES_RUN, free_and_touch);

	fill_and_protect(&s);
	expect_fault(s.uffd, s.mem, WRITE_WP);
	EXPECT_EQ(protect_page(s.uffd, s.mem, false), 0);
	lab_await(s.lab, 3);
	if (!(pagemap_entry(s.pid, s.mem) & PM_PRESENT)) {
		lab_let(s.lab, 3);
		expect_fault(s.uffd, s.mem, 0);
		EXPECT_EQ(zero_page(s.uffd, s.mem, 0), 0);
	} else {
		lab_let(s.lab, 3);
	}
	subject_end(&s);
}

/* ---- a range that goes away while somebody waits in it ---- */

static void *touch_thread(void *mem)
{
	poke((u64)mem, 1);
	return NULL;
}

static void unmap_under_waiter(struct lab *lab)
{
	pthread_t thread;

	signal(SIGSEGV, SIG_DFL);
	EXPECT(!pthread_create(&thread, NULL, touch_thread, (void *)lab->mem));
	lab_hold(lab, 1);
	EXPECT(!munmap((void *)lab->mem, PAGE_SIZE));
	lab_reach(lab, 2);
	pthread_join(thread, NULL);
}

PROBE(munmap_under_waiter,
      "munmap() under a waiting fault leaves the thread asleep; WAKE of the old range "
      "gives it SIGSEGV")
{
	struct subject s = subject_start(1, FEATURES_RUN, unmap_under_waiter);

	expect_fault(s.uffd, s.mem, WRITE);
	lab_let(s.lab, 1);
	lab_await(s.lab, 2);
	sleep_ms(50);
	EXPECT_EQ(waitpid(s.pid, NULL, WNOHANG), 0);
	EXPECT_EQ(uffd_wake(s.uffd, range_of(s.mem, PAGE_SIZE)), 0);
	EXPECT_EQ(reap(s.pid) & 0x7f, SIGSEGV);
}
