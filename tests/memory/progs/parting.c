// SPDX-License-Identifier: MIT
/*
 * parting [KIB [ROUNDS]]: a child, or a thread, that fills the memory writes a last word into a pipe and ends; another reads
 * it into a page that is out.
 *
 * The reader holds the pipe's lock while the page comes; who ends has to close the pipe first, for which it wants the
 * lock.  So the page must come though all memory is that of a process which is about to end, or has a thread that is.
 */
#include <sched.h>
#include "pressure.h"

#define KEY 1

static char *own, *others;
static size_t nr_pages;
static int fd[2];

/* What ends does that, by a descriptor that nobody else has, and leaves open. */
static void last_word(size_t i)
{
	char path[32];
	int out;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[1]);
	out = (int)SYS(open(path, O_WRONLY));
	fill_pages(others, nr_pages, KEY + 1, (uint32_t)i);
	check_pages(others, nr_pages, KEY + 1, (uint32_t)i);
	CHECK(SYS(write(out, &i, sizeof(i))) == sizeof(i), "a short write");
}

static void hear(size_t i)
{
	uint64_t *word = (uint64_t *)(own + i % nr_pages * PAGE);

	CHECK(SYS(read(fd[0], word, sizeof(*word))) == sizeof(*word), "a short read");
	CHECK(*word == i, "%lu, expected %lu", (long)*word, (long)i);
	fill_page(word, KEY, i % nr_pages, 0);
}

static void of_child(size_t i)
{
	pid_t pid = (pid_t)SYS(fork());

	if (!pid) {
		last_word(i);
		_exit(0);
	}
	hear(i);
	expect_exit(pid, 0);
}

/* Its descriptors are its own: it closes them when it ends. */
static void *thread(void *i)
{
	SYS(unshare(CLONE_FILES));
	last_word((size_t)i);
	return NULL;
}

static void of_thread(size_t i)
{
	pthread_t t;

	CHECK(!pthread_create(&t, NULL, thread, (void *)i), "pthread_create");
	hear(i);
	CHECK(!pthread_join(t, NULL), "pthread_join");
}

int main(int argc, char **argv)
{
	size_t rounds = arg_or(argc, argv, 2, 40);

	nr_pages = arg_or(argc, argv, 1, 512) * KIB / PAGE;
	own = map_anon(nr_pages * PAGE);
	others = map_anon(nr_pages * PAGE);
	fill_pages(own, nr_pages, KEY, 0);
	for (size_t i = 0; i < rounds; i++) {
		SYS(pipe(fd));
		(i % 2 ? of_thread : of_child)(i);
		SYS(close(fd[0]));
		SYS(close(fd[1]));
	}
	check_pages(own, nr_pages, KEY, 0);
	puts("parting ok");
	return 0;
}
