#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""compare.py PID FILE: does FILE, the answer of `upager maps PID`, agree with /proc/PID?

Both sides' neighbours that differ in nothing but where the kernel has cut are merged.  Compared: the
mappings with their permissions, devices, inodes and names; Rss and shared pages of managed ones against
smaps; mm_struct's sizes against status and stat.  The process must be asleep.
"""
import re
import sys

pid, path = sys.argv[1:]
failed = 0


def differ(what, model, kernel):
    global failed
    failed += 1
    print(f"differs: {what}: upager {model}, kernel {kernel}")


LINE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) (\S+) (\d+)\s*(.*)$")


def parse(text):
    """The text's head as lines, and its mappings as dictionaries."""
    head, vmas = [], []
    for line in text.splitlines():
        m = LINE.match(line)
        if m:
            if int(m[1], 16) >= 0x7ffffffff000:  # vsyscall: in no address space
                break
            vmas.append(dict(start=int(m[1], 16), end=int(m[2], 16), perm=m[3], off=int(m[4], 16),
                             dev=m[5], ino=int(m[6]), name=m[7], fields={}))
        elif vmas:
            key, _, value = line.partition(":")
            vmas[-1]["fields"][key] = value.strip()
        else:
            head.append(line)
    return head, vmas


def kb(vma, *keys):
    return sum(int(vma["fields"].get(k, "0 kB").split()[0]) for k in keys)


def merge(vmas):
    out = []
    for v in vmas:
        v.update(rss=kb(v, "Rss"), shared=kb(v, "Shared", "Shared_Clean", "Shared_Dirty"))
        last = out[-1] if out else None
        same = last and last["end"] == v["start"] and all(
            last[k] == v[k] for k in ("perm", "dev", "ino", "name")) and (
            not v["ino"] or last["off"] + last["end"] - last["start"] == v["off"])
        if same:
            last["end"] = v["end"]
            last["rss"] += v["rss"]
            last["shared"] += v["shared"]
        else:
            out.append(dict(v))
    return out


answer = open(path).read()
head, model = parse(answer)
managed = {v["start"] for v in model if v["fields"].get("Managed") == "yes"}
_, kernel = parse(open(f"/proc/{pid}/smaps").read())
model, kernel = merge(model), merge(kernel)

if not managed:
    differ("managed mappings", 0, "some")
if len(model) != len(kernel):
    differ("number of mappings", len(model), len(kernel))
for m, k in zip(model, kernel):
    where = f"{k['start']:x}-{k['end']:x} {k['name']}"
    for key in ("start", "end", "perm", "off", "dev", "ino", "name"):
        if m[key] != k[key] and not (key == "name" and k[key].startswith("[anon:")):
            differ(f"{key} of {where}", m[key], k[key])
    if m["start"] in managed:
        for key in ("rss", "shared"):
            if m[key] != k[key]:
                differ(f"{key} of {where}", m[key], k[key])

fields = {}
for line in head:
    words = line.split()
    fields[words[0]] = words[1:]
status = dict(line.rstrip("\n").split(":", 1) for line in open(f"/proc/{pid}/status"))


def status_kb(*keys):
    return sum(int(status[k].split()[0]) for k in keys)


for name, keys in (("total_vm", ["VmSize"]), ("data_vm", ["VmData"]), ("stack_vm", ["VmStk"]),
                   ("exec_vm", ["VmExe", "VmLib"]), ("locked_vm", ["VmLck"]), ("pinned_vm", ["VmPin"])):
    if int(fields[name][0]) != status_kb(*keys):
        differ(name, fields[name][0], status_kb(*keys))
stat = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
for name, first in (("code", 26), ("data", 45), ("arg", 48), ("env", 50)):
    want = "%012x-%012x" % tuple(int(stat[first - 3 + i]) for i in (0, 1))
    if fields[name][0] != want:
        differ(name, fields[name][0], want)
for name, value in (("start_stack", stat[28 - 3]), ("brk", stat[47 - 3])):
    if int(fields[name][0].split("-")[0], 16) != int(value):
        differ(name, fields[name][0], "%x" % int(value))
auxv = open(f"/proc/{pid}/auxv", "rb").read()
values = [int.from_bytes(auxv[i:i + 8], "little") for i in range(0, len(auxv), 8)]
want = [f"{v:x}" for t, v in zip(values[::2], values[1::2]) if t]
if [w.split("=")[1] for w in fields["saved_auxv"]] != want:
    differ("saved_auxv", fields["saved_auxv"], want)
if int(fields["map_count"][0]) > len(open(f"/proc/{pid}/maps").readlines()):
    differ("map_count", fields["map_count"][0], "fewer")
sys.exit(failed != 0)
