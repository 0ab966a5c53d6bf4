/* SPDX-License-Identifier: MIT */
/*
 * runner.c - run one program once: its number or its time, and an end to it in any case.  Called by
 * driver.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "driver.h"

#define LIMIT_MS 300000 /* the kernel itself may thrash for minutes */
#define GRACE_MS 3000

struct run {
	pid_t pid;
	int pidfd, out;
	char text[256]; /* the start of its output */
	size_t len;
	int status;
	u64 peak_bytes;
};

/* A process group of its own, so that a run that hangs can be ended whole; it ends with us, too. */
static int start(struct run *run, const char *const *argv)
{
	int out[2];

	if (pipe2(out, O_CLOEXEC))
		return -1;
	run->pid = fork();
	if (run->pid < 0)
		return -1;
	if (!run->pid) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (null < 0 || dup2(null, 0) < 0 || dup2(out[1], 1) < 0)
			_exit(126);
		execv(argv[0], (char *const *)argv);
		fprintf(stderr, "bench: %s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(out[1]);
	run->out = out[0];
	run->pidfd = (int)syscall(SYS_pidfd_open, run->pid, 0);
	return run->pidfd < 0 ? -1 : 0;
}

static void read_some(struct run *run)
{
	char rest[256];
	size_t room = sizeof(run->text) - 1 - run->len;
	ssize_t n = read(run->out, room ? run->text + run->len : rest, room ? room : sizeof(rest));

	if (n > 0 && room)
		run->len += (size_t)n;
	if (n <= 0) {
		close(run->out);
		run->out = -1; /* poll passes over it */
	}
}

static void reap(struct run *run)
{
	struct rusage usage = { 0 };

	wait4(run->pid, &run->status, 0, &usage);
	run->peak_bytes = (u64)usage.ru_maxrss * 1024;
}

/* Returns whether it ended within `ms`; if so it is reaped, and what it wrote has been read. */
static bool wait_end(struct run *run, int ms)
{
	u64 deadline = now_ns() + (u64)ms * 1000000;
	struct pollfd fds[2] = { { .fd = run->pidfd, .events = POLLIN } };

	for (;;) {
		u64 now = now_ns();

		fds[1] = (struct pollfd){ .fd = run->out, .events = POLLIN };
		if (now >= deadline)
			return false;
		if (poll(fds, 2, (int)((deadline - now) / 1000000) + 1) < 0)
			continue;
		if (fds[1].revents)
			read_some(run);
		else if (fds[0].revents)
			break;
	}
	reap(run);
	return true;
}

/*
 * upager passes the SIGTERM on; if it hangs, all that is left of its group goes at once.  Reaped
 * last, so that the group's number is still its own.
 */
static void end_it(struct run *run)
{
	struct pollfd ended = { .fd = run->pidfd, .events = POLLIN };

	kill(run->pid, SIGTERM);
	poll(&ended, 1, GRACE_MS);
	kill(-run->pid, SIGKILL);
	reap(run);
}

static int judge(struct run *run, bool wall, double elapsed, struct outcome *out)
{
	char *end;

	run->text[run->len] = '\0';
	out->peak_bytes = run->peak_bytes;
	if (WIFEXITED(run->status) && WEXITSTATUS(run->status) == RUN_SKIP) {
		snprintf(out->why, sizeof(out->why), "%.*s", (int)strcspn(run->text, "\n"), run->text);
		return RUN_SKIP;
	}
	if (WIFSIGNALED(run->status)) {
		snprintf(out->why, sizeof(out->why), "killed by signal %d", WTERMSIG(run->status));
		return -1;
	}
	if (WEXITSTATUS(run->status)) {
		snprintf(out->why, sizeof(out->why), "exit status %d", WEXITSTATUS(run->status));
		return -1;
	}
	if (wall) {
		out->value = elapsed;
		return 0;
	}
	out->value = strtod(run->text, &end);
	if (end == run->text || strcmp(end, "\n")) {
		snprintf(out->why, sizeof(out->why), "its output is not a number");
		return -1;
	}
	return 0;
}

int run_program(const char *const *argv, bool wall, struct outcome *out)
{
	struct run run = { .out = -1, .pidfd = -1 };
	u64 begin = now_ns(), end;
	int ret = -1;

	if (start(&run, argv)) {
		snprintf(out->why, sizeof(out->why), "cannot start it: %s", strerror(errno));
	} else if (wait_end(&run, LIMIT_MS)) {
		end = now_ns();
		ret = judge(&run, wall, (double)(end - begin), out);
	} else {
		end_it(&run);
		snprintf(out->why, sizeof(out->why), "no end after %d s", LIMIT_MS / 1000);
	}
	if (run.out >= 0)
		close(run.out);
	if (run.pidfd >= 0)
		close(run.pidfd);
	return ret;
}
