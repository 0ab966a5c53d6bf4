// SPDX-License-Identifier: MIT
/*
 * churn [PAGES [OPERATIONS [SEED]]]: every call that changes an address space, at random, on memory that has to
 * leave; what each page must hold is known all the time.
 *
 * The shadow is in a shared mapping of a file, so that what is tested cannot spoil it.
 */
#include "pressure.h"

#define MAX_RANGE 24

enum bytes {
	UNMAPPED,
	ZERO,
	WRITTEN, /* generation `gen` of page `content` */
	FREED,   /* as WRITTEN, or zero as a whole: MADV_FREE */
};

struct shadow {
	enum bytes bytes;
	int prot;
	uint32_t content, gen;
	bool wipe, dont; /* MADV_WIPEONFORK, MADV_DONTFORK */
};

static char *arena;
static struct shadow *shadow, *at_fork; /* now, and for the child of a fork */
static size_t nr_pages;
static uint64_t seed;
static uint32_t last_gen;

static char *at(size_t page)
{
	return arena + page * PAGE;
}

/* A random range of the arena: its first page, *nr at least 1. */
static size_t some_range(size_t *nr)
{
	size_t first = rnd(&seed) % nr_pages;

	*nr = 1 + rnd(&seed) % MAX_RANGE;
	if (*nr > nr_pages - first)
		*nr = nr_pages - first;
	return first;
}

/* Change the protection of one page, as the kernel and the shadow have it. */
static void protect(size_t page, int prot)
{
	if (shadow[page].prot == prot)
		return;
	SYS(mprotect(at(page), PAGE, prot));
	shadow[page].prot = prot;
}

static void verify(size_t page)
{
	struct shadow *s = &shadow[page];

	if (s->bytes == UNMAPPED)
		return;
	if (s->prot == PROT_NONE)
		protect(page, PROT_READ);
	if (s->bytes == FREED && *(volatile uint64_t *)at(page) == 0)
		s->bytes = ZERO;
	if (s->bytes == ZERO)
		check_bytes(at(page), PAGE, 0);
	else
		check_page(at(page), 7, s->content, s->gen);
}

static void verify_range(size_t first, size_t nr)
{
	for (size_t i = first; i < first + nr; i++)
		verify(i);
}

static void write_range(size_t first, size_t nr)
{
	for (size_t i = first; i < first + nr; i++) {
		struct shadow *s = &shadow[i];

		if (s->bytes == UNMAPPED)
			continue;
		verify(i);
		protect(i, RW);
		s->bytes = WRITTEN;
		s->content = i;
		s->gen = ++last_gen;
		fill_page(at(i), 7, i, s->gen);
	}
}

static void map_range(size_t first, size_t nr)
{
	SYS(mmap(at(first), nr * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	for (size_t i = first; i < first + nr; i++)
		shadow[i] = (struct shadow){ .bytes = ZERO, .prot = RW };
}

static void unmap_range(size_t first, size_t nr)
{
	SYS(munmap(at(first), nr * PAGE));
	for (size_t i = first; i < first + nr; i++)
		shadow[i] = (struct shadow){ .bytes = UNMAPPED };
}

static void protect_range(size_t first, size_t nr)
{
	static const int prots[] = { PROT_NONE, PROT_READ, RW };
	int prot = prots[rnd(&seed) % 3];

	for (size_t i = first; i < first + nr; i++)
		if (shadow[i].bytes != UNMAPPED)
			protect(i, prot);
}

/* An advice for each mapped page of the range. */
static void advise_range(size_t first, size_t nr, int advice)
{
	for (size_t i = first; i < first + nr; i++) {
		struct shadow *s = &shadow[i];

		if (s->bytes == UNMAPPED)
			continue;
		SYS(madvise(at(i), PAGE, advice));
		switch (advice) {
		case MADV_DONTNEED: s->bytes = ZERO; break;
		case MADV_FREE: s->bytes = s->bytes == WRITTEN ? FREED : s->bytes; break;
		case MADV_WIPEONFORK: s->wipe = true; break;
		case MADV_KEEPONFORK: s->wipe = false; break;
		case MADV_DONTFORK: s->dont = true; break;
		case MADV_DOFORK: s->dont = false; break;
		}
	}
}

/* One page to another place; what was there is gone, and where it was is a hole, for which a new page comes. */
static void move_page(size_t from, size_t to)
{
	if (from == to || shadow[from].bytes == UNMAPPED)
		return;
	SYS(mremap(at(from), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(to)));
	shadow[to] = shadow[from];
	map_range(from, 1);
}

static void move_range(size_t first, size_t nr)
{
	size_t to = rnd(&seed) % (nr_pages - nr + 1);

	for (size_t i = 0; i < nr; i++)
		move_page(first + i, to + i);
}

/* What the child of a fork has of page i. */
static void verify_in_child(size_t i)
{
	struct shadow *s = &at_fork[i];
	unsigned char vec;

	if (s->dont) {
		FAILS(ENOMEM, mincore(at(i), PAGE, &vec));
		return;
	}
	if (s->bytes == UNMAPPED)
		return;
	SYS(mprotect(at(i), PAGE, RW));
	if (s->wipe || s->bytes == ZERO ||
	    (s->bytes == FREED && *(volatile uint64_t *)at(i) == 0))
		check_bytes(at(i), PAGE, 0);
	else
		check_page(at(i), 7, s->content, s->gen);
	fill_page(at(i), 8, i, 0);
}

static void fork_and_verify(void)
{
	pid_t pid;

	memcpy(at_fork, shadow, nr_pages * sizeof(*shadow));
	pid = SYS(fork());
	if (!pid) {
		for (size_t i = 0; i < nr_pages; i++)
			verify_in_child(i);
		_exit(0);
	}
	write_range(rnd(&seed) % nr_pages, 1);
	expect_exit(pid, 0);
}

static void operation(void)
{
	static const int advices[] = { MADV_DONTNEED, MADV_DONTNEED, MADV_FREE, MADV_WIPEONFORK,
				       MADV_KEEPONFORK, MADV_DONTFORK, MADV_DOFORK, MADV_COLD,
				       MADV_SEQUENTIAL, MADV_RANDOM, MADV_NORMAL };
	size_t nr, first = some_range(&nr);
	unsigned int what = rnd(&seed) % 128;

	if (what < 40)
		write_range(first, nr);
	else if (what < 70)
		verify_range(first, nr);
	else if (what < 78)
		map_range(first, nr);
	else if (what < 82)
		unmap_range(first, nr);
	else if (what < 100)
		protect_range(first, nr);
	else if (what < 118)
		advise_range(first, nr, advices[rnd(&seed) % ARRAY_SIZE(advices)]);
	else if (what < 126)
		move_range(first, nr);
	else
		fork_and_verify();
}

/* Shared memory of a file that nobody else sees. */
static void *file_memory(size_t len)
{
	int fd = marked_file(PAGE, 0);
	void *p;

	SYS(ftruncate(fd, 0));
	SYS(ftruncate(fd, len));
	p = SYS(mmap(NULL, len, RW, MAP_SHARED, fd, 0));
	SYS(close(fd));
	return p;
}

int main(int argc, char **argv)
{
	unsigned long nr_ops;

	nr_pages = arg_or(argc, argv, 1, 1024);
	nr_ops = arg_or(argc, argv, 2, 2000);
	seed = mark(arg_or(argc, argv, 3, 1), 1);
	CHECK(nr_pages >= 2 * MAX_RANGE);
	shadow = file_memory(nr_pages * sizeof(*shadow));
	at_fork = file_memory(nr_pages * sizeof(*shadow));
	arena = map_anon(nr_pages * PAGE);
	for (size_t i = 0; i < nr_pages; i++)
		shadow[i] = (struct shadow){ .bytes = ZERO, .prot = RW };
	write_range(0, nr_pages);
	for (unsigned long i = 0; i < nr_ops; i++)
		operation();
	verify_range(0, nr_pages);
	printf("%lu operations\n", nr_ops);
	return 0;
}
