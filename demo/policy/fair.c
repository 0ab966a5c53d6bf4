/* SPDX-License-Identifier: MIT */
/*
 * fair.c - a policy that knows processes: whoever holds most of the memory gives a page away first.
 *
 *	cc -shared -fPIC -O2 -o fair.so fair.c
 *	upager run --memory 64M --policy ./fair.so:ahead=8 --stat -- make -j4
 *
 * A process that runs through a large table does not push a small one out, as it would under one
 * list for all. Within a process pages leave first in, first out; one that is reached for while it
 * is on its way out starts anew, and stacks get a second turn.  After a fault the next `ahead`
 * pages are brought too (default 4; 0: none).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <upager/policy.h>

struct entry {
	struct entry *prev, *next;
	upager_page *page;
	struct process *process;
	int turns; /* times that it is passed over */
};

/* An address space, made when its first page comes. */
struct process {
	struct process *next;
	uint32_t mm;
	uint64_t nr;       /* pages in `held` */
	uint64_t refused;  /* of those, offered in vain since one of it has left */
	struct entry held; /* the first in is held.next */
	struct entry out;
};

struct fair {
	const struct upager_host *host;
	struct process *processes;
	unsigned ahead;
};

/* ---- rings ---- */

static void ring_init(struct entry *head)
{
	head->prev = head->next = head;
}

static void ring_add(struct entry *head, struct entry *e)
{
	e->prev = head->prev;
	e->next = head;
	e->prev->next = e;
	head->prev = e;
}

static void ring_take(struct entry *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
}

static void ring_free(struct entry *head)
{
	while (head->next != head) {
		struct entry *e = head->next;

		ring_take(e);
		free(e);
	}
}

static struct entry *entry_of(struct fair *f, upager_page *page)
{
	return (struct entry *)(uintptr_t)f->host->get(page);
}

/* ---- processes ---- */

static struct process *process_get(struct fair *f, uint32_t mm)
{
	struct process *p;

	for (p = f->processes; p; p = p->next)
		if (p->mm == mm)
			return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		abort(); /* its pages could never leave */
	p->mm = mm;
	ring_init(&p->held);
	ring_init(&p->out);
	p->next = f->processes;
	f->processes = p;
	return p;
}

/* Its pages have been forgotten, but for those that others share: they stay under its name. */
static void fair_mm_gone(void *self, uint32_t mm)
{
	struct fair *f = self;

	for (struct process **link = &f->processes; *link; link = &(*link)->next) {
		struct process *p = *link;

		if (p->mm != mm)
			continue;
		if (p->held.next == &p->held && p->out.next == &p->out) {
			*link = p->next;
			free(p);
		}
		return;
	}
}

/* ---- the policy ---- */

static void *fair_init(const struct upager_host *host, const char *args, uint64_t capacity,
		       char *err, size_t len)
{
	struct fair *f;
	char *end = NULL;
	unsigned long ahead = 4;

	if (!strncmp(args, "ahead=", 6))
		ahead = strtoul(args + 6, &end, 10);
	if ((*args && (!end || *end)) || ahead > 64) {
		snprintf(err, len, "bad arguments '%s': ahead=N with N up to 64", args);
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		snprintf(err, len, "out of memory");
		return NULL;
	}
	f->host = host;
	f->ahead = (unsigned)ahead;
	return f;
}

static void fair_fini(void *self)
{
	struct fair *f = self;

	while (f->processes) {
		struct process *p = f->processes;

		f->processes = p->next;
		ring_free(&p->held);
		ring_free(&p->out);
		free(p);
	}
	free(f);
}

static void hold(struct entry *e)
{
	ring_add(&e->process->held, e);
	e->process->nr++;
}

static void unhold(struct entry *e)
{
	ring_take(e);
	e->process->nr--;
}

static void fair_insert(void *self, upager_page *page, uint64_t key, unsigned flags)
{
	struct fair *f = self;
	struct entry *e = malloc(sizeof(*e));

	if (!e)
		abort();
	e->page = page;
	e->process = process_get(f, f->host->mm(page));
	e->turns = f->host->vma_flags(page) & UPAGER_VM_GROWSDOWN ? 1 : 0;
	f->host->set(page, (uintptr_t)e);
	hold(e);
}

/* A process whose pages cannot leave now (it is in a fork, say) must not hide the others. */
static uint64_t weight(const struct process *p)
{
	return p->nr ? 1 + (p->refused < p->nr ? p->nr - p->refused : 0) : 0;
}

static upager_page *fair_victim(void *self)
{
	struct fair *f = self;
	struct process *most = f->processes;
	struct entry *e;

	for (struct process *p = most; p; p = p->next)
		if (weight(p) > weight(most))
			most = p;
	if (!most || !most->nr)
		return NULL;
	while ((e = most->held.next)->turns > 0) {
		e->turns--;
		unhold(e);
		hold(e);
	}
	unhold(e);
	ring_add(&most->out, e);
	return e->page;
}

static void fair_putback(void *self, upager_page *page, int why)
{
	struct entry *e = entry_of(self, page);

	ring_take(e);
	e->turns = why == UPAGER_TOUCHED;
	e->process->refused += why == UPAGER_REFUSED;
	hold(e);
}

static void fair_evicted(void *self, upager_page *page, uint64_t key)
{
	struct entry *e = entry_of(self, page);

	e->process->refused = 0;
	ring_take(e);
	free(e);
}

static void fair_forget(void *self, upager_page *page, int out)
{
	struct entry *e = entry_of(self, page);

	if (out)
		ring_take(e);
	else
		unhold(e);
	free(e);
}

static void fair_touch(void *self, upager_page *page)
{
	entry_of(self, page)->turns = 1;
}

static unsigned fair_prefetch(void *self, const struct upager_fault *fault, struct upager_run *run)
{
	struct fair *f = self;

	if (!f->ahead || fault->soft || fault->vma_flags & UPAGER_VM_RAND_READ)
		return 0;
	run[0] = (struct upager_run){ fault->address + UPAGER_PAGE_SIZE, 1, f->ahead };
	return 1;
}

const struct upager_policy upager_policy = {
	.abi = UPAGER_POLICY_ABI,
	.size = sizeof(upager_policy),
	.name = "fair",
	.init = fair_init,
	.fini = fair_fini,
	.insert = fair_insert,
	.victim = fair_victim,
	.putback = fair_putback,
	.evicted = fair_evicted,
	.forget = fair_forget,
	.touch = fair_touch,
	.mm_gone = fair_mm_gone,
	.prefetch = fair_prefetch,
};
