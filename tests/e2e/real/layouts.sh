#!/bin/bash
# Other layouts of the address space: the loader as a program, no randomisation, bottom-up mappings,
# an unlimited stack, everything executable, preloaded libraries.
PART=${PART:-1}
cat >show.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define MB ((1 << 20) / PART)
static int deep(int n) { volatile char f[2000]; memset((char *)f, n, 2000); return n ? deep(n - 1) + f[7] % 2 : 0; }
int main(void)
{
	char *h = malloc(3 * MB), *m = mmap(0, MB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *b = sbrk(200000 / PART);
	memset(h, 1, 3 * MB); memset(m, 2, MB); memset(b, 3, 200000 / PART);
	if (fork() == 0) { h[5]++; m[5]++; b[5]++; return h[5] + m[5] + b[5] == 9 ? 0 : 1; }
	printf("%d %d %d %d\n", h[12345], m[4096], b[200000 / PART - 1], deep(1500 / PART));
	return 0;
}
C
gcc -DPART="$PART" -O1 -o show show.c
gcc -DPART="$PART" -O1 -static -o show-static show.c
gcc -DPART="$PART" -O1 -static-pie -fPIE -o show-pie show.c
printf '#include <unistd.h>\n__attribute__((constructor)) static void f(void) { if (write(1, "preloaded\\n", 10) < 0) _exit(9); }\n' >pre.c
gcc -shared -fPIC -o pre.so pre.c
for p in ./show ./show-static ./show-pie; do
	$p
	setarch -R $p
	setarch -L $p
	setarch -R -L $p
	setarch -X $p
	setarch -X -R -3 $p
	(ulimit -s unlimited && $p)
	(ulimit -s 16384 && $p)
done
/lib64/ld-linux-x86-64.so.2 ./show
setarch -R /lib64/ld-linux-x86-64.so.2 ./show
/lib64/ld-linux-x86-64.so.2 --list ./show | sed 's/(0x.*//'
LD_TRACE_LOADED_OBJECTS=1 ./show | sed 's/(0x.*//'
LD_PRELOAD=$PWD/pre.so ./show
LD_BIND_NOW=1 MALLOC_ARENA_MAX=1 MALLOC_PERTURB_=7 ./show
GLIBC_TUNABLES=glibc.malloc.hugetlb=1 ./show
