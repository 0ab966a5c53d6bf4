/* SPDX-License-Identifier: MIT */
/*
 * bgsave.c - a process saves itself by fork, as Redis does: the child reads all of the memory while
 * the parent goes on writing.
 *
 *	bgsave write|save|after [-m MIB]
 *
 * MIB of memory (256); the parent writes to a tenth of its pages in random order, the child reads every
 * page in order and must see each as it was at the fork.  write: prints elapsed ns a write of the parent, what
 * its clients feel.  save: prints elapsed ns a page from the fork to the end of the child.  after: prints
 * elapsed ns a write of the parent to the other pages when the child has gone, each its first since the fork.
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

/* ns of each part. */
struct times {
	u64 writes; /* of the parent, beside the child */
	u64 save;   /* from the fork to the child's end */
	u64 after;  /* the parent's writes to the other pages, then */
};

static u64 write_pages(const u32 *pages, u64 nr)
{
	u64 start = now_ns();

	for (u64 i = 0; i < nr; i++)
		*word_of(pages[i]) = ~0UL;
	return now_ns() - start;
}

static struct times fork_and_write(const u32 *pages, u64 nr_writes)
{
	u64 start = now_ns();
	pid_t child = fork();
	struct times t;
	int status;

	if (child < 0)
		die("fork");
	if (!child)
		save();
	t.writes = write_pages(pages, nr_writes);
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (status)
		exit(1);
	t.save = now_ns() - start;
	t.after = write_pages(pages + nr_writes, nr_pages - nr_writes);
	return t;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	u64 mib = 256, nr_writes;
	struct times t;
	u32 *pages;

	if (argc == 4 && !strcmp(argv[2], "-m"))
		mib = strtoull(argv[3], NULL, 10);
	else if (argc != 2)
		mib = 0;
	nr_pages = scaled(mib * MIB) / PAGE_SIZE;
	if (!nr_pages || (strcmp(what, "write") && strcmp(what, "save") && strcmp(what, "after")))
		usage("write|save|after [-m MIB]");
	nr_writes = u64_max(nr_pages / WRITTEN_PART, 1);
	mem = map_untouched(nr_pages * PAGE_SIZE);
	for (u64 page = 0; page < nr_pages; page++)
		*word_of(page) = page + 1;
	pages = shuffled((u32)nr_pages, 1);
	t = fork_and_write(pages, nr_writes);
	if (!strcmp(what, "write"))
		print_per_op(t.writes, nr_writes);
	else if (!strcmp(what, "save"))
		print_per_op(t.save, nr_pages);
	else
		print_per_op(t.after, nr_pages - nr_writes);
	free(pages);
	return 0;
}
