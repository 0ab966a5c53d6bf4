/* SPDX-License-Identifier: MIT */
/* store.c - see store.h. */
#include "swap/store.h"
