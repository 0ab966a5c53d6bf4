#!/bin/sh
# gcc -O2: a generated file of 3000 lines and one of the project's own; objects are compared.
set -e
awk -v n=$((430 / ${PART:-1})) 'BEGIN {
	print "#include <stdio.h>"
	for (i = 0; i < n; i++) {
		printf "static int f%d(int a, int b)\n{\n\tint s = %d;\n", i, i
		printf "\tfor (int i = 0; i < a; i++)\n\t\ts += (i * b) ^ %d;\n", i * 7
		printf "\treturn s + %s;\n}\n", i ? "f" (i - 1) "(b & 3, a)" : "1"
	}
	printf "int main(void)\n{\n\tprintf(\"%%d\\n\", f%d(20, 3));\n\treturn 0;\n}\n", n - 1
}' >generated.c
wc -l <generated.c
gcc -O2 -Wall -o generated generated.c
./generated
gcc -O2 -g -D_GNU_SOURCE -c -o own.o "$SRC/runone.c"
gcc -O1 -flto -fno-tree-vectorize generated.c -o lto -flto=2 -frandom-seed=1 && ./lto
printf 'int main(void) { return undeclared; }\n' >wrong.c
gcc -c wrong.c || echo "status $?"
