/* SPDX-License-Identifier: MIT */
/* unit.h - what every unit test includes: cmocka and its prerequisites. */
#ifndef UPAGER_UNIT_H
#define UPAGER_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

#define RUN(tests) cmocka_run_group_tests(tests, NULL, NULL)

/* A small generator with the same numbers everywhere. */
static inline u32 next_random(u64 *seed, u32 below)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return (u32)(*seed >> 33) % below;
}

#endif /* UPAGER_UNIT_H */
