/* SPDX-License-Identifier: MIT */
/*
 * sc_sched.c - the calls that could show a program that placement holds it.
 *
 * sched_getaffinity and sched_setaffinity of a held task are made to see and to change the program's own
 * mask: it is released before the call runs, and held again after its end at the earliest.
 */
#include "sc.h"

enum sc_verdict sc_affinity_enter(struct sup *sup, struct task *t)
{
	/* All are let go, not the target alone: in a pid namespace its number may name anybody. */
	placement_freeze(sup);
	t->call.froze = true;
	return SC_WATCH_FREE;
}

void sc_affinity_leave(struct sup *sup, struct task *t, long result)
{
	t->call.froze = false;
	placement_thaw(sup);
}
