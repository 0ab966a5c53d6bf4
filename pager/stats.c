/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "commands.h"
#include "options.h"
#include "reclaim.h"
#include "sc.h"

u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

void stats_start(struct stats *stats)
{
	stats->start_ns = now_ns();
}

/* ---- JSON ---- */

static json_t *json_u64(u64 v)
{
	return json_integer((json_int_t)v);
}

static json_t *json_exit(int wait_status)
{
	if (WIFSIGNALED(wait_status))
		return json_pack("{si}", "signal", WTERMSIG(wait_status));
	return json_pack("{si}", "code", WEXITSTATUS(wait_status));
}

static json_t *json_handled(const struct stats *s)
{
	json_t *o = json_object();

	for (int i = FH_NONE + 1; i < NR_FAULT_HANDLERS; i++) {
		const struct hist *h = &s->latency[i];

		if (!h->count)
			continue;
		json_object_set_new(o, fault_handler_name((enum fault_handler)i),
			json_pack("{so s{so so so so}}", "count", json_u64(h->count), "latency_ns",
				  "p50", json_u64(hist_percentile(h, 50)),
				  "p90", json_u64(hist_percentile(h, 90)),
				  "p99", json_u64(hist_percentile(h, 99)),
				  "max", json_u64(h->max)));
	}
	return o;
}

static json_t *json_calls(const u64 *counts)
{
	json_t *o = json_object();

	for (size_t i = 0; i < sc_table_len; i++)
		if (counts[i])
			json_object_set_new(o, sc_table[i].name, json_u64(counts[i]));
	return o;
}

static json_t *json_summary(const struct stats *s, const struct mm_world_stats *p,
			    const struct run_options *opt)
{
	json_t *command = json_array();

	for (char **a = opt->argv; *a; a++) {
		json_t *str = json_string(*a);

		json_array_append_new(command, str ? str : json_string("(not UTF-8)"));
	}
	return json_pack(
		"{ss so so so s{so so so so} so s{so so so so so so} so so so so so so so so so}",
		"version", UPAGER_VERSION, "command", command,
		"exit", json_exit(s->root_status), "wall_ns", json_u64(now_ns() - s->start_ns),
		"faults", "missing", json_u64(s->missing), "wp", json_u64(s->wp),
		"minor", json_u64(s->minor), "spurious", json_u64(s->spurious),
		"handled", json_handled(s),
		"pages", "resident", json_u64(p->resident), "resident_max",
		json_u64(p->resident_max), "zero", json_u64(p->zero_total),
		"committed", json_u64(p->committed), "committed_max", json_u64(p->committed_max),
		"separated", json_u64(s->separated),
		"processes", json_u64(s->processes), "execs", json_u64(s->execs),
		"forks", json_u64(s->forks), "traps", json_calls(s->traps),
		"refused", json_calls(s->refused),
		"unmanaged_images", json_u64(s->unmanaged_images), "holds", json_u64(s->holds),
		"stalled_ns", json_u64(s->stalled_ns), "lost_pages", json_u64(s->lost));
}

static json_t *json_reclaim(const struct reclaim_summary *r)
{
	const struct reclaim_stats *m = &r->model;

	return json_pack(
		"{so ss ss s{so so so so so so so so} s{so so so so so so so so so so so}"
		" s{so so so so} s{so so so} so so so so}",
		"budget", json_u64(r->budget), "policy", r->policy, "prefetch", r->prefetch,
		"evictions", "done", json_u64(m->evicted), "clean", json_u64(m->clean),
		"background", json_u64(r->background), "direct", json_u64(r->direct),
		"refused", json_u64(m->refused), "staged", json_u64(m->staged),
		"rescued", json_u64(m->rescued), "flushed", json_u64(r->flushed),
		"swap", "in_pages", json_u64(m->swapped_in), "in_file_bytes",
		json_u64(r->file_bytes_read), "out_file_bytes", json_u64(r->file_bytes_written),
		"pool_pages", json_u64(r->pool_pages), "pool_bytes", json_u64(r->pool_bytes),
		"pool_bytes_max", json_u64(r->pool_bytes_max), "packed_bytes",
		json_u64(r->packed_bytes), "same_pages", json_u64(r->same_pages), "file_pages",
		json_u64(r->file_pages), "spilled", json_u64(r->spilled), "errors",
		json_u64(r->write_errors + r->read_errors),
		"prefetched", "pages", json_u64(m->prefetched), "used", json_u64(m->prefetch_used),
		"wasted", json_u64(m->prefetch_wasted), "soft_failed", json_u64(r->soft_failed),
		"refaults", "count", json_u64(m->refaults), "distance_sum",
		json_u64(m->refault_distance), "away_ms_sum", json_u64(m->refault_ms),
		"out_pages", json_u64(r->out_pages), "out_packed_bytes", json_u64(r->out_bytes),
		"staged_max", json_u64(r->staged_max), "oom_kills", json_u64(r->oom_kills));
}

static int write_json(FILE *f, const struct stats *s, const struct mm_world_stats *p,
		      const struct reclaim_summary *r, const struct run_options *opt)
{
	json_t *o = json_summary(s, p, opt);

	if (o && r)
		json_object_set_new(o, "reclaim", json_reclaim(r));
	int ret = o ? json_dumpf(o, f, JSON_INDENT(2)) : -1;

	json_decref(o);
	fputc('\n', f);
	return ret;
}

/* ---- text ---- */

static void write_calls(FILE *f, const char *title, const u64 *counts)
{
	bool any = false;

	for (size_t i = 0; i < sc_table_len; i++) {
		if (!counts[i])
			continue;
		fprintf(f, "%s%s %lu", any ? ", " : title, sc_table[i].name, counts[i]);
		any = true;
	}
	if (any)
		fputc('\n', f);
}

static void write_handlers(FILE *f, const struct stats *s)
{
	fprintf(f, "  %-26s %10s %9s %9s %9s %9s\n", "answered by", "count", "p50 us", "p90 us",
		"p99 us", "max us");
	for (int i = FH_NONE + 1; i < NR_FAULT_HANDLERS; i++) {
		const struct hist *h = &s->latency[i];

		if (h->count)
			fprintf(f, "  %-26s %10lu %9.1f %9.1f %9.1f %9.1f\n",
				fault_handler_name((enum fault_handler)i), h->count,
				(double)hist_percentile(h, 50) / 1e3,
				(double)hist_percentile(h, 90) / 1e3,
				(double)hist_percentile(h, 99) / 1e3, (double)h->max / 1e3);
	}
}

static double part(u64 a, u64 b)
{
	return b ? (double)a / (double)b : 0;
}

static void write_reclaim(FILE *f, const struct reclaim_summary *r)
{
	const struct reclaim_stats *m = &r->model;

	fprintf(f, "  budget %lu KiB, policy %s, prefetch %s\n", r->budget * (PAGE_SIZE / 1024), r->policy,
		r->prefetch);
	fprintf(f, "  %lu pages evicted, %lu of them without a write; victims: %lu ahead of need, %lu while "
		   "somebody waited, %lu refused\n", m->evicted, m->clean, r->background, r->direct,
		m->refused);
	fprintf(f, "  %lu pages through staging (at most %lu at once), %lu came back from there; "
		   "%lu written out for forks\n", m->staged, r->staged_max, m->rescued, r->flushed);
	fprintf(f, "  %lu pages swapped in, %lu of them ahead of need: %lu used, %lu wasted\n",
		m->swapped_in, m->prefetched, m->prefetch_used, m->prefetch_wasted);
	if (m->refaults)
		fprintf(f, "  refaults: %lu, on the average %.0f evictions and %.0f ms after they left\n",
			m->refaults, part(m->refault_distance, m->refaults),
			part(m->refault_ms, m->refaults));
	fprintf(f, "  %lu pages stored, ratio %.2f; pool: %lu pages in %lu KiB, at most %lu KiB\n",
		r->out_pages, part(r->out_pages << PAGE_SHIFT, r->out_bytes), r->pool_pages,
		r->pool_bytes / 1024, r->pool_bytes_max / 1024);
	if (r->file_bytes_written)
		fprintf(f, "  file: %lu pages; %lu KiB written, %lu KiB read, %lu pages spilled by the pool\n",
			r->file_pages, r->file_bytes_written / 1024, r->file_bytes_read / 1024,
			r->spilled);
	if (r->oom_kills || r->write_errors || r->read_errors)
		fprintf(f, "  %lu processes ended for lack of memory, %lu write errors, %lu read errors\n",
			r->oom_kills, r->write_errors, r->read_errors);
}

static void write_text(FILE *f, const struct stats *s, const struct mm_world_stats *p,
		       const struct reclaim_summary *r, const struct run_options *opt)
{
	fputs("\n upager: ", f);
	for (char **a = opt->argv; *a; a++)
		fprintf(f, "%s%s", *a, a[1] ? " " : "\n\n");
	fprintf(f, "  %lu faults: %lu missing, %lu write-protect, %lu spurious\n",
		s->missing + s->wp + s->minor, s->missing, s->wp, s->spurious);
	write_handlers(f, s);
	fprintf(f, "  %lu pages resident at most (%lu KiB); %lu times the zero page\n",
		p->resident_max, p->resident_max * (PAGE_SIZE / 1024), p->zero_total);
	if (r)
		write_reclaim(f, r);
	fprintf(f, "  threads waited %.3f s in faults, all together\n", (double)s->stalled_ns / 1e9);
	if (s->separated)
		fprintf(f, "  %lu pages copied at forks\n", s->separated);
	fprintf(f, "  %lu processes, %lu forks that copied memory, %lu execs\n", s->processes,
		s->forks, s->execs);
	write_calls(f, "  trapped calls: ", s->traps);
	write_calls(f, "  refused calls: ", s->refused);
	if (s->unmanaged_images)
		fprintf(f, "  %lu programs were left to the kernel (no userfaultfd)\n",
			s->unmanaged_images);
	fprintf(f, "  %.3f s\n\n", (double)(now_ns() - s->start_ns) / 1e9);
}

int stats_write(const struct stats *s, const struct mm_world_stats *pages,
		const struct reclaim_summary *reclaim, const struct run_options *opt)
{
	FILE *f = opt->output ? fopen(opt->output, "we") : stderr;
	int err = 0;

	if (f && opt->stat == STAT_JSON)
		err = write_json(f, s, pages, reclaim, opt) ? EIO : 0;
	else if (f)
		write_text(f, s, pages, reclaim, opt);
	if (!f || fflush(f) || ferror(f))
		err = errno;
	if (f && f != stderr && fclose(f))
		err = errno;
	if (!err)
		return 0;
	fprintf(stderr, "upager: cannot write the summary to %s: %s\n",
		opt->output ? opt->output : "standard error", strerror(err));
	return EXIT_UPAGER;
}
