/* SPDX-License-Identifier: MIT */
/*
 * alloc.h - the only way that the model gets memory: counted, made to fail on request, and slabs.
 *
 * Who calls it: lib/mm for every object.  Each allocation names an account, a byte counter of the
 * caller's, so that "how much memory does the model hold" is a sum and not an estimate.
 * Linux counterpart: slab.h and fault-inject.h.
 */
#ifndef UPAGER_ALLOC_H
#define UPAGER_ALLOC_H

#include "base/base.h"
#include "base/list.h"

/*
 * Make the nth allocation from now on fail (1: the next one), once.  0: none.  For tests: count n up
 * until alloc_fail_pending() is still true after the operation, and every path has failed once.
 */
void alloc_fail_at(u64 nth);
/* True while a failure asked for has not yet happened. */
bool alloc_fail_pending(void);

/* `bytes` zeroed bytes, added to *account; NULL: no memory.  Freed with the same account and size. */
void *mem_zalloc(u64 *account, size_t bytes);
/* p may be NULL. */
void mem_free(u64 *account, void *p, size_t bytes);
/*
 * Grow an array from old_bytes to new_bytes; the new part is zeroed.
 * Return: the array, or NULL with the old one untouched.
 */
void *mem_grow(u64 *account, void *p, size_t old_bytes, size_t new_bytes);

#define SLAB_CHUNK_BYTES (64u << 10)

/*
 * A cache of objects of one size, taken from chunks; an empty chunk's memory goes back to the system, but for
 * one that is kept.  All slabs are of one thread.  Objects come zeroed and aligned to 64 bytes when their size is a multiple of 64,
 * else to 8.
 */
struct slab {
	size_t object_bytes;
	u32 objects_per_chunk;
	u64 *account;             /* chunks are charged to it */
	struct list_head partial; /* chunks with a free object */
	struct list_head full;
	u32 nr_empty;             /* chunks on `partial` without an object: 0 or 1 */
	u64 nr_used;              /* objects out */
};

/* Pre: 8 <= object_bytes and at least 2 objects fit into a chunk. */
void slab_init(struct slab *slab, size_t object_bytes, u64 *account);
/* Pre: every object has been freed. */
void slab_fini(struct slab *slab);
/* A zeroed object, or NULL for lack of memory. */
void *slab_alloc(struct slab *slab);
void slab_free(struct slab *slab, void *object);

#endif /* UPAGER_ALLOC_H */
