// SPDX-License-Identifier: MIT
/* Many threads touch the same new pages at the same moment: each page is made once. */
#include <pthread.h>
#include <stdatomic.h>
#include "demo.h"

#define NR_THREADS 8
#define NR_PAGES 2000

static pthread_barrier_t start;
static char *area;

static void *count_on_each_page(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&start);
	for (int i = 0; i < NR_PAGES; i++)
		atomic_fetch_add((atomic_int *)(area + i * 37 % NR_PAGES * PAGE), 1);
	return NULL;
}

int main(void)
{
	pthread_t t[NR_THREADS];
	int right = 0;

	area = fresh_memory(NR_PAGES * PAGE);
	pthread_barrier_init(&start, NULL, NR_THREADS);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_create(&t[i], NULL, count_on_each_page, NULL);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < NR_PAGES; i++)
		right += *(int *)(area + i * PAGE) == NR_THREADS;
	printf("%d threads counted on %d new pages at once; %d pages have the right count\n",
	       NR_THREADS, NR_PAGES, right);
	return right == NR_PAGES ? 0 : 1;
}
