/* SPDX-License-Identifier: MIT */
/*
 * file.h - the swap file: which of its pages are free, and the reads and writes that are under way.
 *
 * Who calls it: store.c, one thread.  It knows file pages (numbered from 0), and slots only as names that it
 * gives back; nothing of entries, compression or checksums.
 * Linux counterpart: mm/swapfile.c (clusters) and mm/page_io.c.
 */
#ifndef UPAGER_SWAP_FILE_H
#define UPAGER_SWAP_FILE_H

#include "swap/store.h"

struct swap_file;

/*
 * How requests end; called by swap_file_event() only.  They may call back into swap_file_*().
 * written: err 0: the slot's bytes are in file_page; else that page is out of use for good.
 * read: `page` is the caller's again.  err: 0, -EIO …, or -ECANCELED after swap_file_cancel_reads().
 */
struct swap_file_ops {
	void (*written)(void *arg, u32 slot, u32 file_page, int err);
	void (*read)(void *arg, u32 slot, void *page, void *cookie, int err);
};

/* Counts into *stats (file_*, write_errors, read_errors) and *account.  NULL: no memory. */
struct swap_file *swap_file_create(const struct swap_config *config, const struct swap_file_ops *ops, void *arg,
				   struct swap_store_stats *stats, u64 *account);
/* Pre: swap_file_busy() == 0. */
void swap_file_destroy(struct swap_file *file);

/*
 * Begin to write a page for `slot`.  Returns >= 0: a number for the write, until written(); *buf is where its
 * bytes go.  The caller fills it and calls swap_file_commit() before anything else of this file.
 * -ENOSPC: no page is free, or the file failed too often to be written to.  -EAGAIN: all buffers are in flight.
 */
int must_check swap_file_write(struct swap_file *file, u32 slot, void **buf);
void swap_file_commit(struct swap_file *file);
/* The bytes of a write that has not ended. */
const void *swap_file_buffer(const struct swap_file *file, u32 write);
/* Nobody wants it any more: no written(), and its file page becomes free when it has ended. */
void swap_file_cancel_write(struct swap_file *file, u32 write);

/* Queue a read into page (aligned, the file's until read()).  Returns 0, or -EAGAIN: too many are in flight. */
int must_check swap_file_read(struct swap_file *file, u32 slot, u32 file_page, void *page, void *cookie);
/* The reads under way for `slot` end with -ECANCELED. */
void swap_file_cancel_reads(struct swap_file *file, u32 slot);

/* The page's bytes are not needed any more.  bad: nor is the page ever to be used again. */
void swap_file_page_free(struct swap_file *file, u32 file_page, bool bad);

/* A completion; `request` is its tag less swap_config.tag. */
void swap_file_event(struct swap_file *file, u64 request, int res);
/* Requests that have not ended. */
u32 swap_file_busy(const struct swap_file *file);

#endif /* UPAGER_SWAP_FILE_H */
