/* SPDX-License-Identifier: MIT */
/*
 * limit.c - vm.max_map_count: a process with as many mappings as it may have, and what it
 * may still do.
 *
 * One large mapping is cut by protecting every other page.  The model's limit is the
 * kernel's less the mappings that the test process has besides.  Every result must be
 * equal, and at the end the number of mappings.
 *
 * Rule "refused halfway": a change that needs two cuts where there is room for one leaves
 * the kernel with the first.  The model does not follow (the pager then reads maps again),
 * so a filler keeps it from happening here: each protected page makes two mappings of one,
 * and the room must be odd for the first cut to be refused.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "steps.h"

#define BASE 0x20000000UL
#define ROOM 140000u /* pages: more than any limit tested */
#define MAX_LIMIT 66000u
#define TAIL_STEPS 24u

/* What both sides do, and what the kernel said. */
struct run {
	u32 nr_steps;
	u32 others, left; /* mappings of the process before, and at the end without those */
	struct step step[ROOM / 2 + TAIL_STEPS + 2];
	s64 result[ROOM / 2 + TAIL_STEPS + 2];
};

static u32 read_limit(void)
{
	FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
	u32 limit = 0;

	if (f && fscanf(f, "%u", &limit) != 1)
		limit = 0;
	if (f)
		fclose(f);
	return limit;
}

/* Lines of maps, but for [vsyscall].  Allocates nothing: that might map something. */
static u32 count_maps(void)
{
	static char buf[1 << 16];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	bool vsyscall = false;
	u32 lines = 0;
	ssize_t n;

	BUG_ON(fd < 0);
	while ((n = read(fd, buf, sizeof(buf) - 1)) > 0) { /* whole lines at a time */
		buf[n] = '\0';
		vsyscall |= strstr(buf, "[vsyscall]") != NULL;
		for (ssize_t i = 0; i < n; i++)
			lines += buf[i] == '\n';
	}
	close(fd);
	return lines - vsyscall;
}

static void add(struct run *r, struct step s)
{
	r->step[r->nr_steps++] = s;
}

static struct step at(enum call call, u64 page, u64 pages, int prot)
{
	return (struct step){ .call = call, .addr = BASE + PAGES(page), .len = PAGES(pages),
			      .prot = prot, .flags = ANON | MAP_FIXED };
}

static struct step move(u64 page, u64 pages, u64 new_pages, u64 to)
{
	struct step s = at(C_MREMAP, page, pages, 0);

	s.len2 = PAGES(new_pages);
	s.flags = MREMAP_MAYMOVE | MREMAP_FIXED;
	s.addr2 = BASE + PAGES(to);
	return s;
}

static void make_steps(struct run *r, u32 limit)
{
	add(r, at(C_MMAP, 0, ROOM, PROT_NONE));
	for (u32 i = 0; i < limit / 2 + 4; i++) /* the last ones are refused */
		add(r, at(C_MPROTECT, 2 * i + 1, 1, PROT_READ));
	add(r, at(C_MUNMAP, ROOM - 20, 1, 0)); /* would cut in two */
	add(r, at(C_MPROTECT, ROOM - 20, 1, RW));
	add(r, at(C_MADVISE, ROOM - 20, 1, MADV_DONTFORK));
	add(r, at(C_MLOCK, ROOM - 20, 1, MLOCK_ONFAULT));
	add(r, at(C_MMAP, ROOM + 10, 1, RW));
	add(r, at(C_MMAP, ROOM + 20, 1, RW));
	add(r, at(C_MMAP, ROOM - 30, 1, RW));
	add(r, move(1, 1, 1, ROOM + 40));
	add(r, at(C_MUNMAP, 1, 1, 0)); /* whole: always may */
	add(r, at(C_MUNMAP, 3, 1, 0));
	add(r, at(C_MPROTECT, ROOM - 20, 1, RW));
	add(r, at(C_MPROTECT, 5, 1, PROT_NONE)); /* merges three */
	add(r, at(C_MMAP, ROOM + 20, 1, RW));
	add(r, move(7, 1, 1, ROOM + 40));
	add(r, at(C_MUNMAP, 100, 200, 0));
	add(r, move(11, 1, 1, ROOM + 40));
	add(r, at(C_MUNMAP, ROOM - 20, 1, 0));
	add(r, at(C_MMAP, ROOM - 30, 1, RW));
}

static void run_natively(struct run *r, u32 limit)
{
	struct step filler = at(C_MMAP, -2, 1, PROT_NONE);
	int st;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	BUG_ON(pid < 0);
	if (pid == 0) {
		r->others = count_maps();
		if ((limit - r->others) % 2 == 0) {
			BUG_ON(native_step(&filler) < 0);
			r->others++;
		}
		for (u32 i = 0; i < r->nr_steps; i++)
			r->result[i] = native_step(&r->step[i]);
		r->left = count_maps() - r->others;
		_exit(0);
	}
	BUG_ON(waitpid(pid, &st, 0) != pid || st);
}

int limit_main(void)
{
	u32 limit = read_limit();
	struct run *r = mmap(NULL, sizeof(*r), RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool agrees;

	BUG_ON(r == MAP_FAILED);
	if (!limit || limit > MAX_LIMIT) {
		printf("skipped: vm.max_map_count is %u; this test makes as many mappings and "
		       "stops at %u\n",
		       limit, MAX_LIMIT);
		return 77;
	}
	make_steps(r, limit);
	run_natively(r, limit);
	agrees = model_agrees_at_limit(r->step, r->result, r->nr_steps, limit - r->others, r->left);
	printf("%u steps up to %u mappings: %s\n", r->nr_steps, limit,
	       agrees ? "equal" : "they differ");
	return !agrees;
}
