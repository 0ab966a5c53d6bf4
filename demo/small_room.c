// SPDX-License-Identifier: MIT
/* 64 MiB of half-compressible numbers, and a small table in constant use beside them. */
#include "demo.h"

#define NR	 16384UL
#define NR_TABLE 256UL
#define WORDS	 (PAGE / sizeof(uint64_t))

/* The upper half of a page is noise, as in most programs' data; all of it follows from `i`. */
static uint64_t word_of(size_t i, size_t k)
{
	uint64_t x = i * WORDS + k;

	return k < WORDS / 2 ? i : (x * 0x9e3779b97f4a7c15) ^ (x * 0xd6e8feb86659fd93 >> 29);
}

int main(void)
{
	uint64_t *big = (uint64_t *)fresh_memory(NR * PAGE);
	uint64_t *table = (uint64_t *)fresh_memory(NR_TABLE * PAGE);
	unsigned long wrong = 0;
	double start;

	for (size_t i = 0; i < NR * WORDS; i++)
		big[i] = word_of(i / WORDS, i % WORDS);
	start = now_us();
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < NR; i++) {
			for (size_t k = 0; k < WORDS; k += 64)
				wrong += big[i * WORDS + k] != word_of(i, k);
			table[i * 4099 % NR_TABLE * WORDS]++;
		}
	}
	printf("%lu pages read three times: %.1f us a page, %lu wrong words\n", NR,
	       (now_us() - start) / (3.0 * NR), wrong);
	return wrong != 0;
}
