/* SPDX-License-Identifier: MIT */
/*
 * store.c - where the fake machine keeps the bytes of slots; reads and writes may take time, or fail.
 * Linux counterpart: lib/swap, seen through pager/swap.c.
 */
#include "sim/swapper.h"

static bool io_fails(struct sim *sim, int *err)
{
	struct sim_swap *sw = sim->swap;

	if (!sw->nr_fail)
		return false;
	sw->nr_fail--;
	*err = sw->fail_err;
	sim->stats.io_errors++;
	return true;
}

bool sim_store_has(const struct sim *sim, u32 slot, u8 tag)
{
	return sim->swap->slot[slot].has && sim->swap->slot[slot].tag == tag;
}

int sim_store_put(struct sim *sim, u32 slot, u8 tag, bool again)
{
	struct sim_slot *s = &sim->swap->slot[slot];
	int err;

	BUG_ON(slot >= SIM_SLOTS);
	s->has = false; /* what was there is of no use any more */
	if (io_fails(sim, &err))
		return err;
	if (!again && sim_random(sim, 2))
		return -EINPROGRESS;
	*s = (struct sim_slot){ .has = true, .tag = tag };
	return 0;
}

/* ---- reads ---- */

static struct sim_read *read_find(struct sim *sim, u32 slot)
{
	for (u32 i = 0; i < SIM_READS; i++) {
		struct sim_read *r = &sim->swap->read[i];

		if ((r->state == SIM_READ_PENDING || r->state == SIM_READ_DONE) && r->slot == slot)
			return r;
	}
	return NULL;
}

static struct sim_read *read_begin(struct sim *sim, u32 slot)
{
	for (u32 i = 0; i < SIM_READS; i++) {
		struct sim_read *r = &sim->swap->read[i];

		if (r->state != SIM_READ_NONE)
			continue;
		*r = (struct sim_read){ .state = SIM_READ_PENDING, .slot = slot };
		return r;
	}
	return NULL;
}

/* Pre: somebody has stored it: whoever reads a slot that holds nothing would bring rubbish. */
static u8 slot_tag(const struct sim *sim, u32 slot)
{
	if (slot >= SIM_SLOTS || !sim->swap->slot[slot].has)
		BUG("slot %u is read, and was never stored", slot);
	return sim->swap->slot[slot].tag;
}

static int sim_backing_read(void *arg, u32 slot, const void **page)
{
	struct sim *sim = arg;
	struct sim_swap *sw = sim->swap;
	struct sim_read *r = read_find(sim, slot);
	int err = 0;

	*page = sw->page;
	if (!r && sim_random(sim, 3) == 0 && (r = read_begin(sim, slot)))
		return -EINPROGRESS;
	if (!r) {
		sw->page[0] = slot_tag(sim, slot);
		return io_fails(sim, &err) ? -EIO : 0;
	}
	if (r->state == SIM_READ_PENDING)
		return -EINPROGRESS;
	sw->page[0] = r->tag;
	err = r->err;
	r->state = SIM_READ_NONE;
	return err;
}

static int sim_backing_read_now(void *arg, u32 slot, void *page)
{
	struct sim *sim = arg;
	struct sim_read *r = read_find(sim, slot);
	int err;

	if (!r && sim_random(sim, 3) == 0)
		return -EAGAIN;
	if (!r) {
		*(u8 *)page = slot_tag(sim, slot);
		return io_fails(sim, &err) ? -EIO : 0;
	}
	if (r->state == SIM_READ_PENDING)
		return -EAGAIN;
	if (r->err)
		return r->err; /* it waits for the fault that it belongs to */
	*(u8 *)page = r->tag;
	r->state = SIM_READ_NONE;
	return 0;
}

static void sim_backing_drop(void *arg, u32 slot)
{
	struct sim *sim = arg;
	struct sim_read *r = read_find(sim, slot);

	BUG_ON(slot >= SIM_SLOTS);
	if (r)
		r->state = r->state == SIM_READ_DONE ? SIM_READ_NONE : SIM_READ_DROPPED;
	sim->swap->slot[slot].has = false;
}

static bool sim_backing_is_tight(void *arg)
{
	return ((struct sim *)arg)->swap->tight;
}

const struct backing_ops sim_backing = {
	.read = sim_backing_read,
	.read_now = sim_backing_read_now,
	.drop = sim_backing_drop,
	.is_tight = sim_backing_is_tight,
};

void sim_read_ahead(struct sim_space *s, u64 addr, u32 slot)
{
	struct sim_read *r = read_find(s->sim, slot);

	if (r)
		return;
	r = read_begin(s->sim, slot);
	if (!r)
		return;
	r->space_id = s->id;
	r->addr = addr;
}

static bool is_pending(const struct sim_read *r)
{
	return r->state == SIM_READ_PENDING || r->state == SIM_READ_DROPPED;
}

u32 sim_nr_reads(const struct sim *sim)
{
	u32 n = 0;

	for (u32 i = 0; i < SIM_READS; i++)
		n += is_pending(&sim->swap->read[i]);
	return n;
}

static struct sim_space *space_by_id(struct sim *sim, u32 id)
{
	for (u32 i = 0; i < SIM_SPACES; i++) {
		if (id && sim->space[i] && sim->space[i]->id == id)
			return sim->space[i];
	}
	return NULL;
}

static void read_done(struct sim *sim, struct sim_read *r)
{
	struct sim_space *s = space_by_id(sim, r->space_id);
	u32 unused;
	int err;

	if (r->state == SIM_READ_DROPPED) {
		r->state = SIM_READ_NONE;
		return;
	}
	r->state = SIM_READ_DONE;
	r->tag = slot_tag(sim, r->slot);
	r->err = io_fails(sim, &err) ? -EIO : 0;
	if (s && !r->err)
		(void)sim_bring(s, r->addr, 1, &unused);
}

void sim_read_step(struct sim *sim, u32 n)
{
	for (u32 i = 0; i < SIM_READS; i++) {
		if (is_pending(&sim->swap->read[i]) && n-- == 0) {
			read_done(sim, &sim->swap->read[i]);
			return;
		}
	}
	BUG("no such read");
}
