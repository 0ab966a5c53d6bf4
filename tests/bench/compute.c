/* SPDX-License-Identifier: MIT */
/*
 * compute.c - work on 64 MiB of memory that is resident: rounds of a sequential sum and of
 * random updates.  Nothing faults, nothing is trapped.  Prints ns a random update.
 */
#include "bench.h"

#define NR_WORDS   (64 * MIB / sizeof(u64))
#define NR_ROUNDS  32
#define NR_UPDATES 1000000UL

int main(void)
{
	u64 nr_rounds = scaled(NR_ROUNDS), seed = 1, sum = 0, start;
	u64 *words = (u64 *)map_untouched(NR_WORDS * sizeof(u64));

	for (u64 i = 0; i < NR_WORDS; i++)
		words[i] = i;
	start = now_ns();
	for (u64 round = 0; round < nr_rounds; round++) {
		for (u64 i = 0; i < NR_WORDS; i++)
			sum += words[i];
		for (u64 i = 0; i < NR_UPDATES; i++)
			words[xorshift(&seed) % NR_WORDS] += sum;
	}
	print_per_op(now_ns() - start, nr_rounds * NR_UPDATES);
	return 0;
}
