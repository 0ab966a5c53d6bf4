/* SPDX-License-Identifier: MIT */
/*
 * shrink.h - run a byte string in a process of its own, and make a failing one small.
 *
 * Who calls it: the random driver, when a run has failed; the fuzzer's replays go the same way.
 */
#ifndef UPAGER_SIM_SHRINK_H
#define UPAGER_SIM_SHRINK_H

#include "sim/stream.h"

#define SIGNATURE_BYTES 128

/*
 * Run data in a child, its stderr swallowed.  Returns true when it ended well.  Else `signature` says how it
 * failed, without what differs between two runs of the same failure.
 */
bool run_in_child(const u8 *data, size_t len, const struct sim_options *options,
		  char signature[SIGNATURE_BYTES]);

/*
 * Take operations out of data as long as it still fails with the same signature (delta debugging).
 * Returns the new length.  Pre: it fails.
 */
size_t shrink(u8 *data, size_t len, const struct sim_options *options,
	      const char signature[SIGNATURE_BYTES]);

#endif /* UPAGER_SIM_SHRINK_H */
