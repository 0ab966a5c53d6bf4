// SPDX-License-Identifier: MIT
/* signals [KIB]: frames written by the kernel onto stacks that are out of memory, and jumps out of them. */
#include <setjmp.h>
#include <sys/time.h>
#include "pressure.h"

#define ALT_BYTES (64 * KIB)

static size_t nr_pages;
static char *alt, *data;
static volatile sig_atomic_t nr_seen;
static sigjmp_buf back;

static void use_alt_stack(void)
{
	stack_t ss = { .ss_sp = alt, .ss_size = ALT_BYTES };

	SYS(sigaltstack(&ss, NULL));
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *))
{
	struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	SYS(sigaction(sig, &sa, NULL));
}

static bool on_alt_stack(void)
{
	char here;

	return &here >= alt && &here < alt + ALT_BYTES;
}

/* Use some of the stack, verify some of the data, say which value came with the signal. */
static void look(int sig, siginfo_t *info, void *context)
{
	uint64_t words[3 * PAGE_WORDS];

	CHECK(on_alt_stack());
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = mix64(sig + i);
	check_page(data + nr_seen % nr_pages * PAGE, 1, nr_seen % nr_pages, 0);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		CHECK(words[i] == mix64(sig + i));
	if (info->si_code == SI_QUEUE)
		CHECK(info->si_value.sival_int == nr_seen, "value %d, expected %d",
		      info->si_value.sival_int, (int)nr_seen);
	nr_seen++;
}

static void queued(void)
{
	union sigval v = { 0 };

	handle(SIGUSR1, look);
	nr_seen = 0;
	for (int i = 0; i < 20; i++) {
		push_out(nr_pages * PAGE / 2);
		v.sival_int = i;
		SYS(sigqueue(getpid(), SIGUSR1, v));
		CHECK(nr_seen == i + 1);
	}
	check_pages(data, nr_pages, 1, 0);
}

/* Every register has to survive: arithmetic goes on under a storm of signals. */
static void timer_storm(void)
{
	struct itimerval often = { { 0, 5000 }, { 0, 5000 } }, never = { { 0, 0 }, { 0, 0 } };
	uint64_t sum = 0, want = 0;
	double x = 0;

	handle(SIGALRM, look);
	nr_seen = 0;
	SYS(setitimer(ITIMER_REAL, &often, NULL));
	for (int round = 0; round < 10 || nr_seen < 20; round++) {
		for (size_t i = 0; i < nr_pages; i++) {
			check_page(data + i * PAGE, 1, i, 0);
			sum += *(uint64_t *)(data + i * PAGE);
			want += page_word(page_seed(1, i, 0), i, 0);
			x += 0.5;
		}
		CHECK(x == 0.5 * (round + 1) * nr_pages, "%g", x);
	}
	SYS(setitimer(ITIMER_REAL, &never, NULL));
	CHECK(sum == want);
}

static void jump_out(int sig, siginfo_t *info, void *context)
{
	CHECK(on_alt_stack());
	siglongjmp(back, 1 + ((char *)info->si_addr - data) / PAGE);
}

/* Out of the handler of a fault on pages out of memory; volatile locals and the mask are as they were. */
static void jumps(void)
{
	sigset_t mask;

	handle(SIGSEGV, jump_out);
	SYS(mprotect(data, nr_pages * PAGE, PROT_NONE));
	for (volatile size_t i = 0; i < nr_pages; i += 7) {
		volatile size_t mine = i;
		size_t page;

		if (i % 49 == 0)
			push_out(nr_pages * PAGE / 4);
		page = sigsetjmp(back, 1);
		if (!page)
			data[i * PAGE] = 1;
		CHECK(page == mine + 1 && i == mine, "page %zu, expected %zu", page - 1, (size_t)mine);
		SYS(sigprocmask(SIG_BLOCK, NULL, &mask));
		CHECK(!sigismember(&mask, SIGSEGV));
	}
	SYS(mprotect(data, nr_pages * PAGE, RW));
	check_pages(data, nr_pages, 1, 0);
}

/* A handler inside a handler, five deep, each with pages of its own on the alternate stack. */
static void nested_handler(int sig, siginfo_t *info, void *context)
{
	uint64_t words[PAGE_WORDS];
	int level = nr_seen++;

	for (size_t i = 0; i < PAGE_WORDS; i++)
		words[i] = mix64(level * 1000 + i);
	if (level < 5) {
		push_out(nr_pages * PAGE / 4);
		SYS(raise(sig));
	}
	for (size_t i = 0; i < PAGE_WORDS; i++)
		CHECK(words[i] == mix64(level * 1000 + i), "level %d, word %zu", level, i);
}

static void nested(void)
{
	struct sigaction sa = { .sa_sigaction = nested_handler,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	SYS(sigaction(SIGUSR2, &sa, NULL));
	nr_seen = 0;
	SYS(raise(SIGUSR2));
	CHECK(nr_seen == 6);
}

/* A child inherits the alternate stack, out of memory. */
static void forked(void)
{
	pid_t pid;

	nr_seen = 0;
	handle(SIGUSR1, look);
	push_out(nr_pages * PAGE);
	pid = SYS(fork());
	if (!pid) {
		SYS(raise(SIGUSR1));
		CHECK(nr_seen == 1);
		_exit(0);
	}
	SYS(raise(SIGUSR1));
	expect_exit(pid, 0);
}

int main(int argc, char **argv)
{
	nr_pages = arg_or(argc, argv, 1, 1024) * KIB / PAGE;
	alt = map_anon(ALT_BYTES);
	data = map_anon(nr_pages * PAGE);
	fill_pages(data, nr_pages, 1, 0);
	use_alt_stack();
	RUN(queued);
	RUN(timer_storm);
	RUN(jumps);
	RUN(nested);
	RUN(forked);
	return 0;
}
