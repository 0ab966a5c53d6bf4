// SPDX-License-Identifier: MIT
/* exec: from any thread, in chains, with big arguments, of scripts; and when it fails. */
#include <sys/stat.h>
#include "e2e.h"

static char self[PATH_MAX];
static char *area;
#define AREA (64 * PAGE)

static void run_self(const char *mode, const char *arg)
{
	execl(self, "execs", mode, arg, NULL);
	CHECK(0, "exec: %s", strerror(errno));
}

/* `execs chain N`: uses memory, then becomes `execs chain N-1`. */
static int chain(int left)
{
	char *p = map_anon(256 * KIB);
	char arg[16];

	check_bytes(p, PAGE, 0);
	fill_marks(p, 256 * KIB, left);
	check_marks(p, 256 * KIB, left);
	if (!left)
		return 11;
	snprintf(arg, sizeof(arg), "%d", left - 1);
	run_self("chain", arg);
	return 1;
}

static void start_chain(void *unused)
{
	run_self("chain", "20");
}

static void exec_chain(void)
{
	expect_exit(fork_run(start_chain, NULL), 11);
}

static void *exec_here(void *unused)
{
	sleep_ms(5);
	run_self("chain", "1");
	return NULL;
}

static void *fault_on(void *unused)
{
	for (;;) {
		char *p = map_anon(64 * PAGE);

		fill_marks(p, 64 * PAGE, 1);
		SYS(munmap(p, 64 * PAGE));
	}
	return NULL;
}

/* The exec is made by a thread that is not the leader, while others fault. */
static void exec_from_thread(void *with_faults)
{
	pthread_t t;

	for (int i = 0; with_faults && i < 3; i++)
		CHECK(pthread_create(&t, NULL, fault_on, NULL) == 0);
	CHECK(pthread_create(&t, NULL, exec_here, NULL) == 0);
	pthread_join(t, NULL);
}

static void exec_from_a_non_leader(void)
{
	for (int i = 0; i < 3; i++)
		expect_exit(fork_run(exec_from_thread, NULL), 11);
}

static void exec_among_faulting_threads(void)
{
	for (int i = 0; i < 5; i++)
		expect_exit(fork_run(exec_from_thread, (void *)1), 11);
}

static void *leader_gone_exec(void *unused)
{
	sleep_ms(10);
	run_self("chain", "1");
	return NULL;
}

static void leave_then_exec(void *unused)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, leader_gone_exec, NULL) == 0);
	pthread_exit(NULL);
}

static void exec_after_the_leader_left(void)
{
	expect_exit(fork_run(leave_then_exec, NULL), 11);
}

/* `execs count`: prove that every argument and environment byte came through. */
static int count_args(int argc, char **argv)
{
	size_t bytes = 0;

	for (int i = 2; i < argc; i++) {
		size_t len = strlen(argv[i]);

		CHECK(len == 1000 && argv[i][0] == 'a' + i % 26 && argv[i][999] == argv[i][0]);
		bytes += len;
	}
	CHECK(getenv("E2E_BIG") && strlen(getenv("E2E_BIG")) == 100000);
	return bytes == 1024 * 1000 ? 12 : 1;
}

static void exec_with_big_args(void *unused)
{
	static char text[1024][1001], big[100001];
	static char *argv[1024 + 3];

	argv[0] = (char *)"execs";
	argv[1] = (char *)"count";
	for (int i = 0; i < 1024; i++) {
		memset(text[i], 'a' + (i + 2) % 26, 1000);
		argv[i + 2] = text[i];
	}
	memset(big, 'e', sizeof(big) - 1);
	SYS(setenv("E2E_BIG", big, 1));
	execv(self, argv);
	CHECK(0, "exec: %s", strerror(errno));
}

static void a_megabyte_of_arguments(void)
{
	expect_exit(fork_run(exec_with_big_args, NULL), 12);
}

/* A failed exec leaves the caller as it was, all memory included. */
static void failing_execs(void)
{
	char path[] = "/tmp/e2e-exec-XXXXXX";
	static char huge[3 * MIB];
	char *too_big[] = { (char *)"x", huge, NULL };
	int fd = SYS(mkstemp(path));

	fill_marks(area, AREA, 1);
	FAILS(ENOENT, execl("/nonexistent", "x", NULL));
	FAILS(EACCES, execl("/tmp", "x", NULL));
	FAILS(EACCES, execl(path, "x", NULL));
	SYS(fchmod(fd, 0755));
	CHECK(SYS(write(fd, "\177ELF garbage", 12)) == 12);
	SYS(close(fd));
	FAILS(ENOEXEC, execl(path, "x", NULL));
	FAILS(EFAULT, syscall(SYS_execve, 8, too_big, NULL));
	memset(huge, 'x', sizeof(huge) - 1);
	FAILS(E2BIG, execv(self, too_big));
	check_marks(area, AREA, 1);
	fill_marks(area, AREA, 2);
	check_marks(area, AREA, 2);
	SYS(unlink(path));
}

static char script_path[PATH_MAX];

static void exec_script(void *unused)
{
	execl(script_path, "script", "one", "two words", NULL);
	CHECK(0, "exec: %s", strerror(errno));
}

/* #! scripts: /bin/sh, and this very program as interpreter of a second script. */
static void scripts(void)
{
	char dir[] = "/tmp/e2e-script-XXXXXX";
	FILE *f;

	CHECK(mkdtemp(dir));
	snprintf(script_path, sizeof(script_path), "%s/script", dir);
	CHECK((f = fopen(script_path, "w")));
	fprintf(f, "#!/bin/sh\n[ \"$1\" = one ] && [ \"$2\" = 'two words' ] && exit 13\nexit 1\n");
	fclose(f);
	SYS(chmod(script_path, 0755));
	expect_exit(fork_run(exec_script, NULL), 13);
	CHECK((f = fopen(script_path, "w")));
	fprintf(f, "#!%s interpret\n", self);
	fclose(f);
	expect_exit(fork_run(exec_script, NULL), 14);
	SYS(unlink(script_path));
	SYS(rmdir(dir));
}

static void exec_keeps(void *parent)
{
	sigset_t set;
	char arg[64];
	int keep = SYS(open("/dev/null", O_RDONLY)), lose = SYS(open("/dev/null", O_RDONLY | O_CLOEXEC));

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	SYS(sigprocmask(SIG_BLOCK, &set, NULL));
	signal(SIGUSR2, SIG_IGN);
	signal(SIGHUP, exit);
	SYS(raise(SIGUSR1));
	alarm(100);
	snprintf(arg, sizeof(arg), "%d %d %d %d", keep, lose, getpid(), getppid());
	run_self("kept", arg);
}

/* `execs kept …`: what must survive an exec and what must not. */
static int check_kept(const char *arg)
{
	int keep, lose, pid, ppid;
	struct sigaction sa;
	sigset_t set;

	CHECK(sscanf(arg, "%d %d %d %d", &keep, &lose, &pid, &ppid) == 4);
	CHECK(pid == getpid() && ppid == getppid());
	SYS(fcntl(keep, F_GETFD));
	FAILS(EBADF, fcntl(lose, F_GETFD));
	SYS(sigprocmask(SIG_BLOCK, NULL, &set));
	CHECK(sigismember(&set, SIGUSR1) && !sigismember(&set, SIGUSR2));
	SYS(sigpending(&set));
	CHECK(sigismember(&set, SIGUSR1));
	SYS(sigaction(SIGUSR2, NULL, &sa));
	CHECK(sa.sa_handler == SIG_IGN);
	SYS(sigaction(SIGHUP, NULL, &sa));
	CHECK(sa.sa_handler == SIG_DFL);
	CHECK(alarm(0) > 50);
	return 15;
}

static void state_across_exec(void)
{
	expect_exit(fork_run(exec_keeps, NULL), 15);
}

int main(int argc, char **argv)
{
	CHECK(SYS(readlink("/proc/self/exe", self, sizeof(self) - 1)) > 0);
	if (argc == 3 && !strcmp(argv[1], "chain"))
		return chain(atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "kept"))
		return check_kept(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "count"))
		return count_args(argc, argv);
	if (argc == 5 && !strcmp(argv[1], "interpret"))
		return !strcmp(argv[4], "two words") ? 14 : 1;
	area = map_anon(AREA);
	RUN(exec_chain);
	RUN(exec_from_a_non_leader);
	RUN(exec_among_faulting_threads);
	RUN(exec_after_the_leader_left);
	RUN(a_megabyte_of_arguments);
	RUN(failing_execs);
	RUN(scripts);
	RUN(state_across_exec);
	return 0;
}
