/* SPDX-License-Identifier: MIT */
/*
 * front.c - see front.h.  It must stay tiny: it is what holds when the supervisor does not.
 */
#include "front.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "sc.h"
#include "sup.h"

struct front {
	const struct run_options *opt;
	struct run_shared *shared;
	struct sock_fprog filter;
	int go[2]; /* a byte here lets PROG go on to exec */
	sigset_t old_mask;
	struct sigaction old_chld;
	pid_t prog, supervisor;
	int prog_status, supervisor_status;
	bool prog_ended, supervisor_ended;
	bool prog_continued; /* since we last stopped with it */
	int prog_stopped; /* the signal that stopped it; 0: it runs */
};

/* ---- PROG, up to its exec ---- */

/* As shells do, a file with a NUL in its beginning is no script. */
static bool is_text(const char *path)
{
	char head[128];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, head, sizeof(head));

	close(fd);
	return n >= 0 && !memchr(head, '\0', (size_t)n);
}

/* As execvp does: a text file the kernel cannot execute is a shell script. */
static void exec_prog(char *path, char **argv)
{
	size_t n = 0;
	char **sh;

	execv(path, argv);
	if (errno != ENOEXEC)
		return;
	if (!is_text(path)) {
		errno = ENOEXEC;
		return;
	}
	while (argv[n])
		n++;
	sh = calloc(n + 2, sizeof(*sh));
	if (!sh)
		return;
	sh[0] = "sh";
	sh[1] = path;
	for (size_t i = 1; i < n; i++)
		sh[i + 1] = argv[i];
	execv("/bin/sh", sh);
}

/*
 * A layout of our own is to be the same in each run: so must be what the kernel places at exec (stack, break,
 * vdso, the program and its loader).  Inherited by all processes; the kernel takes it back when a
 * set-user-ID program is executed.
 */
static int fix_addresses(enum mm_layout_mode layout)
{
	unsigned long persona = ADDR_NO_RANDOMIZE;
	int old = personality(0xffffffff);

	if (layout == MM_LAYOUT_KERNEL)
		return 0;
	if (layout == MM_LAYOUT_BOTTOMUP)
		persona |= ADDR_COMPAT_LAYOUT;
	return old < 0 || personality((unsigned long)old | persona) < 0 ? errno : 0;
}

_Noreturn static void prog_main(struct front *f)
{
	char byte;

	close(f->go[1]);
	sigaction(SIGCHLD, &f->old_chld, NULL);
	if (read(f->go[0], &byte, 1) != 1)
		_exit(EXIT_UPAGER); /* the supervisor could not start, and has said so */
	sigprocmask(SIG_SETMASK, &f->old_mask, NULL);
	f->shared->exec_what = "fix the addresses of";
	f->shared->exec_errno = fix_addresses(f->opt->layout);
	if (!f->shared->exec_errno) {
		f->shared->exec_what = "install a seccomp filter for";
		f->shared->exec_errno = -filter_install(&f->filter, &f->shared->listener);
	}
	if (!f->shared->exec_errno) {
		(void)syscall(SYS_brk, 0); /* stops: the supervisor takes the listener */
		f->shared->exec_what = "execute";
		exec_prog(f->opt->path, f->opt->argv);
		f->shared->exec_errno = errno;
	}
	_exit(EXIT_NOT_FOUND);
}

/* ---- the supervisor ---- */

static void raise_fd_limit(void)
{
	struct rlimit rl;

	if (!getrlimit(RLIMIT_NOFILE, &rl)) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl); /* fewer processes can run, that is all */
	}
}

#define END_SECONDS 5 /* until a supervisor that does not end the tree, without a front, is ended itself, and that by it */

static void on_front_death(int sig)
{
	(void)alarm(END_SECONDS);
	(void)kill(getpid(), SIGTERM); /* for the loop, if it still goes round */
}

static void end_with_front(void)
{
	struct sigaction act = { .sa_handler = on_front_death, .sa_flags = SA_RESTART };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGALRM);
	(void)signal(SIGALRM, SIG_DFL);
	(void)sigaction(SIGUSR1, &act, NULL);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGUSR1);
}

_Noreturn static void supervisor_main(struct front *f, pid_t front)
{
	end_with_front();
	prctl(PR_SET_NAME, "upager-sup");
	if (getppid() != front)
		exit(EXIT_UPAGER);
	(void)setsid();
	raise_fd_limit();
	exit(supervise(f->opt, f->shared, f->prog, f->go[1]));
}

/* ---- signals ---- */

void front_note_signal(struct run_shared *shared, int sig, pid_t sender)
{
	if (sig <= 0 || sig >= _NSIG)
		return;
	shared->signals[sig].sender = sender;
	shared->signals[sig].at_ns = now_ns();
}

#define SAME_KILL_NS 50000000ULL

/*
 * Somebody sent us a signal that is meant for PROG.  A kill of the whole process group reaches PROG by
 * itself; then it is not sent twice.
 */
static void pass_on(struct front *f, const siginfo_t *info)
{
	u64 now = now_ns();

	if (info->si_code > 0)
		return; /* from the kernel: the terminal tells PROG itself */
	usleep(10000);
	if (f->shared->signals[info->si_signo].sender == info->si_pid &&
	    f->shared->signals[info->si_signo].at_ns + SAME_KILL_NS > now)
		return;
	(void)kill(f->prog, info->si_signo);
}

static void reap(struct front *f)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED | __WALL)) > 0) {
		if (pid == f->prog && WIFSTOPPED(status)) {
			f->prog_stopped = WSTOPSIG(status);
		} else if (pid == f->prog && WIFCONTINUED(status)) {
			f->prog_stopped = 0;
			f->prog_continued = true;
		} else if (pid == f->prog) {
			f->prog_status = status;
			f->prog_ended = true;
			f->prog_stopped = 0;
		} else if (pid == f->supervisor && !WIFSTOPPED(status) && !WIFCONTINUED(status)) {
			f->supervisor_status = status;
			f->supervisor_ended = true;
		}
	}
}

/* Let signal `sig` do to us what it does by default: stop or end us. */
static void take_signal(int sig)
{
	sigset_t set, old;

	(void)signal(sig, SIG_DFL);
	(void)kill(getpid(), sig);
	sigemptyset(&set);
	sigaddset(&set, sig);
	(void)sigprocmask(SIG_UNBLOCK, &set, &old);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
}

/* PROG was stopped by job control: so are we, by the same signal, for the shell to see. */
static void stop_with_prog(struct front *f)
{
	const struct timespec patience = { 0, 20000000 };
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	f->prog_continued = false;
	take_signal(f->prog_stopped);
	f->prog_stopped = 0;
	/*
	 * Continued.  Usually by a signal to the whole group, of which PROG then tells; only if it is
	 * silent were we alone meant, and so is PROG.  (It may also tell that it is stopped again.)
	 */
	do
		reap(f);
	while (!f->prog_continued && !f->prog_stopped && !f->prog_ended &&
	       sigtimedwait(&chld, NULL, &patience) == SIGCHLD);
	if (!f->prog_continued && !f->prog_stopped && !f->prog_ended)
		(void)kill(f->prog, SIGCONT);
}

static void serve(struct front *f)
{
	sigset_t all;
	siginfo_t info;

	sigfillset(&all);
	reap(f);
	while (!f->supervisor_ended) {
		if (f->prog_stopped)
			stop_with_prog(f);
		if (sigwaitinfo(&all, &info) < 0)
			continue;
		if (info.si_signo == SIGCHLD)
			reap(f);
		else if (info.si_signo != SIGCONT)
			pass_on(f, &info);
	}
}

/* ---- the end ---- */

#define GUARD_MS 10000

/*
 * The supervisor died.  EXITKILL ends the tree; until every process of it is gone the descriptors we
 * share must stay open.  Its pidfds are among them.
 */
static void guard(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	char target[64];

	while (dir && (e = readdir(dir))) {
		struct pollfd p = { .fd = atoi(e->d_name), .events = POLLIN };
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strstr(target, "pidfd"))
			(void)poll(&p, 1, GUARD_MS);
	}
	if (dir)
		closedir(dir);
}

static void wait_for_prog(struct front *f)
{
	if (!f->prog_ended)
		(void)kill(f->prog, SIGKILL);
	while (!f->prog_ended && waitpid(f->prog, &f->prog_status, __WALL) != f->prog)
		if (errno != EINTR)
			return;
	f->prog_ended = true;
}

_Noreturn static void die_of(int sig)
{
	struct rlimit no_core = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &no_core); /* PROG has dumped its own */
	take_signal(sig);
	_exit(128 + sig);
}

static int conclude(struct front *f)
{
	const struct run_shared *shared = f->shared;
	char why[256];

	control_remove(shared->control_path);
	if (plugin_epitaph(&shared->plugin, f->supervisor_status, why, sizeof(why))) {
		guard();
		wait_for_prog(f);
		fprintf(stderr, "upager: %s; the program was ended\n", why);
		return EXIT_UPAGER;
	}
	if (WIFSIGNALED(f->supervisor_status)) {
		guard();
		wait_for_prog(f);
		fprintf(stderr, "upager: the supervisor (pid %d) was killed by signal %d; "
				"the program was ended\n",
			f->supervisor, WTERMSIG(f->supervisor_status));
		return EXIT_UPAGER;
	}
	wait_for_prog(f);
	if (WEXITSTATUS(f->supervisor_status))
		return WEXITSTATUS(f->supervisor_status);
	if (shared->exec_errno) {
		fprintf(stderr, "upager: cannot %s %s: %s\n", shared->exec_what, f->opt->path,
			strerror(shared->exec_errno));
		return shared->exec_errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	}
	if (WIFSIGNALED(f->prog_status))
		die_of(WTERMSIG(f->prog_status));
	return WEXITSTATUS(f->prog_status);
}

static int fail(const char *what)
{
	fprintf(stderr, "upager: cannot %s: %s\n", what, strerror(errno));
	return EXIT_UPAGER;
}

int front_run(const struct run_options *opt)
{
	struct front f = { .opt = opt };
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	pid_t self = getpid();
	sigset_t all;
	int ret;

	f.shared = mmap(NULL, sizeof(*f.shared), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (f.shared == MAP_FAILED)
		return fail("map shared memory");
	if (getrandom(&f.shared->secret, sizeof(f.shared->secret), 0) < 0)
		return fail("get random bytes");
	f.shared->secret &= PAGE_MASK & ~0ULL >> 2; /* mmap wants its offset aligned, and in reach of a file */
	f.shared->listener = -1;
	ret = sc_build_filter(&f.filter, f.shared->secret, opt->memory != 0);
	if (ret) {
		errno = -ret;
		return fail("build the seccomp filter");
	}
	if (pipe2(f.go, O_CLOEXEC))
		return fail("make a pipe (raise the limit on open files: ulimit -n)");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &f.old_mask);
	sigaction(SIGCHLD, &dfl, &f.old_chld);
	f.prog = fork();
	if (f.prog < 0)
		return fail("fork");
	if (!f.prog)
		prog_main(&f);
	close(f.go[0]);
	f.supervisor = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
	if (f.supervisor == 0)
		supervisor_main(&f, self);
	if (f.supervisor < 0) {
		ret = fail("start the supervisor");
		wait_for_prog(&f);
		return ret;
	}
	serve(&f);
	filter_free(&f.filter);
	return conclude(&f);
}
