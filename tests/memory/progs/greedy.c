// SPDX-License-Identifier: MIT
/*
 * greedy KIB [lock]: a child wants KIB that no compression makes smaller; its parent, who has little, goes on
 * meanwhile and says at last how the child ended: "exit 0", or "signal 9" where there is not so much memory.
 * With "lock" the child locks each page that it has.
 */
#include "pressure.h"

#define SMALL 16

static size_t nr_greedy;
static bool locks;

static void want_it_all(void *unused)
{
	char *p = map_anon(nr_greedy * PAGE);

	for (size_t i = 0; i < nr_greedy; i++) {
		fill_page(p + i * PAGE, 1, 4 * i + 2, 0);
		if (locks)
			SYS(mlock(p + i * PAGE, PAGE));
	}
	for (size_t i = 0; i < nr_greedy; i++)
		check_page(p + i * PAGE, 1, 4 * i + 2, 0);
}

int main(int argc, char **argv)
{
	char *p = map_anon(SMALL * PAGE);
	uint32_t gen = 0;
	pid_t pid;
	int st;

	nr_greedy = arg_or(argc, argv, 1, 1024) * KIB / PAGE;
	fill_pages(p, SMALL, 2, gen);
	locks = argc > 2;
	pid = fork_run(want_it_all, NULL);
	while (SYS(waitpid(pid, &st, WNOHANG)) == 0) {
		check_pages(p, SMALL, 2, gen);
		fill_pages(p, SMALL, 2, ++gen);
		sleep_ms(1);
	}
	check_pages(p, SMALL, 2, gen);
	push_out(64 * KIB);
	check_pages(p, SMALL, 2, gen);
	if (WIFEXITED(st))
		printf("exit %d\n", WEXITSTATUS(st));
	else
		printf("signal %d\n", WTERMSIG(st));
	return 0;
}
