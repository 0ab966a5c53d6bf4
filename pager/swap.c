/* SPDX-License-Identifier: MIT */
/*
 * swap.c - where the bytes of evicted pages are: the run's store, and the pages on their way back from its file.
 *
 * Who calls it: the model, by backing_ops, for the bytes of a slot; prefetch.c; the loop with the store's events.
 * A read of the file takes time: the fault waits parked, and asks again when the page has come (swap_read).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/check.h"
#include "reclaimer.h"
#include "sup.h"

/* Pages that may be on their way ahead of need. */
#define MAX_READS_AHEAD 128

static struct swap_read *read_find(struct reclaimer *r, u32 slot)
{
	struct swap_read *rd;

	list_for_each_entry(rd, &r->reads, link)
		if (rd->slot == slot && !rd->dropped)
			return rd;
	return NULL;
}

static struct swap_read *read_new(struct reclaimer *r, u32 slot)
{
	struct swap_read *rd = calloc(1, sizeof(*rd));

	if (!rd)
		return NULL;
	rd->page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	if (!rd->page) {
		free(rd);
		return NULL;
	}
	rd->slot = slot;
	list_add_tail(&rd->link, &r->reads);
	r->nr_reads++;
	return rd;
}

static void read_free(struct reclaimer *r, struct swap_read *rd)
{
	list_del(&rd->link);
	r->nr_reads--;
	free(rd->page);
	free(rd);
}

/* Begin to read `slot`.  Returns 0: *rd has it; -EINPROGRESS; -EAGAIN: too many are in flight; -EIO; -ENOMEM. */
static int read_begin(struct reclaimer *r, u32 slot, struct swap_read **out)
{
	struct swap_read *rd = read_new(r, slot);
	int err;

	if (!rd)
		return -ENOMEM;
	err = swap_store_get(r->store, slot, rd->page, rd);
	if (err && err != -EINPROGRESS)
		read_free(r, rd);
	if (!err)
		rd->done = true;
	*out = rd;
	return err;
}

static int backing_read(void *arg, u32 slot, const void **page)
{
	struct reclaimer *r = ((struct sup *)arg)->reclaim;
	struct swap_read *rd = read_find(r, slot);
	int err;

	*page = r->page;
	if (!rd) {
		err = swap_store_get_now(r->store, slot, r->page);
		if (err != -EAGAIN)
			return err;
		err = read_begin(r, slot, &rd);
		if (err)
			return err == -EAGAIN ? -EINPROGRESS : err;
	}
	if (!rd->done)
		return -EINPROGRESS;
	err = rd->err;
	memcpy(r->page, rd->page, PAGE_SIZE);
	read_free(r, rd);
	return err;
}

static int backing_read_now(void *arg, u32 slot, void *page)
{
	struct reclaimer *r = ((struct sup *)arg)->reclaim;
	struct swap_read *rd = read_find(r, slot);
	int err;

	if (!rd)
		return swap_store_get_now(r->store, slot, page);
	if (!rd->done)
		return -EAGAIN;
	err = rd->err;
	memcpy(page, rd->page, PAGE_SIZE);
	if (!err)
		read_free(r, rd); /* an error waits for the fault that it belongs to */
	return err;
}

static void backing_drop(void *arg, u32 slot)
{
	struct reclaimer *r = ((struct sup *)arg)->reclaim;
	struct swap_read *rd = read_find(r, slot);

	if (rd && rd->done)
		read_free(r, rd);
	else if (rd)
		rd->dropped = true;
	swap_store_drop(r->store, slot);
	r->swap_full = false;
}

/* Half of the room is used: the slots of pages that came back are better given to others. */
static bool backing_is_tight(void *arg)
{
	const struct sup *sup = arg;
	struct swap_store_stats st;

	if (sup->reclaim->swap_full)
		return true;
	swap_store_stats(sup->reclaim->store, &st);
	return st.pool_bytes > sup->reclaim->pool_bytes / 2 ||
	       (sup->reclaim->file_bytes && st.file_pages << PAGE_SHIFT > sup->reclaim->file_bytes / 2);
}

static void backing_prefetched(void *arg, struct mm_struct *mm, u64 addr, bool used)
{
	prefetch_told(mm_host(mm), addr, used);
}

static void backing_expect(void *arg, u32 slot)
{
	swap_store_expect(((struct sup *)arg)->reclaim->store, slot);
}

const struct backing_ops swap_backing = {
	.read = backing_read,
	.read_now = backing_read_now,
	.drop = backing_drop,
	.is_tight = backing_is_tight,
	.prefetched = backing_prefetched,
	.expect = backing_expect,
};

void swap_read_ahead(struct space *space, u64 addr, u32 slot)
{
	struct reclaimer *r = space->sup->reclaim;
	struct swap_read *rd = read_find(r, slot);
	int err;

	if (rd || r->nr_reads >= MAX_READS_AHEAD)
		return;
	err = read_begin(r, slot, &rd);
	if (err != -EINPROGRESS)
		return; /* at hand now, or left to the fault that needs it */
	rd->space_id = space->id;
	rd->addr = addr;
}

/* ---- the store's events ---- */

static void read_done(void *arg, u32 slot, void *cookie, int err)
{
	struct sup *sup = arg;
	struct swap_read *rd = cookie;
	struct space *space;
	u32 unused;

	rd->done = true;
	rd->err = err;
	if (rd->dropped) {
		read_free(sup->reclaim, rd);
		return;
	}
	sup->reclaim->freed = true; /* whoever waits for it is among those who wait for room */
	space = rd->space_id ? space_by_id(sup, rd->space_id) : NULL;
	if (space && !space->caller && !err)
		(void)mm_prefetch(space->mm, rd->addr, 1, &unused);
}

static void write_done(void *arg, u32 slot, int err)
{
	reclaim_written(arg, slot, err);
}

void swap_event(struct sup *sup, const struct ring_event *ev)
{
	swap_store_event(sup->reclaim->store, ev->tag, ev->res);
}

/* ---- start and end ---- */

/* The pool may take half of what the machine has beyond the budget, unless the user says. */
static u64 default_pool(const struct sup *sup)
{
	u64 pages = (u64)sysconf(_SC_PHYS_PAGES), budget = sup->opt->memory >> PAGE_SHIFT;

	return (pages > 2 * budget ? (pages - budget) / 2 : pages / 4) << PAGE_SHIFT;
}

static int open_file(struct sup *sup, char *err, size_t len)
{
	const struct swap_options *o = &sup->opt->swap;
	u64 size = o->file_size ? o->file_size : 4 * sup->opt->memory;

	sup->reclaim->swap_fd = -1;
	if (!o->file)
		return 0;
	sup->reclaim->swap_fd = swap_file_open(o->file, size, NULL, err, len);
	sup->reclaim->file_bytes = size;
	return sup->reclaim->swap_fd < 0 ? -EIO : 0;
}

int swap_init(struct sup *sup, char *err, size_t len)
{
	const struct swap_options *o = &sup->opt->swap;
	struct reclaimer *r = sup->reclaim;
	u64 seed = 0;
	struct swap_config config;

	if (open_file(sup, err, len))
		return -EIO;
	(void)!getrandom(&seed, sizeof(seed), 0); /* where there is none, the hash is still a good one */
	r->pool_bytes = !o->pool ? 0 : o->pool_size ? o->pool_size : default_pool(sup);
	config = (struct swap_config){
		.pool = o->pool,
		.algo = o->algo,
		.pool_bytes = r->pool_bytes,
		.file = r->swap_fd,
		.file_bytes = r->file_bytes,
		.checksum = o->checksum,
		.seed = seed,
		.ring = &sup->ring,
		.tag = TAG_STORE,
		.read_done = read_done,
		.write_done = write_done,
		.arg = sup,
	};
	r->store = swap_store_create(&config);
	r->packer = packer_create(o->algo, o->pool, seed);
	r->page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	if (r->store && r->packer && r->page)
		return 0;
	snprintf(err, len, "no memory for the swap store");
	return -ENOMEM;
}

void swap_fini(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	struct ring_event ev[16];

	packer_destroy(r->packer);
	while (swap_store_busy(r->store)) {
		int n = ring_wait(&sup->ring, ev, ARRAY_SIZE(ev), UINT64_MAX);

		for (int i = 0; i < n; i++)
			if (ev[i].tag >= TAG_STORE)
				swap_event(sup, &ev[i]);
	}
	while (!list_empty(&r->reads))
		read_free(r, list_first_entry(&r->reads, struct swap_read, link));
	swap_store_destroy(r->store);
	if (r->swap_fd >= 0)
		close(r->swap_fd);
	free(r->page);
}
