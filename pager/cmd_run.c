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

#include "base/check.h"
#include "commands.h"
#include "front.h"
#include "options.h"
#include "policy/prefetch_ops.h"
#include "policy/reclaim_ops.h"

enum {
	OPT_CHECK = 256,
	OPT_STAT,
	OPT_DUMP_MM,
	OPT_MEMORY,
	OPT_SWAP,
	OPT_SWAP_POOL,
	OPT_POLICY,
	OPT_PREFETCH,
	OPT_FAULT_AROUND,
	OPT_COW,
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
	{ "memory", OPT_MEMORY, "SIZE", 0,
	  "Keep at most SIZE of managed memory resident, in all processes together; the rest is "
	  "swapped", 0 },
	{ "swap", OPT_SWAP, "KIND", 0,
	  "Where evicted pages go: zpool[:lz4|zstd], memory of upager's, compressed (default, lz4); "
	  "file:PATH[,size=SIZE][,checksum=on|off], a file made for the run; both: the pool spills "
	  "to the file", 0 },
	{ "swap-pool", OPT_SWAP_POOL, "SIZE", 0, "The most that the compressed pool may take", 0 },
	{ "policy", OPT_POLICY, "NAME[:KEY=VALUE,…]", 0,
	  "Which pages are evicted (default " POLICY_DEFAULT "); a path such as ./mine.so[:ARGS] is "
	  "a plug-in", 0 },
	{ "prefetch", OPT_PREFETCH, "NAME[:KEY=VALUE,…]", 0,
	  "Which pages are brought back with one that is needed (default " PREFETCH_DEFAULT ")", 0 },
	{ "fault-around", OPT_FAULT_AROUND, "PAGES|off", 0,
	  "Fill ahead of sequential first touches, up to PAGES pages at a time (default 64)", 0 },
	{ "cow", OPT_COW, "lazy|around:N|eager", 0,
	  "When pages shared by fork are separated: each at its first write (default), with its "
	  "unshared neighbours in a block of N, or all at the fork", 0 },
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

/* ret: of a reader of options.h. */
static error_t or_bad_usage(int ret, const char *why)
{
	if (ret)
		bad_usage("%s", why);
	return 0;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct run_options *opt = state->input;
	char why[256];

	switch (key) {
	case OPT_STAT:
		if (arg && strcmp(arg, "json") && strcmp(arg, "text"))
			bad_usage("bad --stat '%s': text or json", arg);
		opt->stat = arg && !strcmp(arg, "json") ? STAT_JSON : STAT_TEXT;
		return 0;
	case 'o':
		opt->output = arg;
		return 0;
	case OPT_MEMORY:
		return or_bad_usage(parse_memory(arg, &opt->memory, why, sizeof(why)), why);
	case OPT_SWAP:
		return or_bad_usage(parse_swap(arg, &opt->swap, why, sizeof(why)), why);
	case OPT_SWAP_POOL:
		if (parse_size(arg, &opt->swap.pool_size) || opt->swap.pool_size < PAGE_SIZE)
			bad_usage("bad --swap-pool '%s': a size such as 512M", arg);
		return 0;
	case OPT_POLICY:
		opt->policy = arg;
		return 0;
	case OPT_PREFETCH:
		opt->prefetch = arg;
		return 0;
	case OPT_FAULT_AROUND:
		return or_bad_usage(parse_fault_around(arg, &opt->fault_around_pages, why,
						       sizeof(why)), why);
	case OPT_COW:
		return or_bad_usage(parse_cow(arg, opt, why, sizeof(why)), why);
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

static void help_line(FILE *f, const char *name, const char *help)
{
	fprintf(f, *help ? "  %-10s %s\n" : "  %s\n", name, help);
}

/* The text after the options: ours, and the policies with their parameters. */
static char *help_filter(int key, const char *text, void *input)
{
	char *out = NULL;
	size_t len;
	FILE *f;

	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	f = open_memstream(&out, &len);
	BUG_ON(!f);
	fputs("Policies and their parameters (R: a share, as 25%):\n", f);
	for (size_t i = 0; reclaim_policies[i]; i++)
		help_line(f, reclaim_policies[i]->name, reclaim_policies[i]->help);
	fputs("Prefetchers:\n", f);
	for (size_t i = 0; prefetchers[i]; i++)
		help_line(f, prefetchers[i]->name, prefetchers[i]->help);
	fprintf(f, "\n%s", text);
	BUG_ON(fclose(f));
	return out;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "PROG [ARG…]",
	.doc = "Run PROG, and all that it starts, under the pager.\v"
	       "Exits as PROG does: with its code, or by its signal. upager's own failures: 125; "
	       "PROG cannot be executed: 126; not found: 127.",
	.help_filter = help_filter,
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

/* What is said of eviction must make sense together, and without a budget there is none. */
static void check_memory_options(struct run_options *opt)
{
	char why[256];
	const char *needs = opt->swap.given ? "swap" : opt->swap.pool_size ? "swap-pool" :
			    opt->policy	   ? "policy" : opt->prefetch	    ? "prefetch" : NULL;

	if (!opt->memory && needs)
		bad_usage("--%s needs --memory", needs);
	if (opt->swap.pool_size && !opt->swap.pool)
		bad_usage("--swap-pool needs a pool: --swap zpool");
	if (!opt->policy)
		opt->policy = POLICY_DEFAULT;
	opt->prefetch_yields = !opt->prefetch;
	if (!opt->prefetch)
		opt->prefetch = PREFETCH_DEFAULT;
	if (opt->memory && check_policy(opt->policy, opt->memory >> PAGE_SHIFT, why, sizeof(why)))
		bad_usage("--policy: %s", why);
	if (opt->memory && check_prefetch(opt->prefetch, why, sizeof(why)))
		bad_usage("--prefetch: %s", why);
}

int cmd_run(int argc, char **argv)
{
	struct run_options opt = {
		.check = CHECK_ASSERT,
		.fault_around_pages = FAULT_AROUND_DEFAULT_PAGES,
		.swap = { .pool = true, .algo = SWAP_LZ4, .checksum = true },
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
	check_memory_options(&opt);
	if (opt.output && opt.stat == STAT_NONE)
		opt.stat = STAT_TEXT;
	ret = find_prog(&opt);
	if (!ret)
		ret = check_output(&opt);
	if (!ret)
		ret = front_run(&opt);
	free(opt.path);
	free(opt.swap.text);
	return ret;
}
