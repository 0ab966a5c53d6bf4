/* SPDX-License-Identifier: MIT */
/*
 * findvma.c - what looking up an address among many mappings costs the model.
 *
 *	findvma VMAS [shuffled]
 *
 * Links the model itself (lib/mm) and is run without upager.  VMAS mappings of one page with a hole
 * behind each, made in order of address as programs do, or shuffled: then neighbours in the tree are
 * strangers in memory, and the caches help least.  Then mm_find_vma() at random addresses of mappings
 * and holes.  Prints ns of CPU time a look-up; choosing the address is part of it.
 */
#include "base/check.h"
#include "bench.h"
#include "mm/mm_api.h"

#define NR_LOOKUPS 2000000
#define BASE       0x100000000UL
#define STRIDE     (2 * PAGE_SIZE)

/* Nothing is ever touched, so the model has nothing to ask of a machine. */
static const struct hw_ops no_machine;

static void map_page(struct mm_struct *mm, u64 addr)
{
	struct mmap_args args = {
		.addr = addr,
		.len = PAGE_SIZE,
		.prot = PROT_READ | PROT_WRITE,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
	};
	struct mm_plan *plan;

	errno = -mm_plan_mmap(mm, &args, &plan);
	if (errno)
		die("mm_plan_mmap");
	mm_plan_commit(plan, addr);
}

static struct mm_struct *fill(struct mm_world *world, u32 nr_vmas, bool shuffle)
{
	struct mm_struct *mm = mm_alloc(world, NULL);
	u32 *order = shuffle ? shuffled(nr_vmas, 1) : NULL;

	if (!mm)
		die("mm_alloc");
	for (u32 i = 0; i < nr_vmas; i++)
		map_page(mm, BASE + (order ? order[i] : i) * STRIDE);
	free(order);
	BUG_ON(mm_map_count(mm) != nr_vmas);
	return mm;
}

int main(int argc, char **argv)
{
	struct mm_config config = {
		.hw = &no_machine,
		.max_map_count = 65530,
		.stack_guard_gap = 256 * PAGE_SIZE,
	};
	u32 nr_vmas = argc > 1 ? (u32)atoi(argv[1]) : 0;
	bool shuffle = argc == 3 && !strcmp(argv[2], "shuffled");
	u64 nr_lookups = scaled(NR_LOOKUPS), seed = 1, nr_found = 0, len, start, end;
	struct mm_world *world;
	struct mm_struct *mm;
	struct vma_info info;

	if (!nr_vmas || nr_vmas > config.max_map_count || argc > 2 + shuffle)
		usage("VMAS [shuffled]");
	world = mm_world_create(&config);
	if (!world)
		die("mm_world_create");
	mm = fill(world, nr_vmas, shuffle);
	len = nr_vmas * STRIDE - PAGE_SIZE;
	start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	for (u64 i = 0; i < nr_lookups; i++) {
		u64 addr = BASE + xorshift(&seed) % len;

		nr_found += mm_find_vma(mm, addr, &info) && info.end > addr;
	}
	end = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	BUG_ON(nr_found != nr_lookups); /* below the end of the last mapping there always is one */
	print_per_op(end - start, nr_lookups);
	mm_put(mm);
	mm_world_destroy(world);
	return 0;
}
