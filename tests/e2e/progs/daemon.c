// SPDX-License-Identifier: MIT
/* Processes that outlive their parents: daemons, orphans, zombies, subreapers. */
#include <sys/prctl.h>
#include "e2e.h"

#define AREA (64 * PAGE)

static char log_path[] = "/tmp/e2e-daemon-XXXXXX";
static char *area;

/* Append one line to the log, in one write. */
static void say(const char *line)
{
	int fd = SYS(open(log_path, O_WRONLY | O_APPEND));

	CHECK(SYS(write(fd, line, strlen(line))) == (ssize_t)strlen(line));
	SYS(close(fd));
}

/* Wait until the log holds exactly `text`; 20 seconds at the most. */
static void expect_log(const char *text)
{
	char got[4096] = "";

	for (int i = 0; i < 2000; i++) {
		int fd = SYS(open(log_path, O_RDONLY));
		ssize_t n = SYS(read(fd, got, sizeof(got) - 1));

		got[n] = 0;
		SYS(close(fd));
		if (!strcmp(got, text))
			return;
		sleep_ms(10);
	}
	CHECK(0, "log has '%s', expected '%s'", got, text);
}

static void clear_log(void)
{
	SYS(truncate(log_path, 0));
}

static void daemon_body(void)
{
	pid_t worker;

	check_marks(area, AREA, 1);
	say("daemon starts\n");
	for (int i = 2; i < 6; i++) {
		fill_marks(area, AREA, i);
		worker = SYS(fork());
		if (!worker) {
			check_marks(area, AREA, i);
			fill_marks(area, AREA, 100);
			_exit(i);
		}
		expect_exit(worker, i);
		check_marks(area, AREA, i);
	}
	say("daemon ends\n");
	_exit(0);
}

static void daemonize(void *unused)
{
	if (SYS(fork()))
		_exit(0);
	SYS(setsid());
	if (SYS(fork()))
		_exit(0);
	SYS(chdir("/"));
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	CHECK(SYS(open("/dev/null", O_RDWR)) == 0);
	SYS(dup(0));
	SYS(dup(0));
	daemon_body();
}

/* The classic double fork; the daemon goes on using memory and forking workers. */
static void double_fork(void)
{
	clear_log();
	fill_marks(area, AREA, 1);
	expect_exit(fork_run(daemonize, NULL), 0);
	expect_log("daemon starts\ndaemon ends\n");
	check_marks(area, AREA, 1);
}

static int gate[2];

static void orphan(int ms)
{
	char *p = map_anon(AREA);
	char c;

	CHECK(SYS(read(gate[0], &c, 1)) == 0);
	sleep_ms(ms);
	fill_marks(p, AREA, ms);
	check_marks(p, AREA, ms);
	check_marks(area, AREA, 1);
	say("orphan done\n");
	_exit(0);
}

static void make_orphans(void *unused)
{
	SYS(close(gate[1]));
	for (int i = 0; i < 3; i++)
		if (!SYS(fork()))
			orphan(5 * i);
}

/* Grandchildren that start their work when their parent is dead already. */
static void orphans_work_on(void)
{
	clear_log();
	fill_marks(area, AREA, 1);
	SYS(pipe(gate));
	expect_exit(fork_run(make_orphans, NULL), 0);
	SYS(close(gate[0]));
	SYS(close(gate[1]));
	expect_log("orphan done\norphan done\norphan done\n");
}

static void exit_with(void *code)
{
	_exit((int)(uintptr_t)code);
}

/* Zombies keep their status until they are asked for it, in any order. */
static void zombies(void)
{
	pid_t pid[20];
	siginfo_t si;

	for (long i = 0; i < 20; i++)
		pid[i] = fork_run(exit_with, (void *)(i + 1));
	for (int i = 19; i >= 0; i--) {
		memset(&si, 0, sizeof(si));
		SYS(waitid(P_PID, pid[i], &si, WEXITED | WNOWAIT));
		CHECK(si.si_pid == pid[i] && si.si_code == CLD_EXITED && si.si_status == i + 1);
		SYS(kill(pid[i], 0));
	}
	for (int i = 0; i < 20; i++)
		expect_exit(pid[i], i + 1);
	FAILS(ESRCH, kill(pid[0], 0));
	FAILS(ECHILD, waitpid(-1, NULL, WNOHANG));
}

/* With SIGCHLD ignored the children reap themselves; wait finds nothing in the end. */
static void sigchld_ignored(void)
{
	signal(SIGCHLD, SIG_IGN);
	for (int i = 0; i < 10; i++)
		fork_run(exit_with, NULL);
	FAILS(ECHILD, waitpid(-1, NULL, 0));
	signal(SIGCHLD, SIG_DFL);
}

static atomic_int reaped, sigchlds;

static void reap_all(int sig)
{
	int saved = errno;

	atomic_fetch_add(&sigchlds, 1);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		atomic_fetch_add(&reaped, 1);
	errno = saved;
}

static void reap_in_handler(void)
{
	signal(SIGCHLD, reap_all);
	for (int i = 0; i < 40; i++)
		fork_run(exit_with, NULL);
	for (int i = 0; i < 2000 && atomic_load(&reaped) < 40; i++)
		sleep_ms(1);
	signal(SIGCHLD, SIG_DFL);
	CHECK(atomic_load(&reaped) == 40, "reaped %d", atomic_load(&reaped));
	CHECK(atomic_load(&sigchlds) <= 40, "%d SIGCHLD for 40 children", atomic_load(&sigchlds));
}

static pid_t reaper;

static void inner_orphan(void *unused)
{
	pid_t parent = getpid();

	if (!SYS(fork())) {
		while (getppid() == parent)
			sleep_ms(1);
		_exit(getppid() == reaper ? 21 : 1);
	}
}

/* An orphan comes to the nearest subreaper, which then sees it end. */
static void subreaper(void)
{
	int st;
	pid_t pid;

	reaper = getpid();
	SYS(prctl(PR_SET_CHILD_SUBREAPER, 1));
	expect_exit(fork_run(inner_orphan, NULL), 0);
	pid = SYS(waitpid(-1, &st, 0));
	CHECK(pid > 0 && WIFEXITED(st) && WEXITSTATUS(st) == 21, "status %#x", st);
	SYS(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static void wait_for_parent_death(void *unused)
{
	pid_t parent = getpid();

	if (!SYS(fork())) {
		signal(SIGUSR1, SIG_IGN); /* first: the parent may be gone at once */
		SYS(prctl(PR_SET_PDEATHSIG, SIGUSR1));
		while (getppid() == parent)
			sleep_ms(1);
		say("parent died\n");
		_exit(0);
	}
}

static void parent_death_signal(void)
{
	clear_log();
	expect_exit(fork_run(wait_for_parent_death, NULL), 0);
	expect_log("parent died\n");
}

int main(void)
{
	close(SYS(mkstemp(log_path)));
	area = map_anon(AREA);
	RUN(double_fork);
	RUN(orphans_work_on);
	RUN(zombies);
	RUN(sigchld_ignored);
	RUN(reap_in_handler);
	RUN(subreaper);
	RUN(parent_death_signal);
	SYS(unlink(log_path));
	return 0;
}
