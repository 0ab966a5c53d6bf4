/* SPDX-License-Identifier: MIT */
/*
 * interval.c - see interval.h.  A red-black tree by range.start in which each node knows the largest
 * end below it, so that a subtree which ends before the range is never entered.
 */
#include "base/interval.h"

#include "base/check.h"

static struct interval_node *node_of(const struct rb_node *rb)
{
	return container_of(rb, struct interval_node, rb);
}

static void update_subtree_end(struct rb_node *rb)
{
	struct interval_node *node = node_of(rb);
	u64 end = node->range.end;

	if (rb->left)
		end = u64_max(end, node_of(rb->left)->subtree_end);
	if (rb->right)
		end = u64_max(end, node_of(rb->right)->subtree_end);
	node->subtree_end = end;
}

void interval_insert(struct interval_tree *tree, struct interval_node *node)
{
	struct rb_node **link = &tree->root.node;
	struct rb_node *parent = NULL;

	BUG_ON(range_empty(node->range));
	while (*link) {
		parent = *link;
		link = node->range.start < node_of(parent)->range.start ? &parent->left
									 : &parent->right;
	}
	rb_insert(&tree->root, &node->rb, parent, link, update_subtree_end);
}

void interval_remove(struct interval_tree *tree, struct interval_node *node)
{
	rb_erase(&tree->root, &node->rb, update_subtree_end);
}

static bool may_reach(const struct rb_node *rb, struct range r)
{
	return rb && node_of(rb)->subtree_end > r.start;
}

/*
 * The first overlap in the subtree.  Pre: may_reach(rb, r), that is, some node in it ends after
 * r.start; when that node is on the left, the first overlap is there or nowhere: a node on the left
 * that starts at or after r.end has only such nodes to its right.
 */
static struct interval_node *subtree_first(const struct rb_node *rb, struct range r)
{
	for (;;) {
		if (may_reach(rb->left, r)) {
			rb = rb->left;
			continue;
		}
		if (node_of(rb)->range.start >= r.end)
			return NULL;
		if (node_of(rb)->range.end > r.start)
			return node_of(rb);
		if (!may_reach(rb->right, r))
			return NULL;
		rb = rb->right;
	}
}

struct interval_node *interval_first(const struct interval_tree *tree, struct range r)
{
	return may_reach(tree->root.node, r) ? subtree_first(tree->root.node, r) : NULL;
}

struct interval_node *interval_next(const struct interval_node *node, struct range r)
{
	const struct rb_node *rb = &node->rb;

	for (;;) {
		const struct rb_node *from;

		if (may_reach(rb->right, r))
			return subtree_first(rb->right, r);
		do {
			from = rb;
			rb = rb_parent(rb);
			if (!rb)
				return NULL;
		} while (from == rb->right);
		if (node_of(rb)->range.start >= r.end)
			return NULL;
		if (node_of(rb)->range.end > r.start)
			return node_of(rb);
	}
}
