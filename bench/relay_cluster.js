// relay_cluster.js: Node's cluster in the relay benchmark.
//
// The primary forks two workers and passes on what one sends to the other by
// process.send, as programs built on Node's cluster do. Each line on standard
// input is one measurement, {"kind","size","seconds"}; each is answered by a
// line {"rate","p50_us","p99_us"}. Ends with standard input.
'use strict';

const cluster = require('node:cluster');
const readline = require('node:readline');

// Messages that a sender has handed to Node and that aren't written yet. Larger
// numbers make it no faster, no bound makes it slower.
const WINDOW = 1000;

function now() {
	return Number(process.hrtime.bigint());
}

function primary() {
	cluster.setupPrimary({ serialization: 'json' });
	const workers = [cluster.fork(), cluster.fork()];
	let counted = null;

	function answer(result) {
		process.stdout.write(JSON.stringify(result) + '\n');
	}

	// What a worker sends without a receiver is for the primary.
	function take(message) {
		if (message.result)
			answer(message.result);
		else if (message.end) {
			const passed = now() - counted.first;
			answer({ rate: counted.n * 1e9 / passed,
				p50_us: 0, p99_us: 0 });
			counted = null;
		} else if (counted === null)
			counted = { n: 0, first: now() };
		else
			counted.n++;
	}

	workers.forEach((worker, index) => {
		worker.on('message', (message) => {
			if (message.to === undefined)
				take(message);
			else
				workers[message.to].send(
					{ from: index, body: message.body });
		});
	});

	const lines = readline.createInterface({ input: process.stdin });
	lines.on('line', (line) => {
		workers[0].send({ command: JSON.parse(line) });
	});
	lines.on('close', () => process.exit(0));
}

function worker() {
	let first = 0, count = 0;	// of a receiver
	let ping = null;		// of a sender

	function stream(command) {
		const until = now() + command.seconds * 1e9;
		const to = command.kind === 'supervisor' ? undefined : 1;
		const body = 'x'.repeat(command.size - 2); // two quotes
		let waiting = 0, ended = false;

		function written() {
			if (--waiting <= WINDOW / 2 && !ended)
				fill();
		}
		function fill() {
			while (waiting < WINDOW) {
				waiting++;
				process.send({ to, body }, written);
			}
			if (now() < until)
				return;
			ended = true;
			if (to === undefined)
				process.send({ end: true });
			else
				process.send({ to, body: 'end' });
		}
		fill();
	}

	function receive(message) {
		if (message.body === 'end') {
			const rate = count * 1e9 / (now() - first);
			process.send({ result: { rate, p50_us: 0, p99_us: 0 } });
			first = count = 0;
		} else if (first === 0)
			first = now();
		else
			count++;
	}

	function startPing(command) {
		ping = { body: 'x'.repeat(command.size - 2), samples: [],
			started: now(), until: now() + command.seconds * 1e9 };
		ping.sent = now();
		process.send({ to: 1, body: { ping: ping.body } });
	}

	function pong() {
		const arrived = now();
		ping.samples.push(arrived - ping.sent);
		if (arrived < ping.until) {
			ping.sent = now();
			process.send({ to: 1, body: { ping: ping.body } });
			return;
		}
		const sorted = ping.samples.sort((a, b) => a - b);
		const at = (share) =>
			sorted[Math.floor(share * sorted.length)] / 1e3;
		process.send({ result: {
			rate: sorted.length * 1e9 / (arrived - ping.started),
			p50_us: at(0.5), p99_us: at(0.99) } });
		ping = null;
	}

	process.on('disconnect', () => process.exit(0));
	process.on('message', (message) => {
		if (message.command && message.command.kind === 'ping')
			startPing(message.command);
		else if (message.command)
			stream(message.command);
		else if (message.body.ping !== undefined)
			process.send({ to: message.from,
				body: { pong: message.body.ping } });
		else if (message.body.pong !== undefined)
			pong();
		else
			receive(message);
	});
}

if (cluster.isPrimary)
	primary();
else
	worker();
