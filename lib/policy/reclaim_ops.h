/* SPDX-License-Identifier: MIT */
/*
 * reclaim_ops.h - what an eviction policy is: it chooses, the mechanism acts.
 *
 * Who calls it: lib/mm/reclaim.c (through the checker of checked.h in tests and for plug-ins), the golden
 * trace tests, and upager/policy.h's adapter for plug-ins.  A policy is pure: it sees pages as nodes and
 * keys and nothing else, makes no system call, and takes memory only in init(), resize() and for ghosts.
 *
 * The life of a page as a policy sees it:
 *
 *               insert                    victim                       evicted
 *      (new) ------------> in the policy --------> on probation ------------------> gone; its key
 *                            ^   |  |                |                              may be kept as
 *                     touch  '---'  | forget         | putback (touched, refused)   a ghost
 *                                   v                v                                |
 *                                 freed       in the policy again      insert with the same key, or
 *                                                                      forget_key: will never come back
 *
 * touch: the page is known to have been used.  The machine has no reference bits for us, so on a live system
 * the only touch is a rescue: a page on probation (in staging) that a thread reaches for is put back with
 * RECLAIM_TOUCHED.  In a trace every hit is a touch.
 * Linux counterpart: mm/vmscan.c and mm/workingset.c, with the choice cut out.
 */
#ifndef UPAGER_RECLAIM_OPS_H
#define UPAGER_RECLAIM_OPS_H

#include <stdio.h>

#include "base/base.h"
#include "base/list.h"

/*
 * A policy's grip on a resident page; embedded in struct frame.  Owned by the policy from insert() until
 * victim() returned it or forget(); the mechanism never looks inside.  Zeroed before insert().
 */
struct reclaim_node {
	struct list_head list;
	u32 u32;  /* a policy's own: an age, a counter, an index */
	u8 where; /* a policy's own: which list */
	u8 ref;   /* a policy's own: reference bits or a frequency */
	u16 u16;  /* a policy's own */
};

enum reclaim_insert_flags {
	RECLAIM_REFAULT = 1 << 0,  /* it was evicted before, under this key */
	RECLAIM_PREFETCH = 1 << 1, /* brought ahead of need: nobody has asked for it yet */
	RECLAIM_WRITE = 1 << 2,    /* the access was a write */
};

enum reclaim_putback {
	RECLAIM_TOUCHED, /* used while on probation: counts as a reference */
	RECLAIM_REFUSED, /* the machine would not take it (pinned, busy): not a reference */
};

/* "key=value" parameters of --policy NAME:key=value,… */
struct policy_param {
	const char *key, *value;
};

struct reclaim_ops {
	const char *name;
	const char *help; /* its parameters in a line, "" when it has none */
	/*
	 * A new instance for `capacity` resident pages (at least 1).  Returns NULL with a message for the user
	 * in err[0..len): an unknown key, a bad value, no memory.
	 */
	void *(*init)(const struct policy_param *params, u32 nr_params, u64 capacity, char *err, size_t len);
	/* Pre: nodes need not be forgotten first. */
	void (*fini)(void *policy);
	/* The budget has changed.  Returns 0, or -ENOMEM: goes on with the old. */
	int (*resize)(void *policy, u64 capacity);
	/* A page came in.  `key`: its identity while it was, and will be, evicted; 0: it has none yet. */
	void (*insert)(void *policy, struct reclaim_node *node, u64 key, unsigned int flags);
	void (*touch)(void *policy, struct reclaim_node *node);
	/* The next to go, taken out of the policy's lists; NULL: the policy holds none. */
	struct reclaim_node *(*victim)(void *policy);
	/* A victim comes back. */
	void (*putback)(void *policy, struct reclaim_node *node, enum reclaim_putback why);
	/*
	 * A victim is gone.  `key` (not 0) is unique among pages that are out, and what insert() will say
	 * should it come back; keys are small, about as many as pages ever were out at once (slots).  Afterwards
	 * the node is not the policy's any more.
	 */
	void (*evicted)(void *policy, struct reclaim_node *node, u64 key);
	/* A page that is in the policy was freed by the program. */
	void (*forget)(void *policy, struct reclaim_node *node);
	/* A page that is out was freed by the program: its key will come to mean another page. */
	void (*forget_key)(void *policy, u64 key);
	/* The rest may be NULL, and but for expect() is in every built-in policy. */
	/* insert() with this key follows soon: what it looks at first may be fetched into the cache. */
	void (*expect)(void *policy, u64 key);
	/* A victim was freed by the program before it was evicted: the node is nobody's any more. */
	void (*dropped)(void *policy, struct reclaim_node *node);
	/* An address space (`id` is never used again; `name`: of its program) came to be, or is gone. */
	void (*mm_created)(void *policy, u32 id, const char *name);
	void (*mm_gone)(void *policy, u32 id);
};

/* All built-in policies; NULL ends the list. */
extern const struct reclaim_ops *const reclaim_policies[];
/* By name, or NULL. */
const struct reclaim_ops *reclaim_policy_find(const char *name);

/*
 * "name:key=value,…" taken apart.  Fields point into `text`.  The first parameter may have no key (cluster:8,
 * recorded:FILE); params[0].key is then "".
 */
#define POLICY_MAX_PARAMS 16
struct policy_spec {
	char text[256];
	const char *name;
	struct policy_param params[POLICY_MAX_PARAMS];
	u32 nr_params;
};
/* Returns 0, or -EINVAL with a message in err[0..len). */
int must_check policy_spec_parse(struct policy_spec *spec, const char *arg, char *err, size_t len);

#endif /* UPAGER_RECLAIM_OPS_H */
