/* SPDX-License-Identifier: MIT */
/*
 * alloc.c - see alloc.h.
 *
 * A chunk is aligned to its size, so that an object finds its chunk by masking its address.  Freed
 * objects are linked through their first word; objects never handed out are found by `nr_fresh`, so
 * that a new chunk's pages are touched only as they are used.  Under ASan a free object is poisoned,
 * as heap memory would be.
 *
 * A chunk's size is such that the objects' first lines fall into all sets of the cache, not only into a few.
 * The chunks of all slabs are cut from blocks of the size of a huge page.  The first block has small pages, which
 * come as they are touched: most programs need no more.  The others ask for a huge page: objects are visited
 * in the order of the program's faults, so with small pages each visit would walk the host's page tables.
 */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define poison(p, bytes)   __asan_poison_memory_region(p, bytes)
#define unpoison(p, bytes) __asan_unpoison_memory_region(p, bytes)
#else
#define poison(p, bytes)   ((void)(p))
#define unpoison(p, bytes) ((void)(p))
#endif

#define CHUNK_HEADER_BYTES 64
#define BLOCK_BYTES        (2u << 20)
#define CHUNKS_PER_BLOCK   (BLOCK_BYTES / SLAB_CHUNK_BYTES)
#define ALL_CHUNKS         UINT32_MAX

struct block {
	struct list_head list; /* on `blocks` while a chunk is free */
	u32 free;              /* a bit for each chunk */
	char *mem;             /* BLOCK_BYTES, aligned to as much */
};

struct chunk {
	struct list_head list;
	struct block *block;
	void *free;   /* freed objects, linked through their first word */
	u32 nr_used;
	u32 nr_fresh; /* objects of the tail that were never handed out */
};

static u64 fail_countdown;
static struct list_head blocks = LIST_HEAD_INIT(blocks); /* those with a free chunk */
static u32 nr_blocks;                                    /* all of them */

void alloc_fail_at(u64 nth)
{
	fail_countdown = nth;
}

bool alloc_fail_pending(void)
{
	return fail_countdown != 0;
}

static bool must_fail(void)
{
	return unlikely(fail_countdown) && --fail_countdown == 0;
}

void *mem_zalloc(u64 *account, size_t bytes)
{
	void *p = must_fail() ? NULL : calloc(1, bytes);

	if (p)
		*account += bytes;
	return p;
}

void mem_free(u64 *account, void *p, size_t bytes)
{
	if (!p)
		return;
	BUG_ON(*account < bytes);
	*account -= bytes;
	free(p);
}

void *mem_grow(u64 *account, void *p, size_t old_bytes, size_t new_bytes)
{
	char *q;

	BUG_ON(new_bytes < old_bytes);
	q = must_fail() ? NULL : realloc(p, new_bytes);
	if (!q)
		return NULL;
	memset(q + old_bytes, 0, new_bytes - old_bytes);
	*account += new_bytes - old_bytes;
	return q;
}

void slab_init(struct slab *slab, size_t object_bytes, u64 *account)
{
	*slab = (struct slab){
		.object_bytes = (object_bytes + 7) & ~(size_t)7,
		.account = account,
	};
	slab->objects_per_chunk = (SLAB_CHUNK_BYTES - CHUNK_HEADER_BYTES) / slab->object_bytes;
	BUG_ON(sizeof(struct chunk) > CHUNK_HEADER_BYTES);
	BUG_ON(CHUNKS_PER_BLOCK != 32); /* the bits of block.free */
	BUG_ON(object_bytes < sizeof(void *) || slab->objects_per_chunk < 2);
	list_init(&slab->partial);
	list_init(&slab->full);
}

static struct block *block_alloc(void)
{
	struct block *b = malloc(sizeof(*b));
	void *mem;

	if (!b)
		return NULL;
	if (posix_memalign(&mem, BLOCK_BYTES, BLOCK_BYTES)) {
		free(b);
		return NULL;
	}
	b->mem = mem;
	b->free = ALL_CHUNKS;
	if (nr_blocks++)
		(void)madvise(mem, BLOCK_BYTES, MADV_HUGEPAGE); /* a wish */
	list_add(&b->list, &blocks);
	return b;
}

static void block_free(struct block *b)
{
	list_del(&b->list);
	nr_blocks--;
	free(b->mem);
	free(b);
}

static void chunk_free(struct slab *slab, struct chunk *c)
{
	struct block *b = c->block;

	list_del(&c->list);
	unpoison(c, SLAB_CHUNK_BYTES);
	*slab->account -= SLAB_CHUNK_BYTES;
	if (!b->free)
		list_add(&b->list, &blocks);
	b->free |= 1u << ((char *)c - b->mem) / SLAB_CHUNK_BYTES;
	if (b->free == ALL_CHUNKS)
		block_free(b);
	else
		(void)madvise(c, SLAB_CHUNK_BYTES, MADV_DONTNEED); /* its bytes are nobody's */
}

void slab_fini(struct slab *slab)
{
	struct chunk *c, *tmp;

	BUG_ON(slab->nr_used || !list_empty(&slab->full));
	list_for_each_entry_safe(c, tmp, &slab->partial, list)
		chunk_free(slab, c);
}

static struct chunk *chunk_alloc(struct slab *slab)
{
	struct block *b = list_empty(&blocks) ? block_alloc() :
						list_first_entry(&blocks, struct block, list);
	struct chunk *c;
	u32 i;

	if (!b)
		return NULL;
	i = (u32)__builtin_ctz(b->free);
	b->free &= ~(1u << i);
	if (!b->free)
		list_del(&b->list);
	c = (struct chunk *)(b->mem + i * SLAB_CHUNK_BYTES);
	c->block = b;
	c->free = NULL;
	c->nr_used = 0;
	c->nr_fresh = slab->objects_per_chunk;
	poison((char *)c + CHUNK_HEADER_BYTES, SLAB_CHUNK_BYTES - CHUNK_HEADER_BYTES);
	list_add(&c->list, &slab->partial);
	slab->nr_empty++;
	*slab->account += SLAB_CHUNK_BYTES;
	return c;
}

void *slab_alloc(struct slab *slab)
{
	struct chunk *c;
	void *object;

	if (must_fail())
		return NULL;
	if (!list_empty(&slab->partial))
		c = list_first_entry(&slab->partial, struct chunk, list);
	else
		c = chunk_alloc(slab);
	if (!c)
		return NULL;

	if (c->free) {
		object = c->free;
		unpoison(object, slab->object_bytes);
		c->free = *(void **)object;
	} else {
		u32 i = slab->objects_per_chunk - c->nr_fresh--;

		object = (char *)c + CHUNK_HEADER_BYTES + i * slab->object_bytes;
		unpoison(object, slab->object_bytes);
	}
	if (c->nr_used++ == 0)
		slab->nr_empty--;
	if (c->nr_used == slab->objects_per_chunk) {
		list_del(&c->list);
		list_add(&c->list, &slab->full);
	}
	slab->nr_used++;
	memset(object, 0, slab->object_bytes);
	return object;
}

void slab_free(struct slab *slab, void *object)
{
	struct chunk *c = (struct chunk *)((uintptr_t)object & ~((uintptr_t)SLAB_CHUNK_BYTES - 1));

	BUG_ON(!c->nr_used || !slab->nr_used);
	if (c->nr_used == slab->objects_per_chunk) {
		list_del(&c->list);
		list_add(&c->list, &slab->partial);
	}
	*(void **)object = c->free;
	c->free = object;
	poison(object, slab->object_bytes);
	slab->nr_used--;
	if (--c->nr_used)
		return;
	if (slab->nr_empty)
		chunk_free(slab, c);
	else
		slab->nr_empty++;
}
