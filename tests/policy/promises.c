/* SPDX-License-Identifier: MIT */
/*
 * promises.c - ask for private memory by every call that promises it, at and beyond a limit.
 *
 *	promises PAGES
 *
 * The run may promise PAGES in all (upager run --overcommit=2 --commit-limit).  How much this image has taken
 * already is unknown, so a half is taken first, then 9/10 (most), then twice of it (more) asked for.  Prints one line a
 * call: what came of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define P 4096UL
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static void say(const char *what, int ok)
{
	printf("%s: %s\n", what, ok ? "granted" : errno == ENOMEM ? "ENOMEM" : strerror(errno));
}

int main(int argc, char **argv)
{
	size_t limit = argc == 2 ? strtoul(argv[1], NULL, 0) * P : 0;
	size_t half = limit / 2, most = limit / 10 * 9, more = 2 * limit;
	char *a, *b, *c, *old;
	int status;
	pid_t pid;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!half)
		return 2;
	a = mmap(NULL, half, RW, ANON, -1, 0);
	say("mmap of half", a != MAP_FAILED);
	b = mmap(NULL, most, RW, ANON, -1, 0);
	say("mmap of most", b != MAP_FAILED);
	if (b != MAP_FAILED)
		munmap(b, most);
	say("mmap of more", mmap(NULL, more, RW, ANON, -1, 0) != MAP_FAILED);
	b = mmap(NULL, more, RW, ANON | MAP_NORESERVE, -1, 0);
	say("mmap of more, MAP_NORESERVE", b != MAP_FAILED);
	b = mmap(NULL, more, PROT_READ, ANON, -1, 0);
	say("mmap of more, read only", b != MAP_FAILED);
	say("mprotect of it, writable", !mprotect(b, more, RW));
	say("mprotect of a page of it, writable", !mprotect(b, P, RW));
	b[0] = 1;
	a[half - 1] = 7;
	c = mremap(a, half, more, MREMAP_MAYMOVE);
	say("mremap to more", c != MAP_FAILED);
	if (c != MAP_FAILED)
		a = mremap(c, more, half, MREMAP_MAYMOVE);
	say("the old one", a[half - 1] == 7);
	old = sbrk(0);
	c = sbrk((intptr_t)more);
	say("sbrk of more", c != (void *)-1);
	if (c != (void *)-1)
		sbrk(-(intptr_t)more);
	say("the break where it was", sbrk(0) == old);
	say("sbrk of a page", sbrk(P) == old);
	errno = 0;
	pid = fork(); /* a half more, and what else there is */
	if (!pid)
		_exit(0);
	say("fork", pid > 0 && wait(&status) == pid && !status);
	say("munmap", !munmap(a, half));
	pid = fork();
	if (!pid)
		_exit(mmap(NULL, half, RW, ANON, -1, 0) == MAP_FAILED);
	say("fork with the half given back", pid > 0 && wait(&status) == pid && !status);
	say("mmap of half again", mmap(NULL, half, RW, ANON, -1, 0) != MAP_FAILED);
	return 0;
}
