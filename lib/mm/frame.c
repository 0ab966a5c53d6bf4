/* SPDX-License-Identifier: MIT */
/* frame.c - see frame.h. */
#include "mm/frame.h"

#include "mm/mm.h"

static const u8 allowed[NR_FRAME_STATES] = {
	[FRAME_FREE] = 1 << FRAME_BUSY,
	[FRAME_BUSY] = 1 << FRAME_RESIDENT | 1 << FRAME_STAGED | 1 << FRAME_FREE,
	[FRAME_RESIDENT] = 1 << FRAME_BUSY | 1 << FRAME_PINNED | 1 << FRAME_FREE,
	[FRAME_PINNED] = 1 << FRAME_RESIDENT | 1 << FRAME_FREE,
	[FRAME_STAGED] = 1 << FRAME_BUSY | 1 << FRAME_FREE,
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
		list_init(&table->node[i].partial);
	}
	table->node[0].online = true;
}

struct frame *pfn_to_frame(const struct mm_world *world, u32 pfn)
{
	return &world->frames.section[pfn / FRAMES_PER_SECTION]->frame[pfn % FRAMES_PER_SECTION];
}

static struct section *section_of(const struct mm_world *world, const struct frame *frame)
{
	return world->frames.section[frame->pfn / FRAMES_PER_SECTION];
}

/* start_pfn and spanned_pages, anew. */
static void node_set_span(const struct frame_table *t, struct node *node)
{
	u64 first = UINT64_MAX, last = 0;

	for (u64 i = 0; i < t->nr_sections; i++) {
		if (!t->section[i] || t->section[i]->frame[0].nid != node->nid)
			continue;
		first = u64_min(first, i);
		last = i + 1;
	}
	node->start_pfn = last ? first * FRAMES_PER_SECTION : 0;
	node->spanned_pages = last ? (last - first) * FRAMES_PER_SECTION : 0;
}

/* A place for one more section: a hole, or the end.  UINT32_MAX: no memory, or no pfn left. */
static u32 find_place(struct mm_world *world)
{
	struct frame_table *t = &world->frames;
	u32 i, max;

	for (i = 0; i < t->nr_sections; i++) {
		if (!t->section[i])
			return i;
	}
	if (((u64)i + 1) * FRAMES_PER_SECTION > PFN_NONE)
		return UINT32_MAX;
	if (i == t->max_sections) {
		struct section **grown;

		max = i ? 2 * i : 8;
		grown = mem_grow(&world->bytes, t->section, i * sizeof(*grown),
				 max * sizeof(*grown));
		if (!grown)
			return UINT32_MAX;
		t->section = grown;
		t->max_sections = max;
	}
	return t->nr_sections++;
}

static int section_add(struct mm_world *world, struct node *node)
{
	struct frame_table *t = &world->frames;
	u32 place = find_place(world);
	struct section *section;

	if (place == UINT32_MAX)
		return -ENOMEM;
	section = mem_zalloc(&world->bytes, sizeof(*section));
	if (!section)
		return -ENOMEM; /* the place stays a hole */
	section->free_pfn = PFN_NONE;
	for (u32 i = FRAMES_PER_SECTION; i-- > 0;) { /* the lowest pfn is handed out first */
		section->frame[i].pfn = place * FRAMES_PER_SECTION + i;
		section->frame[i].nid = node->nid;
		section->frame[i].index = section->free_pfn;
		section->free_pfn = section->frame[i].pfn;
	}
	section->nr_free = FRAMES_PER_SECTION;
	list_add_tail(&section->list, &node->partial);
	t->section[place] = section;
	node->nr_idle++;
	node->present_pages += FRAMES_PER_SECTION;
	node->nr_free += FRAMES_PER_SECTION;
	node_set_span(t, node);
	return 0;
}

/* Pre: all its frames are free. */
static void section_remove(struct mm_world *world, struct section *section)
{
	struct frame_table *t = &world->frames;
	struct node *node = &t->node[section->frame[0].nid];

	BUG_ON(section->nr_free != FRAMES_PER_SECTION);
	list_del(&section->list);
	t->section[section->frame[0].pfn / FRAMES_PER_SECTION] = NULL;
	mem_free(&world->bytes, section, sizeof(*section));
	node->nr_idle--;
	node->present_pages -= FRAMES_PER_SECTION;
	node->nr_free -= FRAMES_PER_SECTION;
	node_set_span(t, node);
}

void frame_table_fini(struct mm_world *world)
{
	struct frame_table *t = &world->frames;

	BUG_ON(t->nr_used);
	for (u32 i = 0; i < t->nr_sections; i++) {
		if (t->section[i])
			section_remove(world, t->section[i]);
	}
	mem_free(&world->bytes, t->section, t->max_sections * sizeof(*t->section));
}

/* NULL: there is no such node. */
static struct node *node_of(struct mm_world *world, u32 nid)
{
	return nid < MAX_NODES ? &world->frames.node[nid] : NULL;
}

int node_online(struct mm_world *world, u32 nid)
{
	struct node *node = node_of(world, nid);
	int err;

	if (!node)
		return -EINVAL;
	if (node->online)
		return -EEXIST;
	err = section_add(world, node);
	node->online = !err;
	return err;
}

int node_offline(struct mm_world *world, u32 nid)
{
	struct node *node = node_of(world, nid);

	if (!nid || !node || !node->online)
		return -EINVAL;
	if (node->nr_used)
		return -EBUSY;
	while (!list_empty(&node->partial))
		section_remove(world, list_first_entry(&node->partial, struct section, list));
	node->online = false;
	node->budget = 0;
	return 0;
}

void node_set_budget(struct mm_world *world, u32 nid, u64 pages)
{
	struct node *node = node_of(world, nid);

	BUG_ON(!node || !node->online);
	node->budget = pages;
}

int frame_reserve(struct mm_world *world, u32 nid, u64 nr)
{
	struct node *node = &world->frames.node[nid];
	u64 nr_added = 0;
	int err;

	if (!node->online)
		return -ENODEV;
	if (node->budget && node->nr_used + nr > node->budget)
		return -ENOSPC;
	for (; node->nr_free < nr; nr_added++) {
		err = section_add(world, node);
		if (err)
			goto remove;
	}
	return 0;
remove:
	while (nr_added--)
		section_remove(world, list_entry(node->partial.prev, struct section, list));
	return err;
}

struct frame *frame_alloc(struct mm_world *world, u32 nid)
{
	struct frame_table *t = &world->frames;
	struct node *node = &t->node[nid];
	struct section *section;
	struct frame *frame;

	BUG_ON(list_empty(&node->partial));
	section = list_first_entry(&node->partial, struct section, list);
	frame = &section->frame[section->free_pfn % FRAMES_PER_SECTION];
	section->free_pfn = frame->index;
	if (section->nr_free-- == FRAMES_PER_SECTION)
		node->nr_idle--;
	if (!section->nr_free)
		list_del(&section->list);
	node->nr_free--;
	node->nr_used++;
	t->nr_used++;
	t->nr_used_max = u64_max(t->nr_used_max, t->nr_used);
	frame_set_state(frame, FRAME_BUSY);
	frame->refcount = 1;
	frame->mapcount = 0;
	frame->anon_vma = NULL;
	frame->index = 0;
	frame->flags = 0;
	frame->slot = 0;
	return frame;
}

static void frame_free(struct mm_world *world, struct frame *frame)
{
	struct node *node = &world->frames.node[frame->nid];
	struct section *section = section_of(world, frame);

	BUG_ON(frame->mapcount);
	reclaim_forget(world, frame);
	swap_cache_del(world, frame);
	world->reclaim.nr_pinned -= frame->state == FRAME_PINNED;
	frame_set_state(frame, FRAME_FREE);
	frame->anon_vma = NULL;
	frame->index = section->free_pfn;
	section->free_pfn = frame->pfn;
	if (section->nr_free++ == 0)
		list_add(&section->list, &node->partial);
	node->nr_free++;
	node->nr_used--;
	world->frames.nr_used--;
	if (section->nr_free == FRAMES_PER_SECTION && node->nr_idle++)
		section_remove(world, section);
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

static void verify_frame(const struct frame *f, u64 *nr_used)
{
	if (f->state == FRAME_FREE)
		return;
	(*nr_used)++;
	if (!f->refcount || f->mapcount > f->refcount)
		BUG("I11: frame %u: refcount %u, mapcount %u", f->pfn, f->refcount, f->mapcount);
}

/* Returns how many frames of the section are in use. */
static u64 verify_section(const struct section *section, u32 place)
{
	u32 nr_free = 0, pfn = section->free_pfn;
	u64 nr_used = 0;

	for (u32 i = 0; i < FRAMES_PER_SECTION; i++) {
		if (section->frame[i].pfn != place * FRAMES_PER_SECTION + i)
			BUG("I11: section %u has frame %u at %u", place, section->frame[i].pfn, i);
		verify_frame(&section->frame[i], &nr_used);
	}
	for (; pfn != PFN_NONE; nr_free++) {
		const struct frame *f = &section->frame[pfn % FRAMES_PER_SECTION];

		if (f->state != FRAME_FREE || f->pfn != pfn || nr_free >= FRAMES_PER_SECTION)
			BUG("I11: frame %u on the free list", pfn);
		pfn = f->index;
	}
	if (nr_free != section->nr_free || nr_free + nr_used != FRAMES_PER_SECTION)
		BUG("I11: section %u: counts differ from a recount", place);
	return nr_used;
}

static void verify_node(const struct frame_table *t, const struct node *node, u64 used, u64 present)
{
	struct node span = *node;

	node_set_span(t, &span);
	if (node->nr_used != used || node->nr_free != present - used ||
	    node->present_pages != present || node->start_pfn != span.start_pfn ||
	    node->spanned_pages != span.spanned_pages)
		BUG("I11: node %u: counts differ from a recount", node->nid);
	if (!node->online && (present || node->budget))
		BUG("I11: node %u is offline", node->nid);
}

void frame_table_verify(const struct mm_world *world)
{
	const struct frame_table *t = &world->frames;
	u64 used[MAX_NODES] = { 0 }, present[MAX_NODES] = { 0 };
	u64 all = 0;

	for (u32 i = 0; i < t->nr_sections; i++) {
		u32 nid;

		if (!t->section[i])
			continue;
		nid = t->section[i]->frame[0].nid;
		used[nid] += verify_section(t->section[i], i);
		present[nid] += FRAMES_PER_SECTION;
	}
	for (u32 n = 0; n < MAX_NODES; n++) {
		verify_node(t, &t->node[n], used[n], present[n]);
		all += used[n];
	}
	if (t->nr_used != all)
		BUG("I11: nr_used differs from a recount");
}
