/* SPDX-License-Identifier: MIT */
#include "fake_hw.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "policy/checked.h"

struct fake_hw fake_hw;
struct fake_backing fake_backing;

static int answer(u64 addr, u64 nr_pages, unsigned int flags, u64 *done)
{
	int err = fake_hw.refuse;
	u64 n = err ? u64_min(nr_pages, fake_hw.refuse_after) : nr_pages;

	fake_hw.last_addr = addr;
	fake_hw.last_nr_pages = nr_pages;
	fake_hw.last_flags = flags;
	fake_hw.refuse = 0;
	if (done)
		*done = n;
	return err;
}

static int fake_map_zero(struct mm_struct *mm, u64 addr, u64 nr_pages, unsigned int flags, u64 *done)
{
	fake_hw.nr_map_zero++;
	return answer(addr, nr_pages, flags, done);
}

static int fake_map_copy(struct mm_struct *mm, u64 addr, u64 nr_pages, const void *src,
			 unsigned int flags, u64 *done)
{
	fake_hw.nr_map_copy++;
	fake_hw.last_byte = src ? *(const u8 *)src : 0;
	return answer(addr, nr_pages, flags, done);
}

static int fake_protect(struct mm_struct *mm, struct range r, unsigned int flags)
{
	fake_hw.nr_protect++;
	return answer(r.start, range_len(r) >> PAGE_SHIFT, flags, NULL);
}

static int fake_wake(struct mm_struct *mm, struct range r)
{
	fake_hw.nr_wake++;
	return 0;
}

static int fake_unstage(struct mm_struct *mm, u64 addr, void *stage, u32 index, u32 pfn)
{
	fake_hw.nr_unstage++;
	fake_hw.last_addr = addr;
	fake_hw.last_stage = stage;
	fake_hw.last_index = index;
	fake_hw.last_pfn = pfn;
	return fake_hw.unstage;
}

static int fake_peek(void *stage, u32 index, void *page)
{
	fake_hw.nr_peek++;
	fake_hw.last_stage = stage;
	fake_hw.last_index = index;
	memset(page, fake_hw.peeked, PAGE_SIZE);
	return fake_hw.peek;
}

static void fake_unstage_drop(void *stage, u32 index, u32 pfn)
{
	fake_hw.nr_unstage_drop++;
	fake_hw.last_stage = stage;
	fake_hw.last_index = index;
	fake_hw.last_pfn = pfn;
}

const struct hw_ops fake_hw_ops = {
	.map_zero = fake_map_zero,
	.map_copy = fake_map_copy,
	.protect = fake_protect,
	.wake = fake_wake,
	.unstage = fake_unstage,
	.peek = fake_peek,
	.unstage_drop = fake_unstage_drop,
};

static int fake_read(void *arg, u32 slot, const void **page)
{
	static u8 bytes[PAGE_SIZE];

	fake_backing.nr_read++;
	fake_backing.last_slot = slot;
	memset(bytes, fake_backing.byte, PAGE_SIZE);
	*page = bytes;
	return fake_backing.read;
}

static int fake_read_now(void *arg, u32 slot, void *page)
{
	bool fails = fake_backing.nr_read_now++ >= fake_backing.after;

	fake_backing.last_slot = slot;
	memset(page, fake_backing.byte, PAGE_SIZE);
	return fails ? fake_backing.read_now : 0;
}

static void fake_drop(void *arg, u32 slot)
{
	fake_backing.nr_drop++;
	fake_backing.last_slot = slot;
}

static bool fake_is_tight(void *arg)
{
	return fake_backing.tight;
}

static void fake_prefetched(void *arg, struct mm_struct *mm, u64 addr, bool used)
{
	if (used)
		fake_backing.nr_used++;
	else
		fake_backing.nr_left++;
	fake_backing.last_told = addr;
}

const struct backing_ops fake_backing_ops = {
	.read = fake_read,
	.read_now = fake_read_now,
	.drop = fake_drop,
	.is_tight = fake_is_tight,
	.prefetched = fake_prefetched,
};

struct mm_world *fake_world_with(u32 prefetch_max_pages)
{
	struct mm_config config = {
		.hw = &fake_hw_ops,
		.backing = &fake_backing_ops,
		.max_map_count = 65530,
		.stack_guard_gap = 256 * PAGE_SIZE,
		.prefetch_max_pages = prefetch_max_pages,
	};

	fake_hw = (struct fake_hw){ 0 };
	fake_backing = (struct fake_backing){ 0 };
	return mm_world_create(&config);
}

struct mm_world *fake_world(void)
{
	return fake_world_with(1);
}

struct mm_struct *fake_mm(void)
{
	struct mm_world *world = fake_world();
	struct mm_struct *mm;

	BUG_ON(!world);
	mm = mm_alloc(world, NULL);
	BUG_ON(!mm);
	return mm;
}

void fake_mm_destroy(struct mm_struct *mm)
{
	struct mm_world *world = mm->world;

	mm_world_verify(world);
	mm_put(mm);
	mm_world_destroy(world);
}

void fake_budget(struct mm_world *world, u64 pages, const char *name)
{
	const struct reclaim_ops *ops = reclaim_policy_find(name);
	char err[128];
	void *policy, *checked;

	BUG_ON(!ops);
	policy = ops->init(NULL, 0, pages, err, sizeof(err));
	BUG_ON(!policy);
	checked = checked_new(ops, policy, CHECKED_BUG);
	BUG_ON(!checked);
	mm_set_policy(world, &checked_ops, checked);
	mm_set_budget(world, pages);
}

void do_mmap(struct mm_struct *mm, u64 addr, u64 pages, int prot)
{
	struct mmap_args a = {
		.addr = addr,
		.len = pages << PAGE_SHIFT,
		.prot = prot,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};
	struct mm_plan *plan;

	BUG_ON(mm_plan_mmap(mm, &a, &plan));
	mm_plan_commit(plan, addr);
	mm_verify(mm);
}

void do_unmap(struct mm_struct *mm, u64 addr, u64 pages)
{
	struct mm_plan *plan;

	BUG_ON(mm_plan_munmap(mm, addr, pages << PAGE_SHIFT, &plan));
	mm_plan_commit(plan, 0);
	mm_verify(mm);
}

void do_protect(struct mm_struct *mm, u64 addr, u64 pages, int prot)
{
	struct mm_plan *plan;

	BUG_ON(mm_plan_mprotect(mm, addr, pages << PAGE_SHIFT, prot, &plan));
	mm_plan_commit(plan, 0);
	mm_verify(mm);
}

void do_madvise(struct mm_struct *mm, u64 addr, u64 pages, int advice)
{
	struct mm_plan *plan;

	BUG_ON(mm_plan_madvise(mm, addr, pages << PAGE_SHIFT, advice, &plan));
	mm_plan_commit(plan, 0);
	mm_verify(mm);
}

struct mm_struct *do_fork(struct mm_struct *mm)
{
	struct mm_struct *child;
	struct mm_plan *plan;

	mm_mark_wp(mm, (struct range){ 0, TASK_SIZE });
	BUG_ON(mm_plan_fork(mm, &plan, &child));
	mm_plan_commit(plan, 0);
	mm_world_verify(mm->world);
	return child;
}

enum fault_result touch_read(struct mm_struct *mm, u64 addr)
{
	struct vm_fault vmf = { .address = addr };

	return mm_handle_fault(mm, &vmf);
}

enum fault_result touch_write(struct mm_struct *mm, u64 addr)
{
	struct vm_fault vmf = { .address = addr, .flags = FAULT_FLAG_WRITE };
	struct pte_info info;

	mm_lookup_pte(mm, addr, &info);
	if (info.state != PTE_NONE)
		vmf.flags |= FAULT_FLAG_WP;
	return mm_handle_fault(mm, &vmf);
}

char *dump_text(const struct mm_world *world)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);

	BUG_ON(!f);
	mm_world_dump(world, f);
	fclose(f);
	return text;
}
