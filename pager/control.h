/* SPDX-License-Identifier: MIT */
/*
 * control.h - the socket by which a run in progress is asked.
 *
 * Each run has one: a unix stream socket, mode 0600, named by the front's pid (the pid the user knows), in
 * a folder of mode 0700 that belongs to the user of the run.  One request a connection: a line of text;
 * the answer is "ok LENGTH\n" and that many bytes, or "error WHY\n"; then the connection is closed.
 *
 * The server (control.c) lives in the supervisor's ring and never waits: a client that does not speak or
 * does not read is dropped after RING_PEER_SECONDS.  The client is client.c.  The socket goes away with the
 * run: the supervisor removes it, and the front once more should the supervisor have been killed.  What a
 * kill of both leaves is removed by the next one who looks.
 */
#ifndef UPAGER_CONTROL_H
#define UPAGER_CONTROL_H

#include <limits.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/base.h"

struct control;
struct ring_event;
struct sup;

#define CONTROL_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/* A request with its newline: two words, of which one may be a path. */
#define CONTROL_REQUEST_MAX (PATH_MAX + 512)

/* Ring tags: this one the listening socket's, with an id below 2^32 or-ed in a client's. */
#define TAG_CONTROL (3ULL << 32)

static inline bool tag_is_control(u64 tag)
{
	return tag >> 32 == TAG_CONTROL >> 32;
}

/*
 * Open the run's socket and poll it; `path` gets where it stands.
 * Returns NULL, with path empty, when no folder for it can be had: the run does without.
 */
struct control *control_open(struct sup *sup, pid_t front, char path[CONTROL_PATH_MAX]);
/* A completion whose tag is one of ours. */
void control_event(struct sup *sup, const struct ring_event *ev);
/* Drop all clients.  The ring must have been ended.  control: may be NULL. */
void control_close(struct control *control);

/* Remove a socket, and its folder when it was the last.  path: "" is nothing. */
void control_remove(const char *path);

/*
 * The i-th folder in which a user's runs may have their sockets, the server's first choice first.
 * Returns false when there are no more.
 */
bool control_dir(uid_t uid, int i, char dir[CONTROL_PATH_MAX]);
/* Is it a folder that only `uid` can write to?  Else nothing in it is to be believed. */
bool control_dir_is_safe(const char *dir, uid_t uid);

#endif /* UPAGER_CONTROL_H */
