#!/bin/bash
# script(1) gives a terminal: what isatty, stty and an interactive shell say there.
script -qec 'tty >/dev/null && echo on a terminal; stty -a | grep -c isig; exit 3' /dev/null </dev/null | tr -d '\r'
echo "status ${PIPESTATUS[0]}"
printf 'echo interactive $((6 * 7))\nset -m; sleep 0.1 & fg %%1 >/dev/null; echo fg $?\nexit 4\n' >input
script -qec 'bash --norc --noediting -i <input 2>/dev/null' /dev/null </dev/null | tr -d '\r' | grep -v '^\$'
echo "status ${PIPESTATUS[0]}"
