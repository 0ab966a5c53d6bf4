/* SPDX-License-Identifier: MIT */
/*
 * test_plugin.c - plug-ins against a small machine: nodes, a clock, and no memory at all.
 *
 *	unit_plugin DIR      DIR has the plug-ins that CMakeLists.txt builds
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/unit.h"
#include "options.h"
#include "plugin.h"

#define NR 64

static const char *dir;

/* ---- the machine ---- */

static struct reclaim_node node[NR];
static bool held[NR]; /* by the policy */
static u64 clock_ns;
static struct plugin_watch watch;

static u64 tell_time(void)
{
	return clock_ns;
}

/* Node i is page i of mm 1 or 2, by turns. */
static void tell_page(void *arg, const struct reclaim_node *n, struct plugin_page *out)
{
	u64 i = (u64)(n - node);

	*out = (struct plugin_page){
		.mm = 1 + (i & 1),
		.address = 0x10000 + i * PAGE_SIZE,
		.vm_flags = VM_READ | VM_WRITE | (i == 7 ? VM_GROWSDOWN : 0),
		.file = i == 8 ? 99 : 0,
		.dirty = i == 9,
	};
}

static struct policy_host host = { .page = tell_page, .now_ns = tell_time, .watch = &watch };

/* What was printed on stderr between capture_begin() and this. */
static char captured[4096];
static int real_stderr;

static void capture_begin(void)
{
	int fd = memfd_create("stderr", 0);

	assert_true(fd >= 0);
	fflush(stderr);
	real_stderr = dup(2);
	dup2(fd, 2);
	close(fd);
}

static void capture_end(void)
{
	ssize_t n;

	fflush(stderr);
	n = pread(2, captured, sizeof(captured) - 1, 0);
	captured[n > 0 ? n : 0] = '\0';
	dup2(real_stderr, 2);
	close(real_stderr);
}

/* A plug-in's death is what is tested: a sanitizer must not get in between. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_sigfpe=0:handle_abort=0";
}

/* cmocka catches these in each test; our children are to die of them. */
static void default_signals(void)
{
	signal(SIGSEGV, SIG_DFL);
	signal(SIGFPE, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
}

static const struct reclaim_ops *ops;
static void *policy;
static char err[512];

static const char *spec(const char *name)
{
	static char text[4096];

	snprintf(text, sizeof(text), "%s/%s", dir, name);
	return text;
}

static void open_policy(const char *name)
{
	memset(node, 0, sizeof(node));
	memset(held, 0, sizeof(held));
	memset(&watch, 0, sizeof(watch));
	clock_ns = 1000;
	if (policy_open(spec(name), NR, &host, &ops, &policy, err, sizeof(err)))
		fail_msg("%s", err);
}

static void insert(int i)
{
	ops->insert(policy, &node[i], 0, 0);
	held[i] = true;
}

/* The number of the next victim; -1: none. */
static int victim(void)
{
	struct reclaim_node *n = ops->victim(policy);

	if (!n)
		return -1;
	assert_true(n >= node && n < node + NR && held[n - node]);
	held[n - node] = false;
	return (int)(n - node);
}

/* It gives all that it has, each once. */
static int drain(void)
{
	int i, nr = 0;

	while ((i = victim()) >= 0) {
		ops->evicted(policy, &node[i], 1000 + (u64)i);
		nr++;
	}
	for (i = 0; i < NR; i++)
		assert_false(held[i]);
	return nr;
}

/* ---- loading ---- */

static void refused(const char *name, const char *why)
{
	assert_int_equal(policy_open(spec(name), NR, &host, &ops, &policy, err, sizeof(err)),
			 -EINVAL);
	if (!strstr(err, why) || strchr(err, '\n'))
		fail_msg("%s: '%s', expected '…%s…'", name, err, why);
	assert_null(watch.call);
	assert_int_equal(policy_try(spec(name), NR, err, sizeof(err)), -EINVAL);
	if (!strstr(err, why))
		fail_msg("%s, tried: '%s', expected '…%s…'", name, err, why);
}

static void test_open_what_is_no_plugin_is_refused_in_one_line(void **state)
{
	char path[4096];
	int fd;

	refused("missing.so", "No such file");
	refused(".", "Is a directory");
	refused("no-symbol.so", "does not define upager_policy");
	refused("newer-abi.so", "has version 2 of upager/policy.h, upager has 1");
	refused("newer-size.so", "newer upager");
	refused("no-size.so", "its size");
	refused("no-victim.so", "no victim()");
	snprintf(path, sizeof(path), "%s/text.so", dir);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(write(fd, "no ELF\n", 7), 7);
	close(fd);
	refused("text.so", "invalid ELF header");
	unlink(path);
}

static void test_open_init_says_no_its_first_line_is_shown(void **state)
{
	refused("hostile.so:refuse", "it does not want to");
	assert_null(strstr(err, "second line"));
	refused("hostile.so:silent", "did not say why");
	refused("hostile.so:ask", "init() asked about a page");
}

static void test_try_init_dies_is_said_and_survived(void **state)
{
	static const struct {
		const char *spec, *why;
	} kinds[] = {
		{ "hostile.so:init-segv", "crashed in init() (Segmentation fault)" },
		{ "hostile.so:init-fpe", "crashed in init() (Floating point exception)" },
		{ "hostile.so:init-abort", "crashed in init() (Aborted)" },
		{ "hostile.so:init-exit", "ended the process in init() (exit 0)" },
		{ "hostile.so:init-_exit", "ended the process in init() (exit 7)" },
		{ "hostile.so:init-sleep", "did not return from init() for 5 seconds" },
	};

	default_signals();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		assert_int_equal(policy_try(spec(kinds[i].spec), NR, err, sizeof(err)), -EINVAL);
		if (!strstr(err, kinds[i].why))
			fail_msg("%s: '%s'", kinds[i].spec, err);
	}
	assert_int_equal(policy_try(spec("hostile.so:good"), NR, err, sizeof(err)), 0);
}

static void copy_file(const char *from, const char *to)
{
	char text[4096], buf[4096];
	ssize_t n;
	int in, out;

	snprintf(text, sizeof(text), "%s", spec(from));
	in = open(text, O_RDONLY);
	(void)unlink(spec(to));
	out = open(spec(to), O_CREAT | O_EXCL | O_WRONLY, 0700);
	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	close(in);
	close(out);
}

static void test_open_a_file_built_anew_the_new_one_is_loaded(void **state)
{
	const struct reclaim_ops *old_ops;
	void *old;

	copy_file("fair.so", "anew.so");
	open_policy("anew.so:ahead=1");
	old_ops = ops;
	old = policy;
	copy_file("fifo.so", "anew.so");
	open_policy("anew.so:anything"); /* while the old one runs: as a change does */
	old_ops->fini(old);
	insert(1);
	assert_int_equal(drain(), 1);
	ops->fini(policy);
	copy_file("fair.so", "anew.so");
	refused("anew.so:anything", "bad arguments");
	unlink(spec("anew.so"));
}

static void test_open_an_older_header_runs_without_the_newer_callbacks(void **state)
{
	capture_begin(); /* it says "begins" */
	open_policy("older.so");
	capture_end();
	assert_non_null(strstr(captured, "/older.so: begins\n"));
	for (int i = 0; i < 4; i++)
		insert(i);
	ops->touch(policy, &node[1]);
	assert_int_equal(ops->resize(policy, 10), 0);
	assert_int_equal(drain(), 4);
	ops->fini(policy);
}

/* ---- what a plug-in is told ---- */

static void test_calls_a_page_s_life_each_is_told_with_its_facts(void **state)
{
	const struct prefetch_ops *pops;
	void *prefetch, *mm, *dl;
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	const struct prefetch_fault fault = { 0x20, 0x10, 0x30, true, false, true, true, 8, 1 };
	static const char expected[] =
		"init 'a=b,c:d' 64\n"
		"mm 1 is true\n"
		"tick 1000\n"
		"insert mm 2 at 17000 flags 13 file 0 dirty 0 age 0 key 0 \n"
		"touch idle 0\n"
		"victim age 50 idle 40 value 102\n"
		"putback refused idle 40\n"
		"victim age 60 idle 50 value 102\n"
		"putback touched idle 0\n"
		"victim age 60 idle 0 value 102\n"
		"evicted 77 value 102\n"
		"tick 100001000\n"
		"insert mm 1 at 18000 flags 3 file 63 dirty 0 age 0 key 77 RPW\n"
		"forget value 101\n"
		"insert mm 2 at 19000 flags 3 file 0 dirty 1 age 0 key 0 W\n"
		"victim age 0 idle 0 value 102\n"
		"forget out value 102\n"
		"fault mm 1 at 20000 in 10000-30000 flags 42 soft 1 max 8\n"
		"prefetched mm 1 at 24000 used\n"
		"prefetched mm 1 at 27000 wasted\n"
		"forget_key 77\n"
		"resize 32\n"
		"mm 1 is gone\n"
		"fini\n";

	open_policy("events.so:a=b,c:d");
	dl = dlopen(spec("events.so"), RTLD_NOW | RTLD_LOCAL); /* so that its text outlives it */
	ops->mm_created(policy, 1, "true");
	ops->insert(policy, &node[7], 0, 0);
	clock_ns += 10;
	ops->touch(policy, &node[7]);
	clock_ns += 40;
	assert_ptr_equal(ops->victim(policy), &node[7]);
	ops->putback(policy, &node[7], RECLAIM_REFUSED);
	clock_ns += 10;
	assert_ptr_equal(ops->victim(policy), &node[7]);
	ops->putback(policy, &node[7], RECLAIM_TOUCHED);
	assert_ptr_equal(ops->victim(policy), &node[7]);
	ops->evicted(policy, &node[7], 77);
	clock_ns = 100001000;
	ops->insert(policy, &node[8], 77, RECLAIM_REFAULT | RECLAIM_PREFETCH | RECLAIM_WRITE);
	ops->forget(policy, &node[8]);
	ops->insert(policy, &node[9], 0, RECLAIM_WRITE);
	assert_ptr_equal(ops->victim(policy), &node[9]);
	ops->dropped(policy, &node[9]);

	assert_int_equal(prefetch_open("none", true, &pops, &prefetch, err, sizeof(err)), 0);
	mm = pops->mm_init(prefetch, "true");
	assert_int_equal(pops->fault(prefetch, mm, &fault, run), 1);
	assert_int_equal(run[0].vpn, 0x21);
	assert_int_equal(run[0].stride, 3);
	assert_int_equal(run[0].nr, 5);
	pops->hit(prefetch, mm, 0x24);
	pops->waste(prefetch, mm, 0x27);
	pops->mm_fini(prefetch, mm);
	pops->fini(prefetch);

	ops->forget_key(policy, 77);
	assert_int_equal(ops->resize(policy, 32), 0);
	ops->mm_gone(policy, 1);
	ops->fini(policy);
	assert_string_equal(dlsym(dl, "events_text"), expected);
	dlclose(dl);
}

static void test_prefetch_a_user_s_choice_is_not_overruled(void **state)
{
	const struct prefetch_ops *pops;
	void *prefetch;

	open_policy("hostile.so:good");
	assert_int_equal(prefetch_open("stride", false, &pops, &prefetch, err, sizeof(err)), 0);
	assert_ptr_equal(pops, prefetcher_find("stride"));
	pops->fini(prefetch);
	ops->fini(policy);
	assert_int_equal(prefetch_open("nonsense", true, &pops, &prefetch, err, sizeof(err)),
			 -EINVAL);
}

static void test_prefetch_answers_are_cut_to_what_was_asked(void **state)
{
	const struct prefetch_fault fault = { .vpn = 100, .vma_end = 1000, .max = 10, .mm = 1 };
	const struct prefetch_ops *pops;
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	void *prefetch, *mm;

	open_policy("hostile.so:good");
	assert_int_equal(prefetch_open("none", true, &pops, &prefetch, err, sizeof(err)), 0);
	mm = pops->mm_init(prefetch, "x");
	assert_int_equal(pops->fault(prefetch, mm, &fault, run), 2);
	assert_int_equal(run[0].vpn, 101);
	assert_int_equal(run[0].nr, 3);
	assert_int_equal(run[1].vpn, 98);
	assert_int_equal(run[1].stride, -2);
	assert_int_equal(run[1].nr, 7); /* of 100: max is 10 in all */
	ops->fini(policy);
	assert_int_equal(pops->fault(prefetch, mm, &fault, run), 0); /* "none" again */
	pops->mm_fini(prefetch, mm);
	pops->fini(prefetch);
}

/* ---- good ones ---- */

static void test_fifo_first_in_first_out_and_back_to_the_end(void **state)
{
	open_policy("fifo.so");
	for (int i = 0; i < 6; i++)
		insert(i);
	ops->forget(policy, &node[1]);
	held[1] = false;
	assert_int_equal(victim(), 0);
	assert_int_equal(victim(), 2);
	ops->putback(policy, &node[0], RECLAIM_TOUCHED);
	held[0] = true;
	ops->dropped(policy, &node[2]);
	assert_int_equal(victim(), 3);
	ops->evicted(policy, &node[3], 1);
	assert_int_equal(victim(), 4);
	assert_int_equal(victim(), 5);
	assert_int_equal(victim(), 0);
	assert_int_equal(victim(), -1);
	ops->fini(policy); /* with three of them out */
}

static void test_fair_the_largest_gives_first(void **state)
{
	char text[128];

	open_policy("fair.so:ahead=2");
	/* mm 1: 0 2 4 6, mm 2: 1 and, a stack, 7 */
	for (int i = 0; i <= 6; i += 2)
		insert(i);
	insert(1);
	insert(7);
	assert_int_equal(victim(), 0);
	assert_int_equal(victim(), 2);
	ops->putback(policy, &node[2], RECLAIM_TOUCHED);
	held[2] = true;
	assert_int_equal(victim(), 4);
	policy_describe(ops, policy, "as it was opened", text, sizeof(text));
	assert_string_equal(text, "as it was opened");
	assert_int_equal(drain(), 4);
	ops->fini(policy);
	refused("fair.so:ahead=x", "bad arguments");
}

/* ---- bad answers ---- */

/*
 * 10 pages; two are out, one of them evicted, when `kind` answers wrongly.  From then on the
 * default policy gives every page once, that which was out and comes back as well.
 */
static void falls_back(const char *kind, const char *why)
{
	char name[64], text[128];
	int first, second;

	snprintf(name, sizeof(name), "hostile.so:%s@3", kind);
	capture_begin();
	open_policy(name);
	for (int i = 0; i < 10; i++)
		insert(i);
	first = victim();
	second = victim();
	assert_true(first == 0 && second == 1);
	ops->evicted(policy, &node[0], 5);
	assert_true(victim() >= 2); /* the third: by the default already */
	policy_describe(ops, policy, "x", text, sizeof(text));
	ops->putback(policy, &node[1], RECLAIM_TOUCHED);
	held[1] = true;
	insert(20);
	ops->touch(policy, &node[20]);
	ops->forget(policy, &node[20]);
	held[20] = false;
	ops->forget_key(policy, 5);
	assert_int_equal(ops->resize(policy, 5), 0);
	assert_int_equal(drain(), 8);
	ops->fini(policy);
	capture_end();
	if (!strstr(captured, why) || !strstr(captured, "going on with " POLICY_DEFAULT "\n"))
		fail_msg("%s: said '%s', expected '…%s…'", kind, captured, why);
	assert_ptr_equal(strstr(captured, "going on"), strrchr(captured, ';') + 2);
	assert_non_null(strstr(text, POLICY_DEFAULT " (after a failure of "));
}

static void test_victim_bad_answers_the_default_takes_all_over(void **state)
{
	falls_back("garbage", "victim() gave a page that is gone or never was");
	falls_back("pointer", "victim() gave a page that is gone or never was");
	falls_back("twice", "victim() gave a page that it had given already");
	falls_back("dead", "victim() gave a page that is gone or never was");
	falls_back("null", "victim() gave no page though it holds 8");
	falls_back("ask-dead", "victim() asked about a page that is gone or never was");
	falls_back("set-dead", "victim() asked about a page that is gone or never was");
}

static void test_fall_back_with_pages_out_each_end_of_them_is_taken(void **state)
{
	capture_begin();
	open_policy("hostile.so:null@4");
	for (int i = 0; i < 5; i++)
		insert(i);
	for (int i = 0; i < 3; i++)
		assert_int_equal(victim(), i);
	assert_true(victim() >= 3);
	ops->evicted(policy, &node[0], 1);
	ops->dropped(policy, &node[1]);
	ops->putback(policy, &node[2], RECLAIM_REFUSED);
	held[2] = true;
	assert_int_equal(drain(), 2);
	ops->fini(policy);
	capture_end();
}

/*
 * Ten pages, of which it offers the last again and again; only the others can leave.  After 256
 * times they are taken, without being asked for.
 */
static void test_victim_only_one_that_cannot_leave_the_others_are_taken(void **state)
{
	int i, refused = 0, left = 0;

	capture_begin();
	open_policy("hostile.so:stubborn");
	for (i = 0; i < 10; i++)
		insert(i);
	while (left < 9 && refused < 300) {
		i = victim();
		if (i == 9) {
			ops->putback(policy, &node[9], RECLAIM_REFUSED);
			held[9] = true;
			refused++;
		} else if (left++ & 1) {
			ops->evicted(policy, &node[i], 1000);
		} else {
			ops->dropped(policy, &node[i]);
		}
	}
	capture_end();
	assert_string_equal(captured, "");
	assert_int_equal(left, 9);
	assert_int_equal(refused, 256);
	assert_int_equal(drain(), 1); /* and it knows that the others are gone */
	ops->fini(policy);
}

static void test_victim_taken_without_its_choice_comes_back(void **state)
{
	int i;

	open_policy("hostile.so:stubborn");
	for (i = 0; i < 3; i++)
		insert(i);
	for (int k = 0; k < 256; k++) {
		assert_int_equal(victim(), 2);
		ops->putback(policy, &node[2], RECLAIM_REFUSED);
		held[2] = true;
	}
	assert_int_equal(victim(), 0);
	ops->putback(policy, &node[0], RECLAIM_REFUSED); /* it too: then the next */
	held[0] = true;
	assert_int_equal(victim(), 1);
	ops->putback(policy, &node[1], RECLAIM_TOUCHED);
	held[1] = true;
	for (int k = 2; k < 64; k++) {
		i = victim();
		ops->putback(policy, &node[i], RECLAIM_REFUSED);
		held[i] = true;
	}
	assert_int_equal(victim(), i); /* the choice is its own again: the last that came back */
	ops->putback(policy, &node[i], RECLAIM_TOUCHED);
	held[i] = true;
	assert_int_equal(drain(), 3);
	ops->fini(policy);
}

static void test_begin_pages_that_another_policy_had_out_are_taken(void **state)
{
	open_policy("fifo.so");
	node[3].u32 = 12345; /* of that policy */
	node[3].where = 7;
	ops->putback(policy, &node[3], RECLAIM_TOUCHED);
	held[3] = true;
	node[4].u32 = 1;
	ops->evicted(policy, &node[4], 9);
	ops->dropped(policy, &node[5]);
	assert_int_equal(drain(), 1);
	ops->fini(policy);
}

static void prefetch_falls_back(const char *kind, const char *why)
{
	const struct prefetch_fault fault = { .vpn = 100, .vma_end = 1000, .max = 10, .mm = 1 };
	const struct prefetch_ops *pops;
	struct prefetch_run run[PREFETCH_MAX_RUNS];
	void *prefetch, *mm;
	char name[64];

	snprintf(name, sizeof(name), "hostile.so:%s", kind);
	capture_begin();
	open_policy(name);
	insert(1);
	assert_int_equal(prefetch_open("cluster:4", true, &pops, &prefetch, err, sizeof(err)), 0);
	mm = pops->mm_init(prefetch, "x");
	assert_int_equal(pops->fault(prefetch, mm, &fault, run), 0);
	assert_true(pops->fault(prefetch, mm, &fault, run) > 0); /* the cluster's */
	assert_int_equal(drain(), 1);
	pops->mm_fini(prefetch, mm);
	pops->fini(prefetch);
	ops->fini(policy);
	capture_end();
	if (!strstr(captured, why))
		fail_msg("%s: said '%s', expected '…%s…'", kind, captured, why);
}

static void test_prefetch_bad_answers_the_default_goes_on(void **state)
{
	prefetch_falls_back("many-runs", "prefetch() gave 1000 runs");
	prefetch_falls_back("stride-0", "prefetch() gave a run of stride 0");
}

/* ---- deaths ---- */

/* What the front says of a supervisor in which the third victim() is of this kind. */
static void dies(const char *kind, const char *why)
{
	struct plugin_watch *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char name[64], text[256] = "";
	int status;
	pid_t pid;

	assert_true(shared != MAP_FAILED);
	snprintf(name, sizeof(name), "hostile.so:%s@3", kind);
	capture_begin();
	pid = fork();
	if (!pid) {
		default_signals();
		host.watch = shared;
		open_policy(name);
		for (int i = 0; i < 10; i++)
			insert(i);
		for (int i = 0; i < 10; i++)
			(void)victim();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	capture_end();
	if (!plugin_epitaph(shared, status, text, sizeof(text)) || !strstr(text, why) ||
	    !strstr(text, "hostile.so"))
		fail_msg("%s: '%s', expected '…%s…'", kind, text, why);
	munmap(shared, sizeof(*shared));
}

static void test_victim_crashes_the_front_knows_in_what(void **state)
{
	dies("segv", "crashed in victim() (Segmentation fault)");
	dies("fpe", "crashed in victim() (Floating point exception)");
	dies("abort", "crashed in victim() (Aborted)");
	dies("exit", "ended the process in victim() (exit 0)");
	dies("_exit", "ended the process in victim() (exit 7)");
}

static void test_victim_does_not_return_the_watchdog_ends_it(void **state)
{
	dies("loop",
	     "did not return from victim() for 5 seconds"); /* one that sleeps: see init-sleep */
}

static void test_epitaph_a_death_outside_of_calls_is_not_its_fault(void **state)
{
	char text[64];

	open_policy("fifo.so");
	insert(1);
	assert_false(plugin_epitaph(&watch, 11, text, sizeof(text)));
	ops->fini(policy);
	assert_false(plugin_epitaph(&watch, 11, text, sizeof(text)));
}

/* ---- many steps ---- */

enum where { NOWHERE, HELD, OUT };

/* Random steps; the plug-in must have just the pages that it was given. */
static void random_steps(const char *name, u64 seed)
{
	enum where where[NR] = { NOWHERE };
	u64 nr_held = 0;

	open_policy(name);
	for (int step = 0; step < 20000; step++) {
		u32 i = next_random(&seed, NR), what = next_random(&seed, 4);
		struct reclaim_node *n;

		clock_ns += next_random(&seed, 1000000);
		if (where[i] == NOWHERE) {
			memset(&node[i], 0, sizeof(node[i]));
			ops->insert(policy, &node[i], 0, what & 1 ? RECLAIM_WRITE : 0);
			where[i] = HELD;
			nr_held++;
		} else if (where[i] == OUT) {
			if (what == 0)
				ops->evicted(policy, &node[i], step + 1);
			else if (what == 1)
				ops->dropped(policy, &node[i]);
			else
				ops->putback(policy, &node[i],
					     what == 2 ? RECLAIM_TOUCHED : RECLAIM_REFUSED);
			where[i] = what < 2 ? NOWHERE : HELD;
			nr_held += what >= 2;
		} else if (what == 0) {
			ops->forget(policy, &node[i]);
			where[i] = NOWHERE;
			nr_held--;
		} else if (what == 1) {
			ops->touch(policy, &node[i]);
		} else {
			n = ops->victim(policy);
			assert_non_null(n);
			assert_int_equal(where[n - node], HELD);
			where[n - node] = OUT;
			nr_held--;
		}
	}
	while (ops->victim(policy))
		nr_held--;
	assert_int_equal(nr_held, 0);
	ops->fini(policy);
}

static void test_random_steps_good_and_hostile_never_lose_a_page(void **state)
{
	static const char *const kinds[] = {"fifo.so",
					    "fair.so",
					    "hostile.so:good",
					    "hostile.so:twice@50",
					    "hostile.so:dead@500",
					    "hostile.so:null@1000"};
	u64 seed = 20261120;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		capture_begin();
		random_steps(kinds[i], seed + i);
		capture_end();
	}
}

static void test_names_what_is_a_plugin(void **state)
{
	assert_true(policy_is_plugin("./mine.so"));
	assert_true(policy_is_plugin("/a/b:c"));
	assert_true(policy_is_plugin("dir/mine.so:x=1"));
	assert_false(policy_is_plugin("sieve"));
	assert_false(policy_is_plugin("sieve:a=/b"));
	assert_false(policy_is_plugin("mine.so"));
	assert_int_equal(policy_open("nonsense", NR, &host, &ops, &policy, err, sizeof(err)),
			 -EINVAL);
	assert_non_null(strstr(err, "there are"));
	assert_non_null(strstr(err, " " POLICY_DEFAULT));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_what_is_a_plugin),
		cmocka_unit_test(test_open_what_is_no_plugin_is_refused_in_one_line),
		cmocka_unit_test(test_open_init_says_no_its_first_line_is_shown),
		cmocka_unit_test(test_try_init_dies_is_said_and_survived),
		cmocka_unit_test(test_open_a_file_built_anew_the_new_one_is_loaded),
		cmocka_unit_test(test_open_an_older_header_runs_without_the_newer_callbacks),
		cmocka_unit_test(test_calls_a_page_s_life_each_is_told_with_its_facts),
		cmocka_unit_test(test_prefetch_a_user_s_choice_is_not_overruled),
		cmocka_unit_test(test_prefetch_answers_are_cut_to_what_was_asked),
		cmocka_unit_test(test_fifo_first_in_first_out_and_back_to_the_end),
		cmocka_unit_test(test_fair_the_largest_gives_first),
		cmocka_unit_test(test_victim_bad_answers_the_default_takes_all_over),
		cmocka_unit_test(test_fall_back_with_pages_out_each_end_of_them_is_taken),
		cmocka_unit_test(test_victim_only_one_that_cannot_leave_the_others_are_taken),
		cmocka_unit_test(test_victim_taken_without_its_choice_comes_back),
		cmocka_unit_test(test_begin_pages_that_another_policy_had_out_are_taken),
		cmocka_unit_test(test_prefetch_bad_answers_the_default_goes_on),
		cmocka_unit_test(test_victim_crashes_the_front_knows_in_what),
		cmocka_unit_test(test_victim_does_not_return_the_watchdog_ends_it),
		cmocka_unit_test(test_epitaph_a_death_outside_of_calls_is_not_its_fault),
		cmocka_unit_test(test_random_steps_good_and_hostile_never_lose_a_page),
	};

	if (argc < 2) {
		fprintf(stderr, "usage: unit_plugin DIR\n");
		return 2;
	}
	dir = argv[1];
	return RUN(tests);
}
