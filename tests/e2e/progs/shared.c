// SPDX-License-Identifier: MIT
/* Shared and file mappings beside private memory: the kernel's pages among the managed ones. */
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include "e2e.h"

#define RW (PROT_READ | PROT_WRITE)
#define AREA (16 * PAGE)

struct both {
	char *shared, *private;
};

static void write_both(void *arg)
{
	struct both *b = arg;

	check_marks(b->shared, AREA, 1);
	check_marks(b->private, AREA, 1);
	fill_marks(b->shared, AREA, 2);
	fill_marks(b->private, AREA, 3);
	check_marks(b->private, AREA, 3);
}

/* The child's writes show in the shared mapping and nowhere else. */
static void one_shared_one_private(char *shared)
{
	struct both b = { shared, map_anon(AREA) };

	fill_marks(b.shared, AREA, 1);
	fill_marks(b.private, AREA, 1);
	expect_exit(fork_run(write_both, &b), 0);
	check_marks(b.shared, AREA, 2);
	check_marks(b.private, AREA, 1);
	SYS(munmap(b.private, AREA));
}

static void shared_anonymous(void)
{
	char *s = SYS(mmap(NULL, AREA, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

	one_shared_one_private(s);
	SYS(munmap(s, AREA));
}

static void shared_file(void)
{
	int fd = marked_file(AREA, 1);
	char *s = SYS(mmap(NULL, AREA, RW, MAP_SHARED, fd, 0));
	uint64_t w;

	one_shared_one_private(s);
	SYS(msync(s, AREA, MS_SYNC));
	CHECK(SYS(pread(fd, &w, 8, 5 * PAGE)) == 8 && w == mark(2, 5));
	SYS(munmap(s, AREA));
	SYS(close(fd));
}

static void dev_zero(void)
{
	int fd = SYS(open("/dev/zero", O_RDWR));
	char *s = SYS(mmap(NULL, AREA, RW, MAP_SHARED, fd, 0));
	char *p = SYS(mmap(NULL, AREA, RW, MAP_PRIVATE, fd, 0));

	check_bytes(p, AREA, 0);
	one_shared_one_private(s);
	fill_marks(p, AREA, 4);
	check_marks(p, AREA, 4);
	SYS(mprotect(p, AREA, PROT_READ));
	SYS(madvise(p, AREA, MADV_DONTNEED));
	check_bytes(p, AREA, 0);
	SYS(munmap(s, AREA));
	SYS(munmap(p, AREA));
	SYS(close(fd));
}

static void memfd(void)
{
	int fd = SYS(memfd_create("e2e", MFD_CLOEXEC));
	char *s, *p;

	SYS(ftruncate(fd, AREA));
	s = SYS(mmap(NULL, AREA, RW, MAP_SHARED, fd, 0));
	p = SYS(mmap(NULL, AREA, RW, MAP_PRIVATE, fd, 0));
	one_shared_one_private(s);
	check_marks(p, AREA, 2);
	fill_marks(p, AREA, 5);
	check_marks(s, AREA, 2);
	check_marks(p, AREA, 5);
	SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, AREA));
	check_bytes(s, AREA, 0);
	check_marks(p, AREA, 5);
	SYS(munmap(s, AREA));
	SYS(munmap(p, AREA));
	SYS(close(fd));
}

static void sysv_shm(void)
{
	int id = SYS(shmget(IPC_PRIVATE, AREA, IPC_CREAT | 0600));
	char *s = SYS(shmat(id, NULL, 0)), *hole, *at;
	struct shmid_ds ds;

	SYS(shmctl(id, IPC_RMID, NULL));
	one_shared_one_private(s);
	hole = map_anon(2 * AREA);
	fill_marks(hole, 2 * AREA, 6);
	FAILS(EINVAL, shmat(id, hole, 0));
	at = SYS(shmat(id, hole, SHM_REMAP));
	CHECK(at == hole);
	check_marks(at, AREA, 2);
	for (size_t i = 16; i < 32; i++)
		CHECK(*(uint64_t *)(hole + i * PAGE) == mark(6, i));
	SYS(shmctl(id, IPC_STAT, &ds));
	CHECK(ds.shm_nattch == 2);
	SYS(shmdt(s));
	FAILS(EINVAL, shmdt(s));
	SYS(shmdt(at));
	SYS(munmap(hole, 2 * AREA));
}

static void cow_of_file(void *p)
{
	check_marks(p, AREA, 1);
	fill_marks(p, AREA, 8);
	check_marks(p, AREA, 8);
}

/* A written private file mapping is anonymous memory: private, inherited, lost on DONTNEED. */
static void private_file(void)
{
	int fd = marked_file(AREA, 1);
	char *p = SYS(mmap(NULL, AREA, RW, MAP_PRIVATE, fd, 0));
	uint64_t w;

	expect_exit(fork_run(cow_of_file, p), 0);
	check_marks(p, AREA, 1);
	fill_marks(p, AREA / 2, 7);
	check_marks(p, AREA / 2, 7);
	CHECK(SYS(pread(fd, &w, 8, PAGE)) == 8 && w == mark(1, 1));
	SYS(mprotect(p, AREA, PROT_READ));
	check_marks(p, AREA / 2, 7);
	SYS(madvise(p, AREA, MADV_DONTNEED));
	check_marks(p, AREA, 1);
	SYS(munmap(p, AREA));
	SYS(close(fd));
}

/* A file mapping replaced by anonymous memory and back, in the middle of a larger one. */
static void file_and_anonymous_mixed(void)
{
	int fd = marked_file(4 * PAGE, 1);
	char *p = map_anon(AREA);

	for (int i = 0; i < 30; i++) {
		fill_marks(p, AREA, i);
		SYS(mmap(p + 4 * PAGE, 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
		check_marks(p + 4 * PAGE, 4 * PAGE, 1);
		p[5 * PAGE + 100] = 1;
		SYS(mmap(p + 8 * PAGE, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
		check_marks(p + 8 * PAGE, 4 * PAGE, 1);
		CHECK(p[9 * PAGE + 100] == 0);
		SYS(mmap(p + 4 * PAGE, 8 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		check_bytes(p + 4 * PAGE, 8 * PAGE, 0);
		check_marks(p, 4 * PAGE, i);
	}
	SYS(munmap(p, AREA));
	SYS(close(fd));
}

/* The bytes beyond the end of file in its last page, and the bss that begins inside a page. */
static char small_bss[10];

static void partial_pages(void)
{
	int fd = marked_file(PAGE, 1);
	char *p;

	SYS(ftruncate(fd, PAGE + 100));
	p = SYS(mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0));
	check_bytes(p + PAGE, PAGE, 0);
	memset(p + PAGE, 9, PAGE);
	check_bytes(p + PAGE, PAGE, 9);
	check_bytes(small_bss, sizeof(small_bss), 0);
	SYS(munmap(p, 2 * PAGE));
	SYS(close(fd));
}

/* Process-shared mutex and condition in shared memory, the data they guard in private memory. */
struct ring {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int turn, rounds;
};

static void play(struct ring *r, int me)
{
	char *own = map_anon(AREA);

	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&r->lock);
		while (r->turn != me)
			pthread_cond_wait(&r->cond, &r->lock);
		fill_marks(own, AREA, i);
		r->rounds++;
		r->turn = !me;
		pthread_cond_broadcast(&r->cond);
		pthread_mutex_unlock(&r->lock);
		check_marks(own, AREA, i);
	}
}

static void play_one(void *r)
{
	play(r, 1);
}

static void ping_pong(void)
{
	struct ring *r = SYS(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	pthread_mutexattr_t ma;
	pthread_condattr_t ca;
	pid_t pid;

	pthread_mutexattr_init(&ma);
	pthread_mutexattr_setpshared(&ma, PTHREAD_PROCESS_SHARED);
	pthread_condattr_init(&ca);
	pthread_condattr_setpshared(&ca, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&r->lock, &ma);
	pthread_cond_init(&r->cond, &ca);
	pid = fork_run(play_one, r);
	play(r, 0);
	expect_exit(pid, 0);
	CHECK(r->rounds == 200);
	SYS(munmap(r, PAGE));
}

int main(void)
{
	RUN(shared_anonymous);
	RUN(shared_file);
	RUN(dev_zero);
	RUN(memfd);
	RUN(sysv_shm);
	RUN(private_file);
	RUN(file_and_anonymous_mixed);
	RUN(partial_pages);
	RUN(ping_pong);
	return 0;
}
