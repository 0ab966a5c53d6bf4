// SPDX-License-Identifier: MIT
/*
 * torture [PAGES [STEPS [THREADS [SEED]]]]: calls on memory at random, and what each page must hold kept beside it.
 *
 * Each thread has a region of PAGES to itself, of which a shadow says what is mapped and written where.  A child goes on
 * with its parent's region and shadow.  What the calls do is the same for the same seed, natively and not; when a page is
 * wrong the step and what was done to that page before are said.  A new kind of call: a row in `ops`.
 */
#include <sys/uio.h>
#include "pressure.h"

#define LOG	    512
#define FILE_PAGES  128UL
#define MAX_DEPTH   2
#define HELD_MAX    8UL /* pages that cannot leave: locked, or held by a call */

struct page {
	uint32_t gen;	 /* what it was filled with; 0: zeroes */
	uint8_t prot;
	bool mapped;	 /* else part of the reservation, or so as new */
	bool locked, wiped_on_fork;
	bool lazyfree;	 /* may be zeroes as well */
};

struct done {
	const char *op;
	size_t at, nr, to;
};

struct region {
	char *base;
	struct page *page;
	uint64_t seed;
	uint32_t gen;	 /* the next */
	long step;
	int depth;	 /* forks from the first process */
	int file, pipe[2];
	uint32_t block[FILE_PAGES]; /* the file's */
	struct done log[LOG];
};

static size_t nr_pages, nr_steps;

static size_t below(struct region *r, size_t n)
{
	return rnd(&r->seed) % n;
}

static char *address(const struct region *r, size_t i)
{
	return r->base + i * PAGE;
}

/* ---- what a page must hold ---- */

static void fill(char *p, uint32_t gen)
{
	if (gen)
		fill_page(p, 5, 2, gen);
	else
		memset(p, 0, PAGE);
}

static bool holds(const char *p, uint32_t gen)
{
	const volatile uint64_t *w = (const uint64_t *)p;
	uint64_t seed = page_seed(5, 2, gen);

	for (unsigned int i = 0; i < PAGE_WORDS; i++)
		if (w[i] != (gen ? page_word(seed, 2, i) : 0))
			return false;
	return true;
}

static void __attribute__((noreturn)) wrong(const struct region *r, size_t i)
{
	for (long s = r->step > LOG ? r->step - LOG : 0; s <= r->step; s++) {
		const struct done *d = &r->log[s % LOG];

		if (d->op && ((i >= d->at && i < d->at + d->nr) || (i >= d->to && i < d->to + d->nr)))
			fprintf(stderr, "step %ld: %s of %zu pages at %zu to %zu\n", s, d->op, d->nr, d->at, d->to);
	}
	e2e_fail(__FILE__, __LINE__, "page", "%zu at %p is wrong at step %ld, depth %d: begins with %#lx, generation %u of seed %#lx",
		 i, (void *)address(r, i), r->step, r->depth, *(long *)address(r, i), r->page[i].gen, (long)r->seed);
}

static void check(struct region *r, size_t i)
{
	struct page *p = &r->page[i];

	if (!(p->prot & PROT_READ))
		return;
	if (p->lazyfree && holds(address(r, i), 0)) {
		p->gen = 0;
		p->lazyfree = false;
	}
	if (!holds(address(r, i), p->gen))
		wrong(r, i);
}

static void now_holds(struct page *p, uint32_t gen)
{
	p->gen = gen;
	p->lazyfree = false;
}

static void store(struct region *r, size_t i)
{
	uint32_t gen = below(r, 8) ? ++r->gen : 0;

	fill(address(r, i), gen);
	now_holds(&r->page[i], gen);
}

/* ---- which pages ---- */

static bool readable(const struct page *p)
{
	return p->prot & PROT_READ && !p->lazyfree;
}

static bool writable(const struct page *p)
{
	return p->prot & PROT_WRITE;
}

static bool unlocked(const struct page *p)
{
	return !p->locked;
}

static bool all(const struct region *r, size_t at, size_t nr, bool (*is)(const struct page *))
{
	for (size_t i = at; i < at + nr; i++)
		if (!is(&r->page[i]))
			return false;
	return true;
}

static size_t nr_locked(const struct region *r)
{
	size_t nr = 0;

	for (size_t i = 0; i < nr_pages; i++)
		nr += r->page[i].locked;
	return nr;
}

static int any_prot(struct region *r)
{
	static const int prot[] = { RW, RW, RW, RW, PROT_READ, PROT_NONE, RW | PROT_EXEC };

	return prot[below(r, ARRAY_SIZE(prot))];
}

static void reserve(struct region *r, size_t at, size_t nr)
{
	SYS(mmap(address(r, at), nr * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0));
	memset(&r->page[at], 0, nr * sizeof(r->page[0]));
}

/* ---- the calls: on nr pages from `at`; those that have a second range take it from `to` ---- */

static void map(struct region *r, size_t at, size_t nr, size_t to)
{
	static const int flags[] = { 0, 0, 0, MAP_POPULATE, MAP_NORESERVE, MAP_STACK, MAP_LOCKED };
	int prot = any_prot(r), more = flags[below(r, nr + nr_locked(r) <= HELD_MAX ? 7 : 6)];

	SYS(mmap(address(r, at), nr * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | more, -1, 0));
	for (size_t i = at; i < at + nr; i++)
		r->page[i] = (struct page){ .prot = prot, .mapped = true, .locked = more == MAP_LOCKED };
}

static void unmap(struct region *r, size_t at, size_t nr, size_t to)
{
	SYS(munmap(address(r, at), nr * PAGE));
	reserve(r, at, nr);
}

static void protect(struct region *r, size_t at, size_t nr, size_t to)
{
	int prot = any_prot(r);

	if (!all(r, at, nr, unlocked))
		return;
	SYS(mprotect(address(r, at), nr * PAGE, prot));
	for (size_t i = at; i < at + nr; i++)
		r->page[i].prot = prot;
}

static void discard(struct region *r, size_t at, size_t nr, size_t to)
{
	if (!all(r, at, nr, unlocked))
		return;
	SYS(madvise(address(r, at), nr * PAGE, MADV_DONTNEED));
	for (size_t i = at; i < at + nr; i++)
		now_holds(&r->page[i], 0);
}

static void lazy_free(struct region *r, size_t at, size_t nr, size_t to)
{
	if (!all(r, at, nr, unlocked))
		return;
	SYS(madvise(address(r, at), nr * PAGE, MADV_FREE));
	for (size_t i = at; i < at + nr; i++)
		r->page[i].lazyfree = true;
}

static void advise(struct region *r, size_t at, size_t nr, size_t to)
{
	static const int advice[] = { MADV_COLD, MADV_PAGEOUT, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE, MADV_UNMERGEABLE,
				      MADV_RANDOM, MADV_SEQUENTIAL, MADV_NORMAL, MADV_WILLNEED, MADV_DONTDUMP, MADV_DODUMP };

	(void)madvise(address(r, at), nr * PAGE, advice[below(r, ARRAY_SIZE(advice))]);
}

static void wipe_on_fork(struct region *r, size_t at, size_t nr, size_t to)
{
	bool wiped = below(r, 2);

	SYS(madvise(address(r, at), nr * PAGE, wiped ? MADV_WIPEONFORK : MADV_KEEPONFORK));
	for (size_t i = at; i < at + nr; i++)
		r->page[i].wiped_on_fork = wiped;
}

static void populate(struct region *r, size_t at, size_t nr, size_t to)
{
	bool write = below(r, 2);

	if (all(r, at, nr, write ? writable : readable))
		SYS(madvise(address(r, at), nr * PAGE, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ));
}

static void lock(struct region *r, size_t at, size_t nr, size_t to)
{
	bool locked = below(r, 2);

	nr = nr < HELD_MAX ? nr : HELD_MAX;
	if (!all(r, at, nr, readable) || (locked && nr + nr_locked(r) > HELD_MAX))
		return;
	SYS(locked ? mlock2(address(r, at), nr * PAGE, below(r, 2)) : munlock(address(r, at), nr * PAGE));
	for (size_t i = at; i < at + nr; i++)
		r->page[i].locked = locked;
}

static void unlock_all(struct region *r, size_t at, size_t nr, size_t to)
{
	SYS(munlock(r->base, nr_pages * PAGE));
	for (size_t i = 0; i < nr_pages; i++)
		r->page[i].locked = false;
}

/* What is several mappings is refused, and what is at `to` is gone then. */
static void move(struct region *r, size_t at, size_t nr, size_t to)
{
	int keep = below(r, 3) ? 0 : MREMAP_DONTUNMAP;

	if (!all(r, at, nr, unlocked))
		return;
	if (mremap(address(r, at), nr * PAGE, nr * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | keep, address(r, to)) == MAP_FAILED) {
		CHECK(errno == EFAULT || errno == EINVAL, "%m");
		reserve(r, to, nr);
		return;
	}
	memcpy(&r->page[to], &r->page[at], nr * sizeof(r->page[0]));
	for (size_t i = at; keep && i < at + nr; i++)
		now_holds(&r->page[i], 0);
	if (!keep)
		reserve(r, at, nr);
}

static void shrink(struct region *r, size_t at, size_t nr, size_t to)
{
	size_t left = 1 + below(r, nr);

	if (left < nr && mremap(address(r, at), nr * PAGE, left * PAGE, 0) != MAP_FAILED)
		reserve(r, at + left, nr - left);
}

/* The kernel holds many pages for one call. */
static void vm_copy(struct region *r, size_t at, size_t nr, size_t to)
{
	struct iovec from = { address(r, at) }, into = { address(r, to) };
	ssize_t done;

	nr = nr < HELD_MAX ? nr : HELD_MAX;
	from.iov_len = into.iov_len = nr * PAGE;
	if (!all(r, at, nr, readable) || !all(r, to, nr, writable))
		return;
	done = below(r, 2) ? process_vm_readv(getpid(), &into, 1, &from, 1, 0) :
			     process_vm_writev(getpid(), &from, 1, &into, 1, 0);
	CHECK(done == (ssize_t)(nr * PAGE), "%zd bytes: %m", done);
	for (size_t i = 0; i < nr; i++)
		now_holds(&r->page[to + i], r->page[at + i].gen);
}

/* The pipe may hold the pages themselves, which nobody writes to until they are read. */
static void pipe_copy(struct region *r, size_t at, size_t nr, size_t to)
{
	struct iovec from = { address(r, at), (nr < HELD_MAX ? nr : HELD_MAX) * PAGE };
	size_t got = 0;

	nr = from.iov_len / PAGE;
	if (!all(r, at, nr, readable) || !all(r, to, nr, writable))
		return;
	CHECK((below(r, 2) ? vmsplice(r->pipe[1], &from, 1, 0) : writev(r->pipe[1], &from, 1)) == (ssize_t)from.iov_len, "%m");
	for (size_t i = 0; i < nr_pages; i += 1 + below(r, 16))
		check(r, i);
	while (got < from.iov_len)
		got += SYS(read(r->pipe[0], address(r, to) + got, from.iov_len - got));
	for (size_t i = 0; i < nr; i++)
		now_holds(&r->page[to + i], r->page[at + i].gen);
}

/* Memory that is executable may lose what a device writes to it (README, limits). */
static void direct(struct region *r, size_t at, size_t nr, size_t to)
{
	size_t block = below(r, FILE_PAGES - HELD_MAX);
	bool write = below(r, 2);

	nr = nr < HELD_MAX ? nr : HELD_MAX;
	if (r->depth || !all(r, at, nr, write ? readable : writable))
		return;
	for (size_t i = at; i < at + nr; i++)
		if (r->page[i].prot & PROT_EXEC)
			return;
	CHECK((write ? pwrite(r->file, address(r, at), nr * PAGE, block * PAGE) :
		       pread(r->file, address(r, at), nr * PAGE, block * PAGE)) == (ssize_t)(nr * PAGE), "%m");
	for (size_t i = 0; i < nr; i++) {
		if (write)
			r->block[block + i] = r->page[at + i].gen;
		else
			now_holds(&r->page[at + i], r->block[block + i]);
	}
}

static void touch(struct region *r, size_t at, size_t nr, size_t to)
{
	unsigned int how = below(r, 3);

	for (size_t i = at; i < at + nr; i++) {
		if (how || !writable(&r->page[i]))
			check(r, i);
		if (how != 1 && writable(&r->page[i]))
			store(r, i);
	}
}

static void run_steps(struct region *r, size_t steps);

static void __attribute__((noreturn)) be_child(struct region *r, size_t steps)
{
	r->depth++;
	r->gen += 1u << 24;
	r->seed = mix64(r->seed + r->step);
	for (size_t i = 0; i < nr_pages; i++) {
		r->page[i].locked = false;
		if (r->page[i].wiped_on_fork)
			now_holds(&r->page[i], 0);
	}
	SYS(pipe(r->pipe));
	run_steps(r, steps);
	_exit(0);
}

/* While the child runs the parent writes and reads. */
static void fork_one(struct region *r, size_t at, size_t nr, size_t to)
{
	size_t steps = below(r, nr_steps / 4 + 1);
	pid_t pid;

	if (r->depth == MAX_DEPTH || below(r, 2 + 4 * (size_t)r->depth))
		return;
	pid = SYS(fork());
	if (!pid)
		be_child(r, steps);
	for (size_t n = 0; n < nr_pages / 8; n++) {
		size_t i = below(r, nr_pages);

		check(r, i);
		if (writable(&r->page[i]))
			store(r, i);
	}
	expect_exit(pid, 0);
}

static const struct op {
	const char *name;
	void (*run)(struct region *r, size_t at, size_t nr, size_t to);
	unsigned int weight;
} ops[] = {
	{ "map", map, 3 }, { "unmap", unmap, 1 }, { "protect", protect, 2 }, { "discard", discard, 1 },
	{ "lazy_free", lazy_free, 1 }, { "advise", advise, 1 }, { "wipe_on_fork", wipe_on_fork, 1 }, { "populate", populate, 1 },
	{ "lock", lock, 1 }, { "unlock_all", unlock_all, 1 }, { "move", move, 3 }, { "shrink", shrink, 1 },
	{ "vm_copy", vm_copy, 2 }, { "pipe_copy", pipe_copy, 1 }, { "direct", direct, 2 }, { "touch", touch, 8 },
	{ "fork", fork_one, 1 },
};

static const struct op *any_op(struct region *r)
{
	unsigned int sum = 0, n;
	const struct op *op = ops;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		sum += ops[i].weight;
	for (n = below(r, sum); n >= op->weight; op++)
		n -= op->weight;
	return op;
}

/* Two ranges of the same length that have nothing in common. */
static struct done any_ranges(struct region *r)
{
	static const size_t most[] = { 1, 8, 64, 400 };
	size_t nr = 1 + below(r, most[below(r, ARRAY_SIZE(most))]), half = nr_pages / 2, at, to;

	nr = nr < half ? nr : half;
	at = below(r, half - nr + 1);
	to = half + below(r, half - nr + 1);
	return below(r, 2) ? (struct done){ NULL, at, nr, to } : (struct done){ NULL, to, nr, at };
}

static void run_steps(struct region *r, size_t steps)
{
	for (size_t n = 0; n < steps; n++) {
		const struct op *op = any_op(r);
		struct done d = any_ranges(r);

		d.op = op->name;
		r->log[++r->step % LOG] = d;
		op->run(r, d.at, d.nr, d.to);
	}
	for (size_t i = 0; i < nr_pages; i++)
		check(r, i);
}

static void region_init(struct region *r, uint64_t seed)
{
	char name[] = "torture.XXXXXX";
	int fd = SYS(mkstemp(name));

	CHECK(posix_fallocate(fd, 0, FILE_PAGES * PAGE) == 0);
	r->file = open(name, O_RDWR | O_DIRECT);
	if (r->file < 0)
		r->file = SYS(open(name, O_RDWR)); /* tmpfs before 6.6 */
	close(fd);
	SYS(unlink(name));
	SYS(pipe(r->pipe));
	r->base = SYS(mmap(NULL, nr_pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	r->page = calloc(nr_pages, sizeof(r->page[0]));
	CHECK(r->page != NULL);
	r->seed = mix64(seed + 1) | 1;
}

static void *thread_run(void *arg)
{
	run_steps(arg, nr_steps);
	return NULL;
}

int main(int argc, char **argv)
{
	size_t nr_threads;
	uint64_t seed = arg_or(argc, argv, 4, 1);
	struct region *region;
	pthread_t thread[16];

	nr_pages = arg_or(argc, argv, 1, 512);
	nr_steps = arg_or(argc, argv, 2, 400);
	nr_threads = arg_or(argc, argv, 3, 2);
	CHECK(nr_threads <= ARRAY_SIZE(thread), "at most 16 threads");
	region = calloc(nr_threads, sizeof(*region));
	CHECK(region != NULL);
	for (size_t i = 0; i < nr_threads; i++)
		region_init(&region[i], seed * 16 + i);
	for (size_t i = 1; i < nr_threads; i++)
		CHECK(pthread_create(&thread[i], NULL, thread_run, &region[i]) == 0);
	thread_run(&region[0]);
	for (size_t i = 1; i < nr_threads; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	puts("whole");
	return 0;
}
