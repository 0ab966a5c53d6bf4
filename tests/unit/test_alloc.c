/* SPDX-License-Identifier: MIT */
/* alloc: every byte is on the account, the N-th allocation fails, slabs reuse and give back. */
#include "base/alloc.h"
#include "unit.h"

static void test_mem_zalloc_free_account_returns_to_zero(void **state)
{
	u64 account = 0;
	char *p = mem_zalloc(&account, 100);

	assert_non_null(p);
	assert_int_equal(account, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	mem_free(&account, p, 100);
	assert_int_equal(account, 0);
	mem_free(&account, NULL, 100);
	assert_int_equal(account, 0);
}

static void test_mem_grow_new_part_is_zero_old_part_kept(void **state)
{
	u64 account = 0;
	char *p = mem_zalloc(&account, 10);

	memset(p, 'x', 10);
	p = mem_grow(&account, p, 10, 1000);
	assert_int_equal(account, 1000);
	assert_memory_equal(p, "xxxxxxxxxx", 10);
	for (int i = 10; i < 1000; i++)
		assert_int_equal(p[i], 0);
	mem_free(&account, p, 1000);
}

static void test_alloc_fail_at_third_only_third_fails(void **state)
{
	u64 account = 0;
	struct slab slab;
	void *a, *c, *d;

	slab_init(&slab, 32, &account);
	alloc_fail_at(3);
	a = mem_zalloc(&account, 8);
	c = slab_alloc(&slab);
	assert_non_null(a);
	assert_non_null(c);
	assert_true(alloc_fail_pending());
	assert_null(mem_grow(&account, a, 8, 16));
	assert_false(alloc_fail_pending());
	d = slab_alloc(&slab);
	assert_non_null(d);
	slab_free(&slab, c);
	slab_free(&slab, d);
	mem_free(&account, a, 8);
	slab_fini(&slab);
	assert_int_equal(account, 0);
}

/* Take 20000, give back in another order, twice; the chunks are counted and go. */
static void test_slab_many_objects_are_distinct_zeroed_and_given_back(void **state)
{
	enum { N = 20000, BYTES = 40 };
	static unsigned char *object[N];
	u64 account = 0, full;
	struct slab slab;

	slab_init(&slab, BYTES, &account);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			object[i] = slab_alloc(&slab);
			assert_non_null(object[i]);
			for (int b = 0; b < BYTES; b++)
				assert_int_equal(object[i][b], 0);
			memset(object[i], i & 0xff, BYTES);
		}
		full = account;
		assert_true(full >= N * BYTES && full <= N * BYTES * 11 / 10);
		for (int i = 0; i < N; i++) {
			for (int b = 0; b < BYTES; b++)
				assert_int_equal(object[i][b], i & 0xff);
		}
		for (int i = 0; i < N; i++)
			slab_free(&slab, object[(i * 7) % N]);
		assert_int_equal(slab.nr_used, 0);
		assert_int_equal(account, SLAB_CHUNK_BYTES); /* one empty chunk is kept */
	}
	slab_fini(&slab);
	assert_int_equal(account, 0);
}

/* 13 blocks; every second object goes, then the rest; then all of it once more. */
static void test_slab_chunks_of_many_blocks_come_back_as_good_as_new(void **state)
{
	enum { N = 6000, BYTES = 4104, PER_CHUNK = 15 };
	static u64 *object[N];
	u64 account = 0;
	struct slab slab;

	slab_init(&slab, BYTES, &account);
	for (int round = 0; round < 2; round++) {
		for (u64 i = 0; i < N; i++) {
			object[i] = slab_alloc(&slab);
			assert_non_null(object[i]);
			for (int w = 0; w < BYTES / 8; w += 57)
				assert_int_equal(object[i][w], 0);
			memset(object[i], (int)i | 1, BYTES);
		}
		assert_int_equal(account, N / PER_CHUNK * SLAB_CHUNK_BYTES);
		for (int i = 0; i < N; i += 2)
			slab_free(&slab, object[i]);
		assert_int_equal(account, N / PER_CHUNK * SLAB_CHUNK_BYTES);
		for (int i = 0; i < N; i += 2) { /* a hole is filled before a new chunk */
			object[i] = slab_alloc(&slab);
			memset(object[i], i | 1, BYTES);
		}
		assert_int_equal(account, N / PER_CHUNK * SLAB_CHUNK_BYTES);
		for (u64 i = 0; i < N; i++) {
			assert_int_equal(*(unsigned char *)object[i], (i | 1) & 0xff);
			slab_free(&slab, object[i]);
		}
		assert_int_equal(account, SLAB_CHUNK_BYTES);
	}
	slab_fini(&slab);
	assert_int_equal(account, 0);
}

static void test_slab_object_of_64_is_cacheline_aligned(void **state)
{
	u64 account = 0;
	struct slab slab;
	void *p[3];

	slab_init(&slab, 128, &account);
	for (int i = 0; i < 3; i++) {
		p[i] = slab_alloc(&slab);
		assert_int_equal((uintptr_t)p[i] % 64, 0);
	}
	for (int i = 0; i < 3; i++)
		slab_free(&slab, p[i]);
	slab_fini(&slab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mem_zalloc_free_account_returns_to_zero),
		cmocka_unit_test(test_mem_grow_new_part_is_zero_old_part_kept),
		cmocka_unit_test(test_alloc_fail_at_third_only_third_fails),
		cmocka_unit_test(test_slab_many_objects_are_distinct_zeroed_and_given_back),
		cmocka_unit_test(test_slab_chunks_of_many_blocks_come_back_as_good_as_new),
		cmocka_unit_test(test_slab_object_of_64_is_cacheline_aligned),
	};

	return RUN(tests);
}
