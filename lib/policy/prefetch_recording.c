/* SPDX-License-Identifier: MIT */
/* prefetch_recording.c - see prefetch_recording.h. */
#include "policy/prefetch_recording.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "policy/param.h"

#define HEADER "upager-recording 1\n"
#define LINE_BYTES 4200 /* a path and the rest */

/* No address space has more pages; so distances can be added without overflow. */
#define MAX_DISTANCE (1L << 52)

bool area_is(enum area_anchor *anchor, u64 *start, u64 *end, u64 vma_start, u64 vma_end)
{
	bool same_start = *start == vma_start && *anchor != AREA_END;
	bool same_end = *end == vma_end && *anchor != AREA_START;

	if (!same_start && !same_end)
		return false;
	if (*end != vma_end)
		*anchor = AREA_START;
	else if (*start != vma_start)
		*anchor = AREA_END;
	*start = vma_start;
	*end = vma_end;
	return true;
}

struct area *area_alloc(const char *program)
{
	size_t bytes = strlen(program) + 1;
	struct area *area = mem_zalloc(&policy_bytes, sizeof(*area));

	if (!area)
		return NULL;
	area->program = mem_zalloc(&policy_bytes, bytes);
	if (!area->program) {
		mem_free(&policy_bytes, area, sizeof(*area));
		return NULL;
	}
	memcpy(area->program, program, bytes);
	list_init(&area->list);
	return area;
}

void area_free(struct area *area)
{
	list_del(&area->list);
	mem_free(&policy_bytes, area->runs, area->room * sizeof(*area->runs));
	mem_free(&policy_bytes, area->program, strlen(area->program) + 1);
	mem_free(&policy_bytes, area, sizeof(*area));
}

int area_add(struct area *area, u64 first, u64 count)
{
	struct area_run *last = area->nr_runs ? &area->runs[area->nr_runs - 1] : NULL;

	if (last && last->first + last->count == first) {
		last->count += count;
		return 0;
	}
	if (area->nr_runs == area->room) {
		u32 room = area->room ? 2 * area->room : 16;
		struct area_run *runs = mem_grow(&policy_bytes, area->runs,
						 area->room * sizeof(*runs), room * sizeof(*runs));

		if (!runs)
			return -ENOMEM;
		area->runs = runs;
		area->room = room;
	}
	area->runs[area->nr_runs++] = (struct area_run){ first, count };
	return 0;
}

static void area_write(FILE *file, const struct area *area)
{
	bool from_end = area->anchor == AREA_END;
	u64 origin = from_end ? area->end : area->start;

	fprintf(file, "area %s %lu ", from_end ? "end" : "start", area->pages);
	for (const char *c = area->program; *c; c++)
		putc(*c == '\n' ? '?' : *c, file);
	putc('\n', file);
	for (u32 i = 0; i < area->nr_runs; i++)
		fprintf(file, "%ld %lu\n", (s64)(area->runs[i].first - origin), area->runs[i].count);
}

int recording_write(FILE *file, const struct list_head *areas)
{
	struct area *area;

	fputs(HEADER, file);
	list_for_each_entry(area, areas, list)
		area_write(file, area);
	fputs("end\n", file);
	return fflush(file) || ferror(file) ? -EIO : 0;
}

/* "area ANCHOR PAGES PROGRAM\n" behind its first word.  Returns 0, -EINVAL or -ENOMEM. */
static int read_area(char *p, struct list_head *areas)
{
	enum area_anchor anchor = !strncmp(p, "end ", 4) ? AREA_END : AREA_START;
	struct area *area;
	char *end;
	u64 pages;

	if (anchor == AREA_START && strncmp(p, "start ", 6))
		return -EINVAL;
	p = strchr(p, ' ') + 1;
	pages = strtoul(p, &end, 10);
	if (end == p || *end != ' ')
		return -EINVAL;
	end[strcspn(end, "\n")] = '\0';
	area = area_alloc(end + 1);
	if (!area)
		return -ENOMEM;
	area->anchor = anchor;
	area->pages = pages;
	list_add_tail(&area->list, areas);
	return 0;
}

/* "FIRST COUNT\n" for the latest area.  Returns 0, -EINVAL or -ENOMEM. */
static int read_run(const char *p, struct list_head *areas, u64 *nr_faults)
{
	char *mid, *end;
	long first = strtol(p, &mid, 10), count = strtol(mid, &end, 10);

	if (mid == p || end == mid || *end != '\n' || list_empty(areas))
		return -EINVAL;
	if (first < -MAX_DISTANCE || first > MAX_DISTANCE || count < 1 ||
	    count > RECORDING_MAX_FAULTS)
		return -EINVAL;
	*nr_faults += (u64)count;
	if (*nr_faults > RECORDING_MAX_FAULTS)
		return -EINVAL;
	return area_add(list_entry(areas->prev, struct area, list), (u64)first, (u64)count);
}

int recording_read(FILE *file, struct list_head *areas, char *err, size_t len)
{
	char line[LINE_BYTES];
	u64 nr_faults = 0;

	if (!fgets(line, sizeof(line), file) || strcmp(line, HEADER)) {
		snprintf(err, len, "not a recording of this version");
		return -EINVAL;
	}
	for (u64 nr = 2; fgets(line, sizeof(line), file); nr++) {
		int ret;

		if (!strcmp(line, "end\n"))
			return 0;
		ret = !strncmp(line, "area ", 5) ? read_area(line + 5, areas) :
						   read_run(line, areas, &nr_faults);
		if (ret) {
			snprintf(err, len, ret == -ENOMEM ? "no memory" : "line %lu makes no sense",
				 nr);
			return ret;
		}
	}
	snprintf(err, len, "cut short: the run that wrote it did not end properly");
	return -EINVAL;
}
