// SPDX-License-Identifier: MIT
/*
 * outargs [KIB [ROUNDS]]: calls that upager watches, whose arguments and results lie in memory that is out, while a
 * thread needs KIB for itself.
 *
 * The kernel faults in the middle of such a call: the page must come though nothing else of the process may leave
 * until the call is over.
 */
#include <linux/aio_abi.h>
#include <linux/sched.h>
#include "pressure.h"

#define KEY 1

static char *pages;
static size_t nr_pages, rounds;

/* All but pages n and m. */
static void check_others(size_t n, size_t m)
{
	for (size_t i = 0; i < nr_pages; i++)
		if (i != n && i != m)
			check_page(pages + i * PAGE, KEY, i, 0);
}

/* A page for the arguments, zeroed. */
static void *take(size_t n)
{
	check_page(pages + n * PAGE, KEY, n, 0);
	return memset(pages + n * PAGE, 0, PAGE);
}

static void give_back(size_t n)
{
	fill_page(pages + n * PAGE, KEY, n, 0);
}

/* The kernel reads the word, and writes it. */
static void by_io_setup(size_t n)
{
	aio_context_t *ctx = take(n);

	check_others(n, n);
	SYS(syscall(SYS_io_setup, 8, ctx));
	SYS(syscall(SYS_io_destroy, *ctx));
}

/* It writes a word in the call, and one in the child before its first instruction. */
static void by_clone(size_t n)
{
	int *tid = take(n);
	pid_t pid;

	check_others(n, n);
	pid = (pid_t)SYS(syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, tid, tid + 1, 0));
	if (!pid)
		_exit(tid[1] == getpid() ? 0 : 1);
	expect_exit(pid, 0);
	CHECK(tid[0] == pid && !tid[1], "%d, %d", tid[0], tid[1]);
}

/* It reads all arguments, and writes a descriptor. */
static void by_clone3(size_t n)
{
	size_t other = (n + nr_pages / 2) % nr_pages;
	struct clone_args *args = take(n);
	int *pidfd = take(other);
	pid_t pid;

	args->flags = CLONE_PIDFD;
	args->exit_signal = SIGCHLD;
	args->pidfd = (uintptr_t)pidfd;
	check_others(n, other);
	pid = (pid_t)SYS(syscall(SYS_clone3, args, sizeof(*args)));
	if (!pid)
		_exit(args->flags == CLONE_PIDFD ? 0 : 1);
	expect_exit(pid, 0);
	CHECK(*pidfd > 2, "%d", *pidfd);
	SYS(close(*pidfd));
	give_back(other);
}

static void each_round(void (*call)(size_t n))
{
	for (size_t i = 0; i < rounds; i++) {
		size_t n = mix64(i) % nr_pages;

		call(n);
		give_back(n);
	}
	check_pages(pages, nr_pages, KEY, 0);
}

int main(int argc, char **argv)
{
	struct thrash thrash;

	nr_pages = arg_or(argc, argv, 1, 512) * KIB / PAGE;
	rounds = arg_or(argc, argv, 2, 40);
	pages = map_anon(nr_pages * PAGE);
	fill_pages(pages, nr_pages, KEY, 0);
	thrash_start(&thrash, nr_pages * PAGE, 2);
	puts("by_io_setup");
	each_round(by_io_setup);
	puts("by_clone");
	each_round(by_clone);
	puts("by_clone3");
	each_round(by_clone3);
	thrash_end(&thrash);
	return 0;
}
