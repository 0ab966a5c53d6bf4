// SPDX-License-Identifier: MIT
/*
 * parting [KIB [ROUNDS]]: a child that fills the memory writes a last word into a pipe and ends; its parent reads it into
 * a page that is out.
 *
 * The reader holds the pipe's lock while the page comes; the child cannot end before it has closed the pipe, for
 * which it wants the lock.  So the page must come though all memory is that of a process which is about to end.
 */
#include "pressure.h"

#define KEY 1

int main(int argc, char **argv)
{
	size_t nr_pages = arg_or(argc, argv, 1, 512) * KIB / PAGE;
	size_t rounds = arg_or(argc, argv, 2, 40);
	char *own = map_anon(nr_pages * PAGE);

	fill_pages(own, nr_pages, KEY, 0);
	for (size_t i = 0; i < rounds; i++) {
		uint64_t *word = (uint64_t *)(own + i % nr_pages * PAGE);
		int fd[2];
		pid_t pid;

		SYS(pipe(fd));
		pid = (pid_t)SYS(fork());
		if (!pid) {
			char *all = map_anon(nr_pages * PAGE);

			fill_pages(all, nr_pages, KEY + 1, (uint32_t)i);
			check_pages(all, nr_pages, KEY + 1, (uint32_t)i);
			CHECK(SYS(write(fd[1], &i, sizeof(i))) == sizeof(i), "a short write");
			_exit(0);
		}
		close(fd[1]);
		CHECK(SYS(read(fd[0], word, sizeof(*word))) == sizeof(*word), "a short read");
		CHECK(*word == i, "%lu, expected %lu", (long)*word, (long)i);
		close(fd[0]);
		expect_exit(pid, 0);
		fill_page(word, KEY, i % nr_pages, 0);
	}
	check_pages(own, nr_pages, KEY, 0);
	puts("parting ok");
	return 0;
}
