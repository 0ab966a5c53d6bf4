/* SPDX-License-Identifier: MIT */
/*
 * loop.c - the supervisor's life: start, one wait, dispatch, end.
 *
 * The one wait is an io_uring that polls every userfaultfd, the signals (a child stopped; we are to
 * end) and a timer.  Nothing else blocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "commands.h"
#include "control.h"
#include "dump.h"
#include "front.h"
#include "reclaim.h"
#include "sc.h"
#include "stager.h"
#include "sup.h"
#include "sys/caps.h"
#include "sys/remote.h"
#include "sys/uffd.h"

/* Ring tags (3 is TAG_CONTROL, control.h); below them: a space's id. */
#define TAG_SIGNAL (1ULL << 32)
#define TAG_TICK   (2ULL << 32)

#define EVENT_BATCH  64
#define BURST_READS  8
#define TICK_NS	     1000000

/* ---- the timer ---- */

static void tick_arm(struct sup *sup, bool on)
{
	struct itimerspec its = { { 0, on ? TICK_NS : 0 }, { 0, on ? TICK_NS : 0 } };

	sup->ticking = on;
	if (timerfd_settime(sup->tickfd, 0, &its, NULL))
		BUG("timerfd_settime: error %d", errno);
}

void sup_need_tick(struct sup *sup)
{
	if (!sup->ticking)
		tick_arm(sup, true);
}

/* ---- ending ---- */

static void kill_tree(struct sup *sup)
{
	struct task *t;

	for (int i = 0; i < TASK_BUCKETS; i++)
		list_for_each_entry(t, &sup->tasks[i], link)
			(void)kill(t->tid, SIGKILL);
}

static void end_tree(struct sup *sup)
{
	sup->ending = true;
	kill_tree(sup);
	sup_need_tick(sup); /* tasks that are being born meanwhile are killed at the next tick */
}

void sup_fail(struct sup *sup, const char *fmt, ...)
{
	va_list ap;

	fputs("upager: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	sup->failed = true;
	end_tree(sup);
}

static void on_tick(struct sup *sup)
{
	struct space *s, *tmp;
	bool again;
	u64 n;

	(void)!read(sup->tickfd, &n, sizeof(n));
	if (sup->ending)
		kill_tree(sup);
	reclaim_tick(sup);
	list_for_each_entry_safe(s, tmp, &sup->spaces, link) {
		faults_retry(s);
		exits_retry(s);
		if (s->fork_waits && !s->caller)
			space_call_done(s);
	}
	reclaim_work(sup);
	again = placement_tick(sup, now_ns()) || sup->ending || reclaim_waits(sup);
	list_for_each_entry(s, &sup->spaces, link)
		again |= !list_empty(&s->parked) || !list_empty(&s->exit_waiters) ||
			 s->fork_waits;
	if (!again)
		tick_arm(sup, false);
}

/* ---- dispatch ---- */

#define STOP_BATCH 256

/*
 * Collect every stop that there is before the first is answered: waitpid() prefers some tasks to others,
 * and those, resumed at once, could keep the rest from ever being served.  Besides, who stopped at a wait must
 * find its dead children (sc_wait_enter).
 */
static void drain_stops(struct sup *sup)
{
	u32 n = 0;

	for (;;) {
		struct tracee_stop s = tracee_next();

		if (s.event == TE_NONE || s.event == TE_NO_TASKS)
			break;
		if (n == sup->max_stops) {
			u32 max = n ? 2 * n : STOP_BATCH;

			sup->stops = realloc(sup->stops, max * sizeof(s));
			BUG_ON(!sup->stops);
			sup->max_stops = max;
		}
		sup->stops[n++] = s;
	}
	for (u32 i = 0; i < n; i++)
		on_stop(sup, sup->stops[i]);
}

static void on_signal(struct sup *sup)
{
	struct signalfd_siginfo info[8];
	ssize_t n = read(sup->sigfd, info, sizeof(info));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(info[0]); i++)
		if (info[i].ssi_signo != SIGCHLD)
			end_tree(sup); /* the front is gone, or somebody ends us */
	drain_stops(sup);
}

static void dispatch(struct sup *sup, const struct ring_event *ev)
{
	struct space *space;

	if (reclaim_event(sup, ev)) {
		return;
	} else if (ev->tag == TAG_SIGNAL) {
		if (!ev->more)
			ring_poll(&sup->ring, sup->sigfd, TAG_SIGNAL);
		on_signal(sup);
	} else if (ev->tag == TAG_TICK) {
		if (!ev->more)
			ring_poll(&sup->ring, sup->tickfd, TAG_TICK);
		on_tick(sup);
	} else if (tag_is_control(ev->tag)) {
		control_event(sup, ev);
	} else {
		space = space_by_id(sup, (u32)ev->tag);
		if (!space || ev->res == -ECANCELED)
			return;
		if (!ev->more)
			ring_poll(&sup->ring, space->uffd, ev->tag);
		if (on_uffd(space))
			sup->burst = space->id;
	}
}

void sup_queue(struct sup *sup, const struct ring_event *ev)
{
	if (sup->nr_queued == sup->max_queued) {
		u32 max = sup->max_queued ? 2 * sup->max_queued : EVENT_BATCH;

		sup->queue = realloc(sup->queue, max * sizeof(*ev));
		BUG_ON(!sup->queue);
		sup->max_queued = max;
	}
	sup->queue[sup->nr_queued++] = *ev;
}

struct ring_event sup_unqueue(struct sup *sup, u32 i)
{
	struct ring_event ev = sup->queue[i];

	memmove(sup->queue + i, sup->queue + i + 1, (--sup->nr_queued - i) * sizeof(ev));
	return ev;
}

/* Handling one may take others out of the middle (reclaim_pump), or bring new ones. */
static void dispatch_queue(struct sup *sup)
{
	while (sup->nr_queued) {
		struct ring_event ev = sup_unqueue(sup, 0);

		dispatch(sup, &ev);
	}
}

/* The stubs were killed: take their ends. */
static void collect_stubs(struct sup *sup)
{
	struct stager *st, *tmp;

	drain_stops(sup);
	reclaim_put_spaces(sup);
	list_for_each_entry_safe(st, tmp, &sup->stagers, link)
		if (!st->pid && !st->jobs)
			stager_end(st);
}

/* Calls that reclaim_work() starts may have put events into the queue (reclaim_pump): those are not slept on. */
static void wait_and_dispatch(struct sup *sup)
{
	struct ring_event ev[EVENT_BATCH];
	bool due = sup->nr_queued || reclaim_due(sup);
	int n;

	reclaim_kick(sup);
	n = ring_wait(&sup->ring, ev, EVENT_BATCH, due ? 0 : UINT64_MAX);

	for (int i = 0; i < n; i++)
		sup_queue(sup, &ev[i]);
	dispatch_queue(sup);
}

/*
 * A thread on our CPU that we wake preempts us, and when we run on it has faulted again: then its next fault can be had
 * without the ring.  No more than BURST_READS in a row, for all others are served by the ring.
 */
static void serve_burst(struct sup *sup)
{
	for (int i = 0; i < BURST_READS && sup->burst && !sup->nr_queued && !reclaim_due(sup); i++) {
		struct space *space = space_by_id(sup, sup->burst);

		if (!space || !on_uffd(space))
			break;
		reclaim_work(sup);
	}
	sup->burst = 0;
}

static void run_loop(struct sup *sup)
{
	while (sup->nr_tasks) {
		wait_and_dispatch(sup);
		reclaim_work(sup);
		serve_burst(sup);
	}
	orphans_drop(sup);
	while (!list_empty(&sup->stagers)) { /* the packer may still read for one */
		wait_and_dispatch(sup);
		collect_stubs(sup);
	}
}

/* ---- start ---- */

static u64 read_sysctl(const char *path, u64 otherwise)
{
	FILE *f = fopen(path, "re");
	unsigned long v;

	if (!f)
		return otherwise;
	if (fscanf(f, "%lu", &v) != 1)
		v = otherwise;
	fclose(f);
	return v;
}

static int say(const char *what, int err)
{
	fprintf(stderr, "upager: cannot %s: %s (upager doctor tells more)\n", what, strerror(err));
	return EXIT_UPAGER;
}

static int check_machine(struct sup *sup)
{
	struct caps caps;
	const char *blocker;

	caps_detect_run(&caps);
	blocker = caps_blocker(&caps);
	if (blocker) {
		fprintf(stderr, "upager: this machine cannot run programs under upager: %s\n",
			blocker);
		return EXIT_UPAGER;
	}
	sup->uffd_features = UFFD_FEATURES_REQUIRED |
			     (caps.uffd_features & (UFFD_FEATURE_MOVE | UFFD_FEATURE_POISON));
	sup->merges_exactly = caps.version >= (6 << 16 | 16 << 8);
	sup->vdso_site = remote_vdso_site();
	sup->secret = sup->shared->secret;
	sup->listener = -1;
	sup->uffd_dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC); /* -1: not there */
	return 0;
}

static int open_sources(struct sup *sup)
{
	sigset_t mask;
	int ret = ring_init(&sup->ring);

	if (ret)
		return say("set up an io_uring", -ret);
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	sup->sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	sup->tickfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (sup->sigfd < 0 || sup->tickfd < 0)
		return say("open a signalfd and a timer", errno);
	ring_poll(&sup->ring, sup->sigfd, TAG_SIGNAL);
	ring_poll(&sup->ring, sup->tickfd, TAG_TICK);
	return 0;
}

static int make_world(struct sup *sup)
{
	struct mm_config config = {
		.hw = &hw_linux,
		.max_map_count = read_sysctl("/proc/sys/vm/max_map_count", 65530),
		.stack_guard_gap = STACK_GUARD_GAP,
		.prefetch_max_pages = sup->opt->fault_around_pages,
		.cow_around = sup->opt->cow == COW_AROUND ? sup->opt->cow_around : 1,
		.layout = sup->opt->layout,
		.overcommit = sup->opt->overcommit,
		.commit_limit = commit_limit(sup->opt) >> PAGE_SHIFT,
		.backing = &swap_backing,
		.backing_arg = sup,
	};

	if (!config.commit_limit)
		return say("read this machine's memory limit", ENOENT);
	sup->world = mm_world_create(&config);
	return sup->world ? 0 : say("make the model", ENOMEM);
}

static int start_root(struct sup *sup, int go_fd)
{
	struct task *t;
	int ret = tracee_seize(sup->root);

	if (ret)
		return say("trace the program (ptrace)", -ret);
	t = task_get(sup, sup->root);
	t->tgid = sup->root;
	t->state = TASK_RUNNING;
	t->pidfd = pidfd_of(sup->root);
	sup->stats.processes = 1;
	if (write(go_fd, "g", 1) != 1)
		return say("start the program", errno);
	close(go_fd);
	return 0;
}

static int start_reclaim(struct sup *sup)
{
	char why[512];

	if (!reclaim_init(sup, why, sizeof(why)))
		return 0;
	fprintf(stderr, "upager: %s\n", why);
	return EXIT_UPAGER;
}

static void sup_fini(struct sup *sup)
{
	placement_release_all(sup);
	reclaim_fini(sup);
	free(sup->queue);
	free(sup->stops);
	mm_world_destroy(sup->world);
	ring_fini(&sup->ring);
	control_remove(sup->shared->control_path);
	control_close(sup->control);
	close(sup->sigfd);
	close(sup->tickfd);
	if (sup->listener >= 0)
		close(sup->listener);
	if (sup->uffd_dev >= 0)
		close(sup->uffd_dev);
	maps_free(&sup->maps);
	maps_free(&sup->audit_maps);
	free(sup->descs);
}

int supervise(const struct run_options *opt, struct run_shared *shared, pid_t root, int go_fd)
{
	static struct sup sup;
	struct mm_world_stats pages;
	struct reclaim_summary reclaim;
	int ret;

	sup = (struct sup){ .opt = opt, .shared = shared, .root = root };
	for (int i = 0; i < TASK_BUCKETS; i++)
		list_init(&sup.tasks[i]);
	list_init(&sup.spaces);
	for (int i = 0; i < SPACE_BUCKETS; i++)
		list_init(&sup.spaces_by_id[i]);
	list_init(&sup.vm_writes);
	list_init(&sup.orphans);
	list_init(&sup.stagers);
	check_level = opt->check;
	ret = check_machine(&sup);
	if (!ret)
		ret = open_sources(&sup);
	if (!ret)
		ret = make_world(&sup);
	if (!ret)
		ret = start_reclaim(&sup);
	placement_init(&sup.placement, opt->hold);
	stats_start(&sup.stats);
	if (!ret)
		ret = dump_open(&sup);
	if (ret)
		return ret; /* the front ends PROG, which is waiting */
	sup.control = control_open(&sup, getppid(), shared->control_path);
	ret = start_root(&sup, go_fd);
	if (ret)
		return ret;
	run_loop(&sup);
	mm_world_stats(sup.world, &pages);
	if (opt->stat != STAT_NONE && !shared->exec_errno)
		ret = stats_write(&sup.stats, &pages, reclaim_summary(&sup, &reclaim) ? &reclaim : NULL,
				  opt);
	if (dump_close(&sup))
		ret = EXIT_UPAGER;
	sup_fini(&sup);
	return sup.failed ? EXIT_UPAGER : ret;
}
