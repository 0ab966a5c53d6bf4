/* SPDX-License-Identifier: MIT */
/*
 * packer.h - a thread that reads, hashes and compresses pages beside the loop.
 *
 * Who calls it: writeout.c; reclaim.c polls packer_fd(), swap.c starts and ends it.  A job goes to the thread by a
 * queue and comes back by another; nothing else is shared.
 * The pages of a job hold still: they are in staging, or write-protected.
 */
#ifndef UPAGER_PACKER_H
#define UPAGER_PACKER_H

#include "base/base.h"
#include "base/list.h"
#include "swap/store.h"

struct packer;

#define JOB_PAGES 32

enum pack_result {
	PACK_STORE, /* `packed` is to be stored */
	PACK_CLEAN, /* its bytes are those of `known` */
	PACK_GONE,  /* it could not be read */
};

/* Pages to be packed.  Owned by the caller, lent between packer_submit() and packer_next(). */
struct pack_job {
	struct list_head link;
	void *owner;  /* the caller's */
	int mem;      /* /proc/PID/mem of their address space */
	u32 nr;
	struct pack_page {
		u64 addr;
		u32 pfn;            /* the caller's */
		u32 place;          /* the caller's */
		void *cookie;       /* the caller's */
		bool has_known;
		u64 known[2];       /* hash of what its slot holds */
		enum pack_result result;
		struct packed packed;
	} page[JOB_PAGES];
};

/* Starts the thread.  NULL: no memory or no thread. */
struct packer *packer_create(enum swap_algo algo, bool compress, u64 seed);
/* Pre: no job is out. */
void packer_destroy(struct packer *packer);
/* Readable when a job is done: for the loop to poll. */
int packer_fd(const struct packer *packer);
void packer_submit(struct packer *packer, struct pack_job *job);
/* Do it here and now, in the caller's thread: for jobs too short to be worth a wake-up of another CPU. */
void packer_run(struct packer *packer, struct pack_job *job);
/* A job that is done, or NULL. */
struct pack_job *packer_next(struct packer *packer);

#endif /* UPAGER_PACKER_H */
