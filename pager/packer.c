/* SPDX-License-Identifier: MIT */
/* packer.c - see packer.h.  Start reading at packer_main(). */
#include "packer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"

struct packer {
	pthread_t thread;
	pthread_mutex_t lock; /* guards todo, done and stop */
	pthread_cond_t more;
	struct list_head todo, done;
	_Atomic u32 nr_done;  /* in done */
	bool stop;
	int fd; /* eventfd: counts done jobs */
	struct swap_packer *swap, *swap_here; /* the thread's, and packer_run()'s */
	u8 *buf, *buf_here; /* the pages of one job */
};

/* Read the job's pages, runs of neighbours by one call.  A short read leaves the rest GONE. */
static void read_pages(struct pack_job *job, u8 *buf)
{
	for (u32 i = 0, n; i < job->nr; i += n) {
		ssize_t got;

		n = 1;
		while (i + n < job->nr && job->page[i + n].addr == job->page[i].addr + n * PAGE_SIZE)
			n++;
		got = pread(job->mem, buf + i * PAGE_SIZE, n * PAGE_SIZE, (off_t)job->page[i].addr);
		for (u32 k = 0; k < n; k++)
			job->page[i + k].result =
				got >= (ssize_t)((k + 1) * PAGE_SIZE) ? PACK_STORE : PACK_GONE;
	}
}

static void pack(struct swap_packer *swap, u8 *buf, struct pack_job *job)
{
	read_pages(job, buf);
	for (u32 i = 0; i < job->nr; i++) {
		struct pack_page *page = &job->page[i];
		const u8 *bytes = buf + i * PAGE_SIZE;
		u64 hash[2];

		if (page->result == PACK_GONE)
			continue;
		if (page->has_known) {
			swap_hash(swap, bytes, hash);
			if (hash[0] == page->known[0] && hash[1] == page->known[1]) {
				page->result = PACK_CLEAN;
				continue;
			}
		}
		swap_pack(swap, bytes, &page->packed);
	}
}

static void *packer_main(void *arg)
{
	struct packer *p = arg;
	struct pack_job *job;
	u64 one = 1;

	pthread_setname_np(pthread_self(), "upager-pack");
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (list_empty(&p->todo) && !p->stop)
			pthread_cond_wait(&p->more, &p->lock);
		if (list_empty(&p->todo))
			break;
		job = list_first_entry(&p->todo, struct pack_job, link);
		list_del(&job->link);
		pthread_mutex_unlock(&p->lock);
		pack(p->swap, p->buf, job);
		pthread_mutex_lock(&p->lock);
		list_add_tail(&job->link, &p->done);
		p->nr_done++;
		if (write(p->fd, &one, sizeof(one)) != sizeof(one))
			BUG("eventfd");
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Signals are the loop's. */
static int start_thread(struct packer *p)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&p->thread, NULL, packer_main, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

static void packer_free(struct packer *p)
{
	if (p->swap)
		swap_packer_destroy(p->swap);
	if (p->swap_here)
		swap_packer_destroy(p->swap_here);
	if (p->fd >= 0)
		close(p->fd);
	free(p->buf);
	free(p->buf_here);
	free(p);
}

struct packer *packer_create(enum swap_algo algo, bool compress, u64 seed)
{
	struct packer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	list_init(&p->todo);
	list_init(&p->done);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, NULL);
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->buf = aligned_alloc(PAGE_SIZE, JOB_PAGES * PAGE_SIZE);
	p->buf_here = aligned_alloc(PAGE_SIZE, JOB_PAGES * PAGE_SIZE);
	p->swap = swap_packer_create(algo, compress, seed);
	p->swap_here = swap_packer_create(algo, compress, seed);
	if (p->fd >= 0 && p->buf && p->buf_here && p->swap && p->swap_here && !start_thread(p))
		return p;
	packer_free(p);
	return NULL;
}

void packer_destroy(struct packer *p)
{
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	BUG_ON(!list_empty(&p->done));
	packer_free(p);
}

int packer_fd(const struct packer *p)
{
	return p->fd;
}

void packer_submit(struct packer *p, struct pack_job *job)
{
	pthread_mutex_lock(&p->lock);
	list_add_tail(&job->link, &p->todo);
	pthread_cond_signal(&p->more);
	pthread_mutex_unlock(&p->lock);
}

void packer_run(struct packer *p, struct pack_job *job)
{
	pack(p->swap_here, p->buf_here, job);
}

struct pack_job *packer_next(struct packer *p)
{
	struct pack_job *job = NULL;

	if (!p->nr_done)
		return NULL;
	pthread_mutex_lock(&p->lock);
	if (!list_empty(&p->done)) {
		job = list_first_entry(&p->done, struct pack_job, link);
		list_del(&job->link);
		p->nr_done--;
	}
	pthread_mutex_unlock(&p->lock);
	return job;
}
