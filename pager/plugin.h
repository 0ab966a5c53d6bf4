/* SPDX-License-Identifier: MIT */
/*
 * plugin.h - policies by name, and policies of the user's own (include/upager/policy.h).
 *
 * Who calls it: reclaim.c, to start and to change the policy; options.c and cmd_ctl.c, to try one
 * before it is taken; front.c, to say what a plug-in did that ended the supervisor.
 *
 * plugin.c gives a plug-in the shape of a struct reclaim_ops and checks each of its answers:
 * upager's pages are named to it by handles that are looked up, never dereferenced, so that a bad
 * one does no harm.  After a bad answer a built-in policy that was made beforehand takes all pages
 * over.  What cannot be caught inside the process (a crash, an endless loop) is told to the front
 * by struct plugin_watch, which both share: the supervisor dies, the front ends the tree and says
 * whose fault it was.  Start reading at struct plugin in plugin.c.  Linux counterpart: none
 * (sched_ext's checks are the nearest).
 */
#ifndef UPAGER_PLUGIN_H
#define UPAGER_PLUGIN_H

#include "base/base.h"
#include "policy/prefetch_ops.h"
#include "policy/reclaim_ops.h"

/* ---- what the front must know ---- */

#define PLUGIN_STUCK_SECONDS 5

/*
 * What a plug-in is doing.  In memory that supervisor and front share; written by the supervisor's
 * main thread, read by its watchdog thread and, after its death, by the front.
 */
struct plugin_watch {
	const char *call;   /* being made: a string literal; NULL: none, all is well with it */
	u64 calls;          /* made so far */
	bool stuck;         /* the watchdog ended the supervisor */
	const void *owner;  /* whose `name` is; only to compare */
	char name[128];     /* of the plug-in, as the user wrote it */
};

/*
 * Did the process that `watch` was of die in a plug-in?  wait_status: as waitpid gave it.
 * Returns true with a line in text[0..len) ("policy ./mine.so crashed in victim() (…)"), or false.
 */
bool plugin_epitaph(const struct plugin_watch *watch, int wait_status, char *text, size_t len);

/* ---- policies by name ---- */

/* A page as plug-ins may know it. */
struct plugin_page {
	u32 mm;
	u64 address;
	u64 vm_flags;
	u64 file;     /* one number for the file; 0: anonymous */
	bool dirty;
};

/* What a policy may need of its surroundings.  Lives as long as the policy. */
struct policy_host {
	/* A page that the policy has.  NULL: nothing is known of pages. */
	void (*page)(void *arg, const struct reclaim_node *node, struct plugin_page *out);
	void *arg;
	u64 (*now_ns)(void);
	struct plugin_watch *watch;
	bool quiet; /* a trial: what the plug-in says is not printed */
};

/* Is it the path of a plug-in (with a slash before the first colon), not a name? */
bool policy_is_plugin(const char *spec);

/*
 * Start the policy of `spec`: "NAME[:k=v,…]", or "PATH[:args]" of a plug-in, for `capacity` pages.
 * *ops and *policy are as after reclaim_ops.init(), to be ended with fini(); ops->init is not to be
 * called. A plug-in that prefetches does so from now on, in place of a prefetcher that yields
 * (below). Returns 0, or -EINVAL with one line in err[0..len).
 */
int must_check policy_open(const char *spec, u64 capacity, const struct policy_host *host,
			   const struct reclaim_ops **ops, void **policy, char *err, size_t len);
/* What is at work now: `spec`, as it was opened by, or "s3fifo (after a failure of ./mine.so)". */
void policy_describe(const struct reclaim_ops *ops, void *policy, const char *spec, char *text,
		     size_t len);

/*
 * The same for a prefetcher; no plug-ins by path.  yields: the user did not ask for it by name, so
 * that the policy's own prefetch(), if it is a plug-in that has one, goes first.
 */
int must_check prefetch_open(const char *spec, bool yields, const struct prefetch_ops **ops,
			     void **prefetch, char *err, size_t len);

/*
 * Would policy_open() succeed?  Asked in a process of its own, so that nothing the plug-in does
 * harms us. Returns 0, or -EINVAL with one line in err[0..len).
 */
int must_check policy_try(const char *spec, u64 capacity, char *err, size_t len);

#endif /* UPAGER_PLUGIN_H */
