// SPDX-License-Identifier: MIT
/*
 * runone: run one command in a session of its own and say exactly how it ended.
 *
 *	runone [-t SECONDS] [-o STDOUT] [-e STDERR] [-i STDIN] [-p PIDFILE] -s STATUS -- PROG [ARG…]
 *
 * PROG gets the descriptors 0 to 2 and no others; PIDFILE gets its pid. The file STATUS gets one
 * line: "exit N", "signal N" or "timeout"; after it one line "survivor PID NAME" for each process
 * of the run that still lives two seconds after PROG is gone, and one "left NAME" for each file in
 * /dev/shm. Being a child subreaper, runone inherits whatever the run leaves behind, so that no
 * process escapes by changing its session; before it exits it kills what is left, on a time-out
 * everything, and when it gets SIGTERM or its own parent ends. As root it gives the run a /dev/shm of its own, for the machine's is everybody's;
 * without root that check is not made. It ends with status 0 when PROG ended by itself and left
 * nothing, else 1 (2: misuse).
 *
 * Used by run-e2e.sh, real.sh, badinput.sh and kill.sh; built statically, to run in an initramfs
 * whose shell has neither setsid nor a timeout that kills groups.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS 2000
#define MAX_PROCS 4096

static volatile sig_atomic_t told_to_end;

static void on_term(int sig)
{
	told_to_end = 1;
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void die(const char *what)
{
	fprintf(stderr, "runone: %s: %s\n", what, strerror(errno));
	exit(2);
}

struct proc {
	pid_t pid, ppid;
	bool ours;
	char name[64];
};

/* Read pid, name and parent of every process; zombies are left out. Returns how many. */
static int read_procs(struct proc *procs)
{
	DIR *dir = opendir("/proc");
	struct dirent *de;
	int n = 0;

	if (!dir)
		die("/proc");
	while ((de = readdir(dir)) && n < MAX_PROCS) {
		struct proc *p = &procs[n];
		char path[300], state, *close_paren;
		char line[512] = "";
		int fd;

		snprintf(path, sizeof(path), "/proc/%s/stat", de->d_name);
		if (atoi(de->d_name) <= 0 || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
			continue;
		if (read(fd, line, sizeof(line) - 1) > 0 && (close_paren = strrchr(line, ')')) &&
		    sscanf(close_paren + 1, " %c %d", &state, &p->ppid) == 2 && state != 'Z') {
			p->pid = atoi(line);
			p->ours = false;
			*close_paren = 0;
			snprintf(p->name, sizeof(p->name), "%.60s", strchr(line, '(') + 1);
			n++;
		}
		close(fd);
	}
	closedir(dir);
	return n;
}

/* Every living descendant of this process: call fn on each. Returns how many there were. */
static int for_each_descendant(void (*fn)(const struct proc *p, void *arg), void *arg)
{
	static struct proc procs[MAX_PROCS];
	int n = read_procs(procs), found = 0;
	bool again = true;

	while (again) {
		again = false;
		for (int i = 0; i < n; i++) {
			bool child = procs[i].ppid == getpid();

			for (int j = 0; j < n && !child; j++)
				child = procs[j].ours && procs[j].pid == procs[i].ppid;
			if (child && !procs[i].ours)
				procs[i].ours = again = true;
		}
	}
	for (int i = 0; i < n; i++) {
		if (procs[i].ours) {
			fn(&procs[i], arg);
			found++;
		}
	}
	return found;
}

static void count_only(const struct proc *p, void *arg)
{
}

static void name_survivor(const struct proc *p, void *arg)
{
	fprintf(arg, "survivor %d %s\n", p->pid, p->name);
}

static void kill_it(const struct proc *p, void *arg)
{
	kill(p->pid, SIGKILL);
}

/* Reap whatever can be reaped; true (and its status in *st) when `main_pid` was among them. */
static bool reap(pid_t main_pid, int *st)
{
	bool seen = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == main_pid) {
			*st = status;
			seen = true;
		}
	}
	return seen;
}

static void pause_ms(int ms)
{
	nanosleep(&(struct timespec){ 0, ms * 1000000L }, NULL);
}

/* Kill until nothing is left: a process may fork while the list is read. */
static void kill_all(void)
{
	int st;

	for (int round = 0; for_each_descendant(kill_it, NULL) && round < 500; round++) {
		pause_ms(10);
		reap(0, &st);
	}
}

static void redirect(int fd, const char *path, int flags)
{
	int file = open(path, flags, 0644);

	if (file < 0 || dup2(file, fd) < 0)
		die(path);
	close(file);
}

/* A mount namespace with an empty /dev/shm. Returns whether that was permitted. */
static bool own_shm(void)
{
	return !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("runone", "/dev/shm", "tmpfs", 0, NULL);
}

/* Name every file in /dev/shm. Returns how many there are. */
static int name_left_files(FILE *f)
{
	DIR *dir = opendir("/dev/shm");
	struct dirent *de;
	int n = 0;

	while (dir && (de = readdir(dir))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		fprintf(f, "left %s\n", de->d_name);
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}

struct options {
	int timeout_s;
	bool own_shm;
	const char *in, *out, *err, *status, *pidfile;
};

static void write_pid(const char *path, pid_t pid)
{
	FILE *f = path ? fopen(path, "we") : NULL;

	if (f) {
		fprintf(f, "%d\n", pid);
		fclose(f);
	} else if (path) {
		die(path);
	}
}

static pid_t start(const struct options *o, char **argv)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid) {
		write_pid(o->pidfile, pid);
		return pid;
	}
	setsid();
	signal(SIGTERM, SIG_DFL);
	redirect(0, o->in, O_RDONLY);
	if (o->out)
		redirect(1, o->out, O_WRONLY | O_CREAT | O_TRUNC);
	if (o->err)
		redirect(2, o->err, O_WRONLY | O_CREAT | O_TRUNC);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	execvp(argv[0], argv);
	die(argv[0]);
	return -1;
}

/* Wait for the command and then for its survivors to go, and report. Returns runone's status. */
static int watch(const struct options *o, pid_t pid)
{
	long deadline = now_ms() + o->timeout_s * 1000L;
	FILE *f = fopen(o->status, "we");
	bool ended;
	int st, left;

	if (!f)
		die(o->status);
	while (!(ended = reap(pid, &st)) && now_ms() < deadline && !told_to_end)
		pause_ms(2);
	if (!ended)
		fprintf(f, "timeout\n");
	else if (WIFEXITED(st))
		fprintf(f, "exit %d\n", WEXITSTATUS(st));
	else
		fprintf(f, "signal %d\n", WTERMSIG(st));
	deadline = now_ms() + GRACE_MS;
	while (ended && for_each_descendant(count_only, NULL) && now_ms() < deadline) {
		pause_ms(10);
		reap(0, &st);
	}
	left = ended ? for_each_descendant(name_survivor, f) : 0;
	if (o->own_shm)
		left += name_left_files(f);
	fclose(f);
	kill_all();
	return ended && !left ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options o = { .timeout_s = 60, .in = "/dev/null" };
	int opt;

	while ((opt = getopt(argc, argv, "+t:i:o:e:s:p:")) >= 0) {
		switch (opt) {
		case 't': o.timeout_s = atoi(optarg); break;
		case 'i': o.in = optarg; break;
		case 'o': o.out = optarg; break;
		case 'e': o.err = optarg; break;
		case 'p': o.pidfile = optarg; break;
		case 's': o.status = optarg; break;
		default: return 2;
		}
	}
	if (!o.status || optind >= argc || o.timeout_s <= 0) {
		fprintf(stderr, "usage: runone [-t SECONDS] [-i IN] [-o OUT] [-e ERR] [-p PIDFILE] "
			"-s STATUS -- PROG…\n");
		return 2;
	}
	signal(SIGTERM, on_term);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		die("PR_SET_CHILD_SUBREAPER");
	o.own_shm = own_shm();
	return watch(&o, start(&o, argv + optind));
}
