/* SPDX-License-Identifier: MIT */
/*
 * events.c - a plug-in that writes down what it is told; test_plugin.c reads its text by dlsym().
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <upager/policy.h>

extern char events_text[4096];
char events_text[4096];

static const struct upager_host *host;
static upager_page *next;

static void note(const char *fmt, ...)
{
	size_t n = strlen(events_text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(events_text + n, sizeof(events_text) - n, fmt, ap);
	va_end(ap);
}

static void *init(const struct upager_host *h, const char *args, uint64_t capacity, char *err,
		  size_t len)
{
	host = h;
	note("init '%s' %lu\n", args, (unsigned long)capacity);
	return &host;
}

static void fini(void *self)
{
	note("fini\n");
}

static void insert(void *self, upager_page *page, uint64_t key, unsigned flags)
{
	host->set(page, host->get(page) + 100 + host->mm(page));
	note("insert mm %u at %lx flags %x file %lx dirty %d age %lu key %lu %s%s%s\n",
	     host->mm(page), (unsigned long)host->address(page), host->vma_flags(page),
	     (unsigned long)host->file(page), host->dirty(page), (unsigned long)host->age(page),
	     (unsigned long)key, flags & UPAGER_REFAULT ? "R" : "",
	     flags & UPAGER_PREFETCHED ? "P" : "", flags & UPAGER_WRITTEN ? "W" : "");
	next = page;
}

static upager_page *victim(void *self)
{
	note("victim age %lu idle %lu value %lu\n", (unsigned long)host->age(next),
	     (unsigned long)host->idle(next), (unsigned long)host->get(next));
	return next;
}

static void putback(void *self, upager_page *page, int why)
{
	note("putback %s idle %lu\n", why == UPAGER_TOUCHED ? "touched" : "refused",
	     (unsigned long)host->idle(page));
}

static void evicted(void *self, upager_page *page, uint64_t key)
{
	note("evicted %lu value %lu\n", (unsigned long)key, (unsigned long)host->get(page));
}

static void forget(void *self, upager_page *page, int out)
{
	note("forget%s value %lu\n", out ? " out" : "", (unsigned long)host->get(page));
}

static void touch(void *self, upager_page *page)
{
	note("touch idle %lu\n", (unsigned long)host->idle(page));
}

static void forget_key(void *self, uint64_t key)
{
	note("forget_key %lu\n", (unsigned long)key);
}

static void resize(void *self, uint64_t capacity)
{
	note("resize %lu\n", (unsigned long)capacity);
}

static void mm_created(void *self, uint32_t mm, const char *name)
{
	note("mm %u is %s\n", mm, name);
}

static void mm_gone(void *self, uint32_t mm)
{
	note("mm %u is gone\n", mm);
}

static void tick(void *self, uint64_t now_ns)
{
	note("tick %lu\n", (unsigned long)now_ns);
}

static unsigned prefetch(void *self, const struct upager_fault *f, struct upager_run *run)
{
	note("fault mm %u at %lx in %lx-%lx flags %x soft %d max %u\n", f->mm,
	     (unsigned long)f->address, (unsigned long)f->vma_start, (unsigned long)f->vma_end,
	     f->vma_flags, f->soft, f->max_pages);
	run[0] = (struct upager_run){ f->address + UPAGER_PAGE_SIZE, 3, 5 };
	return 1;
}

static void prefetched(void *self, uint32_t mm, uint64_t address, int used)
{
	note("prefetched mm %u at %lx %s\n", mm, (unsigned long)address, used ? "used" : "wasted");
}

const struct upager_policy upager_policy = {
	.abi = UPAGER_POLICY_ABI,
	.size = sizeof(struct upager_policy),
	.name = "events",
	.init = init,
	.fini = fini,
	.insert = insert,
	.victim = victim,
	.putback = putback,
	.evicted = evicted,
	.forget = forget,
	.touch = touch,
	.forget_key = forget_key,
	.resize = resize,
	.mm_created = mm_created,
	.mm_gone = mm_gone,
	.tick = tick,
	.prefetch = prefetch,
	.prefetched = prefetched,
};
