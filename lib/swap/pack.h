/* SPDX-License-Identifier: MIT */
/*
 * pack.h - what the store needs of pack.c besides the public swap_pack(): the way back.
 *
 * Who calls it: store.c and file.c.
 */
#ifndef UPAGER_SWAP_PACK_H
#define UPAGER_SWAP_PACK_H

#include "swap/store.h"

struct ZSTD_DCtx_s; /* ZSTD_DCtx */

/* XXH3_128 of the page: what swap_hash() gives with a packer of this seed. */
void swap_hash_seeded(u64 seed, const void *page, u64 hash[2]);
/* Fill the page with the word. */
void unpack_same(u64 word, void *page);
/*
 * The page from `len` bytes that swap_pack() made.  zstd: needed for PACKED_ZSTD, else may be NULL.
 * Pre: kind is not PACKED_SAME; the bytes are what swap_pack() made (else BUG: they were in our memory).
 */
void unpack(struct ZSTD_DCtx_s *zstd, enum packed_kind kind, const void *data, u32 len, void *page);

#endif /* UPAGER_SWAP_PACK_H */
