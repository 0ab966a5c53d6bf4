/* SPDX-License-Identifier: MIT */
/*
 * alloc.c - see alloc.h.
 *
 * A chunk is aligned to its size, so that an object finds its chunk by masking its address.  Freed
 * objects are linked through their first word; objects never handed out are found by `nr_fresh`, so
 * that a new chunk's pages are touched only as they are used.  Under ASan a free object is poisoned,
 * as heap memory would be.
 */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

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
/* What malloc puts before each block: left to it, chunks follow each other without a hole of their size. */
#define MALLOC_HEADER_BYTES 16

struct chunk {
	struct list_head list;
	void *free;   /* freed objects, linked through their first word */
	u32 nr_used;
	u32 nr_fresh; /* objects of the tail that were never handed out */
};

static u64 fail_countdown;

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

void slab_init(struct slab *slab, size_t object_bytes, u32 chunk_bytes, u64 *account)
{
	*slab = (struct slab){
		.object_bytes = (object_bytes + 7) & ~(size_t)7,
		.chunk_bytes = chunk_bytes,
		.account = account,
	};
	slab->objects_per_chunk = (chunk_bytes - CHUNK_HEADER_BYTES - MALLOC_HEADER_BYTES) /
				  slab->object_bytes;
	BUG_ON(sizeof(struct chunk) > CHUNK_HEADER_BYTES);
	BUG_ON(chunk_bytes & (chunk_bytes - 1));
	BUG_ON(object_bytes < sizeof(void *) || slab->objects_per_chunk < 2);
	list_init(&slab->partial);
	list_init(&slab->full);
}

static void chunk_free(struct slab *slab, struct chunk *c)
{
	list_del(&c->list);
	unpoison(c, slab->chunk_bytes - MALLOC_HEADER_BYTES);
	*slab->account -= slab->chunk_bytes;
	free(c);
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
	u32 bytes = slab->chunk_bytes - MALLOC_HEADER_BYTES;
	void *p;
	struct chunk *c;

	if (posix_memalign(&p, slab->chunk_bytes, bytes))
		return NULL;
	c = p;
	c->free = NULL;
	c->nr_used = 0;
	c->nr_fresh = slab->objects_per_chunk;
	poison((char *)c + CHUNK_HEADER_BYTES, bytes - CHUNK_HEADER_BYTES);
	list_add(&c->list, &slab->partial);
	slab->nr_empty++;
	*slab->account += slab->chunk_bytes;
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
	struct chunk *c = (struct chunk *)((uintptr_t)object & ~((uintptr_t)slab->chunk_bytes - 1));

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
