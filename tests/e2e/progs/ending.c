// SPDX-License-Identifier: MIT
/*
 * How a program ends.
 *	ending             children that end in every way, seen by their parent
 *	ending exit N      this program exits with N
 *	ending signal N    this program dies by signal N
 */
#include <sys/resource.h>
#include "e2e.h"

#define AREA (16 * PAGE)

static void no_core(void)
{
	struct rlimit rl = { 0, 0 };

	setrlimit(RLIMIT_CORE, &rl);
}

static void die_by(void *arg)
{
	int sig = (int)(uintptr_t)arg;
	char *p = map_anon(AREA);

	fill_marks(p, AREA, sig);
	signal(sig, SIG_DFL);
	kill(getpid(), sig);
	_exit(1);
}

/* Each signal whose default action is to end the process. */
static void every_deadly_signal(void)
{
	for (long sig = 1; sig < 65; sig++) {
		if (sig == SIGCHLD || sig == SIGCONT || sig == SIGSTOP || sig == SIGTSTP ||
		    sig == SIGTTIN || sig == SIGTTOU || sig == SIGURG || sig == SIGWINCH ||
		    sig == 32 || sig == 33)
			continue;
		expect_signal(fork_run(die_by, (void *)sig), (int)sig);
	}
}

static void exit_by(void *code)
{
	_exit((int)(uintptr_t)code);
}

static void every_exit_code(void)
{
	for (long code = 0; code < 256; code += 5)
		expect_exit(fork_run(exit_by, (void *)code), (int)code);
}

static void do_abort(void *unused)
{
	abort();
}

static void divide(void *unused)
{
	__asm__ volatile("xor %%edx, %%edx; xor %%eax, %%eax; xor %%ecx, %%ecx; div %%ecx"
			 ::: "eax", "ecx", "edx");
}

static void illegal(void *unused)
{
	__asm__ volatile("ud2");
}

static void breakpoint(void *unused)
{
	__asm__ volatile("int3");
}

static void privileged(void *unused)
{
	__asm__ volatile("hlt");
}

static void traps(void)
{
	expect_signal(fork_run(do_abort, NULL), SIGABRT);
	expect_signal(fork_run(divide, NULL), SIGFPE);
	expect_signal(fork_run(illegal, NULL), SIGILL);
	expect_signal(fork_run(breakpoint, NULL), SIGTRAP);
	expect_signal(fork_run(privileged, NULL), SIGSEGV);
}

/* The first process of a PID namespace is safe from signals, but not from its own faults.  (Traced: by SIGKILL.) */
static void first_dies(void *how)
{
	int st;
	pid_t pid;

	if (unshare(CLONE_NEWPID))
		_exit(0); /* not root */
	pid = fork_run((void (*)(void *))how, NULL);
	CHECK(SYS(waitpid(pid, &st, 0)) == pid);
	CHECK(WIFSIGNALED(st));
	_exit(0);
}

static void first_of_namespace(void)
{
	expect_exit(fork_run(first_dies, (void *)divide), 0);
	expect_exit(fork_run(first_dies, (void *)illegal), 0);
	expect_exit(fork_run(first_dies, (void *)breakpoint), 0);
	expect_exit(fork_run(first_dies, (void *)privileged), 0);
}

static void *thread_dies(void *sig)
{
	sleep_ms(5);
	pthread_kill(pthread_self(), (int)(uintptr_t)sig);
	pause();
	return NULL;
}

static void die_in_thread(void *sig)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, thread_dies, sig) == 0);
	for (;;) {
		char *p = map_anon(AREA);

		fill_marks(p, AREA, 1);
		SYS(munmap(p, AREA));
	}
}

static void killed_from_a_thread(void)
{
	static const int sigs[] = { SIGTERM, SIGSEGV, SIGKILL, SIGABRT };

	for (size_t i = 0; i < ARRAY_SIZE(sigs); i++)
		expect_signal(fork_run(die_in_thread, (void *)(uintptr_t)sigs[i]), sigs[i]);
}

/* Resource use of the dead child is reported, and is a child's. */
static void rusage_of_children(void)
{
	struct rusage ru;
	int st;
	pid_t pid = fork_run(exit_by, NULL);

	CHECK(SYS(wait4(pid, &st, 0, &ru)) == pid);
	CHECK(ru.ru_maxrss > 0);
	getrusage(RUSAGE_CHILDREN, &ru);
	CHECK(ru.ru_maxrss > 0);
}

/* Does the file hold the 16 bytes anywhere? */
static bool file_holds(const char *path, const char *bytes)
{
	int fd = SYS(open(path, O_RDONLY));
	size_t len = SYS(lseek(fd, 0, SEEK_END));
	char *p = SYS(mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0));
	bool found = memmem(p, len, bytes, 16);

	SYS(munmap(p, len));
	SYS(close(fd));
	return found;
}

static void dump_core(void *area)
{
	struct rlimit rl = { RLIM_INFINITY, RLIM_INFINITY };

	SYS(setrlimit(RLIMIT_CORE, &rl));
	for (int i = 0; i < 16; i++)
		((char *)area)[AREA / 2 + i] ^= 0x20;
	abort();
}

/* A core dump has what the process had: pages shared with its parent, and its own. */
static void core_dump(void)
{
	char pattern[8] = "", dir[] = "/tmp/e2e-core-XXXXXX", name[64];
	int fd = SYS(open("/proc/sys/kernel/core_pattern", O_RDONLY)), st;
	struct rlimit rl;
	char *p = map_anon(AREA);
	pid_t pid;

	SYS(getrlimit(RLIMIT_CORE, &rl));
	SYS(read(fd, pattern, sizeof(pattern) - 1));
	SYS(close(fd));
	if (strcmp(pattern, "core\n") || rl.rlim_max != RLIM_INFINITY) {
		puts("skipped: core_pattern is not 'core', or RLIMIT_CORE may not be raised");
		return;
	}
	CHECK(mkdtemp(dir));
	SYS(chdir(dir));
	for (int i = 0; i < 16; i++)
		p[i] = (char)('a' + i), p[AREA / 2 + i] = (char)('A' + (i * 7 + 3) % 26);
	pid = fork_run(dump_core, p);
	CHECK(SYS(waitpid(pid, &st, 0)) == pid);
	CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT && WCOREDUMP(st), "status %#x", st);
	snprintf(name, sizeof(name), "core.%d", pid);
	if (access(name, R_OK) < 0)
		strcpy(name, "core");
	CHECK(file_holds(name, p), "the page shared with the parent is not in the core file");
	for (int i = 0; i < 16; i++)
		p[AREA / 2 + i] ^= 0x20;
	CHECK(file_holds(name, p + AREA / 2), "the child's own page is not in the core file");
	SYS(unlink(name));
	SYS(chdir("/"));
	SYS(rmdir(dir));
	SYS(munmap(p, AREA));
}

int main(int argc, char **argv)
{
	if (argc == 1)
		RUN(core_dump);
	no_core();
	if (argc == 3 && !strcmp(argv[1], "exit"))
		return atoi(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "signal")) {
		puts("before the signal");
		fflush(stdout);
		die_by((void *)(uintptr_t)atoi(argv[2]));
	}
	RUN(every_deadly_signal);
	RUN(every_exit_code);
	RUN(traps);
	RUN(first_of_namespace);
	RUN(killed_from_a_thread);
	RUN(rusage_of_children);
	return 0;
}
