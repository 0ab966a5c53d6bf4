/* SPDX-License-Identifier: MIT */
/*
 * zpool.h - memory for compressed pages: objects of 64 to 4096 bytes, taken and given back in O(1).
 *
 * Who calls it: store.c, which keeps a handle of 32 bits for each object.  One thread.
 *
 *   the arena, one mapping:  | chunk 0, 64 KiB | chunk 1 | …        a chunk holds objects of one size class
 *   size classes: 64, 128, … 4096 bytes
 *   a chunk:      | object | object | …     | never used |          its pages are touched from the left
 *
 * The limit is on pages that were touched and not given back, with the table of chunks: what the pool really
 * takes.  At the limit an object may go into a free place of a larger class, and zpool_improve() empties
 * chunks that hold little.
 * Linux counterpart: mm/zsmalloc.c (size classes, fullness groups, compaction); ours has one mapping, so an
 * object is found by arithmetic and chunks need not be sewn together from pages.
 */
#ifndef UPAGER_SWAP_ZPOOL_H
#define UPAGER_SWAP_ZPOOL_H

#include "base/base.h"

#define ZPOOL_NONE UINT32_MAX

struct zpool;

/* A pool that never takes more than limit_bytes (at most 128 GiB are used).  NULL: no memory, no address space. */
struct zpool *zpool_create(u64 limit_bytes);
/* Objects still out are gone with it. */
void zpool_destroy(struct zpool *pool);

/* An object of len bytes (1..4096), aligned to 64, contents undefined.  ZPOOL_NONE: no room under the limit. */
u32 zpool_alloc(struct zpool *pool, u32 len);
void zpool_free(struct zpool *pool, u32 handle);
/* Where the object is, until it is freed or improved. */
void *zpool_at(const struct zpool *pool, u32 handle);
/* The bytes that the object occupies: its class's size. */
u32 zpool_size(const struct zpool *pool, u32 handle);

/*
 * Move the object into the chunk of its class that is being filled up.  Returns its handle, new or old.
 * Offered to all objects in turn, it leaves one chunk of each class partly used at the most.
 */
u32 zpool_improve(struct zpool *pool, u32 handle);

/* What the pool takes now: touched pages and the table of chunks. */
u64 zpool_bytes(const struct zpool *pool);
/* Of these, bytes occupied by objects (sum of zpool_size()). */
u64 zpool_used(const struct zpool *pool);
u64 zpool_limit(const struct zpool *pool);
/* Every counter and list against a recount; BUG when they differ.  O(chunks x objects): for tests. */
void zpool_verify(const struct zpool *pool);

#endif /* UPAGER_SWAP_ZPOOL_H */
