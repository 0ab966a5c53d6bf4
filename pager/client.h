/* SPDX-License-Identifier: MIT */
/*
 * client.h - asking a run in progress: the other end of control.h, for `upager maps` and `upager
 * ctl`.
 *
 * A run is named by its front's pid; from any other process of it the way is /proc: its tracer is
 * the supervisor, whose parent is the front.
 */
#ifndef UPAGER_CLIENT_H
#define UPAGER_CLIENT_H

#include <sys/types.h>

#include "base/base.h"

/* The sub-command that heads each complaint; set before anything else here is called. */
extern const char *client_name;

/* One line on standard error.  Returns 1, a command's exit status for "it could not be done". */
int client_complain(const char *fmt, ...) printf_like(1, 2);

/* A pid as the user wrote it.  Returns it, or -1 with one line said. */
pid_t client_pid(const char *text);

/*
 * Connect to the run that process `pid` is of.  *front: the run's name; *process: pid, or 0 when it
 * is one of upager's own, which stands for PROG.  Returns a descriptor, or -1 with one line said.
 */
int client_open(pid_t pid, pid_t *front, pid_t *process);

/*
 * Connect to a socket.  Returns a descriptor or -errno; one that nobody serves any more is removed.
 */
int client_connect(const char *path);

/*
 * Ask a run on its socket's descriptor, which is closed.  request: a line with its newline.
 *
 * Returns 0, and *body is what it says (text, allocated); -EPROTO, and *body is why it will not; -ECONNRESET: it ended
 * before it had answered; another -errno: it does not answer.  *body is NULL then.
 */
int client_request(int fd, const char *request, char **body);

/* Say in one line what client_request() returned, with the body then.  Returns 1. */
int client_failed(int err, pid_t front, const char *said);

/*
 * Ask the run `front` on its socket's descriptor, which is closed, and print what it says.
 * request: a line with its newline.  Returns 0, or 1 with one line said.
 */
int client_ask(int fd, pid_t front, const char *request);

/* Have all been written that was printed?  Returns ret, or 1 with one line said. */
int client_finish(int ret);

#endif /* UPAGER_CLIENT_H */
