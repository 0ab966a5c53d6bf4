/* SPDX-License-Identifier: MIT */
/*
 * The model against the kernel that runs this test: each call is made natively in an arena of a few pages
 * and in the model, and then /proc/self/maps must show exactly the model's vmas, pagemap its pages, and
 * the call's errno must be the one that the plan named.
 *
 * Exact borders need a kernel with the anon_vma rule of 6.16 (vma_merge.c); on older ones both sides are
 * merged where protection and presence agree before they are compared.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define R PROT_READ
#define RW (PROT_READ | PROT_WRITE)
#define ARENA 0x510000000000UL
#define ARENA_PAGES 48
#define AT(page) (ARENA + (u64)(page) * P)

struct region {
	u64 start, end;
	int prot;
};

struct layout {
	int nr;
	struct region r[ARENA_PAGES + 1];
};

static bool exact; /* the kernel's merge rule is ours */
static int pagemap = -1;
static int stride = 1; /* of all small worlds, take each n-th (UPAGER_TEST_STRIDE) */

static int setup(void **state)
{
	struct utsname u;
	int major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%d.%d", &major, &minor);
	if (getenv("UPAGER_TEST_STRIDE"))
		stride = atoi(getenv("UPAGER_TEST_STRIDE"));
	exact = major > 6 || (major == 6 && minor >= 16);
	print_message("Linux %d.%d, borders compared %s, every %d. small world\n", major, minor,
		      exact ? "exactly" : "after merging", stride);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	return pagemap < 0 ? -1 : 0;
}

static void add_region(struct layout *l, u64 start, u64 end, int prot)
{
	struct region *last = l->nr ? &l->r[l->nr - 1] : NULL;

	if (!exact && last && last->end == start && last->prot == prot) {
		last->end = end;
		return;
	}
	l->r[l->nr++] = (struct region){ start, end, prot };
}

static void read_native(struct layout *l)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512], perms[5];
	u64 start, end;

	l->nr = 0;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &start, &end, perms) != 3 ||
		    start < ARENA || start >= AT(ARENA_PAGES))
			continue;
		add_region(l, start, end,
			   (perms[0] == 'r' ? PROT_READ : 0) | (perms[1] == 'w' ? PROT_WRITE : 0) |
			   (perms[2] == 'x' ? PROT_EXEC : 0));
	}
	fclose(f);
}

static void read_model(struct mm_struct *mm, struct layout *l)
{
	struct vm_area_struct *vma;

	l->nr = 0;
	for (vma = mm->mmap; vma; vma = vma->vm_next)
		add_region(l, vma->vm_start, vma->vm_end, vm_get_page_prot(vma->vm_flags));
}

static char *layout_text(const struct layout *l, char *text)
{
	char *p = text;

	for (int i = 0; i < l->nr; i++)
		p += sprintf(p, " %d-%d:%d", (int)((l->r[i].start - ARENA) / P),
			     (int)((l->r[i].end - ARENA) / P), l->r[i].prot);
	*p = 0;
	return text;
}

/* What is under test, for the message when it fails. */
static char story[4096];

static void compare_layouts(const struct layout *native, const struct layout *model)
{
	char a[2048], b[2048];

	if (strcmp(layout_text(native, a), layout_text(model, b)))
		fail_msg("after %s\n  kernel:%s\n  model: %s", story, a, b);
}

static void compare(struct mm_struct *mm)
{
	struct layout native, model;

	read_native(&native);
	read_model(mm, &model);
	compare_layouts(&native, &model);
}

/* ---- one call on both sides ---- */

enum op {
	OP_MUNMAP, OP_MMAP_RW, OP_MMAP_R, OP_PROT_NONE, OP_PROT_R, OP_PROT_RW, OP_DONTFORK, OP_DOFORK,
	OP_DONTNEED, OP_MLOCK, OP_MUNLOCK, OP_SEQUENTIAL, OP_MREMAP_FIXED, OP_MREMAP_RESIZE,
	OP_MREMAP_DONTUNMAP, NR_OPS,
};

static const char *const op_names[NR_OPS] = {
	"munmap", "mmap rw", "mmap r", "mprotect none", "mprotect r", "mprotect rw", "dontfork",
	"dofork", "dontneed", "mlock", "munlock", "sequential", "mremap fixed", "mremap resize",
	"mremap dontunmap",
};

/* Pages; `to` and `new_nr` for mremap only. */
struct call {
	enum op op;
	u64 from, nr, to, new_nr;
};

static u64 native_call(const struct call *c)
{
	void *addr = (void *)AT(c->from);
	u64 len = c->nr * P;
	int map = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	switch (c->op) {
	case OP_MUNMAP:
		return munmap(addr, len);
	case OP_MMAP_RW:
		return (u64)mmap(addr, len, RW, map, -1, 0);
	case OP_MMAP_R:
		return (u64)mmap(addr, len, R, map, -1, 0);
	case OP_PROT_NONE:
		return mprotect(addr, len, PROT_NONE);
	case OP_PROT_R:
		return mprotect(addr, len, R);
	case OP_PROT_RW:
		return mprotect(addr, len, RW);
	case OP_DONTFORK:
		return madvise(addr, len, MADV_DONTFORK);
	case OP_DOFORK:
		return madvise(addr, len, MADV_DOFORK);
	case OP_DONTNEED:
		return madvise(addr, len, MADV_DONTNEED);
	case OP_SEQUENTIAL:
		return madvise(addr, len, MADV_SEQUENTIAL);
	case OP_MLOCK: /* not through libc: ASan makes it a no-op */
		return syscall(SYS_mlock, addr, len);
	case OP_MUNLOCK:
		return syscall(SYS_munlock, addr, len);
	case OP_MREMAP_FIXED:
		return (u64)mremap(addr, len, c->new_nr * P, MREMAP_MAYMOVE | MREMAP_FIXED,
				   (void *)AT(c->to));
	case OP_MREMAP_RESIZE:
		return (u64)mremap(addr, len, c->new_nr * P, 0);
	case OP_MREMAP_DONTUNMAP:
		return (u64)mremap(addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | 4,
				   (void *)AT(c->to));
	case NR_OPS:
		break;
	}
	fail_msg("op %d", c->op);
	return 0;
}

static int model_plan(struct mm_struct *mm, const struct call *c, struct mm_plan **plan)
{
	u64 addr = AT(c->from), len = c->nr * P;
	struct mmap_args a = {
		.addr = addr, .len = len, .prot = c->op == OP_MMAP_R ? R : RW,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};

	switch (c->op) {
	case OP_MUNMAP:
		return mm_plan_munmap(mm, addr, len, plan);
	case OP_MMAP_RW:
	case OP_MMAP_R:
		return mm_plan_mmap(mm, &a, plan);
	case OP_PROT_NONE:
		return mm_plan_mprotect(mm, addr, len, PROT_NONE, plan);
	case OP_PROT_R:
		return mm_plan_mprotect(mm, addr, len, R, plan);
	case OP_PROT_RW:
		return mm_plan_mprotect(mm, addr, len, RW, plan);
	case OP_DONTFORK:
		return mm_plan_madvise(mm, addr, len, MADV_DONTFORK, plan);
	case OP_DOFORK:
		return mm_plan_madvise(mm, addr, len, MADV_DOFORK, plan);
	case OP_DONTNEED:
		return mm_plan_madvise(mm, addr, len, MADV_DONTNEED, plan);
	case OP_SEQUENTIAL:
		return mm_plan_madvise(mm, addr, len, MADV_SEQUENTIAL, plan);
	case OP_MLOCK:
		return mm_plan_mlock(mm, addr, len, 0, plan);
	case OP_MUNLOCK:
		return mm_plan_munlock(mm, addr, len, plan);
	case OP_MREMAP_FIXED:
		return mm_plan_mremap(mm, addr, len, c->new_nr * P, MREMAP_MAYMOVE | MREMAP_FIXED,
				      AT(c->to), plan);
	case OP_MREMAP_RESIZE:
		return mm_plan_mremap(mm, addr, len, c->new_nr * P, 0, 0, plan);
	case OP_MREMAP_DONTUNMAP:
		return mm_plan_mremap(mm, addr, len, len, MREMAP_MAYMOVE | MREMAP_FIXED | 4,
				      AT(c->to), plan);
	case NR_OPS:
		break;
	}
	fail_msg("op %d", c->op);
	return 0;
}

static bool op_is_mremap(enum op op)
{
	return op >= OP_MREMAP_FIXED;
}

/* The native result (0 or a negative errno, else an address) told to the model, as the pager does. */
static void model_call(struct mm_struct *mm, const struct call *c, int native_err, u64 native_result)
{
	struct mm_plan *plan;
	int err = model_plan(mm, c, &plan);

	if (err) {
		if (err != native_err)
			fail_msg("%s: the kernel says %d, the plan %d", story, native_err, err);
		return;
	}
	if (native_err && native_err != mm_plan_expects(plan)) {
		/* What only the kernel knows: that a move is impossible, or that a vma is in the way. */
		if (!op_is_mremap(c->op) || (native_err != -ENOMEM && native_err != -EFAULT))
			fail_msg("%s: the kernel says %d, the plan expects %d", story, native_err,
				 mm_plan_expects(plan));
		mm_plan_abort(plan);
		return;
	}
	if (!native_err && mm_plan_expects(plan))
		fail_msg("%s: the kernel succeeds, the plan expects %d", story,
			 mm_plan_expects(plan));
	mm_plan_commit(plan, native_err ? (u64)native_err : native_result);
}

static void both_call(struct mm_struct *mm, const struct call *c)
{
	u64 result;
	int err = 0;

	snprintf(story + strlen(story), sizeof(story) - strlen(story), "\n  %s %d+%d to %d+%d",
		 op_names[c->op], (int)c->from, (int)c->nr, (int)c->to, (int)c->new_nr);
	errno = 0;
	result = native_call(c);
	if (result == UINT64_MAX || (int)result == -1)
		err = -errno;
	model_call(mm, c, err, result);
}

static void both_touch(struct mm_struct *mm, u64 page)
{
	*(volatile char *)AT(page) = 1;
	touch_write(mm, AT(page));
}

/* ---- exhaustive small worlds: three vmas of two pages, each of every kind ---- */

enum kind { NONE, READ_ONLY, WRITABLE, TOUCHED, TOUCHED_OWN, WAS_TOUCHED, NR_KINDS };

static u64 slot_page(int slot)
{
	return 1 + 2 * slot;
}

/*
 *   page   0  1  2  3  4  5  6  7
 *             |slot0|slot1|slot2|
 *
 * Slots of like kind come to life as one vma; TOUCHED_OWN is touched while it is set apart by a flag, so
 * that it has an anon_vma of its own.
 */
static void build(struct mm_struct *mm, const enum kind kind[3])
{
	story[0] = 0;
	for (int s = 0; s < 3; s++) {
		if (kind[s] == NONE)
			continue;
		both_call(mm, &(struct call){ kind[s] == READ_ONLY ? OP_MMAP_R : OP_MMAP_RW,
					      slot_page(s), 2, 0, 0 });
		if (kind[s] == TOUCHED_OWN)
			both_call(mm, &(struct call){ OP_DONTFORK, slot_page(s), 2, 0, 0 });
	}
	for (int s = 0; s < 3; s++) {
		if (kind[s] >= TOUCHED)
			both_touch(mm, slot_page(s) + 1);
	}
	for (int s = 0; s < 3; s++) {
		if (kind[s] == TOUCHED_OWN)
			both_call(mm, &(struct call){ OP_DOFORK, slot_page(s), 2, 0, 0 });
		if (kind[s] == WAS_TOUCHED)
			both_call(mm, &(struct call){ OP_PROT_R, slot_page(s), 2, 0, 0 });
	}
}

static void clear_arena(struct mm_struct *mm)
{
	struct call all = { OP_MUNMAP, 0, ARENA_PAGES, 0, 0 };

	both_call(mm, &all);
	assert_int_equal(mm_map_count(mm), 0);
}

static void for_each_world(void (*fn)(struct mm_struct *mm, const enum kind kind[3]))
{
	for (int w = 0; w < NR_KINDS * NR_KINDS * NR_KINDS; w += stride) {
		enum kind kind[3] = { w % NR_KINDS, w / NR_KINDS % NR_KINDS,
				      w / NR_KINDS / NR_KINDS };
		struct mm_struct *mm = fake_mm();

		fn(mm, kind);
		fake_mm_destroy(mm);
	}
}

static void every_range_every_op(struct mm_struct *mm, const enum kind kind[3])
{
	static const enum op ops[] = {
		OP_MUNMAP, OP_MMAP_RW, OP_MMAP_R, OP_PROT_NONE, OP_PROT_R, OP_PROT_RW, OP_DONTFORK,
		OP_DONTNEED,
	};

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		for (u64 from = 0; from < 8; from++) {
			for (u64 nr = 1; from + nr <= 8; nr++) {
				build(mm, kind);
				both_call(mm, &(struct call){ ops[i], from, nr, 0, 0 });
				compare(mm);
				mm_verify(mm);
				clear_arena(mm);
			}
		}
	}
}

static void test_three_vmas_every_range_every_call_equals_kernel(void **state)
{
	for_each_world(every_range_every_op);
}

/* Moves of one or two slots to each place above, below and in between, and every resize. */
static void every_mremap(struct mm_struct *mm, const enum kind kind[3])
{
	for (u64 from = 1; from < 7; from++) {
		for (u64 nr = 1; nr <= 4; nr++) {
			for (u64 new_nr = 1; new_nr <= 4; new_nr++) {
				build(mm, kind);
				both_call(mm, &(struct call){ OP_MREMAP_RESIZE, from, nr, 0, new_nr });
				compare(mm);
				clear_arena(mm);
			}
			for (u64 to = 0; to < 10; to += 3) {
				build(mm, kind);
				both_call(mm, &(struct call){ OP_MREMAP_FIXED, from, nr, to, nr });
				compare(mm);
				mm_verify(mm);
				both_call(mm, &(struct call){ OP_MREMAP_FIXED, to, nr, from, nr });
				compare(mm);
				mm_verify(mm);
				clear_arena(mm);
			}
		}
	}
}

static void test_three_vmas_every_mremap_equals_kernel(void **state)
{
	for_each_world(every_mremap);
}

/* ---- after fork: chains of more than one anon_vma ---- */

/* In the native child: make the call, send what it said and the layout. */
static void child_side(const struct call *c, int fd)
{
	struct {
		u64 result;
		int err;
		struct layout l;
	} answer = { 0 };

	errno = 0;
	answer.result = native_call(c);
	if (answer.result == UINT64_MAX || (int)answer.result == -1)
		answer.err = -errno;
	read_native(&answer.l);
	if (write(fd, &answer, sizeof(answer)) != sizeof(answer))
		_exit(1);
	_exit(0);
}

static void call_in_child(struct mm_struct *mm, const struct call *c)
{
	struct {
		u64 result;
		int err;
		struct layout l;
	} answer;
	struct layout model;
	struct mm_struct *child = do_fork(mm);
	int fds[2], status;
	pid_t pid;

	snprintf(story + strlen(story), sizeof(story) - strlen(story),
		 "\n  fork, then in the child: %s %d+%d", op_names[c->op], (int)c->from, (int)c->nr);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		child_side(c, fds[1]);
	assert_int_equal(read(fds[0], &answer, sizeof(answer)), sizeof(answer));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[0]);
	close(fds[1]);
	model_call(child, c, answer.err, answer.result);
	read_model(child, &model);
	compare_layouts(&answer.l, &model);
	mm_world_verify(mm->world);
	mm_put(child);
}

static void some_calls_in_child(struct mm_struct *mm, const enum kind kind[3])
{
	static const enum op ops[] = { OP_MMAP_RW, OP_PROT_R, OP_PROT_RW };
	static const u64 from_nr[][2] = {
		{ 0, 1 }, { 3, 2 }, { 5, 2 }, { 1, 4 },
	};

	if (kind[0] < TOUCHED && kind[1] < TOUCHED && kind[2] < TOUCHED)
		return; /* nothing to inherit */
	build(mm, kind);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		for (size_t r = 0; r < ARRAY_SIZE(from_nr); r++) {
			size_t end = strlen(story);

			call_in_child(mm, &(struct call){ ops[i], from_nr[r][0], from_nr[r][1],
							  0, 0 });
			story[end] = 0;
		}
	}
	clear_arena(mm);
}

static void test_three_vmas_calls_in_forked_child_equal_kernel(void **state)
{
	for_each_world(some_calls_in_child);
}

/* ---- a long random stream, with the pages compared as well ---- */

/* A present page that is nobody's alone is the zero page: nothing here is shared. */
static enum pte_state native_state(u64 page)
{
	u64 entry;

	assert_int_equal(pread(pagemap, &entry, 8, AT(page) / P * 8), 8);
	if (entry >> 62 == 0) /* neither present nor in the host's swap */
		return PTE_NONE;
	return entry >> 62 & 1 || entry >> 56 & 1 ? PTE_PRESENT : PTE_ZERO;
}

static enum pte_state model_state(struct mm_struct *mm, u64 page)
{
	struct pte_info info;

	mm_lookup_pte(mm, AT(page), &info);
	return info.state;
}

/* mlock and the growth of what is locked fill pages inside the call: the pager would see faults. */
static void fill_locked(struct mm_struct *mm, u64 page, enum pte_state native)
{
	struct vm_area_struct *vma = vma_lookup(mm, AT(page));
	enum pte_state model = model_state(mm, page);

	if (!vma || !(vma->vm_flags & VM_LOCKED) || native == model)
		return;
	if (native == PTE_PRESENT)
		touch_write(mm, AT(page));
	else if (model == PTE_NONE)
		touch_read(mm, AT(page));
}

static void compare_pages(struct mm_struct *mm)
{
	for (u64 page = 0; page < ARENA_PAGES; page++) {
		enum pte_state native = native_state(page);

		fill_locked(mm, page, native);
		if (native != model_state(mm, page))
			fail_msg("after %s\n  page %d: state in the kernel %d, in the model %d", story,
				 (int)page, native, model_state(mm, page));
	}
}

static void random_touch(struct mm_struct *mm, u64 *seed)
{
	u64 page = next_random(seed, ARENA_PAGES);
	struct vm_area_struct *vma = vma_lookup(mm, AT(page));

	if (!vma)
		return;
	if (vma->vm_flags & VM_WRITE) {
		both_touch(mm, page);
	} else if (vma->vm_flags & VM_READ && model_state(mm, page) == PTE_NONE) {
		(void)*(volatile char *)AT(page);
		touch_read(mm, AT(page));
	}
}

/*
 * mprotect that makes locked memory writable fills each vma before it looks at the next, which decides
 * whose anon_vma they get; the pager sees those pages as faults, this test cannot.
 */
static bool fills_inside_call(struct mm_struct *mm, const struct call *c)
{
	struct vm_area_struct *vma = find_vma_intersection(mm, AT(c->from), AT(c->from + c->nr));

	for (; vma && vma->vm_start < AT(c->from + c->nr); vma = vma->vm_next) {
		if (c->op == OP_PROT_RW && (vma->vm_flags & (VM_LOCKED | VM_WRITE)) == VM_LOCKED)
			return true;
	}
	return false;
}

static void test_random_stream_equals_kernel(void **state)
{
	enum { SEEDS = 150, STEPS = 200 };

	for (u64 s = 1; s <= SEEDS; s++) {
		struct mm_struct *mm = fake_mm();
		u64 seed = s;

		for (int step = 0; step < STEPS; step++) {
			struct call c = {
				.op = next_random(&seed, NR_OPS),
				.from = next_random(&seed, ARENA_PAGES - 9),
				.nr = 1 + next_random(&seed, 8),
				.to = next_random(&seed, ARENA_PAGES - 9),
				.new_nr = 1 + next_random(&seed, 8),
			};

			snprintf(story, sizeof(story), "seed %d step %d:", (int)s, step);
			if (fills_inside_call(mm, &c))
				continue;
			both_call(mm, &c);
			for (int i = 0; i < 3; i++)
				random_touch(mm, &seed);
			compare(mm);
			compare_pages(mm);
			mm_verify(mm);
		}
		clear_arena(mm);
		fake_mm_destroy(mm);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_three_vmas_every_range_every_call_equals_kernel),
		cmocka_unit_test(test_three_vmas_every_mremap_equals_kernel),
		cmocka_unit_test(test_three_vmas_calls_in_forked_child_equal_kernel),
		cmocka_unit_test(test_random_stream_equals_kernel),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
