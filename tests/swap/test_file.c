/* SPDX-License-Identifier: MIT */
/*
 * The store on real files through a real ring: what was put comes back, and the kernel's own errors arrive; and
 * swap_file_open().  Files are made in the current directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pages.h"
#include "swap/store.h"
#include "sys/ring.h"

#define TAG      (3ULL << 32)
#define NR_SLOTS 600u

struct bed {
	struct ring ring;
	int fd;
	struct swap_store *store;
	struct swap_packer *packer;
	u32 nr_written, nr_read;
	int write_err, read_err; /* of the last that failed */
	_Alignas(PAGE_SIZE) u8 pages[NR_SLOTS][PAGE_SIZE];
};

static struct bed bed;
static char err[300];

static void on_read_done(void *arg, u32 slot, void *cookie, int error)
{
	struct bed *b = arg;

	assert_ptr_equal(cookie, &b->pages[slot]);
	b->nr_read++;
	if (error)
		b->read_err = error;
}

static void on_write_done(void *arg, u32 slot, int error)
{
	struct bed *b = arg;

	b->nr_written++;
	if (error)
		b->write_err = error;
}

static int open_here(void)
{
	bool direct;
	int fd = swap_file_open(".", 4 << 20, &direct, err, sizeof(err));

	if (fd < 0)
		fail_msg("%s", err);
	return fd;
}

/* fd: the bed's from now on. */
static struct bed *bed_make(int fd, u64 pool_bytes)
{
	struct bed *b = &bed;
	struct swap_config config = {
		.pool = pool_bytes, .pool_bytes = pool_bytes, .file = fd, .file_bytes = 4 << 20, .checksum = true,
		.seed = 1, .ring = &b->ring, .tag = TAG, .read_done = on_read_done,
		.write_done = on_write_done, .arg = b,
	};
	int ret;

	memset(b, 0, sizeof(*b));
	ret = ring_init(&b->ring);
	if (ret == -ENOSYS || ret == -EPERM) {
		print_message("io_uring is not allowed here\n");
		skip();
	}
	assert_int_equal(ret, 0);
	b->fd = fd;
	b->store = swap_store_create(&config);
	b->packer = swap_packer_create(SWAP_LZ4, pool_bytes, 1);
	assert_non_null(b->store);
	return b;
}

/* Take completions until at most nr requests are in flight. */
static void bed_wait(struct bed *b, u32 nr)
{
	struct ring_event ev[16];

	while (swap_store_busy(b->store) > nr) {
		int n = ring_wait(&b->ring, ev, ARRAY_SIZE(ev), 10000000000);

		assert_true(n > 0);
		for (int i = 0; i < n; i++)
			swap_store_event(b->store, ev[i].tag, ev[i].res);
	}
}

static void bed_end(struct bed *b)
{
	struct swap_store_stats stats;

	bed_wait(b, 0);
	for (u32 slot = 0; slot < NR_SLOTS; slot++)
		swap_store_drop(b->store, slot);
	swap_store_stats(b->store, &stats);
	assert_int_equal(stats.file_pages, 0);
	swap_store_destroy(b->store);
	swap_packer_destroy(b->packer);
	ring_fini(&b->ring);
	close(b->fd);
}

static int bed_put(struct bed *b, u32 slot)
{
	static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE];
	static struct packed packed;
	int ret;

	page_fill(page, PAGE_HALF, slot);
	swap_pack(b->packer, page, &packed);
	while ((ret = swap_store_put(b->store, slot, &packed)) == -EAGAIN)
		bed_wait(b, swap_store_busy(b->store) - 1);
	return ret;
}

/* Ask for slots [0, nr), as many at once as the store takes. */
static void bed_get_all(struct bed *b, u32 nr)
{
	for (u32 slot = 0; slot < nr; slot++) {
		int ret;

		while ((ret = swap_store_get(b->store, slot, b->pages[slot], &b->pages[slot])) == -EAGAIN)
			bed_wait(b, swap_store_busy(b->store) - 1);
		assert_true(ret == 0 || ret == -EINPROGRESS);
	}
	bed_wait(b, 0);
}

static void bed_check(const struct bed *b, u32 slot)
{
	static u8 expected[PAGE_SIZE];

	page_fill(expected, PAGE_HALF, slot);
	assert_memory_equal(b->pages[slot], expected, PAGE_SIZE);
}

static void round_trip(u64 pool_bytes)
{
	struct bed *b = bed_make(open_here(), pool_bytes);
	struct swap_store_stats stats;

	for (u32 slot = 0; slot < NR_SLOTS; slot++) {
		int ret = bed_put(b, slot);

		assert_true(ret == -EINPROGRESS || (pool_bytes && ret == 0));
		if (slot % 8 == 0) /* what is spilled must have left, or the next go to the file themselves */
			bed_wait(b, 0);
	}
	bed_wait(b, 0);
	bed_get_all(b, NR_SLOTS);
	for (u32 slot = 0; slot < NR_SLOTS; slot++)
		bed_check(b, slot);
	swap_store_stats(b->store, &stats);
	assert_int_equal(stats.file_pages, b->nr_written + stats.spilled);
	assert_int_equal(stats.file_pages, b->nr_read);
	assert_int_equal(stats.file_bytes_read, b->nr_read * PAGE_SIZE);
	assert_true(pool_bytes ? stats.spilled > 100 : b->nr_written == NR_SLOTS);
	assert_int_equal(b->read_err | b->write_err, 0);
	bed_end(b);
}

static void test_store_file_alone_gives_back_what_it_got(void **state)
{
	round_trip(0);
}

static void test_store_pool_and_file_give_back_what_they_got(void **state)
{
	round_trip(256 << 10);
}

static void test_store_put_descriptor_is_read_only_fails_and_keeps_nothing(void **state)
{
	int fd = open_here(), readonly;
	char path[64];
	struct bed *b;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readonly = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(readonly >= 0);
	close(fd);
	b = bed_make(readonly, 0);
	for (u32 slot = 0; slot < 40; slot++)
		assert_int_equal(bed_put(b, slot), -EINPROGRESS);
	bed_wait(b, 0);
	assert_int_equal(b->nr_written, 40);
	assert_int_equal(b->write_err, -EBADF);
	bed_end(b);
}

static void test_store_put_device_full_is_enospc(void **state)
{
	struct bed *b = bed_make(open("/dev/full", O_RDWR | O_CLOEXEC), 0);
	struct swap_store_stats stats;
	u64 hash[2];

	for (u32 slot = 0; slot < 40; slot++)
		assert_int_equal(bed_put(b, slot), -EINPROGRESS);
	bed_wait(b, 0);
	assert_int_equal(b->nr_written, 40);
	assert_int_equal(b->write_err, -ENOSPC);
	assert_false(swap_store_hash(b->store, 3, hash));
	swap_store_stats(b->store, &stats);
	assert_int_equal(stats.write_errors, 40);
	assert_int_equal(stats.file_bytes_written, 0);
	bed_end(b);
}

/* The pool holds what the full device would not take. */
static void test_store_spill_device_full_loses_nothing(void **state)
{
	struct bed *b = bed_make(open("/dev/full", O_RDWR | O_CLOEXEC), 256 << 10);
	u32 nr = 0, put[NR_SLOTS];

	for (u32 slot = 0; slot < NR_SLOTS / 2; slot++)
		if (bed_put(b, slot) == 0)
			put[nr++] = slot;
	bed_wait(b, 0);
	assert_true(nr > 60);
	for (u32 i = 0; i < nr; i++) {
		assert_int_equal(swap_store_get_now(b->store, put[i], b->pages[put[i]]), 0);
		bed_check(b, put[i]);
	}
	assert_int_equal(b->write_err, -ENOSPC);
	bed_end(b);
}

/* The file's end is cut off under us: those pages, and only those, cannot be read. */
static void test_store_get_file_cut_short_is_eio(void **state)
{
	struct bed *b = bed_make(open_here(), 0);
	struct swap_store_stats stats;

	for (u32 slot = 0; slot < 100; slot++)
		assert_int_equal(bed_put(b, slot), -EINPROGRESS);
	bed_wait(b, 0);
	assert_int_equal(ftruncate(b->fd, 60 * PAGE_SIZE), 0);
	bed_get_all(b, 100);
	assert_int_equal(b->read_err, -EIO);
	for (u32 slot = 0; slot < 60; slot++)
		bed_check(b, slot);
	swap_store_stats(b->store, &stats);
	assert_int_equal(stats.read_errors, 40);
	bed_end(b);
}

static void test_store_get_byte_changed_in_file_is_eio(void **state)
{
	struct bed *b = bed_make(open_here(), 0);
	static _Alignas(PAGE_SIZE) u8 page[PAGE_SIZE];
	struct swap_store_stats stats;

	for (u32 slot = 0; slot < 50; slot++)
		assert_int_equal(bed_put(b, slot), -EINPROGRESS);
	bed_wait(b, 0);
	page_fill(page, PAGE_HALF, 7);
	page[4000] = 1;
	assert_int_equal(pwrite(b->fd, page, PAGE_SIZE, 7 * PAGE_SIZE), PAGE_SIZE);
	bed_get_all(b, 50);
	assert_int_equal(b->read_err, -EIO);
	for (u32 slot = 0; slot < 50; slot++)
		if (slot != 7)
			bed_check(b, slot);
	swap_store_stats(b->store, &stats);
	assert_int_equal(stats.checksum_errors, 1);
	bed_end(b);
}

/* Slots are dropped while the kernel reads and writes them; others come in their place. */
static void test_store_drop_in_flight_completions_are_cleaned_up(void **state)
{
	struct bed *b = bed_make(open_here(), 0);

	for (u32 round = 0; round < 20; round++) {
		for (u32 slot = 0; slot < 100; slot++)
			assert_int_equal(bed_put(b, slot), -EINPROGRESS);
		for (u32 slot = round; slot < 100; slot += 3) /* writes */
			swap_store_drop(b->store, slot);
		bed_wait(b, 0);
		for (u32 slot = 0; slot < 100; slot++) {
			int want = slot >= round && (slot - round) % 3 == 0 ? 0 : -EINPROGRESS;

			if (want)
				assert_int_equal(swap_store_get(b->store, slot, b->pages[slot],
								&b->pages[slot]), want);
			swap_store_drop(b->store, slot); /* reads */
		}
		assert_int_equal(b->read_err, 0);
		bed_wait(b, 0);
		assert_int_equal(b->read_err, -ECANCELED);
		b->read_err = 0;
	}
	assert_int_equal(b->write_err, 0);
	bed_end(b);
}

/* ---- swap_file_open ---- */

static void test_swap_file_open_directory_file_is_private_nameless_and_has_its_space(void **state)
{
	bool direct;
	int fd = swap_file_open(".", 1 << 20, &direct, err, sizeof(err));
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_size, 1 << 20);
	assert_true(st.st_blocks * 512 >= 1 << 20);
	assert_int_equal(!!(fcntl(fd, F_GETFL) & O_DIRECT), direct);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
}

static void test_swap_file_open_new_name_is_gone_at_once(void **state)
{
	bool direct;
	int fd = swap_file_open("swap-test-file", 1 << 20, &direct, err, sizeof(err));
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(access("swap-test-file", F_OK), -1);
	close(fd);
}

static void expect_refusal(const char *path, u64 size, const char *says)
{
	bool direct;

	err[0] = 0;
	assert_int_equal(swap_file_open(path, size, &direct, err, sizeof(err)), -1);
	if (!strstr(err, says) || strchr(err, '\n'))
		fail_msg("\"%s\" does not say \"%s\" in one line", err, says);
}

static void test_swap_file_open_bad_paths_and_sizes_are_refused_with_a_line(void **state)
{
	int fd = open("swap-test-there", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct stat st;

	assert_int_equal(write(fd, "precious", 8), 8);
	close(fd);
	expect_refusal("swap-test-there", 1 << 20, "overwrites no file");
	assert_int_equal(stat("swap-test-there", &st), 0);
	assert_int_equal(st.st_size, 8);
	unlink("swap-test-there");
	assert_int_equal(symlink("swap-test-nowhere", "swap-test-link"), 0);
	expect_refusal("swap-test-link", 1 << 20, "File exists");
	unlink("swap-test-link");
	expect_refusal("/dev/null", 1 << 20, "is not a file");
	expect_refusal("no/such/place", 1 << 20, "No such file or directory");
	expect_refusal(".", 4095, "at least 4096");
	expect_refusal(".", UINT64_MAX, "at least 4096");
	expect_refusal(".", 1ULL << 60, "give a smaller size");
}

static void test_swap_file_open_above_file_size_limit_is_refused_not_killed(void **state)
{
	struct rlimit old, small = { 1 << 19, RLIM_INFINITY };

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	expect_refusal(".", 1 << 20, "ulimit -f");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

/* In a child with its own mounts: a tmpfs of 1 MiB.  Returns its exit code. */
static int in_small_tmpfs(void)
{
	bool direct;
	int fd;

	mkdir("swap-test-mount", 0700);
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("swap", "swap-test-mount", "tmpfs", 0, "size=1m"))
		return 77;
	if (swap_file_open("swap-test-mount", 2 << 20, &direct, err, sizeof(err)) >= 0 ||
	    !strstr(err, "no room for 2097152 bytes"))
		return 1;
	fd = swap_file_open("swap-test-mount", 1 << 19, NULL, err, sizeof(err));
	return fd >= 0 ? 0 : 2;
}

static void test_swap_file_open_tmpfs_without_room_is_refused(void **state)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(in_small_tmpfs());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rmdir("swap-test-mount");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("no mount namespace or tmpfs for this user\n");
		skip();
	}
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_file_alone_gives_back_what_it_got),
		cmocka_unit_test(test_store_pool_and_file_give_back_what_they_got),
		cmocka_unit_test(test_store_put_descriptor_is_read_only_fails_and_keeps_nothing),
		cmocka_unit_test(test_store_put_device_full_is_enospc),
		cmocka_unit_test(test_store_spill_device_full_loses_nothing),
		cmocka_unit_test(test_store_get_file_cut_short_is_eio),
		cmocka_unit_test(test_store_get_byte_changed_in_file_is_eio),
		cmocka_unit_test(test_store_drop_in_flight_completions_are_cleaned_up),
		cmocka_unit_test(test_swap_file_open_directory_file_is_private_nameless_and_has_its_space),
		cmocka_unit_test(test_swap_file_open_new_name_is_gone_at_once),
		cmocka_unit_test(test_swap_file_open_bad_paths_and_sizes_are_refused_with_a_line),
		cmocka_unit_test(test_swap_file_open_above_file_size_limit_is_refused_not_killed),
		cmocka_unit_test(test_swap_file_open_tmpfs_without_room_is_refused),
	};

	return RUN(tests);
}
