#!/bin/bash
# SPDX-License-Identifier: MIT
# Make docs/BUDGET.md: the time of four real programs against the memory that they are given.
#
#	tests/bench/budget.sh [-u UPAGER] [-b BUILD-DIR] [--quick]
#
# The options are run.sh's.  Prints what run.sh prints.  A cell that has no figure says why below the table.
# About ten minutes on an idle machine.
set -u
here=$(cd "$(dirname "$0")" && pwd)
page=$here/../../docs/BUDGET.md
figures=$(mktemp) new=$(mktemp)
trap 'rm -f "$figures" "$new"' EXIT

"$here/run.sh" -m budget -o "$figures" "$@"
[ -s "$figures" ] || exit
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
    rows.setdefault(name, {})[int(percent)] = m

def seconds(ns):
    return "%.1f" % (ns / 1e9)

def cells(of, show):
    return "".join(" %s |" % (show(of[b]) if "ratio" in of[b] else "–") for b in budgets)

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
    known = [m for m in of.values() if "native_ns" in m]
    if not known:
        sys.exit("budget.sh: no figure of %s" % name)
    native = sorted(m["native_ns"] for m in known)[len(known) // 2]
    print("| %s | %d MiB | %s | upager |" % (what[name], known[0]["need_bytes"] >> 20, seconds(native)) +
          cells(of, lambda m: seconds(m["upager"]["median"])))
    print("| | | | kernel, zram |" + cells(of, lambda m: seconds(m["base_spread"]["median"])))
    print("| | | | upager ÷ kernel |" + cells(of, lambda m: "%.2f" % m["ratio"]["median"]))
failed = [m for m in all["measures"] if "ratio" not in m]
if failed:
    print("\nNo figure:\n")
for m in failed:
    print("* %s: %s" % (m["title"], m["why"]))
PYTHON
cat "$new" >"$page"
