/* SPDX-License-Identifier: MIT */
/*
 * plugin_impl.h - what plugin.c, plugin_open.c and plugin_watch.c share; nobody else includes it.
 */
#ifndef UPAGER_PLUGIN_IMPL_H
#define UPAGER_PLUGIN_IMPL_H

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>

#include "plugin.h"
#include "upager/policy.h"

/*
 * Ends the process when one call of the plug-in takes too long.  A thread; it touches nothing but
 * `watch`.
 */
struct watchdog {
	struct plugin_watch *watch;
	pthread_t thread;
	sem_t stop;
	bool started;
};
int must_check watchdog_start(struct watchdog *dog, struct plugin_watch *watch);
/* Also when it was not started. */
void watchdog_stop(struct watchdog *dog);

/*
 * What is behind a handle.  A handle is (gen, index) in the shape of a pointer: index never 0, gen
 * changes when the slot is freed, so that a dead handle is known for what it is.
 */
enum slot_state {
	SLOT_FREE,
	SLOT_HELD,  /* the plug-in holds it: on the list of slot[0] */
	SLOT_OUT,   /* victim() named it; not settled yet */
	SLOT_TAKEN, /* out, but not by its choice: it was told to forget it (take_other) */
};
struct slot {
	struct reclaim_node *node;
	u64 value;           /* upager_host.get, set */
	u64 born_ns, used_ns;
	u32 gen;
	u32 prev, next;      /* HELD: as list_head, by index, oldest first; FREE: next, 0: none */
	enum slot_state state;
};

/*
 * An instance of a plug-in.  Owned by whoever has the policy from policy_open(), ended by fini().
 * Invariants: P1 a node that we have names its slot in node.u32, and the slot names the node; P2
 * nr_held slots are HELD; P3 once it has failed none is HELD, the plug-in is not called any more,
 * and `fallback` has every node that is not OUT.
 */
struct plugin {
	struct upager_policy ops; /* a copy; what an older header did not have is NULL */
	void *self;
	const struct policy_host *host;
	char path[PATH_MAX];      /* as the user wrote it */
	void *dl;                 /* dlopen's */
	struct watchdog dog;
	struct slot *slot;
	u32 nr_slots, free;
	u64 nr_held;
	u32 nr_refused;           /* victims in a row that could not leave, then those taken */
	u64 next_tick_ns;
	const struct reclaim_ops *fallback_ops;
	void *fallback;           /* ready from the start, so that falling back cannot fail */
	char wrong[160];          /* what it did wrong, in the call being made; "": nothing */
	bool failed;
	struct plugin *abandoned; /* the next of those that failed and have been ended */
};

extern const struct reclaim_ops plugin_ops;
extern const struct upager_host plugin_host;
/* Who answers prefetchers that yield; NULL: nobody. */
extern struct plugin *plugin_prefetching;

/* Around each call into the plug-in; `call`: a string literal. */
void plugin_enter(struct plugin *p, const char *call);
void plugin_leave(struct plugin *p);
/* Note a bad answer, if it is the first. */
void plugin_blame(struct plugin *p, const char *fmt, ...) printf_like(2, 3);
/* Go over to the fallback if it was blamed. */
void plugin_settle(struct plugin *p);
u32 plugin_vma_flags(u64 vm_flags);
/* plugin_open.c: reclaim_ops.fini. */
void plugin_fini(void *policy);

#endif /* UPAGER_PLUGIN_IMPL_H */
