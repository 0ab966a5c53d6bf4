/* SPDX-License-Identifier: MIT */
/*
 * simulate.c - random operation streams against the model, for ctest, for a soak, and to replay a failure.
 *
 * A worker process runs episodes, each from a seed of its own; when it dies, the episode is made small and
 * printed as a list of operations, and its bytes as hex for `simulate -x HEX`.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shrink.h"

#define MAX_OPS 100000

/* What worker and parent share. */
struct progress {
	u64 seed;     /* of the episode that runs */
	u64 episodes; /* that ended well */
	struct sim_stats stats;
};

struct run {
	u64 seed;
	u64 episodes;  /* 0: until the time is over */
	u64 seconds;
	u64 ops;       /* of an episode */
	u32 verify_every;
};

/* splitmix64 */
static u64 next_random(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static void fill_random(u8 *data, size_t len, u64 seed)
{
	for (size_t i = 0; i < len; i += 8) {
		u64 x = next_random(&seed);

		memcpy(data + i, &x, 8);
	}
}

/* Fault-around and COW-around off, small, large: by the seed. */
static struct sim_options options_of(const struct run *run, u64 seed)
{
	static const u32 windows[4] = { 1, 4, 16, 64 };

	return (struct sim_options){
		.verify_every = run->verify_every,
		.prefetch_max_pages = windows[seed & 3],
		.cow_around = windows[seed >> 2 & 3],
	};
}

static double now_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void work(const struct run *run, struct progress *p)
{
	size_t len = run->ops * SIM_OP_BYTES;
	u8 *data = malloc(len);
	double end = now_seconds() + run->seconds;
	u64 seed = run->seed;

	BUG_ON(!data);
	while (run->episodes ? p->episodes < run->episodes : now_seconds() < end) {
		struct sim_options o = options_of(run, seed);

		p->seed = seed;
		fill_random(data, len, seed);
		sim_run(data, len, &o, &p->stats);
		p->episodes++;
		seed++;
	}
	free(data);
}

static void print_hex(const u8 *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", data[i]);
	putchar('\n');
}

static void report_failure(const struct run *run, u64 seed)
{
	struct sim_options o = options_of(run, seed);
	size_t len = run->ops * SIM_OP_BYTES;
	u8 *data = malloc(len);
	char signature[SIGNATURE_BYTES];

	BUG_ON(!data);
	fill_random(data, len, seed);
	printf("seed %" PRIu64 " failed (simulate -s %" PRIu64 " -n 1 -l %" PRIu64 " -v %u)\n", seed, seed,
	       run->ops, run->verify_every);
	if (run_in_child(data, len, &o, signature)) {
		printf("but not when run alone\n");
		return;
	}
	o.verify_every = 1; /* the sooner it fails the shorter */
	if (run_in_child(data, len, &o, signature))
		o.verify_every = run->verify_every;
	printf("%s; shrinking\n", signature);
	len = shrink(data, len, &o, signature);
	for (size_t i = 0; i < len; i += SIM_OP_BYTES) {
		printf("%4zu  ", i / SIM_OP_BYTES);
		sim_print_op(data + i, stdout);
	}
	printf("again with trace: simulate -w %u -c %u -x ", o.prefetch_max_pages, o.cow_around);
	print_hex(data, len);
	fflush(stdout);
	o.trace = true;
	sim_run(data, len, &o, NULL); /* ends in its BUG() */
	free(data);
}

static void print_stats(const struct progress *p, double seconds)
{
	const struct sim_stats *st = &p->stats;

	printf("%" PRIu64 " operations in %" PRIu64 " episodes, %.1f s: %" PRIu64 " calls (%" PRIu64
	       " done, %" PRIu64 " refused), %" PRIu64 " loads, %" PRIu64 " stores, %" PRIu64
	       " SIGSEGV, %" PRIu64 " forks, %" PRIu64 " faults, %" PRIu64 " read late, %" PRIu64
	       " hw errors, %" PRIu64 " pages dropped\n",
	       st->ops, p->episodes, seconds, st->calls, st->calls_ok, st->refusals, st->loads, st->stores,
	       st->segv, st->forks, st->faults, st->late, st->injected, st->drops);
	printf("  parked %" PRIu64 ", isolated %" PRIu64 ", refused %" PRIu64 ", staged %" PRIu64 ", rescued %" PRIu64
	       ", evicted %" PRIu64 " (clean %" PRIu64 "), swapped in %" PRIu64 " (prefetched %" PRIu64
	       "), I/O errors %" PRIu64 ", SIGBUS %" PRIu64 ", beyond the budget %" PRIu64
	       ", in the middle of calls %" PRIu64 "\n",
	       st->parked, st->isolated, st->refused, st->staged, st->rescued, st->evicted, st->clean,
	       st->swapped_in, st->prefetched, st->io_errors, st->sigbus, st->emergencies, st->between);
	for (u32 h = 1; h < NR_FAULT_HANDLERS; h++) {
		if (st->handled[h])
			printf("  %-24s %" PRIu64 "\n", fault_handler_name(h), st->handled[h]);
	}
}

static int simulate(const struct run *run)
{
	struct progress *p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
				  -1, 0);
	double start = now_seconds();
	int status;
	pid_t pid;

	BUG_ON(p == MAP_FAILED);
	printf("seeds from %" PRIu64 "\n", run->seed);
	fflush(NULL);
	pid = fork();
	BUG_ON(pid < 0);
	if (pid == 0) {
		work(run, p);
		_exit(0);
	}
	BUG_ON(waitpid(pid, &status, 0) != pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		report_failure(run, p->seed);
		return 1;
	}
	print_stats(p, now_seconds() - start);
	return 0;
}

static int replay(const char *hex, u32 window, u32 cow_around)
{
	struct sim_options o = { .verify_every = 1, .prefetch_max_pages = window, .cow_around = cow_around,
				 .trace = true };
	size_t len = strlen(hex) / 2;
	u8 *data = malloc(len + 1);

	BUG_ON(!data);
	for (size_t i = 0; i < len; i++) {
		unsigned int byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return 2;
		data[i] = byte;
	}
	sim_run(data, len, &o, NULL);
	free(data);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: simulate [-s SEED] [-n EPISODES | -t SECONDS] [-l OPS] [-v VERIFY_EVERY]\n"
			"       simulate [-w FAULT_AROUND] [-c COW_AROUND] -x HEX\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct run run = { .seed = 1, .episodes = 100, .ops = 800, .verify_every = 8 };
	const char *hex = NULL;
	u32 window = 1, cow_around = 1;
	int opt;

	while ((opt = getopt(argc, argv, "s:n:t:l:v:w:c:x:")) != -1) {
		switch (opt) {
		case 's': run.seed = strtoull(optarg, NULL, 0); break;
		case 'n': run.episodes = strtoull(optarg, NULL, 0); break;
		case 't':
			run.seconds = strtoull(optarg, NULL, 0);
			run.episodes = 0;
			break;
		case 'l': run.ops = strtoull(optarg, NULL, 0); break;
		case 'v': run.verify_every = strtoull(optarg, NULL, 0); break;
		case 'w': window = strtoull(optarg, NULL, 0); break;
		case 'c': cow_around = strtoull(optarg, NULL, 0); break;
		case 'x': hex = optarg; break;
		default: return usage();
		}
	}
	if (!run.ops || run.ops > MAX_OPS || optind != argc)
		return usage();
	return hex ? replay(hex, window, cow_around) : simulate(&run);
}
