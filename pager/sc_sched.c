/* SPDX-License-Identifier: MIT */
/*
 * sc_sched.c - the calls that could show a program that placement holds it.
 *
 * sched_getaffinity and sched_setaffinity of a held task are made to see and to change the program's own
 * mask: it is released before the call runs, and may be held again later.
 */
#include "sc.h"

static enum sc_verdict release_target(struct sup *sup, struct task *t)
{
	pid_t pid = (pid_t)sc_arg(&t->call.regs, 0);
	struct task *target = pid ? task_find(sup, pid) : t;

	/* In a pid namespace of its own the number may name anybody: release all. */
	if (target && !pid)
		placement_release(sup, target);
	else
		placement_release_all(sup);
	return SC_PASS;
}

enum sc_verdict sc_sched_setaffinity_enter(struct sup *sup, struct task *t)
{
	return release_target(sup, t);
}

enum sc_verdict sc_sched_getaffinity_enter(struct sup *sup, struct task *t)
{
	return release_target(sup, t);
}
