/* SPDX-License-Identifier: MIT */
/*
 * reserve.h - objects taken beforehand, so that a commit cannot fail.
 *
 * Who calls it: a plan fills one, its commit takes from it and gives back what it frees; what is left
 * goes when the plan is closed.  Linux counterpart: mas_preallocate, vma_prepare, mempools.
 */
#ifndef UPAGER_RESERVE_H
#define UPAGER_RESERVE_H

#include "base/base.h"

struct anon_vma;
struct anon_vma_chain;
struct mm_world;
struct pgtable;
struct vm_area_struct;
struct vma_leaf;

struct mm_reserve {
	struct mm_world *world;
	struct vm_area_struct *vmas;  /* linked by vm_next */
	struct vma_leaf *leaves;      /* linked by rb.right */
	struct anon_vma_chain *avcs;  /* linked by same_vma.next */
	struct anon_vma *anon_vmas;   /* linked by parent */
	struct pgtable *tables;       /* linked by child[0] */
	u32 nr_vmas, nr_leaves, nr_avcs, nr_anon_vmas, nr_tables;
};

/* With each vma comes the leaf that the tree may need to take it in. */
struct reserve_need {
	u32 vmas, avcs, anon_vmas, tables;
};

void reserve_init(struct mm_reserve *res, struct mm_world *world);
/* Bring each kind up to `need`.  Return: 0, or -ENOMEM (what was got stays until released). */
int must_check reserve_fill(struct mm_reserve *res, struct reserve_need need);
void reserve_release(struct mm_reserve *res);

/* Pre: the reserve has one.  All come zeroed. */
struct vm_area_struct *reserve_take_vma(struct mm_reserve *res);
struct vma_leaf *reserve_take_leaf(struct mm_reserve *res);
struct anon_vma_chain *reserve_take_avc(struct mm_reserve *res);
struct anon_vma *reserve_take_anon_vma(struct mm_reserve *res);
struct pgtable *reserve_take_table(struct mm_reserve *res);
void reserve_give_vma(struct mm_reserve *res, struct vm_area_struct *vma);
void reserve_give_leaf(struct mm_reserve *res, struct vma_leaf *leaf);
void reserve_give_avc(struct mm_reserve *res, struct anon_vma_chain *avc);
void reserve_give_table(struct mm_reserve *res, struct pgtable *table);

#endif /* UPAGER_RESERVE_H */
