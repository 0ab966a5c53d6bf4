// SPDX-License-Identifier: MIT
/*
 * Futex operations by which the kernel itself writes to the futex's word: priority inheritance and FUTEX_WAKE_OP.  It cannot
 * wait there for a page that is missing, write-protected by a fork, or out of memory.
 */
#include <linux/futex.h>
#include "e2e.h"

#define STATES	   5
#define PRESS_SIZE (4 * MIB)

enum state { UNTOUCHED, ONLY_READ, OUT, SHARED, SHARED_AND_OUT };

static const char *const state_name[STATES] = { "untouched", "only read", "out", "shared", "shared and out" };
static char *press;

static long futex(uint32_t *word, int op, uint32_t val, void *timeout, uint32_t *word2, uint32_t val3)
{
	long ret = syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, val, timeout, word2, val3);

	return ret < 0 ? -errno : ret;
}

static void push_all_out(void)
{
	for (size_t i = 0; i < PRESS_SIZE; i += PAGE)
		press[i]++;
}

/* A child that keeps every page shared until it is told to go. */
struct sharer {
	pid_t pid;
	int go[2];
};

static struct sharer share(void)
{
	struct sharer s;
	char c;

	SYS(pipe(s.go));
	s.pid = SYS(fork());
	if (!s.pid) {
		close(s.go[1]);
		_exit(read(s.go[0], &c, 1) != 0);
	}
	close(s.go[0]);
	return s;
}

static void unshare_all(struct sharer *s)
{
	close(s->go[1]);
	expect_exit(s->pid, 0);
}

/* A word with `value` (0 where nothing may be written), on a page in that state. */
static uint32_t *word_in(enum state state, uint32_t value, struct sharer *s)
{
	uint32_t *word = map_anon(PAGE);

	if (state == ONLY_READ)
		CHECK(*(volatile uint32_t *)word == 0);
	if (state >= OUT)
		*word = value;
	if (state >= SHARED)
		*s = share();
	if (state == OUT || state == SHARED_AND_OUT)
		push_all_out();
	return word;
}

static void done_with(uint32_t *word, enum state state, struct sharer *s)
{
	if (state >= SHARED)
		unshare_all(s);
	SYS(munmap(word, PAGE));
}

static void locks(void)
{
	for (enum state state = 0; state < STATES; state++) {
		for (int try = 0; try < 2; try++) {
			struct sharer s;
			uint32_t *word = word_in(state, 0, &s);
			long ret = futex(word, try ? FUTEX_TRYLOCK_PI : FUTEX_LOCK_PI, 0, NULL, NULL, 0);

			CHECK(ret == 0 && *word == (uint32_t)gettid(), "%s: %ld, word %x", state_name[state], ret, *word);
			CHECK(futex(word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0 && *word == 0, "%s", state_name[state]);
			done_with(word, state, &s);
		}
	}
}

static void unlocks(void)
{
	for (enum state state = OUT; state < STATES; state++) {
		struct sharer s;
		uint32_t *word = word_in(state, gettid(), &s);
		long ret = futex(word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);

		CHECK(ret == 0 && *word == 0, "%s: %ld, word %x", state_name[state], ret, *word);
		done_with(word, state, &s);
	}
}

static void wake_ops(void)
{
	for (enum state state = 0; state < STATES; state++) {
		struct sharer s;
		uint32_t nobody = 0, *word = word_in(state, 7, &s), before = state >= OUT ? 7 : 0;
		long ret = futex(&nobody, FUTEX_WAKE_OP, 1, (void *)1, word, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0));

		CHECK(ret == 0 && *word == before + 5, "%s: %ld, word %u", state_name[state], ret, *word);
		done_with(word, state, &s);
	}
}

static void *lock_and_unlock(void *arg)
{
	CHECK(futex(arg, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == 0, "lock");
	CHECK(futex(arg, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0, "unlock");
	return NULL;
}

/* Who waits for the lock gets it, though the word has left meanwhile. */
static void handed_over(void)
{
	for (int shared = 0; shared < 2; shared++) {
		volatile uint32_t *word = map_anon(PAGE);
		pthread_t waiter;
		struct sharer s;

		*word = gettid();
		CHECK(pthread_create(&waiter, NULL, lock_and_unlock, (void *)word) == 0);
		while (!(*word & FUTEX_WAITERS))
			sched_yield();
		if (shared)
			s = share();
		push_all_out();
		CHECK(futex((uint32_t *)word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) == 0);
		CHECK(pthread_join(waiter, NULL) == 0);
		CHECK(*word == 0, "word %x", *word);
		if (shared)
			unshare_all(&s);
	}
}

static pthread_mutex_t mutex[2];
static unsigned long taken[2];

static void *take(void *arg)
{
	for (int i = 0; i < 3000; i++) {
		CHECK(pthread_mutex_lock(&mutex[i % 2]) == 0);
		taken[i % 2]++;
		CHECK(pthread_mutex_unlock(&mutex[i % 2]) == 0);
	}
	return NULL;
}

/* The C library's mutexes with priority inheritance, while forks protect them again and again. */
static void mutexes(void)
{
	pthread_mutexattr_t attr;
	pthread_t thread[3];

	CHECK(pthread_mutexattr_init(&attr) == 0 && pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT) == 0);
	for (int i = 0; i < 2; i++)
		CHECK(pthread_mutex_init(&mutex[i], &attr) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&thread[i], NULL, take, NULL) == 0);
	for (int i = 0; i < 30; i++) {
		struct sharer s = share();

		unshare_all(&s);
	}
	for (int i = 0; i < 3; i++)
		CHECK(pthread_join(thread[i], NULL) == 0);
	CHECK(taken[0] == 4500 && taken[1] == 4500, "%lu, %lu", taken[0], taken[1]);
}

/* What is not memory, or may not be written to, is refused as ever. */
static void refused(void)
{
	uint32_t *word = map_anon(2 * PAGE), nobody = 0;

	*word = 0;
	SYS(mprotect(word, PAGE, PROT_READ));
	SYS(munmap((char *)word + PAGE, PAGE));
	CHECK(futex(word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == -EFAULT, "read-only");
	CHECK(futex(word + PAGE / 4, FUTEX_LOCK_PI, 0, NULL, NULL, 0) == -EFAULT, "nothing");
	CHECK(futex(word + 1, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) < 0, "not ours");
	CHECK(futex(&nobody, FUTEX_WAKE_OP, 1, (void *)1, word, FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 0)) == -EFAULT,
	      "read-only");
}

int main(void)
{
	press = map_anon(PRESS_SIZE);
	RUN(locks);
	RUN(unlocks);
	RUN(wake_ops);
	RUN(handed_over);
	RUN(mutexes);
	RUN(refused);
	return 0;
}
