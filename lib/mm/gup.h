/* SPDX-License-Identifier: MIT */
/* gup.h - for the model's own files: is a page held by a device?  See gup.c. */
#ifndef UPAGER_GUP_H
#define UPAGER_GUP_H

#include "mm/mm.h"

/*
 * May DMA go to the page?  True for no longer than one of the mms that map it has pinned anything at all.
 * Source: folio_maybe_dma_pinned.
 */
bool frame_maybe_dma_pinned(const struct frame *frame);
/*
 * mm has written to its mapping of `old`, which is shared, and has `copy` now.  Which of the two pages a device holds
 * only the kernel knows (page_needs_cow_for_dma: whoever pinned it keeps it, other than by the model): both.
 */
void frame_copied(const struct mm_struct *mm, const struct frame *old, struct frame *copy);

#endif /* UPAGER_GUP_H */
