// The suite's own tools, without a daemon: a checker that cannot object is worthless.
import assert from 'node:assert/strict';
import test from 'node:test';
import {badBodies, goodValue} from './lib/bad.mjs';
import {servedRoutes} from './lib/routes.mjs';
import {Spec} from './lib/spec.mjs';

const spec = new Spec();
const reply = (status, json, more = {}) => ({method: 'GET', status, json, body: Buffer.from(JSON.stringify(json)),
                                             headers: {'content-type': status < 400 ? 'application/json' : 'application/problem+json', ...more}});
const problem = {type: 'https://vmmd.invalid/problems/not-found', title: 't', status: 404, detail: 'd', instance: '/x', code: 'not-found', request_id: 'r-1'};

test('a valid reply passes, a wrong one does not', () => {
    const version = {name: 'vmmd', version: '1', api: 'v1', capabilities: []};
    assert.deepEqual(spec.check('GET', '/api/v1/version', reply(200, version)), []);
    for (const bad of [{...version, extra: 1}, {...version, api: 'v2'}, {...version, capabilities: [1]}, {}, []])
        assert.notDeepEqual(spec.check('GET', '/api/v1/version', reply(200, bad)), []);
    assert.notDeepEqual(spec.check('GET', '/api/v1/version', reply(201, version)), []);
    assert.notDeepEqual(spec.check('GET', '/api/v1/version', reply(200, version, {'content-type': 'text/html'})), []);
    assert.notDeepEqual(spec.check('GET', '/no/such', reply(200, version)), []);
});

test('a problem must be one', () => {
    assert.deepEqual(spec.check('GET', '/api/v1/vms/x', reply(404, problem)), []);
    for (const bad of [{...problem, code: 'odd'}, {...problem, status: 400}, {...problem, code: 'busy'}, {...problem, detail: null}, {}])
        assert.notDeepEqual(spec.check('GET', '/api/v1/vms/x', reply(404, bad)), []);
});

test('the good values are good and the bad ones bad', () => {
    for (const operation of spec.operations.filter((o) => o.bodySchema && !['writeSerial', 'uploadImport'].includes(o.id))) {
        const [content] = Object.keys(operation.body.content);
        const where = operation.body.content[content].schema.$ref.split('/').slice(1);
        assert.deepEqual(spec.validate(where, goodValue(spec, operation.bodySchema)), [], operation.id);
        for (const [what, body] of badBodies(spec, operation)) {
            let value;
            try {
                value = JSON.parse(body);
            } catch {
                continue;
            }
            if (!/duplicate|NUL|surrogate|NaN|1e999|huge number|__proto__/.test(what))
                assert.notDeepEqual(spec.validate(where, value), [], `${operation.id}: ${what} ${String(body).slice(0, 100)}`);
        }
    }
});

test('the table of routes is understood', () => {
    const found = servedRoutes('#define A "/a"\n#define B A "/{id}"\n  ROUTE(GET,  A, x, PUBLIC, 0)\n  ROUTE(POST, B "/c", y, VM_READ, 0)\n');
    assert.deepEqual(found, [{method: 'GET', path: '/a', id: 'x', right: 'public'}, {method: 'POST', path: '/a/{id}/c', id: 'y', right: 'vm-read'}]);
});
