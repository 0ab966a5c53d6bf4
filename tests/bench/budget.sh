#!/bin/bash
# SPDX-License-Identifier: MIT
# Make docs/BUDGET.md: the time of four real programs against the memory that they are given.
#
#	tests/bench/budget.sh [-u UPAGER] [-b BUILD-DIR] [--quick]
#
# The options are run.sh's.  Prints what run.sh prints; writes the page when every cell has a number.
# About ten minutes on an idle machine.
set -u
here=$(cd "$(dirname "$0")" && pwd)
page=$here/../../docs/BUDGET.md
figures=$(mktemp) new=$(mktemp)
trap 'rm -f "$figures" "$new"' EXIT

"$here/run.sh" -m budget -o "$figures" "$@" || exit
python3 - "$figures" >"$new" <<'PYTHON' || exit
import json, sys

all = json.load(open(sys.argv[1]))
budgets = [100, 75, 50, 25, 12]
what = {
    "sort": "`sort` of 200 MiB of lines in one piece",
    "python": "python: a dict of a million lists, built, changed, walked",
    "sqlite": "sqlite3: a table of 900,000 rows in memory, two indexes",
    "gcc": "gcc -O1 of 1.4 MB of C",
}
rows = {}
for m in all["measures"]:
    _, percent, name = m["name"].split("-")
    if "ratio" not in m:
        sys.exit("budget.sh: no figure of %s: %s" % (m["name"], m.get("why")))
    rows.setdefault(name, {})[int(percent)] = m

def seconds(ns):
    return "%.1f" % (ns / 1e9)

machine = all["machine"]
print("""# Time against budget

How long four programs take with less memory than they ask for: under `upager run --memory`, and with the
kernel's own swap (a memory cgroup of the same budget and a sixteenth for what upager does not count, zram
with lz4).  100 %% is what the program has resident at its peak, natively.  Elapsed seconds of one run each,
after a native one to warm up: the order of things, not figures to three digits.  Machines differ; make your own:

    sudo tests/bench/budget.sh

upager %s, Linux %s, %d CPUs%s.
""" % (all["version"], machine["kernel"], machine["cpus"],
       ", load average before %.1f: others were at work" % machine["load_before"]
       if machine["load_before"] > 0.5 else ""))
print("| program | peak | native | |" + "".join(" %d %% |" % b for b in budgets))
print("|---|--:|--:|---|" + "--:|" * len(budgets))
for name, of in rows.items():
    first = of[budgets[0]]
    print("| %s | %d MiB | %s | upager |" % (what[name], first["need_bytes"] >> 20,
          seconds(sorted(m["native_ns"] for m in of.values())[len(of) // 2])) +
          "".join(" %s |" % seconds(of[b]["upager"]["median"]) for b in budgets))
    print("| | | | kernel, zram |" +
          "".join(" %s |" % seconds(of[b]["base_spread"]["median"]) for b in budgets))
    print("| | | | upager ÷ kernel |" +
          "".join(" %.2f |" % of[b]["ratio"]["median"] for b in budgets))
PYTHON
cat "$new" >"$page"
