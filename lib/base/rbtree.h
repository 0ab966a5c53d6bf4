/* SPDX-License-Identifier: MIT */
/*
 * rbtree.h - an intrusive red-black tree whose nodes may carry a value computed from their subtree.
 *
 * Who calls it: the vma tree and vm_file table of lib/mm, and interval.h.  It owns nothing and
 * allocates nothing; the caller walks down to the place (`link`) itself, because only it knows the
 * order.  Linux counterpart: rbtree.h and rbtree_augmented.h; here one callback replaces three.
 */
#ifndef UPAGER_RBTREE_H
#define UPAGER_RBTREE_H

#include "base/base.h"

struct rb_node {
	uintptr_t parent_color; /* address of the parent; bit 0 set: black */
	struct rb_node *left;
	struct rb_node *right;
};

struct rb_root {
	struct rb_node *node; /* NULL: empty */
};

/* Recompute what `node` caches from its own content and its two children.  NULL: nothing cached. */
typedef void (*rb_augment_fn)(struct rb_node *node);

/*
 * Link `node` at *link, below `parent` (NULL: it becomes the root), and rebalance.
 * Pre: *link is NULL and is the place that keeps the caller's order.
 * Source: rb_link_node + rb_insert_augmented.
 */
void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
	       struct rb_node **link, rb_augment_fn augment);

/* Unlink `node`.  Pre: it is in `root`.  Source: rb_erase_augmented. */
void rb_erase(struct rb_root *root, struct rb_node *node, rb_augment_fn augment);

/* The content of `node` changed, its place did not: recompute it and everything above. */
void rb_propagate(struct rb_node *node, rb_augment_fn augment);

/* In order; NULL at the ends. */
struct rb_node *rb_first(const struct rb_root *root);
struct rb_node *rb_next(const struct rb_node *node);
struct rb_node *rb_prev(const struct rb_node *node);

static inline struct rb_node *rb_parent(const struct rb_node *node)
{
	return (struct rb_node *)(node->parent_color & ~(uintptr_t)1);
}

/*
 * Red-black rules: the root is black, no red node has a red child, every way down has as many black
 * nodes.  Returns the black height, or -1 when a rule is broken.  For tests and mm_verify.
 */
int rb_check(const struct rb_root *root);

#endif /* UPAGER_RBTREE_H */
