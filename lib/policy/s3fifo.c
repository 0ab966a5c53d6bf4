/* SPDX-License-Identifier: MIT */
/*
 * s3fifo.c - three FIFO queues: small and main hold pages, ghost the keys of pages that are gone.
 *
 *	 insert --> [ small, .5% ] --used--> [ main ] <-- insert of a page that is wanted:
 *	                  |                    | ^ |       its key is in ghost, and not from far
 *	                not used            used'-'  not used
 *	                  v                          v
 *	               { ghost } <------ learn ------'
 *
 * Parameters: small=R (0.5%) of the capacity; ghost=R (90%) of the capacity, in keys; promote=N (2):
 * so many uses in small move a page to main; max=N (3): the most uses that a page's counter holds;
 * learn=N (4), near=R (30%) of the capacity, loop=N (64): see below.
 * With small=10%, learn=0 it is the algorithm of the paper: without learn, near and loop are off.
 *
 * Where hits cannot be seen, the counters stay 0 and main would be a plain FIFO: it would put out
 * its favourites once in every round, only to get them back a fault later.  What can be seen is
 * that they come back soon.  So each time that a page returns while its key is in ghost, or is
 * rescued from probation, its level goes up by one, to at most `learn`, and it starts in main as if
 * it had been used 2^level - 1 times: so many rounds it stays unasked.  For that, ghost takes the
 * pages of main too, and keeps a key for as many evictions as it is large, however many have come
 * back meanwhile: "soon" is a distance.  A page that returns later begins at level 0 again.
 *
 * Not all that comes back soon is wanted.  What returns within `near` evictions is.  What returns
 * from far, the rest of ghost, would have been kept only by a main that holds nothing else, so it
 * would put out better pages in vain: it passes through small once more, at level 0.  But if of the
 * last 256 pages that came in nearly all came from far, then the program has turned to a set that
 * would fit, if only it were let in: as long as that lasts, they are wanted too.
 *
 * Rescued from probation: main's newest end, with the level raised.  Refused: the other queue's
 * newest end, for a queue full of pages that cannot leave must not hide the other one.
 *
 * What was brought ahead of need starts in small when it is used, though it be wanted: a stream will
 * bring it ahead again, for less than half of what a fault costs.  In main it would put out pages
 * that nobody brings.  But as long as main has less than a 16th of the capacity there is little to
 * put out; and if for a quarter of the capacity nearly all that comes in is from near, or nearly all
 * from far, then there is little else but the stream, and its set would fit.  Then it begins in main
 * like all that is wanted.
 *
 * A loop over many more pages than there is room for brings none back soon enough.  But it brings
 * them back in the order in which they left, give or take loop/2 pages (they leave by batches and come
 * back by a prefetcher's windows, of up to 64), which nothing else does for long.  While that is
 * seen, main keeps LOOP_MAIN of the capacity, and small passes the rest of the loop through; one
 * page in LOOP_MIX goes to main and one leaves it, lest main be of another time.
 * Source: Yang, Zhang, Qiu, Yue, Rashmi, "FIFO queues are all you need for cache eviction", SOSP
 * 2023, algorithm 1.  Ours are learn, near, loop and the 0.5 %, measured with tests/policies/table.c
 * and traces of programs (docs/ARCHITECTURE.md, "Why s3fifo and stride").
 */
#include <errno.h>

#include "policy/ghost.h"
#include "policy/param.h"
#include "policy/policies.h"
#include "policy/queue.h"

enum { SMALL, MAIN };

/* From where a page comes back, by the evictions since it left.  BEYOND: from behind ghost, or new. */
enum distance { NEAR, FAR, NR_KNOWN, BEYOND = NR_KNOWN };

struct s3fifo {
	struct policy policy;
	u64 small_ratio, ghost_ratio, near_ratio; /* millionths of the capacity */
	u64 promote, ref_max, learn;
	u64 loop; /* pages within which an order counts as kept; 0: loops are not looked for */
	struct queue small, main;
	struct ghost_table table;
	struct ghost_list ghosts; /* data: see ghost_data */
	u32 evictions;            /* so far; the clock of ghosts */
	u32 last_left;            /* when the page that came back last had left */
	u32 order;                /* how many of ORDER_ONE came back in the order in which they left, of late */
	u32 mix;                  /* counts pages while a loop is seen */
	u32 far;                  /* how many of FAR_ONE came in from far, of late */
	u64 share[NR_KNOWN];      /* how many of SHARE_ONE came from there, of the last quarter of the capacity */
};

#define ORDER_ONE   1024u
#define ORDER_SHIFT 6  /* the average is over the last 64 or so */
#define LOOP_MIX    16
#define LOOP_GHOSTS 4  /* capacities: loops of up to so many more pages than there is room for are seen */
#define LOOP_MAIN(capacity) ((capacity) / 5 * 4) /* what main keeps of a loop */
#define FAR_ONE     65536u
#define FAR_SHIFT   8  /* the average is over the last 256 or so */
#define FAR_NEARLY_ALL (FAR_ONE / 10 * 9)
#define SHARE_ONE      (1ULL << 40)
#define SHARE_NEARLY_ALL (SHARE_ONE / 10 * 9)

/* When a page left, and its level. */
static u32 ghost_data(u32 evictions, u16 level)
{
	return evictions << 3 | level;
}
#define LEVEL_MAX 7

static struct queue *queue_of(struct s3fifo *p, const struct reclaim_node *node)
{
	return node->where == MAIN ? &p->main : &p->small;
}

/* A share of the capacity in pages, at least one. */
static u64 share_of(const struct s3fifo *p, u64 ratio)
{
	return u64_max(policy_ratio_of(ratio, p->policy.capacity), 1);
}

/* Evictions since the ghost's page left. */
static u32 ghost_age(const struct s3fifo *p, const struct ghost *g)
{
	return (ghost_data(p->evictions, 0) - (g->data & ~(u32)LEVEL_MAX)) >> 3;
}

/* How many are kept: to see a loop takes a longer memory than to see what is wanted. */
static u64 ghosts_kept(const struct s3fifo *p)
{
	return u64_max(p->loop ? LOOP_GHOSTS * p->policy.capacity : 0, share_of(p, p->ghost_ratio));
}

static int s3fifo_params(struct s3fifo *p, const struct policy_param *params, u32 nr_params,
			 char *err, size_t len)
{
	const struct policy_value values[] = {
		{ "small", POLICY_RATIO, &p->small_ratio, 0, POLICY_RATIO_ONE },
		{ "ghost", POLICY_RATIO, &p->ghost_ratio, 0, 10 * POLICY_RATIO_ONE },
		{ "promote", POLICY_NUMBER, &p->promote, 1, 255 },
		{ "max", POLICY_NUMBER, &p->ref_max, 1, 255 },
		{ "learn", POLICY_NUMBER, &p->learn, 0, LEVEL_MAX },
		{ "near", POLICY_RATIO, &p->near_ratio, 0, 10 * POLICY_RATIO_ONE },
		{ "loop", POLICY_NUMBER, &p->loop, 0, 4096 },
	};
	int ret;

	p->small_ratio = POLICY_RATIO_ONE / 200;
	p->ghost_ratio = POLICY_RATIO_ONE / 10 * 9;
	p->near_ratio = POLICY_RATIO_ONE / 10 * 3;
	p->promote = 2;
	p->ref_max = 3;
	p->learn = 4;
	p->loop = 64;
	ret = policy_params_read(params, nr_params, values, ARRAY_SIZE(values), err, len);
	if (!ret && p->promote > p->ref_max) {
		snprintf(err, len, "promote=%lu: more than max=%lu", p->promote, p->ref_max);
		ret = -EINVAL;
	}
	if (!p->learn)
		p->loop = 0; /* the paper's ghost forgets by number, which tells no distances */
	return ret;
}

static void *s3fifo_init(const struct policy_param *params, u32 nr_params, u64 capacity, char *err,
			 size_t len)
{
	struct s3fifo *p = policy_new(sizeof(*p), capacity, err, len);

	if (!p)
		return NULL;
	if (s3fifo_params(p, params, nr_params, err, len)) {
		policy_free(p, sizeof(*p));
		return NULL;
	}
	ghost_table_init(&p->table);
	queue_init(&p->small, SMALL);
	queue_init(&p->main, MAIN);
	ghost_list_init(&p->ghosts, 1);
	return p;
}

static void s3fifo_fini(void *policy)
{
	struct s3fifo *p = policy;

	ghost_table_fini(&p->table);
	policy_free(p, sizeof(*p));
}

static int s3fifo_resize(void *policy, u64 capacity)
{
	struct s3fifo *p = policy;

	p->policy.capacity = capacity;
	ghost_trim(&p->table, &p->ghosts, ghosts_kept(p));
	return 0;
}

static void s3fifo_forget_key(void *policy, u64 key)
{
	struct s3fifo *p = policy;

	ghost_forget(&p->table, &p->ghosts, key);
}

/* A page that is known to be wanted again: main, and a level more.  node->u16 is its level. */
static void add_wanted(struct s3fifo *p, struct reclaim_node *node)
{
	node->u16 = (u16)u64_min(node->u16 + 1U, p->learn);
	node->ref = (u8)((1U << node->u16) - 1);
	queue_add_newest(&p->main, node);
}

/* Do pages come back in the order in which they left? */
static bool is_loop(const struct s3fifo *p)
{
	return p->loop && p->order > ORDER_ONE / 8 * 7;
}

/* A page that left at `left` is back. */
static void see_order(struct s3fifo *p, u32 left, enum distance from)
{
	u32 distance = left - p->last_left + (u32)p->loop / 2; /* of 32 bits, for it may be below 0 */
	bool in_order = from == BEYOND && distance < p->loop;

	p->last_left = left;
	p->order -= p->order >> ORDER_SHIFT;
	p->order += in_order ? ORDER_ONE >> ORDER_SHIFT : 0;
}

/* From where g's page comes back.  The paper knows no far: what is in ghost is wanted. */
static enum distance distance_of(const struct s3fifo *p, const struct ghost *g)
{
	u32 age = ghost_age(p, g);

	if (!p->learn || age < u64_min(share_of(p, p->near_ratio), share_of(p, p->ghost_ratio)))
		return NEAR;
	return age < share_of(p, p->ghost_ratio) ? FAR : BEYOND;
}

static void see_distance(struct s3fifo *p, enum distance from)
{
	u64 over = u64_max(p->policy.capacity / 4, 1);

	p->far -= p->far >> FAR_SHIFT;
	p->far += from == FAR ? FAR_ONE >> FAR_SHIFT : 0;
	for (u32 d = 0; d < NR_KNOWN; d++)
		p->share[d] += (d == from ? SHARE_ONE / over : 0) - p->share[d] / over;
}

/* Is a page that comes from there worth a place in main? */
static bool is_wanted(const struct s3fifo *p, enum distance from)
{
	return from == NEAR || (from == FAR && p->far > FAR_NEARLY_ALL);
}

/* Is one that a stream brings from there? */
static bool is_wanted_ahead(const struct s3fifo *p, enum distance from)
{
	if (p->main.nr < p->policy.capacity / 16)
		return is_wanted(p, from);
	return from != BEYOND && p->share[from] > SHARE_NEARLY_ALL;
}

/* A page that came in; `wanted`: see is_wanted(). */
static void add_new(struct s3fifo *p, struct reclaim_node *node, bool wanted)
{
	if (is_loop(p))
		queue_add_newest(p->main.nr >= LOOP_MAIN(p->policy.capacity) && p->mix++ % LOOP_MIX ?
					 &p->small : &p->main, node);
	else if (wanted)
		add_wanted(p, node);
	else
		queue_add_newest(&p->small, node);
}

/* Forget those that left too many evictions ago. */
static void drop_old_ghosts(struct s3fifo *p)
{
	u64 max = ghosts_kept(p);
	struct ghost *g;

	while ((g = ghost_oldest(&p->table, &p->ghosts)) && ghost_age(p, g) >= max)
		ghost_del(&p->table, &p->ghosts, g);
}

static void s3fifo_expect(void *policy, u64 key)
{
	const struct s3fifo *p = policy;

	ghost_expect(&p->table, key);
}

static void s3fifo_insert(void *policy, struct reclaim_node *node, u64 key, unsigned int flags)
{
	struct s3fifo *p = policy;
	struct ghost *g = ghost_find(&p->table, key);
	enum distance from = g ? distance_of(p, g) : BEYOND;
	bool wanted;

	see_distance(p, from);
	wanted = is_wanted(p, from);
	if (g) {
		node->u16 = wanted ? g->data & LEVEL_MAX : 0;
		see_order(p, g->data >> 3, from);
		ghost_del(&p->table, &p->ghosts, g);
	}
	if (flags & RECLAIM_PREFETCH) {
		node->u32 = is_wanted_ahead(p, from); /* for when it is asked for */
		ahead_insert(&p->policy, node);
	} else {
		add_new(p, node, wanted);
	}
}

static void s3fifo_touch(void *policy, struct reclaim_node *node)
{
	struct s3fifo *p = policy;

	if (ahead_take(&p->policy, node))
		add_new(p, node, node->u32);
	else if (node->ref < p->ref_max)
		node->ref++;
}

/* EVICTS of the paper: uses have been counted, so those that earned it move on. */
static struct reclaim_node *victim_of_small(struct s3fifo *p)
{
	struct reclaim_node *node;

	while ((node = queue_take_oldest(&p->small)) && node->ref >= p->promote) {
		node->ref = 0;
		queue_add_newest(&p->main, node);
	}
	return node;
}

/* EVICTM of the paper.  Ends: each step takes one from a counter. */
static struct reclaim_node *victim_of_main(struct s3fifo *p)
{
	struct reclaim_node *node;

	while ((node = queue_oldest(&p->main)) && node->ref) {
		node->ref--;
		queue_renew(&p->main, node);
	}
	return queue_take_oldest(&p->main);
}

static struct reclaim_node *s3fifo_victim(void *policy)
{
	struct s3fifo *p = policy;
	struct reclaim_node *node = ahead_victim(&p->policy, p->small.nr + p->main.nr);

	if (!node && is_loop(p))
		node = p->main.nr > LOOP_MAIN(p->policy.capacity) ? victim_of_main(p) : victim_of_small(p);
	if (!node && p->small.nr >= share_of(p, p->small_ratio))
		node = victim_of_small(p);
	if (!node)
		node = victim_of_main(p);
	/* Main may be empty while small is below its share: much was freed, or is on probation. */
	return node ? node : victim_of_small(p);
}

static void s3fifo_putback(void *policy, struct reclaim_node *node, enum reclaim_putback why)
{
	struct s3fifo *p = policy;

	if (why == RECLAIM_REFUSED) {
		node->ref = 0;
		queue_add_newest(node->where == MAIN ? &p->small : &p->main, node);
	} else if (ahead_held(node)) {
		add_new(p, node, node->u32);
	} else {
		add_wanted(p, node);
	}
}

static void s3fifo_evicted(void *policy, struct reclaim_node *node, u64 key)
{
	struct s3fifo *p = policy;
	struct ghost *g;

	if (node->where == MAIN && !p->learn)
		return;
	p->evictions++;
	if (p->learn)
		drop_old_ghosts(p);
	g = ghost_push(&p->table, &p->ghosts, key, ghosts_kept(p));
	if (g)
		g->data = ghost_data(p->evictions, node->u16);
}

static void s3fifo_forget(void *policy, struct reclaim_node *node)
{
	struct s3fifo *p = policy;

	if (!ahead_take(&p->policy, node))
		queue_del(queue_of(p, node), node);
}

const struct reclaim_ops s3fifo_ops = {
	.name = "s3fifo",
	.help = "small=R (0.5%), ghost=R (90%), promote=N (2), max=N (3), learn=N (4), near=R (30%), "
		"loop=N (64)",
	.init = s3fifo_init,
	.fini = s3fifo_fini,
	.resize = s3fifo_resize,
	.insert = s3fifo_insert,
	.touch = s3fifo_touch,
	.victim = s3fifo_victim,
	.putback = s3fifo_putback,
	.evicted = s3fifo_evicted,
	.forget = s3fifo_forget,
	.forget_key = s3fifo_forget_key,
	.expect = s3fifo_expect,
};
