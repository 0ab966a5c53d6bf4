#!/bin/bash
# sort of a large file, awk, find | xargs, env -i, timeout: the everyday tools.
export LC_ALL=C
part=${PART:-1} less=$((part * part)) # each line takes many places in memory
awk -v n=$((300000 / less)) 'BEGIN { s = 1; for (i = 0; i < n; i++) { s = (s * 16807) % 2147483647; print s, i } }' >big
sort -n --parallel=2 -S $((8192 / less))K big >sorted
sort -k2,2n sorted | cmp - big && echo sorted
awk '{ n[$1 % 10]++ } END { for (i = 0; i < 10; i++) print i, n[i] }' big
mkdir -p many/{a,b,c}/{1,2,3,4} && touch many/{a,b,c}/{1,2,3,4}/{x,y,z}
find many -type f | sort | xargs -n 2 -P 1 echo | tail -n 2
find many -name y -exec sh -c 'echo "$0" | tr / _' {} \; | sort | head -n 3
env -i A=1 /usr/bin/env
timeout 1 sleep 30; echo "timeout $?"
{ timeout -s KILL 1 sleep 30; } 2>/dev/null; echo "timeout kill $?"
grep -c '7 1' big; tr -d 0-4 <big | sha256sum; cut -d' ' -f2 big | tac | head -n 1
comm -12 <(seq 1 2 99 | sort) <(seq 1 3 99 | sort) | wc -l
split -l $((100000 / less)) big part. && cat part.* | cmp - big && echo split
nice -n 5 nohup sh -c 'echo nohup' 2>/dev/null </dev/null
(sleep 0.2; echo late) & wait; echo done
nproc >/dev/null && [ "$(nproc)" -ge 1 ] && echo nproc
rm big sorted part.*
