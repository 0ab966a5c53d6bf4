/* SPDX-License-Identifier: MIT */
/*
 * tasks.c - the run's tasks and address spaces: exec, fork, vfork, exit; arming; reading maps.
 *
 * It does what pager/space.c and pager/sc_proc.c do around the model, on the fake machine.
 */
#include <stdlib.h>

#include "sim/swapper.h"
#include "sim/tasks.h"

void sim_without_trouble(struct sim *sim)
{
	alloc_fail_at(0);
	sim->script = (struct sim_script){ 0 };
}

/* Was it the failing allocation that was asked for?  Then the next attempt must not fail. */
void sim_expect_alloc_failure(struct sim *sim)
{
	if (alloc_fail_pending())
		BUG("-ENOMEM, but no allocation has failed");
	sim_without_trouble(sim);
}

struct sim_space *sim_task_space(struct sim *sim, u32 task)
{
	for (u32 n = 0; n < SIM_TASKS; n++) {
		struct sim_space *s = sim->task[(task + n) % SIM_TASKS];

		if (s)
			return s;
	}
	BUG("no task lives");
}

struct sim_space *sim_space_by_id(struct sim *sim, u32 id)
{
	for (u32 n = 0; n < SIM_SPACES; n++) {
		if (sim->space[n] && sim->space[n]->id == id)
			return sim->space[n];
	}
	return NULL;
}

static struct sim_space **free_slot(struct sim_space **slots, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		if (!slots[i])
			return &slots[i];
	}
	return NULL;
}

static struct sim_space *space_create(struct sim *sim, struct mm_struct *mm)
{
	struct sim_space **slot = free_slot(sim->space, SIM_SPACES);
	struct sim_space *s = calloc(1, sizeof(*s));

	BUG_ON(!slot || !s);
	s->sim = sim;
	s->mm = mm;
	s->id = ++sim->next_space_id;
	mm_set_host(mm, s);
	*slot = s;
	return s;
}

void sim_space_put(struct sim_space *s)
{
	struct sim *sim = s->sim;
	struct mm_struct *mm = s->mm;

	if (mm_users(mm) > 1) {
		mm_put(mm);
		return;
	}
	sim_stage_detach(s);
	mm_set_host(mm, NULL);
	mm_put(mm);
	for (u32 i = 0; i < SIM_PAGES; i++)
		sim_pte_clear(sim, &s->page[i]);
	for (u32 n = 0; n < SIM_SPACES; n++) {
		if (sim->space[n] == s)
			sim->space[n] = NULL;
	}
	free(s);
}

/* ---- arming ---- */

/* Fill by the kernel what MAP_POPULATE and VM_LOCKED ask for, before we can see it. */
static void populate_unarmed(struct sim_space *s, struct sim_page *p, bool populate)
{
	bool locked = (p->vm_flags & SIM_LOCKED_MASK) == VM_LOCKED;

	if ((populate || locked) && p->vm_flags & VM_ACCESS_FLAGS)
		sim_kernel_touch(s->sim, p, p->vm_flags & VM_WRITE);
}

void sim_arm_new(struct sim_space *s, struct sim_arm how)
{
	bool quick = how.quick;

	for (u32 i = 0; i < SIM_PAGES; i++) {
		struct sim_page *p = &s->page[i];

		if (!sim_managed(p) || p->armed)
			continue;
		populate_unarmed(s, p, how.populate);
		if (quick && p->vm_flags & VM_ACCESS_FLAGS) {
			sim_kernel_touch(s->sim, p, how.write && p->vm_flags & VM_WRITE);
			quick = false;
		}
		if (sim_hw_ops.arm(s->mm, range_of(sim_addr(i), PAGE_SIZE)))
			BUG("page %u cannot be armed", i);
		if (p->state == SIM_NONE || !how.adopt)
			continue;
		if (mm_adopt_page(s->mm, sim_addr(i), false, p->wp)) {
			sim_expect_alloc_failure(s->sim);
			BUG_ON(mm_adopt_page(s->mm, sim_addr(i), false, p->wp));
		}
	}
}

/* ---- maps ---- */

/* What /proc/PID/maps tells of a page's flags. */
#define SEEN_IN_MAPS                                                                          \
	(VM_READ | VM_WRITE | VM_EXEC | VM_SHARED | VM_MAYSHARE | VM_UNMANAGED | VM_MAYREAD | \
	 VM_MAYWRITE | VM_MAYEXEC)

static bool same_line(const struct sim_page *a, const struct sim_page *b)
{
	return b->mapped && a->file == b->file &&
	       !((a->vm_flags ^ b->vm_flags) & (SEEN_IN_MAPS | VM_GROWSDOWN)) &&
	       (!a->file || b->pgoff == a->pgoff + 1);
}

void sim_reconcile(struct sim_space *s)
{
	struct vma_desc v[SIM_PAGES];
	size_t n = 0;

	for (u32 i = 0; i < SIM_PAGES; i++) {
		const struct sim_page *p = &s->page[i];

		if (!p->mapped)
			continue;
		if (n && v[n - 1].end == sim_addr(i) && same_line(p - 1, p)) {
			v[n - 1].end += PAGE_SIZE;
			continue;
		}
		v[n++] = (struct vma_desc){
			.start = sim_addr(i),
			.end = sim_addr(i + 1),
			.vm_flags = (p->vm_flags & SEEN_IN_MAPS) | (p->vm_flags & VM_GROWSDOWN),
			.pgoff = p->file ? p->pgoff : sim_addr(i) >> PAGE_SHIFT,
			.file = p->file ? s->sim->file[p->file - 1] : NULL,
		};
	}
	if (!mm_reconcile(s->mm, v, n))
		return;
	sim_expect_alloc_failure(s->sim);
	BUG_ON(mm_reconcile(s->mm, v, n));
}

/* ---- exec ---- */

/* A small program: text and data of file 1, bss, stack; the heap is still empty. */
static const struct {
	u8 first, end, file;
	u64 vm_flags;
} image[] = {
	{ 4, 6, 1, VM_READ | VM_EXEC | VM_UNMANAGED },
	{ 6, 8, 1, VM_READ | VM_WRITE | VM_UNMANAGED },
	{ 8, 10, 0, VM_READ | VM_WRITE },
	{ 176, 180, 0, VM_READ | VM_WRITE | VM_GROWSDOWN },
};
#define BRK_PAGE 24

void sim_exec(struct sim *sim, u32 task)
{
	struct sim_space **t = &sim->task[task];
	struct mm_struct *mm;
	struct sim_space *s;

	if ((!*t || mm_users((*t)->mm) > 1) && !free_slot(sim->space, SIM_SPACES))
		return;
	if (*t)
		sim_space_put(*t);
	mm = mm_alloc(sim->world, NULL);
	if (!mm) {
		sim_expect_alloc_failure(sim);
		mm = mm_alloc(sim->world, NULL);
		BUG_ON(!mm);
	}
	s = space_create(sim, mm);
	*t = s;
	s->start_brk = s->brk = sim_addr(BRK_PAGE) + 100;
	mm_set_layout(mm, &(struct mm_layout){ .start_brk = s->brk, .brk = s->brk });
	for (u32 k = 0; k < ARRAY_SIZE(image); k++) {
		for (u32 i = image[k].first; i < image[k].end; i++)
			s->page[i] = (struct sim_page){
				.mapped = true,
				.vm_flags = image[k].vm_flags | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC,
				.file = image[k].file,
				.pgoff = image[k].file ? i : 0,
			};
	}
	sim_reconcile(s);
	sim_arm_new(s, (struct sim_arm){ .adopt = true });
}

/* ---- fork, vfork, exit ---- */

struct protect {
	struct range joined;
	bool join; /* one call over small gaps, as pager/sc_proc.c does */
};

static int protect_run(struct mm_struct *mm, struct range run, void *arg)
{
	struct protect *p = arg;
	struct vma_info v;

	if (p->join && !range_empty(p->joined) && mm_find_vma(mm, p->joined.start, &v) &&
	    run.end <= v.end) {
		p->joined.end = run.end;
		return 0;
	}
	if (!range_empty(p->joined))
		BUG_ON(sim_hw_ops.protect(mm, p->joined, HW_WP));
	p->joined = run;
	return 0;
}

static struct mm_plan *plan_fork(struct sim_space *s, struct mm_struct **child)
{
	struct mm_plan *plan;

	if (!mm_plan_fork(s->mm, &plan, child))
		return plan;
	sim_expect_alloc_failure(s->sim);
	sim_check_space(s);
	mm_world_verify(s->sim->world);
	BUG_ON(mm_plan_fork(s->mm, &plan, child));
	return plan;
}

/* As pager/cow.c: what the kernel then does not copy at once, it does at the first store. */
static void separate(struct sim_space *child, struct sim_space *parent)
{
	struct range run = { 0, 0 };

	while (!range_empty(run = mm_cow_next_shared(child->mm, run.end))) {
		if (mm_cow_separate(child->mm, run))
			continue;
		sim_for_each_page(i, run) {
			if (child->page[i].state != SIM_NONE && sim_random(child->sim, 4))
				sim_kernel_cow(child->sim, &child->page[i]);
		}
	}
	mm_cow_reuse(parent->mm);
}

void sim_fork(struct sim_space *s, struct sim_fork how)
{
	struct sim *sim = s->sim;
	struct sim_space **slot = free_slot(sim->task, SIM_TASKS);
	struct range all = { 0, TASK_SIZE };
	struct protect p = { .join = how.join };
	struct mm_struct *child_mm;
	struct mm_plan *plan;

	if (!slot || !free_slot(sim->space, SIM_SPACES))
		return;
	sim->script = (struct sim_script){ 0 };
	sim_wait_for_commands(s);
	(void)mm_for_each_writable_run(s->mm, all, protect_run, &p);
	if (!range_empty(p.joined))
		BUG_ON(sim_hw_ops.protect(s->mm, p.joined, HW_WP));
	mm_mark_wp(s->mm, all);
	plan = plan_fork(s, &child_mm);
	if (how.fails) { /* the kernel says -EAGAIN: everything stays protected */
		mm_plan_abort(plan);
		return;
	}
	mm_plan_commit(plan, 0);
	*slot = space_create(sim, child_mm);
	sim_sys_fork(s, *slot);
	sim->stats.forks++;
	if (how.eager)
		separate(*slot, s);
	sim_check_space(*slot);
}

void sim_share(struct sim_space *s)
{
	struct sim_space **slot = free_slot(s->sim->task, SIM_TASKS);

	if (!slot)
		return;
	mm_get(s->mm);
	*slot = s;
}

void sim_exit(struct sim *sim, u32 task)
{
	struct sim_space *s = sim->task[task];

	if (!s)
		return;
	sim->task[task] = NULL;
	sim_space_put(s);
}

void sim_exit_all_of(struct sim_space *s)
{
	struct sim *sim = s->sim;

	s->gone = true;
	for (u32 t = 0; t < SIM_TASKS; t++) {
		if (sim->task[t] == s)
			sim_exit(sim, t);
	}
}

/* ---- the run ---- */

struct sim *sim_create(u32 prefetch_max_pages, u32 cow_around)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	struct mm_config config = {
		.hw = &sim_hw_ops,
		.backing = &sim_backing,
		.backing_arg = sim,
		.max_map_count = 65530,
		.stack_guard_gap = SIM_GUARD_GAP,
		.prefetch_max_pages = prefetch_max_pages,
		.cow_around = cow_around,
	};

	BUG_ON(!sim);
	sim_swap_init(sim);
	sim->world = mm_world_create(&config);
	BUG_ON(!sim->world);
	for (u32 i = 0; i < SIM_FILES; i++) {
		sim->file[i] = vm_file_get(sim->world, (struct vm_file_id){ 8, 100 + i }, "file");
		BUG_ON(!sim->file[i]);
	}
	for (u32 i = 0; i < SIM_FRAMES; i++)
		sim->free_frame[i] = SIM_FRAMES - 1 - i;
	sim->nr_free = SIM_FRAMES;
	sim_exec(sim, 0);
	return sim;
}

void sim_destroy(struct sim *sim)
{
	struct mm_world_stats st;

	for (u32 t = 0; t < SIM_TASKS; t++)
		sim_exit(sim, t);
	sim_swap_fini(sim);
	mm_world_verify(sim->world);
	mm_world_stats(sim->world, &st);
	BUG_ON(st.resident || st.zero_ptes || st.swapped);
	BUG_ON(sim->nr_free != SIM_FRAMES);
	for (u32 i = 0; i < SIM_FILES; i++)
		vm_file_put(sim->file[i]);
	mm_world_destroy(sim->world);
	free(sim);
}
