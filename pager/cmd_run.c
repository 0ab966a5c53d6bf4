/* SPDX-License-Identifier: MIT */
/*
 * cmd_run.c - `upager run [OPTION…] -- PROG [ARG…]`: the options, and finding PROG.
 *
 * Everything that can be wrong with the command line or with PROG is said here, in one line, before
 * any process is made.
 */
#include <argp.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "front.h"
#include "options.h"

enum {
	OPT_CHECK = 256,
	OPT_STAT,
	OPT_DUMP_MM,
	OPT_PREFETCH,
	OPT_NO_HOLD,
	OPT_LAYOUT,
	OPT_OVERCOMMIT,
	OPT_COMMIT_LIMIT,
};

static const struct argp_option options[] = {
	{ "stat", OPT_STAT, "json", OPTION_ARG_OPTIONAL,
	  "Write a summary to standard error at the end: faults by kind and handler with latencies, "
	  "processes, trapped calls, pages; =json: as JSON with stable keys", 0 },
	{ "output", 'o', "FILE", 0, "Write the summary to FILE", 0 },
	{ "dump-mm", OPT_DUMP_MM, "FILE", 0,
	  "Write each process's memory to FILE (-: standard error) as it was at its exec or exit, as "
	  "upager maps shows it", 0 },
	{ "prefetch", OPT_PREFETCH, "on|off|PAGES", 0,
	  "Fill ahead of sequential first touches, up to PAGES pages at a time (on: 64)", 0 },
	{ "layout", OPT_LAYOUT, "kernel|topdown|bottomup", 0,
	  "Who chooses the addresses of mappings: the kernel (default), or upager, downwards or upwards, "
	  "which gives the same addresses in every run", 0 },
	{ "overcommit", OPT_OVERCOMMIT, "0|1|2", 0,
	  "Count the private memory that all processes were promised, and refuse it with ENOMEM: 0 a "
	  "single request above the limit, 2 what brings the sum above it, 1 nothing", 0 },
	{ "commit-limit", OPT_COMMIT_LIMIT, "SIZE", 0,
	  "The limit for --overcommit 0 (default: RAM and swap) and 2 (default: the kernel's CommitLimit)",
	  0 },
	{ "check", OPT_CHECK, "N", 0,
	  "How much upager checks itself: 0 nothing, 1 assertions (default), 2 the model's invariants "
	  "after each event, 3 also the model against the kernel after each trapped call", 0 },
	{ "no-hold", OPT_NO_HOLD, NULL, 0,
	  "Never hold a faulting thread on the supervisor's CPU", 0 },
	{ "help", '?', NULL, 0, "Show this help", -1 },
	{ 0 },
};

int parse_size(const char *text, u64 *bytes)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;
	unsigned long long v;
	unsigned int shift = 0;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || !*unit || end[1])
			return -EINVAL;
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (v > (UINT64_MAX >> shift))
		return -EINVAL;
	*bytes = v << shift;
	return 0;
}

/* One line, unlike argp_error(). */
_Noreturn static void bad_usage(const char *fmt, ...) printf_like(1, 2);
_Noreturn static void bad_usage(const char *fmt, ...)
{
	va_list ap;

	fputs("upager run: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs("; see upager run --help\n", stderr);
	exit(EXIT_UPAGER);
}

static u32 parse_prefetch(const char *arg)
{
	u64 pages;

	if (!strcmp(arg, "on"))
		return PREFETCH_DEFAULT_PAGES;
	if (!strcmp(arg, "off"))
		return 1;
	if (parse_size(arg, &pages) || pages < 1 || pages > PREFETCH_MAX_PAGES)
		bad_usage("bad --prefetch '%s': on, off or 1 to %d pages", arg,
			  PREFETCH_MAX_PAGES);
	return (u32)pages;
}

/* The index of arg in names[], or a usage error. */
static unsigned int parse_word(const char *option, const char *arg, const char *const names[],
			       size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (!strcmp(arg, names[i]))
			return (unsigned int)i;
	bad_usage("bad --%s '%s'", option, arg);
}

static const char *const layouts[] = {
	[MM_LAYOUT_KERNEL] = "kernel",
	[MM_LAYOUT_TOPDOWN] = "topdown",
	[MM_LAYOUT_BOTTOMUP] = "bottomup",
};

static const char *const overcommit_modes[] = { "0", "1", "2" };

static u64 parse_commit_limit(const char *arg)
{
	u64 bytes;

	if (parse_size(arg, &bytes) || bytes < PAGE_SIZE)
		bad_usage("bad --commit-limit '%s': a size such as 512M", arg);
	return bytes;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct run_options *opt = state->input;

	switch (key) {
	case OPT_STAT:
		if (arg && strcmp(arg, "json") && strcmp(arg, "text"))
			bad_usage("bad --stat '%s': text or json", arg);
		opt->stat = arg && !strcmp(arg, "json") ? STAT_JSON : STAT_TEXT;
		return 0;
	case 'o':
		opt->output = arg;
		return 0;
	case OPT_PREFETCH:
		opt->prefetch_pages = parse_prefetch(arg);
		return 0;
	case OPT_DUMP_MM:
		opt->dump_mm = arg;
		return 0;
	case OPT_CHECK:
		if (arg[0] < '0' || arg[0] > '3' || arg[1])
			bad_usage("bad --check '%s': 0 to 3", arg);
		opt->check = (enum check_level)(arg[0] - '0');
		return 0;
	case OPT_LAYOUT:
		opt->layout = (enum mm_layout_mode)parse_word("layout", arg, layouts,
							      ARRAY_SIZE(layouts));
		return 0;
	case OPT_OVERCOMMIT:
		opt->overcommit = MM_OVERCOMMIT_GUESS +
				  parse_word("overcommit", arg, overcommit_modes,
					     ARRAY_SIZE(overcommit_modes));
		return 0;
	case OPT_COMMIT_LIMIT:
		opt->commit_limit = parse_commit_limit(arg);
		return 0;
	case OPT_NO_HOLD:
		opt->hold = false;
		return 0;
	case '?':
		argp_help(state->root_argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_EXIT_OK, state->name);
		exit(0);
	case ARGP_KEY_ARGS:
		opt->argv = state->argv + state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		bad_usage("no program to run");
	case ARGP_KEY_ERROR: /* of argp's own: an option unknown, or without its argument */
		bad_usage("bad option '%s'", state->argv[state->next - 1]);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "PROG [ARG…]",
	.doc = "Run PROG, and all that it starts, under the pager.\v"
	       "Exits as PROG does: with its code, or by its signal. upager's own failures: 125; "
	       "PROG cannot be executed: 126; not found: 127.",
};

/* ---- PROG ---- */

static int refuse(int code, const char *prog, const char *why)
{
	fprintf(stderr, "upager: cannot execute %s: %s\n", prog, why);
	return code;
}

/* In PATH as execvp looks.  Returns an allocated path, or NULL: not found. */
static char *find_in_path(const char *prog)
{
	const char *path = getenv("PATH");
	char candidate[PATH_MAX];
	struct stat st;
	char *denied = NULL;

	if (strchr(prog, '/'))
		return strdup(prog);
	if (!path)
		path = "/bin:/usr/bin";
	for (const char *p = path;; p++) {
		size_t n = strcspn(p, ":");

		snprintf(candidate, sizeof(candidate), "%.*s%s%s", (int)n, p, n ? "/" : "", prog);
		if (!stat(candidate, &st) && S_ISREG(st.st_mode)) {
			if (!access(candidate, X_OK)) {
				free(denied);
				return strdup(candidate);
			}
			if (!denied)
				denied = strdup(candidate);
		}
		p += n;
		if (!*p)
			return denied;
	}
}

/* Returns 0, or the exit code with one line said. */
static int check_file(const char *prog, const char *path)
{
	unsigned char head[EI_NIDENT];
	struct stat st;
	ssize_t n;
	int fd;

	if (stat(path, &st))
		return refuse(errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND :
								    EXIT_NOT_EXECUTABLE,
			      prog, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return refuse(EXIT_NOT_EXECUTABLE, prog, "it is a directory");
	if (access(path, X_OK))
		return refuse(EXIT_NOT_EXECUTABLE, prog, strerror(errno));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return refuse(EXIT_NOT_EXECUTABLE, prog,
			      errno == EACCES ? "it cannot be read, which tracing needs" :
						strerror(errno));
	n = read(fd, head, sizeof(head));
	close(fd);
	if (n == sizeof(head) && !memcmp(head, ELFMAG, SELFMAG) && head[EI_CLASS] != ELFCLASS64)
		return refuse(EXIT_NOT_EXECUTABLE, prog,
			      "it is a 32-bit program; use the x86-64 build of it");
	return 0;
}

static int find_prog(struct run_options *opt)
{
	const char *prog = opt->argv[0];

	opt->path = *prog ? find_in_path(prog) : NULL;
	if (!opt->path)
		return refuse(EXIT_NOT_FOUND, *prog ? prog : "''", "not found");
	return check_file(prog, opt->path);
}

/* So that the summary is not lost after a long run. */
static int check_output(const struct run_options *opt)
{
	FILE *f;

	if (!opt->output)
		return 0;
	f = fopen(opt->output, "we");
	if (!f) {
		fprintf(stderr, "upager: cannot write %s: %s\n", opt->output, strerror(errno));
		return EXIT_UPAGER;
	}
	fclose(f);
	return 0;
}

int cmd_run(int argc, char **argv)
{
	struct run_options opt = {
		.check = CHECK_ASSERT,
		.prefetch_pages = PREFETCH_DEFAULT_PAGES,
		.hold = true,
	};
	char name[] = "upager run";
	int ret;

	argv[0] = name;
	argp_err_exit_status = EXIT_UPAGER;
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_ERRS | ARGP_NO_HELP, NULL, &opt);
	if (opt.commit_limit && opt.overcommit != MM_OVERCOMMIT_GUESS &&
	    opt.overcommit != MM_OVERCOMMIT_NEVER)
		bad_usage("--commit-limit needs --overcommit 0 or 2");
	if (opt.output && opt.stat == STAT_NONE)
		opt.stat = STAT_TEXT;
	ret = find_prog(&opt);
	if (!ret)
		ret = check_output(&opt);
	if (!ret)
		ret = front_run(&opt);
	free(opt.path);
	return ret;
}
