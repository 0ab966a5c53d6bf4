/* SPDX-License-Identifier: MIT */
/*
 * bgsave.c - a process saves itself by fork, as Redis does: the child reads all of the memory while
 * the parent goes on writing.
 *
 *	bgsave write|save [-m MIB]
 *
 * MIB of memory (256); the parent writes to a tenth of its pages in random order, the child reads every
 * page in order and must see each as it was at the fork.  write: prints elapsed ns a write of the parent, what
 * its clients feel.  save: prints elapsed ns a page from the fork to the end of the child.
 */
#include <sys/wait.h>

#include "bench.h"

#define WRITTEN_PART 10

static u64 nr_pages;
static char *mem;

static volatile u64 *word_of(u64 page)
{
	return (volatile u64 *)(mem + page * PAGE_SIZE);
}

static _Noreturn void save(void)
{
	for (u64 page = 0; page < nr_pages; page++) {
		for (u64 w = 0; w < PAGE_SIZE / sizeof(u64); w += 8) {
			if (word_of(page)[w] != (w ? 0 : page + 1)) {
				fprintf(stderr, "bgsave: the child sees page %lu changed\n", page);
				_exit(1);
			}
		}
	}
	_exit(0);
}

/* Returns the ns that the parent's writes took; *save_ns is the time from the fork to the child's end. */
static u64 fork_and_write(const u32 *pages, u64 nr_writes, u64 *save_ns)
{
	u64 start = now_ns(), begin, end;
	pid_t child = fork();
	int status;

	if (child < 0)
		die("fork");
	if (!child)
		save();
	begin = now_ns();
	for (u64 i = 0; i < nr_writes; i++)
		*word_of(pages[i]) = ~0UL;
	end = now_ns();
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (status)
		exit(1);
	*save_ns = now_ns() - start;
	return end - begin;
}

int main(int argc, char **argv)
{
	bool of_writes = argc > 1 && !strcmp(argv[1], "write");
	u64 mib = 256, nr_writes, write_ns, save_ns;
	u32 *pages;

	if (argc == 4 && !strcmp(argv[2], "-m"))
		mib = strtoull(argv[3], NULL, 10);
	else if (argc != 2)
		mib = 0;
	nr_pages = scaled(mib * MIB) / PAGE_SIZE;
	if (!nr_pages || (!of_writes && strcmp(argv[1], "save")))
		usage("write|save [-m MIB]");
	nr_writes = u64_max(nr_pages / WRITTEN_PART, 1);
	mem = map_untouched(nr_pages * PAGE_SIZE);
	for (u64 page = 0; page < nr_pages; page++)
		*word_of(page) = page + 1;
	pages = shuffled((u32)nr_pages, 1);
	write_ns = fork_and_write(pages, nr_writes, &save_ns);
	if (of_writes)
		print_per_op(write_ns, nr_writes);
	else
		print_per_op(save_ns, nr_pages);
	free(pages);
	return 0;
}
