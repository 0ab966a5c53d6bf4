/* SPDX-License-Identifier: MIT */
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum check_level check_level = CHECK_ASSERT;
void (*bug_hook)(void);

_Noreturn void bug(const char *file, int line, const char *fmt, ...)
{
	static bool nested;
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "upager: BUG at %s:%d: ", file, line);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	if (!nested && bug_hook) {
		nested = true;
		bug_hook();
	}
	abort();
}
