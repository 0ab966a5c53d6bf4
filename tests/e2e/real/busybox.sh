#!/bin/sh
# busybox-static: one static binary as many programs.
b=$(command -v busybox)
$b ash -c 'for i in $(seq 1 60); do echo $i | $b cat; done | $b md5sum'
$b ash -c 'i=0; while [ $i -lt 200 ]; do (i=$((i + 1))); i=$((i + 1)); done; echo $i'
$b seq 1 50000 | $b sort -r | $b head -n 3
$b seq 1 20000 | $b gzip | $b gunzip | $b sha256sum
$b awk 'BEGIN { for (i = 0; i < 100000; i++) s += i % 7; print s }'
$b find / -maxdepth 1 -name bin -o -maxdepth 1 -name etc | $b sort
$b dd if=/dev/zero bs=64k count=64 2>/dev/null | $b wc -c
echo 'tar me' >f && $b tar -cf - f | $b tar -tf -
$b timeout 1 $b sleep 20; echo "status $?"
$b false; echo "status $?"
