// SPDX-License-Identifier: MIT
/*
 * trespass [KIB [write]]: calls on addresses that are free, for all that the program knows, where upager has its own.
 *
 * Natively on a hole between two mappings, under upager on the area of its stub, which it finds in /proc/self/maps:
 * the program takes the addresses, gives them back, reaches over their borders, and becomes a process of one thread.
 * It also reads whatever it could write to, as who looks for pointers does: by itself and by a call.
 * Its memory is whole all the while.
 *
 * write: it writes there, and what it wrote is there, as in the memory test of redis' crash report.  Only for a budget with
 * room: who writes where pages lie that are out, changes them.
 */
#include "pressure.h"

static size_t nr_pages;
static char *own;
static uint32_t gen;

/* What upager has mapped for its stub; else as much that is free.  *room: the page before is free, too. */
static char *foreign_with_room(size_t *len, bool *room)
{
	char line[512], *start = NULL, *end = NULL, *last = NULL;
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long s, e;

	CHECK(f, "maps");
	while (fgets(line, sizeof(line), f)) {
		CHECK(sscanf(line, "%lx-%lx", &s, &e) == 2, "%s", line);
		if (strstr(line, "/dev/zero (deleted)") || strstr(line, "memfd:upager")) {
			if (!start)
				*room = last < (char *)s;
			start = start ? start : (char *)s;
			end = (char *)e;
		}
		last = (char *)e;
	}
	fclose(f);
	if (start) {
		*len = (size_t)(end - start);
		return start;
	}
	*len = 9 * PAGE;
	*room = true;
	start = map_anon(30 * PAGE);
	SYS(munmap(start + 10 * PAGE, 10 * PAGE));
	return start + 11 * PAGE;
}

static char *foreign(size_t *len)
{
	bool room;

	return foreign_with_room(len, &room);
}

static void whole(void)
{
	push_out(nr_pages * PAGE);
	check_pages(own, nr_pages, 1, gen);
	fill_pages(own, nr_pages, 1, ++gen);
}

static void take(int flags)
{
	size_t len;
	char *p = foreign(&len);

	CHECK(mmap(p, len, RW, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0) == p, "not given: %m");
	fill_pages(p, len / PAGE, 2, 0);
	whole();
	check_pages(p, len / PAGE, 2, 0);
	SYS(munmap(p, len));
	whole();
}

/* A mapping that grows where it is, or is moved there. */
static void move_there(void)
{
	size_t len;
	char *p = foreign(&len), *q = map_anon(len);

	fill_pages(q, len / PAGE, 3, 0);
	CHECK(mremap(q, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p, "not moved: %m");
	whole();
	check_pages(p, len / PAGE, 3, 0);
	SYS(munmap(p, len));
}

/* Over all that lies between two mappings of the program. */
static void give_back(void)
{
	size_t len;
	bool room;
	char *p = foreign(&len);

	SYS(munmap(p, len)); /* nothing is there */
	whole();
	p = foreign(&len);
	SYS(munmap(p + PAGE, len - PAGE));
	whole();
	p = foreign_with_room(&len, &room);
	if (room)
		SYS(munmap(p - PAGE, 2 * PAGE));
	whole();
	p = foreign_with_room(&len, &room);
	if (room)
		CHECK(mprotect(p - PAGE, 2 * PAGE, PROT_READ) && errno == ENOMEM, "mprotect: %m");
	whole();
	p = foreign(&len);
	CHECK(mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT, "%m");
	whole();
}

static void alone(void)
{
	for (int i = 0; i < 3; i++) {
		CHECK(!unshare(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD), "unshare: %m");
		whole();
	}
}

/* All private memory that can be written to, a page at a time. */
static void read_all(void)
{
	char line[512], perm[5], word[8];
	FILE *f = fopen("/proc/self/maps", "r");
	int fd = SYS(memfd_create("read", 0));
	unsigned long s, e;

	CHECK(f, "maps");
	while (fgets(line, sizeof(line), f)) {
		CHECK(sscanf(line, "%lx-%lx %4s", &s, &e, perm) == 3, "%s", line);
		if (strcmp(perm, "rw-p") != 0)
			continue;
		for (; s < e; s += PAGE) {
			if (s / PAGE % 3)
				memcpy(word, (char *)s, sizeof(word));
			else
				CHECK(pwrite(fd, (char *)s, sizeof(word), 0) == sizeof(word), "%lx: %m", s);
		}
	}
	fclose(f);
	SYS(close(fd));
}

/* A thread faults all the time, and another makes calls, while the area comes and goes. */
static void *faults(void *arg)
{
	size_t n = nr_pages / 2;
	char *p = map_anon(n * PAGE);

	for (uint32_t i = 0; !__atomic_load_n((int *)arg, __ATOMIC_RELAXED); i++) {
		fill_pages(p, n, 4, i);
		check_pages(p, n, 4, i);
	}
	return NULL;
}

static void reach(void)
{
	pthread_t t;
	int done = 0;

	CHECK(!pthread_create(&t, NULL, faults, &done), "thread");
	for (int i = 0; i < 3; i++) {
		read_all();
		whole();
	}
	__atomic_store_n(&done, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
}

#define STAGING (4096 * KIB)

/* Save, write all, look, put back: a part at a time. */
static void test_memory(char *p, char *saved, size_t part)
{
	for (char *end = p + STAGING; p < end; p += part) {
		memcpy(saved, p, part);
		for (size_t i = 0; i < part; i += 64)
			((volatile char *)p)[i] = 0x55;
		for (size_t i = 0; i < part; i += 64)
			CHECK(((volatile char *)p)[i] == 0x55, "%p: what was written is not there", p + i);
		memcpy(p, saved, part);
	}
}

static void write_all(void)
{
	size_t part = 1024 * KIB;
	char *saved = SYS(mmap(NULL, part, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long s, e, at[16], nr = 0;
	char line[512], perm[5];

	CHECK(f, "maps");
	while (fgets(line, sizeof(line), f) && nr < 16)
		if (sscanf(line, "%lx-%lx %4s", &s, &e, perm) == 3 && !strcmp(perm, "rw-p") && e - s == STAGING)
			at[nr++] = s;
	fclose(f);
	for (unsigned long n = 0; n < nr; n++)
		test_memory((char *)at[n], saved, part);
	SYS(munmap(saved, part));
}

static void *calls(void *arg)
{
	while (!__atomic_load_n((int *)arg, __ATOMIC_RELAXED)) {
		char *p = map_anon(PAGE);

		*p = 1;
		SYS(munmap(p, PAGE));
	}
	return NULL;
}

static void among_threads(void)
{
	pthread_t t[2];
	int done = 0;

	CHECK(!pthread_create(&t[0], NULL, faults, &done), "thread");
	CHECK(!pthread_create(&t[1], NULL, calls, &done), "thread");
	for (int i = 0; i < 5; i++)
		take(MAP_FIXED);
	__atomic_store_n(&done, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static void all_kinds(void)
{
	for (int i = 0; i < 3; i++) {
		take(MAP_FIXED);
		take(MAP_FIXED_NOREPLACE);
		move_there();
		give_back();
		alone();
	}
}

int main(int argc, char **argv)
{
	nr_pages = arg_or(argc, argv, 1, 512) * KIB / PAGE;
	own = map_anon(nr_pages * PAGE);
	fill_pages(own, nr_pages, 1, gen);
	if (argc > 2 && !strcmp(argv[2], "write")) {
		for (int i = 0; i < 3; i++) {
			RUN(write_all);
			RUN(alone); /* the area goes, and comes elsewhere */
		}
		return 0;
	}
	RUN(all_kinds);
	RUN(among_threads);
	RUN(reach);
	return 0;
}
