#!/bin/bash
# SPDX-License-Identifier: MIT
# Run every program of tests/e2e and of this folder with less memory than it asks for.
#
#	run-memory.sh -u /path/to/upager -b BINDIR [-f] [-c CHECKLEVEL] [-t SECONDS] [-s SHARD/SHARDS] [-d DONE] NAME…|all
#	run-memory.sh -p
#
# NAME: a program of tests/e2e/programs.txt or of programs.txt here, real.NAME for a script of tests/e2e/real,
# or e2e, memory, real, all.  Each line of those lists is a case.  Its peak is measured natively (sampler.c);
# then it runs with 100 %, 50 % and 25 % of that and with 16 frames, and has to give native output, status and
# files each time (run-e2e.sh, real.sh).  Programs of this folder are also sampled from outside under upager:
# they must never stand more than 2 MiB above their budget.
#
# The model is compared with the kernel after each call (--check 3), but at 16 frames only for the programs of this
# folder: it takes four times as long.  There the scripts do a sixteenth of their work (real.sh -p 16), all kinds of it.
# One run for each case and budget (not static-PIE copies, nor at 16 frames what takes minutes), policies, swap kinds and
# prefetchers spread over them so that each occurs with each other and with each budget; -f: all of them with each policy,
# swap kinds spread over those (the soak: hours).
# -d DONE: a file in which each good run leaves a line, and whose runs are not made again.
# -p prints the runs that `all` would make and fails when a pair is missing.
# Prints "ok|FAIL NAME: BUDGET OPTIONS" lines and a summary; status 1 on any failure.
set -u
here=$(cd "$(dirname "$0")" && pwd)
e2e=$here/../e2e
upager=${UPAGER:-} bin= full= plan= level=3 limit=240 part=1 shard=0/1 done=/dev/null

policies=(fifo random clock lru2 2q arc lirs s3fifo sieve mru sfifo)
swaps=(zpool:lz4 file:SWAPFILE,size=1G zpool:zstd zpool,file:SWAPFILE,size=1G)
prefetchers=(none cluster:8 readahead stride)
budgets=(100% 50% 25% frames)
frames_bytes=$((16 * 4096))
# Programs that demand to have so many bytes in memory at once (mlock; MAP_POPULATE looked at by mincore; buffers that
# an io_uring pins, or the kernel for a call; /proc/self/mem, which does not wait for a page that is out; unshare -p, after
# which a process can have no stub and keeps its memory).
declare -A floor=([lock]=$((512 << 10)) [mapflags]=$((256 << 10)) [advise]=$((256 << 10))
	[aio]=$((256 << 10)) [peers]=$((512 << 10)) [torture]=$((128 << 10))
	[real.namespaces]=$((256 << 10)))

# Those that take minutes in 16 frames: there only with -f.  The scripts here take them to start a compiler, python or node,
# or to have man's processes share the 16.
long=" threads threads-static threads-static-pie forktree threadfork execs mapfixed manyvmas mmapops
real.confined real.gcc real.layouts real.make real.namespaces real.node real.perl real.python real.sqlite "

# covered CASE BUDGET: is that run in the covering selection?  Static-PIE copies are for the soak: what differs is their start.
covered()
{
	[[ ${names[$1]} != *-static-pie ]] && { [ "$2" != frames ] || [[ $long != *[[:space:]]${names[$1]}[[:space:]]* ]]; }
}

while getopts u:b:fpc:t:s:d: opt; do
	case $opt in
	u) upager=$OPTARG ;;
	b) bin=$OPTARG ;;
	f) full=yes ;;
	p) plan=yes ;;
	c) level=$OPTARG ;;
	t) limit=$OPTARG ;;
	s) shard=$OPTARG ;;
	d) done=$OPTARG ;;
	*) sed -n '5,6s/^#	//p' "$0" >&2; exit 2 ;;
	esac
done
shift $((OPTIND - 1))

# ---- the cases: kind, name, line ----
kinds=() names=() lines=()
declare -A sums=() # of lines
add_lines()
{
	local spec args
	while read -r spec args; do
		case $spec in '' | '#'*) continue ;; esac
		kinds+=("$1") names+=("${spec%@*}") lines+=("$spec${args:+ $args}")
	done <"$2"
}
add_lines e2e "$e2e/programs.txt"
add_lines memory "$here/programs.txt"
for script in "$e2e"/real/*; do
	name=$(basename "$script")
	kinds+=(real) names+=("real.${name%.*}") lines+=("${name%.*}")
done

# plan CASE BUDGET [POLICY]: set $policy, $swap and $prefetch for one run; the numbers are indices.  They hang on the
# case's line and not on its place, so that a new case changes nothing for the others (-d).
plan()
{
	local line sum n
	line=${lines[$1]}
	sum=${sums[$line]:=$(cksum <<<"$line")} n=${sum% *}
	policy=${policies[${3:-$(((n + $2) % ${#policies[@]}))}]}
	swap=${swaps[$(((n / ${#policies[@]} + $2 + ${3:-0}) % ${#swaps[@]}))]}
	prefetch=${prefetchers[$(((n / ${#policies[@]} / ${#swaps[@]} + $2) % ${#prefetchers[@]}))]}
}

# Every pair of policy, swap kind, prefetcher and budget must occur in the covering selection.
print_plan()
{
	local i j runs missing=0
	runs=$(
		for i in "${!lines[@]}"; do
			for j in "${!budgets[@]}"; do
				covered "$i" "${budgets[j]}" || continue
				plan "$i" "$j"
				echo "$policy $swap $prefetch ${budgets[j]} ${kinds[i]}: ${lines[i]}"
			done
		done
	)
	echo "$runs"
	local size=(${#policies[@]} ${#swaps[@]} ${#prefetchers[@]} ${#budgets[@]})
	for i in 0 1 2; do
		for ((j = i + 1; j < 4; j++)); do
			local got=$(cut -d' ' -f$((i + 1)),$((j + 1)) <<<"$runs" | sort -u | wc -l)
			[ "$got" -eq $((size[i] * size[j])) ] || {
				missing=1
				echo "columns $((i + 1)) and $((j + 1)): $got pairs of $((size[i] * size[j]))"
			}
		done
	done
	return $missing
}
[ -z "$plan" ] || { print_plan; exit; }

[ -x "$upager" ] && [ -x "$bin/runone" ] && [ $# -gt 0 ] || {
	echo "run-memory.sh: needs -u UPAGER, -b BINDIR and NAME… (or all)" >&2
	exit 2
}
upager=$(realpath "$upager") bin=$(realpath "$bin")
work=$(mktemp -d "${TMPDIR:-/tmp}/memory.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
passed=0 failures=()

# In place of upager: the same, sampled from outside.
cat >"$work/sampled" <<SH
#!/bin/sh
exec "$bin/sampler" -x "$upager" -o "$work/report" -- "$upager" "\$@"
SH
chmod 755 "$work/sampled"

# run_case CASE OPTION…: run-e2e.sh or real.sh on that case alone.
run_case()
{
	local i=$1
	shift
	case ${kinds[i]} in
	real) "$e2e/real.sh" -b "$bin" -t "$limit" -p "$part" "$@" "${lines[i]}" ;;
	*)
		echo "${lines[i]}" >"$work/list"
		"$e2e/run-e2e.sh" -b "$bin" -t "$limit" -l "$work/list" "$@" all
		;;
	esac
}

# from_report NAME: a value in bytes.
from_report()
{
	echo $(($(sed -n "s/^$1 //p" "$work/report") * 1024))
}

# bytes_of BUDGET PEAK NAME: whole frames, at least 16, or the program's floor.
bytes_of()
{
	local bytes=$frames_bytes least=${floor[$3]:-$frames_bytes}
	[ "$1" = frames ] || bytes=$(($2 / 4096 * ${1%\%} / 100 * 4096))
	echo $((bytes > least ? bytes : least))
}

fail()
{
	failures+=("$1")
	echo "FAIL $1: $2"
}

# once CASE BUDGET PEAK: the run that plan() has set up.
once()
{
	local i=$1 memory program=$upager out what options check=$level start=$SECONDS limit=$limit part=1
	local key="${lines[i]}: $2 $policy $swap $prefetch"
	if grep -qxF -- "$key" "$done"; then
		passed=$((passed + 1))
		return
	fi
	memory=$(bytes_of "$2" "$3" "${names[i]}")
	options="--memory $memory --swap ${swap//SWAPFILE/$work/swap} --policy $policy --prefetch $prefetch"
	what="${names[i]}: $2 --memory $memory --swap $swap --policy $policy --prefetch $prefetch"
	[ "${kinds[i]}" != memory ] || program=$work/sampled
	[ "$2" != frames ] || [ "${kinds[i]}" = memory ] || [ "$level" -lt 1 ] || check=1
	[ "$2" != frames ] || limit=$((limit * 2)) part=16 # every page comes and goes many times
	if ! out=$(run_case "$i" -u "$program" -c "$check" -o "$options" 2>&1); then
		fail "$what" "$(sed '/^e2e: /d; /^real: /d' <<<"$out")"
	elif [ "$program" != "$upager" ] && [ "$(from_report managed)" -gt $((memory + (2 << 20))) ]; then
		fail "$what" "stood at $(from_report managed) bytes"
	elif [ -e "$work/swap" ]; then
		fail "$what" "left its swap file"
	else
		passed=$((passed + 1))
		echo "$key" >>"$done"
		echo "ok $what, $((SECONDS - start)) s"
	fi
}

# every_run CASE: its peak, and all its runs.
every_run()
{
	local i=$1 j p peak out
	if ! out=$(run_case "$i" -u "$upager" -n "$bin/sampler -o $work/report --" 2>&1); then
		fail "${names[i]}" "natively: $out"
		return
	fi
	peak=$(from_report managed)
	for j in "${!budgets[@]}"; do
		if [ -z "$full" ]; then
			covered "$i" "${budgets[j]}" || continue
			plan "$i" "$j"
			once "$i" "${budgets[j]}" "$peak"
			continue
		fi
		for p in "${!policies[@]}"; do
			plan "$i" "$j" "$p"
			once "$i" "${budgets[j]}" "$peak"
		done
	done
}

selected()
{
	local i=$1 want
	shift
	for want; do
		case $want in "${names[i]}" | "${kinds[i]}" | all) return 0 ;; esac
	done
	return 1
}

for i in "${!lines[@]}"; do
	[ $((i % ${shard#*/})) -eq "${shard%/*}" ] && selected "$i" "$@" && every_run "$i"
done
echo "memory: $passed passed, ${#failures[@]} failed"
printf '  %s\n' "${failures[@]}"
[ ${#failures[@]} -eq 0 ] && [ $passed -gt 0 ]
