/* SPDX-License-Identifier: MIT */
/*
 * fifo.c - the smallest complete policy: pages leave in the order in which they came.
 *
 *	cc -shared -fPIC -O2 -o fifo.so fifo.c
 *	upager run --memory 64M --policy ./fifo.so --stat -- PROG
 *
 * docs/POLICY.md goes through it line by line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <upager/policy.h>

/* One page, in a ring with others; a ring begins at a head that is no page. */
struct entry {
	struct entry *prev, *next;
	upager_page *page;
};

struct fifo {
	const struct upager_host *host;
	struct entry held; /* held.next came first */
	struct entry out;  /* victims of which we do not know yet what became */
};

static void add_last(struct entry *head, struct entry *e)
{
	e->prev = head->prev;
	e->next = head;
	e->prev->next = e;
	head->prev = e;
}

static void take(struct entry *e)
{
	e->prev->next = e->next;
	e->next->prev = e->prev;
}

static struct entry *entry_of(struct fifo *f, upager_page *page)
{
	return (struct entry *)(uintptr_t)f->host->get(page);
}

static void *fifo_init(const struct upager_host *host, const char *args, uint64_t capacity,
		       char *err, size_t len)
{
	struct fifo *f = calloc(1, sizeof(*f));

	if (!f) {
		snprintf(err, len, "out of memory");
		return NULL;
	}
	f->host = host;
	f->held.prev = f->held.next = &f->held;
	f->out.prev = f->out.next = &f->out;
	return f;
}

static void free_ring(struct entry *head)
{
	while (head->next != head) {
		struct entry *e = head->next;

		take(e);
		free(e);
	}
}

static void fifo_fini(void *self)
{
	struct fifo *f = self;

	free_ring(&f->held);
	free_ring(&f->out);
	free(f);
}

static void fifo_insert(void *self, upager_page *page, uint64_t key, unsigned flags)
{
	struct fifo *f = self;
	struct entry *e = malloc(sizeof(*e));

	if (!e)
		abort(); /* a page that we lose sight of could never leave again */
	e->page = page;
	f->host->set(page, (uintptr_t)e);
	add_last(&f->held, e);
}

static upager_page *fifo_victim(void *self)
{
	struct fifo *f = self;
	struct entry *e = f->held.next;

	if (e == &f->held)
		return NULL;
	take(e);
	add_last(&f->out, e);
	return e->page;
}

static void fifo_putback(void *self, upager_page *page, int why)
{
	struct fifo *f = self;
	struct entry *e = entry_of(f, page);

	take(e);
	add_last(&f->held, e);
}

static void drop(struct fifo *f, upager_page *page)
{
	struct entry *e = entry_of(f, page);

	take(e);
	free(e);
}

static void fifo_evicted(void *self, upager_page *page, uint64_t key)
{
	drop(self, page);
}

static void fifo_forget(void *self, upager_page *page, int out)
{
	drop(self, page);
}

const struct upager_policy upager_policy = {
	.abi = UPAGER_POLICY_ABI,
	.size = sizeof(upager_policy),
	.name = "fifo (plug-in)",
	.init = fifo_init,
	.fini = fifo_fini,
	.insert = fifo_insert,
	.victim = fifo_victim,
	.putback = fifo_putback,
	.evicted = fifo_evicted,
	.forget = fifo_forget,
};
