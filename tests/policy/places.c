/* SPDX-License-Identifier: MIT */
/*
 * places.c - ask for memory in every way that leaves the place open, and print where it came to be.
 *
 *	places
 *
 * The same in each run with `upager run --layout=topdown|bottomup`.  What must hold in any layout (a free hint
 * is taken, registers come back as they were, moved bytes are the same) is checked here: status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define P 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void expect(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "places: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static char *map(void *hint, size_t len, int prot, int flags, int fd)
{
	char *p = mmap(hint, len, prot, flags, fd, 0);

	expect(p != MAP_FAILED, "mmap");
	printf("%p %zu pages, flags %x\n", (void *)p, len / P, flags);
	return p;
}

static void plain(void)
{
	char *a = map(NULL, 3 * P, RW, ANON, -1);
	char *b = map(NULL, P, PROT_READ, ANON, -1);
	char *big = map(NULL, 64 << 20, RW, ANON | MAP_NORESERVE, -1);
	int self = open("/proc/self/exe", O_RDONLY);

	expect(self >= 0, "open");
	map(NULL, 2 * P, PROT_READ, MAP_PRIVATE, self);
	map(NULL, 2 * P, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
	map(NULL, P, RW, ANON | MAP_32BIT, -1);
	map(NULL, 8 * P, RW, ANON | MAP_POPULATE, -1);
	expect(!munmap(a, 3 * P), "munmap");
	map(NULL, P, RW, ANON, -1); /* into the hole */
	big[0] = 1;
	expect(!munmap(b, P), "munmap");
}

/* Free: taken.  Taken: elsewhere.  Not a multiple of a page: rounded down. */
static void hints(void)
{
	char *free_place = (char *)0x300000000000UL;

	expect(map(free_place, 4 * P, RW, ANON, -1) == free_place, "a free hint");
	expect(map(free_place, 4 * P, RW, ANON, -1) != free_place, "a hint that is taken");
	expect(map(free_place + 16 * P + 123, P, RW, ANON, -1) == free_place + 16 * P, "an odd hint");
}

static void moves(void)
{
	char *a = map(NULL, 4 * P, RW, ANON, -1);
	char *end = map(a + 4 * P, P, PROT_READ, ANON, -1); /* in the way, or elsewhere */
	char *b;

	strcpy(a + P, "first");
	strcpy(a + 3 * P, "last");
	b = mremap(a, 4 * P, 1024 * P, MREMAP_MAYMOVE);
	expect(b != MAP_FAILED, "mremap");
	printf("%p moved\n", (void *)b);
	expect(!strcmp(b + P, "first") && !strcmp(b + 3 * P, "last") && !b[1023 * P], "moved bytes");
	b = mremap(b, 1024 * P, 2 * P, MREMAP_MAYMOVE);
	expect(b != MAP_FAILED && !strcmp(b + P, "first"), "shrunk");
	a = mremap(b, 2 * P, 2 * P, MREMAP_MAYMOVE | 4 /* DONTUNMAP */, 0UL);
	expect(a != MAP_FAILED && a != b && !strcmp(a + P, "first") && !b[P], "MREMAP_DONTUNMAP");
	printf("%p left its place\n", (void *)a);
	expect(!munmap(end, P), "munmap");
}

static void segment(void)
{
	int id = shmget(IPC_PRIVATE, 5 * P, IPC_CREAT | 0600);
	char *p, *q;

	expect(id >= 0, "shmget");
	p = shmat(id, NULL, 0);
	q = shmat(id, NULL, SHM_RDONLY);
	expect(!shmctl(id, IPC_RMID, NULL), "shmctl");
	expect(p != (void *)-1 && q != (void *)-1 && p != q, "shmat");
	strcpy(p, "both");
	expect(!strcmp(q, "both"), "one segment, two places");
	printf("%p %p attached\n", (void *)p, (void *)q);
}

/* The kernel gets another first argument than the program passed: the program must not see it. */
static void registers(void)
{
	register long flags __asm__("r10") = ANON;
	register long fd __asm__("r8") = -1;
	register long offset __asm__("r9") = 0;
	unsigned long hint = 0;
	long result;

	__asm__ volatile("syscall" : "=a"(result), "+D"(hint)
			 : "a"(SYS_mmap), "S"(P), "d"((long)RW), "r"(flags), "r"(fd), "r"(offset)
			 : "rcx", "r11", "memory");
	expect(result > 0 && hint == 0, "registers kept");
	printf("%lx by hand\n", (unsigned long)result);
}

static void *thread(void *arg)
{
	int local;

	printf("%p in a thread, %p its stack\n", malloc(1 << 20), (void *)&local);
	return arg;
}

int main(void)
{
	pthread_t t;
	int status;

	setvbuf(stdout, NULL, _IONBF, 0);
	printf("%p stack, %p heap, %p code\n", (void *)&t, malloc(100), (void *)main);
	plain();
	hints();
	moves();
	segment();
	registers();
	for (int i = 0; i < 3; i++) { /* one after the other */
		expect(!pthread_create(&t, NULL, thread, NULL), "pthread_create");
		pthread_join(t, NULL);
	}
	if (!fork()) {
		plain();
		_exit(0);
	}
	expect(wait(&status) > 0 && !status, "child");
	return 0;
}
