#!/bin/sh
# SPDX-License-Identifier: MIT
# Fuzz the model for a while: fuzz.sh SECONDS FUZZ_STREAM SIMULATE [LIBFUZZER-OPTION...]
#
# The corpus is kept beside FUZZ_STREAM, so that the next run goes on from there; it begins with pieces of the
# program itself, which are as good as random.  A finding is printed as a list of operations.  Skips (77) when
# FUZZ_STREAM was not built.
set -u
seconds=${1:?usage: fuzz.sh SECONDS FUZZ_STREAM SIMULATE}
fuzz=$2
simulate=$3
shift 3
[ -x "$fuzz" ] || { echo "skipped: built without clang's libFuzzer (clang, libclang-rt-dev; -DUPAGER_FUZZ=ON)"; exit 77; }
corpus=$fuzz.corpus
found=$fuzz.found
rm -rf "$found"
mkdir -p "$corpus" "$found"
n=1
while [ $n -le 16 ]; do
	dd if="$fuzz" of="$corpus/seed$n" bs=2048 skip=$((n * 40)) count=1 2>/dev/null
	n=$((n + 1))
done
"$fuzz" -max_total_time="$seconds" -max_len=2048 -timeout=20 -print_final_stats=1 -verbosity=1 \
	-artifact_prefix="$found/" "$@" "$corpus" 2>"$fuzz.log"
status=$?
grep -E '^(stat::|#.*DONE|Done|upager: BUG|SUMMARY)' "$fuzz.log"
for input in "$found"/*; do
	[ -f "$input" ] || continue
	echo "$input: the last of these operations failed"
	"$simulate" -w 8 -c 4 -x "$(od -An -v -tx1 "$input" | tr -d ' \n')" 2>&1 | tail -n 40
done
exit $status
