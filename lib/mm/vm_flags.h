/* SPDX-License-Identifier: MIT */
/*
 * vm_flags.h - the attributes of a mapping.  Everybody who asks about a vma includes it.
 * Linux counterpart: include/linux/mm.h, whose names and values these are.
 */
#ifndef UPAGER_VM_FLAGS_H
#define UPAGER_VM_FLAGS_H

#define VM_READ       0x00000001UL
#define VM_WRITE      0x00000002UL
#define VM_EXEC       0x00000004UL
#define VM_SHARED     0x00000008UL
#define VM_MAYREAD    0x00000010UL
#define VM_MAYWRITE   0x00000020UL
#define VM_MAYEXEC    0x00000040UL
#define VM_MAYSHARE   0x00000080UL
#define VM_GROWSDOWN  0x00000100UL
#define VM_UFFD_MISSING 0x00000200UL
#define VM_PFNMAP     0x00000400UL
#define VM_UFFD_WP    0x00001000UL
#define VM_LOCKED     0x00002000UL
#define VM_IO         0x00004000UL
#define VM_SEQ_READ   0x00008000UL
#define VM_RAND_READ  0x00010000UL
#define VM_DONTCOPY   0x00020000UL
#define VM_DONTEXPAND 0x00040000UL
#define VM_LOCKONFAULT 0x00080000UL
#define VM_ACCOUNT    0x00100000UL
#define VM_NORESERVE  0x00200000UL
#define VM_HUGETLB    0x00400000UL
#define VM_SYNC       0x00800000UL
#define VM_WIPEONFORK 0x02000000UL
#define VM_DONTDUMP   0x04000000UL
#define VM_SOFTDIRTY  0x08000000UL
#define VM_MIXEDMAP   0x10000000UL
#define VM_HUGEPAGE   0x20000000UL
#define VM_NOHUGEPAGE 0x40000000UL
#define VM_MERGEABLE  0x80000000UL
#define VM_DROPPABLE  (1UL << 40)
/* Ours: bits above Linux's. */
#define VM_SECRETMEM  (1UL << 59) /* memfd_secret(2) */
#define VM_UNMANAGED  (1UL << 60) /* the kernel pages it; tracked only (file, shared, hugetlb, device) */
#define VM_SPECIAL_MAP (1UL << 61) /* vdso, vvar: no call of the program may be refused for it */
#define VM_SEALED     (1UL << 62) /* mseal(2) */

#define VM_ACCESS_FLAGS (VM_READ | VM_WRITE | VM_EXEC)
#define VM_SPECIAL      (VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP) /* never merged */
#define VM_LOCKED_MASK  (VM_LOCKED | VM_LOCKONFAULT)
#define VM_NO_MLOCK     (VM_SPECIAL | VM_HUGETLB | VM_DROPPABLE) /* never locked.  Linux: vma_supports_mlock */

#endif /* UPAGER_VM_FLAGS_H */
