/* SPDX-License-Identifier: MIT */
/*
 * dump.h - an address space as text, for people: `upager maps` and `upager run --dump-mm FILE`.
 *
 * In the manner of /proc/PID/smaps, from the model alone (the process may be gone).  Tests that compare
 * "before" and "after" use mm_dump() instead, which names no process and no file of this machine.
 */
#ifndef UPAGER_DUMP_H
#define UPAGER_DUMP_H

#include <stdio.h>
#include <sys/types.h>

struct space;
struct sup;
struct task;

/* mm_struct's fields, then each vma with its pages and rmap facts. */
void dump_space(struct space *space, FILE *f);
/* One line for each process of the run, after one that names the run. */
void dump_processes(struct sup *sup, FILE *f);

/* ---- --dump-mm ---- */

/* Open opt->dump_mm ("-": stderr) when it is asked for.  Returns 0, or 125 with one line said. */
int dump_open(struct sup *sup);
/*
 * Process t->tgid leaves its mm, by `why` ("exit" or "exec"); when it was the last to use it, the mm is written
 * as it was then.  Pre: t->space.
 */
void dump_last_use(struct sup *sup, const struct task *t, const char *why);
/* Write what is left of the world and close.  Returns 0, or 125 with one line said. */
int dump_close(struct sup *sup);

#endif /* UPAGER_DUMP_H */
