/* SPDX-License-Identifier: MIT */
/*
 * file.c - the files that mappings name, one vm_file each, so that "same file" is one comparison.
 *
 * Two mappings without device and inode ("[vdso]", "[vvar]") are told apart by name.
 * Linux counterpart: struct file's f_mapping, as far as vma_merge asks for it.
 */
#include <string.h>

#include "mm/mm.h"

static struct vm_file *file_of(struct rb_node *rb)
{
	return container_of(rb, struct vm_file, node);
}

static int compare(struct vm_file_id id, const char *name, const struct vm_file *f)
{
	if (id.dev != f->id.dev)
		return id.dev < f->id.dev ? -1 : 1;
	if (id.ino != f->id.ino)
		return id.ino < f->id.ino ? -1 : 1;
	return id.dev || id.ino ? 0 : strcmp(name, f->name);
}

struct vm_file *vm_file_get(struct mm_world *world, struct vm_file_id id, const char *name)
{
	struct rb_node **link = &world->files.node;
	struct rb_node *parent = NULL;
	size_t bytes = sizeof(struct vm_file) + strlen(name) + 1;
	struct vm_file *f;

	while (*link) {
		int order;

		parent = *link;
		f = file_of(parent);
		order = compare(id, name, f);
		if (!order) {
			f->refcount++;
			return f;
		}
		link = order < 0 ? &parent->left : &parent->right;
	}
	f = mem_zalloc(&world->bytes, bytes);
	if (!f)
		return NULL;
	f->world = world;
	f->id = id;
	f->refcount = 1;
	f->alloc_bytes = bytes;
	strcpy(f->name, name);
	rb_insert(&world->files, &f->node, parent, link, NULL);
	return f;
}

void vm_file_put(struct vm_file *file)
{
	BUG_ON(!file->refcount);
	if (--file->refcount)
		return;
	rb_erase(&file->world->files, &file->node, NULL);
	mem_free(&file->world->bytes, file, file->alloc_bytes);
}
