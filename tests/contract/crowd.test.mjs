// Many at once against a real daemon: 200 followers of events over a burst and a killed vmmd-main, 500
// clients beside 1,000 slow ones. Clients come from 127.0.0.x, since one address may hold 32 connections.
// What is asserted is what came out, not how fast: figures are in bench/.
import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import {after, before, test} from 'node:test';
import tls from 'node:tls';
import {ROOT} from './lib/spec.mjs';

const V1 = '/api/v1', script = `${ROOT}tests/lib/daemon.sh`;
let env, url, ca;

before(() => {
    const done = spawnSync(script, ['start'], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
    assert.equal(done.status, 0);
    env = Object.fromEntries(done.stdout.trim().split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)));
    url = new URL(env.VMMD_URL);
    ca = readFileSync(env.VMMD_CACERT);
});
after(() => assert.equal(spawnSync(script, ['stop', env.VMMD_DIR], {stdio: ['ignore', 'inherit', 'inherit']}).status, 0));

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const options = (method, path, more = {}) => ({
    host: url.hostname, port: url.port, ca, method, path, agent: false, ...more,
    headers: {authorization: `Bearer ${env.VMMD_TOKEN}`, ...more.headers},
});

// {status, text, ms}; rejects when the connection fails.
function ask(method, path, {json, library = https, ...more} = {}) {
    const body = json && JSON.stringify(json), begin = performance.now();
    const headers = {...more.headers, ...(body && {'content-type': 'application/json', 'content-length': Buffer.byteLength(body)})};
    return new Promise((resolve, reject) => {
        const request = library.request(options(method, path, {...more, headers}), (reply) => {
            let text = '';
            reply.setEncoding('utf8').on('data', (part) => (text += part)).on('error', reject);
            reply.on('end', () => resolve({status: reply.statusCode, text, ms: performance.now() - begin}));
        });
        request.setTimeout(60000, () => request.destroy(new Error('no answer in 60 s'))).on('error', reject);
        request.end(body);
    });
}
const overUnix = (path) => ask('GET', path, {library: http, socketPath: env.VMMD_SOCKET});

const retried = async (method, path, more) => {
    for (const end = Date.now() + 60000; ;) {
        const reply = await ask(method, path, more).catch(() => ({status: 0}));
        if (reply.status && reply.status !== 503)
            return reply;
        assert.ok(Date.now() < end, `${method} ${path} for 60 s`);
        await pause(100);
    }
};

// Follows events from 'after' on and comes again whenever the stream ends, until told to stop.
class Follower {
    constructor(after, localAddress) {
        Object.assign(this, {last: after, seen: [], streams: 0, resets: 0, localAddress, stopped: false});
        this.follow();
    }

    follow() {
        const again = () => this.stopped || setTimeout(() => this.follow(), 50 + Math.random() * 100);
        let text = '', over = false;
        this.request = https.request(options('GET', `${V1}/events`, {localAddress: this.localAddress, headers: {'last-event-id': this.last}}), (reply) => {
            this.streams += reply.statusCode === 200;
            reply.setEncoding('utf8').on('data', (part) => {
                const blocks = (text + part).split('\n\n');
                text = blocks.pop();
                if (reply.statusCode === 200)
                    blocks.forEach((block) => this.take(block));
            });
            reply.on('close', () => over || (over = true, again())).on('error', () => {});
        });
        this.request.on('error', () => over || (over = true, again()));
        this.request.end();
    }

    take(block) {
        const id = block.match(/^id: (\d+)$/m), data = block.match(/^data: (.*)$/m);
        this.resets += /^event: reset$/m.test(block);
        if (data && id) {
            assert.equal(JSON.parse(data[1]).seq, Number(id[1]));
            this.seen.push(Number(id[1]));
        }
        if (id)
            this.last = Number(id[1]);
    }

    stop() {
        this.stopped = true;
        this.request.destroy();
    }
}

const newest = async () => JSON.parse((await retried('GET', `${V1}/events?wait=0&page_size=1000`)).text);
const mainPid = () => {
    const parent = readFileSync(`${env.VMMD_DIR}/pid`, 'utf8').trim();
    const field = (pid, name) => readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`^${name}:\\s*(.*)$`, 'm'))?.[1];
    return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).find((pid) => {
        try {
            return field(pid, 'PPid') === parent && field(pid, 'Name') === 'vmmd-main';
        } catch {
            return false; // it ended meanwhile
        }
    });
};

test('200 followers see every number once and in order, over a burst and a killed vmmd-main', async () => {
    const begin = (await newest()).next_after;
    const followers = Array.from({length: 200}, (_, i) => new Follower(begin, `127.0.0.${2 + i % 10}`));
    const make = (i) => retried('POST', `${V1}/tokens`, {json: {name: `crowd-${i}`, role: 'viewer'}, headers: {'idempotency-key': `crowd-${i}`}});
    const burst = async (from, to) => {
        for (let i = from; i < to; i += 8)
            for (const reply of await Promise.all(Array.from({length: 8}, (_, k) => make(i + k))))
                assert.ok([200, 201].includes(reply.status), `${reply.status} ${reply.text}`);
    };
    try {
        await burst(0, 40);
        const second = burst(40, 120);
        process.kill(Number(mainPid()), 'SIGKILL');
        await second;
        const last = (await newest()).next_after, end = Date.now() + 60000;
        assert.ok(last >= begin + 120);
        while (followers.some((f) => (f.seen.at(-1) ?? 0) < last)) {
            assert.ok(Date.now() < end, `some lag: ${followers.map((f) => f.seen.at(-1)).sort((a, b) => a - b)[0]} of ${last}`);
            await pause(50);
        }
        const wanted = Array.from({length: last - begin}, (_, i) => begin + 1 + i);
        for (const f of followers) {
            assert.deepEqual(f.seen.filter((seq) => seq <= last), wanted);
            assert.equal(f.resets, 0);
            assert.ok(f.streams >= 2, 'the kill did not end its stream');
        }
    } finally {
        followers.forEach((f) => f.stop());
    }
});

// A connection that never gets anywhere: silent before TLS, or with a head that does not end.
function slow(i) {
    const localAddress = `127.0.1.${1 + i % 40}`, where = {host: url.hostname, port: Number(url.port), localAddress};
    const socket = i % 2 ? net.connect(where) : tls.connect({...where, ca}, () => socket.write(`GET ${V1}/vms HTTP/1.1\r\nHost: x\r\nX-Slow: `));
    const drip = setInterval(() => i % 2 || socket.writable && socket.write('x'), 500);
    socket.on('close', () => clearInterval(drip)).on('error', () => {});
    return socket;
}

test('500 clients and the unix socket are served beside 1,000 slow ones, and newcomers when these are over', async () => {
    const agents = Array.from({length: 20}, (_, i) => new https.Agent({keepAlive: true, maxSockets: 25, localAddress: `127.0.0.${101 + i}`, ca}));
    const round = () => Promise.all(agents.flatMap((agent) => Array.from({length: 25}, () => ask('GET', `${V1}/version`, {agent}))));
    const wrong = (replies) => replies.filter((r) => r.status !== 200).length;
    let sockets = [];
    try {
        for (const end = Date.now() + 30000; wrong(await round()); await pause(200)) // those of the test before are still being missed
            assert.ok(Date.now() < end, 'clients are turned away before there is a crowd');
        sockets = Array.from({length: 1000}, (_, i) => slow(i));
        const times = [];
        for (let i = 0; i < 5; i++) {
            const [replies, admin] = await Promise.all([round(), overUnix(`${V1}/vms`)]);
            assert.equal(wrong(replies), 0);
            assert.equal(admin.status, 200);
            times.push(admin.ms);
        }
        assert.ok(Math.max(...times) < 5000, `unix socket: ${times}`);
        const fresh = await retried('GET', `${V1}/version`, {localAddress: '127.0.0.99'});
        assert.equal(fresh.status, 200);
        const end = Date.now() + 60000;
        while (sockets.some((s) => !s.destroyed)) { // deadlines end them all
            assert.ok(Date.now() < end, `${sockets.filter((s) => !s.destroyed).length} slow ones are still there`);
            await pause(100);
        }
        const metrics = (await overUnix('/metrics')).text;
        const counted = [...metrics.matchAll(/^(?:vmmd_front_connections_refused_total|vmmd_front_handshakes_failed_total|vmmd_http_connections_ended_total\{reason="(?:slow-head|unauthenticated|connections)"\}).* (\d+)$|^vmmd_front_connections_refused_total.* (\d+)$/gm)];
        assert.ok(counted.reduce((sum, m) => sum + Number(m[1] ?? m[2]), 0) > 100, metrics.match(/^vmmd_(front|http_conn).*$/gm).join('\n'));
    } finally {
        sockets.forEach((s) => s.destroy());
        agents.forEach((a) => a.destroy());
    }
});
