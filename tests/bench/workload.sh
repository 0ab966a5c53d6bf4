#!/bin/bash
# SPDX-License-Identifier: MIT
# The real programs of the memory measures: what a person might run with too little memory.
#
#	tests/bench/workload.sh sort|python|sqlite|gcc DIR
#
# Each works mostly in private anonymous memory.  What it reads is made in DIR when it is not there yet,
# so the first run of each, which nobody times, takes longer.  BENCH_QUICK in the environment: a
# sixteenth of the work.  Ends by exec: the shell's own memory does not count.  Status 77: not installed.
set -eu -o pipefail
name=${1-} dir=${2-} part=1
[ -z "${BENCH_QUICK-}" ] || part=16
[ -d "$dir" ] || { sed -n '5s/^#	/usage: /p' "$0" >&2; exit 2; }

# need PROGRAM: or say that it is missing.
need()
{
	command -v "$1" >/dev/null && return
	echo "$1 is not installed"
	exit 77
}

# input FILE COMMAND…: make FILE out of COMMAND's output, whole or not at all.
input()
{
	local file=$1
	shift
	[ -e "$file" ] && return
	"$@" >"$file.$$" && mv "$file.$$" "$file"
}

# 200 MiB of lines of 64 hexadecimal digits: as compressible as random data with half the bits can be.
random_lines()
{
	head -c "$((200 * 1024 * 1024 / 65 / part * 32))" /dev/urandom | od -An -v -tx1 -w32 | tr -d ' '
}

# A translation unit that keeps the compiler's whole memory busy: many functions, each a little different.
c_source()
{
	awk -v n="$((1200 / part))" 'BEGIN {
		print "#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>"
		for (i = 0; i < n; i++) {
			printf "struct s%d { int a[%d]; struct s%d *next; const char *name; };\n", i, i % 13 + 2, i
			printf "int f%d(struct s%d *s, int n)\n{\n\tint sum = %d;\n", i, i, i
			printf "\tfor (; s; s = s->next) {\n\t\tfor (int k = 0; k < %d; k++)\n", i % 13 + 2
			printf "\t\t\tsum += s->a[k] * (n ^ %d) + (int)strlen(s->name);\n", i * 7
			printf "\t\tswitch (sum %% 5) {\n"
			for (c = 0; c < 5; c++)
				printf "\t\tcase %d: sum ^= n << %d; printf(\"%%d %d\\n\", sum); break;\n", c, c, i
			print "\t\t}\n\t}"
			printf i ? "\treturn sum + f%d((struct s%d *)0, n - 1);\n}\n" : "\treturn sum;\n}\n", i - 1, i - 1
		}
	}'
}

case $name in
sort)
	input "$dir/lines-$part" random_lines
	LC_ALL=C exec sort --parallel=2 -o /dev/null "$dir/lines-$part"
	;;
python)
	need /usr/bin/python3
	PYTHONHASHSEED=0 exec /usr/bin/python3 -c '
import random, sys
n = int(sys.argv[1])
words = {"key %d" % i: [i, "value %d" % (i * 7919)] for i in range(n)}
some = random.Random(1)
for _ in range(n // 4):
    words["key %d" % some.randrange(n)][0] += 1
total = sum(v[0] + len(v[1]) for v in words.values())
assert total > n * (n - 1) // 2, total
' "$((1000000 / part))"
	;;
sqlite)
	need sqlite3
	exec sqlite3 -batch :memory: "
PRAGMA temp_store = MEMORY;
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, amount INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $((900000 / part)))
	INSERT INTO t SELECT i, hex(randomblob(24)), random() % 1000000 FROM n;
CREATE INDEX t_name ON t (name);
CREATE INDEX t_amount ON t (amount, name);
SELECT count(*) FROM t WHERE name < '8' AND amount > 0;"
	;;
gcc)
	need gcc
	input "$dir/source-$part.c" c_source
	exec gcc -O1 -w -S -o /dev/null "$dir/source-$part.c"
	;;
*)
	sed -n '5s/^#	/usage: /p' "$0" >&2
	exit 2
	;;
esac
