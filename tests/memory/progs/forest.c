// SPDX-License-Identifier: MIT
/*
 * forest [KIB [DEPTH]]: trees of processes whose shared pages have to leave memory, too.
 *
 * Page i holds the bytes of whoever wrote it last: owner[i], a table that is inherited with the pages.
 */
#include <spawn.h>
#include <sys/wait.h>
#include "pressure.h"

static char *region;
static uint32_t *owner;
static size_t nr_pages;
static int depth;
static char *self;
extern char **environ;

static void verify_all(void)
{
	for (size_t i = 0; i < nr_pages; i++)
		check_page(region + i * PAGE, 1, i, owner[i]);
}

static void write_page(size_t i, uint32_t tag)
{
	owner[i] = tag;
	fill_page(region + i * PAGE, 1, i, tag);
}

/* A third of the pages, others for each tag. */
static void write_some(uint32_t tag)
{
	uint64_t seed = mark(2, tag);

	for (size_t i = 0; i < nr_pages; i++)
		if (rnd(&seed) % 3 == 0)
			write_page(i, tag);
}

/*
 *  Each process verifies what it inherited, writes its own, starts two children, writes again between
 *  them and after them, and must find all of it when they are gone.
 */
static void grow(int levels, uint32_t tag)
{
	pid_t child[2];

	verify_all();
	write_some(tag);
	for (int c = 0; c < 2 && levels > 0; c++) {
		child[c] = SYS(fork());
		if (!child[c]) {
			grow(levels - 1, tag * 8 + c + 1);
			_exit(0);
		}
		write_some(tag * 8 + 4 + c);
		verify_all();
	}
	for (int c = 0; c < 2 && levels > 0; c++)
		expect_exit(child[c], 0);
	verify_all();
}

static void tree(void)
{
	expect_exit(fork_run((void (*)(void *))verify_all, NULL), 0);
	grow(depth, 1);
}

static void look_twice(void *unused)
{
	verify_all();
	push_out(nr_pages * PAGE / 2);
	verify_all();
}

/* The parent drops and rewrites what five children still share and have to read back. */
static void siblings(void)
{
	pid_t child[5];

	for (int c = 0; c < 5; c++) {
		child[c] = fork_run(look_twice, NULL);
		for (size_t i = c; i < nr_pages; i += 5) {
			SYS(madvise(region + i * PAGE, PAGE, MADV_DONTNEED));
			write_page(i, 100 + c);
		}
	}
	for (int c = 0; c < 5; c++)
		expect_exit(child[c], 0);
	verify_all();
}

/* Down a chain in which everybody but the last has ended when the last verifies. */
static void orphans(void)
{
	int gate[2];
	char c;

	SYS(pipe(gate));
	if (!SYS(fork())) {
		for (int i = 0; i < 5; i++) {
			write_some(200 + i);
			if (SYS(fork()))
				_exit(0);
		}
		verify_all();
		CHECK(SYS(write(gate[1], "y", 1)) == 1);
		_exit(0);
	}
	SYS(close(gate[1]));
	write_some(300);
	CHECK(SYS(read(gate[0], &c, 1)) == 1, "the last of the chain found something wrong");
	while (waitpid(-1, NULL, 0) > 0)
		;
	verify_all();
	SYS(close(gate[0]));
}

/* vfork and posix_spawn: the child runs in the parent's memory until it executes this program anew. */
static void spawn_both_ways(void)
{
	char *args[] = { self, "spawned", NULL };
	pid_t pid;

	CHECK(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ) == 0);
	expect_exit(pid, 0);
	pid = vfork();
	if (!pid) {
		execv("/proc/self/exe", args);
		_exit(1);
	}
	CHECK(pid > 0);
	expect_exit(pid, 0);
}

static void spawned(void)
{
	for (int i = 0; i < 4; i++) {
		write_some(400 + i);
		spawn_both_ways();
	}
	verify_all();
}

struct own {
	char *p;
	size_t nr;
	uint64_t key;
	uint32_t gen;
};

static void verify_own(void *arg)
{
	struct own *own = arg;

	check_pages(own->p, own->nr, own->key, own->gen);
	fill_pages(own->p, own->nr, own->key, own->gen + 1000);
	check_pages(own->p, own->nr, own->key, own->gen + 1000);
}

/* A thread forks in the middle of what the other is writing; its own pages are as it left them. */
static void *write_and_fork(void *index)
{
	struct own own = { .nr = nr_pages / 4, .key = 10 + (uintptr_t)index };

	own.p = map_anon(own.nr * PAGE);
	for (own.gen = 0; own.gen < 4; own.gen++) {
		fill_pages(own.p, own.nr, own.key, own.gen);
		expect_exit(fork_run(verify_own, &own), 0);
		check_pages(own.p, own.nr, own.key, own.gen);
	}
	SYS(munmap(own.p, own.nr * PAGE));
	return NULL;
}

static void threads_that_fork(void)
{
	run_threads(3, write_and_fork);
	verify_all();
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "spawned")) {
		push_out(512 * KIB);
		return 0;
	}
	self = argv[0];
	nr_pages = arg_or(argc, argv, 1, 2048) * KIB / PAGE;
	depth = arg_or(argc, argv, 2, 3);
	region = map_anon(nr_pages * PAGE);
	owner = map_anon(nr_pages * sizeof(*owner));
	for (size_t i = 0; i < nr_pages; i++)
		write_page(i, 0);
	RUN(tree);
	RUN(siblings);
	RUN(orphans);
	RUN(spawned);
	RUN(threads_that_fork);
	return 0;
}
