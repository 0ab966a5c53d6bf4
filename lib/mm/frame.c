/* SPDX-License-Identifier: MIT */
/* frame.c - see frame.h. */
#include "mm/frame.h"

#include "mm/mm.h"

static const u8 allowed[NR_FRAME_STATES] = {
	[FRAME_FREE] = 1 << FRAME_BUSY,
	[FRAME_BUSY] = 1 << FRAME_RESIDENT | 1 << FRAME_FREE,
	[FRAME_RESIDENT] = 1 << FRAME_BUSY | 1 << FRAME_PINNED | 1 << FRAME_FREE,
	[FRAME_PINNED] = 1 << FRAME_RESIDENT | 1 << FRAME_FREE,
};

void frame_set_state(struct frame *frame, enum frame_state to)
{
	if (!(allowed[frame->state] & (1 << to)))
		BUG("I11: frame %u goes from state %u to %u", frame->pfn, frame->state, to);
	frame->state = to;
}

void frame_table_init(struct frame_table *table)
{
	*table = (struct frame_table){ 0 };
	for (u32 i = 0; i < MAX_NODES; i++) {
		table->node[i].nid = i;
		table->node[i].free_pfn = PFN_NONE;
	}
}

void frame_table_fini(struct mm_world *world)
{
	struct frame_table *t = &world->frames;

	BUG_ON(t->nr_used);
	for (u32 i = 0; i < t->nr_sections; i++)
		mem_free(&world->bytes, t->section[i], FRAMES_PER_SECTION * sizeof(struct frame));
	mem_free(&world->bytes, t->section, t->max_sections * sizeof(*t->section));
}

struct frame *pfn_to_frame(const struct mm_world *world, u32 pfn)
{
	return &world->frames.section[pfn / FRAMES_PER_SECTION][pfn % FRAMES_PER_SECTION];
}

/* One section more at the end of the pfns, for this node. */
static int add_section(struct mm_world *world, struct node *node)
{
	struct frame_table *t = &world->frames;
	u64 pfn = (u64)t->nr_sections * FRAMES_PER_SECTION;
	struct frame *section;

	if (pfn + FRAMES_PER_SECTION > PFN_NONE)
		return -ENOMEM;
	if (t->nr_sections == t->max_sections) {
		u32 max = t->max_sections ? 2 * t->max_sections : 8;
		struct frame **grown = mem_grow(&world->bytes, t->section,
						t->max_sections * sizeof(*grown),
						max * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		t->section = grown;
		t->max_sections = max;
	}
	section = mem_zalloc(&world->bytes, FRAMES_PER_SECTION * sizeof(*section));
	if (!section)
		return -ENOMEM;
	t->section[t->nr_sections++] = section;

	for (u32 i = FRAMES_PER_SECTION; i-- > 0;) { /* the lowest pfn is handed out first */
		section[i].pfn = pfn + i;
		section[i].nid = node->nid;
		section[i].index = node->free_pfn;
		node->free_pfn = pfn + i;
	}
	if (!node->present_pages)
		node->start_pfn = pfn;
	node->present_pages += FRAMES_PER_SECTION;
	node->nr_free += FRAMES_PER_SECTION;
	node->spanned_pages = pfn + FRAMES_PER_SECTION - node->start_pfn;
	return 0;
}

int frame_reserve(struct mm_world *world, u32 nid, u64 nr)
{
	struct node *node = &world->frames.node[nid];

	while (node->nr_free < nr) {
		int err = add_section(world, node);

		if (err)
			return err;
	}
	return 0;
}

struct frame *frame_alloc(struct mm_world *world, u32 nid)
{
	struct frame_table *t = &world->frames;
	struct node *node = &t->node[nid];
	struct frame *frame;

	BUG_ON(node->free_pfn == PFN_NONE);
	frame = pfn_to_frame(world, node->free_pfn);
	node->free_pfn = frame->index;
	node->nr_free--;
	node->nr_used++;
	t->nr_used++;
	t->nr_used_max = u64_max(t->nr_used_max, t->nr_used);
	frame_set_state(frame, FRAME_BUSY);
	frame->refcount = 1;
	frame->mapcount = 0;
	frame->anon_vma = NULL;
	frame->index = 0;
	return frame;
}

static void frame_free(struct mm_world *world, struct frame *frame)
{
	struct node *node = &world->frames.node[frame->nid];

	BUG_ON(frame->mapcount);
	frame_set_state(frame, FRAME_FREE);
	frame->anon_vma = NULL;
	frame->index = node->free_pfn;
	node->free_pfn = frame->pfn;
	node->nr_free++;
	node->nr_used--;
	world->frames.nr_used--;
}

void frame_get(struct frame *frame)
{
	BUG_ON(!frame->refcount);
	frame->refcount++;
}

void frame_put(struct mm_world *world, struct frame *frame)
{
	BUG_ON(!frame->refcount);
	if (--frame->refcount == 0)
		frame_free(world, frame);
}

void frame_table_verify(const struct mm_world *world)
{
	const struct frame_table *t = &world->frames;
	u64 used[MAX_NODES] = { 0 }, present[MAX_NODES] = { 0 };
	u64 all = 0;

	for (u32 s = 0; s < t->nr_sections; s++) {
		for (u32 i = 0; i < FRAMES_PER_SECTION; i++) {
			const struct frame *f = &t->section[s][i];

			present[f->nid]++;
			if (f->state == FRAME_FREE)
				continue;
			used[f->nid]++;
			if (!f->refcount || f->mapcount > f->refcount)
				BUG("I11: frame %u: refcount %u, mapcount %u", f->pfn,
				    f->refcount, f->mapcount);
		}
	}
	for (u32 n = 0; n < MAX_NODES; n++) {
		const struct node *node = &t->node[n];
		u64 nr_free = 0;

		for (u32 pfn = node->free_pfn; pfn != PFN_NONE; nr_free++) {
			const struct frame *f = pfn_to_frame(world, pfn);

			if (f->state != FRAME_FREE || f->nid != n)
				BUG("I11: frame %u on the free list of node %u", pfn, n);
			pfn = f->index;
		}
		if (node->nr_used != used[n] || node->nr_free != nr_free ||
		    node->present_pages != present[n] || used[n] + nr_free != present[n])
			BUG("I11: node %u: counts differ from a recount", n);
		all += used[n];
	}
	if (t->nr_used != all)
		BUG("I11: nr_used differs from a recount");
}
