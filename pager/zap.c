/* SPDX-License-Identifier: MIT */
/*
 * zap.c - pages that leave without staging: shared by a fork, or of a mapping whose pages cannot be moved.
 *
 * Who calls it: reclaim.c; staging.c for a page that looked movable and was not; writeout.c with what became of its
 * bytes.  The page is write-protected wherever it is mapped, so its bytes hold still; they are read and stored; then
 * every mapping drops it.  Its spaces are held until that is over.
 *
 * Protection holds the program still, not a device that writes to the page: is_shared() finds one case of it,
 * mm_victim_pinned() those of io_uring, nothing shows the others (docs/ARCHITECTURE.md, "Pages that cannot be moved").
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "reclaimer.h"
#include "sup.h"
#include "sys/uffd.h"

struct own_page {
	struct mm_struct *mm; /* NULL: not known */
	u64 addr;
};

/* Returns not 0 where the kernel does not share the page (*arg: here), or does not tell. */
static int is_alone(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	int fd = space_pagemap(mm_host(mm));
	struct own_page *own = arg;
	u64 entry;

	if (fd < 0 || pagemap_read(fd, addr, &entry, 1) != 1)
		return 1;
	if (!(entry & PAGEMAP_EXCLUSIVE))
		return 0;
	*own = (struct own_page){ mm, addr };
	return 1;
}

/*
 * Does the kernel share the page as the model thinks?  Pages that were pinned at a fork (by a device, an io_uring's
 * buffers) it has copied, and those that were pinned for reading while they were shared (direct I/O out of them,
 * process_vm_readv): without a fault.  DMA may still go to one of them.  What is found so gets a frame of its own: it
 * counts, and leaves by a move.
 */
static bool is_shared(struct sup *sup, u32 pfn)
{
	bool found = false;

	while (mm_victim_mapped(sup->world, pfn) > 1) {
		struct own_page own = { 0 };

		if (!mm_victim_walk(sup->world, pfn, is_alone, &own))
			return !found;
		if (!own.mm || !mm_unshared(own.mm, own.addr, pfn))
			return false;
		found = true;
	}
	return !found;
}

static int protect_one(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct space *space = mm_host(mm);
	struct pte_info pte;

	mm_lookup_pte(mm, addr, &pte);
	if (pte.wp)
		return 0;
	return uffd_writeprotect(space->uffd, range_of(addr, PAGE_SIZE), true, false);
}

static int hold_one(struct mm_struct *mm, u64 addr, u64 vm_flags, void *arg)
{
	struct zap *z = arg;

	z->map[z->nr++] = (struct zap_map){ .zap = z, .space = mm_host(mm), .addr = addr };
	evicting_begin(mm_host(mm));
	return 0;
}

/* The page may be forgotten by the zap: gone, or to stay. */
static void zap_end(struct sup *sup, struct zap *z)
{
	list_del(&z->link);
	for (u32 i = 0; i < z->nr; i++)
		evicting_end(z->map[i].space);
	free(z);
}

void zap_undo(struct sup *sup, struct zap *z)
{
	sup->reclaim->nr_leaving--;
	sup->reclaim->freed = true; /* who waits for this page may go on */
	mm_putback(sup->world, z->pfn);
	zap_end(sup, z);
}

void zap_begin(struct sup *sup, const struct victim *v)
{
	struct reclaimer *r = sup->reclaim;
	u32 nr = mm_victim_mapped(sup->world, v->pfn);
	struct zap *z;

	if (!nr || nr > ZAP_MAX_MAPS || mm_victim_pinned(sup->world, v->pfn) ||
	    !is_shared(sup, v->pfn) ||
	    mm_victim_walk(sup->world, v->pfn, protect_one, NULL)) {
		mm_putback(sup->world, v->pfn);
		return;
	}
	mm_victim_protected(sup->world, v->pfn);
	z = calloc(1, sizeof(*z) + nr * sizeof(z->map[0]));
	BUG_ON(!z);
	z->pfn = v->pfn;
	mm_victim_walk(sup->world, v->pfn, hold_one, z);
	list_add_tail(&z->link, &r->zaps_new);
	r->nr_leaving++;
}

/* Send what was begun to the packer: pages that are read from one address space make one job. */
void zaps_submit(struct sup *sup)
{
	struct reclaimer *r = sup->reclaim;
	struct pack_job *job = NULL;
	struct zap *z, *tmp;

	list_for_each_entry_safe(z, tmp, &r->zaps_new, link) {
		int mem = z->map[0].space->stager ? z->map[0].space->stager->mem : -1;

		if (r->swap_full || mem < 0) {
			zap_undo(sup, z);
			continue;
		}
		if (job && (job->mem != mem || job->nr == JOB_PAGES)) {
			job_submit(sup, job);
			job = NULL;
		}
		if (!job) {
			job = job_get(r);
			if (!job)
				return; /* when one comes back */
			job->owner = NULL;
			job->mem = mem;
			job->nr = 0;
		}
		list_del(&z->link);
		list_add_tail(&z->link, &r->zaps);
		job_add(sup, job, z->map[0].addr, z->pfn, 0)->cookie = z;
	}
	if (job)
		job_submit(sup, job);
}

/* Its bytes are stored: out of every address space with it. */
void zap_drop(struct sup *sup, struct zap *z)
{
	for (u32 i = 0; i < z->nr; i++) {
		struct stager *st = z->map[i].space->stager;

		if (!st || !stager_room(st, 2 * z->nr)) {
			zap_undo(sup, z);
			return;
		}
	}
	for (u32 i = 0; i < z->nr; i++)
		stager_zap(z->map[i].space->stager, z->map[i].addr, &z->map[i]);
	z->to_drop = z->nr;
}

/*
 * It is out, but for a mapping whose stub was killed or refused: is the page still there?  Then it is a page of
 * that address space alone.
 */
static void zap_survivor(struct sup *sup, const struct zap_map *map)
{
	u8 byte;

	if (!map->failed || space_peek(map->space, map->addr, &byte, 1))
		return;
	mm_readopt(map->space->mm, map->addr, true);
}

void zap_dropped(struct stager *st, const struct stager_op *op, s64 err)
{
	struct sup *sup = st->sup;
	struct zap_map *map = op->cookie;
	struct zap *z = map->zap;

	map->failed = err != 0;
	if (--z->to_drop)
		return;
	frame_left(sup, z->pfn, z->clean);
	for (u32 i = 0; i < z->nr; i++)
		zap_survivor(sup, &z->map[i]);
	zap_end(sup, z);
}

void zap_packed(struct sup *sup, struct pack_page *page)
{
	struct zap *z = page->cookie;

	z->clean = page->result == PACK_CLEAN;
	if (page->result == PACK_GONE) { /* dropped behind our back (io_uring): a fault will tell */
		zap_undo(sup, z);
		return;
	}
	switch (z->clean ? 0 : store_page(sup, slot_of(sup, z->pfn), page)) {
	case 0:
		zap_drop(sup, z);
		break;
	case -EINPROGRESS:
		z->storing = true;
		break;
	default:
		zap_undo(sup, z);
		break;
	}
}
