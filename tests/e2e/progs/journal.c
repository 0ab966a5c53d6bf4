// SPDX-License-Identifier: MIT
/*
 * A program that is killed at any moment and must never have written a wrong byte.
 *
 *	journal write DIR    processes and threads that append to DIR/0 … DIR/5 with fsync, for ever;
 *	                     DIR/pid gets the first process' pid when all of them run
 *	journal check DIR    each byte of the files must be what it has to be; prints nothing
 *
 * Byte i of file n is a function of n and i. The writers keep the bytes in private memory that is
 * shared by forks, moved, protected and dropped all the time, so that a page which read as zeroes
 * or as somebody else's for an instant would end in the file.
 */
#include "e2e.h"

#define CHUNK (8 * PAGE)
#define NR_FILES 6

static const char *dir;

static int open_file(int n, int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%d", dir, n);
	return SYS(open(path, flags, 0644));
}

/* The bytes of one chunk: no zero byte, no two pages alike. */
static void make_chunk(unsigned char *p, int file, uint64_t chunk)
{
	uint64_t seed = mark(file, chunk) | 1;

	for (size_t i = 0; i < CHUNK; i++)
		p[i] = 1 + (rnd(&seed) >> 40) % 255;
}

/* What keeps memory moving between the making of a chunk and its writing. */
static void disturb(uint64_t chunk, char *scratch)
{
	pid_t pid;

	SYS(madvise(scratch, CHUNK, MADV_DONTNEED));
	fill_marks(scratch, CHUNK, chunk);
	if (chunk % 4)
		return;
	pid = SYS(fork());
	if (!pid) {
		check_marks(scratch, CHUNK, chunk);
		fill_marks(scratch, CHUNK, chunk + 1);
		_exit(0);
	}
	expect_exit(pid, 0);
	check_marks(scratch, CHUNK, chunk);
}

static void *append(void *index)
{
	int file = (int)(uintptr_t)index;
	int fd = open_file(file, O_WRONLY | O_CREAT | O_APPEND);
	unsigned char *p = map_anon(CHUNK);
	char *scratch = map_anon(CHUNK);

	for (uint64_t chunk = 0;; chunk++) {
		make_chunk(p, file, chunk);
		disturb(chunk, scratch);
		p = SYS(mremap(p, CHUNK, CHUNK * (1 + chunk % 2), MREMAP_MAYMOVE));
		SYS(mprotect(p, CHUNK, PROT_READ));
		CHECK(SYS(write(fd, p, CHUNK)) == (ssize_t)CHUNK);
		SYS(fsync(fd));
		SYS(mprotect(p, CHUNK, PROT_READ | PROT_WRITE));
		p = SYS(mremap(p, CHUNK * (1 + chunk % 2), CHUNK, MREMAP_MAYMOVE));
	}
	return NULL;
}

/* Two threads a process, three processes. */
static void append_two(int first)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, append, (void *)(uintptr_t)(first + 1)) == 0);
	append((void *)(uintptr_t)first);
}

static void write_for_ever(void)
{
	char path[PATH_MAX];
	FILE *f;

	for (int n = 2; n < NR_FILES; n += 2)
		if (!SYS(fork()))
			append_two(n);
	snprintf(path, sizeof(path), "%s/pid", dir);
	CHECK((f = fopen(path, "w")));
	fprintf(f, "%d\n", getpid());
	fclose(f);
	append_two(0);
}

/* Any length may be there; what is there must be right. */
static void check_file(int n)
{
	unsigned char want[CHUNK], got[CHUNK];
	int fd = open_file(n, O_RDONLY | O_CREAT);
	ssize_t len;

	for (uint64_t chunk = 0; (len = SYS(read(fd, got, CHUNK))) > 0; chunk++) {
		make_chunk(want, n, chunk);
		for (ssize_t i = 0; i < len; i++)
			CHECK(got[i] == want[i], "file %d, byte %lu is %#x, expected %#x", n,
			      (long)(chunk * CHUNK + i), got[i], want[i]);
	}
	SYS(close(fd));
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	dir = argv[2];
	if (!strcmp(argv[1], "write"))
		write_for_ever();
	for (int n = 0; n < NR_FILES; n++)
		check_file(n);
	return 0;
}
