/* SPDX-License-Identifier: MIT */
/*
 * lirs.c - pages are ranked by the distance between their last two uses, not by the last one alone.
 *
 *	     stack S, by last use              queue Q: the pages that are resident but not LIR
 *	   top  HIR  resident  ---------------> on Q too
 *	        LIR
 *	        HIR  gone: only its key
 *	        LIR
 *	bottom  LIR  always LIR
 *
 * Pages whose last two uses lie close together are LIR (low inter-reference recency) and stay; the
 * others are HIR and leave by Q.  A HIR page that is used while S still knows it was used again
 * sooner than the bottom LIR page: they change places.
 *
 * Parameters: hir=R (10%) of the capacity is for HIR pages, at least one.  In the paper it is 1 %,
 * but here up to 1/16 of the budget is free or on probation, and with a smaller share there would
 * always seem to be too few LIR pages: each would be made one, and the rest is FIFO.  ghost=R
 * (200%) of the capacity: so many pages that are gone are remembered in S, the oldest to leave
 * forgotten first (in the paper S is not bounded).
 *
 * S and the ghosts are kept as numbered marks, so that they can grow and a page on probation can be
 * found again, or not, by its number.  Rescued from probation: a use of a HIR page; still in S, it
 * becomes LIR.  Refused: LIR in any case, for on Q, which is short, the same few pages would be
 * offered again and again.
 * Source: Jiang, Zhang, "LIRS: an efficient low inter-reference recency set replacement policy to
 * improve buffer cache performance", SIGMETRICS 2002, section 3.3.
 */
#include <errno.h>

#include "base/alloc.h"
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { HIR, LIR };

/*
 * A page's place in S.  0 in a link is the end of the list, and in node->u32: the page is not in S.
 */
struct mark {
	u32 up, down;     /* in S */
	u32 newer, older; /* among the pages that left, in the order of leaving */
	u32 chain;        /* next in the hash bucket, or of the free marks */
	enum mark_state { FREE, RESIDENT, OUT, GONE } state;
	union {
		/*
		 * RESIDENT.  OUT: only to be compared, for a page that is freed on probation says
		 * nothing.
		 */
		struct reclaim_node *node;
		u64 key; /* GONE, and then in the hash */
	};
};

/*
 * Invariants: 1. the bottom of S is LIR, or S is empty.  2. A LIR page is in S and not on Q; a
 * resident HIR page is on Q.  3. nr_lir <= lir_max.
 */
struct lirs {
	struct policy policy;
	u64 hir_ratio, ghost_ratio; /* millionths of the capacity */
	u64 lir_max, nr_lir;
	u64 nr_ghosts; /* OUT and GONE */
	struct queue q;
	struct mark *mark; /* mark[0] is the head of both lists */
	u32 nr_marks, nr_fresh, free;
	u32 *bucket;
	u32 nr_buckets; /* a power of two */
};

static u64 lir_max(const struct lirs *p, u64 capacity)
{
	return capacity - u64_max(policy_ratio_of(p->hir_ratio, capacity), 1);
}

static u64 ghost_max(const struct lirs *p, u64 capacity)
{
	return u64_max(policy_ratio_of(p->ghost_ratio, capacity), 1);
}

static u32 *bucket_of(struct lirs *p, u64 key)
{
	return &p->bucket[(key * 0x9e3779b97f4a7c15UL >> 32) & (p->nr_buckets - 1)];
}

/* Marks: S, the order of leaving, the hash. */

static void stack_push(struct lirs *p, u32 i)
{
	struct mark *m = p->mark;

	m[i].down = m[0].down;
	m[i].up = 0;
	m[m[0].down].up = i;
	m[0].down = i;
}

static void stack_del(struct lirs *p, u32 i)
{
	struct mark *m = p->mark;

	m[m[i].up].down = m[i].down;
	m[m[i].down].up = m[i].up;
}

/*
 * Ready to be on S, or 0: there are none left, which happens while more pages are in than the
 * capacity.
 */
static u32 mark_alloc(struct lirs *p, struct reclaim_node *node)
{
	u32 i = p->free;

	if (i)
		p->free = p->mark[i].chain;
	else if (p->nr_fresh < p->nr_marks)
		i = p->nr_fresh++;
	else
		return 0;
	p->mark[i].state = RESIDENT;
	p->mark[i].node = node;
	return i;
}

static void mark_free(struct lirs *p, u32 i)
{
	p->mark[i].state = FREE;
	p->mark[i].chain = p->free;
	p->free = i;
}

/* From RESIDENT to OUT. */
static void mark_out(struct lirs *p, u32 i)
{
	struct mark *m = p->mark;

	m[i].state = OUT;
	m[i].older = m[0].older;
	m[i].newer = 0;
	m[m[0].older].newer = i;
	m[0].older = i;
	p->nr_ghosts++;
}

/* From OUT or GONE to neither: no ghost any more, but still in S. */
static void mark_in(struct lirs *p, u32 i)
{
	struct mark *m = p->mark;

	m[m[i].newer].older = m[i].older;
	m[m[i].older].newer = m[i].newer;
	p->nr_ghosts--;
	if (m[i].state == GONE) {
		u32 *b = bucket_of(p, m[i].key);

		while (*b != i)
			b = &m[*b].chain;
		*b = m[i].chain;
	}
	m[i].state = FREE;
}

static u32 find_gone(struct lirs *p, u64 key)
{
	u32 i = *bucket_of(p, key);

	while (i && p->mark[i].key != key)
		i = p->mark[i].chain;
	return i;
}

/* Take a ghost out of S and forget it. */
static void ghost_drop(struct lirs *p, u32 i)
{
	mark_in(p, i);
	stack_del(p, i);
	mark_free(p, i);
}

static void ghost_limit(struct lirs *p)
{
	while (p->nr_ghosts > ghost_max(p, p->policy.capacity))
		ghost_drop(p, p->mark[0].newer);
}

/* Pages. */

static bool is_lir(const struct mark *m)
{
	return m->state == RESIDENT && m->node->where == LIR;
}

/* The paper's stack pruning: restores invariant 1. */
static void prune(struct lirs *p)
{
	u32 i;

	while ((i = p->mark[0].up) && !is_lir(&p->mark[i])) {
		if (p->mark[i].state == RESIDENT) {
			p->mark[i].node->u32 = 0;
			stack_del(p, i);
			mark_free(p, i);
		} else {
			ghost_drop(p, i);
		}
	}
}

/* The LIR page at the bottom becomes HIR.  Pre: there is one. */
static void demote_bottom(struct lirs *p)
{
	u32 i = p->mark[0].up;
	struct reclaim_node *node = p->mark[i].node;

	stack_del(p, i);
	mark_free(p, i);
	node->u32 = 0;
	queue_add_newest(&p->q, node);
	p->nr_lir--;
	prune(p);
}

/* A page that is on no list becomes LIR, the last used.  i: its mark, in no list. */
static void add_lir(struct lirs *p, struct reclaim_node *node, u32 i)
{
	p->mark[i].state = RESIDENT;
	p->mark[i].node = node;
	stack_push(p, i);
	node->u32 = i;
	node->where = LIR;
	p->nr_lir++;
	if (p->nr_lir > p->lir_max)
		demote_bottom(p);
	prune(p);
}

/* A page that is on no list and not in S was used: HIR, unless there are too few LIR pages. */
static void add_unknown(struct lirs *p, struct reclaim_node *node)
{
	u32 i = mark_alloc(p, node);

	if (i && p->nr_lir < p->lir_max) {
		add_lir(p, node, i);
		return;
	}
	node->u32 = i;
	queue_add_newest(&p->q, node);
	if (i)
		stack_push(p, i);
	prune(p);
}

static void lirs_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct lirs *p = policy;
	u32 i = find_gone(p, key);

	if (flags & RECLAIM_PREFETCH) {
		if (i)
			ghost_drop(p, i);
		ahead_insert(&p->policy, node);
	} else if (i) {
		mark_in(p, i);
		stack_del(p, i);
		add_lir(p, node, i);
	} else {
		add_unknown(p, node);
	}
}

static void lirs_touch(void *policy, struct reclaim_node *node)
{
	struct lirs *p = policy;
	u32 i = node->u32;

	if (ahead_take(&p->policy, node)) {
		add_unknown(p, node);
	} else if (node->where == LIR) {
		stack_del(p, i);
		stack_push(p, i);
		prune(p);
	} else if (i) {
		queue_del(&p->q, node);
		stack_del(p, i);
		add_lir(p, node, i);
	} else {
		queue_del(&p->q, node);
		add_unknown(p, node);
	}
}

static struct reclaim_node *lirs_victim(void *policy)
{
	struct lirs *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->q.nr + p->nr_lir);

	if (node)
		return node;
	if (!p->q.nr && p->nr_lir)
		demote_bottom(p);
	node = queue_take_oldest(&p->q);
	if (node && node->u32) {
		mark_out(p, node->u32);
		ghost_limit(p);
	}
	return node;
}

/* The mark that a page on probation still has, or 0: it fell out of S, or never had one. */
static u32 mark_of_out(const struct lirs *p, const struct reclaim_node *node)
{
	const struct mark *m = &p->mark[node->u32];

	return m->state == OUT && m->node == node ? node->u32 : 0;
}

static void lirs_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct lirs *p = policy;
	u32 i = ahead_held(node) ? 0 : mark_of_out(p, node);

	if (i) {
		mark_in(p, i);
		stack_del(p, i);
	} else if (why == RECLAIM_REFUSED) {
		i = mark_alloc(p, node);
	}
	if (i)
		add_lir(p, node, i);
	else
		add_unknown(p, node);
}

static void lirs_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	struct lirs *p = policy;
	u32 i = ahead_held(node) ? 0 : mark_of_out(p, node);
	u32 *b;

	if (!i)
		return;
	b = bucket_of(p, key);
	p->mark[i].state = GONE;
	p->mark[i].key = key;
	p->mark[i].chain = *b;
	*b = i;
}

static void lirs_forget(void *policy, struct reclaim_node *node)
{
	struct lirs *p = policy;
	u32 i = node->u32;

	if (ahead_take(&p->policy, node))
		return;
	if (node->where == LIR)
		p->nr_lir--;
	else
		queue_del(&p->q, node);
	if (i) {
		stack_del(p, i);
		mark_free(p, i);
		prune(p);
	}
}

static void lirs_forget_key(void *policy, u64 key)
{
	struct lirs *p = policy;
	u32 i = find_gone(p, key);

	if (i)
		ghost_drop(p, i);
}

/* Start and end. */

/* Make room for `capacity`.  Return: 0, or -ENOMEM with nothing changed. */
static int lirs_reserve(struct lirs *p, u64 capacity)
{
	u64 nr_marks = u64_max(1 + capacity + ghost_max(p, capacity), p->nr_marks);
	u32 nr_buckets = 16, *bucket;
	struct mark *mark;

	if (nr_marks > UINT32_MAX)
		return -ENOMEM;
	while (nr_buckets < ghost_max(p, capacity) && nr_buckets < 1U << 31)
		nr_buckets *= 2;
	bucket = mem_zalloc(&policy_bytes, nr_buckets * sizeof(bucket[0]));
	if (!bucket)
		return -ENOMEM;
	if (!p->mark) /* not mem_grow: zeroes that nobody has touched take no memory */
		mark = mem_zalloc(&policy_bytes, nr_marks * sizeof(*mark));
	else
		mark = mem_grow(&policy_bytes, p->mark, p->nr_marks * sizeof(*mark),
				nr_marks * sizeof(*mark));
	if (!mark) {
		mem_free(&policy_bytes, bucket, nr_buckets * sizeof(bucket[0]));
		return -ENOMEM;
	}
	mem_free(&policy_bytes, p->bucket, p->nr_buckets * sizeof(bucket[0]));
	p->bucket = bucket;
	p->nr_buckets = nr_buckets;
	p->mark = mark;
	p->nr_marks = (u32)nr_marks;
	for (u32 i = mark[0].older; i; i = mark[i].older)
		if (mark[i].state == GONE) {
			u32 *b = bucket_of(p, mark[i].key);

			mark[i].chain = *b;
			*b = i;
		}
	return 0;
}

static int lirs_resize(void *policy, u64 capacity)
{
	struct lirs *p = policy;
	int ret = lirs_reserve(p, capacity);

	if (ret)
		return ret;
	p->policy.capacity = capacity;
	p->lir_max = lir_max(p, capacity);
	while (p->nr_lir > p->lir_max)
		demote_bottom(p);
	ghost_limit(p);
	return 0;
}

static void *lirs_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
		       size_t len)
{
	u64 hir = POLICY_RATIO_ONE / 10, ghost = 2 * POLICY_RATIO_ONE;
	const struct policy_value values[] = {
		{ "hir", POLICY_RATIO, &hir, 0, POLICY_RATIO_ONE },
		{ "ghost", POLICY_RATIO, &ghost, 0, 10 * POLICY_RATIO_ONE },
	};
	struct lirs *p;

	if (policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len))
		return NULL;
	p = policy_new(sizeof(*p), capacity, err, len);
	if (!p)
		return NULL;
	p->hir_ratio = hir;
	p->ghost_ratio = ghost;
	p->lir_max = lir_max(p, capacity);
	p->nr_fresh = 1;
	queue_init(&p->q, HIR);
	if (lirs_reserve(p, capacity)) {
		policy_free(p, sizeof(*p));
		snprintf(err, len, "no memory");
		return NULL;
	}
	return p;
}

static void lirs_fini(void *policy)
{
	struct lirs *p = policy;

	mem_free(&policy_bytes, p->mark, p->nr_marks * sizeof(p->mark[0]));
	mem_free(&policy_bytes, p->bucket, p->nr_buckets * sizeof(p->bucket[0]));
	policy_free(p, sizeof(*p));
}

const struct reclaim_ops lirs_ops = {
	.name = "lirs",
	.help = "hir=R (10%), ghost=R (200%)",
	.init = lirs_init,
	.fini = lirs_fini,
	.resize = lirs_resize,
	.insert = lirs_insert,
	.touch = lirs_touch,
	.victim = lirs_victim,
	.putback = lirs_putback,
	.evicted = lirs_evicted,
	.forget = lirs_forget,
	.forget_key = lirs_forget_key,
};
