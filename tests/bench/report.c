/* SPDX-License-Identifier: MIT */
/* report.c - results as rows of a table and as JSON.  Called by driver.c. */
#include <stdio.h>
#include <string.h>

#include "driver.h"

static const char *const verdict_names[] = {
	[VERDICT_OK] = "ok",
	[VERDICT_MISSED] = "MISSED",
	[VERDICT_INFO] = "-",
	[VERDICT_SKIPPED] = "skipped",
	[VERDICT_FAILED] = "FAILED",
};

static const char *const base_names[] = {
	[BASE_NATIVE] = "native",
	[BASE_BARE] = "bare",
	[BASE_OPTIONS] = "options",
	[BASE_ZRAM] = "zram",
	[BASE_FILE] = "swap file",
	[BASE_NONE] = "none",
	[BASE_MODEL] = "none",
	[BASE_MEAN] = "mean",
};

#define ROW "%-62s %10s %10s  %-22s %6s  %s\n"

void report_head(void)
{
	printf(ROW, "measure", "base", "upager", "ratio median [min-max]", "must", "verdict");
	fflush(stdout);
}

static const char *unit_of(const struct measure *m)
{
	return m->small ? "factor" : m->value == VALUE_BYTES ? "bytes" : "ns";
}

static const char *text_of(double value, const struct measure *m, char *buf, size_t len)
{
	if (m->small)
		snprintf(buf, len, "%.3f x", value);
	else if (m->value == VALUE_BYTES)
		snprintf(buf, len, "%.3g B", value);
	else if (value < 10e3)
		snprintf(buf, len, "%.1f ns", value);
	else if (value < 10e6)
		snprintf(buf, len, "%.1f us", value / 1e3);
	else
		snprintf(buf, len, "%.1f ms", value / 1e6);
	return buf;
}

void report_row(const struct result *r)
{
	char base[32] = "", mine[32] = "", ratio[64] = "", must[32] = "";
	const struct measure *m = r->m;

	if (m->limit > 0)
		snprintf(must, sizeof(must), "%g", m->limit);
	if (r->verdict >= VERDICT_SKIPPED) {
		printf(ROW, m->title, base, mine, ratio, must, verdict_names[r->verdict]);
		printf("    %s: %s\n", m->name, r->why);
		fflush(stdout);
		return;
	}
	if (m->base != BASE_MEAN)
		text_of(r->mine_spread.median, m, mine, sizeof(mine));
	if (m->base != BASE_MEAN && !measure_is_alone(m))
		text_of(r->base_spread.median, m, base, sizeof(base));
	snprintf(ratio, sizeof(ratio), measure_is_alone(m) ? "%.4g [%.4g-%.4g]" : "%.3f [%.3f-%.3f]",
		 r->ratio.median, r->ratio.min, r->ratio.max);
	printf(ROW, m->title, base, mine, ratio, must, verdict_names[r->verdict]);
	fflush(stdout);
}

static json_t *json_spread(const struct spread *s)
{
	return json_pack("{s:f, s:f, s:f}", "min", s->min, "median", s->median, "max", s->max);
}

static json_t *json_values(const double *v, int nr)
{
	json_t *array = json_array();

	for (int i = 0; i < nr; i++)
		json_array_append_new(array, json_real(v[i]));
	return array;
}

json_t *report_json(const struct result *r)
{
	const struct measure *m = r->m;
	json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", m->name, "title", m->title,
			      "base", base_names[m->base], "unit",
			      unit_of(m), "verdict",
			      r->verdict == VERDICT_INFO ? "info" : verdict_names[r->verdict]);

	if (m->limit > 0)
		json_object_set_new(j, "must_reach", json_real(m->limit));
	if (r->verdict >= VERDICT_SKIPPED) {
		json_object_set_new(j, "why", json_string(r->why));
		return j;
	}
	if (m->base == BASE_MEAN) {
		json_object_set_new(j, "ratio", json_spread(&r->ratio));
		return j;
	}
	if (r->need_bytes) {
		json_object_set_new(j, "need_bytes", json_integer((json_int_t)r->need_bytes));
		json_object_set_new(j, "native_ns", json_real(r->native_ns));
		json_object_set_new(j, "budget_percent", json_integer(m->budget_percent));
	}
	json_object_set_new(j, "upager", json_spread(&r->mine_spread));
	json_object_set_new(j, "upager_values", json_values(r->mine, r->nr));
	if (measure_is_alone(m))
		return j;
	json_object_set_new(j, "base_spread", json_spread(&r->base_spread));
	json_object_set_new(j, "base_values", json_values(r->base, r->nr));
	json_object_set_new(j, "ratio", json_spread(&r->ratio));
	return j;
}
