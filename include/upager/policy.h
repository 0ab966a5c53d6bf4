/* SPDX-License-Identifier: MIT */
/*
 * upager/policy.h - a policy of your own: which pages leave memory, and which come back together.
 *
 *	cc -shared -fPIC -O2 -o mine.so mine.c
 *	upager run --memory 64M --policy ./mine.so:args -- PROG
 *	upager ctl PID policy=./mine.so:args           # or while it runs
 *
 * mine.c includes this header and defines `upager_policy` (below); it links with nothing of
 * upager's. docs/POLICY.md is a tutorial, demo/policy has complete ones.
 *
 * A policy sees pages as handles.  The life of a handle:
 *
 *	       insert                   victim                      evicted
 *	 page ---------> yours to hold ---------> out, being moved ----------> handle dead; `key` stays: what
 *	                  ^   |  |                  |         |                insert() will say should the page
 *	           touch  '---'  | forget(…, 0)     |         | forget(…, 1)   come back, until forget_key(key)
 *	                         v                  |         v
 *	                    handle dead             |    handle dead
 *	                                            |
 *	                  yours to hold again  <----'  putback
 *
 * Several pages are out at a time.  A page that is out is still reached for by the program now and
 * then: that is the one sure sign of use that there is, and putback() tells of it.
 *
 * Rules.  upager calls from one thread, one call at a time, and each must return quickly: page
 * faults wait. A call that does not return within 5 seconds, or that crashes, ends the run.  A
 * wrong answer (a victim that is not yours to hold, none though you hold some, a question about a
 * dead handle) does not: upager goes on with its default policy, says so in one line, and does not
 * call the plug-in again. The functions of struct upager_host may be called only from within such a
 * call.
 */
#ifndef UPAGER_POLICY_H
#define UPAGER_POLICY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of this interface.  Fields are only ever added at the end of the structs, and `size`
 * tells which are there: a plug-in that was built with an older header of the same version goes on
 * working.
 */
#define UPAGER_POLICY_ABI 1

#define UPAGER_PAGE_SIZE 4096

/* A handle of a page that is in memory.  Not a pointer to anything. */
typedef struct upager_page upager_page;

/* upager_host.vma_flags: how the program mapped it. */
#define UPAGER_VM_READ      0x0001u
#define UPAGER_VM_WRITE     0x0002u
#define UPAGER_VM_EXEC      0x0004u
#define UPAGER_VM_SHARED    0x0008u
#define UPAGER_VM_GROWSDOWN 0x0010u /* a stack */
#define UPAGER_VM_SEQ_READ  0x0020u /* madvise(MADV_SEQUENTIAL) */
#define UPAGER_VM_RAND_READ 0x0040u /* madvise(MADV_RANDOM) */

/* What upager offers.  Given to init(); valid until fini() has returned. */
struct upager_host {
	size_t size; /* sizeof(struct upager_host) as upager has it */
	/* The address space: a number never used again in a run.  Of several that share it, one. */
	uint32_t (*mm)(const upager_page *page);
	/* Where it is in that address space, in bytes. */
	uint64_t (*address)(const upager_page *page);
	uint32_t (*vma_flags)(const upager_page *page);
	/* The file that it is a page of, as one number; 0: anonymous memory. */
	uint64_t (*file)(const upager_page *page);
	/* 0: its bytes are known to be stored already, so that it leaves for nothing. */
	int (*dirty)(const upager_page *page);
	/* Nanoseconds since it came in, and since it was last known to be used. */
	uint64_t (*age)(const upager_page *page);
	uint64_t (*idle)(const upager_page *page);
	/* A number of yours, kept with the page; 0 at insert(). */
	uint64_t (*get)(const upager_page *page);
	void (*set)(upager_page *page, uint64_t value);
	/* A line on standard error, headed by the plug-in's name. */
	void (*say)(const char *text);
};

/* insert(): flags */
#define UPAGER_REFAULT    1u /* it was evicted before, under this key */
#define UPAGER_PREFETCHED 2u /* brought ahead of need: nobody has asked for it yet */
#define UPAGER_WRITTEN    4u /* the access that brought it is a write */

/* putback(): why */
#define UPAGER_TOUCHED 0 /* the program reached for it */
/*
 * It cannot leave now (pinned, busy): not a use.  Offer others before it: after 256 such answers in
 * a row upager takes some of its own choice, and says forget(page, 0) of each.
 */
#define UPAGER_REFUSED 1

/* A fault on a page that was swapped out.  Addresses in bytes. */
struct upager_fault {
	uint32_t mm;
	uint64_t address;            /* of the page */
	uint64_t vma_start, vma_end; /* of its mapping: what lies outside is not brought */
	uint32_t vma_flags; /* UPAGER_VM_WRITE: the access is a write; _SEQ_READ, _RAND_READ */
	int soft;                    /* it was only out, not evicted: it came back without a copy */
	uint32_t max_pages;          /* more than so many in all runs together are not brought */
};

/* Pages to bring: address, address + stride pages, …: nr of them. */
struct upager_run {
	uint64_t address;
	int64_t stride; /* in pages; not 0; may be negative */
	uint32_t nr;
};
#define UPAGER_MAX_RUNS 4

/*
 * The plug-in.  `self` is what init() returned.  The callbacks of the first group must all be
 * there, those of the second may be NULL.
 */
struct upager_policy {
	uint32_t abi;     /* UPAGER_POLICY_ABI */
	uint32_t size;    /* sizeof(struct upager_policy) */
	const char *name; /* for summaries */

	/*
	 * Begin, with room for `capacity` pages in memory.  args: what the user wrote after the
	 * first colon, "" if nothing; not valid after the return.  Returns self, which is not NULL;
	 * or NULL with one line for the user in err[0..len).  Two instances can overlap: keep no
	 * state outside of self.
	 */
	void *(*init)(const struct upager_host *host, const char *args, uint64_t capacity,
		      char *err, size_t len);
	void (*fini)(void *self);
	/* A page came in: yours to hold.  key: see above; 0: it has none yet. */
	void (*insert)(void *self, upager_page *page, uint64_t key, unsigned flags);
	/* Name a page to leave: one that you hold.  NULL: you hold none. */
	upager_page *(*victim)(void *self);
	/* A page that was out is yours again. */
	void (*putback)(void *self, upager_page *page, int why);
	/* A page that was out is gone.  The handle is dead after this call. */
	void (*evicted)(void *self, upager_page *page, uint64_t key);
	/*
	 * The program has freed a page: one that you hold, or (out != 0) one that is out.  Dead
	 * after this call.
	 */
	void (*forget)(void *self, upager_page *page, int out);

	/* A page that you hold is known to have been used. */
	void (*touch)(void *self, upager_page *page);
	/* What was evicted under `key` will never come back. */
	void (*forget_key)(void *self, uint64_t key);
	/* The budget has changed. */
	void (*resize)(void *self, uint64_t capacity);
	/* An address space came to be (name: of its program), or is gone. */
	void (*mm_created)(void *self, uint32_t mm, const char *name);
	void (*mm_gone)(void *self, uint32_t mm);
	/* Called ten times a second at most, and only before another call. */
	void (*tick)(void *self, uint64_t now_ns);
	/*
	 * What to bring with the page of a fault.  Fills run[0..n), n <= UPAGER_MAX_RUNS, and
	 * returns n.  Not called when the user chose a prefetcher by --prefetch; when NULL,
	 * upager's default does it.
	 */
	unsigned (*prefetch)(void *self, const struct upager_fault *fault, struct upager_run *run);
	/* A page so brought was used (used != 0), or has left again unused. */
	void (*prefetched)(void *self, uint32_t mm, uint64_t address, int used);
};

/* Defined by the plug-in. */
extern const struct upager_policy upager_policy __attribute__((visibility("default")));

#ifdef __cplusplus
}
#endif

#endif /* UPAGER_POLICY_H */
