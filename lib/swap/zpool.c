/* SPDX-License-Identifier: MIT */
/*
 * zpool.c - see zpool.h.
 *
 * A handle is the object's offset in the arena in granules of 64 bytes; the chunk is its upper part.  A chunk is
 *
 *      cold     no object, no memory: its pages were given back, or never touched      list `cold`, or >= nr_ever
 *      warm     no object, but its pages are still there for the next class            list `warm`
 *      partial  has objects and a place for one more                                   partial[class]
 *      full                                                                            no list
 *
 * Places are taken from the head of a partial list, and there goes a chunk that was full: the fuller are filled
 * up, the sparse may run empty.  So the last of a list is the only one that may have places never given out; all
 * others have freed places, which cost nothing.  Freed places are linked through their first two bytes.
 */
#include "swap/zpool.h"

#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/check.h"

#define GRANULE        64u
#define CHUNK_BYTES    65536u
#define CHUNK_GRANULES (CHUNK_BYTES / GRANULE)
#define NR_CLASSES     (PAGE_SIZE / GRANULE)
#define ARENA_MAX      (128ULL << 30) /* what 32-bit handles reach, with room to spare */
#define WARM_MAX       8u
#define NONE           UINT32_MAX
#define NO_PLACE       UINT16_MAX

struct zchunk {
	u32 prev, next; /* circular partial list, or `next` alone: cold and warm; chunk numbers */
	u16 used;       /* objects */
	u16 free;       /* first freed place, granules from the chunk's start; NO_PLACE: none */
	u16 fresh;      /* granules from the start that were ever given out, since it got its class */
	u8 class;       /* objects take class + 1 granules */
	u8 touched;     /* pages that have memory, from the left */
};

/*
 * Invariants: (1) bytes == pages touched + table in use <= limit; (2) mask bit == partial list not empty;
 * (3) only the last chunk of a partial list has places that were never given out.
 */
struct zpool {
	u8 *arena;
	struct zchunk *chunks;
	u32 nr_chunks;
	u32 nr_ever; /* chunks that were ever used */
	u32 cold, warm, nr_warm;
	u32 partial[NR_CLASSES]; /* first of the list; NONE: empty */
	u64 mask;
	u64 limit, bytes, used;
	u64 account;
};

_Static_assert(NR_CLASSES == 64, "one bit of `mask` each");

static u64 arena_bytes(const struct zpool *pool)
{
	return (u64)pool->nr_chunks * CHUNK_BYTES;
}

struct zpool *zpool_create(u64 limit_bytes)
{
	u64 account = 0;
	struct zpool *pool = mem_zalloc(&account, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->limit = u64_min(limit_bytes, ARENA_MAX);
	/* Each class may hold one chunk that is touched in part, besides those that are touched whole. */
	pool->nr_chunks = (u32)(pool->limit / CHUNK_BYTES + NR_CLASSES + 1);
	pool->cold = pool->warm = NONE;
	memset(pool->partial, 0xff, sizeof(pool->partial));
	pool->chunks = mem_zalloc(&pool->account, pool->nr_chunks * sizeof(*pool->chunks));
	if (!pool->chunks)
		goto free_pool;
	pool->arena = mmap(NULL, arena_bytes(pool), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->arena == MAP_FAILED)
		goto free_chunks;
	/* A huge page would take memory that nobody counted.  Refused where there are none: as good. */
	madvise(pool->arena, arena_bytes(pool), MADV_NOHUGEPAGE);
	return pool;

free_chunks:
	mem_free(&pool->account, pool->chunks, pool->nr_chunks * sizeof(*pool->chunks));
free_pool:
	mem_free(&account, pool, sizeof(*pool));
	return NULL;
}

void zpool_destroy(struct zpool *pool)
{
	u64 account = sizeof(*pool);

	if (!pool)
		return;
	munmap(pool->arena, arena_bytes(pool));
	mem_free(&pool->account, pool->chunks, pool->nr_chunks * sizeof(*pool->chunks));
	mem_free(&account, pool, sizeof(*pool));
}

static u32 class_granules(u32 class)
{
	return class + 1;
}

/* ---- partial lists ---- */

static void partial_insert(struct zpool *pool, u32 n)
{
	struct zchunk *c = &pool->chunks[n];
	u32 *first = &pool->partial[c->class];

	if (*first == NONE) {
		c->prev = c->next = n;
		*first = n;
		pool->mask |= 1ULL << c->class;
		return;
	}
	c->next = *first;
	c->prev = pool->chunks[*first].prev;
	pool->chunks[c->prev].next = n;
	pool->chunks[c->next].prev = n;
	*first = n;
}

static void partial_remove(struct zpool *pool, u32 n)
{
	struct zchunk *c = &pool->chunks[n];
	u32 *first = &pool->partial[c->class];

	if (c->next == n) {
		*first = NONE;
		pool->mask &= ~(1ULL << c->class);
		return;
	}
	pool->chunks[c->prev].next = c->next;
	pool->chunks[c->next].prev = c->prev;
	if (*first == n)
		*first = c->next;
}

/* It has places that were never given out. */
static bool chunk_grows(const struct zchunk *c)
{
	return c->fresh + class_granules(c->class) <= CHUNK_GRANULES;
}

static bool chunk_full(const struct zchunk *c)
{
	return c->free == NO_PLACE && !chunk_grows(c);
}

/* ---- chunks ---- */

/* Pages that the next object of c will touch for the first time. */
static u32 chunk_new_pages(const struct zchunk *c)
{
	u32 end = (c->fresh + class_granules(c->class)) * GRANULE;
	u32 pages = (u32)(page_align_up(end) >> PAGE_SHIFT);

	return c->free != NO_PLACE || pages <= c->touched ? 0 : pages - c->touched;
}

static bool chunk_fits(const struct zpool *pool, u32 n)
{
	return pool->bytes + chunk_new_pages(&pool->chunks[n]) * PAGE_SIZE <= pool->limit;
}

static void chunk_cool(struct zpool *pool, u32 n)
{
	struct zchunk *c = &pool->chunks[n];

	/* It cannot fail on a mapping of ours that nobody locked. */
	BUG_ON(madvise(pool->arena + (u64)n * CHUNK_BYTES, CHUNK_BYTES, MADV_DONTNEED));
	pool->bytes -= c->touched * PAGE_SIZE;
	c->touched = 0;
	c->next = pool->cold;
	pool->cold = n;
}

static void cool_all(struct zpool *pool)
{
	while (pool->warm != NONE) {
		u32 n = pool->warm;

		pool->warm = pool->chunks[n].next;
		pool->nr_warm--;
		chunk_cool(pool, n);
	}
}

/* An empty chunk for `class`, on its list; NONE: no room for its first page. */
static u32 chunk_get(struct zpool *pool, u32 class)
{
	struct zchunk *c;
	u32 n;

	if (pool->warm != NONE) {
		n = pool->warm;
		pool->warm = pool->chunks[n].next;
		pool->nr_warm--;
	} else if (pool->cold != NONE && pool->bytes + PAGE_SIZE <= pool->limit) {
		n = pool->cold;
		pool->cold = pool->chunks[n].next;
	} else if (pool->cold == NONE && pool->nr_ever < pool->nr_chunks &&
		   pool->bytes + PAGE_SIZE + sizeof(*c) <= pool->limit) {
		n = pool->nr_ever++;
		pool->bytes += sizeof(*c);
	} else {
		return NONE;
	}
	c = &pool->chunks[n];
	c->class = (u8)class;
	c->used = c->fresh = 0;
	c->free = NO_PLACE;
	partial_insert(pool, n);
	return n;
}

/* The last object has left n, which is on no list. */
static void chunk_put(struct zpool *pool, u32 n)
{
	if (pool->nr_warm == WARM_MAX) {
		chunk_cool(pool, n);
		return;
	}
	pool->chunks[n].next = pool->warm;
	pool->warm = n;
	pool->nr_warm++;
}

/* A place of chunk n.  Pre: it is partial, and chunk_fits(). */
static u32 chunk_take(struct zpool *pool, u32 n)
{
	struct zchunk *c = &pool->chunks[n];
	u32 place = c->free, handle, pages = chunk_new_pages(c);

	if (place != NO_PLACE) {
		handle = n * CHUNK_GRANULES + place;
		memcpy(&c->free, zpool_at(pool, handle), sizeof(c->free));
	} else {
		handle = n * CHUNK_GRANULES + c->fresh;
		c->fresh += (u16)class_granules(c->class);
		c->touched += (u8)pages;
		pool->bytes += pages * PAGE_SIZE;
	}
	c->used++;
	pool->used += class_granules(c->class) * GRANULE;
	if (chunk_full(c))
		partial_remove(pool, n);
	return handle;
}

/* A partial chunk of the class that has a place within the limit.  If the first has none, it is the last. */
static u32 class_find(const struct zpool *pool, u32 class)
{
	u32 n = pool->partial[class];

	return n != NONE && chunk_fits(pool, n) ? n : NONE;
}

/* At the limit: a place of a larger class. */
static u32 larger_find(const struct zpool *pool, u32 class)
{
	for (u64 mask = pool->mask & ~((2ULL << class) - 1); mask; mask &= mask - 1) {
		u32 n = class_find(pool, (u32)__builtin_ctzll(mask));

		if (n != NONE)
			return n;
	}
	return NONE;
}

u32 zpool_alloc(struct zpool *pool, u32 len)
{
	u32 class = (len - 1) / GRANULE, n;

	BUG_ON(len == 0 || len > PAGE_SIZE);
	n = class_find(pool, class);
	if (n == NONE && pool->partial[class] != NONE && pool->nr_warm) {
		cool_all(pool); /* rather than to start another chunk: (3) */
		n = class_find(pool, class);
	}
	if (n == NONE)
		n = chunk_get(pool, class);
	if (n == NONE)
		n = larger_find(pool, class);
	return n == NONE ? ZPOOL_NONE : chunk_take(pool, n);
}

void zpool_free(struct zpool *pool, u32 handle)
{
	u32 n = handle / CHUNK_GRANULES;
	struct zchunk *c = &pool->chunks[n];
	bool was_full = chunk_full(c);

	BUG_ON(n >= pool->nr_ever || !c->used);
	memcpy(zpool_at(pool, handle), &c->free, sizeof(c->free));
	c->free = (u16)(handle % CHUNK_GRANULES);
	c->used--;
	pool->used -= class_granules(c->class) * GRANULE;
	if (!c->used) {
		if (!was_full)
			partial_remove(pool, n);
		chunk_put(pool, n);
	} else if (was_full) {
		partial_insert(pool, n);
	}
}

void *zpool_at(const struct zpool *pool, u32 handle)
{
	return pool->arena + (u64)handle * GRANULE;
}

u32 zpool_size(const struct zpool *pool, u32 handle)
{
	return class_granules(pool->chunks[handle / CHUNK_GRANULES].class) * GRANULE;
}

/*
 * All move into the head of the list until it is full.  An object that was offered a move is in a chunk that is
 * full or the head; so after a whole sweep no other chunk of the class is left.
 */
u32 zpool_improve(struct zpool *pool, u32 handle)
{
	u32 n = handle / CHUNK_GRANULES, first, to;
	struct zchunk *c = &pool->chunks[n];

	if (chunk_full(c))
		return handle;
	first = pool->partial[c->class];
	if (first == n || !chunk_fits(pool, first))
		return handle;
	to = chunk_take(pool, first);
	memcpy(zpool_at(pool, to), zpool_at(pool, handle), class_granules(c->class) * GRANULE);
	zpool_free(pool, handle);
	return to;
}

u64 zpool_bytes(const struct zpool *pool)
{
	return pool->bytes;
}

u64 zpool_used(const struct zpool *pool)
{
	return pool->used;
}

u64 zpool_limit(const struct zpool *pool)
{
	return pool->limit;
}

/* ---- verification ---- */

static void verify_chunk(const struct zpool *pool, u32 n)
{
	const struct zchunk *c = &pool->chunks[n];
	u32 granules = class_granules(c->class), nr_free = 0;

	for (u16 place = c->free; place != NO_PLACE; nr_free++) {
		BUG_ON(place % granules || place + granules > c->fresh || nr_free > CHUNK_GRANULES);
		memcpy(&place, zpool_at(pool, n * CHUNK_GRANULES + place), sizeof(place));
	}
	BUG_ON((c->used + nr_free) * granules != c->fresh || c->fresh > CHUNK_GRANULES);
	BUG_ON(c->touched < page_align_up(c->fresh * GRANULE) >> PAGE_SHIFT);
}

void zpool_verify(const struct zpool *pool)
{
	u64 bytes = pool->nr_ever * sizeof(*pool->chunks), used = 0;
	u32 nr_warm = 0, nr_partial = 0, listed = 0;

	for (u32 n = 0; n < pool->nr_ever; n++) {
		const struct zchunk *c = &pool->chunks[n];

		bytes += c->touched * PAGE_SIZE;
		used += c->used * class_granules(c->class) * GRANULE;
		nr_partial += c->used && !chunk_full(c);
		if (c->used)
			verify_chunk(pool, n);
	}
	for (u32 n = pool->warm; n != NONE; n = pool->chunks[n].next, nr_warm++)
		BUG_ON(pool->chunks[n].used || !pool->chunks[n].touched);
	for (u32 n = pool->cold; n != NONE; n = pool->chunks[n].next)
		BUG_ON(pool->chunks[n].used || pool->chunks[n].touched);
	for (u32 class = 0; class < NR_CLASSES; class++) {
		u32 first = pool->partial[class], n = first;

		BUG_ON((first != NONE) != (pool->mask >> class & 1));
		while (n != NONE) {
			BUG_ON(pool->chunks[n].class != class || !pool->chunks[n].used);
			BUG_ON(chunk_full(&pool->chunks[n]));
			BUG_ON(pool->chunks[n].next != first && chunk_grows(&pool->chunks[n]));
			listed++;
			n = pool->chunks[n].next == first ? NONE : pool->chunks[n].next;
		}
	}
	BUG_ON(listed != nr_partial || nr_warm != pool->nr_warm);
	BUG_ON(bytes != pool->bytes || bytes > pool->limit || used != pool->used);
}
