/* SPDX-License-Identifier: MIT */
/*
 * barefault.c - the least that a fault answered by another process can cost.
 *
 *	barefault [-c CPU]		default: the CPU it starts on
 *
 * A handler process and the faulting process, both pinned to one CPU: blocking read(), one
 * UFFDIO_COPY of a page of zeroes, which wakes.  No model, no events, no write protection.  The
 * same memory and order as randfault's.  Must be run natively.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "bench.h"
#include "sys/uapi.h"

#define NR_PAGES 32768

static int open_uffd(void *mem, u64 len)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (u64)mem, len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 && errno == EPERM) {
		fprintf(stderr, "barefault: userfaultfd is not permitted here: run as root\n");
		exit(77);
	}
	if (fd < 0)
		die("userfaultfd");
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		die("register");
	return fd;
}

/* The descriptor belongs to the parent's address space, so that is where the pages go. */
static _Noreturn void handle(int uffd)
{
	static char zeroes[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	struct uffd_msg msg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		struct uffdio_copy copy = {
			.dst = page_align_down(msg.arg.pagefault.address),
			.src = (u64)zeroes,
			.len = PAGE_SIZE,
		};

		if (ioctl(uffd, UFFDIO_COPY, &copy))
			die("UFFDIO_COPY");
	}
	die("read");
}

int main(int argc, char **argv)
{
	u32 nr_pages = (u32)scaled(NR_PAGES);
	u32 *order = shuffled(nr_pages, 1);
	char *mem = map_untouched(nr_pages * PAGE_SIZE);
	int uffd = open_uffd(mem, nr_pages * PAGE_SIZE), cpu = sched_getcpu(), opt;
	u64 start, end;
	pid_t handler;

	while ((opt = getopt(argc, argv, "c:")) != -1) {
		if (opt != 'c')
			usage("[-c CPU]");
		cpu = atoi(optarg);
	}
	pin_to_cpu(cpu);
	handler = fork();
	if (handler < 0)
		die("fork");
	if (!handler)
		handle(uffd);
	start = now_ns();
	for (u32 i = 0; i < nr_pages; i++)
		((volatile char *)mem)[order[i] * PAGE_SIZE] = 1;
	end = now_ns();
	kill(handler, SIGKILL);
	waitpid(handler, NULL, 0);
	print_per_op(end - start, nr_pages);
	free(order);
	return 0;
}
