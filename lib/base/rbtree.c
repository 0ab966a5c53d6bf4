/* SPDX-License-Identifier: MIT */
/*
 * rbtree.c - see rbtree.h.  The algorithm is the textbook one (Cormen et al., ch. 13) with NULL
 * leaves: the fix-up after an erase is told the parent, since a NULL child has none.
 *
 * The cached value: a rotation changes the subtree of just the two nodes it turns, so each rotation
 * recomputes those two; an insert or erase first recomputes the path to the root.
 */
#include "base/rbtree.h"

#define BLACK 1UL

static bool is_black(const struct rb_node *node)
{
	return !node || (node->parent_color & BLACK);
}

static void set_black(struct rb_node *node)
{
	node->parent_color |= BLACK;
}

static void set_red(struct rb_node *node)
{
	node->parent_color &= ~BLACK;
}

static void set_parent(struct rb_node *node, struct rb_node *parent)
{
	node->parent_color = (uintptr_t)parent | (node->parent_color & BLACK);
}

/* Where the pointer to `node` is kept. */
static struct rb_node **slot_of(struct rb_root *root, struct rb_node *node, struct rb_node *parent)
{
	if (!parent)
		return &root->node;
	return parent->left == node ? &parent->left : &parent->right;
}

/*
 *      n                r
 *     / \     left     / \
 *    a   r   ------>  n   c
 *       / \          / \
 *      b   c        a   b       and its mirror image
 */
static void rotate(struct rb_root *root, struct rb_node *n, bool left, rb_augment_fn augment)
{
	struct rb_node *parent = rb_parent(n);
	struct rb_node *r = left ? n->right : n->left;
	struct rb_node *b = left ? r->left : r->right;

	*slot_of(root, n, parent) = r;
	set_parent(r, parent);
	if (left) {
		r->left = n;
		n->right = b;
	} else {
		r->right = n;
		n->left = b;
	}
	set_parent(n, r);
	if (b)
		set_parent(b, n);
	if (augment) {
		augment(n);
		augment(r);
	}
}

void rb_propagate(struct rb_node *node, rb_augment_fn augment)
{
	for (; node; node = rb_parent(node))
		augment(node);
}

void rb_insert(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
	       struct rb_node **link, rb_augment_fn augment)
{
	node->parent_color = (uintptr_t)parent; /* red */
	node->left = NULL;
	node->right = NULL;
	*link = node;
	if (augment)
		rb_propagate(node, augment);

	while ((parent = rb_parent(node)) && !is_black(parent)) {
		struct rb_node *grand = rb_parent(parent); /* a red parent is not the root */
		bool left = parent == grand->left;
		struct rb_node *uncle = left ? grand->right : grand->left;

		if (!is_black(uncle)) {
			set_black(parent);
			set_black(uncle);
			set_red(grand);
			node = grand;
			continue;
		}
		if (node == (left ? parent->right : parent->left)) {
			rotate(root, parent, left, augment);
			parent = node;
		}
		set_black(parent);
		set_red(grand);
		rotate(root, grand, !left, augment);
		break;
	}
	set_black(root->node);
}

/* `node` (may be NULL), a child of `parent`, is one black short. */
static void erase_fixup(struct rb_root *root, struct rb_node *node, struct rb_node *parent,
			rb_augment_fn augment)
{
	while (parent && is_black(node)) {
		bool left = parent->left == node;
		struct rb_node *sib = left ? parent->right : parent->left;
		struct rb_node *near, *far;

		if (!is_black(sib)) {
			set_black(sib);
			set_red(parent);
			rotate(root, parent, left, augment);
			sib = left ? parent->right : parent->left;
		}
		near = left ? sib->left : sib->right;
		far = left ? sib->right : sib->left;
		if (is_black(near) && is_black(far)) {
			set_red(sib);
			node = parent;
			parent = rb_parent(node);
			continue;
		}
		if (is_black(far)) {
			set_black(near);
			set_red(sib);
			rotate(root, sib, !left, augment);
			far = sib;
			sib = near;
		}
		if (is_black(parent))
			set_black(sib);
		else
			set_red(sib);
		set_black(parent);
		set_black(far);
		rotate(root, parent, left, augment);
		return;
	}
	if (node)
		set_black(node);
}

void rb_erase(struct rb_root *root, struct rb_node *node, rb_augment_fn augment)
{
	struct rb_node *up = rb_parent(node);
	struct rb_node *child, *parent; /* the place that lost a node, from below and above */
	bool lost_black;

	if (node->left && node->right) {
		struct rb_node *succ = rb_next(node);

		child = succ->right;
		parent = rb_parent(succ);
		lost_black = is_black(succ);
		if (parent == node) {
			parent = succ;
		} else {
			parent->left = child;
			succ->right = node->right;
			set_parent(node->right, succ);
		}
		succ->left = node->left;
		set_parent(node->left, succ);
		*slot_of(root, node, up) = succ;
		succ->parent_color = node->parent_color;
	} else {
		child = node->left ? node->left : node->right;
		parent = up;
		lost_black = is_black(node);
		*slot_of(root, node, up) = child;
	}
	if (child)
		set_parent(child, parent);
	if (augment)
		rb_propagate(parent, augment);
	if (lost_black)
		erase_fixup(root, child, parent, augment);
}

struct rb_node *rb_first(const struct rb_root *root)
{
	struct rb_node *n = root->node;

	while (n && n->left)
		n = n->left;
	return n;
}

struct rb_node *rb_next(const struct rb_node *node)
{
	struct rb_node *n = node->right;

	if (n) {
		while (n->left)
			n = n->left;
		return n;
	}
	for (n = rb_parent(node); n && node == n->right; n = rb_parent(n))
		node = n;
	return n;
}

struct rb_node *rb_prev(const struct rb_node *node)
{
	struct rb_node *n = node->left;

	if (n) {
		while (n->right)
			n = n->right;
		return n;
	}
	for (n = rb_parent(node); n && node == n->left; n = rb_parent(n))
		node = n;
	return n;
}

static int black_height(const struct rb_node *node, const struct rb_node *parent)
{
	int left, right;

	if (!node)
		return 0;
	if (rb_parent(node) != parent || (!is_black(node) && !is_black(parent)))
		return -1;
	left = black_height(node->left, node);
	right = black_height(node->right, node);
	if (left < 0 || left != right)
		return -1;
	return left + is_black(node);
}

int rb_check(const struct rb_root *root)
{
	return is_black(root->node) ? black_height(root->node, NULL) : -1;
}
