/* SPDX-License-Identifier: MIT */
/* zpool: objects stay apart and keep their bytes, whatever the order; the count of bytes is honest. */
#include <sys/mman.h>

#include "base/alloc.h"
#include "swap/zpool.h"
#include "unit.h"

#define NR 4200

/* An object as the naive model knows it: its bytes are all `fill`. */
struct model_object {
	u32 handle, len;
	u8 fill;
};

static struct model_object objects[NR];

static void object_check(const struct zpool *pool, const struct model_object *o)
{
	const u8 *p = zpool_at(pool, o->handle);

	assert_int_equal((uintptr_t)p % 64, 0);
	assert_true(zpool_size(pool, o->handle) >= o->len);
	for (u32 i = 0; i < o->len; i++)
		assert_int_equal(p[i], o->fill);
}

static bool object_make(struct zpool *pool, struct model_object *o, u32 len, u8 fill)
{
	u32 handle = zpool_alloc(pool, len);

	if (handle == ZPOOL_NONE)
		return false;
	*o = (struct model_object){ handle, len, fill };
	memset(zpool_at(pool, handle), fill, len);
	return true;
}

static void object_drop(struct zpool *pool, struct model_object *o)
{
	object_check(pool, o);
	zpool_free(pool, o->handle);
	o->len = 0;
}

/* Pages of [p, p + len) that have memory. */
static u64 resident_bytes(const void *p, size_t len)
{
	static unsigned char vec[1 << 16];
	u64 pages = 0;

	assert_true(len / PAGE_SIZE <= sizeof(vec));
	assert_int_equal(mincore((void *)p, len, vec), 0);
	for (size_t i = 0; i < len / PAGE_SIZE; i++)
		pages += vec[i] & 1;
	return pages * PAGE_SIZE;
}

static void test_zpool_alloc_each_size_gets_its_class(void **state)
{
	struct zpool *pool = zpool_create(64 << 20);

	for (u32 len = 1; len <= PAGE_SIZE; len++) {
		u32 handle = zpool_alloc(pool, len);

		assert_int_not_equal(handle, ZPOOL_NONE);
		assert_int_equal(zpool_size(pool, handle), (len + 63) / 64 * 64);
	}
	zpool_verify(pool);
	zpool_destroy(pool);
}

/* Random allocations, frees and moves at limits from nothing to plenty, against the model. */
static void stress(u64 limit, u64 seed, u32 max_len)
{
	struct zpool *pool = zpool_create(limit);
	u32 refused = 0;

	memset(objects, 0, sizeof(objects));
	for (u32 step = 0; step < 30000; step++) {
		struct model_object *o = &objects[next_random(&seed, NR)];
		/* now and then the sizes change altogether: the limit then stands in the way */
		u32 len = 1 + next_random(&seed, max_len) / (step / 5000 % 2 ? 8 : 1);

		if (o->len && next_random(&seed, 4) == 0)
			o->handle = zpool_improve(pool, o->handle);
		else if (o->len)
			object_drop(pool, o);
		else if (!object_make(pool, o, len, (u8)step))
			refused++;
		assert_true(zpool_bytes(pool) <= limit);
		if (step % 1000 == 0)
			zpool_verify(pool);
	}
	assert_true(limit < 4 << 20 ? refused > 0 : refused == 0);
	for (u32 i = 0; i < NR; i++)
		if (objects[i].len)
			object_drop(pool, &objects[i]);
	zpool_verify(pool);
	assert_int_equal(zpool_used(pool), 0);
	zpool_destroy(pool);
}

static void test_zpool_random_use_at_any_limit_matches_model(void **state)
{
	static const u64 limits[] = { 4096, 8192 + 32, 65536, 200000, 1 << 20, 64 << 20 };

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		stress(limits[i], i + 1, PAGE_SIZE);
		stress(limits[i], i + 100, 3000);
	}
}

/* The count of bytes is what the kernel says is there. */
static void test_zpool_bytes_full_then_empty_equals_resident_memory(void **state)
{
	struct zpool *pool = zpool_create(8 << 20);
	const u8 *arena = zpool_at(pool, 0);
	const size_t arena_len = (8 << 20) + 65 * 65536;
	u64 seed = 7, table;
	u32 nr = 0;

	while (nr < NR && object_make(pool, &objects[nr], 1 + next_random(&seed, 4096), (u8)nr))
		nr++;
	assert_in_range(nr, 3000, NR - 1);
	table = zpool_bytes(pool) - resident_bytes(arena, arena_len);
	assert_in_range(table, 16, 8192);
	for (u32 i = 0; i < nr; i++)
		object_drop(pool, &objects[i]);
	assert_int_equal(zpool_bytes(pool), resident_bytes(arena, arena_len) + table);
	assert_true(zpool_bytes(pool) <= 8 * 65536 + table); /* some chunks are kept for the next */
	zpool_destroy(pool);
}

/*
 *	limit: 17 pages	 | 16 pages, empty, kept | half a page used |
 *
 * The kept pages go when a chunk in use wants to grow, rather than to start another chunk.
 */
static void test_zpool_alloc_chunk_grows_empty_one_is_given_back(void **state)
{
	struct zpool *pool = zpool_create(17 * PAGE_SIZE + 1024);
	u32 page[16], half[3];

	for (u32 i = 0; i < 16; i++)
		page[i] = zpool_alloc(pool, PAGE_SIZE);
	for (u32 i = 0; i < 2; i++)
		half[i] = zpool_alloc(pool, PAGE_SIZE / 2);
	assert_int_equal(zpool_alloc(pool, PAGE_SIZE / 2), ZPOOL_NONE);
	for (u32 i = 0; i < 16; i++)
		zpool_free(pool, page[i]);
	assert_true(zpool_bytes(pool) > 17 * PAGE_SIZE);
	half[2] = zpool_alloc(pool, PAGE_SIZE / 2);
	assert_int_equal(half[2], half[0] + 2 * (half[1] - half[0]));
	assert_in_range(zpool_bytes(pool), 2 * PAGE_SIZE, 2 * PAGE_SIZE + 1024);
	zpool_verify(pool);
	zpool_destroy(pool);
}

/* A chunk of half pages fills the pool; one of them goes. */
static void test_zpool_alloc_at_limit_takes_place_of_larger_class(void **state)
{
	struct zpool *pool = zpool_create(65536 + 1024);
	u32 nr = 0, small;

	while (object_make(pool, &objects[nr], 2048, (u8)nr))
		nr++;
	assert_int_equal(nr, 32);
	assert_int_equal(zpool_alloc(pool, 100), ZPOOL_NONE);
	object_drop(pool, &objects[5]);
	assert_int_equal(zpool_alloc(pool, 2049), ZPOOL_NONE);
	small = zpool_alloc(pool, 100);
	assert_int_not_equal(small, ZPOOL_NONE);
	assert_int_equal(zpool_size(pool, small), 2048);
	zpool_free(pool, small);
	zpool_verify(pool);
	zpool_destroy(pool);
}

/*
 * 64 chunks of 1 KiB objects, of which about `stay` in 16 stay, fewer and fewer: nothing else fits.  After each has
 * been offered a better place, chunks are full or empty and a page of another size finds room.
 */
static void improve_all(u32 stay)
{
	struct zpool *pool = zpool_create(64 * 65536 + 4096);
	u32 nr = 0;

	while (object_make(pool, &objects[nr], 1024, (u8)nr))
		nr++;
	assert_in_range(nr, 4080, 4100);
	for (u32 i = 0; i < nr; i++)
		if (i * 7919 % 16 >= stay || i * 7919 % 5000 < i / 2)
			object_drop(pool, &objects[i]);
	assert_int_equal(zpool_alloc(pool, 4096), ZPOOL_NONE);
	for (u32 i = 0; i < nr; i++) {
		if (!objects[i].len)
			continue;
		objects[i].handle = zpool_improve(pool, objects[i].handle);
		object_check(pool, &objects[i]);
	}
	zpool_verify(pool);
	assert_true(zpool_bytes(pool) - zpool_used(pool) < 9 * 65536 + 4096); /* 8 empty ones are kept */
	assert_int_not_equal(zpool_alloc(pool, 4096), ZPOOL_NONE);
	zpool_destroy(pool);
}

static void test_zpool_improve_sparse_chunks_run_empty(void **state)
{
	for (u32 stay = 1; stay < 16; stay += 2)
		improve_all(stay);
}

static void test_zpool_create_without_memory_returns_null(void **state)
{
	struct zpool *pool = NULL;
	u32 n = 0;

	while (!pool) {
		alloc_fail_at(++n);
		pool = zpool_create(1 << 20);
	}
	assert_int_equal(n, 3);
	assert_true(alloc_fail_pending());
	alloc_fail_at(0);
	zpool_destroy(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zpool_alloc_each_size_gets_its_class),
		cmocka_unit_test(test_zpool_random_use_at_any_limit_matches_model),
		cmocka_unit_test(test_zpool_bytes_full_then_empty_equals_resident_memory),
		cmocka_unit_test(test_zpool_alloc_chunk_grows_empty_one_is_given_back),
		cmocka_unit_test(test_zpool_alloc_at_limit_takes_place_of_larger_class),
		cmocka_unit_test(test_zpool_improve_sparse_chunks_run_empty),
		cmocka_unit_test(test_zpool_create_without_memory_returns_null),
	};

	return RUN(tests);
}
