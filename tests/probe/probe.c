/* SPDX-License-Identifier: MIT */
/*
 * probe.c - runs the probes: `probe NAME...`, `probe -l` lists them, `probe` alone runs all;
 * `probe --costs` prints what they cost (costs.c).
 *
 * Each probe runs in a process group of its own with a time limit; whatever it leaves behind is
 * killed. Exit status: 0 all facts hold (or were skipped among others), 77 the only one was
 * skipped, 1 not.
 */
#include "probe.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_S	  20
#define EXIT_SKIP 77

static struct probe *probes;

void probe_register(struct probe *p)
{
	struct probe **at = &probes;

	while (*at && strcmp((*at)->name, p->name) < 0)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
}

noreturn void probe_fail(const char *file, int line, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	dprintf(STDERR_FILENO, "%s:%d: %s\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file,
		line, text);
	_exit(1);
}

noreturn void probe_skip(const char *reason)
{
	dprintf(STDERR_FILENO, "skipped: %s\n", reason);
	_exit(EXIT_SKIP);
}

/* Kill what the probe left behind and reap it all (we are their subreaper). */
static void clean_up(pid_t group)
{
	kill(-group, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
		;
}

/* Return: the probe's exit status; 1 also for a death or when time is up. */
static int run_probe(const struct probe *p)
{
	pid_t pid = fork();
	int status = 0, waited_ms = 0;

	if (pid < 0)
		return 1;
	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		p->run();
		_exit(0);
	}
	setpgid(pid, pid);
	for (; waitpid(pid, &status, WNOHANG) == 0; waited_ms++) {
		if (waited_ms >= LIMIT_S * 1000) {
			fprintf(stderr, "time is up after %d s\n", LIMIT_S);
			status = 1 << 8;
			break;
		}
		usleep(1000);
	}
	clean_up(pid);
	if (WIFSIGNALED(status)) {
		fprintf(stderr, "killed by signal %d\n", WTERMSIG(status));
		return 1;
	}
	return WEXITSTATUS(status);
}

/* Run and report one.  Return: its exit status. */
static int report(const struct probe *p)
{
	int ret = run_probe(p);

	printf("%-4s %s: %s\n",
	       ret == 0		  ? "ok"
	       : ret == EXIT_SKIP ? "skip"
				  : "FAIL",
	       p->name, p->fact);
	fflush(stdout);
	return ret;
}

static const struct probe *find_probe(const char *name)
{
	const struct probe *p = probes;

	while (p && strcmp(p->name, name))
		p = p->next;
	return p;
}

static int run_named(int nr, char **names)
{
	int result = 0;

	for (int i = 0; i < nr; i++) {
		const struct probe *p = find_probe(names[i]);
		int ret;

		if (!p) {
			fprintf(stderr, "probe: no such probe: %s\n", names[i]);
			return 1;
		}
		ret = report(p);
		if (ret == EXIT_SKIP)
			ret = nr == 1 ? EXIT_SKIP : 0;
		if (ret && result != 1)
			result = ret == EXIT_SKIP ? EXIT_SKIP : 1;
	}
	return result;
}

static int run_all(void)
{
	int nr[3] = {0}; /* ok, skipped, failed */

	for (const struct probe *p = probes; p; p = p->next) {
		int ret = report(p);

		nr[ret == 0 ? 0 : ret == EXIT_SKIP ? 1 : 2]++;
	}
	printf("probes: %d passed, %d failed, %d skipped\n", nr[0], nr[2], nr[1]);
	return nr[2] ? 1 : 0;
}

/* What an exec_victim() becomes. */
static int victim(const char *how)
{
	if (!strcmp(how, "pause"))
		pause();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--victim"))
		return victim(argv[2]);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (argc == 2 && !strcmp(argv[1], "-l")) {
		for (const struct probe *p = probes; p; p = p->next)
			printf("%-40s %s\n", p->name, p->fact);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--costs")) {
		probe_costs();
		return 0;
	}
	return argc > 1 ? run_named(argc - 1, argv + 1) : run_all();
}
