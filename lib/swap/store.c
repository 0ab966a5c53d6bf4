/* SPDX-License-Identifier: MIT */
/*
 * store.c - see store.h.  The table of slots, and which page is where.
 *
 * A slot's entry is
 *
 *      EMPTY --put--> SAME                               the word is in the entry
 *            --put--> POOL ---spill---> SPILLING --.     an object of zpool.h; POOL ones are in a list by age
 *                       ^---- write failed ----'   |
 *            --put--> WRITING ---------------------'---> FILE_PAGE ---read failed---> BAD
 *      EMPTY <-- write failed --'
 *
 * and EMPTY again by swap_store_drop() from anywhere.  A SPILLING page still has its object, a WRITING one only
 * its bytes in the write's buffer.  The pool spills its oldest pages when it is nearly full (`goal` says how
 * much); when it is full already, the newest page goes to the file at once.
 * Start reading at swap_store_put().
 */
#include "swap/store.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/check.h"
#include "swap/file.h"
#include "swap/pack.h"
#include "swap/zpool.h"

#define BLOCK_SHIFT 10 /* entries come in blocks of this many */
#define BLOCK_SLOTS (1u << BLOCK_SHIFT)
#define NIL         UINT32_MAX

#define CACHE_LINE 64u
#define SWEEP_SLOTS 256u /* entries to look at when the pool is to be made denser */

enum entry_state { EMPTY, SAME, POOL, SPILLING, WRITING, FILE_PAGE, BAD };

struct entry {
	u64 hash[2];
	union {
		u64 word; /* SAME */
		struct {
			u32 prev, next; /* POOL: neighbours by age; NIL: none */
		};
		u32 write; /* SPILLING, WRITING: its number in file.h */
	};
	u32 place; /* POOL, SPILLING: the object; FILE_PAGE, BAD: the page of the file */
	u16 len;   /* POOL, SPILLING: bytes in the object */
	u8 kind;   /* POOL, SPILLING: enum packed_kind */
	u8 state;  /* enum entry_state; a new block is zeroed, so EMPTY is 0 */
};

_Static_assert(sizeof(struct entry) == 32, "one for each slot: it must stay small");

struct swap_store {
	struct swap_config config;
	struct entry **blocks; /* nr_blocks of them; NULL: all its slots are empty */
	u32 nr_blocks;
	struct zpool *pool;     /* NULL: none */
	struct swap_file *file; /* NULL: none */
	ZSTD_DCtx *zstd;        /* NULL: nothing here is packed with it */
	u32 oldest, youngest;   /* of the POOL entries, when there is a file; NIL: none */
	u64 spilling_bytes;     /* of the SPILLING entries' objects */
	u64 goal;               /* bytes of objects that are still to be spilled */
	u32 sweep;              /* pool_sweep() goes on at this slot */
	bool swept;             /* a whole sweep brought nothing, and no object has left since */
	u64 account;
	struct swap_store_stats stats;
};

static void store_written(void *arg, u32 slot, u32 file_page, int err);
static void store_read(void *arg, u32 slot, void *page, void *cookie, int err);

static const struct swap_file_ops file_ops = { .written = store_written, .read = store_read };

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
	if (config->algo == SWAP_ZSTD) {
		store->zstd = ZSTD_createDCtx();
		if (!store->zstd)
			goto destroy;
	}
	if (config->file >= 0) {
		store->file = swap_file_create(config, &file_ops, store, &store->stats, &store->account);
		if (!store->file)
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
	swap_file_destroy(store->file);
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

/* ---- age: which object is to be spilled first ---- */

static void age_remove(struct swap_store *store, struct entry *e)
{
	if (!store->file)
		return;
	u32 *from_prev = e->prev == NIL ? &store->oldest : &entry_held(store, e->prev)->next;
	u32 *from_next = e->next == NIL ? &store->youngest : &entry_held(store, e->next)->prev;

	*from_prev = e->next;
	*from_next = e->prev;
}

static void age_append(struct swap_store *store, u32 slot, struct entry *e)
{
	if (!store->file)
		return;
	e->prev = store->youngest;
	e->next = NIL;
	*(e->prev == NIL ? &store->oldest : &entry_held(store, e->prev)->next) = slot;
	store->youngest = slot;
}

/* ---- the pool ---- */

/*
 * Have objects move into fuller chunks, so that sparse ones become free for another size.  Returns whether
 * there was anything left to look at.
 */
static bool pool_sweep(struct swap_store *store)
{
	u32 nr_slots = store->nr_blocks << BLOCK_SHIFT;

	for (u32 i = 0; i < SWEEP_SLOTS && store->sweep < nr_slots; i++, store->sweep++) {
		struct entry *e = entry_lookup(store, store->sweep);

		if (e && (e->state == POOL || e->state == SPILLING))
			e->place = zpool_improve(store->pool, e->place);
	}
	if (store->sweep < nr_slots)
		return true;
	store->sweep = 0;
	store->swept = true;
	return false;
}

/* An object; at the limit, after some tidying if an eighth of the pool lies in places of the wrong size. */
static u32 pool_alloc(struct swap_store *store, u32 len)
{
	u32 handle = zpool_alloc(store->pool, len);
	bool more = true;

	while (handle == ZPOOL_NONE && more && !store->swept &&
	       zpool_bytes(store->pool) - zpool_used(store->pool) > zpool_limit(store->pool) / 8) {
		more = pool_sweep(store) && !store->file; /* with a file there is another way */
		handle = zpool_alloc(store->pool, len);
	}
	return handle;
}

static int pool_put(struct swap_store *store, u32 slot, struct entry *e, const struct packed *page)
{
	u32 handle = store->pool ? pool_alloc(store, page->len) : ZPOOL_NONE;
	u64 *max = &store->stats.pool_bytes_max;

	if (handle == ZPOOL_NONE)
		return -ENOSPC;
	memcpy(zpool_at(store->pool, handle), page->data, page->len);
	e->state = POOL;
	e->place = handle;
	e->len = (u16)page->len;
	age_append(store, slot, e);
	store->stats.pool_pages++;
	store->stats.packed_bytes += page->len;
	*max = u64_max(*max, zpool_bytes(store->pool));
	return 0;
}

/* The object of a POOL or SPILLING entry goes.  The caller sets the new state. */
static void pool_free(struct swap_store *store, struct entry *e)
{
	if (e->state == POOL)
		age_remove(store, e);
	else
		store->spilling_bytes -= zpool_size(store->pool, e->place);
	zpool_free(store->pool, e->place);
	store->swept = false;
	store->stats.pool_pages--;
	store->stats.packed_bytes -= e->len;
}

static void pool_get(const struct swap_store *store, const struct entry *e, void *page)
{
	unpack(store->zstd, e->kind, zpool_at(store->pool, e->place), e->len, page);
}

/* ---- from the pool to the file ---- */

/* How far below its limit the pool is kept when there is a file. */
static u64 spill_margin(const struct swap_store *store)
{
	u64 limit = zpool_limit(store->pool);

	return u64_min(u64_max(limit / 16, 64 * PAGE_SIZE), limit / 4);
}

/* Have at least `bytes` of objects on their way to the file, those in flight included. */
static void spill_want(struct swap_store *store, u64 bytes)
{
	if (bytes > store->spilling_bytes)
		store->goal = u64_max(store->goal, bytes - store->spilling_bytes);
}

/* As spill_want, for what stands above limit - margin. */
static void spill_want_below(struct swap_store *store, u64 margin)
{
	u64 used = zpool_used(store->pool), keep = zpool_limit(store->pool) - margin;

	if (used > keep)
		spill_want(store, used - keep);
}

static bool spill_oldest(struct swap_store *store)
{
	u32 slot = store->oldest;
	u64 size;
	struct entry *e;
	void *buf;
	int write;

	if (slot == NIL)
		return false;
	write = swap_file_write(store->file, slot, &buf);
	if (write < 0)
		return false;
	e = entry_held(store, slot);
	pool_get(store, e, buf);
	swap_file_commit(store->file);
	age_remove(store, e);
	e->state = SPILLING;
	e->write = (u32)write;
	size = zpool_size(store->pool, e->place);
	store->spilling_bytes += size;
	store->goal -= u64_min(store->goal, size);
	return true;
}

/* As far towards the goal as there are buffers; the next completion goes on. */
static void spill_more(struct swap_store *store)
{
	while (store->goal && spill_oldest(store))
		;
}

void swap_store_spill(struct swap_store *store)
{
	if (!store->pool || !store->file)
		return;
	spill_want_below(store, spill_margin(store));
	spill_more(store);
}

/* swap_file_ops.written */
static void store_written(void *arg, u32 slot, u32 file_page, int err)
{
	struct swap_store *store = arg;
	struct entry *e = entry_held(store, slot);
	bool spilled = e->state == SPILLING;

	BUG_ON(!spilled && e->state != WRITING);
	if (spilled && err) { /* to the young end: not to be tried again at once */
		store->spilling_bytes -= zpool_size(store->pool, e->place);
		e->state = POOL;
		age_append(store, slot, e);
		return;
	}
	if (spilled) {
		pool_free(store, e);
		store->stats.spilled++;
	}
	e->state = err ? EMPTY : FILE_PAGE;
	e->place = file_page;
	if (!spilled)
		store->config.write_done(store->config.arg, slot, err);
}

/* ---- put ---- */

/* The page goes to the file at once. */
static int file_put(struct swap_store *store, u32 slot, struct entry *e, const struct packed *page)
{
	void *buf;
	int write = swap_file_write(store->file, slot, &buf);

	if (write < 0)
		return write;
	unpack(store->zstd, page->kind, page->data, page->len, buf);
	swap_file_commit(store->file);
	e->state = WRITING;
	e->write = (u32)write;
	return -EINPROGRESS;
}

/* Neither a word nor, without a file, room in the pool. */
static int put_bytes(struct swap_store *store, u32 slot, struct entry *e, const struct packed *page)
{
	int err = pool_put(store, slot, e, page);
	u64 margin;

	if (!store->file)
		return err;
	if (!store->pool)
		return file_put(store, slot, e, page);
	margin = spill_margin(store);
	if (err)
		err = file_put(store, slot, e, page);
	if (err)
		spill_want(store, margin);
	else if (zpool_used(store->pool) > zpool_limit(store->pool) - margin / 2)
		spill_want_below(store, margin);
	spill_more(store);
	/* The file is full, but what is on its way there makes room here. */
	return err == -ENOSPC && store->spilling_bytes ? -EAGAIN : err;
}

int swap_store_put(struct swap_store *store, u32 slot, const struct packed *page)
{
	struct entry *e = entry_get(store, slot);

	if (!e)
		return -ENOMEM;
	BUG_ON(e->state != EMPTY);
	memcpy(e->hash, page->hash, sizeof(e->hash));
	e->kind = (u8)page->kind;
	if (page->kind != PACKED_SAME)
		return put_bytes(store, slot, e, page);
	e->state = SAME;
	e->word = page->word;
	store->stats.pool_pages++;
	store->stats.same_pages++;
	return 0;
}

/* ---- get ---- */

void swap_store_expect(const struct swap_store *store, u32 slot)
{
	const struct entry *e = entry_lookup(store, slot);
	const u8 *data;

	if (!e || e->state != POOL)
		return;
	/* Nobody has looked at it since it was put there: all its lines at once, not one after the other. */
	data = zpool_at(store->pool, e->place);
	for (u32 i = 0; i < e->len; i += CACHE_LINE)
		__builtin_prefetch(data + i);
}

int swap_store_get_now(struct swap_store *store, u32 slot, void *page)
{
	struct entry *e = entry_held(store, slot);

	switch ((enum entry_state)e->state) {
	case SAME:
		unpack_same(e->word, page);
		return 0;
	case POOL: /* it has just been needed: it is young again */
		pool_get(store, e, page);
		age_remove(store, e);
		age_append(store, slot, e);
		return 0;
	case SPILLING:
		pool_get(store, e, page);
		return 0;
	case WRITING:
		memcpy(page, swap_file_buffer(store->file, e->write), PAGE_SIZE);
		return 0;
	case FILE_PAGE:
		return -EAGAIN;
	case BAD:
		return -EIO;
	case EMPTY:
		break;
	}
	BUG("slot %u is empty", slot);
}

int swap_store_get(struct swap_store *store, u32 slot, void *page, void *cookie)
{
	struct entry *e = entry_held(store, slot);
	int err;

	if (e->state != FILE_PAGE)
		return swap_store_get_now(store, slot, page);
	err = swap_file_read(store->file, slot, e->place, page, cookie);
	return err ? err : -EINPROGRESS;
}

/* swap_file_ops.read */
static void store_read(void *arg, u32 slot, void *page, void *cookie, int err)
{
	struct swap_store *store = arg;
	u64 hash[2];

	if (err && err != -ECANCELED)
		store->stats.read_errors++;
	if (!err && store->config.checksum) {
		swap_hash_seeded(store->config.seed, page, hash);
		if (memcmp(hash, entry_held(store, slot)->hash, sizeof(hash))) {
			store->stats.checksum_errors++;
			err = -EIO;
		}
	}
	if (err && err != -ECANCELED)
		entry_held(store, slot)->state = BAD;
	store->config.read_done(store->config.arg, slot, cookie, err);
}

bool swap_store_hash(const struct swap_store *store, u32 slot, u64 hash[2])
{
	const struct entry *e = entry_lookup(store, slot);

	if (!e || e->state == EMPTY || e->state == BAD)
		return false;
	memcpy(hash, e->hash, sizeof(e->hash));
	return true;
}

bool swap_store_matches(const struct swap_store *store, u32 slot, const u64 hash[2])
{
	u64 held[2];

	return swap_store_hash(store, slot, held) && held[0] == hash[0] && held[1] == hash[1];
}

/* ---- drop, events, figures ---- */

void swap_store_drop(struct swap_store *store, u32 slot)
{
	struct entry *e = entry_lookup(store, slot);

	if (!e)
		return;
	switch ((enum entry_state)e->state) {
	case SAME:
		store->stats.same_pages--;
		store->stats.pool_pages--;
		break;
	case SPILLING:
		swap_file_cancel_write(store->file, e->write);
		pool_free(store, e);
		break;
	case POOL:
		pool_free(store, e);
		break;
	case WRITING:
		swap_file_cancel_write(store->file, e->write);
		break;
	case FILE_PAGE:
	case BAD:
		swap_file_cancel_reads(store->file, slot);
		swap_file_page_free(store->file, e->place, e->state == BAD);
		break;
	case EMPTY:
		break;
	}
	e->state = EMPTY;
}

void swap_store_event(struct swap_store *store, u64 tag, int res)
{
	BUG_ON(!store->file);
	swap_file_event(store->file, tag - store->config.tag, res);
	spill_more(store);
}

u32 swap_store_busy(const struct swap_store *store)
{
	return store->file ? swap_file_busy(store->file) : 0;
}

void swap_store_stats(const struct swap_store *store, struct swap_store_stats *out)
{
	*out = store->stats;
	out->pool_bytes = store->pool ? zpool_bytes(store->pool) : 0;
	out->table_bytes = store->account;
}
