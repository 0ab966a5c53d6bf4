/* SPDX-License-Identifier: MIT */
/*
 * front.h - the process the user started: parent of PROG, face to the shell, guardian.
 *
 * A run is three processes.  The *front* (the pid the user knows) forks PROG and the supervisor, passes
 * signals on, stops when PROG is stopped, and ends as PROG ended.  The *supervisor* is PROG's tracer
 * and pager; it lives in a session of its own, out of reach of the terminal and of group kills.
 * Front and supervisor share one descriptor table (CLONE_FILES): if the supervisor dies, the
 * userfaultfds stay open until EXITKILL has ended the tree, so that nobody reads a wrong byte; if the
 * front dies, the supervisor ends the tree.
 */
#ifndef UPAGER_FRONT_H
#define UPAGER_FRONT_H

#include <signal.h>
#include <sys/types.h>

#include "control.h"
#include "options.h"
#include "plugin.h"

/* Shared by front, supervisor and PROG until its exec. */
struct run_shared {
	u64 secret;     /* marks the calls that the supervisor injects (sc_seccomp.c) */
	int listener;   /* PROG's descriptor of its filter's listener, until its exec; -1: none */
	int exec_errno; /* PROG's execve failed with this */
	const char *exec_what; /* what failed: a string literal */
	char control_path[CONTROL_PATH_MAX]; /* the run's socket; "": none */
	struct plugin_watch plugin; /* what the policy is doing, should it end the supervisor */
	struct {
		pid_t sender;
		u64 at_ns;
	} signals[_NSIG]; /* PROG's last delivery of each signal */
};

/*
 * Run PROG to its end under a supervisor.
 * Returns what upager is to exit with; does not return when PROG died of a signal (upager then dies
 * of the same).
 */
int front_run(const struct run_options *opt);

/* The supervisor saw PROG get `sig` from process `sender`. */
void front_note_signal(struct run_shared *shared, int sig, pid_t sender);

#endif /* UPAGER_FRONT_H */
