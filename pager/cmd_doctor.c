/* SPDX-License-Identifier: MIT */
/*
 * cmd_doctor.c - `upager doctor`: what this machine allows, what a lack costs, what mends it.
 *
 * Called by main.c.  It only asks lib/sys/caps.h and prints; each question is a `struct fact` made
 * by one of the check_*() functions, so that the table and --json say the same.  It knows nothing
 * of the model.  Start reading at cmd_doctor().  In the manner of lynis and `perf check`.
 */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "commands.h"
#include "sys/caps.h"
#include "sys/remote.h"
#include "sys/uffd.h"

enum fact_state {
	FACT_OK,
	FACT_DEGRADED, /* run works, at a cost */
	FACT_MISSING,  /* run does not work */
};

static const char *const state_name[] = {"ok", "degraded", "missing"};

/* One answered question.  Strings are static, except `detail`. */
struct fact {
	const char *id; /* stable key for --json, and what the table shows first */
	enum fact_state state;
	char detail[128]; /* what was found */
	const char *cost; /* what its lack costs; shown unless ok */
	const char *mend; /* what to do about it; NULL: nothing can be done here */
};

#define NR_FACTS_MAX 48

/* Everything that the doctor found.  Lives on cmd_doctor()'s stack. */
struct findings {
	struct caps_all caps;
	struct caps_wakeup wakeup;
	struct fact fact[NR_FACTS_MAX];
	unsigned int nr_facts;
};

#define MEND_ROOT "run upager as root, or: setcap cap_sys_ptrace+ep $(command -v upager)"
#define MEND_KERNEL                                                                                \
	"boot a newer kernel (Debian 12: apt install linux-image-amd64/bookworm-backports)"
#define MEND_SECCOMP "lift the container's filter: docker run --security-opt seccomp=unconfined"

/* Add a fact; the caller may set cost and mend in what is returned. */
static struct fact *add(struct findings *f, const char *id, enum fact_state state, const char *fmt,
			...) printf_like(4, 5);

static struct fact *add(struct findings *f, const char *id, enum fact_state state, const char *fmt,
			...)
{
	struct fact *fact;
	va_list args;

	BUG_ON(f->nr_facts == NR_FACTS_MAX);
	fact = &f->fact[f->nr_facts++];
	*fact = (struct fact){.id = id, .state = state};
	va_start(args, fmt);
	vsnprintf(fact->detail, sizeof(fact->detail), fmt, args);
	va_end(args);
	return fact;
}

/* Add a fact about something that is wanted: it works, or `lack` with what that costs. */
static void add_caps(struct findings *f, const char *id, caps_t ret, enum fact_state lack,
		     const char *works, const char *cost, const char *mend)
{
	struct fact *fact = add(f, id, ret ? lack : FACT_OK, "%s", ret ? strerror(-ret) : works);

	fact->cost = cost;
	fact->mend = mend;
}

static void check_machine(struct findings *f)
{
	const struct caps *c = &f->caps.run;
	struct fact *fact =
		add(f, "kernel", c->version >= (6U << 16 | 1U << 8) ? FACT_OK : FACT_DEGRADED,
		    "Linux %s, %u CPU%s, %.1f GiB", c->release, f->caps.nr_cpus,
		    f->caps.nr_cpus == 1 ? "" : "s", (double)f->caps.mem_bytes / (1UL << 30));

	fact->cost = "upager is tested on 6.1, 6.12 and 6.18";
	fact->mend = MEND_KERNEL;
	add_caps(f, "proc", c->proc, FACT_MISSING, "mounted", "no program can be looked at",
		 "mount -t proc proc /proc");
	fact = add(f, "privileges", c->cap_sys_ptrace ? FACT_OK : FACT_DEGRADED,
		   "uid %u, CAP_SYS_PTRACE %s, CAP_SYS_ADMIN %s", (unsigned int)geteuid(),
		   c->cap_sys_ptrace ? "yes" : "no", c->cap_sys_admin ? "yes" : "no");
	fact->cost = "fork events are refused; setuid programs run without their privilege";
	fact->mend = MEND_ROOT;
}

static void check_uffd_create(struct findings *f)
{
	const struct caps *c = &f->caps.run;

	add_caps(f, "userfaultfd", c->uffd_syscall, FACT_MISSING,
		 "the system call works, with faults inside system calls",
		 "no fault can be delivered",
		 c->uffd_syscall == -ENOSYS
			 ? "boot a kernel built with CONFIG_USERFAULTFD"
			 : "run upager as root, or: sysctl vm.unprivileged_userfaultfd=1");
	add(f, "userfaultfd.dev", FACT_OK, "not used: /dev/userfaultfd %s",
	    c->uffd_dev ? strerror(-c->uffd_dev) : "works");
	add_caps(f, "userfaultfd.fork", c->uffd_fork, FACT_MISSING, "fork events are permitted",
		 "a child's memory cannot be followed", MEND_ROOT);
}

/* One row for each feature bit, in the kernel's order.  No cost: upager does not use it. */
static const struct {
	u64 bit;
	const char *id;
	const char *what; /* what it is used for */
	const char *cost; /* of doing without */
} uffd_features[] = {
	{UFFD_FEATURE_PAGEFAULT_FLAG_WP, "feature.PAGEFAULT_FLAG_WP",
	 "write-protect faults: copy-on-write", "no copy-on-write of our own"},
	{UFFD_FEATURE_EVENT_FORK, "feature.EVENT_FORK", "a fork hands over the child's userfaultfd",
	 "a child's memory cannot be followed"},
	{UFFD_FEATURE_EVENT_REMAP, "feature.EVENT_REMAP", "mremap keeps a mapping managed",
	 "a moved mapping would be lost"},
	{UFFD_FEATURE_EVENT_REMOVE, "feature.EVENT_REMOVE", "not used: the calls are trapped",
	 NULL},
	{UFFD_FEATURE_MISSING_HUGETLBFS, "feature.MISSING_HUGETLBFS",
	 "not used: huge pages stay with the kernel", NULL},
	{UFFD_FEATURE_MISSING_SHMEM, "feature.MISSING_SHMEM",
	 "faults in shared memory and file pages", "shared mappings stay with the kernel"},
	{UFFD_FEATURE_EVENT_UNMAP, "feature.EVENT_UNMAP", "not used: the calls are trapped", NULL},
	{UFFD_FEATURE_SIGBUS, "feature.SIGBUS", "not used: faults are delivered", NULL},
	{UFFD_FEATURE_THREAD_ID, "feature.THREAD_ID",
	 "which thread faulted: the pager follows it to its CPU", "slow answers from another CPU"},
	{UFFD_FEATURE_MINOR_HUGETLBFS, "feature.MINOR_HUGETLBFS",
	 "not used: huge pages stay with the kernel", NULL},
	{UFFD_FEATURE_MINOR_SHMEM, "feature.MINOR_SHMEM", "minor faults in shared memory",
	 "shared mappings stay with the kernel"},
	{UFFD_FEATURE_EXACT_ADDRESS, "feature.EXACT_ADDRESS", "the exact address of a fault (5.18)",
	 "records name the page, not the byte"},
	{UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "feature.WP_HUGETLBFS_SHMEM",
	 "write protection of shared memory (5.19)", "first writes to shared pages are not seen"},
	{UFFD_FEATURE_WP_UNPOPULATED, "feature.WP_UNPOPULATED",
	 "write protection of empty pages (6.4)", "it is set again after each page is filled"},
	{UFFD_FEATURE_POISON, "feature.POISON", "SIGBUS for a page that cannot be had (6.6)",
	 "the signal has to be sent by ptrace"},
	{UFFD_FEATURE_WP_ASYNC, "feature.WP_ASYNC", "not used: write faults are wanted", NULL},
	{UFFD_FEATURE_MOVE, "feature.MOVE", "pages taken out without a copy (6.8)",
	 "eviction copies and drops, at a few times the cost"},
};

static void check_uffd_features(struct findings *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(uffd_features); i++) {
		u64 bit = uffd_features[i].bit;
		bool has = f->caps.run.uffd_features & bit;
		enum fact_state state = has || !uffd_features[i].cost  ? FACT_OK
					: UFFD_FEATURES_REQUIRED & bit ? FACT_MISSING
								       : FACT_DEGRADED;
		struct fact *fact = add(f, uffd_features[i].id, state, "%s: %s", has ? "yes" : "no",
					uffd_features[i].what);

		fact->cost = uffd_features[i].cost;
		fact->mend = MEND_KERNEL;
	}
}

static void check_control(struct findings *f)
{
	const struct caps_all *c = &f->caps;
	struct fact *fact;

	add_caps(f, "ptrace", c->ptrace, FACT_MISSING, "a child can be seized",
		 "no program can be followed",
		 c->run.yama_scope >= 2 ? "sysctl kernel.yama.ptrace_scope=1" : MEND_SECCOMP);
	fact = add(f, "ptrace.yama",
		   c->run.yama_scope >= 2 && !c->run.cap_sys_ptrace ? FACT_DEGRADED : FACT_OK,
		   c->run.yama_scope < 0 ? "no Yama" : "kernel.yama.ptrace_scope=%d",
		   c->run.yama_scope);
	fact->cost = "only root may trace";
	fact->mend = "sysctl kernel.yama.ptrace_scope=1";
	fact = add(f, "ptrace.tracer", c->tracer ? FACT_DEGRADED : FACT_OK,
		   c->tracer ? "upager itself is traced by process %d" : "nobody traces upager",
		   c->tracer);
	fact->cost = "a tracer that follows forks takes the program before upager can";
	fact->mend = "start upager outside strace -f or gdb";
	add_caps(f, "pidfd_getfd", c->run.pidfd_getfd, FACT_MISSING, "works",
		 "a userfaultfd cannot be taken from the program", MEND_SECCOMP);
	fact = add(f, "vdso", remote_vdso_site() ? FACT_OK : FACT_MISSING, "%s",
		   remote_vdso_site() ? "programs have one" : "programs have none");
	fact->cost = "no call can be made for a program at its start";
	fact->mend = "boot without vdso=0";
	add_caps(f, "seccomp.trace", c->run.seccomp_trace, FACT_MISSING, "RET_TRACE is available",
		 "memory calls cannot be seen", "boot a kernel built with CONFIG_SECCOMP_FILTER");
	add_caps(f, "seccomp.spec_allow", c->run.seccomp_spec_allow, FACT_DEGRADED,
		 "SPEC_ALLOW is available", "some kernels slow down a filtered program",
		 MEND_KERNEL);
	fact = add(f, "seccomp.self", c->seccomp_mode == 2 ? FACT_DEGRADED : FACT_OK,
		   "libseccomp %s, %s", c->seccomp_lib,
		   c->seccomp_mode == 2 ? "upager itself runs under a filter"
					: "upager itself runs unfiltered");
	fact->cost = "calls that a program may make natively here may be refused";
	fact->mend = MEND_SECCOMP;
}

static void check_resources(struct findings *f)
{
	const struct caps_all *c = &f->caps;
	struct fact *fact;

	add_caps(f, "io_uring", c->io_uring, FACT_MISSING, "a ring can be set up",
		 "the supervisor has nothing to wait with",
		 c->uring_disabled > 0 ? "sysctl kernel.io_uring_disabled=0" : MEND_SECCOMP);
	add_caps(f, "pagemap_scan", c->run.pagemap_scan, FACT_DEGRADED, "PAGEMAP_SCAN works (6.7)",
		 "--check 3 reads pagemap entry by entry", MEND_KERNEL);
	fact = add(f, "nofile", c->run.nofile_max < 1024 ? FACT_DEGRADED : FACT_OK,
		   "RLIMIT_NOFILE %llu of %llu", (unsigned long long)c->run.nofile,
		   (unsigned long long)c->run.nofile_max);
	fact->cost = "each process of the run needs about three descriptors";
	fact->mend = "ulimit -n 65536";
	fact = add(f, "thp", FACT_OK, "transparent huge pages: %s", c->thp[0] ? c->thp : "none");
	fact = add(f, "max_map_count",
		   c->max_map_count >= 0 && c->max_map_count < 65530 ? FACT_DEGRADED : FACT_OK,
		   "vm.max_map_count=%lld", (long long)c->max_map_count);
	fact->cost = "a program with many mappings gets ENOMEM";
	fact->mend = "sysctl vm.max_map_count=65530";
	fact = add(f, "overcommit", c->overcommit == 2 ? FACT_DEGRADED : FACT_OK,
		   "vm.overcommit_memory=%d", c->overcommit);
	fact->cost = "large reservations fail, as they do natively";
	fact->mend = "sysctl vm.overcommit_memory=0";
}

/* ---- the proof: run something ---- */

#define SELF_TEST_LIMIT_MS 10000

/* In the child: become `upager run -- upager --version` with its stderr in `err`. */
static _Noreturn void exec_self_test(int err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (n > 0 && null >= 0) {
		self[n] = '\0';
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(err, STDERR_FILENO);
		execl(self, "upager", "run", "--", self, "--version", (char *)NULL);
	}
	_exit(EXIT_UPAGER);
}

/* Wait for the end of `pid`, at most SELF_TEST_LIMIT_MS.  Return: its wait status; -1: killed by
 * us. */
static int wait_limited(pid_t pid)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status;
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	bool ended = pidfd >= 0 && poll(&p, 1, SELF_TEST_LIMIT_MS) == 1;

	if (!ended)
		kill(pid, SIGKILL);
	if (pidfd >= 0)
		close(pidfd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return ended ? status : -1;
}

/* Run a small program under upager, so that the answer does not rest on our own reasoning. */
static void check_run(struct findings *f)
{
	const char *why = caps_blocker(&f->caps.run);
	struct fact *fact = add(f, "run", FACT_MISSING, "%s", why ? why : "not tried");
	char said[sizeof(fact->detail)] = "";
	int err = memfd_create("doctor", MFD_CLOEXEC), status;
	pid_t pid;

	fact->cost = "upager run does not work";
	if (why || err < 0)
		goto out;
	pid = fork();
	if (!pid)
		exec_self_test(err);
	status = pid < 0 ? -1 : wait_limited(pid);
	if (status == 0) {
		fact->state = FACT_OK;
		snprintf(fact->detail, sizeof(fact->detail), "a program was run under upager");
	} else if (pread(err, said, sizeof(said) - 1, 0) > 0) {
		said[strcspn(said, "\n")] = '\0';
		memcpy(fact->detail, said, sizeof(said));
	} else {
		snprintf(fact->detail, sizeof(fact->detail),
			 status < 0 ? "it did not end within %d s"
				    : "it ended with wait status 0x%x",
			 status < 0 ? SELF_TEST_LIMIT_MS / 1000 : status);
	}
out:
	if (err >= 0)
		close(err);
}

/* Where faults should be answered, from what wake-ups cost. */
static const char *placement_advice(const struct caps_wakeup *w)
{
	if (!w->other_cpu_ns)
		return "one CPU: the pager shares it with the program";
	if (w->same_cpu_ns < w->spin_ns)
		return "answer a fault on the faulting thread's CPU";
	if (w->spin_ns < w->other_cpu_ns / 2)
		return "answer faults on another CPU, polling during a burst";
	return "placement does not matter here";
}

static void print_wakeup(const struct caps_wakeup *w)
{
	printf("\nWake-ups (median round trip between two processes)\n"
	       "  same CPU %.1f us, other CPU %.1f us, unpinned %.1f us, other CPU polling %.1f "
	       "us\n",
	       w->same_cpu_ns / 1e3, w->other_cpu_ns / 1e3, w->unpinned_ns / 1e3, w->spin_ns / 1e3);
	if (w->fault_same_cpu_ns)
		printf("  a fault answered on the same CPU %.1f us, on another %.1f us\n",
		       w->fault_same_cpu_ns / 1e3, w->fault_other_cpu_ns / 1e3);
	printf("  placement: %s\n", placement_advice(w));
}

/* The reason why `run` cannot work, NULL if it will.  Facts are in order of importance. */
static const char *verdict(const struct findings *f)
{
	const char *why = caps_blocker(&f->caps.run);

	for (unsigned int i = 0; !why && i < f->nr_facts; i++) {
		if (f->fact[i].state == FACT_MISSING)
			why = f->fact[i].cost;
	}
	return why;
}

static void print_table(const struct findings *f)
{
	const char *why = verdict(f);

	for (unsigned int i = 0; i < f->nr_facts; i++) {
		const struct fact *fact = &f->fact[i];

		printf("%-9s %-26s %s\n", state_name[fact->state], fact->id, fact->detail);
		if (fact->state == FACT_OK)
			continue;
		printf("%-9s %-26s costs: %s\n", "", "", fact->cost);
		if (fact->mend)
			printf("%-9s %-26s mend:  %s\n", "", "", fact->mend);
	}
	print_wakeup(&f->wakeup);
	printf("\n%s%s\n", why ? "upager run cannot work here: " : "upager run will work here.",
	       why ? why : "");
}

static void print_json(const struct findings *f)
{
	const struct caps_wakeup *w = &f->wakeup;
	const char *why = verdict(f);
	json_t *facts = json_array(), *root;

	for (unsigned int i = 0; i < f->nr_facts; i++) {
		const struct fact *fact = &f->fact[i];
		bool bad = fact->state != FACT_OK;

		json_array_append_new(
			facts, json_pack("{s:s, s:s, s:s, s:s?, s:s?}", "id", fact->id, "state",
					 state_name[fact->state], "detail", fact->detail, "cost",
					 bad ? fact->cost : NULL, "mend", bad ? fact->mend : NULL));
	}
	root = json_pack("{s:s, s:s, s:b, s:s?, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:s}}",
			 "version", UPAGER_VERSION, "kernel", f->caps.run.release, "works", !why,
			 "blocker", why, "facts", facts, "wakeup", "same_cpu_ns",
			 (json_int_t)w->same_cpu_ns, "other_cpu_ns", (json_int_t)w->other_cpu_ns,
			 "unpinned_ns", (json_int_t)w->unpinned_ns, "other_cpu_polling_ns",
			 (json_int_t)w->spin_ns, "fault_same_cpu_ns",
			 (json_int_t)w->fault_same_cpu_ns, "fault_other_cpu_ns",
			 (json_int_t)w->fault_other_cpu_ns, "placement", placement_advice(w));
	BUG_ON(!root);
	json_dumpf(root, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(root);
}

/* One line, unlike argp_error(). */
static _Noreturn void bad_usage(const char *what, const char *arg)
{
	fprintf(stderr, "upager doctor: %s '%s'; see upager doctor --help\n", what, arg);
	exit(EXIT_UPAGER);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'j':
		*(bool *)state->input = true;
		return 0;
	case '?':
		argp_help(state->root_argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK,
			  (char *)"upager doctor");
		exit(0);
	case ARGP_KEY_ARG:
		bad_usage("no argument is expected:", arg);
	case ARGP_KEY_ERROR: /* of argp's own: an option unknown, or with an argument it has not */
		bad_usage("bad option", state->argv[state->next - 1]);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{"json", 'j', NULL, 0, "Print the findings as JSON", 0},
	{"help", '?', NULL, 0, "Show this help", -1},
	{0},
};

static const struct argp doctor_argp = {
	.options = options,
	.parser = parse_option,
	.doc = "Say what this machine allows upager to do: each fact, what its lack costs, and "
	       "what mends it."
	       "\vExit status: 0 if `upager run` will work, 1 if not, 125 on a usage error.",
};

int cmd_doctor(int argc, char **argv)
{
	struct findings f = {0};
	bool json = false;

	argp_parse(&doctor_argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &json);

	caps_detect_all(&f.caps);
	check_machine(&f);
	check_uffd_create(&f);
	check_uffd_features(&f);
	check_control(&f);
	check_resources(&f);
	check_run(&f);
	caps_measure_wakeup(&f.wakeup);
	if (json) {
		print_json(&f);
	} else {
		print_table(&f);
	}
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "upager doctor: cannot write to stdout: %s\n", strerror(errno));
		return EXIT_UPAGER;
	}
	return verdict(&f) ? 1 : 0;
}
