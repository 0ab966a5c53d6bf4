/* SPDX-License-Identifier: MIT */
/*
 * mm_verify must see each kind of damage and name the invariant: each row breaks one thing in a sound
 * world, in a child process, which has to die of SIGABRT with "I<n>" on stderr.
 */
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

static struct mm_struct *child_mm;

/* two vmas, the first with a frame shared after fork, one of its own, and a zero page */
static struct mm_struct *sound_world(void)
{
	struct mm_struct *mm = fake_mm();

	do_mmap(mm, BASE, 4, RW);
	do_mmap(mm, BASE + 10 * P, 4, PROT_READ);
	touch_write(mm, BASE);
	touch_write(mm, BASE + P);
	child_mm = do_fork(mm);
	touch_write(mm, BASE + P);
	touch_read(mm, BASE + 2 * P);
	mm_world_verify(mm->world);
	return mm;
}

static struct vm_area_struct *first(struct mm_struct *mm)
{
	return mm->mmap;
}

static struct frame *frame_at(struct mm_struct *mm, u64 addr)
{
	return pfn_to_frame(mm->world, pte_pfn(pte_lookup(mm, addr)));
}

static void break_vma_end(struct mm_struct *mm)
{
	first(mm)->vm_end += 1;
}

static void break_vma_overlap(struct mm_struct *mm)
{
	first(mm)->vm_next->vm_start = BASE + 2 * P;
}

static void break_vma_list(struct mm_struct *mm)
{
	first(mm)->vm_next->vm_prev = NULL;
}

static void break_gap(struct mm_struct *mm)
{
	first(mm)->leaf->subtree_gap += P;
}

static void break_tree_colour(struct mm_struct *mm)
{
	mm->mm_rb.node->parent_color ^= 1;
}

static void break_leaf_copy(struct mm_struct *mm)
{
	first(mm)->leaf->start_gap[1] -= P;
}

static void break_leaf_order(struct mm_struct *mm)
{
	struct vma_leaf *leaf = first(mm)->leaf;
	struct vm_area_struct *vma = leaf->vma[0];

	leaf->vma[0] = leaf->vma[1];
	leaf->vma[1] = vma;
}

static void break_total_vm(struct mm_struct *mm)
{
	mm->total_vm++;
}

static void break_data_vm(struct mm_struct *mm)
{
	first(mm)->vm_flags &= ~VM_WRITE;
}

static void break_rss(struct mm_struct *mm)
{
	mm->nr_anon_ptes--;
}

static void break_pgtables(struct mm_struct *mm)
{
	mm->pgtables_bytes += PAGE_SIZE;
}

static void break_table_count(struct mm_struct *mm)
{
	pte_offset(mm, BASE).table->nr_used++;
}

static void break_pte_outside(struct mm_struct *mm)
{
	pte_set(mm, pte_alloc(mm, BASE + 7 * P), mk_pte_zero(true));
}

static void break_pte_of_free_frame(struct mm_struct *mm)
{
	frame_at(mm, BASE + P)->state = FRAME_FREE;
}

static void break_mapcount(struct mm_struct *mm)
{
	frame_at(mm, BASE + P)->mapcount++;
	pte_set(mm, pte_offset(mm, BASE + P), pte_mkwp(pte_lookup(mm, BASE + P)));
}

static void break_shared_writable(struct mm_struct *mm)
{
	pte_set(mm, pte_offset(mm, BASE), pte_clear_wp(pte_lookup(mm, BASE)));
}

static void break_frame_index(struct mm_struct *mm)
{
	frame_at(mm, BASE + P)->index += 1;
}

static void break_chain_range(struct mm_struct *mm)
{
	first(mm)->vm_pgoff++;
}

static void break_own_anon_vma(struct mm_struct *mm)
{
	first(mm)->vm_next->anon_vma = first(mm)->anon_vma;
}

static void break_free_list(struct mm_struct *mm)
{
	mm->world->frames.node[0].nr_free++;
}

static void break_frame_refcount(struct mm_struct *mm)
{
	frame_at(mm, BASE + P)->refcount = 0; /* its mapcount stays */
}

static void break_zero_ptes(struct mm_struct *mm)
{
	mm->world->zero_ptes++;
}

static void break_frame_transition(struct mm_struct *mm)
{
	frame_set_state(frame_at(mm, BASE + P), FRAME_RESIDENT); /* it is that already */
}

static const struct damage {
	void (*damage)(struct mm_struct *mm);
	const char *invariant;
} damages[] = {
	{ break_vma_end, "I1" },
	{ break_vma_overlap, "I1" },
	{ break_vma_list, "I1" },
	{ break_gap, "I1" },
	{ break_tree_colour, "I1" },
	{ break_leaf_copy, "I1" },
	{ break_leaf_order, "I1" },
	{ break_total_vm, "I2" },
	{ break_data_vm, "I2" },
	{ break_rss, "I2" },
	{ break_pgtables, "I2" },
	{ break_table_count, "I2" },
	{ break_zero_ptes, "I2" },
	{ break_pte_outside, "I3" },
	{ break_pte_of_free_frame, "I4" },
	{ break_mapcount, "I5" },
	{ break_frame_index, "I7" },
	{ break_chain_range, "I7" },
	{ break_own_anon_vma, "I7" },
	{ break_shared_writable, "I9" },
	{ break_free_list, "I11" },
	{ break_frame_refcount, "I11" },
	{ break_frame_transition, "I11" },
};

static void in_child(const struct damage *d, int stderr_fd)
{
	struct mm_struct *mm = sound_world();

	dup2(stderr_fd, STDERR_FILENO);
	signal(SIGABRT, SIG_DFL); /* cmocka's would go on with the next test */
	d->damage(mm);
	mm_world_verify(mm->world);
	_exit(0);
}

static void test_mm_verify_each_damage_is_seen_and_named(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
		char text[512];
		size_t len = 0;
		ssize_t n;
		int fds[2], status;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid)
			in_child(&damages[i], fds[1]);
		close(fds[1]);
		while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0)
			len += n;
		text[len] = 0;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		close(fds[0]);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
		    !strstr(text, damages[i].invariant))
			fail_msg("damage %zu: status %x, wanted %s, said: %s", i, status,
				 damages[i].invariant, text);
	}
}

static void test_mm_verify_sound_world_passes(void **state)
{
	struct mm_struct *mm = sound_world();

	mm_world_verify(mm->world);
	mm_put(child_mm);
	fake_mm_destroy(mm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mm_verify_each_damage_is_seen_and_named),
		cmocka_unit_test(test_mm_verify_sound_world_passes),
	};

	return RUN(tests);
}
