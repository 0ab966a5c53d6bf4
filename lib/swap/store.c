/* SPDX-License-Identifier: MIT */
/*
 * store.c - see store.h.  The table of slots, and the pool.
 *
 * A slot's entry is
 *
 *      EMPTY --put--> SAME                       the word is in the entry
 *            --put--> POOL                       an object of zpool.h; all of them in a list, oldest first
 *
 * Start reading at swap_store_put().
 */
#include "swap/store.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "swap/pack.h"
#include "swap/zpool.h"

#define BLOCK_SHIFT 10 /* entries come in blocks of this many */
#define BLOCK_SLOTS (1u << BLOCK_SHIFT)
#define NIL         UINT32_MAX

enum entry_state { EMPTY, SAME, POOL };

struct entry {
	u64 hash[2];
	union {
		u64 word; /* SAME */
		struct {
			u32 prev, next; /* POOL: neighbours by age; NIL: none */
		};
	};
	u32 place; /* POOL: the object */
	u16 len;   /* POOL: bytes in the object */
	u8 kind;   /* enum packed_kind */
	u8 state;  /* enum entry_state; a new block is zeroed, so EMPTY is 0 */
};

_Static_assert(sizeof(struct entry) == 32, "one for each slot: it must stay small");

struct swap_store {
	struct swap_config config;
	struct entry **blocks; /* nr_blocks of them; NULL: all its slots are empty */
	u32 nr_blocks;
	struct zpool *pool; /* NULL: none */
	ZSTD_DCtx *zstd;    /* NULL: nothing here is packed with it */
	u32 oldest, youngest;
	u64 account;
	struct swap_store_stats stats;
};

struct swap_store *swap_store_create(const struct swap_config *config)
{
	u64 account = 0;
	struct swap_store *store = mem_zalloc(&account, sizeof(*store));

	if (!store)
		return NULL;
	store->config = *config;
	store->oldest = store->youngest = NIL;
	if (config->pool) {
		store->pool = zpool_create(config->pool_bytes);
		if (!store->pool)
			goto destroy;
	}
	if (config->pool && config->algo == SWAP_ZSTD) {
		store->zstd = ZSTD_createDCtx();
		if (!store->zstd)
			goto destroy;
	}
	return store;

destroy:
	swap_store_destroy(store);
	return NULL;
}

void swap_store_destroy(struct swap_store *store)
{
	u64 account = sizeof(*store);

	if (!store)
		return;
	BUG_ON(swap_store_busy(store));
	for (u32 i = 0; i < store->nr_blocks; i++)
		mem_free(&store->account, store->blocks[i], BLOCK_SLOTS * sizeof(struct entry));
	mem_free(&store->account, store->blocks, store->nr_blocks * sizeof(*store->blocks));
	ZSTD_freeDCtx(store->zstd);
	zpool_destroy(store->pool);
	BUG_ON(store->account);
	mem_free(&account, store, sizeof(*store));
}

/* ---- the table of slots ---- */

/* The slot's entry; NULL: its block was never needed, so it is empty. */
static struct entry *entry_lookup(const struct swap_store *store, u32 slot)
{
	u32 block = slot >> BLOCK_SHIFT;

	if (block >= store->nr_blocks || !store->blocks[block])
		return NULL;
	return &store->blocks[block][slot % BLOCK_SLOTS];
}

/* As lookup, but makes the block.  NULL: no memory. */
static struct entry *entry_get(struct swap_store *store, u32 slot)
{
	u32 block = slot >> BLOCK_SHIFT;

	if (block >= store->nr_blocks) {
		u32 want = block + block / 2 + 64;
		struct entry **blocks = mem_grow(&store->account, store->blocks,
						 store->nr_blocks * sizeof(*blocks),
						 want * sizeof(*blocks));

		if (!blocks)
			return NULL;
		store->blocks = blocks;
		store->nr_blocks = want;
	}
	if (!store->blocks[block])
		store->blocks[block] = mem_zalloc(&store->account,
						  BLOCK_SLOTS * sizeof(struct entry));
	return entry_lookup(store, slot);
}

/* Pre: the slot holds a page. */
static struct entry *entry_held(const struct swap_store *store, u32 slot)
{
	struct entry *e = entry_lookup(store, slot);

	BUG_ON(!e || e->state == EMPTY);
	return e;
}

/* ---- age ---- */

static void age_remove(struct swap_store *store, struct entry *e)
{
	u32 *from_prev = e->prev == NIL ? &store->oldest : &entry_held(store, e->prev)->next;
	u32 *from_next = e->next == NIL ? &store->youngest : &entry_held(store, e->next)->prev;

	*from_prev = e->next;
	*from_next = e->prev;
}

static void age_append(struct swap_store *store, u32 slot, struct entry *e)
{
	e->prev = store->youngest;
	e->next = NIL;
	*(e->prev == NIL ? &store->oldest : &entry_held(store, e->prev)->next) = slot;
	store->youngest = slot;
}

/* ---- put, get, drop ---- */

static void note_pool_bytes(struct swap_store *store)
{
	store->stats.pool_bytes_max = u64_max(store->stats.pool_bytes_max, zpool_bytes(store->pool));
}

static int pool_put(struct swap_store *store, u32 slot, struct entry *e, const struct packed *page)
{
	u32 handle = store->pool ? zpool_alloc(store->pool, page->len) : ZPOOL_NONE;

	if (handle == ZPOOL_NONE)
		return -ENOSPC;
	memcpy(zpool_at(store->pool, handle), page->data, page->len);
	e->state = POOL;
	e->place = handle;
	e->len = (u16)page->len;
	age_append(store, slot, e);
	store->stats.pool_pages++;
	store->stats.packed_bytes += page->len;
	note_pool_bytes(store);
	return 0;
}

int swap_store_put(struct swap_store *store, u32 slot, const struct packed *page)
{
	struct entry *e = entry_get(store, slot);

	if (!e)
		return -ENOMEM;
	BUG_ON(e->state != EMPTY);
	memcpy(e->hash, page->hash, sizeof(e->hash));
	e->kind = (u8)page->kind;
	if (page->kind == PACKED_SAME) {
		e->state = SAME;
		e->word = page->word;
		store->stats.pool_pages++;
		store->stats.same_pages++;
		return 0;
	}
	return pool_put(store, slot, e, page);
}

static void pool_get(struct swap_store *store, u32 slot, struct entry *e, void *page)
{
	unpack(store->zstd, e->kind, zpool_at(store->pool, e->place), e->len, page);
	age_remove(store, e);
	age_append(store, slot, e);
}

int swap_store_get_now(struct swap_store *store, u32 slot, void *page)
{
	struct entry *e = entry_held(store, slot);

	switch ((enum entry_state)e->state) {
	case SAME:
		unpack_same(e->word, page);
		return 0;
	case POOL:
		pool_get(store, slot, e, page);
		return 0;
	case EMPTY:
		break;
	}
	BUG("slot %u: no such state", slot);
}

int swap_store_get(struct swap_store *store, u32 slot, void *page, void *cookie)
{
	return swap_store_get_now(store, slot, page);
}

bool swap_store_matches(const struct swap_store *store, u32 slot, const u64 hash[2])
{
	const struct entry *e = entry_lookup(store, slot);

	return e && e->state != EMPTY && e->hash[0] == hash[0] && e->hash[1] == hash[1];
}

bool swap_store_hash(const struct swap_store *store, u32 slot, u64 hash[2])
{
	const struct entry *e = entry_lookup(store, slot);

	if (!e || e->state == EMPTY)
		return false;
	memcpy(hash, e->hash, sizeof(e->hash));
	return true;
}

void swap_store_drop(struct swap_store *store, u32 slot)
{
	struct entry *e = entry_held(store, slot);

	switch ((enum entry_state)e->state) {
	case SAME:
		store->stats.same_pages--;
		store->stats.pool_pages--;
		break;
	case POOL:
		age_remove(store, e);
		zpool_free(store->pool, e->place);
		store->stats.packed_bytes -= e->len;
		store->stats.pool_pages--;
		break;
	case EMPTY:
		break;
	}
	e->state = EMPTY;
}

/* ---- events and figures ---- */

void swap_store_event(struct swap_store *store, u64 tag, int res)
{
	BUG("swap: completion %llx, but nothing is in flight", (unsigned long long)tag);
}

u32 swap_store_busy(const struct swap_store *store)
{
	return 0;
}

void swap_store_spill(struct swap_store *store)
{
}

void swap_store_stats(const struct swap_store *store, struct swap_store_stats *out)
{
	*out = store->stats;
	out->pool_bytes = store->pool ? zpool_bytes(store->pool) : 0;
	out->table_bytes = store->account;
}
