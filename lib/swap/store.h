/* SPDX-License-Identifier: MIT */
/*
 * store.h - where the bytes of evicted pages are: a compressed pool, a swap file, or the pool in front of the
 * file.
 *
 * Who calls it: pager/swap.c; one thread owns a store, but for pack(), which any thread may run.  It knows slots
 * (a number that the model gives, lib/mm/swap.h) and bytes; nothing of mms or frames.
 * A page goes   swap_pack() (any thread: hash, same-filled?, compress)  ->  store_put() (the owner).
 * Linux counterpart: mm/zswap.c, mm/zsmalloc.c, mm/page_io.c; zram's same-filled pages.
 */
#ifndef UPAGER_SWAP_STORE_H
#define UPAGER_SWAP_STORE_H

#include "base/base.h"

struct ring; /* sys/ring.h */
struct swap_store;

enum swap_algo { SWAP_LZ4, SWAP_ZSTD };

struct swap_config {
	bool pool;             /* there is a compressed pool */
	enum swap_algo algo;
	u64 pool_bytes;        /* the most it may hold, with its own overhead */
	int file;              /* descriptor of the swap file, opened O_DIRECT if it can be; -1: none */
	u64 file_bytes;        /* its size; slots beyond get -ENOSPC */
	bool checksum;         /* verify each page that is read back from the file */
	u64 seed;              /* the packers' seed: with it the checksum is their hash */
	struct ring *ring;     /* carries the file's I/O; may be NULL without a file */
	u64 tag;               /* completions come back with ring tags in [tag, tag + 2^32) */
	/*
	 * An asynchronous read or write of `slot` has ended; err: 0, -EIO, -ENOSPC …  Called by swap_store_event()
	 * only.  After a failed write the slot is empty.  A read of a slot that was dropped meanwhile ends with
	 * -ECANCELED: each read ends by read_done(), until then its page is the store's.
	 */
	void (*read_done)(void *arg, u32 slot, void *cookie, int err);
	void (*write_done)(void *arg, u32 slot, int err);
	void *arg;
};

/* One page, ready to be stored.  Plain data: made by one thread, taken by another. */
enum packed_kind { PACKED_SAME, PACKED_LZ4, PACKED_ZSTD, PACKED_RAW };
struct packed {
	enum packed_kind kind;
	u32 len;       /* bytes in data; 0 for PACKED_SAME */
	u64 word;      /* PACKED_SAME: each 8 bytes of the page are this */
	u64 hash[2];   /* XXH3_128 of the page with the run's random seed */
	u8 data[PAGE_SIZE];
};
/* What swap_pack() needs besides: one for each thread.  NULL: no memory. */
struct swap_packer *swap_packer_create(enum swap_algo algo, bool compress, u64 seed);
void swap_packer_destroy(struct swap_packer *packer);
/* The hash alone (cheap), to see whether a slot that is still valid holds the same bytes. */
void swap_hash(const struct swap_packer *packer, const void *page, u64 hash[2]);
void swap_pack(struct swap_packer *packer, const void *page, struct packed *out);

/* Returns NULL for lack of memory.  The descriptor stays the caller's. */
struct swap_store *swap_store_create(const struct swap_config *config);
/* Pre: no I/O is in flight (swap_store_busy() == 0). */
void swap_store_destroy(struct swap_store *store);

/*
 * Keep a page under `slot`, which is empty.  Returns
 *   0             it is stored (pool)
 *   -EINPROGRESS  it is being written to the file: write_done() will tell; until then swap_store_get() serves it
 *                 from the buffer
 *   -ENOSPC       no room in the pool, and none in the file (or none is there)
 *   -EAGAIN       room will come: too many writes are in flight; ask again when a swap_store_event() has
 *                 returned (not within a write_done(), which may be the last)
 *   -ENOMEM
 */
int must_check swap_store_put(struct swap_store *store, u32 slot, const struct packed *page);
/*
 * The bytes of `slot` into page.  Returns 0; -EINPROGRESS: they are in the file, and the read (with `cookie`) has
 * been queued: page stays the store's until read_done(); -EIO: the bytes cannot be read or do not have their
 * checksum, now or at an earlier try; -EAGAIN: too many reads are in flight, nothing was queued.
 * Neighbours that are asked for between two ring_wait() become one request of the disk where they lie together.
 * Pre: the slot is not empty.  page: aligned to 4096.
 */
int must_check swap_store_get(struct swap_store *store, u32 slot, void *page, void *cookie);
/* A get of `slot` follows soon: have its bytes fetched into the cache. */
void swap_store_expect(const struct swap_store *store, u32 slot);
/* As get, but -EAGAIN instead of a read from the file: for prefetch of what is at hand. */
int must_check swap_store_get_now(struct swap_store *store, u32 slot, void *page);
/* Does `slot` hold bytes with this hash?  Not if it is empty, or cannot be read. */
bool swap_store_matches(const struct swap_store *store, u32 slot, const u64 hash[2]);
/* The hash of what `slot` holds.  Returns false when it is empty or cannot be read: hash is not touched then. */
bool swap_store_hash(const struct swap_store *store, u32 slot, u64 hash[2]);
/*
 * Forget the slot's bytes; it is empty then, and may be put again.  Also while its I/O is in flight: a write ends
 * unseen (no write_done()), a read with -ECANCELED.  An empty slot: nothing happens.
 */
void swap_store_drop(struct swap_store *store, u32 slot);

/* A ring completion with a tag of ours. */
void swap_store_event(struct swap_store *store, u64 tag, int res);
/* Reads and writes in flight; while there are any, a completion is to come. */
u32 swap_store_busy(const struct swap_store *store);
/* Have the pool spill its oldest pages to the file until it is under its limit by a margin; asynchronous. */
void swap_store_spill(struct swap_store *store);

struct swap_store_stats {
	u64 pool_pages;     /* kept in memory, as an object or a word */
	u64 pool_bytes;     /* what the pool takes, the room it cannot use included; never above the limit */
	u64 pool_bytes_max; /* the most that pool_bytes ever was */
	u64 table_bytes;    /* beside the pool: the table of slots, and the buffers for writing to the file */
	u64 packed_bytes;   /* of the pool's pages, without overhead */
	u64 same_pages;     /* of pool_pages, those kept as a word */
	u64 file_pages;     /* of the file, in use or being written */
	u64 file_bytes_written, file_bytes_read;
	u64 spilled;        /* pages that went from the pool to the file */
	u64 write_errors, read_errors, checksum_errors;
};
void swap_store_stats(const struct swap_store *store, struct swap_store_stats *out);

/*
 * Make a swap file of `size` bytes that has no name any more: at `path`, which must not exist yet, or anywhere in
 * the directory `path`.  Mode 0600, its space taken at once where the file system can; *direct: it is O_DIRECT
 * (NULL: not asked).  Returns the descriptor, or -1 with one line for the user in err[0..len).
 */
int must_check swap_file_open(const char *path, u64 size, bool *direct, char *err, size_t len);

#endif /* UPAGER_SWAP_STORE_H */
