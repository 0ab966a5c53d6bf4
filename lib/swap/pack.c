/* SPDX-License-Identifier: MIT */
/*
 * pack.c - one page made ready to be stored: hashed, found to be one word repeated, or compressed; and back.
 *
 * Who calls it: any thread, with a packer of its own, to pack; the store's owner to unpack (store.c).
 * It knows bytes only.  Linux counterpart: zswap_compress() and zswap_is_page_same_filled() in mm/zswap.c.
 */
#include <lz4.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "swap/pack.h"

#define ZSTD_LEVEL 1

/* A page that does not shrink below this is kept as it is: what it saves is not worth unpacking it. */
#define PACKED_MAX (PAGE_SIZE / 16 * 15)

struct swap_packer {
	bool compress;
	enum swap_algo algo;
	u64 seed;
	void *lz4;       /* LZ4's hash table; NULL: not needed */
	ZSTD_CCtx *zstd; /* NULL: not needed */
	u64 account;
};

struct swap_packer *swap_packer_create(enum swap_algo algo, bool compress, u64 seed)
{
	u64 account = 0;
	struct swap_packer *packer = mem_zalloc(&account, sizeof(*packer));

	if (!packer)
		return NULL;
	*packer = (struct swap_packer){
		.compress = compress, .algo = algo, .seed = seed, .account = account
	};
	if (!compress)
		return packer;
	if (algo == SWAP_LZ4)
		packer->lz4 = mem_zalloc(&packer->account, (size_t)LZ4_sizeofState());
	else
		packer->zstd = ZSTD_createCCtx();
	if (!packer->lz4 && !packer->zstd) {
		swap_packer_destroy(packer);
		return NULL;
	}
	return packer;
}

void swap_packer_destroy(struct swap_packer *packer)
{
	u64 account;

	if (!packer)
		return;
	mem_free(&packer->account, packer->lz4, (size_t)LZ4_sizeofState());
	ZSTD_freeCCtx(packer->zstd);
	account = packer->account;
	mem_free(&account, packer, sizeof(*packer));
}

void swap_hash_seeded(u64 seed, const void *page, u64 hash[2])
{
	XXH128_hash_t h = XXH3_128bits_withSeed(page, PAGE_SIZE, seed);

	hash[0] = h.low64;
	hash[1] = h.high64;
}

void swap_hash(const struct swap_packer *packer, const void *page, u64 hash[2])
{
	swap_hash_seeded(packer->seed, page, hash);
}

/* The page equals itself moved by a word, so all words are equal.  The last word tells most pages at once. */
static bool same_filled(const void *page, u64 *word)
{
	const u64 *words = page;

	*word = words[0];
	return words[PAGE_SIZE / 8 - 1] == words[0] && !memcmp(words, words + 1, PAGE_SIZE - 8);
}

/* Returns the length, or 0: it does not shrink to PACKED_MAX. */
static u32 compress_page(struct swap_packer *packer, const void *page, u8 *out)
{
	size_t len;

	if (packer->algo == SWAP_LZ4)
		return (u32)LZ4_compress_fast_extState(packer->lz4, page, (char *)out, PAGE_SIZE,
						       PACKED_MAX, 1);
	len = ZSTD_compressCCtx(packer->zstd, out, PACKED_MAX, page, PAGE_SIZE, ZSTD_LEVEL);
	return ZSTD_isError(len) ? 0 : (u32)len;
}

void swap_pack(struct swap_packer *packer, const void *page, struct packed *out)
{
	swap_hash(packer, page, out->hash);
	if (same_filled(page, &out->word)) {
		out->kind = PACKED_SAME;
		out->len = 0;
		return;
	}
	out->word = 0;
	out->len = packer->compress ? compress_page(packer, page, out->data) : 0;
	if (out->len) {
		out->kind = packer->algo == SWAP_LZ4 ? PACKED_LZ4 : PACKED_ZSTD;
		return;
	}
	out->kind = PACKED_RAW;
	out->len = PAGE_SIZE;
	memcpy(out->data, page, PAGE_SIZE);
}

void unpack_same(u64 word, void *page)
{
	u64 *words = page;

	for (size_t i = 0; i < PAGE_SIZE / 8; i++)
		words[i] = word;
}

void unpack(struct ZSTD_DCtx_s *zstd, enum packed_kind kind, const void *data, u32 len, void *page)
{
	size_t got = 0;

	switch (kind) {
	case PACKED_LZ4:
		got = (size_t)LZ4_decompress_safe(data, page, (int)len, PAGE_SIZE);
		break;
	case PACKED_ZSTD:
		got = ZSTD_decompressDCtx(zstd, page, PAGE_SIZE, data, len);
		break;
	case PACKED_RAW:
		memcpy(page, data, len);
		got = len;
		break;
	case PACKED_SAME:
		BUG("a page that is one word has no bytes to unpack");
	}
	BUG_ON(got != PAGE_SIZE); /* the bytes never left our memory: something of ours wrote over them */
}
