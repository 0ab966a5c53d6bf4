// SPDX-License-Identifier: MIT
/*
 * greedy KIB [lock|ring]: a child wants KIB that no compression makes smaller; its parent, who has little, goes on
 * meanwhile and says at last how the child ended: "exit 0", or "signal 9" where there is not so much memory.
 * With "lock" the child locks each page that it has; with "ring" it gives all to an io_uring, as its ring of provided
 * buffers, while the ends of other rings are work for it: a fault in a call does not sleep then, but is met again and
 * again.
 */
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include "pressure.h"

#define SMALL 16

static size_t nr_greedy;
static const char *how = "";

/* The kernel pins it, and counts it nowhere. */
static void give_to_ring(char *p)
{
	struct io_uring_params params = { 0 };
	struct io_uring_buf_reg reg = {
		.ring_addr = (uintptr_t)p,
		.ring_entries = (uint32_t)(nr_greedy * PAGE / sizeof(struct io_uring_buf)),
	};
	int fd;

	for (int i = 0; i < 16; i++)
		SYS(close((int)SYS(syscall(SYS_io_uring_setup, 8, &params))));
	fd = (int)SYS(syscall(SYS_io_uring_setup, 8, &params));
	SYS(syscall(SYS_io_uring_register, fd, IORING_REGISTER_PBUF_RING, &reg, 1));
}

static void want_it_all(void *unused)
{
	char *p = map_anon(nr_greedy * PAGE);

	for (size_t i = 0; i < nr_greedy; i++) {
		fill_page(p + i * PAGE, 1, 4 * i + 2, 0);
		if (!strcmp(how, "lock"))
			SYS(mlock(p + i * PAGE, PAGE));
	}
	if (!strcmp(how, "ring"))
		give_to_ring(p);
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
	how = argc > 2 ? argv[2] : "";
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
