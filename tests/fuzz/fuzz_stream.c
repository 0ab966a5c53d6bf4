/* SPDX-License-Identifier: MIT */
/*
 * fuzz_stream.c - libFuzzer drives the simulation: its input is the stream of operations of lib/sim/stream.h.
 *
 * A finding is a BUG() (model, oracle and machine differ), a sanitizer's report, or a hang.  To read one:
 * `simulate -w 8 -c 4 -x HEX`, as fuzz.sh prints it.
 */
#include "sim/stream.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t len);

int LLVMFuzzerTestOneInput(const u8 *data, size_t len)
{
	static const struct sim_options options = { .prefetch_max_pages = 8, .cow_around = 4 };

	sim_run(data, len, &options, NULL);
	return 0;
}
