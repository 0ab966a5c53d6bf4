// SPDX-License-Identifier: MIT
/* SIGSEGV and SIGBUS that the program deserves: right address, right code, and going on after. */
#include <setjmp.h>
#include <sys/resource.h>
#include <ucontext.h>
#include "e2e.h"

#define AREA (16 * PAGE)

static _Thread_local sigjmp_buf back;
static _Thread_local volatile sig_atomic_t armed;
static _Thread_local siginfo_t last;

static void catch(int sig, siginfo_t *si, void *ctx)
{
	if (!armed) {
		signal(sig, SIG_DFL);
		return;
	}
	last = *si;
	siglongjmp(back, 1);
}

static void install(void)
{
	struct sigaction sa = { .sa_sigaction = catch, .sa_flags = SA_SIGINFO };

	SYS(sigaction(SIGSEGV, &sa, NULL));
	SYS(sigaction(SIGBUS, &sa, NULL));
}

enum access { READ, WRITE, EXECUTE };

/* Make one access that must raise `sig` with `code` at exactly this address. */
static void expect_fault(void *addr, enum access how, int sig, int code)
{
	armed = 1;
	if (sigsetjmp(back, 1) == 0) {
		if (how == READ)
			(void)*(volatile char *)addr;
		else if (how == WRITE)
			*(volatile char *)addr = 1;
		else
			((void (*)(void))addr)();
		CHECK(0, "access %d to %p went through", how, addr);
	}
	armed = 0;
	CHECK(last.si_signo == sig && last.si_code == code && last.si_addr == addr,
	      "signal %d code %d at %p, expected %d code %d at %p", last.si_signo, last.si_code,
	      last.si_addr, sig, code, addr);
}

static void wild_addresses(void)
{
	char *p = map_anon(AREA);

	SYS(munmap(p, AREA));
	expect_fault(p, READ, SIGSEGV, SEGV_MAPERR);
	expect_fault(p + 1234, WRITE, SIGSEGV, SEGV_MAPERR);
	expect_fault(NULL, READ, SIGSEGV, SEGV_MAPERR);
	expect_fault((void *)8, WRITE, SIGSEGV, SEGV_MAPERR);
	expect_fault((void *)0x7ffffffff008, READ, SIGSEGV, SEGV_MAPERR);
}

static void protections(void)
{
	char *p = map_anon(AREA);

	p[5 * PAGE] = 1;
	SYS(mprotect(p, AREA, PROT_NONE));
	expect_fault(p + 17, READ, SIGSEGV, SEGV_ACCERR);
	expect_fault(p + 5 * PAGE, WRITE, SIGSEGV, SEGV_ACCERR);
	SYS(mprotect(p, AREA, PROT_READ));
	expect_fault(p + 18, WRITE, SIGSEGV, SEGV_ACCERR);
	CHECK(p[5 * PAGE] == 1 && p[6 * PAGE] == 0);
	expect_fault(p + 6 * PAGE + 3, WRITE, SIGSEGV, SEGV_ACCERR);
	expect_fault(p + 5 * PAGE + 9, WRITE, SIGSEGV, SEGV_ACCERR);
	SYS(mprotect(p, AREA, PROT_READ | PROT_WRITE));
	expect_fault(p + 64, EXECUTE, SIGSEGV, SEGV_ACCERR);
	fill_marks(p, AREA, 1);
	check_marks(p, AREA, 1);
	SYS(munmap(p, AREA));
	expect_fault((void *)(uintptr_t)expect_fault, WRITE, SIGSEGV, SEGV_ACCERR);
}

/* The pages around a hole and a guard page, to the byte. */
static void edges(void)
{
	char *p = map_anon(3 * PAGE);

	SYS(munmap(p + PAGE, PAGE));
	p[PAGE - 1] = 1;
	expect_fault(p + PAGE, WRITE, SIGSEGV, SEGV_MAPERR);
	expect_fault(p + 2 * PAGE - 1, READ, SIGSEGV, SEGV_MAPERR);
	CHECK(p[2 * PAGE] == 0);
	SYS(mprotect(p + 2 * PAGE, PAGE, PROT_NONE));
	expect_fault(p + 2 * PAGE, READ, SIGSEGV, SEGV_ACCERR);
	SYS(munmap(p, 3 * PAGE));
}

static void beyond_end_of_file(void)
{
	int fd = marked_file(2 * PAGE, 1);
	char *p = SYS(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	char *s = SYS(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));

	check_marks(p, 2 * PAGE, 1);
	expect_fault(p + 2 * PAGE + 5, READ, SIGBUS, BUS_ADRERR);
	expect_fault(p + 3 * PAGE, WRITE, SIGBUS, BUS_ADRERR);
	expect_fault(s + 3 * PAGE + 1, WRITE, SIGBUS, BUS_ADRERR);
	SYS(ftruncate(fd, 4 * PAGE));
	check_bytes(p + 2 * PAGE, 2 * PAGE, 0);
	SYS(ftruncate(fd, PAGE));
	expect_fault(s + PAGE, READ, SIGBUS, BUS_ADRERR);
	SYS(munmap(p, 4 * PAGE));
	SYS(munmap(s, 4 * PAGE));
	SYS(close(fd));
}

/* Bad pointers handed to the kernel are EFAULT, never a signal. */
static void system_calls_say_efault(void)
{
	char *p = map_anon(2 * PAGE);
	int fd[2];

	SYS(pipe(fd));
	SYS(mprotect(p + PAGE, PAGE, PROT_NONE));
	FAILS(EFAULT, write(fd[1], p + PAGE, 10));
	CHECK(SYS(write(fd[1], p, 10)) == 10);
	FAILS(EFAULT, read(fd[0], p + PAGE + 1, 10));
	FAILS(EFAULT, syscall(SYS_read, fd[0], NULL, 10));
	SYS(munmap(p + PAGE, PAGE));
	FAILS(EFAULT, read(fd[0], p + PAGE + 1, 10));
	FAILS(EFAULT, syscall(SYS_clock_gettime, CLOCK_REALTIME, p + PAGE));
	SYS(munmap(p, PAGE));
	SYS(close(fd[0]));
	SYS(close(fd[1]));
}

static void *wild_thread(void *index)
{
	char *p = map_anon(64 * PAGE);

	SYS(mprotect(p, 64 * PAGE, PROT_READ));
	for (int i = 0; i < 64; i++) {
		expect_fault(p + i * PAGE + (uintptr_t)index, WRITE, SIGSEGV, SEGV_ACCERR);
		SYS(mprotect(p + i * PAGE, PAGE, PROT_READ | PROT_WRITE));
		p[i * PAGE] = (char)i;
	}
	for (int i = 0; i < 64; i++)
		CHECK(p[i * PAGE] == i);
	SYS(munmap(p, 64 * PAGE));
	return NULL;
}

static void faults_in_threads(void)
{
	run_threads(6, wild_thread);
}

static char *heap;
static atomic_int barriers;

/* A collector's write barrier: note the page, open it, return to the access. */
static void open_page(int sig, siginfo_t *si, void *ctx)
{
	char *page = (char *)((uintptr_t)si->si_addr & ~(PAGE - 1));

	if (page < heap || page >= heap + 256 * PAGE || si->si_code != SEGV_ACCERR) {
		signal(SIGSEGV, SIG_DFL);
		return;
	}
	atomic_fetch_add(&barriers, 1);
	SYS(mprotect(page, PAGE, PROT_READ | PROT_WRITE));
}

static void *mutate(void *index)
{
	uint64_t seed = (uintptr_t)index + 5;

	for (int i = 0; i < 3000; i++) {
		size_t at = rnd(&seed) % 256;
		_Atomic uint64_t *w = (_Atomic uint64_t *)(heap + at * PAGE);

		atomic_fetch_add(w, 1);
	}
	return NULL;
}

/* Each of three collections protects all pages again; no increment may be lost. */
static void write_barrier(void)
{
	struct sigaction sa = { .sa_sigaction = open_page, .sa_flags = SA_SIGINFO | SA_NODEFER };
	uint64_t sum = 0;

	heap = map_anon(256 * PAGE);
	SYS(sigaction(SIGSEGV, &sa, NULL));
	for (int round = 0; round < 3; round++) {
		SYS(mprotect(heap, 256 * PAGE, round ? PROT_READ : PROT_NONE));
		run_threads(4, mutate);
	}
	for (int i = 0; i < 256; i++)
		sum += *(uint64_t *)(heap + i * PAGE);
	CHECK(sum == 3 * 4 * 3000, "%lu increments", (long)sum);
	CHECK(atomic_load(&barriers) >= 3 * 256);
	SYS(munmap(heap, 256 * PAGE));
	install();
}

static void map_missing(int sig, siginfo_t *si, void *ctx)
{
	void *page = (void *)((uintptr_t)si->si_addr & ~(PAGE - 1));

	SYS(mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	*(uint64_t *)page = (uintptr_t)page;
}

/* A handler that maps the missing page: a pager inside the program. */
static void pager_of_its_own(void)
{
	struct sigaction sa = { .sa_sigaction = map_missing, .sa_flags = SA_SIGINFO };
	char *p = map_anon(256 * PAGE);

	SYS(munmap(p, 256 * PAGE));
	SYS(sigaction(SIGSEGV, &sa, NULL));
	for (int i = 255; i >= 0; i--)
		CHECK(*(uint64_t *)(p + i * PAGE) == (uintptr_t)(p + i * PAGE));
	SYS(munmap(p, 256 * PAGE));
	install();
}

static void skip_instruction(int sig, siginfo_t *si, void *ctx)
{
	ucontext_t *uc = ctx;

	CHECK(si->si_addr == (void *)0x1000 && (uc->uc_mcontext.gregs[REG_ERR] & 4));
	CHECK((uintptr_t)uc->uc_mcontext.gregs[REG_CR2] == 0x1000);
	uc->uc_mcontext.gregs[REG_RIP] += 2;
	uc->uc_mcontext.gregs[REG_RAX] = 4711;
}

/* The saved registers are the program's: error code, cr2, and a changed rip and rax. */
static void context_is_exact(void)
{
	struct sigaction sa = { .sa_sigaction = skip_instruction, .sa_flags = SA_SIGINFO };
	uint64_t rax = 0;

	SYS(sigaction(SIGSEGV, &sa, NULL));
	__asm__ volatile("mov (%1), %%eax" : "=a"(rax) : "r"((uintptr_t)0x1000));
	CHECK(rax == 4711, "rax %lu", (long)rax);
	install();
}

static void die_wildly(void *how)
{
	struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	if (how) {
		sigset_t all;

		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, NULL);
	} else {
		signal(SIGSEGV, SIG_DFL);
	}
	*(volatile char *)(uintptr_t)0x2000 = 1;
}

static void uncaught_kills(void)
{
	expect_signal(fork_run(die_wildly, NULL), SIGSEGV);
	expect_signal(fork_run(die_wildly, (void *)1), SIGSEGV);
}

int main(void)
{
	install();
	RUN(wild_addresses);
	RUN(protections);
	RUN(edges);
	RUN(beyond_end_of_file);
	RUN(system_calls_say_efault);
	RUN(faults_in_threads);
	RUN(write_barrier);
	RUN(pager_of_its_own);
	RUN(context_is_exact);
	RUN(uncaught_kills);
	return 0;
}
