/* SPDX-License-Identifier: MIT */
/*
 * plugin_watch.c - what is done about a plug-in that crashes or does not return.
 *
 * Nothing of the process can be trusted then, so nothing is tried inside of it: it dies, with its
 * core dump if those are on, and the front, which outlives it, reads in struct plugin_watch what it
 * was doing. Called by plugin_open.c (the watchdog) and front.c (the epitaph).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "plugin_impl.h"

#define CHECKS_A_SECOND 4

/*
 * It counts its own wake-ups, not the time: when the whole process was stopped or the machine
 * slept, a call has lasted long but was not given its time.
 */
static void *watch_calls(void *arg)
{
	struct watchdog *dog = arg;
	struct plugin_watch *w = dog->watch;
	unsigned int same = 0;
	u64 last = 0;

	for (;;) {
		struct timespec until;
		u64 calls;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 1000000000 / CHECKS_A_SECOND;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (!sem_clockwait(&dog->stop, CLOCK_MONOTONIC, &until))
			return NULL;
		calls = __atomic_load_n(&w->calls, __ATOMIC_RELAXED);
		same = __atomic_load_n(&w->call, __ATOMIC_ACQUIRE) && calls == last ? same + 1 : 0;
		last = calls;
		if (same > PLUGIN_STUCK_SECONDS * CHECKS_A_SECOND) {
			w->stuck = true;
			(void)kill(getpid(), SIGKILL);
		}
	}
}

int watchdog_start(struct watchdog *dog, struct plugin_watch *watch)
{
	int ret;

	dog->watch = watch;
	if (sem_init(&dog->stop, 0, 0))
		return -errno;
	ret = pthread_create(&dog->thread, NULL, watch_calls, dog);
	dog->started = !ret;
	return -ret;
}

void watchdog_stop(struct watchdog *dog)
{
	if (!dog->started)
		return;
	sem_post(&dog->stop);
	pthread_join(dog->thread, NULL);
	sem_destroy(&dog->stop);
	dog->started = false;
}

bool plugin_epitaph(const struct plugin_watch *watch, int wait_status, char *text, size_t len)
{
	if (!watch->call)
		return false;
	if (watch->stuck)
		snprintf(text, len, "policy %s did not return from %s() for %d seconds",
			 watch->name, watch->call, PLUGIN_STUCK_SECONDS);
	else if (WIFSIGNALED(wait_status))
		snprintf(text, len, "policy %s crashed in %s() (%s)", watch->name, watch->call,
			 strsignal(WTERMSIG(wait_status)));
	else
		snprintf(text, len, "policy %s ended the process in %s() (exit %d)", watch->name,
			 watch->call, WEXITSTATUS(wait_status));
	return true;
}
