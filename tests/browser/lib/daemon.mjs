// The daemon the page is tested against: by tests/lib/daemon.sh, or one that runs (VMMD_URL and its
// like). 'send' is a plain client for what the page has no form for.
import {spawnSync} from 'node:child_process';
import {readdirSync, readFileSync} from 'node:fs';
import https from 'node:https';

const SCRIPT = new URL('../../lib/daemon.sh', import.meta.url).pathname;

export function startDaemon() {
    let env = process.env;
    const own = !env.VMMD_URL;
    if (own) {
        const done = spawnSync(SCRIPT, ['start'], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
        if (done.status !== 0)
            throw new Error(`daemon.sh start: exit status ${done.status}`);
        env = Object.fromEntries(done.stdout.trim().split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)));
    }
    return new Daemon(env, own);
}

class Daemon {
    constructor(env, own) {
        this.url = env.VMMD_URL;
        this.token = env.VMMD_TOKEN;
        this.dir = env.VMMD_DIR;
        this.own = own;
        this.agent = new https.Agent({keepAlive: true, ca: readFileSync(env.VMMD_CACERT)});
    }

    stop() {
        this.agent.destroy();
        return this.own ? spawnSync(SCRIPT, ['stop', this.dir], {stdio: ['ignore', 'inherit', 'inherit']}).status : 0;
    }

    send(method, path, json, headers = {}) {
        const body = json === undefined ? undefined : JSON.stringify(json);
        return new Promise((resolve, reject) => {
            const request = https.request(`${this.url}/api/v1${path}`, {
                method, agent: this.agent, timeout: 60000,
                headers: {authorization: `Bearer ${this.token}`, ...(body && {'content-type': 'application/json', 'content-length': Buffer.byteLength(body)}), ...headers},
            }, (response) => {
                const parts = [];
                response.on('data', (data) => parts.push(data));
                response.on('error', reject);
                response.on('end', () => {
                    const text = Buffer.concat(parts).toString();
                    if (response.statusCode >= 400)
                        reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
                    else
                        resolve(/json/.test(response.headers['content-type'] ?? '') ? JSON.parse(text) : text);
                });
            });
            request.on('timeout', () => request.destroy(new Error(`${method} ${path}: no answer`)));
            request.on('error', reject);
            request.end(body);
        });
    }

    // Ends the API's process as a crash would; the parent starts another one. Only of an own daemon.
    killMain() {
        const parent = readFileSync(`${this.dir}/pid`, 'utf8').trim();
        const children = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => isMain(pid, parent));
        if (children.length !== 1)
            throw new Error(`${children.length} children of ${parent} are vmmd-main`);
        process.kill(Number(children[0]), 'SIGKILL');
    }

    // A VM without a guest: it ticks on its serial port and answers what is typed there.
    fake(name, more = {}) {
        return this.send('POST', '/vms', {name, backend: 'fake', memory_bytes: 64 << 20, ...more}, {prefer: 'wait=30'});
    }

    async act(vm, verb) {
        await this.send('POST', `/vms/${vm}/actions/${verb}`, undefined, {prefer: 'wait=30'});
    }
}

function isMain(pid, parent) {
    try {
        const [, name, after] = /^\d+ \((.*)\) \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
        return after === parent && /main/.test(name + readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    } catch {
        return false; // it ended meanwhile
    }
}
