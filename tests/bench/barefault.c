/* SPDX-License-Identifier: MIT */
/*
 * barefault.c - the least that a fault answered by another process can cost.
 *
 *	barefault [-n FAULTS] [-s SPREAD] [-v VMAS] [-c CPU]
 *
 * A handler process and the faulting process, both pinned to one CPU (by default the one it starts
 * on): blocking read(), one UFFDIO_COPY of a page of zeroes, which wakes.  No model, no events, no
 * write protection.  The same memory and order as randfault's.  Must be run natively.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "bench.h"
#include "sys/uapi.h"

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

static struct {
	u32 nr_faults, spread, nr_vmas;
	int cpu;
} options = { 32768, 1, 1, -1 };

static void parse_options(int argc, char **argv)
{
	static const char args[] = "[-n FAULTS] [-s SPREAD] [-v VMAS] [-c CPU]";
	int opt;

	while ((opt = getopt(argc, argv, "n:s:v:c:")) != -1) {
		switch (opt) {
		case 'n':
			options.nr_faults = (u32)atoi(optarg);
			break;
		case 's':
			options.spread = (u32)atoi(optarg);
			break;
		case 'v':
			options.nr_vmas = (u32)atoi(optarg);
			break;
		case 'c':
			options.cpu = atoi(optarg);
			break;
		default:
			usage(args);
		}
	}
	if (!options.nr_faults || !options.spread || !options.nr_vmas)
		usage(args);
}

int main(int argc, char **argv)
{
	u32 nr_faults, *pages;
	u64 nr_pages, start, end;
	pid_t handler;
	char *mem;
	int uffd;

	parse_options(argc, argv);
	nr_faults = (u32)scaled(options.nr_faults);
	nr_pages = (u64)nr_faults * options.spread;
	pages = pages_to_touch(nr_faults, options.spread, 1);
	mem = map_untouched(nr_pages * PAGE_SIZE);
	uffd = open_uffd(mem, nr_pages * PAGE_SIZE);
	cut_into_vmas(mem, nr_pages, (u32)scaled(options.nr_vmas));
	pin_to_cpu(options.cpu < 0 ? sched_getcpu() : options.cpu);
	handler = fork();
	if (handler < 0)
		die("fork");
	if (!handler)
		handle(uffd);
	start = now_ns();
	for (u32 i = 0; i < nr_faults; i++)
		((volatile char *)mem)[pages[i] * PAGE_SIZE] = 1;
	end = now_ns();
	kill(handler, SIGKILL);
	waitpid(handler, NULL, 0);
	print_per_op(end - start, nr_faults);
	free(pages);
	return 0;
}
