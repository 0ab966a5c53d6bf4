/* SPDX-License-Identifier: MIT */
/*
 * stream.h - a byte string is a run of the simulation.
 *
 * Who calls it: the random driver and the fuzzer.  SIM_OP_BYTES bytes are one operation, decoded without
 * looking at the state, so that operations can be cut out of a string (shrinking) and printed.
 */
#ifndef UPAGER_SIM_STREAM_H
#define UPAGER_SIM_STREAM_H

#include <stdio.h>

#include "sim/sim.h"

#define SIM_OP_BYTES 8

struct sim_options {
	/*
	 * mm_world_verify() after every nth operation, mm_verify() of one space after all others; 0: only at the
	 * end.  The comparison with oracle and machine is made after each operation in any case.
	 */
	u32 verify_every;
	u32 prefetch_max_pages, cow_around;
	bool trace;       /* print each operation before it is done, to stderr */
};

/*
 * Run data[0..len) from an empty world to an empty world; a shorter last operation is left out.
 * A difference between model, oracle and machine is a BUG().  Adds to *stats unless NULL.
 */
void sim_run(const u8 *data, size_t len, const struct sim_options *options, struct sim_stats *stats);

/* One line that says what these SIM_OP_BYTES bytes do. */
void sim_print_op(const u8 *bytes, FILE *f);

#endif /* UPAGER_SIM_STREAM_H */
