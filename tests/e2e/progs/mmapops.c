// SPDX-License-Identifier: MIT
/*
 * Random streams of memory calls over one arena, against a shadow that says what each byte and
 * each protection must be.
 *
 *	mmapops SEED OPS
 *
 * The shadow knows a page as unmapped, or mapped with a protection and one 64-bit value (the first
 * word; the rest of the page is zero). Now and then the program forks: the child checks the whole
 * arena, goes on with a stream of its own, and checks again.
 */
#include <setjmp.h>
#include "e2e.h"

#define NR 512 /* pages of the arena */

struct page {
	bool mapped;
	int prot;
	uint64_t value;
};

static struct page shadow[NR];
static char *arena;
static uint64_t seed;
static uint64_t next_value = 1;
static sigjmp_buf back;

static void on_segv(int sig, siginfo_t *si, void *ctx)
{
	siglongjmp(back, si->si_code == SEGV_MAPERR ? 1 : si->si_code == SEGV_ACCERR ? 2 : 3);
}

/* 0: the access went through; 1: MAPERR; 2: ACCERR. */
static int try_access(volatile uint64_t *w, bool write, uint64_t *value)
{
	int how = sigsetjmp(back, 1);

	if (how)
		return how;
	if (write)
		*w = *value;
	else
		*value = *w;
	return 0;
}

static int expected(const struct page *p, bool write)
{
	if (!p->mapped)
		return 1;
	return p->prot & (write ? PROT_WRITE : PROT_READ) ? 0 : 2;
}

static void check_page(int i)
{
	uint64_t got = 0;
	int how = try_access((uint64_t *)(arena + i * PAGE), false, &got);

	CHECK(how == expected(&shadow[i], false), "page %d: access %d, expected %d", i, how,
	      expected(&shadow[i], false));
	CHECK(how || got == shadow[i].value, "page %d holds %lu, expected %lu", i, (long)got,
	      (long)shadow[i].value);
	if (!how)
		CHECK(*(volatile uint64_t *)(arena + i * PAGE + 2048) == 0, "page %d, middle", i);
}

static void check_arena(void)
{
	for (int i = 0; i < NR; i++)
		check_page(i);
}

/* Write a new value to one page, if its protection lets us. */
static void poke(int i)
{
	uint64_t v = next_value++;
	int how = try_access((uint64_t *)(arena + i * PAGE), true, &v);

	CHECK(how == expected(&shadow[i], true), "write to page %d: %d, expected %d", i, how,
	      expected(&shadow[i], true));
	if (!how)
		shadow[i].value = v;
}

static bool all_mapped(int first, int nr)
{
	for (int i = first; i < first + nr; i++)
		if (!shadow[i].mapped)
			return false;
	return true;
}

static void set_shadow(int first, int nr, struct page p)
{
	for (int i = first; i < first + nr; i++)
		shadow[i] = p;
}

static int pick_prot(void)
{
	static const int prot[] = { PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE };

	return prot[rnd(&seed) % ARRAY_SIZE(prot)];
}

static void op_mmap(int first, int nr)
{
	int prot = pick_prot();
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;

	if (rnd(&seed) % 4 == 0)
		flags |= MAP_NORESERVE;
	if (rnd(&seed) % 8 == 0)
		flags |= MAP_POPULATE;
	SYS(mmap(arena + first * PAGE, nr * PAGE, prot, flags, -1, 0));
	set_shadow(first, nr, (struct page){ true, prot, 0 });
}

static void op_munmap(int first, int nr)
{
	SYS(munmap(arena + first * PAGE, nr * PAGE));
	set_shadow(first, nr, (struct page){ false });
}

/* Over a hole mprotect changes what lies before the hole and then says ENOMEM. */
static void op_mprotect(int first, int nr)
{
	int prot = pick_prot();
	int ret = mprotect(arena + first * PAGE, nr * PAGE, prot);

	CHECK(ret == 0 ? all_mapped(first, nr) : errno == ENOMEM && !all_mapped(first, nr));
	for (int i = first; i < first + nr && shadow[i].mapped; i++)
		shadow[i].prot = prot;
}

/* MADV_DONTNEED works on all mapped parts, whatever holes there are. */
static void op_dontneed(int first, int nr)
{
	int ret = madvise(arena + first * PAGE, nr * PAGE, MADV_DONTNEED);

	CHECK(ret == 0 ? all_mapped(first, nr) : errno == ENOMEM && !all_mapped(first, nr));
	for (int i = first; i < first + nr; i++)
		shadow[i].value = 0;
}

/* True when [first, first + nr) is one mapping in the kernel's eyes: same protection throughout. */
static bool uniform(int first, int nr)
{
	for (int i = first; i < first + nr; i++)
		if (!shadow[i].mapped || shadow[i].prot != shadow[first].prot)
			return false;
	return true;
}

/*
 * Move [first, +nr) onto another part of the arena. The kernel refuses (EFAULT) when the source
 * spans mappings it could not merge, so the source is first made one by a mapping of its own.
 */
static void op_mremap(int first, int nr)
{
	int to = rnd(&seed) % (NR - nr);
	bool keep = rnd(&seed) % 3 == 0;
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED | (keep ? MREMAP_DONTUNMAP : 0);
	struct page moved[NR];

	if (to < first + nr && first < to + nr)
		return;
	if (!uniform(first, nr))
		nr = 1;
	if (!shadow[first].mapped)
		return;
	memcpy(moved, &shadow[first], nr * sizeof(moved[0]));
	if (mremap(arena + first * PAGE, nr * PAGE, nr * PAGE, flags, arena + to * PAGE) == MAP_FAILED) {
		/* Neighbours with one protection but other flags: several mappings after all. */
		CHECK(errno == EFAULT && nr > 1, "mremap: %s", strerror(errno));
		set_shadow(to, nr, (struct page){ false });
		SYS(munmap(arena + to * PAGE, nr * PAGE));
		return;
	}
	memcpy(&shadow[to], moved, nr * sizeof(moved[0]));
	for (int i = first; i < first + nr; i++)
		shadow[i] = keep ? (struct page){ true, moved[i - first].prot, 0 } : (struct page){ false };
}

static void op_write(int first, int nr)
{
	for (int i = first; i < first + nr; i++)
		poke(i);
}

static void op_read(int first, int nr)
{
	for (int i = first; i < first + nr; i++)
		check_page(i);
}

/* The kernel writes the values: one read(2) over what is writable. */
static void op_read_syscall(int first, int nr)
{
	static uint64_t buf[16 * PAGE / 8];
	int fd[2];

	nr = nr > 8 ? 8 : nr;
	memset(buf, 0, sizeof(buf));
	SYS(pipe(fd));
	for (int i = 0; i < nr; i++)
		buf[i * (PAGE / 8)] = next_value++;
	CHECK(SYS(write(fd[1], buf, nr * PAGE)) == (ssize_t)(nr * PAGE));
	for (int i = 0; i < nr; i++) {
		struct page *p = &shadow[first + i];
		ssize_t n = read(fd[0], arena + (first + i) * PAGE, PAGE);

		if (expected(p, true)) {
			CHECK(n < 0 && errno == EFAULT);
			break;
		}
		CHECK(n == (ssize_t)PAGE, "read %zd", n);
		p->value = buf[i * (PAGE / 8)];
	}
	SYS(close(fd[0]));
	SYS(close(fd[1]));
}

typedef void (*op_fn)(int first, int nr);
static const op_fn ops[] = {
	op_mmap, op_mmap, op_munmap, op_mprotect, op_mprotect, op_dontneed, op_mremap, op_mremap,
	op_write, op_write, op_write, op_write, op_read, op_read, op_read_syscall,
};

static void stream(int nr_ops, int depth)
{
	for (int n = 0; n < nr_ops; n++) {
		int first = rnd(&seed) % NR;
		int nr = 1 + rnd(&seed) % (rnd(&seed) % 8 ? 12 : 96);

		if (nr > NR - first)
			nr = NR - first;
		ops[rnd(&seed) % ARRAY_SIZE(ops)](first, nr);
		if (depth > 0 && rnd(&seed) % (nr_ops / 4 + 1) == 0) {
			pid_t pid = SYS(fork());

			if (!pid) {
				check_arena();
				seed += 1 + depth;
				stream(nr_ops / 4, depth - 1);
				check_arena();
				_exit(0);
			}
			if (n % 2)
				op_write(first, nr);
			expect_exit(pid, 0);
		}
	}
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO };

	if (argc != 3)
		return 2;
	seed = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15ULL + 1;
	SYS(sigaction(SIGSEGV, &sa, NULL));
	arena = map_anon(NR * PAGE);
	set_shadow(0, NR, (struct page){ true, PROT_READ | PROT_WRITE, 0 });
	stream(atoi(argv[2]), 2);
	check_arena();
	printf("seed %s: %s operations, value %lu\n", argv[1], argv[2], (long)next_value);
	return 0;
}
