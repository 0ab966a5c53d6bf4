/* SPDX-License-Identifier: MIT */
/*
 * Every policy under long random streams of all its calls, as a live system makes them: many pages
 * on probation at once, put back in any order, or freed there without a word; prefetched pages;
 * budgets that change; memory that runs out.  The checker looks at each answer, ASan and
 * policy_bytes at the memory.
 */
#include <errno.h>

#include "base/alloc.h"
#include "policy/param.h"
#include "trace.h"
#include "unit.h"

enum { NR_PAGES = 400, STEPS = 60000 };

struct page {
	struct reclaim_node *node; /* allocated for each stay, so that ASan sees a use after it */
	u64 key;                   /* not 0: it is out, or was when it came in */
	enum { NEW, HELD, OUT, GONE } state;
};

struct world {
	void *checked;
	u64 seed;
	u32 nr_held, nr_out;
	bool short_of_memory; /* now and then */
	struct page page[NR_PAGES];
};

static u32 pick(struct world *w, u32 below)
{
	return next_random(&w->seed, below);
}

/* Before calls for which a policy may want memory. */
static void maybe_no_memory(struct world *w)
{
	if (w->short_of_memory && pick(w, 3) == 0)
		alloc_fail_at(1 + pick(w, 2));
}

static struct page *page_of(struct world *w, const struct reclaim_node *node)
{
	for (u32 i = 0; i < NR_PAGES; i++)
		if (w->page[i].node == node)
			return &w->page[i];
	fail_msg("a node of no page");
	return NULL;
}

static void page_drop_node(struct page *page)
{
	free(page->node);
	page->node = NULL;
}

static void page_come_in(struct world *w, struct page *page)
{
	unsigned int flags = pick(w, 5) ? 0 : RECLAIM_PREFETCH;

	page->node = calloc(1, sizeof(*page->node));
	assert_non_null(page->node);
	if (page->state == GONE)
		flags |= RECLAIM_REFAULT;
	checked_ops.insert(w->checked, page->node, page->state == GONE ? page->key : 0, flags);
	page->state = HELD;
	w->nr_held++;
}

static void take_victim(struct world *w)
{
	struct reclaim_node *node = checked_ops.victim(w->checked);
	struct page *page;

	assert_int_equal(!node, !w->nr_held);
	if (!node)
		return;
	page = page_of(w, node);
	assert_int_equal(page->state, HELD);
	page->state = OUT;
	w->nr_held--;
	w->nr_out++;
}

static void end_probation(struct world *w, struct page *page)
{
	u32 what = pick(w, 8);

	w->nr_out--;
	if (what < 4) {
		page->state = GONE;
		page->key = (u64)(page - w->page) + 1 + pick(w, 2) * NR_PAGES; /* few, as slots are */
		maybe_no_memory(w);
		checked_ops.evicted(w->checked, page->node, page->key);
		alloc_fail_at(0);
		page_drop_node(page);
	} else if (what < 7) {
		page->state = HELD;
		w->nr_held++;
		checked_ops.putback(w->checked, page->node,
				    what < 6 ? RECLAIM_TOUCHED : RECLAIM_REFUSED);
	} else { /* freed by the program: nobody is told */
		page->state = NEW;
		page_drop_node(page);
	}
}

static void one_step(struct world *w)
{
	struct page *page = &w->page[pick(w, NR_PAGES)];
	u32 what = pick(w, 10);

	switch (page->state) {
	case NEW:
		page_come_in(w, page);
		break;
	case GONE:
		if (what) {
			page_come_in(w, page);
		} else {
			checked_ops.forget_key(w->checked, page->key);
			page->state = NEW;
		}
		break;
	case OUT:
		end_probation(w, page);
		break;
	case HELD:
		if (what < 5) {
			checked_ops.touch(w->checked, page->node);
		} else if (what == 5) {
			checked_ops.forget(w->checked, page->node);
			page_drop_node(page);
			page->state = NEW;
			w->nr_held--;
		} else {
			take_victim(w);
		}
		break;
	}
}

/* All pages leave, one way or another. */
static void drain(struct world *w)
{
	for (u32 n = w->nr_held; n; n--)
		take_victim(w);
	assert_int_equal(w->nr_held, 0);
	assert_null(checked_ops.victim(w->checked));
	for (u32 i = 0; i < NR_PAGES; i++)
		if (w->page[i].state == OUT)
			page_drop_node(&w->page[i]);
}

static void run_stream(const char *spec, u64 seed, bool short_of_memory)
{
	struct world w = { .seed = seed, .short_of_memory = short_of_memory };

	w.checked = policy_make(spec, 100);
	for (u32 step = 0; step < STEPS; step++) {
		one_step(&w);
		while (w.nr_held > 150)
			take_victim(&w);
		if (pick(&w, 500) == 0) {
			int ret;

			maybe_no_memory(&w);
			ret = checked_ops.resize(w.checked, 1 + pick(&w, 300));
			alloc_fail_at(0);
			assert_true(!ret || (short_of_memory && ret == -ENOMEM));
		}
		assert_int_equal(checked_nr_held(w.checked), w.nr_held);
	}
	drain(&w);
	checked_ops.fini(w.checked);
	assert_int_equal(policy_bytes, 0);
}

static void test_random_stream_every_answer_is_right_and_no_memory_is_lost(void **state)
{
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++)
		for (u64 seed = 1; seed <= 4; seed++)
			run_stream((*ops)->name, seed, seed % 2);
}

/* The corners of the parameters, where shares are nothing or everything. */
static void test_random_stream_with_extreme_parameters(void **state)
{
	static const char *const specs[] = {
		"clock:bits=7", "lru2:inactive=0%,ghost=0%", "lru2:inactive=100%",
		"2q:in=0%,out=0%", "2q:in=100%,out=300%", "lirs:hir=0%,ghost=0%", "lirs:hir=100%",
		"lirs:hir=1/2,ghost=10%", "s3fifo:small=0%,ghost=0%", "s3fifo:small=10%,learn=0",
		"s3fifo:small=100%,promote=1,max=1,learn=7", "s3fifo:near=0%", "s3fifo:near=1000%",
		"mru:keep=7", "mru:keep=1000", "mru:stale=0", "mru:stale=1", "sfifo:tail=0%", "sfifo:tail=100%",
	};

	for (u32 i = 0; i < ARRAY_SIZE(specs); i++)
		run_stream(specs[i], i + 1, i % 2);
}

/* A budget of a page, and resizing between one page and many. */
static void test_capacity_of_one_page_works(void **state)
{
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++) {
		struct reclaim_node node[50] = { 0 };
		void *p = policy_make((*ops)->name, 1);

		for (u32 round = 0; round < 4; round++) {
			for (u32 i = 0; i < 50; i++) {
				memset(&node[i], 0, sizeof(node[i]));
				checked_ops.insert(p, &node[i], round ? i + 1 : 0,
						   round ? RECLAIM_REFAULT : 0);
				checked_ops.touch(p, &node[i]);
			}
			assert_int_equal(checked_ops.resize(p, round % 2 ? 1 : 1000), 0);
			for (u32 i = 0; i < 50; i++) {
				struct reclaim_node *victim = checked_ops.victim(p);

				checked_ops.evicted(p, victim, (u64)(victim - node) + 1);
			}
		}
		checked_ops.fini(p);
	}
}

/* How many of 40 pages are named in twice as many victims when each is put back. */
static u32 nr_named(const char *name, enum reclaim_putback why)
{
	u32 nr_calls = strcmp(name, "random") ? 80 : 1000;
	struct reclaim_node node[40] = { 0 };
	bool named[40] = { false };
	void *p = policy_make(name, 40);
	u32 nr = 0;

	for (u32 i = 0; i < 40; i++)
		checked_ops.insert(p, &node[i], 0, 0);
	for (u32 i = 0; i < nr_calls; i++) {
		struct reclaim_node *victim = checked_ops.victim(p);

		nr += !named[victim - node];
		named[victim - node] = true;
		checked_ops.putback(p, victim, why);
	}
	checked_ops.fini(p);
	return nr;
}

/* Three of four pages cannot leave; the others are found all the same, within two rounds. */
static void others_are_found(u64 capacity)
{
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++) {
		bool random = !strcmp((*ops)->name, "random");
		struct reclaim_node node[80] = { 0 };
		void *p = policy_make((*ops)->name, capacity);
		u32 nr_gone = 0;

		for (u32 i = 0; i < 80; i++)
			checked_ops.insert(p, &node[i], 0, 0);
		for (u32 i = 0; i < 40; i++)
			checked_ops.touch(p, &node[i]);
		for (u32 calls = random ? 5000 : 160; calls; calls--) {
			struct reclaim_node *victim = checked_ops.victim(p);

			if ((victim - node) % 4) {
				checked_ops.putback(p, victim, RECLAIM_REFUSED);
			} else {
				checked_ops.evicted(p, victim, (u64)(victim - node) + 1);
				nr_gone++;
			}
		}
		if (nr_gone != 20)
			fail_msg("%s: only %u of 20 pages found", (*ops)->name, nr_gone);
		checked_ops.fini(p);
	}
}

static void test_pages_that_cannot_leave_do_not_hide_the_others(void **state)
{
	others_are_found(80);
}

/* In an emergency the budget is exceeded, and policies have more pages than they were made for. */
static void test_nor_do_they_where_there_are_more_than_the_budget(void **state)
{
	others_are_found(79);
	others_are_found(40);
}

/*
 * Twice, for clock, sieve and s3fifo let a rescued page pass once, and 2q changes the queue of a
 * refused one.
 */
static void test_putback_page_goes_to_the_far_end(void **state)
{
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++) {
		assert_int_equal(nr_named((*ops)->name, RECLAIM_REFUSED), 40);
		/*
		 * 2q and s3fifo keep up to a quarter, the youngest, while those that are put back
		 * go round.
		 */
		assert_in_range(nr_named((*ops)->name, RECLAIM_TOUCHED), 30, 40);
	}
}

/*
 * 64 ordinary pages, 8 prefetched, room for 64: 4 of those may wait, so four leave, the oldest
 * first; then ordinary ones, though older, too.  A prefetched page that is touched does not leave
 * with them.
 */
static void test_prefetched_pages_leave_first_unless_touched(void **state)
{
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++) {
		struct reclaim_node node[64] = { 0 }, ahead[8] = { 0 };
		void *p = policy_make((*ops)->name, 64);

		for (u32 i = 0; i < 64; i++)
			checked_ops.insert(p, &node[i], 0, 0);
		for (u32 i = 0; i < 8; i++)
			checked_ops.insert(p, &ahead[i], 0, RECLAIM_PREFETCH);
		checked_ops.touch(p, &ahead[1]);
		assert_ptr_equal(checked_ops.victim(p), &ahead[0]);
		assert_ptr_equal(checked_ops.victim(p), &ahead[2]);
		assert_ptr_equal(checked_ops.victim(p), &ahead[3]);
		for (u32 i = 0; i < 10; i++) {
			struct reclaim_node *victim = checked_ops.victim(p);

			assert_true(victim == &ahead[1] || (victim >= node && victim < node + 64));
		}
		checked_ops.fini(p);
	}
}

/* Ghosts are bounded by the keys, of which there are as many as pages are out, however often those come back. */
static void test_memory_for_ghosts_is_bounded(void **state)
{
	enum { KEYS = 2000 };

	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++) {
		struct reclaim_node node = { 0 };
		void *p = policy_make((*ops)->name, 100);

		for (u64 i = 0; i < 100 * KEYS; i++) {
			u64 key = 1 + i % KEYS;

			memset(&node, 0, sizeof(node));
			checked_ops.insert(p, &node, i < KEYS ? 0 : key, i < KEYS ? 0 : RECLAIM_REFAULT);
			assert_ptr_equal(checked_ops.victim(p), &node);
			checked_ops.evicted(p, &node, key);
		}
		assert_in_range(policy_bytes, 1, SLAB_CHUNK_BYTES + (64 << 10));
		checked_ops.fini(p);
	}
}

/* Each allocation of init() fails once: NULL, a reason, and nothing is left behind. */
static void test_init_without_memory_says_so_and_leaks_nothing(void **state)
{
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++)
		for (u64 n = 1;; n++) {
			char err[100] = "";
			void *p;

			alloc_fail_at(n);
			p = (*ops)->init(NULL, 0, 1000, err, sizeof(err));
			if (p) {
				assert_true(alloc_fail_pending() && n > 1);
				alloc_fail_at(0);
				(*ops)->fini(p);
				break;
			}
			assert_string_equal(err, "no memory");
			assert_int_equal(policy_bytes, 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_stream_every_answer_is_right_and_no_memory_is_lost),
		cmocka_unit_test(test_random_stream_with_extreme_parameters),
		cmocka_unit_test(test_capacity_of_one_page_works),
		cmocka_unit_test(test_putback_page_goes_to_the_far_end),
		cmocka_unit_test(test_pages_that_cannot_leave_do_not_hide_the_others),
		cmocka_unit_test(test_nor_do_they_where_there_are_more_than_the_budget),
		cmocka_unit_test(test_prefetched_pages_leave_first_unless_touched),
		cmocka_unit_test(test_memory_for_ghosts_is_bounded),
		cmocka_unit_test(test_init_without_memory_says_so_and_leaks_nothing),
	};

	return RUN(tests);
}
