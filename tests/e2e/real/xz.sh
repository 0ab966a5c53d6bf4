#!/bin/sh
# xz -T2, gzip, bzip2 through pipes, tar; the packed bytes are compared.
set -e
part=${PART:-1} less=$((part * part)) # for each byte xz looks at many places
seq 1 $((600000 / less)) >numbers
xz -$((6 / part)) -T2 -k --block-size=$((1024 / less))KiB numbers
xz -t numbers.xz
xz -dc -T2 numbers.xz | cmp - numbers && echo round trip
gzip -nc numbers | gunzip | cmp - numbers && echo gzip
mkdir tree && for i in 1 2 3 4 5 6 7 8; do seq "$i" $((9999 / part)) >"tree/$i"; done
tar --sort=name --mtime=@0 --owner=0 --group=0 -cf - tree | gzip -n | sha256sum
tar -cf - tree | (mkdir out && cd out && tar -xf -)
diff -r tree out/tree && echo tar
rm numbers
