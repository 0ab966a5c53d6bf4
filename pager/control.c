/* SPDX-License-Identifier: MIT */
/*
 * control.c - see control.h.  The server's half, and where sockets are.
 *
 * A client goes   accept -> recv (until its line is whole) -> send -> close;   one operation of the ring is
 * in flight for it at any time, so its completion alone decides what is next, and who frees it.
 */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "dump.h"
#include "reclaim.h"
#include "sup.h"

#define MAX_CLIENTS 32

struct client {
	struct list_head link; /* control.clients */
	u32 id;
	int fd;
	bool answered;         /* the send is in flight */
	size_t got;            /* bytes of request */
	char request[CONTROL_REQUEST_MAX];
	char *answer;          /* owned */
};

/* Owned by the supervisor. */
struct control {
	struct sup *sup;
	int listener;
	struct list_head clients;
	u32 nr_clients;
	u32 last_id;
};

/* ---- where ---- */

bool control_dir(uid_t uid, int i, char dir[CONTROL_PATH_MAX])
{
	const char *xdg = uid && uid == geteuid() ? getenv("XDG_RUNTIME_DIR") : NULL;
	int n;

	switch (i) {
	case 0:
		n = snprintf(dir, CONTROL_PATH_MAX, "%s/upager", xdg && *xdg == '/' ? xdg : "/run");
		break;
	case 1:
		n = snprintf(dir, CONTROL_PATH_MAX, "/run/user/%u/upager", uid);
		break;
	case 2:
		n = snprintf(dir, CONTROL_PATH_MAX, "/tmp/upager-%u", uid);
		break;
	default:
		return false;
	}
	if (n >= (int)CONTROL_PATH_MAX - 12) /* a slash and a pid must fit */
		dir[0] = '\0';
	return true;
}

bool control_dir_is_safe(const char *dir, uid_t uid)
{
	struct stat st;

	return !lstat(dir, &st) && S_ISDIR(st.st_mode) && st.st_uid == uid && !(st.st_mode & 077);
}

void control_remove(const char *path)
{
	char dir[CONTROL_PATH_MAX];
	char *slash;

	if (!*path)
		return;
	(void)unlink(path);
	strcpy(dir, path);
	slash = strrchr(dir, '/');
	*slash = '\0';
	(void)rmdir(dir); /* not the last one: it stays */
}

/* Bind in `dir`.  Returns 0 or -errno. */
static int bind_in(int fd, const char *dir, pid_t front, struct sockaddr_un *sa)
{
	mode_t mask;
	int ret;

	mask = umask(077); /* the user's might take even our own rights away */
	ret = mkdir(dir, 0700) && errno != EEXIST ? -errno : 0;
	umask(mask);
	if (ret)
		return ret;
	if (!control_dir_is_safe(dir, geteuid()))
		return -EPERM;
	sa->sun_family = AF_UNIX;
	if (snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/%d", dir, front) >=
	    (int)sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	(void)unlink(sa->sun_path); /* of a dead run, whose front had our pid */
	mask = umask(0177);
	ret = bind(fd, (struct sockaddr *)sa, sizeof(*sa)) ? -errno : 0;
	umask(mask);
	return ret;
}

/* Returns 0 or -errno; the last run to end in a folder removes it, perhaps just before we bind. */
static int bind_somewhere(int fd, pid_t front, char path[CONTROL_PATH_MAX])
{
	struct sockaddr_un sa = { 0 };
	char dir[CONTROL_PATH_MAX];
	int ret = -ENOENT;

	for (int i = 0; control_dir(geteuid(), i, dir); i++) {
		for (int try = 0; *dir && try < 3; try++) {
			ret = bind_in(fd, dir, front, &sa);
			if (!ret) {
				strcpy(path, sa.sun_path);
				return 0;
			}
			if (ret != -ENOENT)
				break;
		}
	}
	return ret;
}

struct control *control_open(struct sup *sup, pid_t front, char path[CONTROL_PATH_MAX])
{
	struct control *c = calloc(1, sizeof(*c));

	path[0] = '\0';
	if (!c)
		return NULL;
	c->sup = sup;
	list_init(&c->clients);
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listener < 0)
		goto free;
	if (bind_somewhere(c->listener, front, path))
		goto close;
	if (listen(c->listener, MAX_CLIENTS))
		goto remove;
	ring_poll(&sup->ring, c->listener, TAG_CONTROL);
	return c;
remove:
	control_remove(path);
	path[0] = '\0';
close:
	close(c->listener);
free:
	free(c);
	return NULL;
}

/* ---- clients ---- */

static void client_free(struct control *c, struct client *cl)
{
	list_del(&cl->link);
	c->nr_clients--;
	close(cl->fd);
	free(cl->answer);
	free(cl);
}

void control_close(struct control *c)
{
	struct client *cl, *tmp;

	if (!c)
		return;
	list_for_each_entry_safe(cl, tmp, &c->clients, link)
		client_free(c, cl);
	close(c->listener);
	free(c);
}

static void client_recv(struct control *c, struct client *cl)
{
	ring_recv(&c->sup->ring, cl->fd, cl->request + cl->got, sizeof(cl->request) - cl->got,
		  TAG_CONTROL | cl->id);
}

static void on_connections(struct control *c)
{
	for (;;) {
		/* Blocking, so that the ring waits for it. */
		int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC);
		struct client *cl;

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return; /* none, or no descriptor: they wait for the next one's wake-up */
		cl = c->nr_clients < MAX_CLIENTS ? calloc(1, sizeof(*cl)) : NULL;
		if (!cl) {
			close(fd);
			continue;
		}
		cl->fd = fd;
		cl->id = ++c->last_id ? c->last_id : ++c->last_id;
		list_add_tail(&cl->link, &c->clients);
		c->nr_clients++;
		client_recv(c, cl);
	}
}

/* ---- requests ---- */

/* Each writes its answer to `out`, or one line that says why not to `why`, and returns false. */
static bool answer_maps(struct sup *sup, const char *arg, FILE *out, char *why, size_t size)
{
	char *end;
	long pid = strtol(arg, &end, 10);
	struct task *t;

	if (end == arg || *end || pid < 0 || pid > INT32_MAX) {
		snprintf(why, size, "bad pid '%s'", arg);
		return false;
	}
	t = task_find(sup, pid ? (pid_t)pid : sup->root);
	if (!t || !t->space) {
		snprintf(why, size, "process %ld has no memory of its own%s", pid ? pid : sup->root,
			 t ? " yet" : " any more");
		return false;
	}
	dump_space(t->space, out);
	return true;
}

static bool answer_list(struct sup *sup, const char *arg, FILE *out, char *why, size_t size)
{
	dump_processes(sup, out);
	return true;
}

/* KEY=VALUE: change that; empty: show all. */
static bool answer_ctl(struct sup *sup, const char *arg, FILE *out, char *why, size_t size)
{
	size_t key = strcspn(arg, "=");
	const char *value = arg[key] ? arg + key + 1 : "";
	u64 bytes;

	if (!*arg) {
		reclaim_show(sup, out);
		return true;
	}
	if (key == 6 && !strncmp(arg, "memory", key))
		return !parse_memory(value, &bytes, why, size) &&
		       !reclaim_set_memory(sup, bytes, why, size);
	if (key == 6 && !strncmp(arg, "policy", key))
		return !reclaim_set_policy(sup, value, why, size);
	snprintf(why, size, "unknown setting '%.*s'", (int)key, arg);
	return false;
}

static const struct {
	const char *name;
	bool (*answer)(struct sup *sup, const char *arg, FILE *out, char *why, size_t size);
} requests[] = {
	{ "maps", answer_maps }, /* PID; 0: PROG's own */
	{ "list", answer_list },
	{ "ctl", answer_ctl }, /* KEY=VALUE or nothing */
};

/* Returns an allocated answer without its head, and its length; NULL: refused, see `why`. */
static char *make_answer(struct sup *sup, char *line, size_t *len, char *why, size_t size)
{
	char *arg = strchr(line, ' ');
	char *text = NULL;
	FILE *out;

	if (arg)
		*arg++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
		bool ok;

		if (strcmp(line, requests[i].name))
			continue;
		out = open_memstream(&text, len);
		BUG_ON(!out);
		ok = requests[i].answer(sup, arg ? arg : "", out, why, size);
		if (fclose(out)) {
			snprintf(why, size, "out of memory");
			ok = false;
		}
		if (ok)
			return text;
		free(text);
		return NULL;
	}
	snprintf(why, size, "unknown request '%s'", line);
	return NULL;
}

/* The whole reply, allocated.  line: the request; NULL: it was too long. */
static char *make_reply(struct sup *sup, char *line, size_t *reply_len)
{
	char why[CONTROL_REQUEST_MAX + 64] = "request too long";
	size_t len = 0;
	char *text = line ? make_answer(sup, line, &len, why, sizeof(why)) : NULL;
	char *reply = NULL;
	FILE *out = open_memstream(&reply, reply_len);

	BUG_ON(!out);
	if (text) {
		fprintf(out, "ok %zu\n", len);
		fwrite(text, 1, len, out);
	} else {
		fprintf(out, "error %s\n", why);
	}
	free(text);
	if (!fclose(out))
		return reply;
	free(reply);
	return NULL;
}

static void client_answer(struct control *c, struct client *cl, char *line)
{
	size_t len;

	cl->answer = make_reply(c->sup, line, &len);
	if (!cl->answer) { /* no memory for it: the client sees that nothing comes */
		client_free(c, cl);
		return;
	}
	cl->answered = true;
	ring_send(&c->sup->ring, cl->fd, cl->answer, len, TAG_CONTROL | cl->id);
}

static void on_client(struct control *c, struct client *cl, int res)
{
	char *eol;

	if (res <= 0 || cl->answered) { /* gone, too slow, or served */
		client_free(c, cl);
		return;
	}
	cl->got += (size_t)res;
	eol = memchr(cl->request, '\n', cl->got);
	if (eol) {
		*eol = '\0';
		client_answer(c, cl, cl->request);
	} else if (cl->got == sizeof(cl->request)) {
		client_answer(c, cl, NULL);
	} else {
		client_recv(c, cl);
	}
}

void control_event(struct sup *sup, const struct ring_event *ev)
{
	struct control *c = sup->control;
	struct client *cl;

	if (ev->tag == TAG_CONTROL) {
		if (!ev->more)
			ring_poll(&sup->ring, c->listener, TAG_CONTROL);
		on_connections(c);
		return;
	}
	list_for_each_entry(cl, &c->clients, link) {
		if ((TAG_CONTROL | cl->id) == ev->tag) {
			on_client(c, cl, ev->res);
			return;
		}
	}
}
