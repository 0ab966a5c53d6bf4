/* SPDX-License-Identifier: MIT */
/*
 * main.c - run a set of cases: diff_model SET [PART PARTS].
 *
 * Prints how many agreed, and the shortest of those that did not.  Skips (77) with the
 * reason on kernels whose rules are known to differ.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>

#include "diff.h"

#define BATCH 2048u
#define SHOWN 8u

static struct test_case *batch;
static struct outcome *out;
static u32 nr_batched;
static u64 nr_cases, nr_differ;

/* The shortest differing cases, as text. */
static struct {
	u32 steps;
	char *text;
} shown[SHOWN];

static void remember(u32 steps, char *text)
{
	u32 worst = 0;

	for (u32 i = 1; i < SHOWN; i++) {
		if (!shown[i].text || (shown[worst].text && shown[i].steps > shown[worst].steps))
			worst = i;
	}
	if (shown[worst].text && shown[worst].steps <= steps) {
		free(text);
		return;
	}
	free(shown[worst].text);
	shown[worst].steps = steps;
	shown[worst].text = text;
}

/* The case that the model is at, for a BUG() in it. */
static const struct test_case *now_case;
static const struct outcome *now_outcome;

static void print_now(void)
{
	if (now_case)
		print_case(now_case, now_outcome, stderr);
}

static void compare_one(const struct test_case *c, const struct outcome *o)
{
	char *text = NULL;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);

	BUG_ON(!f);
	print_case(c, o, f);
	nr_cases++;
	now_case = c;
	now_outcome = o;
	if (model_agrees(c, o, f)) {
		fclose(f);
		free(text);
		return;
	}
	fclose(f);
	nr_differ++;
	remember(c->nr_steps, text);
}

static void flush(void)
{
	native_run(batch, out, nr_batched);
	for (u32 i = 0; i < nr_batched; i++)
		compare_one(&batch[i], &out[i]);
	nr_batched = 0;
}

void diff_case(const struct test_case *c)
{
	batch[nr_batched++] = *c;
	if (nr_batched == BATCH)
		flush();
}

/* Why this kernel cannot be compared exactly; NULL: it can. */
static const char *other_rules(void)
{
	struct utsname u;
	int major = 0, minor = 0;

	uname(&u);
	BUG_ON(sscanf(u.release, "%d.%d", &major, &minor) != 2);
	if (major < 6 || (major == 6 && minor < 17))
		return "before 6.16 an untouched vma does not merge with a touched one on its "
		       "right, "
		       "before 6.17 one mremap does not move several vmas";
	return NULL;
}

static void *shared(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	BUG_ON(p == MAP_FAILED);
	return p;
}

int main(int argc, char **argv)
{
	const char *set = argc > 1 ? argv[1] : "";
	u32 part = argc > 3 ? strtoul(argv[2], NULL, 0) : 0;
	u32 parts = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
	const char *why = other_rules();
	int err = native_init();

	if (why || err) {
		printf("skipped: %s\n", why ? why : strerror(-err));
		return 77;
	}
	if (!strcmp(set, "limit"))
		return limit_main();
	bug_hook = print_now;
	batch = shared(BATCH * sizeof(*batch));
	out = shared(BATCH * sizeof(*out));
	if (!strcmp(set, "layouts"))
		cases_layouts(part, parts);
	else if (!strcmp(set, "mremap"))
		cases_mremap(part, parts);
	else if (!strcmp(set, "forked"))
		cases_forked();
	else if (!strcmp(set, "files"))
		cases_files();
	else if (!strcmp(set, "locked"))
		cases_locked();
	else if (!strcmp(set, "brk"))
		cases_brk();
	else if (!strcmp(set, "hostile"))
		cases_hostile();
	else {
		fprintf(stderr,
			"usage: diff_model layouts|mremap|forked|files|locked|brk|hostile|limit "
			"[PART PARTS]\n");
		return 2;
	}
	flush();
	for (u32 i = 0; i < SHOWN; i++) {
		if (shown[i].text)
			printf("case:\n%s", shown[i].text);
	}
	printf("%lu cases, %lu differ\n", nr_cases, nr_differ);
	return nr_differ || !nr_cases;
}
