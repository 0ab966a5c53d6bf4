/* SPDX-License-Identifier: MIT */
/*
 * base.h - the few types and macros that every layer uses.
 *
 * What lives here: fixed-width names, page arithmetic, `struct range`.  It knows nothing of
 * memory management, processes or system calls.  Linux counterpart: types.h, mm.h (PAGE_*),
 * container_of.h, range.h.
 */
#ifndef UPAGER_BASE_H
#define UPAGER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1UL << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))

/* One past the last address a 48-bit user program can map on x86-64 (4-level tables). */
#define TASK_SIZE 0x7ffffffff000UL

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define container_of(ptr, type, member) \
	((type *)((char *)(1 ? (ptr) : &((type *)0)->member) - offsetof(type, member)))

#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

static inline u64 page_align_down(u64 addr)
{
	return addr & PAGE_MASK;
}

/* Wraps to 0 for the last page of the address space, as Linux's PAGE_ALIGN does. */
static inline u64 page_align_up(u64 addr)
{
	return (addr + PAGE_SIZE - 1) & PAGE_MASK;
}

static inline bool page_aligned(u64 addr)
{
	return !(addr & ~PAGE_MASK);
}

static inline u64 u64_min(u64 a, u64 b)
{
	return a < b ? a : b;
}

static inline u64 u64_max(u64 a, u64 b)
{
	return a > b ? a : b;
}

/* A half-open interval [start, end) of addresses or of page numbers.  Empty when start >= end. */
struct range {
	u64 start;
	u64 end;
};

static inline struct range range_of(u64 start, u64 len)
{
	return (struct range){ start, start + len };
}

static inline bool range_empty(struct range r)
{
	return r.start >= r.end;
}

static inline u64 range_len(struct range r)
{
	return range_empty(r) ? 0 : r.end - r.start;
}

static inline bool range_contains(struct range r, u64 x)
{
	return x >= r.start && x < r.end;
}

static inline bool range_covers(struct range outer, struct range inner)
{
	return inner.start >= outer.start && inner.end <= outer.end;
}

static inline bool range_overlaps(struct range a, struct range b)
{
	return a.start < b.end && b.start < a.end;
}

static inline struct range range_intersect(struct range a, struct range b)
{
	return (struct range){ u64_max(a.start, b.start), u64_min(a.end, b.end) };
}

#endif /* UPAGER_BASE_H */
