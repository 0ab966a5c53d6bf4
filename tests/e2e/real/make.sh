#!/bin/sh
# make -j2 of a small generated project: library, programs, a test run.
set -e
n=$((12 / ${PART:-1} + 2)) i=0
while [ $i -lt $n ]; do
	printf 'int f%d(int x) { return x * %d + 1; }\n' $i $i >"f$i.c"
	i=$((i + 1))
done
cat >main.c <<C
#include <stdio.h>
int f$((n / 4))(int), f$((n - 1))(int);
int main(void) { printf("%d %d\\n", f$((n / 4))(4), f$((n - 1))(5)); return 0; }
C
cat >Makefile <<'MK'
OBJS := $(patsubst %.c,%.o,$(wildcard f*.c))
all: prog
	./prog
%.o: %.c
	@gcc -O2 -c -o $@ $<
libf.a: $(OBJS)
	@ar rcD $@ $(sort $^)
prog: main.o libf.a
	@gcc -o $@ $^
.PHONY: all
MK
make -s -j2
make -s -j2
touch f$((n / 4)).c && make -j2 -n | grep -c gcc
