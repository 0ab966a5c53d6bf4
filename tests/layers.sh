#!/bin/sh
# SPDX-License-Identifier: MIT
# Check that includes go down only, that every header compiles alone, and that the model is pure.
#
#	layers.sh LIBRARY_DIR
#
# LIBRARY_DIR holds the built libupager_*.a.  Layers (docs/ARCHITECTURE.md): base is below mm and sys,
# which never see each other; only pager joins them.
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
libs=${1:?usage: layers.sh LIBRARY_DIR}
failed=0

fail()
{
	echo "FAIL $*"
	failed=$((failed + 1))
}

# includes LAYER ALLOWED: quoted includes of a layer that are not of the allowed layers.
check_includes()
{
	bad=$(grep -rnE '^#include "' "$root/lib/$1" --include='*.[ch]' |
		grep -vE "#include \"($2)/")
	[ -z "$bad" ] || fail "lib/$1 may include only $2:
$bad"
}

check_headers()
{
	for header in $(cd "$root/lib" && find . -name '*.h' | sed 's|^\./||' | sort); do
		echo "#include \"$header\"" |
			"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -Wall -Werror -fsyntax-only -I"$root/lib" -x c - ||
			fail "$header does not compile alone"
	done
}

# What the model may take from libc: memory, strings, printing of a dump, and nothing that asks
# the kernel for anything.
pure='malloc|calloc|realloc|aligned_alloc|posix_memalign|free|mem[a-z]*|str[a-z]*|qsort|abort'
pure="$pure"'|v?f?printf|v?snprintf|fput[cs]|putc|fwrite|__errno_location|__stack_chk_fail'
pure="$pure"'|__(v?f|v?sn)printf_chk|__mem[a-z]*_chk|__(asan|ubsan|lsan)_[A-Za-z0-9_]*|_GLOBAL_OFFSET_TABLE_'
pure="$pure"'|stderr|stdout|open_memstream|fclose|fflush'

check_pure()
{
	[ -f "$libs/libupager_$1.a" ] || { fail "no libupager_$1.a in $libs"; return; }
	defined=$(mktemp)
	nm --defined-only "$libs/libupager_$1.a" "$libs/libupager_base.a" 2>/dev/null |
		awk 'NF == 3 { print $3 }' | sort -u >"$defined"
	bad=$(nm -u "$libs/libupager_$1.a" | awk 'NF == 2 { print $2 }' | sort -u |
		comm -23 - "$defined" | grep -vxE "$pure${2:+|$2}")
	rm -f "$defined"
	[ -z "$bad" ] || fail "lib/$1 must be pure, but uses: $(echo "$bad" | tr '\n' ' ')"
}

check_includes base base
check_includes policy 'base|policy'
check_includes mm 'base|policy|mm'
check_includes sys 'base|sys'
check_includes swap 'base|sys|swap'
[ ! -d "$root/lib/sim" ] || check_includes sim 'base|policy|mm|sim'
check_headers
check_pure policy 'fopen|fgets|ferror' # the recorded prefetcher's file
check_pure mm
[ "$failed" -eq 0 ] && echo "ok layers"
