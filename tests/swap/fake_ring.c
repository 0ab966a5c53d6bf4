/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "fake_ring.h"
#include "sys/ring.h"

#define REQUESTS_MAX 512

u8 fake_disk[FAKE_DISK_PAGES * PAGE_SIZE];

static bool bad[FAKE_DISK_PAGES];
static struct fake_request requests[REQUESTS_MAX];
static u32 nr_requests;

void fake_ring_reset(void)
{
	memset(fake_disk, 0, sizeof(fake_disk));
	memset(bad, 0, sizeof(bad));
	nr_requests = 0;
}

u32 fake_ring_pending(void)
{
	return nr_requests;
}

const struct fake_request *fake_ring_request(u32 i)
{
	assert_true(i < nr_requests);
	return &requests[i];
}

static void queue(bool write, void *buf, u32 len, u64 offset, u64 tag)
{
	assert_true(nr_requests < REQUESTS_MAX);
	assert_true(page_aligned(offset) && page_aligned(len) && page_aligned((uintptr_t)buf));
	assert_true(len && offset + len <= sizeof(fake_disk));
	for (u32 i = 0; i < nr_requests; i++)
		assert_int_not_equal(requests[i].tag, tag);
	for (u64 page = offset / PAGE_SIZE; write && page < (offset + len) / PAGE_SIZE; page++)
		assert_false(bad[page]);
	requests[nr_requests++] = (struct fake_request){ write, buf, len, offset, tag };
}

void ring_read(struct ring *ring, int fd, void *buf, u32 len, u64 offset, u64 tag)
{
	queue(false, buf, len, offset, tag);
}

void ring_write(struct ring *ring, int fd, const void *buf, u32 len, u64 offset, u64 tag)
{
	queue(true, (void *)buf, len, offset, tag);
}

int fake_ring_end(u32 i, u32 max_len, int res, u64 *tag)
{
	struct fake_request r = *fake_ring_request(i);
	u32 len = (u32)u64_min(r.len, max_len);

	if (r.write)
		memcpy(fake_disk + r.offset, r.buf, len);
	else
		memcpy(r.buf, fake_disk + r.offset, len);
	requests[i] = requests[--nr_requests];
	*tag = r.tag;
	if (res >= 0)
		res = (int)len;
	if (res < (int)PAGE_SIZE && res != -EINTR && res != -EAGAIN && r.len == PAGE_SIZE)
		bad[r.offset / PAGE_SIZE] = true;
	return res;
}
