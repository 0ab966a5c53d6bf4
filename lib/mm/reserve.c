/* SPDX-License-Identifier: MIT */
/* reserve.c - see reserve.h. */
#include "mm/reserve.h"

#include "mm/mm.h"

void reserve_init(struct mm_reserve *res, struct mm_world *world)
{
	*res = (struct mm_reserve){ .world = world };
}

int reserve_fill(struct mm_reserve *res, struct reserve_need need)
{
	struct mm_world *w = res->world;

	while (res->nr_vmas < need.vmas) {
		struct vm_area_struct *vma = slab_alloc(&w->vma_slab);

		if (!vma)
			return -ENOMEM;
		reserve_give_vma(res, vma);
	}
	while (res->nr_leaves < need.vmas) {
		struct vma_leaf *leaf = slab_alloc(&w->leaf_slab);

		if (!leaf)
			return -ENOMEM;
		reserve_give_leaf(res, leaf);
	}
	while (res->nr_avcs < need.avcs) {
		struct anon_vma_chain *avc = slab_alloc(&w->avc_slab);

		if (!avc)
			return -ENOMEM;
		reserve_give_avc(res, avc);
	}
	while (res->nr_anon_vmas < need.anon_vmas) {
		struct anon_vma *anon_vma = slab_alloc(&w->anon_vma_slab);

		if (!anon_vma)
			return -ENOMEM;
		anon_vma->parent = res->anon_vmas;
		res->anon_vmas = anon_vma;
		res->nr_anon_vmas++;
	}
	while (res->nr_tables < need.tables) {
		struct pgtable *table = slab_alloc(&w->table_slab);

		if (!table)
			return -ENOMEM;
		reserve_give_table(res, table);
	}
	return 0;
}

void reserve_release(struct mm_reserve *res)
{
	struct mm_world *w = res->world;

	while (res->nr_vmas)
		slab_free(&w->vma_slab, reserve_take_vma(res));
	while (res->nr_leaves)
		slab_free(&w->leaf_slab, reserve_take_leaf(res));
	while (res->nr_avcs)
		slab_free(&w->avc_slab, reserve_take_avc(res));
	while (res->nr_anon_vmas)
		slab_free(&w->anon_vma_slab, reserve_take_anon_vma(res));
	while (res->nr_tables)
		slab_free(&w->table_slab, reserve_take_table(res));
}

struct vm_area_struct *reserve_take_vma(struct mm_reserve *res)
{
	struct vm_area_struct *vma = res->vmas;

	BUG_ON(!vma);
	res->vmas = vma->vm_next;
	res->nr_vmas--;
	*vma = (struct vm_area_struct){ 0 };
	list_init(&vma->anon_vma_chain);
	return vma;
}

void reserve_give_vma(struct mm_reserve *res, struct vm_area_struct *vma)
{
	vma->vm_next = res->vmas;
	res->vmas = vma;
	res->nr_vmas++;
}

struct vma_leaf *reserve_take_leaf(struct mm_reserve *res)
{
	struct vma_leaf *leaf = res->leaves;

	BUG_ON(!leaf);
	res->leaves = leaf_of(leaf->rb.right);
	res->nr_leaves--;
	return leaf;
}

void reserve_give_leaf(struct mm_reserve *res, struct vma_leaf *leaf)
{
	BUG_ON(leaf->nr);
	leaf->rb.right = res->leaves ? &res->leaves->rb : NULL;
	res->leaves = leaf;
	res->nr_leaves++;
}

struct anon_vma_chain *reserve_take_avc(struct mm_reserve *res)
{
	struct anon_vma_chain *avc = res->avcs;

	BUG_ON(!avc);
	res->avcs = (struct anon_vma_chain *)avc->same_vma.next;
	res->nr_avcs--;
	*avc = (struct anon_vma_chain){ 0 };
	return avc;
}

void reserve_give_avc(struct mm_reserve *res, struct anon_vma_chain *avc)
{
	avc->same_vma.next = (struct list_head *)res->avcs;
	res->avcs = avc;
	res->nr_avcs++;
}

struct anon_vma *reserve_take_anon_vma(struct mm_reserve *res)
{
	struct anon_vma *anon_vma = res->anon_vmas;

	BUG_ON(!anon_vma);
	res->anon_vmas = anon_vma->parent;
	res->nr_anon_vmas--;
	anon_vma->parent = NULL;
	return anon_vma;
}

struct pgtable *reserve_take_table(struct mm_reserve *res)
{
	struct pgtable *table = res->tables;

	BUG_ON(!table);
	res->tables = table->child[0];
	res->nr_tables--;
	table->child[0] = NULL;
	return table;
}

/* The table is empty, so but for the link it stays zeroed. */
void reserve_give_table(struct mm_reserve *res, struct pgtable *table)
{
	BUG_ON(table->nr_used);
	table->child[0] = res->tables;
	res->tables = table;
	res->nr_tables++;
}
