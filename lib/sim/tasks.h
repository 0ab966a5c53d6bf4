/* SPDX-License-Identifier: MIT */
/*
 * tasks.h - the run's tasks and address spaces.  Called by stream.c only.
 */
#ifndef UPAGER_SIM_TASKS_H
#define UPAGER_SIM_TASKS_H

#include "sim/sim.h"

/* A world with one task that has just been exec'ed.  Never fails: a test has memory. */
struct sim *sim_create(u32 prefetch_max_pages, u32 cow_around);
/* All tasks exit; what is left over is a BUG(). */
void sim_destroy(struct sim *sim);

/* No injected failure any more. */
void sim_without_trouble(struct sim *sim);
/* The model said -ENOMEM: BUG() unless an allocation was made to fail; none is from now on. */
void sim_expect_alloc_failure(struct sim *sim);

/* The space of the task, or of the next one that lives. */
struct sim_space *sim_task_space(struct sim *sim, u32 task);
struct sim_space *sim_space_by_id(struct sim *sim, u32 id);

/* A task that used s is gone, or a command that touched its pages is done. */
void sim_space_put(struct sim_space *s);

struct sim_arm {
	bool populate; /* MAP_POPULATE: the kernel fills all of it first */
	bool quick;    /* another thread touches the first page before we arm it */
	bool write;    /* … with a store */
	bool adopt;    /* tell the model of what is there already */
};
/* Arm every managed page that is not armed yet. */
void sim_arm_new(struct sim_space *s, struct sim_arm how);

/* Give the model what /proc/PID/maps would say. */
void sim_reconcile(struct sim_space *s);

/* The task (an index of sim.task, living or not) gets a new image; nothing when no space is free. */
void sim_exec(struct sim *sim, u32 task);
struct sim_fork {
	bool join;  /* protect over small gaps */
	bool fails; /* the kernel refuses */
	bool eager; /* the child's pages are separated from the parent's at once */
};
/* Nothing when no slot is free. */
void sim_fork(struct sim_space *s, struct sim_fork how);
void sim_share(struct sim_space *s);
void sim_exit(struct sim *sim, u32 task);
/* The address space is gone: so are its tasks. */
void sim_exit_all_of(struct sim_space *s);

#endif /* UPAGER_SIM_TASKS_H */
