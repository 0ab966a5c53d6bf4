#!/bin/sh
# busybox-static: one static binary as many programs.
export PART="${PART:-1}"
b=$(command -v busybox)
$b ash -c 'for i in $(seq 1 $((58 / PART + 2))); do echo $i | $b cat; done | $b md5sum'
$b ash -c 'i=0; while [ $i -lt $((200 / PART)) ]; do (i=$((i + 1))); i=$((i + 1)); done; echo $i'
$b seq 1 $((50000 / PART)) | $b sort -r | $b head -n 3
$b seq 1 $((20000 / PART)) | $b gzip | $b gunzip | $b sha256sum
$b awk 'BEGIN { for (i = 0; i < 100000 / ENVIRON["PART"]; i++) s += i % 7; print s }'
$b find / -maxdepth 1 -name bin -o -maxdepth 1 -name etc | $b sort
$b dd if=/dev/zero bs=64k count=$((64 / PART)) 2>/dev/null | $b wc -c
echo 'tar me' >f && $b tar -cf - f | $b tar -tf -
$b timeout 1 $b sleep 20; echo "status $?"
$b false; echo "status $?"
