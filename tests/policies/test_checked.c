/* SPDX-License-Identifier: MIT */
/* The checker itself: each kind of bad answer is found, and each wrong call of the mechanism. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/param.h"
#include "trace.h"
#include "unit.h"

/* A policy that answers what the test says. */
static struct reclaim_node *answer;
static u32 nr_calls;

static void bad_fini(void *policy)
{
	nr_calls = 0;
}

static int bad_resize(void *policy, u64 capacity)
{
	nr_calls++;
	return 0;
}

static void bad_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	nr_calls++;
}

static void bad_node(void *policy, struct reclaim_node *node)
{
	nr_calls++;
}

static struct reclaim_node *bad_victim(void *policy)
{
	nr_calls++;
	return answer;
}

static void bad_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	nr_calls++;
}

static void bad_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	nr_calls++;
}

static void bad_key(void *policy, u64 key)
{
	nr_calls++;
}

static const struct reclaim_ops bad_ops = {
	.name = "bad",
	.help = "",
	.fini = bad_fini,
	.resize = bad_resize,
	.insert = bad_insert,
	.touch = bad_node,
	.victim = bad_victim,
	.putback = bad_putback,
	.evicted = bad_evicted,
	.forget = bad_node,
	.forget_key = bad_key,
};

static void *make_bad(enum checked_mode mode)
{
	void *c = checked_new(&bad_ops, NULL, mode);

	assert_non_null(c);
	return c;
}

static void expect_error(void *c, const char *message)
{
	assert_null(checked_error(c));
	assert_null(checked_ops.victim(c));
	assert_string_equal(checked_error(c), message);
}

static void test_victim_that_is_no_node_is_found_and_not_followed(void **state)
{
	struct reclaim_node node = { 0 };
	void *c = make_bad(CHECKED_REPORT);

	checked_ops.insert(c, &node, 0, 0);
	answer = (struct reclaim_node *)8;
	expect_error(c, "names a victim that it does not hold");
	checked_ops.fini(c);
}

static void test_victim_named_twice_is_found(void **state)
{
	struct reclaim_node node[2] = { 0 };
	void *c = make_bad(CHECKED_REPORT);

	checked_ops.insert(c, &node[0], 0, 0);
	checked_ops.insert(c, &node[1], 0, 0);
	answer = &node[1];
	assert_ptr_equal(checked_ops.victim(c), &node[1]);
	expect_error(c, "names a victim that is on probation already");
	checked_ops.fini(c);
}

static void test_victim_after_forget_is_found(void **state)
{
	struct reclaim_node node[2] = { 0 };
	void *c = make_bad(CHECKED_REPORT);

	checked_ops.insert(c, &node[0], 0, 0);
	checked_ops.insert(c, &node[1], 0, 0);
	checked_ops.forget(c, &node[1]);
	answer = &node[1];
	expect_error(c, "names a victim that it does not hold");
	checked_ops.fini(c);
}

static void test_victim_after_evicted_is_found(void **state)
{
	struct reclaim_node node = { 0 };
	void *c = make_bad(CHECKED_REPORT);

	checked_ops.insert(c, &node, 0, 0);
	answer = &node;
	assert_ptr_equal(checked_ops.victim(c), &node);
	checked_ops.evicted(c, &node, 7);
	expect_error(c, "names a victim that it does not hold");
	checked_ops.fini(c);
}

static void test_no_victim_while_pages_are_held_is_found(void **state)
{
	struct reclaim_node node = { 0 };
	void *c = make_bad(CHECKED_REPORT);

	answer = NULL;
	assert_null(checked_ops.victim(c));
	assert_null(checked_error(c));
	checked_ops.insert(c, &node, 0, 0);
	expect_error(c, "names no victim, but holds 1 pages");
	checked_ops.fini(c);
}

/* The state of a policy that has failed once is worth nothing. */
static void test_policy_that_failed_is_called_no_more(void **state)
{
	struct reclaim_node node[2] = { 0 };
	void *c = make_bad(CHECKED_REPORT);
	u32 before;

	checked_ops.insert(c, &node[0], 0, 0);
	answer = NULL;
	assert_null(checked_ops.victim(c));
	before = nr_calls;
	answer = &node[0];
	assert_null(checked_ops.victim(c));
	checked_ops.insert(c, &node[1], 0, 0);
	checked_ops.touch(c, &node[0]);
	checked_ops.forget(c, &node[0]);
	checked_ops.forget_key(c, 3);
	assert_int_equal(checked_ops.resize(c, 5), 0);
	assert_int_equal(nr_calls, before);
	checked_ops.fini(c);
	assert_int_equal(nr_calls, 0);
	assert_int_equal(policy_bytes, 0);
}

/* A page that is freed on probation says nothing; its node may come again as another page. */
static void test_node_freed_on_probation_may_be_inserted_again(void **state)
{
	struct reclaim_node node = { 0 };
	void *c = make_bad(CHECKED_BUG);

	answer = &node;
	for (u32 i = 0; i < 3; i++) {
		checked_ops.insert(c, &node, 0, 0);
		assert_int_equal(checked_nr_held(c), 1);
		assert_int_equal(checked_nr_out(c), 0);
		assert_ptr_equal(checked_ops.victim(c), &node);
		assert_int_equal(checked_nr_out(c), 1);
	}
	checked_ops.fini(c);
}

/* Misuse by the mechanism, one each; run in a child that must abort. */
static struct reclaim_node held, stranger;

static void insert_twice(void *c)
{
	checked_ops.insert(c, &held, 0, 0);
}

static void touch_stranger(void *c)
{
	checked_ops.touch(c, &stranger);
}

static void forget_stranger(void *c)
{
	checked_ops.forget(c, &stranger);
}

static void putback_held(void *c)
{
	checked_ops.putback(c, &held, RECLAIM_TOUCHED);
}

static void evicted_held(void *c)
{
	checked_ops.evicted(c, &held, 1);
}

static void evicted_without_key(void *c)
{
	checked_ops.evicted(c, checked_ops.victim(c), 0);
}

static void forget_on_probation(void *c)
{
	checked_ops.forget(c, checked_ops.victim(c));
}

static void refault_without_key(void *c)
{
	checked_ops.insert(c, &stranger, 0, RECLAIM_REFAULT);
}

static void resize_to_nothing(void *c)
{
	checked_ops.resize(c, 0);
}

/* In the mode for tests a bad answer is a bug as well. */
static void bad_answer(void *c)
{
	answer = &stranger;
	checked_ops.victim(c);
}

static void test_each_misuse_is_a_bug(void **state)
{
	static void (*const misuse[])(void *) = {
		insert_twice, touch_stranger, forget_stranger, putback_held, evicted_held,
		evicted_without_key, forget_on_probation, refault_without_key, resize_to_nothing,
		bad_answer,
	};

	for (u32 i = 0; i < ARRAY_SIZE(misuse); i++) {
		int status;
		pid_t child = fork();

		assert_int_not_equal(child, -1);
		if (!child) {
			void *c = make_bad(CHECKED_BUG);

			signal(SIGABRT, SIG_DFL);
			if (!freopen("/dev/null", "w", stderr))
				_exit(2);
			answer = &held;
			checked_ops.insert(c, &held, 0, 0);
			misuse[i](c);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
			fail_msg("misuse %u was not found: status %x", i, status);
	}
}

/* The table behind it grows and shrinks: many nodes, in and out in another order. */
static void test_many_nodes_are_all_known(void **state)
{
	enum { N = 5000 };
	static struct reclaim_node node[N];
	void *c = make_bad(CHECKED_BUG);
	u64 seed = 3;

	for (u32 i = 0; i < N; i++)
		checked_ops.insert(c, &node[i], 0, 0);
	assert_int_equal(checked_nr_held(c), N);
	for (u32 i = 0; i < N; i += 2)
		checked_ops.forget(c, &node[i]);
	for (u32 i = 1; i < N; i += 2)
		checked_ops.touch(c, &node[i]);
	for (u32 i = 0; i < 20000; i++) {
		answer = &node[next_random(&seed, N / 2) * 2 + 1];
		assert_ptr_equal(checked_ops.victim(c), answer);
		checked_ops.putback(c, answer, RECLAIM_REFUSED);
	}
	for (u32 i = 1; i < N; i += 2)
		checked_ops.forget(c, &node[i]);
	assert_int_equal(checked_nr_held(c), 0);
	checked_ops.fini(c);
	assert_int_equal(policy_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_victim_that_is_no_node_is_found_and_not_followed),
		cmocka_unit_test(test_victim_named_twice_is_found),
		cmocka_unit_test(test_victim_after_forget_is_found),
		cmocka_unit_test(test_victim_after_evicted_is_found),
		cmocka_unit_test(test_no_victim_while_pages_are_held_is_found),
		cmocka_unit_test(test_policy_that_failed_is_called_no_more),
		cmocka_unit_test(test_node_freed_on_probation_may_be_inserted_again),
		cmocka_unit_test(test_each_misuse_is_a_bug),
		cmocka_unit_test(test_many_nodes_are_all_known),
	};

	return RUN(tests);
}
