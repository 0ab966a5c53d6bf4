/* SPDX-License-Identifier: MIT */
/*
 * cmd_maps.c - `upager maps [PID]`: show the memory of a process of a run in progress.
 *
 * The client of control.h.  A run is named by its front's pid; from any other process of it the way is
 * /proc: its tracer is the supervisor, whose parent is the front.
 */
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "commands.h"
#include "control.h"
#include "sys/procmaps.h"

#define ANSWER_SECONDS 10
#define ANSWER_MAX     (1UL << 30)

static int complain(const char *fmt, ...) printf_like(1, 2);
static int complain(const char *fmt, ...)
{
	va_list ap;

	fputs("upager maps: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

/* ---- asking one run ---- */

/* Connect to a socket.  Returns a descriptor or -errno; one that nobody serves any more is removed. */
static int connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	strncpy(sa.sun_path, path, sizeof(sa.sun_path) - 1);
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return fd;
	err = errno;
	close(fd);
	if (err == ECONNREFUSED)
		control_remove(path);
	return -err;
}

/* All that comes until the end, terminated and allocated; NULL with errno set. */
static char *read_all(int fd, size_t *len)
{
	size_t room = 65536;
	char *buf = malloc(room);

	*len = 0;
	while (buf) {
		ssize_t n = recv(fd, buf + *len, room - *len - 1, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || *len + (size_t)n > ANSWER_MAX) {
			buf[*len] = '\0';
			if (!n)
				return buf;
			break;
		}
		*len += (size_t)n;
		if (room - *len < 2) {
			char *more = realloc(buf, room * 2);

			if (!more)
				break;
			buf = more;
			room *= 2;
		}
	}
	free(buf);
	return NULL;
}

/*
 * Ask the run `front` on its socket's descriptor, which is closed, and print what it says.
 * Returns 0, or 1 with one line said.
 */
static int ask(int fd, pid_t front, const char *request)
{
	size_t len = 0, want = 0;
	char *answer = NULL, *body;
	int ret;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request))
		answer = read_all(fd, &len);
	close(fd);
	if (!answer)
		return complain("run %d does not answer", front);
	body = strchr(answer, '\n');
	if (body)
		*body++ = '\0';
	if (body && sscanf(answer, "ok %zu", &want) == 1 && len - (size_t)(body - answer) == want) {
		fwrite(body, 1, want, stdout);
		ret = 0;
	} else if (body && !strncmp(answer, "error ", 6)) {
		ret = complain("%s", answer + 6);
	} else {
		ret = complain("run %d ended before it had answered", front);
	}
	free(answer);
	return ret;
}

/* ---- finding it ---- */

static bool owner_of(pid_t pid, uid_t *uid)
{
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st))
		return false;
	*uid = st.st_uid;
	return true;
}

static bool is_upager(pid_t pid)
{
	char path[32], comm[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	(void)!fgets(comm, sizeof(comm), f);
	fclose(f);
	return !strncmp(comm, "upager", 6);
}

/* Returns a connection, or -errno: -ENOENT when `front` is no front; -EACCES when it is another user's. */
static int connect_front(pid_t front)
{
	char path[CONTROL_PATH_MAX + 16];
	char dir[CONTROL_PATH_MAX];
	int ret = -ENOENT;
	uid_t uid;

	if (front <= 0 || !owner_of(front, &uid))
		return -ENOENT;
	if (geteuid() && geteuid() != uid)
		return is_upager(front) ? -EACCES : -ENOENT;
	for (int i = 0; control_dir(uid, i, dir); i++) {
		int fd;

		if (!control_dir_is_safe(dir, uid))
			continue;
		snprintf(path, sizeof(path), "%s/%d", dir, front);
		fd = connect_to(path);
		if (fd >= 0)
			return fd;
		if (fd != -ENOENT && fd != -ECONNREFUSED)
			ret = fd;
	}
	return ret;
}

static int maps_of(pid_t pid)
{
	pid_t front = pid, tracer = proc_tracer(pid);
	char request[32] = "maps 0\n"; /* upager's own pid: the program's */
	int fd = connect_front(pid);

	if (fd == -ENOENT) {
		front = proc_ppid(tracer > 0 ? tracer : pid);
		fd = connect_front(front);
		if (tracer > 0)
			snprintf(request, sizeof(request), "maps %d\n", pid);
	}
	if (fd >= 0)
		return ask(fd, front, request);
	if (tracer < 0)
		return complain("there is no process %d", pid);
	if (fd == -ENOENT)
		return complain("process %d does not run under upager", pid);
	return complain("cannot ask the run of process %d: %s", pid, strerror(-fd));
}

/* ---- all runs ---- */

/* Those of one folder; *nr counts them.  Returns 0, or 1 when one could not be asked. */
static int list_dir(const char *dir, int *nr)
{
	char path[CONTROL_PATH_MAX + sizeof(((struct dirent *)0)->d_name)];
	struct dirent *e;
	DIR *d = opendir(dir);
	int ret = 0;

	while (d && (e = readdir(d))) {
		pid_t front = atoi(e->d_name);
		int fd;

		if (front <= 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		fd = connect_to(path);
		if (fd < 0)
			continue; /* it has just ended */
		if ((*nr)++)
			putchar('\n');
		printf("run %d: ", front);
		ret |= ask(fd, front, "list\n");
	}
	if (d)
		closedir(d);
	return ret;
}

static int list_user(uid_t uid, int *nr)
{
	char dir[CONTROL_PATH_MAX];
	int ret = 0;

	for (int i = 0; control_dir(uid, i, dir); i++)
		if (control_dir_is_safe(dir, uid))
			ret |= list_dir(dir, nr);
	return ret;
}

/* For root: the folders of other users, where they are unless XDG_RUNTIME_DIR said otherwise. */
static int list_others(int *nr)
{
	struct stat st;
	glob_t g;
	int ret = 0;

	if (glob("/run/user/*/upager", 0, NULL, &g) && errno == ENOMEM)
		return complain("out of memory");
	(void)glob("/tmp/upager-*", GLOB_APPEND, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc; i++)
		if (!lstat(g.gl_pathv[i], &st) && st.st_uid &&
		    control_dir_is_safe(g.gl_pathv[i], st.st_uid))
			ret |= list_dir(g.gl_pathv[i], nr);
	globfree(&g);
	return ret;
}

static int list_runs(void)
{
	int nr = 0, ret = list_user(geteuid(), &nr);

	if (!geteuid())
		ret |= list_others(&nr);
	if (!nr)
		puts("no runs in progress");
	return ret;
}

/* ---- the command ---- */

static void usage(void)
{
	fputs("Usage: upager maps [PID]\n\n"
	      "Show the memory of process PID of a run in progress as upager's model has it: mm_struct, then\n"
	      "each mapping in the manner of /proc/PID/smaps with its anon_vma: its id, its degree (children and\n"
	      "active vmas), how many anon_vmas the vma hangs on, how many vmas a reverse walk reaches.\n"
	      "Shared: pages whose frame is mapped more than once. WriteProtected: the next write comes to upager.\n"
	      "Zero: pages that map the zero page. VmFlags has smaps' letters, then -u: left to the kernel.\n"
	      "PID may be any process or thread of the run; that of upager itself means the program it runs.\n\n"
	      "Without PID: list the runs in progress and their processes.\n\n"
	      "Exits 0; 1 when there is nothing to show; 125 for a wrong command line.\n", stdout);
}

int cmd_maps(int argc, char **argv)
{
	char *end;
	long pid;
	int ret;

	if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage();
		return 0;
	}
	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		complain("wrong arguments; see upager maps --help");
		return EXIT_UPAGER;
	}
	if (argc == 2) {
		errno = 0;
		pid = strtol(argv[1], &end, 10);
		if (errno || argv[1][0] < '0' || argv[1][0] > '9' || *end || pid < 1 || pid > INT_MAX) {
			complain("bad pid '%s'", argv[1]);
			return EXIT_UPAGER;
		}
		ret = maps_of((pid_t)pid);
	} else {
		ret = list_runs();
	}
	if (fflush(stdout) || ferror(stdout))
		return complain("cannot write: %s", strerror(errno));
	return ret;
}
