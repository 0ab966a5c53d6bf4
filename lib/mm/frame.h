/* SPDX-License-Identifier: MIT */
/*
 * frame.h - a page of memory as the model counts it.
 *
 * Who calls it: the fault table, rmap and the zap paths.  A frame is an accounting unit: its bytes live
 * in the program (or wherever the machine keeps them).  Linux counterpart: struct page/folio, memmap
 * sections (sparsemem) and pg_data_t; we say frame because it holds no bytes.
 */
#ifndef UPAGER_FRAME_H
#define UPAGER_FRAME_H

#include "base/base.h"
#include "base/list.h"
#include "policy/reclaim_ops.h"

struct anon_vma;
struct mm_world;

/*
 *   FREE --alloc--> BUSY --first mapping--> RESIDENT <--lock or pin found / gone--> PINNED
 *    ^               |  ^ <--isolate-- '---^   |                                    |
 *    |               |  |       putback        |                                    |
 *    |               |  '--move--> STAGED      |                                    |
 *    |               |  <--rescue, write--'    |                                    |
 *    '---------------'------------- last reference dropped -------------------------'
 * Invariant I11: a frame is in exactly one of them; frame_set_state() checks each step.
 */
enum frame_state {
	FRAME_FREE,     /* on its section's free list; every other field but pfn, nid is meaningless */
	FRAME_BUSY,     /* somebody fills it or empties it; no policy may choose it */
	FRAME_RESIDENT, /* mapped, in the policy's hands */
	FRAME_PINNED,   /* mapped, not to be evicted: a VM_LOCKED vma maps it, or a device has it (gup.c) */
	FRAME_STAGED,   /* unmapped, whole in a staging area; its swap ptes find it by its slot */
	NR_FRAME_STATES,
};

enum frame_flags {
	FRAME_LISTED = 1 << 0,     /* the policy has it */
	FRAME_PROBATION = 1 << 2,  /* the policy has named it a victim, and will hear what became of it */
	FRAME_PREFETCHED = 1 << 1, /* brought ahead of need, and not known to have been used */
	FRAME_STUCK = 1 << 3,      /* STAGED: the machine would not move it back; it leaves by its slot */
	FRAME_DMA_PINNED = 1 << 4, /* the kernel pinned it for a device, and may still hold it (gup.c) */
};

/*
 * Owned by whoever holds a reference: one for each pte that maps it, and one for each temporary holder.
 * Freed with the last one.
 */
struct frame {
	union {
		struct anon_vma *anon_vma;   /* whose interval tree finds the vmas that map it (I7) */
		void *staged_in;             /* STAGED: the machine's name of the staging area */
	};
	u64 index;                 /* its page's vm_pgoff in those vmas; STAGED: place; FREE: next free pfn */
	u32 refcount;
	u32 mapcount;              /* ptes that map it (I5) */
	u32 pfn;
	u8 state;                  /* enum frame_state */
	u8 nid;                    /* node */
	u8 flags;                  /* enum frame_flags */
	u32 slot;                  /* of the swap area: holds its bytes of some time ago; 0: none (I12) */
	u32 born_ms;               /* when it came in, by the world's clock */
	struct reclaim_node reclaim; /* the policy's */
};

#define FRAMES_PER_SECTION 1024u
#define PFN_NONE           UINT32_MAX

/*
 * A run of frames that comes and goes as one.  Owned by its node; frees itself when its last frame does,
 * unless it is the node's only section with nothing in use, which is kept for the next fault.
 */
struct section {
	struct list_head list; /* on node.partial while it has a free frame */
	u32 free_pfn;          /* head of the free list; PFN_NONE: empty */
	u32 nr_free;
	struct frame frame[FRAMES_PER_SECTION];
};

#define MAX_NODES 4

/* A tier of memory.  Offline it has no frame; node 0, which faults take from, never is. */
struct node {
	u32 nid;
	bool online;
	u32 nr_idle;       /* sections without a used frame: 0 or 1, after a free */
	u64 start_pfn;     /* of its first section; meaningless while present_pages == 0 */
	u64 spanned_pages; /* from start_pfn to the end of its last section, holes included */
	u64 present_pages; /* frames that exist, free or not */
	u64 nr_free;
	u64 nr_used;
	u64 budget;        /* frames there may be in use; 0: no limit */
	struct list_head partial; /* sections with a free frame */
};

/* All frames of a world: pfn -> frame by section.  Embedded in mm_world. */
struct frame_table {
	struct section **section; /* section[pfn / FRAMES_PER_SECTION]; NULL: a hole, to be used again */
	u32 nr_sections;          /* places in use or holes */
	u32 max_sections;         /* room in `section` */
	struct node node[MAX_NODES];
	u64 nr_used;              /* frames not FREE, all nodes */
	u64 nr_used_max;
};

void frame_table_init(struct frame_table *table);
/* Pre: every frame is FREE. */
void frame_table_fini(struct mm_world *world);

/*
 * Hot-add: the node comes with one section, and more on need.
 * Return: 0; -EINVAL: there is no such node; -EEXIST: it is online; -ENOMEM.
 * Source: try_online_node, add_memory_resource (mm/memory_hotplug.c).
 */
int must_check node_online(struct mm_world *world, u32 nid);
/*
 * Hot-remove: all its sections go, and its budget.  Its pfns may become another node's.
 * Return: 0; -EINVAL: no such node, node 0, or not online; -EBUSY: frames are in use.
 * Source: try_offline_node, try_remove_memory.
 */
int must_check node_offline(struct mm_world *world, u32 nid);
/*
 * At most `pages` frames of the node shall be in use; 0: no limit.  When more are, they stay, and no other is
 * given out until enough have gone.  Pre: it is online.
 */
void node_set_budget(struct mm_world *world, u32 nid, u64 pages);

/*
 * Make sure that the next `nr` frame_alloc() on the node succeed, if none is freed before.
 * Return: 0; -ENODEV: it is not online; -ENOSPC: that would exceed its budget; -ENOMEM.
 */
int must_check frame_reserve(struct mm_world *world, u32 nid, u64 nr);
/* A BUSY frame with refcount 1, mapcount 0.  Pre: frame_reserve() said so. */
struct frame *frame_alloc(struct mm_world *world, u32 nid);

struct frame *pfn_to_frame(const struct mm_world *world, u32 pfn);
static inline u32 frame_to_pfn(const struct frame *frame)
{
	return frame->pfn;
}

void frame_get(struct frame *frame);
/* Drop a reference; the last one frees it.  Pre for the last: mapcount 0. */
void frame_put(struct mm_world *world, struct frame *frame);

/* The one place where a state changes; BUG()s on a step that the picture above does not have. */
void frame_set_state(struct frame *frame, enum frame_state to);

/* I11 and the nodes' counts.  BUG()s. */
void frame_table_verify(const struct mm_world *world);

#endif /* UPAGER_FRAME_H */
