/* SPDX-License-Identifier: MIT */
/*
 * sc_listing.c - calls that count the threads of a process: our stub is not among them.
 *
 * The stub is one thread more than the program knows of (stager.h), and there are programs that look: Chromium will not
 * start children when it finds a thread too many, others wait until /proc/self/task has one entry.  So what they are
 * told is put right at the end of the call: a directory of threads has no entry of the stub, and a link less.
 *
 * Directories are read by calls that are too many to stop at all of them.  So a task that opens a directory of threads is
 * followed from then on, call by call, until it closes it (or has made many calls without reading there).  Opened it must
 * be with O_DIRECTORY and without O_NOFOLLOW: so does opendir(), and not who goes through whole trees.  By fstatat() the
 * links can be had at once, from a descriptor of /proc that has been open since long ago; that one is followed, too.
 *
 * Called by on_stop.c.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sc.h"
#include "stager.h"
#include "sup.h"
#include "sys/procmaps.h"
#include "sys/tracee.h"

/* So many calls a task is followed on from when it has last read a directory of threads that it keeps open. */
#define OPEN_CALLS 1024

#define PATH_LEN 128 /* of a directory of threads there is no longer one, but by detours */

/* ---- is it one? ---- */

/* The beginning of a path in the program's memory, "" when it has none there. */
static void read_path(struct task *t, u64 addr, char *path, u64 len)
{
	u64 first = u64_min(len - 1, PAGE_SIZE - addr % PAGE_SIZE);

	memset(path, 0, len);
	if (space_read(t, addr, path, first))
		path[0] = '\0';
	else if (strlen(path) == first && first < len - 1 && space_read(t, addr + first, path + first, len - 1 - first))
		path[first] = '\0';
}

/* Cut off the last component of a path, and slashes behind it.  Returns it, "" when there is none. */
static const char *cut_last(char *path)
{
	size_t n = strlen(path);
	char *slash;

	while (n && path[n - 1] == '/')
		path[--n] = '\0';
	slash = strrchr(path, '/');
	if (!slash)
		return path;
	*slash = '\0';
	return slash + 1;
}

/* May it lead to a directory of threads?  It may be relative. */
static bool leads_to_threads(const char *name)
{
	char path[PATH_LEN];

	snprintf(path, sizeof(path), "%s", name);
	return !strcmp(cut_last(path), "task");
}

/* A directory of threads. */
struct threads {
	dev_t proc;  /* in which /proc it is */
	pid_t tgid;  /* whose threads, by its numbers; 0: the caller's own */
};

/* Is it one: `name`, from the directory that descriptor `fd` of `t` is of; with "", that directory itself? */
static bool are_threads(const struct task *t, u64 fd, const char *name, struct threads *of)
{
	char link[32], path[2 * PATH_LEN];
	const char *process;
	size_t n;

	if (!proc_fd_is_proc(t->tid, (int)fd, &of->proc))
		return false;
	snprintf(link, sizeof(link), "fd/%d", (int)fd);
	proc_link(t->tid, link, path, PATH_LEN);
	n = strlen(path);
	snprintf(path + n, sizeof(path) - n, "/%s", name);
	if (strcmp(cut_last(path), "task") != 0)
		return false;
	process = cut_last(path);
	of->tgid = (pid_t)strtol(process, NULL, 10);
	return of->tgid || !strcmp(process, "self");
}

/* The number of the stub among them; 0: there is none. */
static pid_t stub_among(const struct task *t, const struct threads *of)
{
	const struct stager *own = t->space->stager, *st;
	struct stat proc;

	if (!of->tgid)
		return own && own->tgid == t->tgid ? own->pid : 0;
	if (stat("/proc", &proc))
		return 0;
	if (of->proc != proc.st_dev) /* of another PID namespace */
		return own && own->pid ? proc_pid_beside(own->pid, of->tgid) : 0;
	list_for_each_entry(st, &t->space->sup->stagers, link)
		if (st->pid && st->tgid == of->tgid)
			return st->pid;
	return 0;
}

/* ---- what is told is put right ---- */

/* Take the entry named `pid` out.  Returns how many bytes there are left of `n`. */
static size_t drop_entry(u8 *entries, size_t n, size_t name_offset, pid_t pid)
{
	char name[16];
	size_t at = 0;
	u16 len;

	snprintf(name, sizeof(name), "%d", pid);
	for (; at + name_offset < n; at += len) {
		memcpy(&len, entries + at + offsetof(struct dirent64, d_reclen), sizeof(len));
		if (!len || at + len > n)
			break; /* another thread writes there */
		if (strncmp((const char *)entries + at + name_offset, name, len - name_offset) != 0)
			continue;
		memmove(entries + at, entries + at + len, n - at - len);
		return n - len;
	}
	return n;
}

/* It makes the same call once more. */
static void again(struct task *t)
{
	sc_again(&t->call.regs, sc_site(&t->call.regs));
	if (!tracee_set_regs(t->tid, &t->call.regs))
		t->listing.calls++;
}

static void set_entries(struct task *t, u64 buf, const u8 *entries, size_t n)
{
	if (!n) { /* it was the only one that there was room for: 0 would be the end */
		again(t);
	} else if (!space_write(t, buf, entries, n)) {
		sc_set_result(&t->call.regs, (long)n);
		(void)tracee_set_regs(t->tid, &t->call.regs);
	}
}

static void hide_entry(struct task *t)
{
	const sc_regs *regs = &t->call.regs;
	size_t n = (size_t)sc_result(regs), left;
	u64 buf = sc_arg(regs, 1);
	/* The old call has no byte for the type between length and name. */
	size_t name = offsetof(struct dirent64, d_name) - (sc_nr(regs) == SYS_getdents);
	struct threads of;
	u8 *entries;
	pid_t pid;

	if (!are_threads(t, sc_arg(regs, 0), "", &of))
		return;
	t->listing.calls = OPEN_CALLS;
	pid = stub_among(t, &of);
	if (!pid)
		return;
	entries = malloc(n);
	if (entries && !space_read(t, buf, entries, n)) {
		left = drop_entry(entries, n, name, pid);
		if (left < n)
			set_entries(t, buf, entries, left);
	}
	free(entries);
}

static void hide_link(struct task *t)
{
	const sc_regs *regs = &t->call.regs;
	bool at = sc_nr(regs) == SYS_newfstatat;
	u64 addr = sc_arg(regs, at ? 2 : 1) + offsetof(struct stat, st_nlink);
	char name[PATH_LEN] = "";
	struct threads of;
	nlink_t links;

	if (at)
		read_path(t, sc_arg(regs, 1), name, sizeof(name));
	if (!are_threads(t, sc_arg(regs, 0), name, &of))
		return;
	if (t->listing.stub_changes != t->space->sup->stub_changes) {
		again(t); /* who knows whether the kernel has counted it */
		return;
	}
	if (!stub_among(t, &of) || space_read(t, addr, &links, sizeof(links)))
		return;
	links--;
	(void)!space_write(t, addr, &links, sizeof(links));
}

static enum sc_verdict told_enter(struct sup *sup, struct task *t)
{
	if (sc_nr(&t->call.regs) == SYS_getdents || sc_nr(&t->call.regs) == SYS_getdents64)
		hide_entry(t);
	else
		hide_link(t);
	return SC_PASS;
}

/* The end of such a call, which waits for the mm's slot like a call: what it was told may be out by now. */
static const struct sc_row told = { .nr = -1, .name = "listing", .flags = SC_MM, .enter = told_enter };

/* ---- who is followed ---- */

enum sc_verdict sc_listing_enter(struct sup *sup, struct task *t)
{
	char path[PATH_LEN];

	read_path(t, sc_arg(&t->call.regs, t->call.row->nr != SYS_open), path, sizeof(path));
	if (leads_to_threads(path) && !t->listing.calls)
		t->listing = (struct listing){ .calls = 1, .fd = NO_FD };
	t->listing.stub_changes = sup->stub_changes;
	return SC_PASS;
}

static void opened(struct task *t, u64 fd)
{
	struct threads of;

	if (are_threads(t, fd, "", &of))
		t->listing = (struct listing){ .calls = OPEN_CALLS, .fd = fd };
}

bool sc_listing_told(struct task *t)
{
	struct listing *l = &t->listing;
	sc_regs regs;
	long result;

	if (tracee_at_entry(t->tid)) {
		l->stub_changes = t->space->sup->stub_changes;
		return false;
	}
	if (tracee_get_regs(t->tid, &regs))
		return false;
	l->calls--;
	result = sc_result(&regs);
	switch (sc_nr(&regs)) {
	case SYS_open:
	case SYS_openat:
		if (result >= 0)
			opened(t, (u64)result);
		return false;
	case SYS_close:
		if (!result && sc_arg(&regs, 0) == l->fd)
			l->calls = 0;
		return false;
	case SYS_getdents:
	case SYS_getdents64:
		if (result <= 0)
			return false;
		break;
	case SYS_fstat:
	case SYS_newfstatat:
		if (result)
			return false;
		break;
	default:
		return false;
	}
	t->call = (struct call){ .row = &told, .regs = regs };
	return true;
}
