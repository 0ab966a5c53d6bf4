#!/bin/sh
# node: a JIT and a garbage collector with threads; workers, Buffers, JSON, zlib, child processes.
cat >work.js <<'JS'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { execFileSync } = require('child_process');
const part = Number(process.env.PART || 1);
const crypto = require('crypto'), zlib = require('zlib');

function work(n) {
	let objects = [];
	for (let i = 0; i < 20000 / part; i++)
		objects.push({ id: i, text: 'x'.repeat(i % 50), list: [i, i * n] });
	const text = JSON.stringify(objects);
	return crypto.createHash('sha256').update(text).digest('hex').slice(0, 16);
}

if (isMainThread) {
	const jobs = [1, 2, 3].map((n) => new Promise((resolve, reject) => {
		const w = new Worker(__filename, { workerData: n });
		w.on('message', resolve);
		w.on('error', reject);
	}));
	Promise.all(jobs).then((all) => {
		console.log('workers', all, work(4));
		const b = Buffer.alloc((8 << 20) / part);
		for (let i = 0; i < b.length; i += 4096) b[i] = i / 4096;
		const packed = zlib.deflateSync(b);
		console.log('zlib', packed.length, zlib.inflateSync(packed).equals(b));
		let sum = 0;
		for (let i = 0; i < 3e6 / part; i++) sum = (sum + i * 3) | 0;
		console.log('jit', sum, String(execFileSync('echo', ['child'])).trim());
		process.exitCode = 5;
	});
} else {
	parentPort.postMessage(work(workerData));
}
JS
node work.js
echo "status $?"
