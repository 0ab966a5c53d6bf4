/* SPDX-License-Identifier: MIT */
/*
 * kswap.c - run a program with less memory than it asks for, by the kernel's own means.
 *
 *	kswap -l BYTES (-z ALGORITHM | -f DIR) [-t] -- PROG ARG…
 *
 * PROG runs in a memory cgroup (v1 or v2) of BYTES, with swap on a new zram device that compresses by
 * ALGORITHM (-z), or on a new file in DIR (-f).  What the driver holds upager's `--memory` against, and
 * of use by hand.  -t: PROG's output is dropped, and its elapsed ns are printed instead; what is
 * done before and after PROG does not count.
 *
 * Exit status: PROG's own (128 + N for signal N), 2 bad usage, 77 this machine cannot do it: then one line on
 * standard output says why.
 *
 * Whatever happens, nothing may stay behind: no swap area, no device, no cgroup, no file.  So the work is
 * done by a keeper in a session of its own, which a signal to our process group cannot reach, and
 * which hears of the end of the process that was started, however it ended.  Start at keep().
 */
#include <dirent.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "bench.h"

#define EXIT_SKIP     77
#define SWAP_BYTES    (2 * GIB)
#define SWAP_PRIORITY 32767 /* before any other swap area of the machine */
#define LINGER_MS     5000  /* how long the dying may take */
#define TICK_NS	      5000000

struct request {
	u64 limit_bytes;
	const char *algorithm; /* -z; else NULL */
	const char *dir;       /* -f; else NULL */
	bool timed;
	char **argv;
};

/* What was set up, and so must be taken down.  Empty strings and -1: nothing. */
struct setting {
	int zram;	  /* number of our device */
	char area[512];	  /* path of the swap area: file or device node */
	bool made_area;	  /* the path is ours to unlink */
	bool swapping;
	char root[256];	  /* where the memory controller is mounted */
	char cgroup[512]; /* path of the directory */
	u64 limit_bytes;
	bool v2;
	u32 nr_rescues;	  /* see rescue() */
};

static char why_not[512]; /* the reason for EXIT_SKIP */

static __attribute__((format(printf, 1, 2))) int cannot(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why_not, sizeof(why_not), format, args);
	va_end(args);
	return -1;
}

/* ---- small files ---- */

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));

	if (n < 0)
		cannot("cannot write '%s' to %s: %s", text, path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return n < 0 ? -1 : 0;
}

static int write_setting(const char *dir, const char *name, const char *text)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return write_text(path, text);
}

static ssize_t read_text(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, len - 1);

	if (fd >= 0)
		close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return n;
}


/* ---- the swap area ---- */

/* As mkswap(8) writes it: version 1, no bad pages. */
static int write_swap_header(int fd, u64 bytes)
{
	struct {
		char boot[1024];
		u32 version, last_page, nr_badpages;
		char rest[PAGE_SIZE - 1024 - 3 * sizeof(u32) - 10];
		char magic[10];
	} __attribute__((packed)) header = {
		.version = 1,
		.last_page = (u32)(bytes / PAGE_SIZE - 1),
		.magic = { 'S', 'W', 'A', 'P', 'S', 'P', 'A', 'C', 'E', '2' },
	};

	_Static_assert(sizeof(header) == PAGE_SIZE, "a swap header fills a page");
	if (pwrite(fd, &header, sizeof(header), 0) != sizeof(header) || fsync(fd))
		return cannot("cannot write a swap header: %s", strerror(errno));
	return 0;
}

/* /sys/block/zramN appears with the device; its node may be udev's to make, and there may be no udev. */
static int make_zram_node(struct setting *s)
{
	char path[64], text[32];
	unsigned int major, minor;

	snprintf(s->area, sizeof(s->area), "/dev/zram%d", s->zram);
	if (!access(s->area, F_OK))
		return 0;
	snprintf(path, sizeof(path), "/sys/block/zram%d/dev", s->zram);
	if (read_text(path, text, sizeof(text)) < 0 || sscanf(text, "%u:%u", &major, &minor) != 2)
		return cannot("cannot read %s", path);
	if (mknod(s->area, S_IFBLK | 0600, makedev(major, minor)))
		return cannot("cannot make %s: %s", s->area, strerror(errno));
	s->made_area = true;
	return 0;
}

static int make_zram(struct setting *s, const char *algorithm)
{
	char text[32], sys[64];

	if (read_text("/sys/class/zram-control/hot_add", text, sizeof(text)) < 0)
		return cannot("no zram here (modprobe zram)");
	s->zram = atoi(text);
	snprintf(sys, sizeof(sys), "/sys/block/zram%d", s->zram);
	snprintf(text, sizeof(text), "%lu", SWAP_BYTES);
	if (write_setting(sys, "comp_algorithm", algorithm) || write_setting(sys, "disksize", text))
		return -1;
	return make_zram_node(s);
}

static int make_swap_file(struct setting *s, const char *dir)
{
	int fd;

	snprintf(s->area, sizeof(s->area), "%s/kswap-XXXXXX", dir);
	fd = mkostemp(s->area, O_CLOEXEC);
	if (fd < 0)
		return cannot("cannot make a file in %s: %s", dir, strerror(errno));
	s->made_area = true;
	errno = posix_fallocate(fd, 0, (off_t)SWAP_BYTES);
	close(fd);
	return errno ? cannot("cannot allocate %s: %s", s->area, strerror(errno)) : 0;
}

static int start_swap(struct setting *s, const struct request *req)
{
	int fd, err;

	if (req->algorithm ? make_zram(s, req->algorithm) : make_swap_file(s, req->dir))
		return -1;
	fd = open(s->area, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return cannot("cannot open %s: %s", s->area, strerror(errno));
	err = write_swap_header(fd, SWAP_BYTES);
	close(fd);
	if (err)
		return -1;
	if (swapon(s->area, SWAP_FLAG_PREFER | SWAP_PRIORITY))
		return cannot("swapon %s: %s", s->area, strerror(errno));
	s->swapping = true;
	return 0;
}

/* ---- the cgroup ---- */

/* Where the memory controller is: a v1 mount of it, or a v2 tree that has it.  Returns the version, or -1. */
static int find_memory_controller(char *dir, size_t len)
{
	FILE *mounts = setmntent("/proc/self/mounts", "r");
	char path[1024], controllers[1024];
	struct mntent *m;
	int version = -1;

	while (mounts && version < 0 && (m = getmntent(mounts))) {
		if (!strcmp(m->mnt_type, "cgroup") && hasmntopt(m, "memory")) {
			version = 1;
		} else if (!strcmp(m->mnt_type, "cgroup2")) {
			snprintf(path, sizeof(path), "%s/cgroup.controllers", m->mnt_dir);
			if (read_text(path, controllers, sizeof(controllers)) > 0 &&
			    strstr(controllers, "memory"))
				version = 2;
		}
		if (version > 0)
			snprintf(dir, len, "%s", m->mnt_dir);
	}
	if (mounts)
		endmntent(mounts);
	return version > 0 ? version : cannot("no memory cgroup controller is mounted");
}

static int set_limit(const struct setting *s, u64 limit_bytes)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", limit_bytes);
	return write_setting(s->cgroup, s->v2 ? "memory.max" : "memory.limit_in_bytes", text);
}

/* Two at a time would share their swap areas.  Held until we end. */
static int be_alone(const char *root)
{
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return flock(fd, LOCK_EX | LOCK_NB) ? cannot("another kswap is at work") : 0;
}

static int find_root(struct setting *s)
{
	int version = find_memory_controller(s->root, sizeof(s->root));

	if (version < 0)
		return -1;
	s->v2 = version == 2;
	return be_alone(s->root);
}

static int make_cgroup(struct setting *s, u64 limit_bytes)
{
	s->limit_bytes = limit_bytes;
	if (s->v2 && write_setting(s->root, "cgroup.subtree_control", "+memory"))
		return -1;
	snprintf(s->cgroup, sizeof(s->cgroup), "%s/upager-kswap-%d", s->root,
		 (int)getpid());
	if (mkdir(s->cgroup, 0700)) {
		cannot("cannot make %s: %s", s->cgroup, strerror(errno));
		s->cgroup[0] = '\0';
		return -1;
	}
	if (set_limit(s, limit_bytes))
		return -1;
	return s->v2 ? 0 : write_setting(s->cgroup, "memory.oom_control", "1"); /* 1: do not kill */
}

/*
 * Reclaim in the kernel decides by statistics of the cgroup that are up to two seconds old, or more on a
 * busy machine.  In that time it can use up the inactive list and, taking that for full,
 * scan nothing else: then it calls memory used up with most of it free to go, and kills (seen on 6.18, with
 * half of the swap area unused).  That would be no figure at all.  So on v1 the kill is off, the program
 * sleeps, and a tick later we bring the statistics up to date, which reading them does, and let it try
 * again: only a raised limit wakes it.
 */
static void rescue(struct setting *s)
{
	char path[1024], text[8192];

	if (s->v2)
		return;
	snprintf(path, sizeof(path), "%s/memory.oom_control", s->cgroup);
	read_text(path, text, sizeof(text));
	if (!strstr(text, "under_oom 1"))
		return;
	s->nr_rescues++;
	snprintf(path, sizeof(path), "%s/memory.stat", s->cgroup);
	read_text(path, text, sizeof(text));
	set_limit(s, s->limit_bytes + PAGE_SIZE);
	set_limit(s, s->limit_bytes);
}

/* Whatever PROG left behind ends now.  Returns whether nothing is left. */
static bool kill_rest(const struct setting *s)
{
	char path[1024], line[32];

	snprintf(path, sizeof(path), "%s/cgroup.procs", s->cgroup);
	for (int waited = 0; waited < LINGER_MS; waited += 10) {
		FILE *procs = fopen(path, "re");
		bool any = false;

		while (procs && fgets(line, sizeof(line), procs)) {
			any = true;
			kill(atoi(line), SIGKILL);
		}
		if (procs)
			fclose(procs);
		if (!any)
			return true;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		usleep(10000);
	}
	return false;
}

/* ---- all of it ---- */

/* Says on standard error what could not be taken down; goes on with the rest. */
static void complain(const char *what, const char *name)
{
	fprintf(stderr, "kswap: cannot %s %s: %s\n", what, name, strerror(errno));
}

static void remove_zram(int zram)
{
	char sys[64], number[16];

	snprintf(sys, sizeof(sys), "/sys/block/zram%d", zram);
	snprintf(number, sizeof(number), "%d", zram);
	if (write_setting(sys, "reset", "1") ||
	    write_text("/sys/class/zram-control/hot_remove", number))
		complain("remove", sys);
}

/* The last process may be gone from the list and not yet from the cgroup. */
static int remove_cgroup(const struct setting *s)
{
	return rmdir(s->cgroup);
}

/* The kernel wants room for what it might have to read back, and may have none for the moment. */
static int stop_swap(const struct setting *s)
{
	return swapoff(s->area);
}

static void insist(int (*undo)(const struct setting *), const struct setting *s, const char *what,
		   const char *name)
{
	for (int waited = 0; undo(s); waited += 10) {
		if (waited >= LINGER_MS) {
			complain(what, name);
			return;
		}
		usleep(10000);
	}
}

static void take_down(struct setting *s)
{
	if (s->cgroup[0]) {
		if (!kill_rest(s))
			fprintf(stderr, "kswap: processes in %s do not die\n", s->cgroup);
		insist(remove_cgroup, s, "remove", s->cgroup);
	}
	if (s->swapping)
		insist(stop_swap, s, "swapoff", s->area);
	if (s->zram >= 0)
		remove_zram(s->zram);
	if (s->made_area && unlink(s->area) && errno != ENOENT)
		complain("unlink", s->area);
}

static _Noreturn void become_prog(const struct setting *s, const struct request *req,
				  const sigset_t *mask)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (write_setting(s->cgroup, "cgroup.procs", "0")) {
		fprintf(stderr, "kswap: %s\n", why_not);
		_exit(126);
	}
	if (req->timed && (null < 0 || dup2(null, 1) < 0))
		_exit(126);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(req->argv[0], req->argv);
	fprintf(stderr, "kswap: %s: %s\n", req->argv[0], strerror(errno));
	_exit(127);
}

/*
 * Run PROG to its end, or until we are told to stop: then status is that of a process killed so.
 * `wait_for` is blocked: SIGCHLD and all that tells us to stop.
 */
static int run_prog(struct setting *s, const struct request *req, const sigset_t *wait_for,
		    const sigset_t *old_mask)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	u64 start = now_ns();
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (!pid)
		become_prog(s, req, old_mask);
	for (;;) {
		int sig = sigtimedwait(wait_for, NULL, &tick);

		if (sig < 0)
			rescue(s);
		if (sig > 0 && sig != SIGCHLD)
			return 128 + sig;
		if (sig == SIGCHLD && waitpid(pid, &status, WNOHANG) == pid)
			break;
	}
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	if (req->timed && !WEXITSTATUS(status))
		printf("%lu\n", now_ns() - start);
	return WEXITSTATUS(status);
}

/* The keeper: sets up, runs, takes down.  Returns the exit status. */
static int keep(const struct request *req, pid_t starter)
{
	struct setting s = { .zram = -1 };
	sigset_t wait_for, old_mask;
	int status;

	sigemptyset(&wait_for);
	sigaddset(&wait_for, SIGCHLD);
	sigaddset(&wait_for, SIGTERM);
	sigaddset(&wait_for, SIGINT);
	sigaddset(&wait_for, SIGHUP);
	sigprocmask(SIG_BLOCK, &wait_for, &old_mask);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (getppid() != starter) /* it died before we could hear of it */
		return EXIT_FAILURE;
	if (find_root(&s) || start_swap(&s, req) || make_cgroup(&s, req->limit_bytes)) {
		printf("%s\n", why_not);
		status = EXIT_SKIP;
	} else {
		status = run_prog(&s, req, &wait_for, &old_mask);
	}
	fflush(stdout);
	if (s.nr_rescues)
		fprintf(stderr, "kswap: saved %s from the kernel's OOM killer %u times\n", req->argv[0],
			s.nr_rescues);
	take_down(&s);
	return status;
}

static void parse(int argc, char **argv, struct request *req)
{
	static const char args[] = "-l BYTES (-z ALGORITHM | -f DIR) [-t] -- PROG ARG...";
	char *end;
	int opt;

	while ((opt = getopt(argc, argv, "+l:z:f:t")) != -1) {
		switch (opt) {
		case 'l':
			req->limit_bytes = strtoull(optarg, &end, 10);
			if (*end) /* 64M would be 64 bytes */
				usage(args);
			break;
		case 'z':
			req->algorithm = optarg;
			break;
		case 'f':
			req->dir = optarg;
			break;
		case 't':
			req->timed = true;
			break;
		default:
			usage(args);
		}
	}
	req->argv = argv + optind;
	if (!req->limit_bytes || !req->algorithm == !req->dir || !req->argv[0])
		usage(args);
}

static pid_t keeper;

static void pass_on(int sig)
{
	kill(keeper, sig);
}

int main(int argc, char **argv)
{
	struct sigaction pass = { .sa_handler = pass_on, .sa_flags = SA_RESTART };
	struct request req = { 0 };
	pid_t self = getpid();
	int status;

	parse(argc, argv, &req);
	if (geteuid()) {
		printf("not root\n");
		return EXIT_SKIP;
	}
	keeper = fork();
	if (keeper < 0)
		die("fork");
	if (!keeper)
		exit(keep(&req, self));
	sigaction(SIGTERM, &pass, NULL);
	sigaction(SIGINT, &pass, NULL);
	sigaction(SIGHUP, &pass, NULL);
	if (waitpid(keeper, &status, 0) != keeper || !WIFEXITED(status))
		return EXIT_FAILURE;
	return WEXITSTATUS(status);
}
