/* SPDX-License-Identifier: MIT */
/*
 * store: random put, get, drop against a naive model that remembers what each slot must hold, with the pool, the
 * file, and both, at limits from too little to plenty; requests end in any order, late, short, or not at all well.
 * Linked with fake_ring.c.
 */
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "fake_ring.h"
#include "pages.h"
#include "swap/store.h"

#define NR_SLOTS 3000u
#define NR_READS 64u
#define TAG      (5ULL << 32)
#define SEED     77

enum slot_state { SLOT_EMPTY, SLOT_WRITING, SLOT_HELD };

struct model_slot {
	enum slot_state state;
	u64 content;   /* page_fill_any()'s number */
	bool may_fail; /* a read of it was made to fail, so it may say EIO from now on */
};

/* A read from the file under way.  Also its cookie. */
struct model_read {
	bool busy, dropped;
	u32 slot;
	u64 content;
};

/* One world: a store, the model of it, and what may go wrong. */
struct world {
	struct swap_store *store;
	struct swap_packer *packer;
	struct swap_config config;
	u64 seed;
	u32 write_failures, read_failures; /* of 100 requests */
	u32 nr_again, nr_nospace, nr_failed_writes, nr_canceled, nr_eio; /* seen: the test must reach them */
	struct model_slot slots[NR_SLOTS];
	struct model_read reads[NR_READS];
	_Alignas(PAGE_SIZE) u8 pages[NR_READS][PAGE_SIZE];
};

static struct world world;

static void check_page(const void *page, u64 content)
{
	static u8 expected[PAGE_SIZE];

	page_fill_any(expected, content);
	assert_memory_equal(page, expected, PAGE_SIZE);
}

static void on_read_done(void *arg, u32 slot, void *cookie, int err)
{
	struct world *w = arg;
	struct model_read *r = cookie;

	assert_true(r->busy && r->slot == slot);
	assert_true(r->dropped == (err == -ECANCELED));
	if (!err)
		check_page(w->pages[r - w->reads], r->content);
	else if (err == -ECANCELED)
		w->nr_canceled++;
	else
		assert_true(w->slots[slot].may_fail);
	w->nr_eio += err == -EIO;
	r->busy = false;
}

static void on_write_done(void *arg, u32 slot, int err)
{
	struct world *w = arg;

	assert_int_equal(w->slots[slot].state, SLOT_WRITING);
	assert_true(!err || w->write_failures);
	w->slots[slot].state = err ? SLOT_EMPTY : SLOT_HELD;
	w->nr_failed_writes += err != 0;
}

static struct world *world_make(u64 pool_bytes, u32 file_pages, u64 seed, enum swap_algo algo)
{
	struct world *w = &world;

	memset(w, 0, sizeof(*w));
	fake_ring_reset();
	w->seed = seed;
	w->config = (struct swap_config){
		.pool = pool_bytes, .algo = algo, .pool_bytes = pool_bytes,
		.file = file_pages ? 99 : -1, .file_bytes = file_pages * PAGE_SIZE, .checksum = true,
		.seed = SEED, .tag = TAG, .read_done = on_read_done, .write_done = on_write_done, .arg = w,
	};
	w->store = swap_store_create(&w->config);
	w->packer = swap_packer_create(algo, pool_bytes, SEED);
	assert_non_null(w->store);
	assert_non_null(w->packer);
	return w;
}

/* The figures against the model's. */
static void check_stats(const struct world *w)
{
	struct swap_store_stats stats;
	u32 held = 0, writing = 0;

	for (u32 i = 0; i < NR_SLOTS; i++) {
		held += w->slots[i].state == SLOT_HELD;
		writing += w->slots[i].state == SLOT_WRITING;
	}
	swap_store_stats(w->store, &stats);
	assert_true(stats.pool_bytes <= w->config.pool_bytes);
	assert_true(stats.pool_bytes <= stats.pool_bytes_max);
	assert_true(stats.pool_bytes_max <= w->config.pool_bytes);
	assert_true(stats.packed_bytes <= stats.pool_bytes);
	assert_true(stats.same_pages <= stats.pool_pages && stats.pool_pages <= held);
	assert_true(stats.file_pages <= w->config.file_bytes / PAGE_SIZE);
	assert_true(stats.pool_pages + stats.file_pages >= held + writing);
	assert_true(w->config.pool_bytes || stats.pool_pages == stats.same_pages);
	if (!swap_store_busy(w->store))
		assert_int_equal(stats.pool_pages + stats.file_pages, held);
	assert_int_equal(swap_store_busy(w->store) > 0, fake_ring_pending() > 0);
}

static void world_put(struct world *w, u32 slot, u64 content)
{
	static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE];
	static struct packed packed;
	struct model_slot *s = &w->slots[slot];
	int ret;

	page_fill_any(page, content);
	swap_pack(w->packer, page, &packed);
	ret = swap_store_put(w->store, slot, &packed);
	switch (ret) {
	case 0:
	case -EINPROGRESS:
		*s = (struct model_slot){ ret ? SLOT_WRITING : SLOT_HELD, content, false };
		assert_true(swap_store_matches(w->store, slot, packed.hash));
		return;
	case -EAGAIN:
		assert_true(fake_ring_pending() > 0);
		w->nr_again++;
		return;
	default:
		assert_int_equal(ret, -ENOSPC);
		w->nr_nospace++;
	}
}

static void world_get(struct world *w, u32 slot)
{
	struct model_slot *s = &w->slots[slot];
	struct model_read *r = NULL;
	u8 *page;
	int ret;

	for (u32 i = 0; i < NR_READS && !r; i++)
		if (!w->reads[i].busy)
			r = &w->reads[i];
	if (!r)
		return;
	page = w->pages[r - w->reads];
	ret = swap_store_get_now(w->store, slot, page);
	if (ret == -EAGAIN) {
		ret = swap_store_get(w->store, slot, page, r);
		assert_true(ret == -EINPROGRESS);
		*r = (struct model_read){ true, false, slot, s->content };
	} else if (ret == -EIO) {
		assert_true(s->may_fail);
		assert_int_equal(swap_store_get(w->store, slot, page, r), -EIO);
	} else {
		assert_int_equal(ret, 0);
		check_page(page, s->content);
	}
}

static void world_drop(struct world *w, u32 slot)
{
	swap_store_drop(w->store, slot);
	w->slots[slot].state = SLOT_EMPTY;
	for (u32 i = 0; i < NR_READS; i++)
		if (w->reads[i].busy && w->reads[i].slot == slot)
			w->reads[i].dropped = true;
}

/* Request i ends: mostly well, else interrupted, short, or with an error. */
static void world_end(struct world *w, u32 i)
{
	const struct fake_request *r = fake_ring_request(i);
	u32 failures = r->write ? w->write_failures : w->read_failures;
	u32 len = r->len;
	int res = 0;
	u64 tag;

	if (next_random(&w->seed, 100) < failures) {
		static const int errors[] = { -EIO, -EIO, -ENOSPC, -EINTR, -EAGAIN, 0, 0 };

		res = errors[next_random(&w->seed, ARRAY_SIZE(errors))];
		len = next_random(&w->seed, r->len);
	}
	if (!r->write && (len < r->len || res < 0))
		for (u32 k = 0; k < NR_READS; k++)
			if (w->pages[k] == r->buf && !w->reads[k].dropped)
				w->slots[w->reads[k].slot].may_fail = true;
	res = fake_ring_end(i, len, res, &tag);
	assert_true(tag >= TAG && tag < TAG + (1ULL << 32));
	swap_store_event(w->store, tag, res);
}

static void world_settle(struct world *w)
{
	while (fake_ring_pending())
		world_end(w, next_random(&w->seed, fake_ring_pending()));
	check_stats(w);
}

static void world_run(struct world *w, u32 steps, u32 nr_slots)
{
	for (u32 step = 0; step < steps; step++) {
		u32 slot = next_random(&w->seed, nr_slots);

		if (fake_ring_pending() && next_random(&w->seed, 3) == 0)
			world_end(w, next_random(&w->seed, fake_ring_pending()));
		if (w->slots[slot].state == SLOT_EMPTY)
			world_put(w, slot, step % 7 ? w->seed >> 8 : 0);
		else if (next_random(&w->seed, 3))
			world_get(w, slot);
		else
			world_drop(w, slot);
		if (next_random(&w->seed, 500) == 0)
			swap_store_spill(w->store);
		if (step % 200 == 0)
			check_stats(w);
	}
}

/* Everything is read once more, everything goes, nothing is left. */
static void world_end_all(struct world *w)
{
	struct swap_store_stats stats;

	world_settle(w);
	for (u32 slot = 0; slot < NR_SLOTS; slot++) {
		if (w->slots[slot].state == SLOT_HELD)
			world_get(w, slot);
		world_settle(w);
	}
	for (u32 slot = 0; slot < NR_SLOTS; slot++)
		world_drop(w, slot);
	swap_store_stats(w->store, &stats);
	assert_int_equal(stats.pool_pages, 0);
	assert_int_equal(stats.packed_bytes, 0);
	assert_int_equal(stats.file_pages, 0);
	swap_store_destroy(w->store);
	swap_packer_destroy(w->packer);
}

static void test_store_random_use_of_pool_matches_model(void **state)
{
	static const u64 pools[] = { 8192, 100000, 1 << 20, 64 << 20 };

	for (u32 i = 0; i < 2 * ARRAY_SIZE(pools); i++) {
		struct world *w = world_make(pools[i / 2], 0, i, i % 2 ? SWAP_ZSTD : SWAP_LZ4);

		world_run(w, 6000, 1000);
		assert_int_equal(w->nr_nospace > 0, i / 2 < 3);
		assert_int_equal(w->nr_again, 0);
		world_end_all(w);
	}
}

static void test_store_random_use_of_file_matches_model(void **state)
{
	static const u32 files[] = { 1, 100, 700, FAKE_DISK_PAGES };
	u32 nr_canceled = 0;

	for (u32 i = 0; i < ARRAY_SIZE(files); i++) {
		struct world *w = world_make(0, files[i], i, SWAP_LZ4);

		world_run(w, 6000, 1000);
		assert_int_equal(w->nr_nospace > 0, files[i] < 700);
		nr_canceled += w->nr_canceled;
		world_end_all(w);
	}
	assert_true(nr_canceled > 50);
}

static void test_store_random_use_of_pool_and_file_matches_model(void **state)
{
	static const u64 pools[] = { 8192, 100000, 1 << 20, 64 << 20 };
	static const u32 files[] = { 30, 300, FAKE_DISK_PAGES };
	u64 spilled = 0;

	for (u32 i = 0; i < ARRAY_SIZE(pools) * ARRAY_SIZE(files); i++) {
		struct world *w = world_make(pools[i / 3], files[i % 3], i, i % 2 ? SWAP_ZSTD : SWAP_LZ4);
		struct swap_store_stats stats;

		world_run(w, 6000, 1500);
		swap_store_stats(w->store, &stats);
		spilled += stats.spilled;
		world_end_all(w);
	}
	assert_true(spilled > 1000);
}

/* As before, on a disk that fails: what was held is lost only where a read of it failed. */
static void test_store_random_failures_lose_only_what_could_not_be_read(void **state)
{
	u32 failed_writes = 0, eio = 0;

	for (u32 i = 0; i < 12; i++) {
		struct world *w = world_make(i % 2 ? 0 : 400000, FAKE_DISK_PAGES, i, SWAP_LZ4);

		w->write_failures = 3 + i * 3;
		w->read_failures = i % 3 ? 10 : 0;
		world_run(w, 6000, 1500);
		failed_writes += w->nr_failed_writes;
		eio += w->nr_eio;
		world_end_all(w);
	}
	assert_true(failed_writes > 300);
	assert_true(eio > 300);
}

/* ---- one behaviour each ---- */

/* A number for world_put() whose page is no word: the n-th of those. */
static u64 content_half(u64 n)
{
	u64 content = n * 1000, seed = content;

	while (next_random(&seed, NR_PAGE_KINDS) != PAGE_HALF)
		seed = ++content;
	return content;
}

/* Request i ends so. */
static void end_with(struct world *w, u32 i, u32 len, int res)
{
	u64 tag;

	res = fake_ring_end(i, len, res, &tag);
	swap_store_event(w->store, tag, res);
}

/* 40 puts in a row: the first goes alone, twice 16 collect behind it and are enough, 7 wait for any end. */
static void test_store_put_consecutive_pages_become_one_write(void **state)
{
	struct world *w = world_make(0, 256, 1, SWAP_LZ4);

	for (u32 slot = 0; slot < 40; slot++)
		world_put(w, slot, content_half(slot));
	assert_int_equal(fake_ring_pending(), 3);
	assert_int_equal(fake_ring_request(0)->len, PAGE_SIZE);
	for (u32 i = 1; i < 3; i++)
		assert_int_equal(fake_ring_request(i)->len, 16 * PAGE_SIZE);
	end_with(w, 0, PAGE_SIZE, 0);
	assert_int_equal(fake_ring_pending(), 3);
	assert_int_equal(fake_ring_request(2)->offset, 33 * PAGE_SIZE);
	assert_int_equal(fake_ring_request(2)->len, 7 * PAGE_SIZE);
	world_end_all(w);
}

/* The bundle as a whole fails, its pages one by one do not. */
static void test_store_put_bundle_fails_pages_are_tried_alone(void **state)
{
	struct world *w = world_make(0, 256, 1, SWAP_LZ4);
	struct swap_store_stats stats;

	for (u32 slot = 0; slot < 10; slot++)
		world_put(w, slot, content_half(slot));
	end_with(w, 0, PAGE_SIZE, 0);
	assert_int_equal(fake_ring_request(0)->len, 9 * PAGE_SIZE);
	end_with(w, 0, 0, -EIO);
	for (u32 slot = 1; slot < 10; slot++) {
		assert_int_equal(fake_ring_pending(), 1);
		assert_int_equal(fake_ring_request(0)->len, PAGE_SIZE);
		w->write_failures = slot == 7;
		end_with(w, 0, slot == 7 ? 0 : PAGE_SIZE, slot == 7 ? -EIO : 0);
	}
	assert_int_equal(w->nr_failed_writes, 1);
	assert_int_equal(w->slots[7].state, SLOT_EMPTY);
	swap_store_stats(w->store, &stats);
	assert_int_equal(stats.write_errors, 1);
	assert_int_equal(stats.file_pages, 9);
	world_end_all(w);
}

/* Half of it is written, then the rest. */
static void test_store_put_short_write_goes_on_behind_it(void **state)
{
	struct world *w = world_make(0, 256, 1, SWAP_LZ4);

	for (u32 slot = 0; slot < 10; slot++)
		world_put(w, slot, content_half(slot));
	end_with(w, 0, PAGE_SIZE, 0);
	end_with(w, 0, 4 * PAGE_SIZE + 100, 0);
	assert_int_equal(fake_ring_request(0)->offset, 5 * PAGE_SIZE);
	assert_int_equal(fake_ring_request(0)->len, 5 * PAGE_SIZE);
	world_end_all(w);
	assert_int_equal(w->nr_failed_writes, 0);
}

static void test_store_interrupted_requests_are_made_again(void **state)
{
	static const int interrupted[] = { -EINTR, -EAGAIN };
	struct world *w = world_make(0, 256, 1, SWAP_LZ4);

	world_put(w, 0, content_half(0));
	for (u32 i = 0; i < 2; i++)
		end_with(w, 0, 0, interrupted[i]);
	end_with(w, 0, PAGE_SIZE, 0);
	assert_int_equal(w->slots[0].state, SLOT_HELD);
	world_get(w, 0);
	for (u32 i = 0; i < 2; i++)
		end_with(w, 0, 0, interrupted[i]);
	world_end_all(w);
	assert_int_equal(w->nr_eio, 0);
}

/* Every other page fails: the file is used on, but never a page that failed. */
static void test_store_put_some_pages_fail_others_are_used(void **state)
{
	struct world *w = world_make(0, 800, 1, SWAP_LZ4);

	w->write_failures = 1;
	for (u32 slot = 0; slot < 800; slot++) {
		world_put(w, slot, content_half(slot));
		end_with(w, 0, slot % 2 ? PAGE_SIZE : 0, slot % 2 ? 0 : -EIO);
	}
	assert_int_equal(w->nr_failed_writes, 400);
	assert_int_equal(w->nr_nospace, 0);
	for (u32 slot = 0; slot < 800; slot++)
		world_drop(w, slot);
	w->write_failures = 0;
	for (u32 slot = 0; slot < 401; slot++) {
		world_put(w, slot, content_half(slot));
		world_settle(w);
	}
	assert_int_equal(w->nr_nospace, 1);
	world_end_all(w);
}

static void test_store_get_page_failed_is_never_written_again(void **state)
{
	struct world *w = world_make(0, 10, 1, SWAP_LZ4);

	for (u32 slot = 0; slot < 10; slot++)
		world_put(w, slot, content_half(slot));
	world_settle(w);
	for (u32 slot = 0; slot < 10; slot++)
		world_get(w, slot);
	w->slots[w->reads[3].slot].may_fail = true;
	for (u32 i = 0; i < 10; i++)
		if (fake_ring_request(i)->offset == 3 * PAGE_SIZE) {
			end_with(w, i, 0, -EIO);
			break;
		}
	world_settle(w);
	assert_int_equal(w->nr_eio, 1);
	for (u32 slot = 0; slot < 10; slot++)
		world_drop(w, slot);
	for (u32 slot = 0; slot < 10; slot++)
		world_put(w, slot, content_half(slot));
	assert_int_equal(w->nr_nospace, 1);
	world_end_all(w);
}

/* The pool and the file are full, but what goes from one to the other will make room: not ENOSPC yet. */
static void test_store_put_all_full_but_spilling_is_eagain(void **state)
{
	struct world *w = world_make(1 << 20, 20, 1, SWAP_LZ4);
	u32 slot = 0;

	while (!w->nr_again && !w->nr_nospace) {
		world_put(w, slot, content_half(slot));
		slot++;
	}
	assert_int_equal(w->nr_nospace, 0);
	world_settle(w);
	world_put(w, slot, content_half(slot));
	assert_int_equal(w->slots[slot].state, SLOT_HELD);
	while (!w->nr_nospace) {
		slot++;
		world_put(w, slot, content_half(slot));
		world_settle(w);
	}
	world_end_all(w);
}

/* The disk takes nothing: each write fails, then nothing more is tried, and the pool goes on by itself. */
static void test_store_put_disk_that_takes_nothing_is_given_up(void **state)
{
	struct world *w = world_make(0, FAKE_DISK_PAGES, 1, SWAP_LZ4);
	u32 slot = 0;

	w->write_failures = 100;
	for (; !w->nr_nospace && slot < NR_SLOTS; slot++) {
		world_put(w, slot, content_half(slot));
		while (fake_ring_pending())
			end_with(w, 0, 0, -ENOSPC);
	}
	assert_in_range(w->nr_failed_writes, 100, 300);
	world_end_all(w);
}

/* A page of the file whose bytes were changed behind our back. */
static void test_store_get_bytes_changed_on_disk_is_eio_for_good(void **state)
{
	struct world *w = world_make(0, 256, 1, SWAP_LZ4);
	struct swap_store_stats stats;
	u64 hash[2];

	page_fill(w->pages[0], PAGE_TEXT, 1);
	for (u32 slot = 0; slot < 2; slot++) {
		static struct packed packed;

		swap_pack(w->packer, w->pages[0], &packed);
		assert_int_equal(swap_store_put(w->store, slot, &packed), -EINPROGRESS);
		w->slots[slot].state = SLOT_WRITING;
	}
	world_settle(w);
	fake_disk[100] ^= 1; /* slot 0 is the first page */
	for (u32 slot = 0; slot < 2; slot++) {
		w->reads[slot] = (struct model_read){ .busy = true, .slot = slot };
		w->slots[slot].may_fail = slot == 0;
	}
	assert_int_equal(swap_store_get(w->store, 0, w->pages[0], &w->reads[0]), -EINPROGRESS);
	world_settle(w);
	assert_int_equal(w->nr_eio, 1);
	assert_int_equal(swap_store_get(w->store, 0, w->pages[0], &w->reads[0]), -EIO);
	assert_false(swap_store_hash(w->store, 0, hash));
	assert_true(swap_store_hash(w->store, 1, hash));
	assert_true(swap_store_matches(w->store, 1, hash));
	swap_store_stats(w->store, &stats);
	assert_int_equal(stats.checksum_errors, 1);
	assert_int_equal(stats.read_errors, 0);
	w->reads[1].busy = false;
	for (u32 slot = 0; slot < 2; slot++)
		world_drop(w, slot);
	world_end_all(w);
}

/* Without checksums the same goes unseen: it is they that tell. */
static void test_store_get_without_checksum_believes_the_disk(void **state)
{
	struct world *w = world_make(0, 256, 1, SWAP_LZ4);
	static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE];
	static struct packed packed;

	swap_store_destroy(w->store);
	w->config.checksum = false;
	w->store = swap_store_create(&w->config);
	page_fill_any(page, 2);
	swap_pack(w->packer, page, &packed);
	assert_int_equal(swap_store_put(w->store, 0, &packed), -EINPROGRESS);
	w->slots[0] = (struct model_slot){ SLOT_WRITING, 3, false };
	world_settle(w);
	page_fill_any(fake_disk, 3);
	world_get(w, 0);
	world_end_all(w);
}

/* While a page is spilled it is read from memory; when that write fails it stays in the pool. */
static void test_store_spill_write_fails_page_stays_readable(void **state)
{
	struct world *w = world_make(1 << 20, 1024, 1, SWAP_LZ4);
	struct swap_store_stats before, stats;
	u32 slot = 0;

	while (!fake_ring_pending()) {
		world_put(w, slot, slot);
		slot++;
	}
	swap_store_stats(w->store, &before);
	for (u32 i = 0; i < slot; i++)
		world_get(w, i);
	end_with(w, 0, 0, -EIO);
	world_settle(w);
	for (u32 i = 0; i < slot; i++) {
		world_get(w, i);
		world_settle(w);
	}
	swap_store_stats(w->store, &stats);
	assert_int_equal(stats.write_errors, 1);
	assert_true(stats.spilled > 0);
	world_end_all(w);
}

/* The oldest by last use go first. */
static void test_store_spill_takes_least_recently_used(void **state)
{
	struct world *w = world_make(1 << 20, 1024, 1, SWAP_LZ4);
	static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE];
	static struct packed packed;
	u32 slot = 0;

	for (; !fake_ring_pending(); slot++) {
		if (slot == 100)
			assert_int_equal(swap_store_get_now(w->store, 0, page), 0);
		page_fill(page, PAGE_HALF, slot);
		swap_pack(w->packer, page, &packed);
		assert_int_equal(swap_store_put(w->store, slot, &packed), 0);
	}
	while (fake_ring_pending())
		end_with(w, 0, UINT32_MAX, 0);
	for (u32 i = 1; i < 10; i++)
		assert_int_equal(swap_store_get_now(w->store, i, page), -EAGAIN);
	assert_int_equal(swap_store_get_now(w->store, 0, page), 0);
	assert_int_equal(swap_store_get_now(w->store, slot - 1, page), 0);
	for (u32 i = 0; i < slot; i++)
		swap_store_drop(w->store, i);
	world_end_all(w);
}

/* It shrinks to a little more than `bytes`. */
static void page_fill_bytes(u8 *page, u64 n, u32 bytes)
{
	page_fill(page, PAGE_RANDOM, n);
	memset(page + bytes, 0, PAGE_SIZE - bytes);
}

/* It shrinks to about 800 bytes. */
static void page_fill_small(u8 *page, u64 n)
{
	page_fill_bytes(page, n, 700);
}

/* Many small objects, of which few stay, must not keep large ones out: the sparse chunks are emptied. */
static void test_store_put_after_sizes_change_finds_room(void **state)
{
	struct world *w = world_make(4 << 20, 0, 1, SWAP_LZ4);
	static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE];
	static struct packed packed;
	u32 nr, large = 0, slot;
	int ret = 0;

	for (nr = 0; !ret; nr++) {
		page_fill_small(page, nr);
		swap_pack(w->packer, page, &packed);
		ret = swap_store_put(w->store, nr, &packed);
	}
	assert_int_equal(ret, -ENOSPC);
	assert_true(nr > 4000);
	slot = nr;
	for (u32 i = 0; i < nr; i++)
		if (i % 10)
			swap_store_drop(w->store, i);
	for (u32 round = 0; round < 2; round++) {
		for (ret = 0, large = 0; !ret; slot++, large++) {
			page_fill(page, PAGE_RANDOM, slot);
			swap_pack(w->packer, page, &packed);
			ret = swap_store_put(w->store, slot, &packed);
		}
		assert_true(round ? large > 40 : large > 700); /* 1024 would be the whole pool */
		for (u32 i = 0; i < nr && !round; i += 10) /* one in 30 stays */
			if (i % 30)
				swap_store_drop(w->store, i);
	}
	for (u32 i = 0; i < nr; i += 30) {
		static u8 expected[PAGE_SIZE];

		page_fill_small(expected, i);
		assert_int_equal(swap_store_get_now(w->store, i, page), 0);
		assert_memory_equal(page, expected, PAGE_SIZE);
	}
	for (u32 i = 0; i < slot; i++)
		swap_store_drop(w->store, i);
	world_end_all(w);
}

/*
 * One object of each smaller size leaves much room that no tidying can win; a put finds that out.  Then most of
 * the rest goes, in a scattered way: the next put must try again.
 */
static void test_store_put_after_tidying_in_vain_tries_again(void **state)
{
	struct world *w = world_make(900000, 0, 1, SWAP_LZ4);
	static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE];
	static struct packed packed;
	u32 slot = 0;
	int ret = 0;

	for (; !ret; slot++) {
		page_fill_bytes(page, slot, slot < 57 ? 64 * slot + 32 : 3700);
		swap_pack(w->packer, page, &packed);
		ret = swap_store_put(w->store, slot, &packed);
	}
	assert_int_equal(ret, -ENOSPC);
	assert_true(slot > 200);
	page_fill(page, PAGE_RANDOM, 1);
	swap_pack(w->packer, page, &packed);
	assert_int_equal(swap_store_put(w->store, slot, &packed), -ENOSPC);
	for (u32 i = 57; i < slot; i++)
		if (i % 4)
			swap_store_drop(w->store, i);
	assert_int_equal(swap_store_put(w->store, slot, &packed), 0);
	for (u32 i = 0; i <= slot; i++)
		swap_store_drop(w->store, i);
	world_end_all(w);
}

static void test_store_create_without_memory_returns_null(void **state)
{
	struct swap_config config = { .pool = true, .pool_bytes = 1 << 20, .file = 9, .file_bytes = 1 << 20 };
	struct swap_store *store = NULL;
	u32 n = 0;

	while (!store) {
		alloc_fail_at(++n);
		store = swap_store_create(&config);
	}
	assert_true(n > 5);
	alloc_fail_at(0);
	swap_store_destroy(store);
}

/* A put that finds no memory for the table changes nothing. */
static void test_store_put_without_memory_is_enomem_and_leaves_slot_empty(void **state)
{
	struct world *w = world_make(1 << 20, 0, 1, SWAP_LZ4);
	static struct packed packed;
	u64 hash[2];

	swap_pack(w->packer, fake_disk, &packed);
	for (u32 n = 1; n <= 2; n++) {
		alloc_fail_at(n);
		assert_int_equal(swap_store_put(w->store, 5, &packed), -ENOMEM);
		assert_false(swap_store_hash(w->store, 5, hash));
	}
	alloc_fail_at(3);
	assert_int_equal(swap_store_put(w->store, 5, &packed), 0);
	assert_true(alloc_fail_pending());
	alloc_fail_at(0);
	swap_store_drop(w->store, 5);
	world_end_all(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_random_use_of_pool_matches_model),
		cmocka_unit_test(test_store_random_use_of_file_matches_model),
		cmocka_unit_test(test_store_random_use_of_pool_and_file_matches_model),
		cmocka_unit_test(test_store_random_failures_lose_only_what_could_not_be_read),
		cmocka_unit_test(test_store_put_consecutive_pages_become_one_write),
		cmocka_unit_test(test_store_put_bundle_fails_pages_are_tried_alone),
		cmocka_unit_test(test_store_put_short_write_goes_on_behind_it),
		cmocka_unit_test(test_store_interrupted_requests_are_made_again),
		cmocka_unit_test(test_store_put_some_pages_fail_others_are_used),
		cmocka_unit_test(test_store_get_page_failed_is_never_written_again),
		cmocka_unit_test(test_store_put_all_full_but_spilling_is_eagain),
		cmocka_unit_test(test_store_put_disk_that_takes_nothing_is_given_up),
		cmocka_unit_test(test_store_get_bytes_changed_on_disk_is_eio_for_good),
		cmocka_unit_test(test_store_get_without_checksum_believes_the_disk),
		cmocka_unit_test(test_store_spill_write_fails_page_stays_readable),
		cmocka_unit_test(test_store_spill_takes_least_recently_used),
		cmocka_unit_test(test_store_put_after_sizes_change_finds_room),
		cmocka_unit_test(test_store_put_after_tidying_in_vain_tries_again),
		cmocka_unit_test(test_store_create_without_memory_returns_null),
		cmocka_unit_test(test_store_put_without_memory_is_enomem_and_leaves_slot_empty),
	};

	return RUN(tests);
}
