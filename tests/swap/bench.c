/* SPDX-License-Identifier: MIT */
/*
 * bench - what the swap stores cost, in ns a page.  Not timed in the suite; in a release build:
 *
 *	swap_bench [DIRECTORY]		with a directory also a swap file there
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "pages.h"
#include "swap/store.h"
#include "sys/ring.h"

#define NR     20000u
#define ROUNDS 5u

static u8 *pages;           /* NR of them */
static struct packed *packs;
static _Alignas(PAGE_SIZE) u8 out[PAGE_SIZE];

/* The pool's figures are CPU time, so that a busy machine does little to them; the file's are not. */
static u64 now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "swap_bench: %s\n", what);
	exit(1);
}

/* Slots in an order that no cache foresees. */
static u32 scattered(u32 i)
{
	return (u32)((u64)i * 7919 % NR);
}

static void bench_pool(enum swap_algo algo, enum page_kind kind, const char *name)
{
	struct swap_config config = { .pool = true, .pool_bytes = 1 << 30, .algo = algo, .file = -1 };
	struct swap_store *store = swap_store_create(&config);
	struct swap_packer *packer = swap_packer_create(algo, true, 1);
	struct swap_store_stats stats;
	u64 pack = 0, first = 0, put = 0, get = 0, drop = 0, start;

	for (u32 i = 0; i < NR; i++)
		page_fill(pages + i * PAGE_SIZE, kind, i);
	for (u32 round = 0; round < ROUNDS; round++) {
		start = now_ns(CLOCK_THREAD_CPUTIME_ID);
		for (u32 i = 0; i < NR; i++)
			swap_pack(packer, pages + i * PAGE_SIZE, &packs[i]);
		pack += now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		start = now_ns(CLOCK_THREAD_CPUTIME_ID);
		for (u32 i = 0; i < NR; i++)
			must(swap_store_put(store, i, &packs[i]) == 0, "put");
		*(round ? &put : &first) += now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		start = now_ns(CLOCK_THREAD_CPUTIME_ID);
		for (u32 i = 0; i < NR; i++)
			must(swap_store_get_now(store, scattered(i), out) == 0, "get");
		get += now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		swap_store_stats(store, &stats);
		start = now_ns(CLOCK_THREAD_CPUTIME_ID);
		for (u32 i = 0; i < NR; i++)
			swap_store_drop(store, scattered(i));
		drop += now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
	}
	printf("%-4s %-7s pack %5lu  first put %5lu  put %5lu  get %5lu  drop %5lu  bytes %5.0f (%.0f)\n",
	       algo == SWAP_LZ4 ? "lz4" : "zstd", name, (unsigned long)(pack / NR / ROUNDS),
	       (unsigned long)(first / NR), (unsigned long)(put / NR / (ROUNDS - 1)),
	       (unsigned long)(get / NR / ROUNDS), (unsigned long)(drop / NR / ROUNDS),
	       (double)stats.pool_bytes / NR, (double)stats.packed_bytes / NR);
	swap_packer_destroy(packer);
	swap_store_destroy(store);
}

static u32 nr_failed;

static void on_read_done(void *arg, u32 slot, void *cookie, int err)
{
	nr_failed += err != 0;
}

static void on_write_done(void *arg, u32 slot, int err)
{
	nr_failed += err != 0;
}

static void wait_below(struct ring *ring, struct swap_store *store, u32 nr)
{
	struct ring_event ev[64];

	while (swap_store_busy(store) > nr) {
		int n = ring_wait(ring, ev, ARRAY_SIZE(ev), UINT64_MAX);

		for (int i = 0; i < n; i++)
			swap_store_event(store, ev[i].tag, ev[i].res);
	}
}

static void file_put_all(struct ring *ring, struct swap_store *store)
{
	for (u32 i = 0; i < NR; i++)
		while (swap_store_put(store, i, &packs[i]) == -EAGAIN)
			wait_below(ring, store, swap_store_busy(store) - 1);
	wait_below(ring, store, 0);
}

/* Every slot, `depth` reads at a time. */
static u64 file_get_all(struct ring *ring, struct swap_store *store, u32 depth, bool in_order)
{
	u64 start = now_ns(CLOCK_MONOTONIC);

	for (u32 i = 0; i < NR; i += depth) {
		for (u32 k = i; k < i + depth && k < NR; k++)
			must(swap_store_get(store, in_order ? k : scattered(k), pages + k * PAGE_SIZE, NULL) ==
			     -EINPROGRESS, "read");
		wait_below(ring, store, 0);
	}
	return (now_ns(CLOCK_MONOTONIC) - start) / NR;
}

static void bench_file(const char *dir)
{
	static struct ring ring;
	struct swap_config config = { .file_bytes = 2UL * NR * PAGE_SIZE, .checksum = true, .seed = 1,
				      .ring = &ring, .read_done = on_read_done, .write_done = on_write_done };
	struct swap_packer *packer = swap_packer_create(SWAP_LZ4, false, 1);
	struct swap_store *store;
	bool direct;
	char err[300];
	u64 start;

	config.file = swap_file_open(dir, config.file_bytes, &direct, err, sizeof(err));
	must(config.file >= 0, err);
	must(ring_init(&ring) == 0, "no io_uring");
	store = swap_store_create(&config);
	for (u32 i = 0; i < NR; i++) {
		page_fill(pages + i * PAGE_SIZE, PAGE_HALF, i);
		swap_pack(packer, pages + i * PAGE_SIZE, &packs[i]);
	}
	printf("file %s", direct ? "O_DIRECT" : "buffered");
	start = now_ns(CLOCK_MONOTONIC);
	file_put_all(&ring, store);
	printf("  write %5lu", (unsigned long)((now_ns(CLOCK_MONOTONIC) - start) / NR));
	printf("  read 1 at a time %6lu", (unsigned long)file_get_all(&ring, store, 1, false));
	printf("  64 scattered %5lu", (unsigned long)file_get_all(&ring, store, 64, false));
	printf("  64 in order %5lu\n", (unsigned long)file_get_all(&ring, store, 64, true));
	must(!nr_failed, "requests failed");
	for (u32 i = 0; i < NR; i++)
		swap_store_drop(store, i);
	swap_store_destroy(store);
	swap_packer_destroy(packer);
	ring_fini(&ring);
	close(config.file);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "zero", "same", "text", "half", "mixed", "random" };

	pages = aligned_alloc(PAGE_SIZE, NR * PAGE_SIZE);
	packs = calloc(NR, sizeof(*packs));
	must(pages && packs, "no memory");
	for (enum swap_algo algo = SWAP_LZ4; algo <= SWAP_ZSTD; algo++)
		for (enum page_kind kind = PAGE_ZERO; kind < NR_PAGE_KINDS; kind++)
			bench_pool(algo, kind, names[kind]);
	if (argc > 1)
		bench_file(argv[1]);
	free(packs);
	free(pages);
	return 0;
}
