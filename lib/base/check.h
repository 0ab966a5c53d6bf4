/* SPDX-License-Identifier: MIT */
/*
 * check.h - "our bug": assertions that are always compiled in, and how much is checked.
 *
 * Three kinds of failure exist in upager and are never mixed (docs/ARCHITECTURE.md): our bug
 * (BUG_ON, here), the world says no (0 or -errno, must_check), the tracee is gone or changing
 * (-ESRCH, -EAGAIN).  Linux counterpart: asm-generic/bug.h.
 */
#ifndef UPAGER_CHECK_H
#define UPAGER_CHECK_H

#include "base/base.h"

/* How much upager verifies itself, from --check N.  Higher levels include the lower ones. */
enum check_level {
	CHECK_NONE = 0,   /* nothing beyond BUG_ON */
	CHECK_ASSERT = 1, /* O(1) assertions (default) */
	CHECK_VERIFY = 2, /* mm_verify() after each event */
	CHECK_AUDIT = 3,  /* and the model compared with the kernel after each trapped call */
};

extern enum check_level check_level;

/*
 * Called by bug() before it aborts, so that a program can say what it was doing (the model, the
 * last events).  NULL: nothing.  It must not itself fail a BUG_ON; a second one aborts at once.
 */
extern void (*bug_hook)(void);

/* Print one line "BUG at FILE:LINE: TEXT", run bug_hook, abort.  Never returns. */
_Noreturn void bug(const char *file, int line, const char *fmt, ...) printf_like(3, 4);

#define BUG(...) bug(__FILE__, __LINE__, __VA_ARGS__)

#define BUG_ON(cond)                                          \
	do {                                                  \
		if (unlikely(cond))                           \
			bug(__FILE__, __LINE__, "%s", #cond); \
	} while (0)

/* An O(1) assertion that --check 0 switches off. */
#define CHECK(cond)                                           \
	do {                                                  \
		if (check_level >= CHECK_ASSERT)              \
			BUG_ON(!(cond));                      \
	} while (0)

#endif /* UPAGER_CHECK_H */
