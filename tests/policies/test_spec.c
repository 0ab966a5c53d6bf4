/* SPDX-License-Identifier: MIT */
/* Specs, parameters and ghosts: what policies are made of. */
#include <errno.h>

#include "policy/ghost.h"
#include "policy/param.h"
#include "policy/reclaim_ops.h"
#include "unit.h"

static void test_spec_is_taken_apart(void **state)
{
	struct policy_spec s;
	char err[100] = "";

	assert_int_equal(policy_spec_parse(&s, "s3fifo:small=20%,max=7", err, sizeof(err)), 0);
	assert_string_equal(s.name, "s3fifo");
	assert_int_equal(s.nr_params, 2);
	assert_string_equal(s.params[0].key, "small");
	assert_string_equal(s.params[0].value, "20%");
	assert_string_equal(s.params[1].key, "max");
	assert_string_equal(s.params[1].value, "7");
	assert_int_equal(policy_spec_parse(&s, "cluster:8,max=2", err, sizeof(err)), 0);
	assert_string_equal(s.params[0].key, "");
	assert_string_equal(s.params[0].value, "8");
	assert_string_equal(s.params[1].key, "max");
	assert_int_equal(policy_spec_parse(&s, "fifo", err, sizeof(err)), 0);
	assert_int_equal(s.nr_params, 0);
	assert_int_equal(policy_spec_parse(&s, "fifo:", err, sizeof(err)), 0);
	assert_int_equal(s.nr_params, 0);
	assert_int_equal(policy_spec_parse(&s, "x:a=b=c", err, sizeof(err)), 0);
	assert_string_equal(s.params[0].value, "b=c");
	assert_string_equal(err, "");
}

static void test_spec_that_is_wrong_is_refused_with_a_reason(void **state)
{
	char too_long[400], too_many[100] = "x:a=1";
	const char *const wrong[] = { "", ":", ":a=1", "x:a=1,b", "x:=1", "x:a=1,=2", "x:,a=1",
				      too_long, too_many };

	memset(too_long, 'a', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	for (u32 i = 0; i < POLICY_MAX_PARAMS; i++)
		strcat(too_many, ",a=1");
	for (u32 i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct policy_spec s;
		char err[500] = "";

		if (policy_spec_parse(&s, wrong[i], err, sizeof(err)) != -EINVAL || !*err)
			fail_msg("\"%s\" was accepted", wrong[i]);
	}
}

/* The value of "key=text" read as `kind`; ~0: refused. */
static u64 read_value(enum policy_value_kind kind, const char *text, u64 min, u64 max)
{
	u64 value = 0;
	const struct policy_value values[] = { { "key", kind, &value, min, max } };
	const struct policy_param param = { "key", text };
	char err[100] = "";
	int ret = policy_params_read(&param, 1, values, 1, err, sizeof(err));

	assert_true(ret ? ret == -EINVAL && *err : !*err);
	return ret ? ~0UL : value;
}

static void test_ratio_is_percent_decimal_or_fraction(void **state)
{
	static const struct {
		const char *text;
		u64 millionths;
	} cases[] = {
		{ "10%", 100000 }, { "0.1", 100000 }, { "1/10", 100000 }, { "12.5%", 125000 },
		{ "0", 0 }, { "1", 1000000 }, { "100%", 1000000 }, { "1/3", 333333 },
		{ "0.0000019", 1 }, { "2.5", 2500000 }, { "1.", 1000000 }, { "", ~0UL },
		{ "%", ~0UL }, { "x", ~0UL }, { "1/0", ~0UL }, { "1/", ~0UL }, { "-1", ~0UL },
		{ "10%%", ~0UL }, { "1 ", ~0UL }, { ".5", ~0UL }, { "1/2%", ~0UL },
		{ "99999999999999999999", ~0UL }, { "11", ~0UL },
	};

	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		u64 got = read_value(POLICY_RATIO, cases[i].text, 0, 10 * POLICY_RATIO_ONE);

		if (got != cases[i].millionths)
			fail_msg("\"%s\" was read as %lu", cases[i].text, got);
	}
}

static void test_number_is_digits_within_its_bounds(void **state)
{
	assert_int_equal(read_value(POLICY_NUMBER, "0", 0, 9), 0);
	assert_int_equal(read_value(POLICY_NUMBER, "9", 0, 9), 9);
	assert_int_equal(read_value(POLICY_NUMBER, "10", 0, 9), ~0UL);
	assert_int_equal(read_value(POLICY_NUMBER, "0", 1, 9), ~0UL);
	assert_int_equal(read_value(POLICY_NUMBER, "", 0, 9), ~0UL);
	assert_int_equal(read_value(POLICY_NUMBER, "7x", 0, 9), ~0UL);
	assert_int_equal(read_value(POLICY_NUMBER, "-1", 0, 9), ~0UL);
	assert_int_equal(read_value(POLICY_NUMBER, "999999999999999", 0, ~0UL - 1),
			 999999999999999);
	assert_int_equal(read_value(POLICY_NUMBER, "9999999999999999", 0, ~0UL - 1), ~0UL);
}

/*
 * The whole way of --policy: every parameter that a policy's help names is known, others are not.
 */
static void test_policies_know_the_parameters_of_their_help_and_no_others(void **state)
{
	for (const struct reclaim_ops *const *ops = reclaim_policies; *ops; ops++) {
		struct policy_param param = { "nonsense", "1" };
		char err[100] = "", help[100];
		void *p = (*ops)->init(&param, 1, 100, err, sizeof(err));

		assert_null(p);
		assert_non_null(strstr(err, "unknown parameter 'nonsense'"));
		assert_true(strlen((*ops)->help) < sizeof(help));
		strcpy(help, (*ops)->help);
		for (char *key = strtok(help, ", "); key; key = strtok(NULL, ", ")) {
			char *end = strchr(key, '=');

			if (!end)
				continue;
			*end = '\0';
			param = (struct policy_param){ key, end[1] == 'R' ? "0.5" : "2" };
			p = (*ops)->init(&param, 1, 100, err, sizeof(err));
			if (!p)
				fail_msg("%s: %s", (*ops)->name, err);
			(*ops)->fini(p);
		}
		assert_int_equal(policy_bytes, 0);
		assert_ptr_equal(reclaim_policy_find((*ops)->name), *ops);
	}
	assert_null(reclaim_policy_find("nonsense"));
}

/*
 * Two lists on one table, against arrays: where each key is, how many, and in which order they are
 * forgotten.
 */
static void test_ghosts_random_stream_equals_arrays(void **state)
{
	enum { KEYS = 3000 };
	struct ghost_table t;
	struct ghost_list list[2];
	u32 when[KEYS] = { 0 }, where[KEYS] = { 0 }; /* when it was added, 0: not there */
	u64 seed = 1;

	ghost_table_init(&t);
	ghost_list_init(&list[0], 1);
	ghost_list_init(&list[1], 2);
	for (u32 step = 1; step < 50000; step++) {
		u32 i = next_random(&seed, KEYS), l = next_random(&seed, 2), left = 0;
		struct ghost *g = ghost_find(&t, i + 1);

		assert_int_equal(!!g, !!when[i]);
		if (g) {
			assert_int_equal(g->id, where[i] + 1);
			assert_int_equal(ghost_forget(&t, &list[l], i + 1), where[i] == l);
			when[i] = where[i] == l ? 0 : when[i];
		} else {
			assert_non_null(ghost_add(&t, &list[l], i + 1));
			when[i] = step;
			where[i] = l;
		}
		if (next_random(&seed, 50) == 0) {
			u32 oldest_left = step + 1, newest_gone = 0;

			ghost_trim(&t, &list[l], 20);
			assert_int_equal(list[l].nr ? ghost_oldest(&t, &list[l])->id : 0, list[l].nr ? l + 1 : 0);
			for (i = 0; i < KEYS; i++) {
				if (!when[i] || where[i] != l)
					continue;
				if (ghost_find(&t, i + 1)) {
					left++;
					oldest_left = when[i] < oldest_left ? when[i] : oldest_left;
				} else {
					newest_gone = when[i] > newest_gone ? when[i] : newest_gone;
					when[i] = 0;
				}
			}
			assert_true(left <= 20 && newest_gone < oldest_left);
			assert_int_equal(list[l].nr, left);
		}
		assert_int_equal(t.nr, list[0].nr + list[1].nr);
	}
	ghost_table_fini(&t);
	assert_int_equal(policy_bytes, 0);
}

static void test_ghosts_without_memory_are_not_remembered(void **state)
{
	struct ghost_table t;
	struct ghost_list list;

	ghost_table_init(&t);
	ghost_list_init(&list, 1);
	alloc_fail_at(1);
	assert_null(ghost_push(&t, &list, 1, 10));
	assert_null(ghost_find(&t, 1));
	assert_non_null(ghost_push(&t, &list, 1, 10));
	alloc_fail_at(1);
	assert_null(ghost_push(&t, &list, 100000, 10));
	assert_null(ghost_find(&t, 100000));
	assert_int_equal(list.nr, 1);
	assert_non_null(ghost_find(&t, 1));
	ghost_table_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spec_is_taken_apart),
		cmocka_unit_test(test_spec_that_is_wrong_is_refused_with_a_reason),
		cmocka_unit_test(test_ratio_is_percent_decimal_or_fraction),
		cmocka_unit_test(test_number_is_digits_within_its_bounds),
		cmocka_unit_test(test_policies_know_the_parameters_of_their_help_and_no_others),
		cmocka_unit_test(test_ghosts_random_stream_equals_arrays),
		cmocka_unit_test(test_ghosts_without_memory_are_not_remembered),
	};

	return RUN(tests);
}
