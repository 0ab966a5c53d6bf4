#!/bin/sh
# python3: parsing, threads, subprocesses, multiprocessing by fork and by spawn, mmap, sqlite.
set -e
flags=
[ "${PART:-1}" = 1 ] || flags=-S # without the site module, which is most of a start in little memory
cat >work.py <<'PY'
import hashlib, json, mmap, multiprocessing, os, random, re, sqlite3, subprocess, sys, threading, zlib

part = int(os.environ.get("PART", 1))

def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]

def work(n):
    rows = [{"id": i, "name": "row %d" % (i * n), "half": i / 2} for i in range(400 // part)]
    text = json.dumps(rows)
    assert json.loads(text) == rows
    return digest(text + "".join(re.findall(r"row (\d+)", text)))

def exchange(conn):
    conn.send([work(n) for n in range(conn.recv())])

if __name__ == "__main__":
    results = {}
    threads = [threading.Thread(target=lambda i=i: results.__setitem__(i, work(i))) for i in range(6 // part + 2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    print("threads", [results[i] for i in range(len(threads))])
    for i in range(10 // part + 2):
        r = subprocess.run([sys.executable, *["-S"] * sys.flags.no_site, "-c",
                            "import sys; print(sum(range(%d))); sys.exit(%d)" % (10 ** 5 // part + i, i)],
                           capture_output=True, text=True)
        print("subprocess", i, r.returncode, r.stdout.strip(), r.stderr)
    for how in "fork", "spawn":
        with multiprocessing.get_context(how).Pool(1 // part + 2) as pool:
            print(how, pool.map(work, range(10 // part + 2)))
    here, there = multiprocessing.Pipe()
    p = multiprocessing.Process(target=exchange, args=(there,))
    p.start(); here.send(4); print("pipe", here.recv()); p.join()
    m = mmap.mmap(-1, (4 << 20) // part)
    m[12345:12350] = b"bytes"
    pid = os.fork()
    if pid == 0:
        m[0:5] = b"child"
        big = bytearray(b"x" * ((8 << 20) // part)); big[::4096] = b"y" * (len(big) // 4096)
        os._exit(big.count(b"y") % 256)
    print("fork", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), m[0:5], m[12345:12350])
    rnd = random.Random(7)
    data = bytes(rnd.randrange(64) for _ in range(300000 // part))
    packed = zlib.compress(data, 9)
    assert zlib.decompress(packed) == data
    print("zlib", len(packed), hashlib.md5(packed).hexdigest())
    db = sqlite3.connect(":memory:")
    db.execute("create table t(a int, b text)")
    db.executemany("insert into t values(?, ?)", ((i, str(i * i)) for i in range(20000 // part)))
    print("sqlite", db.execute("select count(*), sum(a), max(b) from t where b like '%6'").fetchall())
    deep = eval("[" * 90 + "]" * 90)
    print("deep", len(repr(deep)))
    sys.setrecursionlimit(6000)
    def f(n): return 0 if n == 0 else 1 + f(n - 1)
    print("recursion", f(5000 // part))
PY
python3 $flags work.py
python3 $flags -c 'raise SystemExit("message to stderr")' || echo "status $?"
python3 $flags -c 'import os, signal; os.kill(os.getpid(), signal.SIGTERM)' || echo "status $?"
