/* SPDX-License-Identifier: MIT */
/* client.c - see client.h.  Called by cmd_maps.c and cmd_ctl.c. */
#include "client.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "control.h"
#include "sys/procmaps.h"

#define ANSWER_SECONDS 10
#define ANSWER_MAX     (1UL << 30)

const char *client_name = "";

int client_complain(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "upager %s: ", client_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return 1;
}

int client_finish(int ret)
{
	if (fflush(stdout) || ferror(stdout))
		return client_complain("cannot write: %s", strerror(errno));
	return ret;
}

/* ---- asking one run ---- */

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

/* Nobody listens.  Does nobody listen yet?  A socket is there a little before it can be asked (control_open). */
static bool is_stale(const char *path)
{
	return !is_upager(atoi(strrchr(path, '/') + 1));
}

int client_connect(const char *path)
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
	if (err == ECONNREFUSED && is_stale(path))
		control_remove(path);
	return -err;
}

/*
 * All that comes until the end, terminated and allocated.  Returns 0, -ECONNRESET when the other end
 * went away, or -errno.
 */
static int read_all(int fd, char **text, size_t *len)
{
	size_t room = 65536;
	char *buf = malloc(room);
	int ret = -ENOMEM;

	*len = 0;
	while (buf) {
		ssize_t n = recv(fd, buf + *len, room - *len - 1, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || *len + (size_t)n > ANSWER_MAX) {
			ret = n < 0 ? -errno : -EFBIG;
			break;
		}
		*len += (size_t)n;
		buf[*len] = '\0';
		if (!n) {
			*text = buf;
			return 0;
		}
		if (room - *len < 2) {
			char *more = realloc(buf, room * 2);

			if (!more)
				break;
			buf = more;
			room *= 2;
		}
	}
	free(buf);
	return ret;
}

int client_request(int fd, const char *request, char **body)
{
	size_t len = 0, want = 0;
	char *answer = NULL, *rest;
	int ret = 0;

	*body = NULL;
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
		ret = errno == EPIPE ? -ECONNRESET : -errno;
	else
		ret = read_all(fd, &answer, &len);
	close(fd);
	if (ret)
		return ret;
	rest = strchr(answer, '\n');
	if (rest)
		*rest++ = '\0';
	if (rest && !strncmp(answer, "error ", 6)) {
		rest = answer + 6;
		ret = -EPROTO;
	} else if (!rest || sscanf(answer, "ok %zu", &want) != 1 || len - (size_t)(rest - answer) != want) {
		free(answer);
		return -ECONNRESET;
	}
	memmove(answer, rest, strlen(rest) + 1);
	*body = answer;
	return ret;
}

int client_failed(int err, pid_t front, const char *said)
{
	if (err == -EPROTO)
		return client_complain("%s", said);
	if (err == -ECONNRESET)
		return client_complain("run %d ended before it had answered", front);
	return client_complain("run %d does not answer", front);
}

int client_ask(int fd, pid_t front, const char *request)
{
	char *body;
	int ret = client_request(fd, request, &body);

	if (ret)
		ret = client_failed(ret, front, body);
	else
		fputs(body, stdout);
	free(body);
	return ret;
}

/* ---- finding it ---- */

pid_t client_pid(const char *text)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(text, &end, 10);
	if (!errno && text[0] >= '0' && text[0] <= '9' && !*end && pid >= 1 && pid <= INT_MAX)
		return (pid_t)pid;
	client_complain("bad pid '%s'", text);
	return -1;
}

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

/*
 * Returns a connection, or -errno: -ENOENT when `front` is no front; -EACCES when it is another
 * user's.
 */
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
		fd = client_connect(path);
		if (fd >= 0)
			return fd;
		if (fd != -ENOENT && fd != -ECONNREFUSED)
			ret = fd;
	}
	return ret;
}

int client_open(pid_t pid, pid_t *front, pid_t *process)
{
	pid_t tracer = proc_tracer(pid);
	int fd = connect_front(pid);

	*front = pid;
	*process = 0;
	if (fd == -ENOENT) {
		*front = proc_ppid(tracer > 0 ? tracer : pid);
		*process = tracer > 0 ? pid : 0;
		fd = connect_front(*front);
	}
	if (fd >= 0)
		return fd;
	if (tracer < 0)
		client_complain("there is no process %d", pid);
	else if (fd == -ENOENT)
		client_complain("process %d does not run under upager", pid);
	else
		client_complain("cannot ask the run of process %d: %s", pid, strerror(-fd));
	return -1;
}
