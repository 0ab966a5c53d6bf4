/* SPDX-License-Identifier: MIT */
/*
 * hostile.c - a plug-in that does what its arguments say, for test_plugin.c and plugin.sh.
 *
 *	hostile.so:KIND[@N]      the N-th victim() and all later ones (default: the first) are so
 *
 * Until then, and with KIND "good", it is a first-in-first-out policy.  It remembers at most ROOM
 * pages. Built with -DABI=…, -DSIZE=…, -DWITHOUT_VICTIM, -DOTHER_NAME it is one that must not be
 * loaded at all.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <upager/policy.h>

#define ROOM 65536

struct hostile {
	const struct upager_host *host;
	char kind[32];
	unsigned long when, victims;
	upager_page *page[ROOM]; /* a ring: what we hold, and holes */
	unsigned first, nr;
	upager_page *last, *dead;
};

static void misbehave(const char *kind)
{
	static volatile int *volatile nowhere = NULL;
	volatile int zero = 0;

	if (!strcmp(kind, "segv"))
		*nowhere = 1;
	if (!strcmp(kind, "fpe"))
		zero = 7 / zero;
	if (!strcmp(kind, "abort"))
		abort();
	if (!strcmp(kind, "exit"))
		exit(0);
	if (!strcmp(kind, "_exit"))
		_exit(7);
	if (!strcmp(kind, "loop"))
		for (;;)
			;
	if (!strcmp(kind, "sleep"))
		for (;;)
			pause();
}

static void *init(const struct upager_host *host, const char *args, uint64_t capacity, char *err,
		  size_t len)
{
	struct hostile *h;

	if (!strncmp(args, "init-", 5))
		misbehave(args + 5);
	if (!strcmp(args, "refuse")) {
		snprintf(err, len, "it does not want to\nand this is a second line");
		return NULL;
	}
	if (!strcmp(args, "silent"))
		return NULL;
	if (!strcmp(args, "ask"))
		(void)host->age((upager_page *)16);
	h = calloc(1, sizeof(*h));
	if (!h)
		return NULL;
	h->host = host;
	h->when = 1;
	if (sscanf(args, "%31[^@]@%lu", h->kind, &h->when) < 1)
		strcpy(h->kind, "good");
	if (!*args)
		host->say("begins");
	return h;
}

static void fini(void *self)
{
	free(self);
}

static void hold(struct hostile *h, upager_page *page)
{
	h->page[(h->first + h->nr++) % ROOM] = page;
}

static void insert(void *self, upager_page *page, uint64_t key, unsigned flags)
{
	hold(self, page);
}

#ifndef WITHOUT_VICTIM
static int is(const struct hostile *h, const char *kind)
{
	return h->victims >= h->when && !strcmp(h->kind, kind);
}

static upager_page *victim(void *self)
{
	struct hostile *h = self;
	upager_page *page;

	h->victims++;
	if (h->victims >= h->when)
		misbehave(h->kind);
	if (is(h, "null"))
		return NULL;
	if (is(h, "garbage"))
		return (upager_page *)0xdeadbeefcafe;
	if (is(h, "pointer"))
		return (upager_page *)h;
	if (is(h, "twice") && h->last)
		return h->last;
	if (is(h, "dead") && h->dead)
		return h->dead;
	if (is(h, "ask-dead") && h->dead)
		(void)h->host->address(h->dead);
	if (is(h, "set-dead") && h->dead)
		h->host->set(h->dead, 1);
	while (is(h, "stubborn") && h->nr) { /* last in, first out */
		page = h->page[(h->first + --h->nr) % ROOM];
		if (page)
			return page;
	}
	do {
		if (!h->nr)
			return NULL;
		page = h->page[h->first];
		h->first = (h->first + 1) % ROOM;
		h->nr--;
	} while (!page);
	h->last = page;
	return page;
}
#endif

static void putback(void *self, upager_page *page, int why)
{
	hold(self, page);
}

static void evicted(void *self, upager_page *page, uint64_t key)
{
	struct hostile *h = self;

	h->dead = page;
	if (h->last == page)
		h->last = NULL;
}

static void forget(void *self, upager_page *page, int out)
{
	struct hostile *h = self;

	for (unsigned i = 0; !out && i < h->nr; i++)
		if (h->page[(h->first + i) % ROOM] == page)
			h->page[(h->first + i) % ROOM] = NULL;
	evicted(self, page, 0);
}

static unsigned prefetch(void *self, const struct upager_fault *fault, struct upager_run *run)
{
	struct hostile *h = self;

	if (!strcmp(h->kind, "many-runs"))
		return 1000;
	if (!strcmp(h->kind, "stride-0")) {
		run[0] = (struct upager_run){ fault->address, 0, 1 };
		return 1;
	}
	run[0] = (struct upager_run){ fault->address + UPAGER_PAGE_SIZE, 1, 3 };
	run[1] = (struct upager_run){ fault->address - 2 * UPAGER_PAGE_SIZE, -2, 100 };
	return 2;
}

#ifndef ABI
#define ABI UPAGER_POLICY_ABI
#endif
#ifndef SIZE
#define SIZE sizeof(struct upager_policy)
#endif
#ifdef OTHER_NAME
#define upager_policy_symbol their_policy
#else
#define upager_policy_symbol upager_policy
#endif

extern const struct upager_policy upager_policy_symbol;
const struct upager_policy upager_policy_symbol = {
	.abi = ABI,
	.size = SIZE,
	.name = "hostile",
	.init = init,
	.fini = fini,
	.insert = insert,
#ifndef WITHOUT_VICTIM
	.victim = victim,
#endif
	.putback = putback,
	.evicted = evicted,
	.forget = forget,
	.prefetch = prefetch,
};
