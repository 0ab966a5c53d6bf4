// SPDX-License-Identifier: MIT
/*
 * A program that is killed at any moment, under pressure, and must never have written a wrong byte.
 *
 *	records write DIR KIB    processes and threads that append to DIR/0 … DIR/3 for ever, with fsync
 *	records check DIR KIB    each byte of the files must be what it has to be; prints how many whole
 *	                         records there are
 *
 * Each of the four writers has KIB of pages that change at random and are forked, moved and protected
 * meanwhile; a record is some of these pages as they are found in memory, not looked at by the writer. The
 * checker goes through the same random choices and knows what each of them had to be.  DIR/pid gets the
 * first process' pid when all of them run.
 */
#include "pressure.h"

#define NR_FILES 4
#define RECORD_PAGES 4

static const char *dir;
static size_t nr_pages;

static int open_file(int n, int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%d", dir, n);
	return SYS(open(path, flags, 0644));
}

/* The steps of one record, the same for writer and checker: pages that change, pages that are written. */
struct step {
	size_t changed[RECORD_PAGES], shown[RECORD_PAGES];
};

static struct step next_step(uint64_t *seed)
{
	struct step s;

	for (int i = 0; i < RECORD_PAGES; i++) {
		s.changed[i] = rnd(seed) % nr_pages;
		s.shown[i] = rnd(seed) % nr_pages;
	}
	return s;
}

/* A child that changes what it has inherited; nobody's business but its own. */
static void disturb(char *p, int file, uint64_t n)
{
	pid_t pid;

	SYS(mprotect(p + n % nr_pages * PAGE, PAGE, PROT_READ));
	SYS(mprotect(p, nr_pages * PAGE, RW));
	if (n % 8)
		return;
	pid = SYS(fork());
	if (!pid) {
		fill_pages(p, nr_pages, 50 + file, n);
		check_pages(p, nr_pages, 50 + file, n);
		_exit(0);
	}
	expect_exit(pid, 0);
}

static void *append(void *index)
{
	int file = (int)(uintptr_t)index;
	int fd = open_file(file, O_WRONLY | O_CREAT | O_APPEND);
	char *p = map_anon(nr_pages * PAGE), *record = map_anon(RECORD_PAGES * PAGE);
	uint32_t *gen = map_anon(nr_pages * sizeof(*gen));
	uint64_t seed = mark(file, 1);

	fill_pages(p, nr_pages, file, 0);
	for (uint64_t n = 0;; n++) {
		struct step s = next_step(&seed);

		for (int i = 0; i < RECORD_PAGES; i++)
			fill_page(p + s.changed[i] * PAGE, file, s.changed[i], ++gen[s.changed[i]]);
		disturb(p, file, n);
		for (int i = 0; i < RECORD_PAGES; i++)
			memcpy(record + i * PAGE, p + s.shown[i] * PAGE, PAGE);
		CHECK(SYS(write(fd, record, RECORD_PAGES * PAGE)) == RECORD_PAGES * (ssize_t)PAGE);
		SYS(fsync(fd));
	}
	return NULL;
}

/* Two threads a process. */
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

/* The last record may be cut off anywhere; what is there must be right. Returns the whole ones. */
static uint64_t check_file(int file)
{
	int fd = open_file(file, O_RDONLY | O_CREAT);
	uint32_t *gen = map_anon(nr_pages * sizeof(*gen));
	uint64_t seed = mark(file, 1), n;
	char got[PAGE], want[PAGE];

	for (n = 0;; n++) {
		struct step s = next_step(&seed);

		for (int i = 0; i < RECORD_PAGES; i++)
			gen[s.changed[i]]++;
		for (int i = 0; i < RECORD_PAGES; i++) {
			ssize_t len = SYS(read(fd, got, PAGE));

			fill_page(want, file, s.shown[i], gen[s.shown[i]]);
			for (ssize_t k = 0; k < len; k++)
				CHECK(got[k] == want[k], "file %d, record %lu, page %d, byte %zd is %#x, expected %#x",
				      file, (long)n, i, k, got[k] & 0xff, want[k] & 0xff);
			if (len < (ssize_t)PAGE)
				return n;
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t nr = 0;

	if (argc != 4)
		return 2;
	dir = argv[2];
	nr_pages = strtoul(argv[3], NULL, 0) * KIB / PAGE;
	if (!strcmp(argv[1], "write"))
		write_for_ever();
	for (int n = 0; n < NR_FILES; n++)
		nr += check_file(n);
	printf("%lu\n", (long)nr);
	return 0;
}
