/* SPDX-License-Identifier: MIT */
/*
 * measures.c - the measures of a run without a budget, one row each.  Those with a limit come first and are what upager
 * promises; the rest are for information, for whoever tunes placement above all.
 */
#include "driver.h"

#define BASH_LOOP                                                              \
	"n=200; [ -z \"$BENCH_QUICK\" ] || n=12; start=${EPOCHREALTIME/./};"       \
	"for ((i = 0; i < n; i++)); do /bin/true; done;"                       \
	"echo $(((${EPOCHREALTIME/./} - start) * 1000 / n))"

/* Random first touch by `t` threads that compute for `w` µs after each fault, n faults a thread. */
#define THREADS(t, w, n)                                                             \
	{ "threads-" t "-work-" w, "faulting threads: " t ", work: " w " us / native",  \
	  ARGV("randfault", "-t", t, "-w", w, "-n", n), NULL, BASE_NATIVE, VALUE_NS, 5, 0 }, \
	{ "hold-threads-" t "-work-" w, "faulting threads: " t ", work: " w " us / no-hold", \
	  ARGV("randfault", "-t", t, "-w", w, "-n", n), .base = BASE_OPTIONS, \
	  .options = ARGV("--no-hold"), .rounds = 5 }

#define PINNED(cpu)                                                                      \
	{ "pinned-cpu" cpu, "random write fault, pins itself to CPU " cpu " / bare loop there", \
	  ARGV("randfault", "-c", cpu), ARGV("barefault", "-c", cpu), BASE_BARE, VALUE_NS, 5, 0 }

/*
 * By what factor the same faults in the same order are slower with `large` than with `small`, divided by what
 * the bare loop says of the same two: with more mappings or wider spread pages the kernel itself
 * walks, allocates and misses more, natively too, and that is no cost of upager's.
 */
#define GROWS(n, option, small_arg, large_arg, max)                                        \
	ARGV("randfault", "-n", n, option, large_arg), ARGV("barefault", "-n", n, option, large_arg), \
	BASE_BARE, VALUE_NS, 7, max,                                                         \
	.small = ARGV("randfault", "-n", n, option, small_arg),                               \
	.bare_small = ARGV("barefault", "-n", n, option, small_arg)

/* What the checks of level 1, the default, cost. */
#define CHECK_COST(name, what, ...)                                                       \
	{ "check-" name, what ", --check 1 / --check 0", ARGV(__VA_ARGS__),                  \
	  .base = BASE_OPTIONS, .rounds = 5, .options = ARGV("--check", "0") }

static const struct measure rows[] = {
	{ "random-fault", "random first-touch write fault / bare userfaultfd loop",
	  ARGV("randfault"), ARGV("barefault"), BASE_BARE, VALUE_NS, 9, 1.25 },
	{ "sequential-touch", "sequential first touch of 256 MiB, a page / native",
	  ARGV("seqtouch"), NULL, BASE_NATIVE, VALUE_NS, 9, 1.0 },
	{ "compute", "compute on resident memory / native",
	  ARGV("compute"), NULL, BASE_NATIVE, VALUE_NS, 11, 1.01 },
	{ "fork-exec", "fork + exec of /bin/true / native",
	  ARGV("forkexec", "fork"), NULL, BASE_NATIVE, VALUE_NS, 7, 4 },
	{ "mmap-munmap", "mmap + munmap of 64 KiB / native",
	  ARGV("mmaploop"), NULL, BASE_NATIVE, VALUE_NS, 7, 10 },
	{ "write-read", "write + read of a pipe / native",
	  ARGV("rwloop", "pipe"), NULL, BASE_NATIVE, VALUE_NS, 9, 1.05 },
	{ "python-start", "python3 -c 'import json,re,subprocess' / native",
	  ARGV("/usr/bin/python3", "-c", "import json,re,subprocess"), NULL, BASE_NATIVE,
	  VALUE_WALL_NS, 15, 1.6 },
	{ "model-resident", "model memory, a resident page",
	  ARGV("modelmem", "resident"), NULL, BASE_NONE, VALUE_BYTES, 3, 96 },
	{ "model-mapped", "model memory, a mapped untouched page",
	  ARGV("modelmem", "mapped"), NULL, BASE_NONE, VALUE_BYTES, 3, 0.1 },

	{ "find-vma", "find_vma, 60,000 vmas made in order of address, ns",
	  ARGV("findvma", "60000"), NULL, BASE_MODEL, VALUE_NS, 7, 250 },
	{ "flat-vmas", "fault: (60,000 vmas / 10 vmas) / the same of the bare loop",
	  GROWS("60000", "-v", "10", "60000", 1.2) },
	{ "flat-mapped", "fault: (in 8 GiB / in 64 MiB) / the same of the bare loop",
	  GROWS("16384", "-s", "1", "128", 1.2) },

	{ "find-vma-shuffled", "find_vma, 60,000 vmas made in random order, ns",
	  ARGV("findvma", "60000", "shuffled"), NULL, BASE_MODEL, VALUE_NS, 5, 0 },
	{ "find-vma-1000", "find_vma, 1,000 vmas made in order of address, ns",
	  ARGV("findvma", "1000"), NULL, BASE_MODEL, VALUE_NS, 5, 0 },
	{ "find-vma-10", "find_vma, 10 vmas made in order of address, ns",
	  ARGV("findvma", "10"), NULL, BASE_MODEL, VALUE_NS, 5, 0 },
	CHECK_COST("fault", "random write fault", "randfault"),
	CHECK_COST("mmap", "mmap + munmap of 64 KiB", "mmaploop"),
	CHECK_COST("fork-exec", "fork + exec of /bin/true", "forkexec", "fork"),
	{ "spawn", "posix_spawn of /bin/true / native",
	  ARGV("forkexec", "spawn"), NULL, BASE_NATIVE, VALUE_NS, 5, 0 },
	{ "bash-loop", "bash loop of /bin/true / native",
	  ARGV("/bin/bash", "-c", BASH_LOOP), NULL, BASE_NATIVE, VALUE_NS, 5, 0 },
	{ "make-j2", "fork + exec of /bin/true, 2 side by side / native",
	  ARGV("forkexec", "fork", "2"), NULL, BASE_NATIVE, VALUE_NS, 5, 0 },
	{ "true-start", "start of /bin/true / native",
	  ARGV("/bin/true"), NULL, BASE_NATIVE, VALUE_WALL_NS, 15, 0 },
	{ "mmap-touch-munmap", "mmap + one write + munmap of 64 KiB / native",
	  ARGV("mmaploop", "touch"), NULL, BASE_NATIVE, VALUE_NS, 5, 0 },
	{ "write-read-dev", "write /dev/null + read /dev/zero / native",
	  ARGV("rwloop", "dev"), NULL, BASE_NATIVE, VALUE_NS, 5, 0 },
	{ "random-fault-native", "random first-touch write fault / native",
	  ARGV("randfault"), NULL, BASE_NATIVE, VALUE_NS, 5, 0 },

	PINNED("0"),
	PINNED("1"),
	THREADS("1", "0", "16384"),
	THREADS("1", "20", "8192"),
	THREADS("1", "200", "2048"),
	THREADS("2", "0", "16384"),
	THREADS("2", "20", "8192"),
	THREADS("2", "200", "2048"),
	THREADS("2", "500", "1024"),
	THREADS("4", "0", "8192"),
	THREADS("4", "20", "4096"),
	THREADS("4", "200", "1024"),
};

const struct measures plain_measures = { rows, ARRAY_SIZE(rows) };
