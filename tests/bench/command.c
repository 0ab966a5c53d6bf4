/* SPDX-License-Identifier: MIT */
/*
 * command.c - what is run for a measure: its command natively, under upager, or under the kernel's own
 * swap (kswap.c).  Called by driver.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

/*
 * The kernel's budget is for all that its cgroup is charged for: page tables, kernel stacks and page cache, too,
 * which upager leaves to the kernel and does not count.  So it gets a sixteenth more: 136 MiB for 128.
 */
#define SLACK_SHIFT 4
#define MIN_BYTES   (64UL << 10) /* the least that upager takes */

static void add(struct command *c, const char *word)
{
	size_t n = 0;

	while (c->argv[n])
		n++;
	if (n == MAX_ARGS - 1)
		abort();
	c->argv[n] = word;
	c->argv[n + 1] = NULL;
}

static void add_all(struct command *c, const char *const *words)
{
	for (size_t i = 0; words && words[i]; i++)
		add(c, words[i]);
}

/* The program with its arguments; a name without '/' is a program of the bench. */
static void add_program(struct command *c, const struct bench_options *opt, const char *const *argv)
{
	snprintf(c->path, sizeof(c->path), "%s/%s", opt->dir, argv[0]);
	add(c, argv[0][0] == '/' ? argv[0] : c->path);
	for (size_t i = 1; argv[i]; i++)
		add(c, strcmp(argv[i], BENCH_DIR) ? argv[i] : opt->dir);
}

static u64 budget_of(const struct measure *m, u64 need_bytes)
{
	return u64_max(page_align_down(need_bytes / 100 * m->budget_percent), MIN_BYTES);
}

static void add_upager(struct command *c, const struct bench_options *opt, const char *const *options)
{
	add(c, opt->upager);
	add(c, "run");
	add_all(c, options);
}

static void add_budget(struct command *c, const struct bench_options *opt, const struct measure *m,
		       u64 need_bytes)
{
	snprintf(c->bytes, sizeof(c->bytes), "%lu", budget_of(m, need_bytes));
	add(c, "--memory");
	add(c, c->bytes);
	if (m->base == BASE_FILE) {
		snprintf(c->area, sizeof(c->area), "file:%s/upager.swap,size=2G", opt->dir);
		add(c, "--swap");
		add(c, c->area);
	}
}

static void add_kswap(struct command *c, const struct bench_options *opt, const struct measure *m,
		      u64 need_bytes)
{
	u64 bytes = budget_of(m, need_bytes);

	snprintf(c->kswap, sizeof(c->kswap), "%s/kswap", opt->dir);
	snprintf(c->bytes, sizeof(c->bytes), "%lu", bytes + (bytes >> SLACK_SHIFT));
	add(c, c->kswap);
	add(c, "-l");
	add(c, c->bytes);
	add_all(c, m->base == BASE_ZRAM ? ARGV("-z", "lz4") : ARGV("-f", opt->dir));
	if (m->value == VALUE_WALL_NS)
		add(c, "-t");
	add(c, "--");
}

void command_native(struct command *c, const struct bench_options *opt, const struct measure *m)
{
	*c = (struct command){ 0 };
	add_program(c, opt, m->argv);
}

static void build_base(struct command *c, const struct bench_options *opt, const struct measure *m,
		       u64 need_bytes, const char *const *argv)
{
	*c = (struct command){ 0 };
	if (measure_has_budget(m))
		add_kswap(c, opt, m, need_bytes);
	if (m->base == BASE_OPTIONS) {
		add_upager(c, opt, m->options);
		add(c, "--");
	}
	add_program(c, opt, argv);
}

static void build_mine(struct command *c, const struct bench_options *opt, const struct measure *m,
		       u64 need_bytes, const char *const *argv)
{
	*c = (struct command){ 0 };
	if (m->base != BASE_MODEL) {
		add_upager(c, opt, m->mine);
		if (measure_has_budget(m))
			add_budget(c, opt, m, need_bytes);
		add(c, "--");
	}
	add_program(c, opt, argv);
}

void side_build_base(struct side *s, const struct bench_options *opt, const struct measure *m,
		     u64 need_bytes)
{
	bool bare = m->base == BASE_BARE;

	s->name = measure_has_budget(m) ? "the kernel" : "base";
	s->grows = m->small;
	s->wall = m->value == VALUE_WALL_NS && !measure_has_budget(m);
	build_base(&s->large, opt, m, need_bytes, bare ? m->bare : m->argv);
	if (s->grows)
		build_base(&s->small, opt, m, need_bytes, bare ? m->bare_small : m->small);
}

void side_build_mine(struct side *s, const struct bench_options *opt, const struct measure *m,
		     u64 need_bytes)
{
	s->name = m->base == BASE_MODEL ? "the model" : "under upager";
	s->grows = m->small;
	s->wall = m->value == VALUE_WALL_NS;
	build_mine(&s->large, opt, m, need_bytes, m->argv);
	if (s->grows)
		build_mine(&s->small, opt, m, need_bytes, m->small);
}
