/* SPDX-License-Identifier: MIT */
/* queue.c - see queue.h. */
#include "policy/queue.h"

#include "policy/param.h"

void *policy_new(size_t bytes, u64 capacity, char *err, size_t len)
{
	struct policy *p = policy_zalloc(bytes, err, len);

	if (!p)
		return NULL;
	p->capacity = capacity;
	queue_init(&p->ahead, QUEUE_AHEAD);
	return p;
}

int policy_resize(void *policy, u64 capacity)
{
	struct policy *p = policy;

	p->capacity = capacity;
	return 0;
}

void policy_no_ghost(void *policy, struct reclaim_node *node, u64 key)
{
}

void policy_no_ghost_key(void *policy, u64 key)
{
}
