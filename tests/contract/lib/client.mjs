// One HTTP client for the suite: every reply goes through the contract before anybody looks at it.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import {keepSecrets} from './secrets.mjs';

export class Client {
    constructor(daemon, spec) {
        this.daemon = daemon;
        this.spec = spec;
        this.library = daemon.url.protocol === 'https:' ? https : http;
        this.secrets = new Map(); // that went by, and what they are
        this.book = []; // of every reply: what the audit trail is compared with
        this.agent = new this.library.Agent({keepAlive: true, maxSockets: 4, ca: daemon.ca});
    }

    close() {
        this.agent.destroy();
    }

    #options(method, path, {token = this.daemon.token, headers = {}, body, type, certificate} = {}) {
        const all = {...headers};
        if (token)
            all.authorization = `Bearer ${token}`;
        if (body !== undefined) {
            all['content-type'] ??= type ?? 'application/json';
            all['content-length'] = Buffer.byteLength(body);
        }
        if (certificate) // a connection of its own: who shows it is known by it
            return {agent: false, ...certificate, ca: this.daemon.ca, host: this.daemon.url.hostname, port: this.daemon.url.port,
                    method, path, headers: all, timeout: 90000};
        return {agent: this.agent, ca: this.daemon.ca, host: this.daemon.url.hostname, port: this.daemon.url.port,
                method, path, headers: all, timeout: 90000};
    }

    // Sends one request; resolves to {status, headers, body, json}. Nothing is checked.
    send(method, path, options = {}) {
        let body = options.json !== undefined ? JSON.stringify(options.json) : options.body;
        return new Promise((resolve, reject) => {
            const request = this.library.request(this.#options(method, path, {...options, body}), (response) => {
                const parts = [];
                response.on('data', (part) => parts.push(part));
                response.on('error', reject);
                response.on('end', () => {
                    const reply = {method, status: response.statusCode, headers: response.headers, body: Buffer.concat(parts)};
                    if (/json/.test(response.headers['content-type'] ?? ''))
                        try {
                            reply.json = JSON.parse(reply.body);
                        } catch {
                            reply.json = undefined;
                        }
                    keepSecrets(this.secrets, path, options.json, reply);
                    this.book.push({method, path, status: reply.status, request: reply.headers['x-request-id'],
                                    replayed: 'idempotency-replayed' in reply.headers});
                    resolve(reply);
                });
            });
            request.on('timeout', () => request.destroy(new Error(`${method} ${path}: no answer in 90 s`)));
            request.on('error', (error) => reject(new Error(`${method} ${path}: ${error.message}`)));
            request.end(body);
        });
    }

    // As send(); the reply must be one that openapi.yaml describes.
    async call(method, path, options = {}) {
        const reply = await this.send(method, path, options);
        const wrong = this.spec.check(method, path, reply);
        assert.deepEqual(wrong, [], `${method} ${path} -> ${reply.status} ${reply.body.toString().slice(0, 300)}`);
        return reply;
    }

    // As call(), with the status that is expected; resolves to the reply.
    async expect(status, method, path, options = {}) {
        const reply = await this.call(method, path, options);
        assert.equal(reply.status, status, `${method} ${path}: ${reply.body.toString().slice(0, 400)}`);
        return reply;
    }

    // As expect() for a refusal, with its code.
    async refused(status, code, method, path, options = {}) {
        const reply = await this.expect(status, method, path, options);
        assert.equal(reply.json.code, code, reply.json.detail);
        return reply.json;
    }

    // A connection that becomes one of another protocol; resolves to the first bytes that come. The
    // reply is checked as one of call().
    upgrade(path, protocol, headers = {}) {
        return new Promise((resolve, reject) => {
            const options = this.#options('GET', path, {headers: {connection: 'Upgrade', upgrade: protocol, ...headers}});
            const request = this.library.request({...options, agent: false}, (response) => {
                response.resume();
                reject(new Error(`${path}: ${response.statusCode}`));
            });
            request.on('upgrade', (response, socket, first) => {
                const reply = {method: 'GET', status: response.statusCode, headers: response.headers, body: Buffer.alloc(0)};
                const wrong = this.spec.check('GET', path, reply), parts = [first];
                this.book.push({method: 'GET', path, status: reply.status, request: reply.headers['x-request-id'], replayed: false});
                socket.on('data', (part) => parts.push(part));
                socket.on('error', reject);
                socket.on('close', () => wrong.length ? reject(new Error(wrong.join('; '))) : resolve(Buffer.concat(parts)));
            });
            request.on('timeout', () => request.destroy(new Error(`${path}: no answer in 90 s`)));
            request.on('error', reject);
            request.end();
        });
    }

    // Reads a stream until 'enough(text)'; resolves to [headers, text].
    stream(path, enough, {headers = {}, deadline = 20000} = {}) {
        return new Promise((resolve, reject) => {
            let text = '';
            const request = this.library.request({...this.#options('GET', path, {headers}), agent: false}, (response) => {
                response.setEncoding('utf8');
                response.on('data', (part) => {
                    text += part;
                    if (!enough(text))
                        return;
                    clearTimeout(timer);
                    resolve([response, text]);
                    request.destroy();
                });
            });
            const timer = setTimeout(() => {
                request.destroy();
                reject(new Error(`${path}: not enough in ${deadline} ms: ${text.slice(-300)}`));
            }, deadline);
            request.on('error', (error) => error.code === 'ECONNRESET' || reject(error));
            request.end();
        });
    }
}
