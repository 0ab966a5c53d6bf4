/* SPDX-License-Identifier: MIT */
/*
 * task.c - the threads of the tree, by tid.
 *
 * A task is made when we first hear of it (its own first stop or its parent's event, in either order)
 * and freed when its end is reported.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "sup.h"

int pidfd_of(pid_t tgid)
{
	return (int)syscall(SYS_pidfd_open, tgid, 0);
}

int pidfd_getfd_of(int pidfd, int fd)
{
	int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return copy < 0 ? -errno : copy;
}

static struct list_head *bucket(struct sup *sup, pid_t tid)
{
	return &sup->tasks[(u32)tid % TASK_BUCKETS];
}

struct task *task_find(struct sup *sup, pid_t tid)
{
	struct task *t;

	list_for_each_entry(t, bucket(sup, tid), link)
		if (t->tid == tid)
			return t;
	return NULL;
}

struct task *task_get(struct sup *sup, pid_t tid)
{
	struct task *t = task_find(sup, tid);

	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	BUG_ON(!t);
	t->tid = tid;
	t->pidfd = -1;
	t->state = TASK_NEWBORN;
	list_init(&t->wait_link);
	list_init(&t->vm_write_link);
	list_init(&t->placed.held_link);
	list_add(&t->link, bucket(sup, tid));
	sup->nr_tasks++;
	return t;
}

void task_free(struct sup *sup, struct task *t)
{
	list_del(&t->placed.held_link);
	list_del(&t->wait_link);
	list_del(&t->vm_write_link);
	list_del(&t->link);
	sup->nr_tasks--;
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t);
}

struct task *task_of_space(struct sup *sup, const struct space *space, const struct task *except)
{
	struct task *t;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (t->space == space && t != except)
				return t;
	return NULL;
}

struct task *task_beside(struct sup *sup, const struct task *of)
{
	struct task *t;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (t->tgid == of->tgid && t != of)
				return t;
	return NULL;
}

struct task *task_of_process(struct sup *sup, pid_t tgid)
{
	struct task *t;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			if (t->tgid == tgid && !t->exiting)
				return t;
	return NULL;
}
