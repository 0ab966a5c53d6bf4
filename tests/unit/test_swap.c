/* SPDX-License-Identifier: MIT */
/* slots: who counts them, when they go, how their table grows; and that I10 sees each kind of damage. */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_hw.h"
#include "unit.h"

#define P PAGE_SIZE
#define RW (PROT_READ | PROT_WRITE)
#define BASE 0x10000000UL
#define MANY 3000u /* more than two steps of the table */

static u32 count_of(const struct mm_world *w, swp_entry_t entry)
{
	return swap_slot(w, entry)->count;
}

/* A world that hears of keys, as with a budget. */
static struct mm_world *world_with_policy(void)
{
	struct mm_world *w = fake_world();

	fake_budget(w, 64, "fifo");
	return w;
}

static void test_alloc_gives_lowest_free_slot_with_count_one(void **state)
{
	struct mm_world *w = world_with_policy();
	swp_entry_t a = swap_alloc(w), b = swap_alloc(w);

	assert_int_equal(a.val, 1);
	assert_int_equal(b.val, 2);
	assert_int_equal(count_of(w, a), 1);
	assert_null(swap_cache_lookup(w, a));
	assert_int_equal(w->swap.nr_used, 2);
	swap_free(w, a);
	assert_int_equal(swap_alloc(w).val, a.val);
	assert_int_equal(w->swap.nr_used_max, 2);
	swap_free(w, a);
	swap_free(w, b);
	mm_world_verify(w);
	mm_world_destroy(w);
}

static void test_duplicate_counts_and_last_free_tells_backing_once(void **state)
{
	struct mm_world *w = world_with_policy();
	swp_entry_t e = swap_alloc(w);

	swap_duplicate(w, e);
	swap_duplicate(w, e);
	assert_int_equal(count_of(w, e), 3);
	swap_free(w, e);
	swap_free(w, e);
	assert_int_equal(fake_backing.nr_drop, 0);
	assert_int_equal(w->swap.nr_used, 1);
	swap_free(w, e);
	assert_int_equal(fake_backing.nr_drop, 1);
	assert_int_equal(fake_backing.last_slot, e.val);
	assert_int_equal(count_of(w, e), 0);
	assert_int_equal(w->swap.nr_used, 0);
	mm_world_verify(w);
	mm_world_destroy(w);
}

/* a frame names its slot: the count is the frame's, and goes with it */
static void test_cache_takes_over_count_and_frees_it_with_frame(void **state)
{
	struct mm_world *w = world_with_policy();
	swp_entry_t e = swap_alloc(w);
	struct frame *frame;

	assert_int_equal(frame_reserve(w, 0, 1), 0);
	frame = frame_alloc(w, 0);
	swap_cache_add(w, frame, e);
	assert_ptr_equal(swap_cache_lookup(w, e), frame);
	assert_int_equal(frame->slot, e.val);
	assert_int_equal(count_of(w, e), 1);
	mm_world_verify(w);
	frame_put(w, frame);
	assert_int_equal(w->swap.nr_used, 0);
	assert_int_equal(fake_backing.nr_drop, 1);
	mm_world_destroy(w);
}

static void test_cache_del_leaves_slot_to_its_ptes(void **state)
{
	struct mm_world *w = world_with_policy();
	swp_entry_t e = swap_alloc(w);
	struct frame *frame;

	assert_int_equal(frame_reserve(w, 0, 1), 0);
	frame = frame_alloc(w, 0);
	swap_duplicate(w, e); /* as a pte's */
	swap_cache_add(w, frame, e);
	swap_cache_del(w, frame);
	assert_null(swap_cache_lookup(w, e));
	assert_int_equal(frame->slot, 0);
	assert_int_equal(count_of(w, e), 1);
	assert_int_equal(fake_backing.nr_drop, 0);
	swap_cache_del(w, frame); /* it names none: nothing happens */
	assert_int_equal(count_of(w, e), 1);
	frame_put(w, frame);
	swap_free(w, e);
	mm_world_destroy(w);
}

static void test_table_grows_and_no_slot_is_given_twice(void **state)
{
	struct mm_world *w = world_with_policy();
	static bool seen[2 * MANY];
	swp_entry_t e[MANY];

	memset(seen, 0, sizeof(seen));
	for (u32 i = 0; i < MANY; i++) {
		e[i] = swap_alloc(w);
		assert_true(e[i].val > 0 && e[i].val < ARRAY_SIZE(seen));
		assert_false(seen[e[i].val]);
		seen[e[i].val] = true;
	}
	assert_int_equal(w->swap.nr_used, MANY);
	for (u32 i = 0; i < MANY; i += 2)
		swap_free(w, e[i]);
	for (u32 i = 0; i < MANY; i += 2)
		assert_true(swap_alloc(w).val <= MANY); /* freed ones first */
	for (u32 i = 0; i < MANY; i++)
		swap_free(w, e[i]);
	assert_int_equal(w->swap.nr_used, 0);
	assert_int_equal(w->swap.nr_used_max, MANY);
	mm_world_verify(w);
	mm_world_destroy(w);
}

/* the nth allocation of each run fails: the table is then as before, and the next attempt succeeds */
static void test_alloc_at_each_growth_without_memory_changes_nothing(void **state)
{
	struct mm_world *w = world_with_policy();
	u32 nr_failed = 0;

	for (u32 i = 0; i < MANY; i++) {
		u32 nr_slots = w->swap.nr_slots;
		swp_entry_t e;

		alloc_fail_at(1);
		e = swap_alloc(w);
		if (alloc_fail_pending()) { /* it needed none */
			alloc_fail_at(0);
			assert_int_not_equal(e.val, 0);
			continue;
		}
		nr_failed++;
		assert_int_equal(e.val, 0);
		assert_int_equal(w->swap.nr_used, i);
		assert_int_equal(w->swap.nr_slots, nr_slots);
		assert_int_not_equal(swap_alloc(w).val, 0);
	}
	assert_int_equal(nr_failed, 3); /* from none to 1024, 2048, 4096 */
	for (u32 i = 1; i <= MANY; i++)
		swap_free(w, (swp_entry_t){ i });
	mm_world_verify(w);
	mm_world_destroy(w);
}

/* ---- I10, I11, I12: each kind of damage is seen ---- */

/* page 0 is out, page 1 in staging, page 2 came back and its slot is kept, page 3 never left */
static struct mm_struct *sound_world(void)
{
	struct mm_struct *mm = fake_mm();
	struct victim v;

	fake_budget(mm->world, 16, "fifo");
	do_mmap(mm, BASE, 4, RW);
	for (u64 i = 0; i < 3; i++) {
		BUG_ON(touch_write(mm, BASE + i * P) != FAULT_RESOLVED);
		BUG_ON(mm_isolate(mm->world, true, NULL, NULL, &v));
		BUG_ON(!mm_stage(mm->world, v.pfn, mm, i));
		if (i != 1)
			mm_evicted(mm->world, v.pfn, false);
	}
	BUG_ON(touch_read(mm, BASE + 2 * P) != FAULT_RESOLVED);
	BUG_ON(touch_write(mm, BASE + 3 * P) != FAULT_RESOLVED);
	mm_world_verify(mm->world);
	return mm;
}

static swp_entry_t entry_at(struct mm_struct *mm, u64 page)
{
	pte_t pte = pte_lookup(mm, BASE + page * P);

	BUG_ON(!pte_swap(pte));
	return pte_to_swp_entry(pte);
}

static struct frame *frame_at(struct mm_struct *mm, u64 page)
{
	pte_t pte = pte_lookup(mm, BASE + page * P);

	return pte_swap(pte) ? swap_cache_lookup(mm->world, pte_to_swp_entry(pte)) :
			       pfn_to_frame(mm->world, pte_pfn(pte));
}

static void break_count_up(struct mm_struct *mm)
{
	swap_slot(mm->world, entry_at(mm, 0))->count++;
}

static void break_count_down(struct mm_struct *mm)
{
	swap_slot(mm->world, entry_at(mm, 1))->count--;
}

static void break_kept_slot_count(struct mm_struct *mm)
{
	swap_slot(mm->world, (swp_entry_t){ frame_at(mm, 2)->slot })->count++;
}

static void break_pte_gone(struct mm_struct *mm)
{
	pte_set(mm, pte_offset(mm, BASE), (pte_t){ 0 });
}

static void break_pte_of_free_slot(struct mm_struct *mm)
{
	pte_set(mm, pte_offset(mm, BASE), swp_entry_to_pte((swp_entry_t){ 9 }));
}

static void break_cache_forgets_frame(struct mm_struct *mm)
{
	struct swap_slot *slot = swap_slot(mm->world, entry_at(mm, 1));

	slot->pfn = PFN_NONE;
	slot->count--;
}

static void break_frame_forgets_slot(struct mm_struct *mm)
{
	frame_at(mm, 1)->slot = 0;
}

static void break_free_list(struct mm_struct *mm)
{
	mm->world->swap.free = mm->world->swap.slot[mm->world->swap.free].pfn;
}

static void break_used_on_free_list(struct mm_struct *mm)
{
	struct swap_info *si = &mm->world->swap;

	si->slot[si->free].pfn = entry_at(mm, 0).val;
}

static void break_nr_used(struct mm_struct *mm)
{
	mm->world->swap.nr_used++;
}

static void break_nr_swap_ptes(struct mm_struct *mm)
{
	mm->nr_swap_ptes++;
}

static void break_not_listed(struct mm_struct *mm)
{
	frame_at(mm, 3)->flags &= ~FRAME_LISTED;
	mm->world->reclaim.nr_listed--;
}

static void break_nr_listed(struct mm_struct *mm)
{
	mm->world->reclaim.nr_listed++;
}

static void break_staged_listed(struct mm_struct *mm)
{
	frame_at(mm, 1)->flags |= FRAME_LISTED;
	mm->world->reclaim.nr_listed++;
}

static void break_resident_on_probation(struct mm_struct *mm)
{
	frame_at(mm, 3)->flags |= FRAME_PROBATION;
}

static void break_staged_refs(struct mm_struct *mm)
{
	frame_at(mm, 1)->refcount++;
}

static void break_pinned_unlocked(struct mm_struct *mm)
{
	struct frame *frame = frame_at(mm, 3);

	frame->state = FRAME_PINNED;
	frame->flags &= ~FRAME_LISTED;
	mm->world->reclaim.nr_listed--;
}

static void break_mapped_frame_with_shared_slot(struct mm_struct *mm)
{
	swp_entry_t old = entry_at(mm, 0), kept = { frame_at(mm, 2)->slot };

	swap_duplicate(mm->world, kept);
	pte_set(mm, pte_offset(mm, BASE), swp_entry_to_pte(kept));
	swap_free(mm->world, old);
}

static const struct {
	void (*damage)(struct mm_struct *mm);
	const char *invariant;
} breaks[] = {
	{ break_count_up, "I10" },
	{ break_count_down, "I10" },
	{ break_kept_slot_count, "I10" },
	{ break_pte_gone, "I10" },
	{ break_pte_of_free_slot, "I4" },
	{ break_cache_forgets_frame, "I10" },
	{ break_frame_forgets_slot, "I10" },
	{ break_free_list, "I10" },
	{ break_used_on_free_list, "I10" },
	{ break_nr_used, "I10" },
	{ break_nr_swap_ptes, "I2" },
	{ break_not_listed, "I11" },
	{ break_nr_listed, "I11" },
	{ break_staged_listed, "I11" },
	{ break_resident_on_probation, "I11" },
	{ break_staged_refs, "I11" },
	{ break_pinned_unlocked, "I11" },
	{ break_mapped_frame_with_shared_slot, "I12" },
};

/* The row's damage, in a child.  Returns its wait status; what it said is in text. */
static int broken_in_child(u32 row, char *text, size_t len)
{
	struct mm_struct *mm;
	int fd[2], status;
	size_t all = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(fd[1], STDERR_FILENO);
		mm = sound_world();
		breaks[row].damage(mm);
		mm_world_verify(mm->world);
		_exit(0);
	}
	close(fd[1]);
	while (all < len - 1 && (n = read(fd[0], text + all, len - 1 - all)) > 0)
		all += n;
	text[all] = '\0';
	close(fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_verify_of_damaged_slots_and_frames_names_invariant(void **state)
{
	for (u32 i = 0; i < ARRAY_SIZE(breaks); i++) {
		char text[512];
		int status = broken_in_child(i, text, sizeof(text));

		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
		    !strstr(text, breaks[i].invariant))
			fail_msg("row %u: expected %s, got status %#x: %s", i, breaks[i].invariant, status,
				 text);
	}
}

static void test_sound_world_ends_well(void **state)
{
	struct mm_struct *mm = sound_world();
	struct frame *staged = frame_at(mm, 1);

	do_unmap(mm, BASE, 4);
	assert_int_equal(fake_hw.nr_unstage_drop, 1);
	mm_evicted(mm->world, staged->pfn, false);
	assert_int_equal(mm->world->swap.nr_used, 0);
	assert_int_equal(mm->world->frames.nr_used, 0);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc_gives_lowest_free_slot_with_count_one),
		cmocka_unit_test(test_duplicate_counts_and_last_free_tells_backing_once),
		cmocka_unit_test(test_cache_takes_over_count_and_frees_it_with_frame),
		cmocka_unit_test(test_cache_del_leaves_slot_to_its_ptes),
		cmocka_unit_test(test_table_grows_and_no_slot_is_given_twice),
		cmocka_unit_test(test_alloc_at_each_growth_without_memory_changes_nothing),
		cmocka_unit_test(test_sound_world_ends_well),
		cmocka_unit_test(test_verify_of_damaged_slots_and_frames_names_invariant),
	};

	return RUN(tests);
}
