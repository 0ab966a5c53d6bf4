/* SPDX-License-Identifier: MIT */
/*
 * file.c - see file.h.
 *
 * Pages are given out in the order of the file, a cluster at a time, so that pages evicted together lie
 * together and are read back together.  Writes collect in bundles:
 *
 *      swap_file_write()  ->  the open bundle, up to 16 consecutive pages  ->  in flight  ->  written() for each
 *
 * An open bundle goes out when it is full, when the next page does not follow, when nothing is in flight, and
 * when anything in flight has ended (Nagle's rule, RFC 896): so it never waits without a completion to come,
 * and the busier the disk the larger the writes.  A bundle that fails is tried again page by page, to learn
 * which ones the file will not take.
 * Reads are not bundled: those queued together are merged by the kernel's plug.
 */
#include "swap/file.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/check.h"
#include "sys/ring.h"

#define CLUSTER_PAGES 256u /* SWAPFILE_CLUSTER */
#define NR_WRITES     32u
#define BUNDLE_PAGES  16u
#define NR_READS      128u
#define NONE          UINT32_MAX
/* After so many failed pages in a row the file is only read: it is full, or its disk is dying. */
#define FAILURES_MAX 256u

/* A bundle: free, open, or in flight. */
struct write {
	u32 first; /* file page */
	u32 nr;
	u32 done;    /* pages that have ended, from the first */
	bool single; /* the rest goes page by page */
	u32 slots[BUNDLE_PAGES]; /* NONE: cancelled */
};

struct read {
	u32 slot, file_page;
	u32 next_free;
	bool busy, cancelled;
	void *page, *cookie;
};

struct swap_file {
	struct ring *ring;
	int fd;
	u64 tag;
	const struct swap_file_ops *ops;
	void *arg;
	struct swap_store_stats *stats;
	u64 *account;

	u32 nr_pages, nr_clusters;
	u64 *bitmap;       /* a bit for each page: set: in use, bad, or beyond the end in the last cluster */
	u16 *cluster_used; /* set bits of each cluster */
	u32 nr_empty;      /* clusters without one */
	u32 cursor;        /* look for the next page from here */
	u32 nr_failures;   /* in a row */

	u8 *buffers; /* NR_WRITES * BUNDLE_PAGES pages */
	struct write writes[NR_WRITES];
	u32 free_writes[NR_WRITES], nr_free_writes;
	u32 open;            /* the open bundle; NONE: none */
	u32 writes_in_flight; /* bundles */
	struct read reads[NR_READS];
	u32 free_read; /* NONE: none */
	u32 nr_reads;
};

#define BUFFERS_BYTES ((size_t)NR_WRITES * BUNDLE_PAGES * PAGE_SIZE)

static size_t bitmap_bytes(const struct swap_file *file)
{
	return (size_t)file->nr_clusters * (CLUSTER_PAGES / 8);
}

static void page_mark(struct swap_file *file, u32 page)
{
	file->bitmap[page / 64] |= 1ULL << page % 64;
	file->nr_empty -= file->cluster_used[page / CLUSTER_PAGES]++ == 0;
}

struct swap_file *swap_file_create(const struct swap_config *config, const struct swap_file_ops *ops, void *arg,
				   struct swap_store_stats *stats, u64 *account)
{
	struct swap_file *file = mem_zalloc(account, sizeof(*file));

	if (!file)
		return NULL;
	file->ring = config->ring;
	file->fd = config->file;
	file->tag = config->tag;
	file->ops = ops;
	file->arg = arg;
	file->stats = stats;
	file->account = account;
	file->nr_pages = (u32)u64_min(config->file_bytes >> PAGE_SHIFT, NONE - CLUSTER_PAGES);
	file->nr_clusters = (file->nr_pages + CLUSTER_PAGES - 1) / CLUSTER_PAGES;
	file->nr_empty = file->nr_clusters;
	file->open = NONE;
	for (u32 i = 0; i < NR_WRITES; i++)
		file->free_writes[file->nr_free_writes++] = NR_WRITES - 1 - i;
	for (u32 i = 0; i < NR_READS; i++)
		file->reads[i].next_free = i + 1 < NR_READS ? i + 1 : NONE;
	file->bitmap = mem_zalloc(account, bitmap_bytes(file) + 1); /* + 1: not nothing */
	file->cluster_used = mem_zalloc(account, file->nr_clusters * sizeof(u16) + 1);
	file->buffers = mmap(NULL, BUFFERS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (file->buffers == MAP_FAILED)
		file->buffers = NULL;
	else
		*account += BUFFERS_BYTES;
	if (!file->bitmap || !file->cluster_used || !file->buffers) {
		swap_file_destroy(file);
		return NULL;
	}
	for (u32 page = file->nr_pages; page < file->nr_clusters * CLUSTER_PAGES; page++)
		page_mark(file, page);
	return file;
}

void swap_file_destroy(struct swap_file *file)
{
	u64 *account;

	if (!file)
		return;
	BUG_ON(swap_file_busy(file));
	account = file->account;
	if (file->buffers) {
		munmap(file->buffers, BUFFERS_BYTES);
		*account -= BUFFERS_BYTES;
	}
	mem_free(account, file->cluster_used, file->nr_clusters * sizeof(u16) + 1);
	mem_free(account, file->bitmap, bitmap_bytes(file) + 1);
	mem_free(account, file, sizeof(*file));
}

/* ---- which pages are free ---- */

static bool page_used(const struct swap_file *file, u32 page)
{
	return file->bitmap[page / 64] >> page % 64 & 1;
}

/* The next cluster from the cursor's on, around the file: an empty one while there are any. */
static u32 cluster_find(const struct swap_file *file)
{
	u32 start = file->cursor / CLUSTER_PAGES;
	u32 limit = file->nr_empty ? 1 : CLUSTER_PAGES;

	for (u32 i = 0; i < file->nr_clusters; i++) {
		u32 cluster = (start + i) % file->nr_clusters;

		if (file->cluster_used[cluster] < limit)
			return cluster;
	}
	return NONE;
}

/* The page to be used next, not yet marked; NONE: none is free. */
static u32 page_find(struct swap_file *file)
{
	u32 cluster;

	for (; file->cursor % CLUSTER_PAGES; file->cursor++)
		if (!page_used(file, file->cursor))
			return file->cursor;
	cluster = cluster_find(file);
	if (cluster == NONE)
		return NONE;
	file->cursor = cluster * CLUSTER_PAGES;
	while (page_used(file, file->cursor))
		file->cursor++;
	return file->cursor;
}

void swap_file_page_free(struct swap_file *file, u32 page, bool bad)
{
	BUG_ON(!page_used(file, page));
	file->stats->file_pages--;
	if (bad)
		return;
	file->bitmap[page / 64] &= ~(1ULL << page % 64);
	file->nr_empty += --file->cluster_used[page / CLUSTER_PAGES] == 0;
}

/* ---- writes ---- */

static u8 *buffer_at(const struct swap_file *file, u32 bundle, u32 i)
{
	return file->buffers + ((size_t)bundle * BUNDLE_PAGES + i) * PAGE_SIZE;
}

/* What has not ended of the bundle, or its next page alone, goes to the kernel. */
static void bundle_submit(struct swap_file *file, u32 bundle)
{
	const struct write *w = &file->writes[bundle];
	u32 nr = w->single ? 1 : w->nr - w->done;

	file->writes_in_flight++;
	ring_write(file->ring, file->fd, buffer_at(file, bundle, w->done), nr * (u32)PAGE_SIZE,
		   (u64)(w->first + w->done) << PAGE_SHIFT, file->tag + bundle);
}

static void open_submit(struct swap_file *file)
{
	u32 bundle = file->open;

	file->open = NONE;
	bundle_submit(file, bundle);
}

int swap_file_write(struct swap_file *file, u32 slot, void **buf)
{
	u32 page = file->nr_failures < FAILURES_MAX ? page_find(file) : NONE;
	struct write *w;

	if (page == NONE)
		return -ENOSPC;
	if (file->open != NONE && file->writes[file->open].first + file->writes[file->open].nr != page)
		open_submit(file);
	if (file->open == NONE) {
		if (!file->nr_free_writes)
			return -EAGAIN;
		file->open = file->free_writes[--file->nr_free_writes];
		file->writes[file->open] = (struct write){ .first = page };
	}
	page_mark(file, page);
	file->cursor = page + 1;
	file->stats->file_pages++;
	w = &file->writes[file->open];
	w->slots[w->nr] = slot;
	*buf = buffer_at(file, file->open, w->nr);
	return (int)(file->open * BUNDLE_PAGES + w->nr++);
}

void swap_file_commit(struct swap_file *file)
{
	if (!file->writes_in_flight || file->writes[file->open].nr == BUNDLE_PAGES)
		open_submit(file);
}

const void *swap_file_buffer(const struct swap_file *file, u32 write)
{
	return buffer_at(file, write / BUNDLE_PAGES, write % BUNDLE_PAGES);
}

void swap_file_cancel_write(struct swap_file *file, u32 write)
{
	file->writes[write / BUNDLE_PAGES].slots[write % BUNDLE_PAGES] = NONE;
}

/* The bundle's next page has ended. */
static void page_written(struct swap_file *file, struct write *w, int err)
{
	u32 slot = w->slots[w->done], page = w->first + w->done;

	w->done++;
	if (err) {
		file->stats->write_errors++;
		file->nr_failures++;
	} else {
		file->stats->file_bytes_written += PAGE_SIZE;
		file->nr_failures = 0;
	}
	if (err || slot == NONE)
		swap_file_page_free(file, page, err);
	if (slot != NONE)
		file->ops->written(file->arg, slot, page, err);
}

static void bundle_event(struct swap_file *file, u32 bundle, int res)
{
	struct write *w = &file->writes[bundle];
	bool retry = res == -EINTR || res == -EAGAIN; /* nothing was tried */

	file->writes_in_flight--;
	if (res >= (int)PAGE_SIZE) {
		for (u32 nr = (u32)res >> PAGE_SHIFT; nr; nr--)
			page_written(file, w, 0);
	} else if (!retry && !w->single && w->nr - w->done > 1) {
		w->single = true;
	} else if (!retry) {
		page_written(file, w, res < 0 ? res : -EIO);
	}
	if (w->done < w->nr)
		bundle_submit(file, bundle);
	else
		file->free_writes[file->nr_free_writes++] = bundle;
	if (file->open != NONE)
		open_submit(file);
}

/* ---- reads ---- */

static void read_submit(struct swap_file *file, u32 i)
{
	const struct read *r = &file->reads[i];

	ring_read(file->ring, file->fd, r->page, PAGE_SIZE, (u64)r->file_page << PAGE_SHIFT,
		  file->tag + NR_WRITES + i);
}

int swap_file_read(struct swap_file *file, u32 slot, u32 file_page, void *page, void *cookie)
{
	u32 i = file->free_read;

	if (i == NONE)
		return -EAGAIN;
	file->free_read = file->reads[i].next_free;
	file->nr_reads++;
	file->reads[i] = (struct read){ .slot = slot, .file_page = file_page, .busy = true,
					.page = page, .cookie = cookie };
	read_submit(file, i);
	return 0;
}

void swap_file_cancel_reads(struct swap_file *file, u32 slot)
{
	for (u32 i = 0; file->nr_reads && i < NR_READS; i++)
		if (file->reads[i].busy && file->reads[i].slot == slot)
			file->reads[i].cancelled = true;
}

static void read_event(struct swap_file *file, u32 i, int res)
{
	struct read r = file->reads[i];
	int err = 0;

	BUG_ON(!r.busy);
	if (!r.cancelled && (res == -EINTR || res == -EAGAIN)) {
		read_submit(file, i);
		return;
	}
	file->reads[i].busy = false;
	file->reads[i].next_free = file->free_read;
	file->free_read = i;
	file->nr_reads--;
	if (r.cancelled)
		err = -ECANCELED;
	else if (res != (int)PAGE_SIZE)
		err = res < 0 ? res : -EIO;
	if (res > 0)
		file->stats->file_bytes_read += (u32)res;
	file->ops->read(file->arg, r.slot, r.page, r.cookie, err);
}

void swap_file_event(struct swap_file *file, u64 request, int res)
{
	BUG_ON(request >= NR_WRITES + NR_READS);
	if (request < NR_WRITES)
		bundle_event(file, (u32)request, res);
	else
		read_event(file, (u32)request - NR_WRITES, res);
}

u32 swap_file_busy(const struct swap_file *file)
{
	return file->nr_reads + NR_WRITES - file->nr_free_writes;
}
