# SPDX-License-Identifier: MIT
# What test scripts say, and how they wait: sourced by ctl/ctl.sh and plugin/plugin.sh.
passed=0 failed=0

# verdict WHAT WHY: WHY is empty when it passed.
verdict()
{
	if [ -z "$2" ]; then
		passed=$((passed + 1))
		echo "ok $1"
	else
		failed=$((failed + 1))
		echo "FAIL $1: $2"
	fi
}

# expect WHAT GOT WANTED
expect()
{
	[ "$2" = "$3" ] && verdict "$1" '' || verdict "$1" "'$2', expected '$3'"
}

# until_true CONDITION…: 10 seconds at the most.
until_true()
{
	for _ in $(seq 500); do
		"$@" && return 0
		sleep 0.02
	done
	return 1
}

# summary NAME: the last line; its status is the script's.
summary()
{
	echo "$1: $passed passed, $failed failed"
	[ $failed -eq 0 ] && [ $passed -gt 0 ]
}
