/* SPDX-License-Identifier: MIT */
/* pack: every page comes back as it was; same-filled pages are a word; what does not shrink is kept raw. */
#include <zstd.h>

#include "pages.h"
#include "swap/pack.h"

#define SEED 0x5eed

static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE], back[PAGE_SIZE];

/* Pack `page`, unpack it, compare; returns the kind. */
static enum packed_kind round_trip(struct swap_packer *packer)
{
	static struct packed packed;
	ZSTD_DCtx *zstd = ZSTD_createDCtx();

	swap_pack(packer, page, &packed);
	memset(back, 0xa5, sizeof(back));
	if (packed.kind == PACKED_SAME) {
		assert_int_equal(packed.len, 0);
		unpack_same(packed.word, back);
	} else {
		assert_in_range(packed.len, 1, PAGE_SIZE);
		unpack(zstd, packed.kind, packed.data, packed.len, back);
	}
	assert_memory_equal(page, back, PAGE_SIZE);
	ZSTD_freeDCtx(zstd);
	return packed.kind;
}

static enum packed_kind round_trip_of(enum swap_algo algo, bool compress, enum page_kind kind)
{
	struct swap_packer *packer = swap_packer_create(algo, compress, SEED);
	enum packed_kind got;

	assert_non_null(packer);
	page_fill(page, kind, 1);
	got = round_trip(packer);
	swap_packer_destroy(packer);
	return got;
}

static void test_swap_pack_each_kind_of_page_takes_its_form(void **state)
{
	static const enum packed_kind forms[] = { [SWAP_LZ4] = PACKED_LZ4, [SWAP_ZSTD] = PACKED_ZSTD };

	for (enum swap_algo algo = SWAP_LZ4; algo <= SWAP_ZSTD; algo++) {
		assert_int_equal(round_trip_of(algo, true, PAGE_ZERO), PACKED_SAME);
		assert_int_equal(round_trip_of(algo, true, PAGE_SAME), PACKED_SAME);
		assert_int_equal(round_trip_of(algo, true, PAGE_TEXT), forms[algo]);
		assert_int_equal(round_trip_of(algo, true, PAGE_HALF), forms[algo]);
		assert_int_equal(round_trip_of(algo, true, PAGE_RANDOM), PACKED_RAW);
		assert_int_equal(round_trip_of(algo, false, PAGE_ZERO), PACKED_SAME);
		assert_int_equal(round_trip_of(algo, false, PAGE_TEXT), PACKED_RAW);
	}
}

/* A page random up to byte n and zero behind it, for every n: all lengths, and the change to raw. */
static void test_swap_pack_every_share_of_random_round_trips(void **state)
{
	for (enum swap_algo algo = SWAP_LZ4; algo <= SWAP_ZSTD; algo++) {
		struct swap_packer *packer = swap_packer_create(algo, true, SEED);
		u32 raw = 0;

		for (size_t n = 0; n < PAGE_SIZE; n += algo == SWAP_LZ4 ? 1 : 7) {
			page_fill(page, PAGE_RANDOM, n);
			memset(page + n, 0, PAGE_SIZE - n);
			raw += round_trip(packer) == PACKED_RAW;
		}
		assert_in_range(raw, 10, PAGE_SIZE / 8);
		swap_packer_destroy(packer);
	}
}

/* One byte off, anywhere: no longer the same everywhere. */
static void test_swap_pack_one_byte_off_is_not_same_filled(void **state)
{
	struct swap_packer *packer = swap_packer_create(SWAP_LZ4, true, SEED);

	for (size_t at = 0; at < PAGE_SIZE; at++) {
		page_fill(page, PAGE_SAME, 3);
		page[at] ^= 1;
		assert_int_equal(round_trip(packer), PACKED_LZ4);
	}
	swap_packer_destroy(packer);
}

static void test_swap_hash_depends_on_every_byte_and_the_seed(void **state)
{
	struct swap_packer *a = swap_packer_create(SWAP_LZ4, true, SEED);
	struct swap_packer *b = swap_packer_create(SWAP_LZ4, true, SEED + 1);
	static struct packed packed;
	u64 base[2], hash[2];

	page_fill(page, PAGE_TEXT, 1);
	swap_pack(a, page, &packed);
	swap_hash(a, page, base);
	assert_memory_equal(base, packed.hash, sizeof(base));
	swap_hash(b, page, hash);
	assert_memory_not_equal(base, hash, sizeof(base));
	for (size_t at = 0; at < PAGE_SIZE; at++) {
		page[at] ^= 0x80;
		swap_hash(a, page, hash);
		assert_memory_not_equal(base, hash, sizeof(base));
		page[at] ^= 0x80;
	}
	swap_packer_destroy(a);
	swap_packer_destroy(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_swap_pack_each_kind_of_page_takes_its_form),
		cmocka_unit_test(test_swap_pack_every_share_of_random_round_trips),
		cmocka_unit_test(test_swap_pack_one_byte_off_is_not_same_filled),
		cmocka_unit_test(test_swap_hash_depends_on_every_byte_and_the_seed),
	};

	return RUN(tests);
}
