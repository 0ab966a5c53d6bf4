/* SPDX-License-Identifier: MIT */
/*
 * plugin.c - a plug-in in the shape of a reclaim policy, each answer checked (see plugin.h).
 *
 * Called through plugin_ops by the model.  Loading and naming is in plugin_open.c, the watchdog in
 * plugin_watch.c.
 */
#include "plugin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "mm/vm_flags.h"
#include "plugin_impl.h"

#define TICK_NS 100000000ULL

/* After so many victims in a row that cannot leave we take so many others before we ask again. */
#define REFUSED_MAX 256
#define TAKE_MAX    64

/* Whose call is being made: upager_host's functions have no other way to know. */
static struct plugin *running;
struct plugin *plugin_prefetching;

/* ---- calls ---- */

void plugin_enter(struct plugin *p, const char *call)
{
	struct plugin_watch *w = p->host->watch;

	if (w->owner != p) {
		snprintf(w->name, sizeof(w->name), "%.*s", (int)sizeof(w->name) - 1, p->path);
		w->owner = p;
	}
	running = p;
	__atomic_store_n(&w->calls, w->calls + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&w->call, call, __ATOMIC_RELEASE);
}

void plugin_leave(struct plugin *p)
{
	__atomic_store_n(&p->host->watch->call, NULL, __ATOMIC_RELEASE);
	running = NULL;
}

void plugin_blame(struct plugin *p, const char *fmt, ...)
{
	va_list ap;

	if (*p->wrong)
		return;
	va_start(ap, fmt);
	vsnprintf(p->wrong, sizeof(p->wrong), fmt, ap);
	va_end(ap);
}

/* ---- slots ---- */

static upager_page *handle_of(const struct plugin *p, u32 i)
{
	return (upager_page *)(uintptr_t)((u64)p->slot[i].gen << 32 | i);
}

/* The slot of a handle, 0: dead, or never was one. */
static u32 slot_of(const struct plugin *p, const upager_page *page)
{
	u64 v = (uintptr_t)page;
	u32 i = (u32)v;

	if (!i || i >= p->nr_slots || p->slot[i].gen != v >> 32 || p->slot[i].state == SLOT_FREE)
		return 0;
	return i;
}

/* The slot of a node, 0: not the plug-in's, but an earlier policy's or the fallback's. */
static u32 slot_of_node(const struct plugin *p, const struct reclaim_node *node)
{
	u32 i = node->u32;

	if (!i || i >= p->nr_slots || p->slot[i].node != node || p->slot[i].state == SLOT_FREE)
		return 0;
	return i;
}

static void slot_hold(struct plugin *p, u32 i)
{
	struct slot *s = &p->slot[i], *head = &p->slot[0];

	s->state = SLOT_HELD;
	s->prev = head->prev;
	s->next = 0;
	p->slot[head->prev].next = i;
	head->prev = i;
	p->nr_held++;
}

/* HELD -> `to`. */
static void slot_unhold(struct plugin *p, u32 i, enum slot_state to)
{
	struct slot *s = &p->slot[i];

	BUG_ON(s->state != SLOT_HELD);
	p->slot[s->prev].next = s->next;
	p->slot[s->next].prev = s->prev;
	p->nr_held--;
	s->state = to;
}

/* Not HELD any more. */
static void slot_free(struct plugin *p, u32 i)
{
	struct slot *s = &p->slot[i];

	s->state = SLOT_FREE;
	s->node = NULL;
	if (!++s->gen)
		s->gen = 1;
	s->next = p->free;
	p->free = i;
}

/* Returns false for lack of memory. */
static bool slots_grow(struct plugin *p)
{
	u32 nr = p->nr_slots ? p->nr_slots * 2 : 1024;
	struct slot *slot = nr > p->nr_slots ? realloc(p->slot, nr * sizeof(*slot)) : NULL;

	if (!slot)
		return false;
	memset(slot + p->nr_slots, 0, (nr - p->nr_slots) * sizeof(*slot));
	p->slot = slot;
	for (u32 i = nr - 1; i >= (p->nr_slots ? p->nr_slots : 1); i--)
		slot_free(p, i);
	p->nr_slots = nr;
	return true;
}

/* A HELD slot for `node`; 0: no memory. */
static u32 slot_alloc(struct plugin *p, struct reclaim_node *node)
{
	u32 i;

	if (!p->free && !slots_grow(p))
		return 0;
	i = p->free;
	p->free = p->slot[i].next;
	p->slot[i].node = node;
	p->slot[i].value = 0;
	p->slot[i].born_ns = p->slot[i].used_ns = p->host->now_ns();
	*node = (struct reclaim_node){ .u32 = i };
	slot_hold(p, i);
	return i;
}

/* ---- falling back ---- */

void plugin_settle(struct plugin *p)
{
	u32 i;

	if (!*p->wrong || p->failed)
		return;
	p->failed = true;
	if (plugin_prefetching == p)
		plugin_prefetching = NULL;
	fprintf(stderr, "upager: policy %s: %s; going on with %s\n", p->path, p->wrong,
		p->fallback_ops->name);
	while ((i = p->slot ? p->slot[0].next : 0)) {
		struct reclaim_node *node = p->slot[i].node;

		slot_unhold(p, i, SLOT_OUT);
		slot_free(p, i);
		*node = (struct reclaim_node){ .u32 = 0 };
		p->fallback_ops->insert(p->fallback, node, 0, 0);
	}
}

static void leave_and_settle(struct plugin *p)
{
	plugin_leave(p);
	plugin_settle(p);
}

/* ---- struct upager_host ---- */

/* What a host function is asked about; an empty one when it must not be. */
static struct slot *asked(const upager_page *page)
{
	static struct slot nothing;
	u32 i;

	nothing = (struct slot){ .state = SLOT_FREE };
	if (!running)
		return &nothing; /* a thread of its own, or a constructor: it was told not to */
	i = slot_of(running, page);
	if (i)
		return &running->slot[i];
	plugin_blame(running, "%s() asked about a page that is gone or never was",
		     running->host->watch->call);
	return &nothing;
}

static struct plugin_page facts(const upager_page *page)
{
	struct plugin_page out = { 0 };
	const struct slot *s = asked(page);

	if (s->node && running->host->page)
		running->host->page(running->host->arg, s->node, &out);
	return out;
}

u32 plugin_vma_flags(u64 vm_flags)
{
	static const struct {
		u64 ours;
		u32 theirs;
	} flags[] = {
		{ VM_READ, UPAGER_VM_READ },
		{ VM_WRITE, UPAGER_VM_WRITE },
		{ VM_EXEC, UPAGER_VM_EXEC },
		{ VM_SHARED, UPAGER_VM_SHARED },
		{ VM_GROWSDOWN, UPAGER_VM_GROWSDOWN },
		{ VM_SEQ_READ, UPAGER_VM_SEQ_READ },
		{ VM_RAND_READ, UPAGER_VM_RAND_READ },
	};
	u32 out = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (vm_flags & flags[i].ours)
			out |= flags[i].theirs;
	return out;
}

static u32 host_mm(const upager_page *page)
{
	return facts(page).mm;
}

static u64 host_address(const upager_page *page)
{
	return facts(page).address;
}

static u32 host_vma_flags(const upager_page *page)
{
	return plugin_vma_flags(facts(page).vm_flags);
}

static u64 host_file(const upager_page *page)
{
	return facts(page).file;
}

static int host_dirty(const upager_page *page)
{
	return facts(page).dirty;
}

static u64 host_age(const upager_page *page)
{
	const struct slot *s = asked(page);

	return s->node ? running->host->now_ns() - s->born_ns : 0;
}

static u64 host_idle(const upager_page *page)
{
	const struct slot *s = asked(page);

	return s->node ? running->host->now_ns() - s->used_ns : 0;
}

static u64 host_get(const upager_page *page)
{
	return asked(page)->value;
}

static void host_set(upager_page *page, u64 value)
{
	asked(page)->value = value;
}

static void host_say(const char *text)
{
	if (running && !running->host->quiet)
		fprintf(stderr, "upager: %s: %s\n", running->path, text);
}

const struct upager_host plugin_host = {
	.size = sizeof(struct upager_host),
	.mm = host_mm,
	.address = host_address,
	.vma_flags = host_vma_flags,
	.file = host_file,
	.dirty = host_dirty,
	.age = host_age,
	.idle = host_idle,
	.get = host_get,
	.set = host_set,
	.say = host_say,
};

/* ---- struct reclaim_ops ---- */

static void tick(struct plugin *p)
{
	u64 now;

	if (p->failed || !p->ops.tick)
		return;
	now = p->host->now_ns();
	if (now < p->next_tick_ns)
		return;
	p->next_tick_ns = now + TICK_NS;
	plugin_enter(p, "tick");
	p->ops.tick(p->self, now);
	leave_and_settle(p);
}

static unsigned int insert_flags(unsigned int flags)
{
	return (flags & RECLAIM_REFAULT ? UPAGER_REFAULT : 0) |
	       (flags & RECLAIM_PREFETCH ? UPAGER_PREFETCHED : 0) |
	       (flags & RECLAIM_WRITE ? UPAGER_WRITTEN : 0);
}

static void plugin_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct plugin *p = policy;
	u32 i = 0;

	tick(p);
	if (!p->failed) {
		i = slot_alloc(p, node);
		if (!i)
			plugin_blame(p, "there is no memory for its handles");
		plugin_settle(p);
	}
	if (p->failed) {
		p->fallback_ops->insert(p->fallback, node, key, flags);
		return;
	}
	plugin_enter(p, "insert");
	p->ops.insert(p->self, handle_of(p, i), key, insert_flags(flags));
	leave_and_settle(p);
}

static void plugin_touch(void *policy, struct reclaim_node *node)
{
	struct plugin *p = policy;
	u32 i;

	if (p->failed) {
		p->fallback_ops->touch(p->fallback, node);
		return;
	}
	i = slot_of_node(p, node);
	BUG_ON(!i || p->slot[i].state != SLOT_HELD);
	p->slot[i].used_ns = p->host->now_ns();
	if (!p->ops.touch)
		return;
	plugin_enter(p, "touch");
	p->ops.touch(p->self, handle_of(p, i));
	leave_and_settle(p);
}

/* Its answer, if it is a good one, else 0 with the blame put. */
static u32 ask_victim(struct plugin *p)
{
	upager_page *page;
	u32 i;

	plugin_enter(p, "victim");
	page = p->ops.victim(p->self);
	plugin_leave(p);
	i = page ? slot_of(p, page) : 0;
	if (i && p->slot[i].state == SLOT_HELD)
		return *p->wrong ? 0 : i;
	if (i)
		plugin_blame(p, "victim() gave a page that it had given already");
	else if (page)
		plugin_blame(p, "victim() gave a page that is gone or never was");
	else if (p->nr_held)
		plugin_blame(p, "victim() gave no page though it holds %llu",
			     (unsigned long long)p->nr_held);
	return 0;
}

static void tell_forget(struct plugin *p, u32 i, int out)
{
	plugin_enter(p, "forget");
	p->ops.forget(p->self, handle_of(p, i), out);
	plugin_leave(p);
}

/*
 * It offers pages that cannot leave, again and again (those of one process, say, that waits for the
 * very room that we look for).  The run must not stand still, so we take the page that it has held
 * longest, and behave towards it as if the program had freed that.
 */
static u32 take_other(struct plugin *p)
{
	u32 i = p->slot[0].next;
	struct reclaim_node *node = p->slot[i].node;

	tell_forget(p, i, 0);
	slot_unhold(p, i, SLOT_OUT);
	slot_free(p, i);
	i = slot_alloc(p, node); /* has room: one was just freed */
	slot_unhold(p, i, SLOT_TAKEN);
	if (++p->nr_refused == REFUSED_MAX + TAKE_MAX)
		p->nr_refused = 0;
	return i;
}

static struct reclaim_node *plugin_victim(void *policy)
{
	struct plugin *p = policy;
	u32 i = 0;

	tick(p);
	if (!p->failed && p->nr_held && p->nr_refused >= REFUSED_MAX) {
		i = take_other(p);
		plugin_settle(p);
		return p->slot[i].node;
	}
	if (!p->failed)
		i = ask_victim(p);
	if (i) {
		slot_unhold(p, i, SLOT_OUT);
		return p->slot[i].node;
	}
	plugin_settle(p);
	return p->failed ? p->fallback_ops->victim(p->fallback) : NULL;
}

static void plugin_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct plugin *p = policy;
	u32 i = slot_of_node(p, node);

	if (p->failed && !i) {
		p->fallback_ops->putback(p->fallback, node, why);
		return;
	}
	if (p->failed) { /* it was out when the plug-in failed */
		slot_free(p, i);
		*node = (struct reclaim_node){ .u32 = 0 };
		p->fallback_ops->insert(p->fallback, node, 0, 0);
		return;
	}
	if (!i || p->slot[i].state == SLOT_TAKEN) {
		/* It was out when the plug-in began, or without its doing. */
		if (i)
			slot_free(p, i);
		plugin_insert(p, node, 0, 0);
		return;
	}
	BUG_ON(p->slot[i].state != SLOT_OUT);
	p->nr_refused = why == RECLAIM_REFUSED ? p->nr_refused + 1 : 0;
	slot_hold(p, i);
	if (why == RECLAIM_TOUCHED)
		p->slot[i].used_ns = p->host->now_ns();
	plugin_enter(p, "putback");
	p->ops.putback(p->self, handle_of(p, i),
		       why == RECLAIM_TOUCHED ? UPAGER_TOUCHED : UPAGER_REFUSED);
	leave_and_settle(p);
}

static void plugin_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	struct plugin *p = policy;
	u32 i = slot_of_node(p, node);

	if (!i) {
		if (p->failed)
			p->fallback_ops->evicted(p->fallback, node, key);
		return;
	}
	BUG_ON(p->slot[i].state == SLOT_HELD);
	if (!p->failed && p->slot[i].state == SLOT_OUT) {
		p->nr_refused = 0;
		plugin_enter(p, "evicted");
		p->ops.evicted(p->self, handle_of(p, i), key);
		plugin_leave(p);
	}
	slot_free(p, i);
	plugin_settle(p);
}

static void plugin_forget(void *policy, struct reclaim_node *node)
{
	struct plugin *p = policy;
	u32 i;

	if (p->failed) {
		p->fallback_ops->forget(p->fallback, node);
		return;
	}
	i = slot_of_node(p, node);
	BUG_ON(!i);
	tell_forget(p, i, 0);
	slot_unhold(p, i, SLOT_OUT);
	slot_free(p, i);
	plugin_settle(p);
}

static void plugin_dropped(void *policy, struct reclaim_node *node)
{
	struct plugin *p = policy;
	u32 i = slot_of_node(p, node);

	if (!i)
		return; /* of another policy's time */
	BUG_ON(p->slot[i].state == SLOT_HELD);
	if (!p->failed && p->slot[i].state == SLOT_OUT) {
		p->nr_refused = 0;
		tell_forget(p, i, 1);
	}
	slot_free(p, i);
	plugin_settle(p);
}

static void plugin_forget_key(void *policy, u64 key)
{
	struct plugin *p = policy;

	if (p->failed) {
		p->fallback_ops->forget_key(p->fallback, key);
	} else if (p->ops.forget_key) {
		plugin_enter(p, "forget_key");
		p->ops.forget_key(p->self, key);
		leave_and_settle(p);
	}
}

static int plugin_resize(void *policy, u64 capacity)
{
	struct plugin *p = policy;
	int ret = p->fallback_ops->resize(p->fallback, capacity);

	if (ret)
		return ret;
	if (!p->failed && p->ops.resize) {
		plugin_enter(p, "resize");
		p->ops.resize(p->self, capacity);
		leave_and_settle(p);
	}
	return 0;
}

static void plugin_mm_created(void *policy, u32 id, const char *name)
{
	struct plugin *p = policy;

	if (p->failed || !p->ops.mm_created)
		return;
	plugin_enter(p, "mm_created");
	p->ops.mm_created(p->self, id, name);
	leave_and_settle(p);
}

static void plugin_mm_gone(void *policy, u32 id)
{
	struct plugin *p = policy;

	if (p->failed || !p->ops.mm_gone)
		return;
	plugin_enter(p, "mm_gone");
	p->ops.mm_gone(p->self, id);
	leave_and_settle(p);
}

const struct reclaim_ops plugin_ops = {
	.name = "plug-in",
	.help = "",
	.fini = plugin_fini,
	.resize = plugin_resize,
	.insert = plugin_insert,
	.touch = plugin_touch,
	.victim = plugin_victim,
	.putback = plugin_putback,
	.evicted = plugin_evicted,
	.forget = plugin_forget,
	.forget_key = plugin_forget_key,
	.dropped = plugin_dropped,
	.mm_created = plugin_mm_created,
	.mm_gone = plugin_mm_gone,
};
