#!/bin/bash
# bash and dash: hundreds of forks, pipes, subshells, here-documents, traps, background jobs.
export PART="${PART:-1}"
cat >body <<'SH'
n=0 i=0
while [ $((i += 1)) -le $((18 / PART + 2)) ]; do
	x=$(echo $i | sed 's/^/0/' | tr 0 o)
	(n=$((n + 1)); echo "sub $i $x $n")
	n=$((n + $(printf '%s\n' a b c | wc -l)))
	/bin/true && ! /bin/false && n=$((n + 1))
done
echo "n $n"
echo nested $(echo $(echo $(echo $(echo deep))))
seq 1 $((2000 / PART)) | while read v; do [ $((v % (500 / PART))) = 0 ] && echo "line $v"; done
cat <<-END | sort -r
	b here
	a here
END
f() { [ $1 -le 0 ] || (f $(($1 - 1))); [ $1 != 12 ] || echo "recursed"; }
f 12
jobs=
for i in 1 2 3 4 5 6; do (exit $i) & jobs="$jobs $!"; done
for p in $jobs; do wait $p; echo "job $?"; done
trap 'echo trapped' USR1
kill -USR1 $$
sh -c 'kill -TERM $$'; echo "killed $?"
(ulimit -c 0; sh -c 'kill -SEGV $$'); echo "segv $?"
yes | head -n $((10000 / PART)) | md5sum
exit 7
SH
ulimit -c 0
bash body 2>&1 | sed 's/^body: line [0-9]*: *[0-9]*/bash:/; s/body: line.*Terminated.*/Terminated/'
echo "bash ${PIPESTATUS[0]}"
dash body 2>/dev/null
echo "dash $?"
coproc tr a-z A-Z
echo "through a coprocess" >&"${COPROC[1]}"
exec {out}<&"${COPROC[0]}" # it has no number any more when bash hears of the end first
exec {COPROC[1]}>&-
cat <&"$out"
exec {out}<&-
diff <(seq 1 $((100 / PART))) <(seq 1 $((100 / PART))) && echo same
for ((i = 0; i < 300 / PART; i++)); do $(exit 3) ; done; echo "three hundred $?"
