// The contract test: openapi.yaml against the table of routes and against a running daemon with the
// fake backend. Every reply of every test below is validated by Client.call().
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {existsSync, readFileSync} from 'node:fs';
import {after, before, describe, test} from 'node:test';
import {badBodies} from './lib/bad.mjs';
import {newCertificate} from './lib/certificate.mjs';
import {Client} from './lib/client.mjs';
import {startDaemon} from './lib/daemon.mjs';
import {rightRoles, servedRoutes} from './lib/routes.mjs';
import {findSecrets} from './lib/secrets.mjs';
import {ROOT, Spec} from './lib/spec.mjs';

const V1 = '/api/v1', VMS = `${V1}/vms`, OPS = `${V1}/operations`, TOKENS = `${V1}/tokens`, POOLS = `${V1}/pools`, DISKS = `${V1}/disks`;
const NOBODY = '3f2504e0-4f89-41d3-9a0c-0305e82c3301';
const WAIT = {prefer: 'wait=30'};
const spec = new Spec(), routes = servedRoutes();
let daemon, api, tokens;

before(async () => {
    daemon = startDaemon();
    api = new Client(daemon, spec);
});
after(() => {
    api?.close();
    assert.equal(daemon?.stop() ?? 0, 0, 'the daemon did not end in time, or a sanitizer spoke');
});

const newToken = async (name, role, ttl_s = 0) => (await api.expect(201, 'POST', TOKENS, {json: {name, role, ttl_s}})).json;
const newVm = async (name, more = {}) =>
    (await api.expect(201, 'POST', VMS, {headers: WAIT, json: {name, backend: 'fake', ...more}})).json;
const act = async (vm, verb, json) => {
    const reply = await api.expect(200, 'POST', `${VMS}/${vm}/actions/${verb}`, {headers: WAIT, json});
    assert.equal(reply.json.state, 'succeeded');
    return reply;
};
const show = async (vm) => (await api.expect(200, 'GET', `${VMS}/${vm}`)).json;
const until = async (what, reached, deadline = Date.now() + 15000) => {
    while (!await reached())
        assert.ok(Date.now() < deadline, `not within 15 s: ${what}`);
};
// What must not change when a request is refused.
const inventory = async () => {
    const lists = await Promise.all([VMS, TOKENS, POOLS, DISKS].map((p) => api.expect(200, 'GET', `${p}?page_size=1000`)));
    return JSON.stringify(lists.map((l) => l.json.items.map((i) => [i.id, i.name, i.revision])));
};

describe('the contract and the table of routes', () => {
    test('name the same paths, methods, operations and rights', () => {
        const line = (r) => `${r.method} ${r.path} ${r.id} ${r.right}`;
        assert.ok(routes.length > 20, 'api/routes.c was not understood');
        assert.deepEqual(spec.operations.map(line).sort(), routes.map(line).sort());
    });
    test('every operation has an id of its own, and a problem for refusals', () => {
        assert.equal(new Set(spec.operations.map((o) => o.id)).size, spec.operations.length);
        for (const o of spec.operations)
            assert.ok(spec.response(o, 400) && spec.response(o, 500), o.id);
    });
    test('examples are valid', () => {
        for (const [name, schema] of Object.entries(spec.doc.components.schemas))
            if (schema.example)
                assert.deepEqual(spec.validate(['components', 'schemas', name], schema.example), [], name);
    });
});

describe('the host and the daemon', () => {
    test('introduce themselves', async () => {
        await api.expect(200, 'GET', '/healthz', {token: null});
        await api.expect(200, 'GET', `${V1}/version`);
        const host = (await api.expect(200, 'GET', `${V1}/host`)).json;
        assert.deepEqual(host.pool_roots.map((r) => r.id), ['main', 'second']);
    });
    test('say what the machine is made of', async () => {
        const inventory = (await api.expect(200, 'GET', `${V1}/host/inventory`)).json;
        assert.ok(inventory.cpu.threads >= inventory.cpu.cores && inventory.cpu.cores >= inventory.cpu.sockets);
        assert.ok(inventory.drives.every((drive) => drive.size_bytes > 0));
    });
    test('serve the contract that was read here, and a page', async () => {
        const reply = await api.expect(200, 'GET', `${V1}/openapi.yaml`, {token: null});
        assert.deepEqual(new Spec(reply.body.toString()).doc, spec.doc);
        const page = existsSync(`${ROOT}web/index.html`) ? 200 : 404;
        await api.expect(page, 'GET', '/', {token: null});
        await api.expect(page, 'GET', '/ui/app.js', {token: null});
        await api.refused(404, 'not-found', 'GET', '/ui/none.js', {token: null});
    });
    test('answer HEAD as GET, without a body', async () => {
        for (const path of ['/healthz', VMS, `${V1}/host`])
            await api.expect(200, 'HEAD', path);
    });
});

describe('all guests', () => {
    test('go down at once, for an administrator', async () => {
        const down = `${V1}/host/actions/shutdown-guests`;
        await newVm('guest', {restart: {policy: 'always'}});
        await act('guest', 'start');
        assert.ok((await api.expect(200, 'POST', `${down}?dry_run=true`)).json.dry_run);
        const op = (await api.expect(200, 'POST', down, {headers: {...WAIT, 'idempotency-key': 'down-1'}})).json;
        assert.deepEqual([op.kind, op.state, op.result.guests], ['host.shutdown-guests', 'succeeded', 1]);
        const guest = await show('guest');
        assert.deepEqual([guest.run.state, guest.desired, guest.run.restart_at], ['off', 'off', null]);
        await api.expect(200, 'DELETE', `${VMS}/guest`, {headers: WAIT});
    });
});

describe('users', () => {
    const USERS = `${V1}/users`, SESSION = `${V1}/session`, PASSWORD = 'correct horse battery';
    let cookie, csrf;
    const page = (more = {}) => ({token: null, ...more, headers: {cookie, 'x-vmm-csrf': csrf, ...more.headers}});
    const keep = (reply) => {
        assert.match(reply.headers['set-cookie'][0], /^__Host-vmmd=\w{97}; Path=\/; Secure; HttpOnly; SameSite=Strict$/);
        cookie = reply.headers['set-cookie'][0].split(';')[0];
        csrf = reply.json.csrf;
        return reply.json;
    };

    test('are made, found, changed', async () => {
        const spec = {name: 'ann', role: 'viewer'};
        assert.ok((await api.expect(200, 'POST', `${USERS}?dry_run=true`, {json: spec})).json.dry_run);
        const user = (await api.expect(201, 'POST', USERS, {json: spec, headers: {'idempotency-key': 'u-1'}})).json;
        assert.equal((await api.expect(201, 'POST', USERS, {json: spec, headers: {'idempotency-key': 'u-1'}})).json.id, user.id);
        await api.refused(409, 'exists', 'POST', USERS, {json: spec});
        assert.equal((await api.expect(200, 'GET', `${USERS}/ann`)).json.has_password, false);
        assert.deepEqual((await api.expect(200, 'GET', `${USERS}?filter=role==viewer&fields=name`)).json.items, [{name: 'ann'}]);
        const patch = (json) => ({json, headers: {'content-type': 'application/merge-patch+json'}});
        assert.equal((await api.expect(200, 'PATCH', `${USERS}/ann`, patch({role: 'operator'}))).json.role, 'operator');
        await api.refused(422, 'invalid', 'POST', `${USERS}/ann/actions/set-password`, {json: {password: 'short'}});
        await api.expect(204, 'POST', `${USERS}/ann/actions/set-password`, {json: {password: PASSWORD}});
    });
    test('sign in, and are who they are', async () => {
        await api.refused(401, 'unauthenticated', 'POST', SESSION, {token: null, json: {user: 'ann', password: 'not this one'}});
        await api.refused(401, 'unauthenticated', 'POST', SESSION, {token: null, json: {user: 'nobody', password: PASSWORD}});
        const who = keep(await api.expect(201, 'POST', SESSION, {token: null, json: {user: 'ann', password: PASSWORD}}));
        assert.deepEqual([who.principal, who.by, who.role], ['user:ann', 'session', 'operator']);
        assert.deepEqual((await api.expect(200, 'GET', SESSION, page())).json.csrf, csrf);
        assert.equal((await api.expect(200, 'GET', SESSION)).json.by, 'token');
        await api.expect(200, 'GET', VMS, page());
        await api.refused(403, 'forbidden', 'GET', USERS, page());
    });
    test('change things from our page only', async () => {
        const body = {json: {name: 'csrf', backend: 'fake'}};
        await api.refused(403, 'forbidden', 'POST', VMS, page({...body, headers: {'x-vmm-csrf': 'no'}}));
        await api.refused(403, 'forbidden', 'POST', VMS, page({...body, headers: {origin: 'https://evil.example'}}));
        await api.refused(403, 'forbidden', 'POST', VMS, page({...body, headers: {'sec-fetch-site': 'cross-site'}}));
        for (const headers of [{origin: 'https://evil.example'}, {origin: 'null'}, {'sec-fetch-site': 'cross-site'}]) // a page that wants a stream
            await api.refused(403, 'forbidden', 'GET', `${V1}/snapshots/any/nbd`, page({headers: {...headers, connection: 'upgrade', upgrade: 'nbd'}}));
        await api.refused(404, 'not-found', 'GET', `${VMS}/csrf`);
        await api.expect(200, 'POST', `${VMS}?dry_run=true`, page({...body, headers: {origin: api.daemon.url.origin}}));
    });
    test('change their password, which ends their sessions', async () => {
        const change = `${SESSION}/actions/change-password`, old = cookie;
        await api.refused(403, 'forbidden', 'POST', change, page({json: {old: 'not this one', password: 'another battery'}}));
        await api.refused(409, 'wrong-state', 'POST', change, {json: {old: PASSWORD, password: 'another battery'}});
        keep(await api.expect(201, 'POST', change, page({json: {old: PASSWORD, password: 'another battery'}})));
        await api.expect(200, 'GET', SESSION, page());
        await api.refused(401, 'unauthenticated', 'GET', SESSION, page({headers: {cookie: old}}));
    });
    test('choose a password by a link, once', async () => {
        const link = (await api.expect(200, 'POST', `${USERS}/ann/actions/link`, {json: {}})).json;
        assert.equal(link.path, `/#/welcome/${link.code}`);
        const use = {token: null, json: {code: link.code, password: PASSWORD}};
        keep(await api.expect(201, 'POST', `${SESSION}/actions/use-link`, use));
        await api.refused(401, 'unauthenticated', 'POST', `${SESSION}/actions/use-link`, use);
    });
    test('are given rights for some VMs and pools, and lose them again', async () => {
        const GRANTS = `${USERS}/ann/grants`, team = {role: 'operator', label: 'team=a'};
        assert.ok((await api.expect(200, 'POST', `${GRANTS}?dry_run=true`, {json: team})).json.dry_run);
        const made = (await api.expect(201, 'POST', GRANTS, {json: team, headers: {'idempotency-key': 'g-1'}})).json;
        assert.equal((await api.expect(201, 'POST', GRANTS, {json: team, headers: {'idempotency-key': 'g-1'}})).json.id, made.id);
        assert.deepEqual([made.role, made.label, made.pool], ['operator', 'team=a', null]);
        assert.ok(made.rights.includes('vm-power') && !made.rights.includes('host-read'));
        await api.refused(409, 'exists', 'POST', GRANTS, {json: {rights: ['vm-read'], label: 'team=a'}});
        for (const bad of [{}, {role: 'viewer'}, {label: 'a=b'}, {...team, pool: 'one'}, {...team, rights: ['vm-read']}, {role: 'viewer', label: 'no'},
            {rights: ['root'], label: 'a=b'}, {rights: ['host-read'], label: 'a=b'}])
            await api.refused(422, 'invalid', 'POST', GRANTS, {json: bad});
        await api.refused(404, 'not-found', 'POST', GRANTS, {json: {role: 'viewer', pool: 'nowhere'}});
        await api.refused(404, 'not-found', 'POST', `${USERS}/nobody/grants`, {json: team});
        assert.deepEqual((await api.expect(200, 'GET', GRANTS)).json.items, [made]);
        assert.deepEqual((await api.expect(200, 'GET', SESSION, page())).json.grants, [made]);
        await api.expect(204, 'DELETE', `${GRANTS}/${made.id}`);
        await api.refused(404, 'not-found', 'DELETE', `${GRANTS}/${made.id}`);
        assert.deepEqual((await api.expect(200, 'GET', SESSION, page())).json.grants, []);
    });
    test('come in by a certificate, until it is taken away', async () => {
        const CERTS = `${USERS}/runner/certificates`, {pem, key} = newCertificate('/CN=runner'), me = {token: null, certificate: {cert: pem, key}};
        await api.expect(201, 'POST', USERS, {json: {name: 'runner', role: 'viewer'}});
        await api.refused(401, 'unauthenticated', 'GET', VMS, me);
        assert.ok((await api.expect(200, 'POST', `${CERTS}?dry_run=true`, {json: {pem}})).json.dry_run);
        const made = (await api.expect(201, 'POST', CERTS, {json: {pem}, headers: {'idempotency-key': 'c-1'}})).json;
        assert.equal((await api.expect(201, 'POST', CERTS, {json: {pem}, headers: {'idempotency-key': 'c-1'}})).json.id, made.id);
        assert.equal(made.subject, '/CN=runner');
        const who = (await api.expect(200, 'GET', SESSION, me)).json;
        assert.deepEqual([who.principal, who.by, who.role], ['user:runner', 'certificate', 'viewer']);
        await api.refused(403, 'forbidden', 'POST', VMS, {...me, json: {name: 'not-mine'}});
        for (const headers of [{origin: 'https://evil.example'}, {'sec-fetch-site': 'cross-site'}])
            await api.refused(403, 'forbidden', 'GET', VMS, {...me, headers});
        await api.refused(409, 'exists', 'POST', `${USERS}/ann/certificates`, {json: {pem}});
        for (const bad of ['no', key, newCertificate('/CN=weak', 'rsa:1024').pem])
            await api.refused(422, 'invalid', 'POST', CERTS, {json: {pem: bad}});
        assert.deepEqual((await api.expect(200, 'GET', CERTS)).json.items, [made]);
        await api.expect(200, 'PATCH', `${USERS}/runner`, {json: {disabled: true}});
        await api.refused(401, 'unauthenticated', 'GET', VMS, me);
        await api.expect(200, 'PATCH', `${USERS}/runner`, {json: {disabled: false}});
        await api.expect(200, 'GET', VMS, me);
        await api.expect(204, 'DELETE', `${CERTS}/${made.id}`);
        await api.refused(401, 'unauthenticated', 'GET', VMS, me);
        await api.refused(404, 'not-found', 'DELETE', `${CERTS}/${made.id}`);
    });
    test('sign out, and are signed out', async () => {
        await api.expect(204, 'DELETE', SESSION, page());
        await api.refused(401, 'unauthenticated', 'GET', SESSION, page());
        await api.refused(409, 'wrong-state', 'DELETE', SESSION);
        const enter = async () => keep(await api.expect(201, 'POST', SESSION, {token: null, json: {user: 'ann', password: PASSWORD}}));
        await enter();
        const list = (await api.expect(200, 'GET', `${USERS}/ann/sessions`)).json.items;
        assert.deepEqual(list.map((s) => s.user), ['ann']);
        await api.expect(204, 'DELETE', `${V1}/sessions/${list[0].id}`);
        await api.refused(401, 'unauthenticated', 'GET', SESSION, page());
        await enter();
        await api.expect(204, 'DELETE', `${USERS}/ann/sessions`);
        await api.refused(401, 'unauthenticated', 'GET', SESSION, page());
    });
    test('take their tokens along, which can do no more than they', async () => {
        const made = (await api.expect(201, 'POST', TOKENS, {json: {name: 'anns', role: 'admin', owner: 'ann', rights: ['vm-read', 'account-admin']}})).json;
        await api.expect(200, 'GET', VMS, {token: made.token});
        await api.refused(403, 'forbidden', 'GET', USERS, {token: made.token}); // its owner may not
        await api.refused(403, 'forbidden', 'GET', POOLS, {token: made.token}); // nor was it given that
        await api.refused(422, 'invalid', 'POST', TOKENS, {json: {name: 'bad', role: 'admin', owner: 'nobody'}});
        await api.refused(422, 'invalid', 'POST', TOKENS, {json: {name: 'bad', role: 'admin', rights: ['root']}});
        await api.expect(204, 'DELETE', `${USERS}/ann`);
        await api.refused(401, 'unauthenticated', 'GET', VMS, {token: made.token});
        await api.refused(404, 'not-found', 'GET', `${TOKENS}/anns`);
    });
    test('are not made into more than their maker', async () => {
        const some = (await api.expect(201, 'POST', TOKENS, {json: {name: 'some', role: 'admin', rights: ['account-admin', 'vm-read']}})).json;
        await api.refused(403, 'forbidden', 'POST', USERS, {token: some.token, json: {name: 'root', role: 'admin'}});
        await api.refused(403, 'forbidden', 'POST', TOKENS, {token: some.token, json: {name: 'more', role: 'admin'}});
        await api.expect(204, 'DELETE', `${TOKENS}/some`);
    });
});

describe('pools', () => {
    test('are made below a configured root and found by id and name', async () => {
        assert.equal((await api.expect(200, 'POST', `${POOLS}?dry_run=true`, {json: {name: 'one', root: 'main'}})).json.dry_run, true);
        await api.refused(404, 'not-found', 'GET', `${POOLS}/one`);
        const pool = (await api.expect(201, 'POST', POOLS, {json: {name: 'one', root: 'main'}})).json;
        assert.deepEqual((await api.expect(200, 'GET', `${POOLS}/${pool.id}`)).json.name, 'one');
        assert.deepEqual((await api.expect(200, 'GET', `${POOLS}/one`)).json.id, pool.id);
        await api.refused(409, 'exists', 'POST', POOLS, {json: {name: 'one', root: 'second'}});
        await api.expect(201, 'POST', POOLS, {json: {name: 'spare', root: 'second'}});
        assert.ok([404, 422].includes((await api.call('POST', POOLS, {json: {name: 'bad', root: 'none'}})).status));
        await api.expect(204, 'DELETE', `${POOLS}/spare`);
    });
});

describe('the life of a VM', () => {
    let vm, etag;
    test('begins with its creation, tried first', async () => {
        const body = {name: 'life', backend: 'fake', labels: {ci: 'yes'}, disks: [{size_bytes: 1 << 20, pool: 'one'}]};
        assert.ok((await api.expect(200, 'POST', `${VMS}?dry_run=true`, {json: body})).json.dry_run);
        await api.refused(404, 'not-found', 'GET', `${VMS}/life`);
        const made = await api.expect(201, 'POST', VMS, {headers: WAIT, json: body});
        vm = made.json;
        assert.equal(made.headers.location, `${VMS}/${vm.id}`);
        assert.equal(vm.run.state, 'off');
        assert.ok(vm.actions.includes('start'));
        await api.refused(409, 'exists', 'POST', VMS, {json: body});
    });
    test('is seen in lists, by filter, page after page', async () => {
        await newVm('life2');
        const first = (await api.expect(200, 'GET', `${VMS}?page_size=1`)).json;
        assert.equal(first.items.length, 1);
        const second = (await api.expect(200, 'GET', `${VMS}?page_size=1&page_token=${encodeURIComponent(first.next_page_token)}`)).json;
        assert.notEqual(second.items[0].id, first.items[0].id);
        const filtered = (await api.expect(200, 'GET', `${VMS}?filter=${encodeURIComponent('label.ci==yes')}`)).json;
        assert.deepEqual(filtered.items.map((v) => v.name), ['life']);
        const part = (await api.expect(200, 'GET', `${VMS}?fields=name,run.state&order=-name&filter=${encodeURIComponent('name~=life*')}`)).json;
        assert.deepEqual(part.items, [{name: 'life2', run: {state: 'off'}}, {name: 'life', run: {state: 'off'}}]);
        assert.deepEqual((await api.expect(200, 'GET', `${VMS}/life?fields=boot,label.ci`)).json, {boot: vm.boot, labels: {ci: 'yes'}});
        await api.refused(422, 'invalid', 'GET', `${VMS}?page_size=1&order=-name&page_token=${first.next_page_token}`);
    });
    test('has a version that guards edits', async () => {
        const reply = await api.expect(200, 'GET', `${VMS}/life`);
        etag = reply.headers.etag;
        await api.expect(304, 'GET', `${VMS}/life`, {headers: {'if-none-match': etag}});
        const patch = {headers: {'if-match': etag, 'content-type': 'application/merge-patch+json'}, json: {notes: 'edited'}};
        assert.ok((await api.expect(200, 'PATCH', `${VMS}/life?dry_run=true`, patch)).json.dry_run);
        const edited = await api.expect(200, 'PATCH', `${VMS}/life`, patch);
        assert.equal(edited.json.notes, 'edited');
        await api.refused(412, 'revision-conflict', 'PATCH', `${VMS}/life`, patch);
        await api.refused(415, 'media-type', 'PATCH', `${VMS}/life`, {headers: {'content-type': 'text/plain'}, body: '{}'});
        assert.equal((await api.expect(200, 'PATCH', `${VMS}/life`, {json: {notes: null}})).json.notes, null);
    });
    test('has a name that can change, again and again with a key', async () => {
        const patch = {headers: {'idempotency-key': 'rename-life', 'content-type': 'application/merge-patch+json'}, json: {name: 'lively'}};
        assert.equal((await api.expect(200, 'PATCH', `${VMS}/life?dry_run=true`, {json: {name: 'lively'}})).json.vm.name, 'lively');
        await api.refused(409, 'exists', 'PATCH', `${VMS}/life`, {json: {name: 'life2'}});
        assert.equal((await api.expect(200, 'PATCH', `${VMS}/life`, patch)).json.id, vm.id);
        const again = await api.expect(200, 'PATCH', `${VMS}/life`, patch);
        assert.equal(again.headers['idempotency-replayed'], 'true');
        assert.equal(again.json.name, 'lively');
        await api.refused(404, 'not-found', 'GET', `${VMS}/life`);
        await api.refused(422, 'invalid', 'PATCH', `${VMS}/lively`, {json: {name: NOBODY}});
        assert.equal((await api.expect(200, 'PATCH', `${VMS}/${vm.id}`, {json: {name: 'life'}})).json.name, 'life');
    });
    test('takes media that are there', async () => {
        assert.deepEqual((await api.expect(200, 'GET', `${V1}/media`)).json.items, []);
        const problem = await api.refused(404, 'not-found', 'PATCH', `${VMS}/life`, {json: {cdroms: [{media: 'none.iso'}]}});
        assert.equal(problem.errors[0].pointer, '/cdroms/0/media');
    });
    test('goes through every action', async () => {
        await api.expect(200, 'POST', `${VMS}/life/actions/start?dry_run=true`);
        assert.equal((await show('life')).run.state, 'off');
        await act('life', 'start');
        assert.equal((await show('life')).run.state, 'running');
        const refusal = await api.refused(409, 'wrong-state', 'POST', `${VMS}/life/actions/start`);
        assert.match(refusal.detail, /running/);
        await api.refused(409, 'wrong-state', 'DELETE', `${VMS}/life`);
        await act('life', 'pause');
        assert.equal((await show('life')).run.reason, 'user');
        await act('life', 'resume');
        await act('life', 'reset', {});
        assert.deepEqual((await api.expect(200, 'PATCH', `${VMS}/life`, {json: {vcpus: 2}})).json.pending, {vcpus: 2});
        await act('life', 'shutdown', {timeout_s: 30});
        await until('off after shutdown', async () => (await show('life')).run.state === 'off');
        assert.equal((await show('life')).pending, null);
        await act('life', 'start');
        await act('life', 'stop');
        assert.equal((await show('life')).run.state, 'off');
        await api.refused(409, 'wrong-state', 'POST', `${VMS}/life/actions/pause`);
    });
    test('has a console and a screen', async () => {
        await act('life', 'start');
        const octets = {headers: {'content-type': 'application/octet-stream'}};
        await api.expect(204, 'POST', `${VMS}/life/serial`, {...octets, body: 'hello\n'});
        const log = await api.expect(200, 'GET', `${VMS}/life/serial?offset=0&limit=4096&wait=5`);
        assert.equal(Number(log.headers['vmmd-serial-next']) - Number(log.headers['vmmd-serial-offset']), log.body.length);
        await api.refused(413, 'too-large', 'POST', `${VMS}/life/serial`, {...octets, body: 'x'.repeat(65537)});
        await api.refused(415, 'media-type', 'POST', `${VMS}/life/serial`, {json: {}});
        const screen = await api.expect(200, 'GET', `${VMS}/life/screenshot`);
        assert.equal(screen.body.subarray(1, 4).toString(), 'PNG');
        await api.expect(200, 'GET', `${VMS}/life/serial?port=0`);
        await api.refused(422, 'invalid', 'GET', `${VMS}/life/serial?port=3`);
        await api.refused(422, 'invalid', 'GET', `${VMS}/life/screenshot?head=7`);
    });
    test('has logs that can be shown anywhere', async () => {
        const log = await api.expect(200, 'GET', `${VMS}/life/log?source=serial&lines=5`);
        assert.match(log.headers['content-type'], /^text\/plain; charset=utf-8$/);
        assert.ok(log.body.toString().split('\n').length <= 6);
        await api.expect(200, 'GET', `${VMS}/life/log`);
        await api.refused(422, 'invalid', 'GET', `${VMS}/life/log?source=kernel`);
        await api.refused(422, 'invalid', 'GET', `${VMS}/life/log?lines=0`);
        await api.refused(422, 'invalid', 'GET', `${VMS}/life/log?port=1`);
        await api.refused(422, 'invalid', 'GET', `${VMS}/life/log?source=serial&port=3`);
    });
    test('has a keyboard, a pointer and an NMI button', async () => {
        const keys = `${VMS}/life/actions/send-key`, type = `${VMS}/life/actions/type`, pointer = `${VMS}/life/actions/pointer`;
        await api.expect(204, 'POST', keys, {json: {keys: ['ctrl', 'alt', 'Delete'], hold_ms: 1}});
        assert.equal((await api.refused(422, 'invalid', 'POST', keys, {json: {keys: ['ctrl', 'nokey']}})).errors[0].pointer, '/keys/1');
        assert.ok((await api.expect(200, 'POST', `${type}?dry_run=true`, {json: {text: 'x'}})).json.dry_run);
        await api.expect(204, 'POST', type, {json: {text: 'Grüße\n', layout: 'de', interval_ms: 1}});
        assert.equal((await api.refused(422, 'invalid', 'POST', type, {json: {text: 'Grüße'}})).errors[0].pointer, '/text');
        await api.expect(204, 'POST', pointer, {json: {x: 0.5, y: 1, buttons: ['left']}});
        await api.refused(422, 'invalid', 'POST', pointer, {json: {x: 0.5}});
        await api.refused(422, 'invalid', 'POST', pointer, {json: {dx: 5}});
        await api.expect(204, 'POST', `${VMS}/life/actions/nmi`);
        await act('life', 'stop');
        await api.refused(409, 'wrong-state', 'POST', keys, {json: {keys: ['a']}});
        await api.refused(409, 'wrong-state', 'POST', `${VMS}/life/serial`, {headers: {'content-type': 'application/octet-stream'}, body: 'x'});
    });
    test('has disks in a pool, which cannot go before it', async () => {
        const disks = (await api.expect(200, 'GET', `${DISKS}?vm=life`)).json.items;
        assert.equal(disks.length, 1);
        assert.equal((await api.expect(200, 'GET', `${DISKS}/${disks[0].id}`)).json.vm, vm.id);
        await api.refused(409, 'in-use', 'DELETE', `${POOLS}/one`);
    });
    test('ends with its deletion and leaves nothing', async () => {
        await api.expect(200, 'DELETE', `${VMS}/life?dry_run=true`);
        const op = (await api.expect(202, 'DELETE', `${VMS}/life`)).json;
        const ended = (await api.expect(200, 'GET', `${OPS}/${op.id}?wait=30`)).json;
        assert.equal(ended.state, 'succeeded');
        await api.refused(404, 'not-found', 'GET', `${VMS}/${vm.id}`);
        assert.equal((await api.expect(200, 'GET', DISKS)).json.items.length, 0);
        await api.expect(200, 'DELETE', `${VMS}/life2`, {headers: WAIT});
    });
});

describe('snapshots', () => {
    const SHOTS = `${VMS}/shot/snapshots`, list = async (query = '') => (await api.expect(200, 'GET', SHOTS + query)).json.items;
    const take = (name, more = {}) => api.expect(200, 'POST', SHOTS, {headers: WAIT, json: {name, ...more}});
    test('are taken on top of each other, and listed as a tree', async () => {
        await api.expect(201, 'POST', VMS, {headers: WAIT, json: {name: 'shot', backend: 'fake', nics: [], disks: [{size_bytes: 1 << 20}]}});
        assert.ok((await api.expect(200, 'POST', `${SHOTS}?dry_run=true`, {json: {name: 'a'}})).json.dry_run);
        const first = (await take('a', {notes: 'clean'})).json;
        await take('b');
        const [a, b] = await list('?order=name');
        assert.deepEqual([a.id, a.notes, a.parent, a.current, a.disks], [first.result.snapshot, 'clean', null, false, 1]);
        assert.deepEqual([b.parent, b.current], [a.id, true]);
        assert.deepEqual((await list('?filter=current==true&fields=name')), [{name: 'b'}]);
        await api.refused(409, 'exists', 'POST', SHOTS, {json: {name: 'a'}});
        await api.refused(422, 'invalid', 'POST', SHOTS, {json: {name: 'no good'}});
    });
    test('are renamed and shown by their id', async () => {
        const [a] = await list('?order=name'), path = `${V1}/snapshots/${a.id}`;
        assert.ok((await api.expect(200, 'PATCH', `${path}?dry_run=true`, {json: {name: 'x'}})).json.dry_run);
        assert.equal((await api.expect(200, 'PATCH', path, {json: {name: 'first'}})).json.notes, 'clean');
        assert.equal((await api.expect(200, 'GET', `${path}?fields=name`)).json.name, 'first');
        await api.refused(404, 'not-found', 'GET', `${V1}/snapshots/first`);
        await api.refused(409, 'exists', 'PATCH', path, {json: {name: 'b'}});
    });
    test('say how much lies between them, and what the screen showed', async () => {
        const [a, b] = await list('?order=name'), path = `${V1}/snapshots/${a.id}`;
        const diff = (await api.expect(200, 'GET', `${path}/diff?to=${b.name}`)).json;
        assert.deepEqual([diff.from, diff.to, diff.disks.length, diff.disks[0].files], [a.id, b.id, 1, 1]);
        assert.equal((await api.expect(200, 'GET', `${path}/diff`)).json.to, null);
        await api.refused(404, 'not-found', 'GET', `${path}/diff?to=none`);
        assert.equal((await api.expect(200, 'GET', `${path}/diff?to=${a.name}&exact=true`)).json.changed_bytes, 0);
        await api.refused(502, 'hypervisor', 'GET', `${path}/diff?to=${b.name}&exact=true`); // which the backend here cannot say
        await api.refused(422, 'invalid', 'GET', `${path}/diff?exact=true`);
        assert.equal(a.has_screenshot, false);
        await api.refused(404, 'not-found', 'GET', `${path}/screenshot`);
        await api.expect(200, 'POST', `${VMS}/shot/actions/start`, {headers: WAIT});
        const seen = (await take('seen')).json.result.snapshot, picture = `${V1}/snapshots/${seen}/screenshot`;
        const screen = await api.expect(200, 'GET', picture);
        assert.ok(screen.body.subarray(1, 4).equals(Buffer.from('PNG')));
        await api.expect(304, 'GET', picture, {headers: {'if-none-match': screen.headers.etag}});
        await api.expect(200, 'DELETE', `${V1}/snapshots/${seen}`, {headers: WAIT});
        await api.refused(404, 'not-found', 'GET', picture);
        await api.expect(200, 'POST', `${VMS}/shot/actions/stop`, {headers: WAIT});
    });
    test('are read by NBD', async () => {
        const [a] = await list('?order=name'), path = `${V1}/snapshots/${a.id}/nbd`, nbd = {connection: 'Upgrade', upgrade: 'nbd'};
        const said = await api.upgrade(`${path}?disk=0`, 'nbd'); // the fake server greets and hangs up
        assert.equal(said.subarray(0, 16).toString(), 'NBDMAGICIHAVEOPT');
        await api.refused(400, 'malformed', 'GET', path);
        await api.refused(404, 'not-found', 'GET', `${path}?disk=9`, {headers: nbd});
        await api.refused(422, 'invalid', 'GET', `${path}?disk=x`, {headers: nbd});
    });
    test('are exported as images', async () => {
        const [a] = await list('?order=name'), post = (json, query = '') => ['POST', `${V1}/snapshots/${a.id}/actions/export${query}`, {headers: WAIT, json}];
        assert.ok((await api.expect(200, ...post({format: 'raw'}, '?dry_run=true'))).json.dry_run);
        const name = (await api.expect(200, ...post({format: 'raw'}))).json.result.export;
        const [image] = (await api.expect(200, 'GET', `${V1}/exports?filter=name==${name}`)).json.items;
        assert.deepEqual([image.name, image.size_bytes], [`shot-${a.name}-0.raw`, 1 << 20]);
        assert.equal((await api.expect(200, 'GET', `${V1}/exports/${name}/content`)).body.length, 1 << 20);
        assert.equal((await api.expect(206, 'GET', `${V1}/exports/${name}/content`, {headers: {range: 'bytes=1048000-'}})).body.length, 576);
        await api.refused(404, 'not-found', ...post({disk: 9}));
        await api.refused(422, 'invalid', ...post({format: 'vmdk'}));
        await api.expect(204, 'DELETE', `${V1}/exports/${name}`);
        await api.refused(404, 'not-found', 'GET', `${V1}/exports/${name}/content`);
    });
    test('lie in folders from where they are imported', async () => {
        assert.deepEqual((await api.expect(200, 'GET', `${V1}/imports`)).json.items, []);
        const post = (json) => ['POST', `${VMS}/shot/disks`, {headers: WAIT, json}];
        await api.refused(404, 'not-found', ...post({source: {file: 'none.vhdx'}}));
        await api.refused(422, 'invalid', ...post({source: {file: '../x'}}));
        await api.refused(422, 'invalid', ...post({source: {file: 'x', format: 'vdi'}}));
        await api.refused(404, 'not-found', ...post({source: {file: 'x', root: 'nowhere'}}));
    });
    test('are uploaded to be imported', async () => {
        const pool = (await api.expect(200, 'GET', POOLS)).json.items[0], path = `${V1}/imports/${pool.root}/up.img`;
        const image = Buffer.alloc(1 << 20, 'image'), half = 1 << 19, sha256 = createHash('sha256').update(image).digest('hex');
        const piece = (from, to, query = '') => ['PUT', path + query, {body: image.subarray(from, to), headers: {'content-type': 'application/octet-stream',
                                                                      'content-range': `bytes ${from}-${to - 1}/${image.length}`}}];
        await api.refused(404, 'not-found', 'GET', path);
        await api.refused(409, 'wrong-state', ...piece(half, 1 << 20));
        assert.equal((await api.expect(200, ...piece(0, half))).json.uploaded_bytes, half);
        assert.equal((await api.expect(200, 'HEAD', path)).headers['upload-offset'], String(half));
        assert.equal((await api.expect(200, 'GET', `${V1}/imports?filter=state==uploading`)).json.items[0].name, 'up.img');
        await api.refused(422, 'invalid', ...piece(half, 1 << 20, `?sha256=${'0'.repeat(64)}`)); // and all of it is gone
        await api.refused(404, 'not-found', 'GET', path);
        await api.expect(200, ...piece(0, half));
        const whole = await api.expect(201, ...piece(half, 1 << 20, `?sha256=${sha256}`));
        assert.deepEqual([whole.json.state, whole.headers.location], ['ready', path]);
        const disk = (query) => ['POST', `${VMS}/shot/disks?${query}`, {json: {source: {file: 'up.img', format: 'raw'}, format: 'raw'}}];
        const {plan} = (await api.expect(200, ...disk('dry_run=true'))).json;
        assert.deepEqual([plan.image_format, plan.image_bytes, plan.size_bytes, plan.format], ['raw', 1 << 20, 1 << 20, 'raw']);
        await api.refused(409, 'exists', ...piece(0, half));
        await api.refused(422, 'invalid', 'PUT', `${V1}/imports/${pool.root}/-rf`, {body: image});
        await api.refused(400, 'malformed', 'PUT', path, {body: image, headers: {'content-range': 'bytes 0-1/2'}});
        assert.ok((await api.expect(200, 'DELETE', `${path}?dry_run=true`)).json.dry_run);
        await api.expect(204, 'DELETE', path);
        await api.refused(404, 'not-found', 'DELETE', path);
    });
    test('go with their VM into a bundle', async () => {
        const pool = (await api.expect(200, 'GET', POOLS)).json.items[0].name;
        const post = (json, query = '') => ['POST', `${VMS}/shot/actions/export${query}`, {headers: WAIT, json}];
        const {plan} = (await api.expect(200, ...post({pool}, '?dry_run=true'))).json;
        assert.deepEqual([plan.bundle, plan.blockers], ['shot', []]);
        assert.equal((await api.expect(200, ...post({pool, name: 'carried'}))).json.result.bundle, 'carried');
        await api.refused(409, 'exists', ...post({pool, name: 'carried'}));
        await api.refused(422, 'invalid', ...post({pool, name: '../x'}));
        await api.refused(404, 'not-found', ...post({pool: 'nowhere'}));
        const [bundle] = (await api.expect(200, 'GET', `${V1}/bundles?filter=name==carried`)).json.items;
        assert.deepEqual([bundle.state, bundle.vm], ['complete', 'shot']);
        const make = (json, query = '') => ['POST', `${VMS}/actions/import${query}`, {headers: WAIT, json: {bundle: 'carried', pool, ...json}}];
        const narrow = (await api.expect(201, 'POST', TOKENS, {json: {name: 'p-maker', role: 'operator', rights: ['vm-read', 'vm-create', 'storage-read']}})).json;
        await api.refused(403, 'forbidden', 'POST', `${VMS}/actions/import?dry_run=true`, {token: narrow.token, json: {bundle: 'carried', pool}});
        const differs = (await api.expect(200, ...make({}, '?dry_run=true'))).json.plan;
        assert.deepEqual(differs.findings.map(f => [f.code, f.effect]), [['name', 'blocks']]);
        assert.equal((await api.refused(409, 'exists', ...make({}))).blockers.length, 1);
        const made = (await api.expect(200, ...make({name: 'carried'}))).json.result.vm;
        assert.equal((await api.expect(200, 'GET', `${VMS}/carried`)).json.id, made);
        await api.expect(200, 'DELETE', `${VMS}/carried`, {headers: WAIT});
        await api.refused(404, 'not-found', ...make({bundle: 'none'}));
        assert.ok((await api.expect(200, 'DELETE', `${V1}/bundles/carried?dry_run=true`)).json.dry_run);
        await api.expect(204, 'DELETE', `${V1}/bundles/carried`);
        await api.refused(404, 'not-found', 'DELETE', `${V1}/bundles/carried`);
    });
    test('keep the memory of a running VM', async () => {
        const take = (json, query = '') => ['POST', SHOTS + query, {headers: WAIT, json}];
        await api.refused(409, 'wrong-state', ...take({name: 'busy', consistency: 'running'}));
        const cold = (await api.expect(200, ...take({name: 'cold', consistency: 'auto'}))).json;
        assert.equal(cold.result.consistency, 'disk');
        assert.match(cold.result.reason, /does not run/);
        await api.expect(200, 'POST', `${VMS}/shot/actions/start`, {headers: WAIT});
        const {plan} = (await api.expect(200, ...take({name: 'busy', consistency: 'running'}, '?dry_run=true'))).json;
        assert.deepEqual([plan.blockers, plan.consistency, plan.way, plan.reason], [[], 'running', 'background', null]);
        assert.ok(plan.memory_bytes > 0);
        await api.expect(200, ...take({name: 'busy', consistency: 'running'}));
        const busy = (await list()).find((s) => s.name === 'busy');
        assert.deepEqual([busy.consistency, busy.memory.state, busy.memory.way, busy.memory.note], ['running', 'ready', 'background', null]);
        assert.equal((await list('?filter=consistency==running')).length, 1);
        assert.equal((await list()).find((s) => s.name === 'cold').memory, null);
        const path = `${V1}/snapshots/${busy.id}`, memory = async () => (await api.expect(200, 'GET', path)).json.memory;
        await api.refused(409, 'wrong-state', 'POST', `${path}/actions/unarchive`);
        await api.expect(200, 'POST', `${path}/actions/archive?dry_run=true`);
        const packed = (await api.expect(200, 'POST', `${path}/actions/archive`, {headers: WAIT})).json.result;
        assert.ok(packed.before_bytes > 0 && packed.after_bytes > 0);
        assert.deepEqual([(await memory()).archived, (await memory()).archived_bytes], [true, packed.after_bytes]);
        const expanding = (await api.expect(200, 'POST', `${VMS}/shot/actions/revert?dry_run=true`, {json: {snapshot: 'busy', start: false}})).json.plan;
        assert.deepEqual([expanding.bytes, expanding.estimate_s], [packed.before_bytes, 1]);
        await api.expect(200, 'POST', `${VMS}/shot/actions/revert`, {headers: WAIT, json: {snapshot: 'busy', start: false}});
        assert.equal((await memory()).archived, true);
        await api.expect(200, 'POST', `${path}/actions/unarchive`, {headers: WAIT});
        assert.equal((await memory()).archived, false);
        await api.expect(200, 'POST', `${VMS}/shot/actions/revert`, {headers: WAIT, json: {snapshot: 'busy', start: false}});
        assert.equal((await api.expect(200, 'GET', `${VMS}/shot`)).json.run.state, 'saved');
    });
    test('are gone back to, and deleted', async () => {
        const back = (snapshot, start = false) => ['POST', `${VMS}/shot/actions/revert`, {headers: WAIT, json: {snapshot, start}}];
        await api.expect(200, ...back('first'));
        assert.equal((await api.expect(200, 'GET', `${VMS}/shot`)).json.run.state, 'off');
        await api.expect(200, 'POST', `${VMS}/shot/actions/start`, {headers: WAIT});
        await api.expect(200, ...back('first', true));
        assert.equal((await api.expect(200, 'GET', `${VMS}/shot`)).json.run.state, 'running');
        await api.expect(200, 'POST', `${VMS}/shot/actions/stop`, {headers: WAIT});
        await api.refused(404, 'not-found', ...back('none'));
        const plan = async (...request) => (await api.expect(200, ...request)).json.plan;
        const going = await plan('POST', `${VMS}/shot/actions/revert?dry_run=true`, {json: {snapshot: 'first'}});
        assert.deepEqual([going.blockers, going.bytes, going.kept_for], [[], 0, null]);
        const {blockers} = await plan('POST', `${SHOTS}?dry_run=true`, {json: {name: 'first', consistency: 'running'}});
        assert.deepEqual(blockers.map((b) => b.code), ['wrong-state', 'exists']);
        assert.deepEqual((await api.refused(409, 'wrong-state', 'POST', SHOTS, {json: {name: 'first', consistency: 'running'}})).blockers, blockers);
        const gone = await plan('DELETE', `${V1}/snapshots/${(await list())[0].id}?dry_run=true`);
        assert.ok(gone.bytes > 0 && gone.freed_bytes > 0 && gone.estimate_s > 0 && gone.free_bytes > 0);
        await api.expect(200, 'POST', `${VMS}/shot/actions/start`, {headers: WAIT});
        const slow = (await api.expect(202, 'DELETE', `${V1}/snapshots/${(await list())[0].id}?bandwidth=100`)).json;
        assert.deepEqual([slow.limitable, slow.bandwidth], [true, 100]);
        await api.expect(200, 'PATCH', `${OPS}/${slow.id}`, {json: {bandwidth: 0}});
        assert.equal((await api.expect(200, 'GET', `${OPS}/${slow.id}?wait=20`)).json.state, 'succeeded');
        await api.refused(422, 'invalid', 'DELETE', `${V1}/snapshots/${(await list())[0].id}?bandwidth=x`);
        for (const one of await list())
            await api.expect(200, 'DELETE', `${V1}/snapshots/${one.id}`, {headers: WAIT});
        await api.expect(200, 'POST', `${VMS}/shot/actions/stop`, {headers: WAIT});
        assert.deepEqual(await list(), []);
        await api.expect(200, 'DELETE', `${VMS}/shot`, {headers: WAIT});
    });
});

describe('clones', () => {
    const clone = (vm, body) => ['POST', `${VMS}/${vm}/actions/clone`, {headers: WAIT, json: body}];
    test('are VMs of their own, of a snapshot or of the VM as it is', async () => {
        await api.expect(201, 'POST', VMS, {headers: WAIT, json: {name: 'gold', backend: 'fake', nics: [{}], disks: [{size_bytes: 1 << 20}]}});
        assert.ok((await api.expect(200, 'POST', `${VMS}/gold/actions/clone?dry_run=true`, {json: {name: 'c1'}})).json.dry_run);
        const made = (await api.expect(201, ...clone('gold', {name: 'c1', start: true}))).json;
        const gold = (await api.expect(200, 'GET', `${VMS}/gold`)).json;
        assert.deepEqual([made.name, made.run.state, made.disks.length], ['c1', 'running', 1]);
        assert.notEqual(made.nics[0].mac, gold.nics[0].mac);
        assert.notEqual(made.generation_id, gold.generation_id);
        await api.expect(201, ...clone('gold', {name: 'c2', snapshot: 'clone-c1', full: true, bandwidth: 1e9}));
        assert.deepEqual((await api.expect(200, 'GET', `${VMS}/gold/snapshots`)).json.items.map((s) => [s.name, s.clones]), [['clone-c1', 1]]);
        const [, again, body] = clone('gold', {name: 'c2'}), {plan} = (await api.expect(200, 'POST', `${again}?dry_run=true`, body)).json;
        assert.deepEqual(plan.blockers.map((b) => [b.code, b.pointer]), [['exists', '/name']]);
        assert.deepEqual((await api.refused(409, 'exists', ...clone('gold', {name: 'c2'}))).blockers, plan.blockers);
        await api.refused(404, 'not-found', ...clone('gold', {name: 'c3', snapshot: 'none'}));
        await api.refused(422, 'invalid', ...clone('gold', {name: 'no good'}));
        await api.refused(422, 'invalid', ...clone('gold', {name: 'c3', bandwidth: 1})); // a linked one copies nothing
    });
    test('outlive what they were made from, and become independent', async () => {
        await api.expect(200, 'DELETE', `${VMS}/gold`, {headers: WAIT});
        await api.expect(200, 'POST', `${VMS}/c1/actions/flatten`, {headers: WAIT, json: {bandwidth: 1e9}});
        await api.expect(200, 'POST', `${VMS}/c1/actions/stop`, {headers: WAIT});
        for (const name of ['c1', 'c2'])
            await api.expect(200, 'DELETE', `${VMS}/${name}`, {headers: WAIT});
    });
});

describe('moves', () => {
    const MOVE = `${VMS}/mover/actions/move-storage`, at = async () => (await api.expect(200, 'GET', `${VMS}/mover`)).json.disks.map((d) => d.pool);
    test('take the disks to another pool, with a plan before', async () => {
        await api.expect(201, 'POST', POOLS, {json: {name: 'near', root: 'main'}});
        await api.expect(201, 'POST', POOLS, {json: {name: 'far', root: 'second'}});
        await api.expect(201, 'POST', VMS, {headers: WAIT, json: {name: 'mover', backend: 'fake', nics: [], disks: [{size_bytes: 1 << 20, pool: 'near'}, {size_bytes: 1 << 20, pool: 'near', format: 'raw'}]}});
        const {plan} = (await api.expect(200, 'POST', `${MOVE}?dry_run=true`, {json: {pool: 'far'}})).json;
        assert.deepEqual([plan.blockers, plan.pool, plan.files], [[], 'far', 2]);
        const none = (await api.expect(200, 'POST', `${MOVE}?dry_run=true`, {json: {pool: 'near'}})).json.plan;
        assert.deepEqual(none.blockers.map((b) => b.code), ['wrong-state']);
        assert.deepEqual((await api.refused(409, 'wrong-state', 'POST', MOVE, {json: {pool: 'near'}})).blockers, none.blockers);
        await api.refused(404, 'not-found', 'POST', MOVE, {json: {pool: 'nowhere'}});
        await api.refused(404, 'not-found', 'POST', MOVE, {json: {pool: 'far', disks: ['9']}});
        await api.refused(422, 'invalid', 'POST', MOVE, {json: {pool: 'far', format: 'vmdk2'}});
        const done = (await api.expect(200, 'POST', MOVE, {headers: WAIT, json: {pool: 'far', disks: ['1'], bandwidth: 1e9}})).json;
        assert.deepEqual([done.kind, done.result.files, done.progress.left_s], ['vm.move-storage', 1, null]);
        assert.deepEqual(await at(), ['near', 'far']);
    });
    test('go on while the VM runs, and are limited only while they do', async () => {
        await api.expect(200, 'POST', `${VMS}/mover/actions/start`, {headers: WAIT});
        const key = {headers: {...WAIT, 'idempotency-key': 'move-1'}, json: {pool: 'far'}};
        const done = (await api.expect(200, 'POST', MOVE, key)).json;
        assert.equal((await api.expect(200, 'POST', MOVE, key)).json.id, done.id);
        assert.deepEqual([await at(), done.result.files], [['far', 'far'], 1]);
        await api.refused(409, 'wrong-state', 'PATCH', `${OPS}/${done.id}`, {json: {bandwidth: 1000}});
        await api.refused(404, 'not-found', 'PATCH', `${OPS}/3f2504e0-4f89-41d3-9a0c-0305e82c3301`, {json: {bandwidth: 1000}});
        await api.refused(422, 'invalid', 'PATCH', `${OPS}/${done.id}`, {json: {bandwidth: -1}});
        await api.expect(200, 'POST', `${VMS}/mover/actions/stop`, {headers: WAIT});
    });
    test('are slowed down, and let go', async () => {
        const op = (await api.expect(202, 'POST', MOVE, {json: {pool: 'near', bandwidth: 100}})).json, path = `${OPS}/${op.id}`;
        assert.deepEqual([op.limitable, op.bandwidth], [true, 100]);
        assert.ok((await api.expect(200, 'PATCH', `${path}?dry_run=true`, {json: {bandwidth: 0}})).json.dry_run);
        assert.equal((await api.expect(200, 'PATCH', path, {json: {bandwidth: 200}})).json.bandwidth, 200);
        assert.ok(['queued', 'running'].includes((await api.expect(200, 'GET', path)).json.state));
        await api.refused(409, 'busy', 'POST', `${VMS}/mover/actions/start`);
        await api.expect(200, 'PATCH', path, {json: {bandwidth: 0}});
        assert.equal((await api.expect(200, 'GET', `${path}?wait=30`)).json.state, 'succeeded');
        assert.deepEqual(await at(), ['near', 'near']);
        await api.expect(200, 'DELETE', `${VMS}/mover`, {headers: WAIT});
    });
});

describe('disks and pools', () => {
    const ofVm = `${VMS}/disky/disks`, list = async (query = '') => (await api.expect(200, 'GET', ofVm + query)).json.items;
    const files = async (query) => (await api.expect(200, 'GET', `${POOLS}/one/files${query}`)).json.items;
    test('are added to a running VM, limited, grown and removed', async () => {
        await api.expect(201, 'POST', VMS, {headers: WAIT, json: {name: 'disky', backend: 'fake', nics: [], disks: [{size_bytes: 1 << 20, pool: 'one'}]}});
        await api.expect(200, 'POST', `${VMS}/disky/actions/start`, {headers: WAIT});
        assert.ok((await api.expect(200, 'POST', `${ofVm}?dry_run=true`, {json: {size_bytes: 1 << 20}})).json.dry_run);
        const added = (await api.expect(200, 'POST', ofVm, {headers: WAIT, json: {size_bytes: 1 << 20, bus: 'scsi', format: 'vhdx', pool: 'one'}})).json;
        const [, disk] = await list('?order=position'), path = `${DISKS}/${disk.id}`;
        assert.deepEqual([disk.id, disk.bus, disk.format, disk.position, disk.files], [added.result.disk, 'scsi', 'vhdx', 1, 1]);
        await api.refused(409, 'wrong-state', 'POST', ofVm, {json: {size_bytes: 1 << 20, bus: 'ide'}});
        await api.refused(422, 'invalid', 'POST', ofVm, {json: {size_bytes: 1000}});
        await api.refused(404, 'not-found', 'POST', ofVm, {json: {size_bytes: 1 << 20, pool: 'none'}});
        await api.refused(501, 'unsupported', 'POST', `${path}/actions/grow`, {json: {size_bytes: 2 << 20}});
        const limits = {headers: {'content-type': 'application/merge-patch+json'}, json: {limits: {iops: 100, iops_burst: 200, burst_s: 10}}};
        assert.ok((await api.expect(200, 'PATCH', `${path}?dry_run=true`, limits)).json.dry_run);
        assert.equal((await api.expect(200, 'PATCH', path, limits)).json.limits.iops_burst, 200);
        await api.refused(422, 'invalid', 'PATCH', path, {json: {limits: {iops_read: 5}}});
        await api.expect(200, 'DELETE', path, {headers: WAIT});
        await api.refused(404, 'not-found', 'GET', path);
        const [first] = await list();
        await api.expect(200, 'POST', `${DISKS}/${first.id}/actions/grow`, {headers: WAIT, json: {size_bytes: 2 << 20}});
        assert.equal((await list())[0].size_bytes, 2 << 20);
        await api.refused(422, 'invalid', 'POST', `${DISKS}/${first.id}/actions/grow`, {json: {size_bytes: 1 << 20}});
    });
    test('pools are limited, and tell whose their files are', async () => {
        const [file] = await files('?filter=kind==disk'), [disk] = await list();
        assert.deepEqual([file.disk, file.vm, file.size_bytes], [disk.id, disk.vm, 2 << 20]);
        assert.ok((await api.expect(200, 'PATCH', `${POOLS}/one?dry_run=true`, {json: {quota_bytes: 1 << 20}})).json.dry_run);
        const pool = (await api.expect(200, 'PATCH', `${POOLS}/one`, {json: {quota_bytes: 1 << 20, reserve_bytes: 0, default_format: 'raw'}})).json;
        assert.deepEqual([pool.quota_bytes, pool.reserve_bytes, pool.default_format], [1 << 20, 0, 'raw']);
        await api.refused(507, 'no-space', 'POST', ofVm, {json: {size_bytes: 4 << 20, pool: 'one'}});
        await api.refused(422, 'invalid', 'PATCH', `${POOLS}/one`, {json: {root: 'second'}});
        await api.expect(200, 'PATCH', `${POOLS}/one`, {json: {quota_bytes: null, reserve_bytes: null, default_format: null}});
        await api.expect(200, 'POST', `${VMS}/disky/actions/stop`, {headers: WAIT});
        await api.expect(200, 'DELETE', `${VMS}/disky`, {headers: WAIT});
        assert.deepEqual(await files(''), []);
    });
});

describe('limits of VMs', () => {
    test('are refused where they are required and nobody enforces them', async () => {
        const {limits} = (await api.expect(200, 'GET', `${V1}/host`)).json;
        const enforced = limits.memory !== 'unsupported' && limits.io !== 'unsupported';
        const json = {name: 'strict', backend: 'fake', nics: [], limits: {io_weight: 500}, require_limits: true};
        if (enforced)
            await api.expect(201, 'POST', VMS, {headers: WAIT, json});
        else
            assert.equal((await api.refused(501, 'unsupported', 'POST', VMS, {json})).errors[0].pointer, '/require_limits');
        if (!enforced)
            await api.expect(201, 'POST', VMS, {headers: WAIT, json: {...json, require_limits: false}});
        const patch = ['PATCH', `${VMS}/strict`, {json: {require_limits: true}}];
        await (enforced ? api.expect(200, ...patch) : api.refused(501, 'unsupported', ...patch));
        await api.expect(200, 'DELETE', `${VMS}/strict`, {headers: WAIT});
    });
});

describe('templates', () => {
    const TPL = `${V1}/templates`, body = {name: 'builder', labels: {team: 'x'}, spec: {backend: 'fake', nics: [], vcpus: 2, cpu: {max_vcpus: 4}, disks: [{size_bytes: 1 << 20}], labels: {built: 'yes'}}};
    let template;
    test('are made, shown, listed and changed', async () => {
        assert.ok((await api.expect(200, 'POST', `${TPL}?dry_run=true`, {json: body})).json.dry_run);
        const post = {headers: {'idempotency-key': 'tpl-1'}, json: body};
        const made = await api.expect(201, 'POST', TPL, post);
        template = made.json;
        assert.deepEqual([template.spec, made.headers.location, made.headers.etag], [body.spec, `${TPL}/${template.id}`, '"1"']);
        assert.equal((await api.expect(201, 'POST', TPL, post)).json.id, template.id);
        await api.refused(409, 'exists', 'POST', TPL, {json: body});
        const list = (await api.expect(200, 'GET', `${TPL}?filter=${encodeURIComponent('label.team==x')}`)).json.items;
        assert.deepEqual(list.map((t) => t.name), ['builder']);
        const patch = {headers: {'if-match': '"1"'}, json: {notes: 'n', spec: {vcpus: 3, labels: null}}};
        assert.ok((await api.expect(200, 'PATCH', `${TPL}/builder?dry_run=true`, patch)).json.dry_run);
        const changed = (await api.expect(200, 'PATCH', `${TPL}/builder`, patch)).json;
        assert.deepEqual([changed.revision, changed.spec.vcpus, changed.spec.labels], [2, 3, undefined]);
        await api.refused(412, 'revision-conflict', 'PATCH', `${TPL}/builder`, patch);
        assert.deepEqual((await api.expect(200, 'GET', `${TPL}/${template.id}`)).json, changed);
    });
    test('hold what a VM could be', async () => {
        const pointer = async (spec) => (await api.refused(422, 'invalid', 'POST', TPL, {json: {name: 'bad', spec}})).errors[0].pointer;
        assert.equal(await pointer({name: 'x'}), '/spec/name');
        assert.equal(await pointer({vcpus: 0}), '/spec/vcpus');
        assert.equal(await pointer({sudo: null}), '/spec/sudo');
        assert.equal(await pointer({firmware: {secure_boot: true}}), '/spec/firmware/secure_boot');
        assert.equal(await pointer({nics: [{mac: '52:54:00:12:34:56'}]}), '/spec/nics/0/mac');
    });
    test('are what VMs are made from, over which the request stands', async () => {
        const make = (json) => api.expect(201, 'POST', VMS, {headers: WAIT, json});
        const spec1 = (await api.expect(200, 'POST', `${VMS}?dry_run=true`, {json: {name: 't1', template: 'builder', vcpus: 1}})).json.spec;
        assert.deepEqual([spec1.vcpus, spec1.cpu.max_vcpus, spec1.backend], [1, 4, 'fake']);
        const one = (await make({name: 't1', template: 'builder', vcpus: 1, start: true})).json;
        assert.deepEqual([one.run.state, one.vcpus, one.disks.length], ['running', 1, 1]);
        const two = (await make({name: 't2', copy_of: 't1', notes: 'a copy', cpu: null})).json;
        assert.deepEqual([two.run.state, two.vcpus, two.cpu.max_vcpus, two.disks[0].size_bytes], ['off', 1, 0, 1 << 20]);
        assert.notEqual(two.disks[0].id, one.disks[0].id);
        assert.notEqual(two.generation_id, one.generation_id);
        const problem = await api.refused(404, 'not-found', 'POST', VMS, {json: {name: 't3', template: 'none'}});
        assert.equal(problem.errors[0].pointer, '/template');
        await api.refused(404, 'not-found', 'POST', VMS, {json: {name: 't3', copy_of: 'none'}});
        await api.refused(422, 'invalid', 'POST', VMS, {json: {name: 't3', copy_of: 't1', template: 'builder'}});
        await api.expect(200, 'POST', `${VMS}/actions/stop`, {headers: WAIT, json: {vms: ['t1']}});
        await api.expect(200, 'POST', `${VMS}/actions/delete`, {headers: WAIT, json: {vms: ['t1', 't2']}});
    });
    test('go without their VMs', async () => {
        await api.refused(412, 'revision-conflict', 'DELETE', `${TPL}/builder`, {headers: {'if-match': '"1"'}});
        await api.expect(200, 'DELETE', `${TPL}/builder?dry_run=true`);
        await api.expect(204, 'DELETE', `${TPL}/builder`);
        await api.refused(404, 'not-found', 'GET', `${TPL}/builder`);
    });
});

describe('a VM', () => {
    test('is saved, goes on, and can give that up', async () => {
        await newVm('saver', {});
        await act('saver', 'start');
        await api.expect(200, 'POST', `${VMS}/saver/actions/save?dry_run=true`);
        await act('saver', 'save');
        const saved = await show('saver');
        assert.deepEqual([saved.state, saved.run.reason, saved.desired, saved.saved.pool], ['saved', 'user', 'saved', 'one']);
        assert.deepEqual(saved.actions, ['start', 'discard', 'delete', 'revert', 'archive-snapshot', 'unarchive-snapshot', 'export', 'move-storage']);
        assert.ok(saved.saved.ram_bytes >= saved.saved.held_bytes);
        const found = await api.expect(200, 'GET', `${VMS}?filter=${encodeURIComponent('saved.ram_bytes>0')}`);
        assert.deepEqual(found.json.items.map((item) => item.name), ['saver']);
        await api.refused(409, 'wrong-state', 'POST', `${VMS}/saver/actions/save`);
        await act('saver', 'start');
        assert.deepEqual([(await show('saver')).run.state, (await show('saver')).saved], ['running', null]);
        await act('saver', 'save', {});
        await act('saver', 'discard');
        assert.equal((await show('saver')).run.state, 'off');
        await api.refused(409, 'wrong-state', 'POST', `${VMS}/saver/actions/discard`);
        const off = await api.expect(200, 'POST', `${VMS}/actions/save`, {json: {vms: ['saver']}});
        assert.equal(off.json.items[0].error.code, 'wrong-state');
        assert.equal((await api.expect(200, 'POST', `${VMS}/actions/discard`, {json: {vms: ['saver']}})).json.items[0].operation, null);
        await api.expect(200, 'DELETE', `${VMS}/saver`, {headers: WAIT});
    });
});

describe('bulk actions', () => {
    const ALL = `${VMS}/actions`;
    test('begin an operation for each VM, and say why not', async () => {
        for (const name of ['bulk1', 'bulk2', 'bulk3'])
            await newVm(name, {labels: {bulk: name === 'bulk3' ? 'no' : 'yes'}});
        const names = (reply) => reply.json.items.map((i) => [i.vm.name, i.operation?.state ?? i.error?.code ?? null]);
        assert.deepEqual(names(await api.expect(200, 'POST', `${ALL}/start?dry_run=true`, {json: {vms: ['bulk1', 'nobody']}})), [['bulk1', null], ['nobody', 'not-found']]);
        const start = {headers: {...WAIT, 'idempotency-key': 'bulk-1'}, json: {vms: ['bulk1', 'nobody', 'bulk2']}};
        assert.deepEqual(names(await api.expect(200, 'POST', `${ALL}/start`, start)), [['bulk1', 'succeeded'], ['nobody', 'not-found'], ['bulk2', 'succeeded']]);
        assert.equal((await api.expect(200, 'POST', `${ALL}/start`, start)).headers['idempotency-replayed'], 'true');
        for (const verb of ['pause', 'resume', 'reset'])
            assert.deepEqual(names(await api.expect(200, 'POST', `${ALL}/${verb}`, {headers: WAIT, json: {filter: 'label.bulk==yes'}})), [['bulk1', 'succeeded'], ['bulk2', 'succeeded']]);
        await api.expect(200, 'POST', `${ALL}/shutdown`, {headers: WAIT, json: {filter: 'label.bulk==yes', timeout_s: 30}});
        await api.expect(200, 'POST', `${ALL}/stop`, {headers: WAIT, json: {filter: 'state==running,name~=bulk*'}});
        assert.equal((await api.refused(422, 'invalid', 'POST', `${ALL}/stop`, {json: {vms: ['bulk1', 'bulk2', 'bulk1']}})).errors[0].pointer, '/vms/2');
        assert.equal((await api.refused(422, 'invalid', 'POST', `${ALL}/stop`, {json: {filter: 'nonsense==1'}})).errors[0].pointer, '/filter');
        const gone = await api.expect(200, 'POST', `${ALL}/delete`, {headers: WAIT, json: {filter: 'name~=bulk*'}});
        assert.deepEqual(names(gone), ['bulk1', 'bulk2', 'bulk3'].map((n) => [n, 'succeeded']));
    });
});

describe('operations', () => {
    test('can be listed, shown, waited for; an ended one cannot be cancelled', async () => {
        const accepted = await api.expect(202, 'POST', VMS, {json: {name: 'op', backend: 'fake'}});
        assert.equal(accepted.headers.location, `${OPS}/${accepted.json.id}`);
        const ended = (await api.expect(200, 'GET', `${accepted.headers.location}?wait=30`)).json;
        assert.equal(ended.state, 'succeeded');
        await api.refused(409, 'wrong-state', 'POST', `${OPS}/${ended.id}/actions/cancel`);
        const listed = (await api.expect(200, 'GET', `${OPS}?vm=op&state=succeeded`)).json.items;
        assert.ok(listed.some((o) => o.id === ended.id));
        await api.refused(404, 'not-found', 'GET', `${OPS}/${NOBODY}`);
    });
    test('a shutdown in its grace can be cancelled, and says so', async () => {
        await act('op', 'start');
        const asked = await api.call('POST', `${VMS}/op/actions/shutdown`, {json: {timeout_s: 60}});
        assert.equal(asked.status, 202);
        const cancelled = await api.call('POST', `${OPS}/${asked.json.id}/actions/cancel`);
        assert.ok([202, 409].includes(cancelled.status), 'asked, or too late');
        spec.hit.add('cancelOperation'); // a fake guest may shut down faster than anybody can ask
        const ended = (await api.expect(200, 'GET', `${OPS}/${asked.json.id}?wait=60`)).json;
        assert.ok(['cancelled', 'succeeded'].includes(ended.state), ended.state);
        await api.call('POST', `${VMS}/op/actions/stop`, {headers: WAIT});
    });
    test('a failure within the wait is a problem that names the operation', async () => {
        const reply = await api.call('POST', VMS, {headers: WAIT, json: {name: 'huge', backend: 'fake', disks: [{size_bytes: 64 * 2 ** 40, format: 'raw', pool: 'no-such-pool'}]}});
        assert.ok([404, 422, 507].includes(reply.status), reply.body.toString());
        await api.refused(404, 'not-found', 'GET', `${VMS}/huge`);
    });
});

describe('repetition', () => {
    test('of a key gives the same object once', async () => {
        const options = {headers: {'idempotency-key': 'k-1', ...WAIT}, json: {name: 'idem', backend: 'fake'}};
        const first = await api.expect(201, 'POST', VMS, options), second = await api.call('POST', VMS, options);
        assert.equal(second.headers['idempotency-replayed'], 'true');
        assert.ok(second.json.id === first.json.id || second.json.object?.id === first.json.id);
        await api.refused(422, 'idempotency-mismatch', 'POST', VMS, {...options, json: {name: 'other', backend: 'fake'}});
        const replies = await Promise.all(Array.from({length: 8}, () => api.call('POST', `${VMS}/idem/actions/start`, {headers: {'idempotency-key': 'k-2'}})));
        assert.deepEqual([...new Set(replies.map((r) => r.json.id))].length, 1, JSON.stringify(replies.map((r) => r.json)));
    });
    test('does not show a secret twice', async () => {
        const options = {headers: {'idempotency-key': 'k-3'}, json: {name: 'once', role: 'viewer'}};
        assert.match((await api.expect(201, 'POST', TOKENS, options)).json.token, /^vmmd_/);
        const again = await api.expect(201, 'POST', TOKENS, options);
        assert.equal(again.json.token, null);
        assert.ok(again.json.note);
        assert.doesNotMatch((await api.expect(200, 'GET', `${TOKENS}/once`)).body.toString(), /vmmd_/);
        await api.expect(204, 'DELETE', `${TOKENS}/once`);
    });
});

describe('events', () => {
    test('are numbered without gaps and can be listed and awaited', async () => {
        const list = (await api.expect(200, 'GET', `${V1}/events?after=0&wait=0&page_size=1000`)).json;
        assert.ok(list.items.length > 10);
        list.items.forEach((e, i) => assert.equal(e.seq, list.items[0].seq + i));
        const vms = (await api.expect(200, 'GET', `${V1}/events?after=0&types=vm.state`, {headers: {accept: 'application/json'}})).json;
        assert.ok(vms.items.length > 0 && vms.items.every((e) => e.type === 'vm.state'));
        const [next] = await Promise.all([api.expect(200, 'GET', `${V1}/events?after=${list.next_after}&wait=30`), newVm('event')]);
        assert.ok(next.json.items.length > 0);
    });
    test('are streamed from any number on, and an unknown number is told', async () => {
        const [reply, text] = await api.stream(`${V1}/events`, (t) => t.split('\n\n').length > 5, {headers: {'last-event-id': '2'}});
        assert.equal(reply.headers['content-type'], 'text/event-stream');
        const ids = [...text.matchAll(/^id: (\d+)\nevent: /gm)].map((m) => Number(m[1]));
        ids.slice(0, 4).forEach((id, i) => assert.equal(id, 3 + i));
        for (const [, data] of text.slice(0, text.lastIndexOf('\n\n')).matchAll(/^data: (\{"seq".*)$/gm))
            assert.deepEqual(spec.validate(['components', 'schemas', 'Event'], JSON.parse(data)), []);
        await api.stream(`${V1}/events?after=999999999`, (t) => /^event: reset$/m.test(t));
        assert.equal((await api.expect(200, 'GET', `${V1}/events?after=999999999&wait=0`)).json.reset, true);
    });
});

describe('permission', () => {
    before(async () => {
        tokens = {viewer: (await newToken('p-viewer', 'viewer')).token, operator: (await newToken('p-operator', 'operator')).token,
                  gone: (await newToken('p-gone', 'admin')).token, expired: (await newToken('p-expired', 'admin', 1)).token};
        await api.expect(204, 'DELETE', `${TOKENS}/p-gone`);
        await until('the token expires', async () => (await api.call('GET', `${V1}/version`, {token: tokens.expired})).status === 401);
    });
    const roles = rightRoles(), rank = {none: 0, viewer: 1, operator: 2, admin: 3};
    const path = (route) => route.path.replace('{id}', NOBODY);
    const strangers = [['no token', () => null], ['nonsense', () => 'nonsense'], ['another id', () => `vmmd_${NOBODY}_${'0'.repeat(64)}`],
                       ['a revoked one', () => tokens.gone], ['an expired one', () => tokens.expired]];

    for (const [name, token] of strangers)
        test(`with ${name}: 401 on every route that is not public`, async () => {
            for (const route of routes.filter((r) => r.right !== 'public')) {
                const reply = await api.call(route.method, path(route), {token: token(), json: route.method === 'POST' ? {} : undefined});
                assert.equal(reply.status, 401, `${route.method} ${route.path}`);
                assert.match(reply.headers['www-authenticate'], /^Bearer/);
            }
        });
    for (const role of ['viewer', 'operator'])
        test(`of a ${role}: 403 exactly where the table wants more`, async () => {
            for (const route of routes.filter((r) => r.right !== 'public' && r.id !== 'readEvents')) {
                const {status} = await api.call(route.method, path(route), {token: tokens[role], json: ['POST', 'PATCH'].includes(route.method) ? {no_such_member: 1} : undefined});
                assert.equal(status === 403, rank[roles[route.right]] > rank[role], `${route.method} ${route.path} as ${role}: ${status}`);
                assert.notEqual(status, 401);
            }
            await api.expect(200, 'GET', `${V1}/events?wait=0`, {token: tokens[role]});
        });
    test('is asked before the body is read', async () => {
        await api.refused(401, 'unauthenticated', 'POST', VMS, {token: null, body: '{'.repeat(1000)});
        await api.refused(403, 'forbidden', 'POST', VMS, {token: tokens.viewer, body: '{'.repeat(1000)});
    });
});

describe('paths and methods', () => {
    test('every route of the table is served', async () => {
        for (const route of routes.filter((r) => r.id !== 'readEvents' && r.path !== '/ui/{id}')) {
            const reply = await api.send(route.method, route.path.replace('{id}', NOBODY), {json: ['POST', 'PATCH'].includes(route.method) ? {no_such_member: 1} : undefined});
            assert.ok(reply.status !== 405 && !/no such path/.test(reply.json?.detail ?? ''), `${route.method} ${route.path}: ${reply.status}`);
        }
    });
    test('an unknown path is 404, another method 405 with Allow', async () => {
        for (const path of ['/api', '/api/v1', '/api/v2/vms', `${VMS}/x/actions/explode`, `${VMS}//x`, '/ui/../api/routes.c', `${VMS}/%2e%2e`, `${VMS}/a%00b`, '/ui/%2e%2e%2fx'])
            assert.ok([400, 404].includes((await api.send('GET', path)).status), path);
        for (const [method, path] of [['PUT', VMS], ['DELETE', VMS], ['PATCH', `${V1}/host`], ['GET', `${VMS}/x/actions/start`], ['POST', '/healthz']]) {
            const reply = await api.call(method, path, {json: method === 'GET' ? undefined : {}});
            assert.equal(reply.status, 405, `${method} ${path}`);
            assert.ok(reply.headers.allow);
        }
    });
    test('unknown and wrong query parameters are refused', async () => {
        for (const query of ['nonsense=1', 'page_size=0', 'page_size=1001', 'page_size=x', 'page_size=-1', 'page_size=99999999999999999999', 'page_token=%00', 'filter=nonsense', 'page_size=1&page_size=2'])
            assert.ok([400, 422].includes((await api.call('GET', `${VMS}?${query}`)).status), query);
        assert.ok([400, 422].includes((await api.call('GET', `${OPS}/${NOBODY}?wait=61`)).status));
    });
    test('every list takes filter, fields and order, and says what is wrong in them', async () => {
        for (const list of [VMS, OPS, TOKENS, POOLS, DISKS, `${V1}/webhooks`]) {
            const page = (await api.expect(200, 'GET', `${list}?fields=id&order=-created_at,id&filter=${encodeURIComponent('created_at>2020-01-01,id!=x')}`)).json;
            for (const item of page.items)
                assert.deepEqual(Object.keys(item), ['id'], list);
            for (const [query, pointer] of [['filter=id==x,shape==y', '?filter/1'], ['filter=created_at>soon', '?filter/0'], ['filter=id', '?filter/0'],
                ['fields=id,shape', '?fields/1'], ['order=shape', '?order/0'], ['page_token=00', '?page_token']]) {
                const problem = await api.refused(422, 'invalid', 'GET', `${list}?${query.replace('>', '%3E')}`);
                assert.equal((problem.json ?? problem).errors[0].pointer, pointer, `${list}?${query}`);
            }
        }
        await api.expect(200, 'GET', `${V1}/media?fields=name&order=-size_bytes&filter=${encodeURIComponent('size_bytes>0,name~=*.iso')}`);
        await api.refused(422, 'invalid', 'GET', `${V1}/media?filter=id%3D%3Dx`);
    });
});

describe('bad bodies', () => {
    for (const operation of spec.operations.filter((o) => o.bodySchema && !['writeSerial', 'uploadImport'].includes(o.id)))
        test(`of ${operation.id} are refused and create nothing`, async () => {
            const path = operation.path.replace('{id}', operation.id === 'cancelOperation' ? NOBODY : 'op');
            const before = await inventory();
            let n = 0;
            for (const [what, body] of badBodies(spec, operation)) {
                const reply = await api.call(operation.method, path, {body, type: 'application/json'});
                assert.ok(reply.status >= 400 && reply.status < 500, `${operation.id}, ${what}: ${reply.status} ${reply.body.toString().slice(0, 200)}`);
                n++;
            }
            assert.ok(n > 15, `${n} bodies only`);
            assert.equal(await inventory(), before);
        });
    test('hostile texts in every place of a VM are refused or kept as they are', async () => {
        const refused = [{boot: {cmdline: 'a\nb'}}, {boot: {kernel: '/boot/vmlinuz'}}, {boot: {kernel: 'no-such-entry'}}, {disks: [{size_bytes: 1 << 20, pool: '../x'}]},
                         {nics: [{mac: '01:00:5e:00:00:01'}]}, {labels: {'../x': 'y'}}, {labels: {k: 'a\nb'}}, {qemu_args: ['-drive']}, {memory_bytes: (1 << 24) + 1}];
        for (const more of refused) {
            const reply = await api.call('POST', VMS, {headers: WAIT, json: {name: 'hostile', backend: 'fake', ...more}});
            assert.ok(reply.status >= 400 && reply.status < 500, JSON.stringify(more));
        }
        const notes = '"\\\u202e\u0007$(x)\n<b>\ud83d\udc27';
        assert.equal((await newVm('kept', {notes})).notes, notes);
    });
    test('10 MiB are refused without being read', async () => {
        const reply = await api.send('POST', VMS, {body: '['.repeat(10 << 20)}).catch((error) => ({status: 413, closed: error}));
        assert.equal(reply.status, 413);
        await api.expect(200, 'GET', '/healthz');
    });
});

describe('webhooks', () => {
    const HOOKS = `${V1}/webhooks`, spec0 = {name: 'ci', url: 'http://127.0.0.1:9/hook', types: ['pool', 'vm.state']};
    test('are made with a secret that is shown once', async () => {
        assert.equal((await api.expect(200, 'POST', `${HOOKS}?dry_run=true`, {json: spec0})).json.dry_run, true);
        const options = {headers: {'idempotency-key': 'hook-1'}, json: spec0};
        const made = (await api.expect(201, 'POST', HOOKS, options)).json;
        assert.match(made.secret, /^whsec_[0-9a-f]{64}$/);
        assert.deepEqual(made.types, spec0.types);
        const again = (await api.expect(201, 'POST', HOOKS, options)).json;
        assert.deepEqual([again.id, again.secret], [made.id, null]);
        assert.ok(again.note);
        await api.refused(409, 'exists', 'POST', HOOKS, {json: spec0});
        for (const path of [HOOKS, `${HOOKS}/ci`, `${HOOKS}/${made.id}`, `${V1}/events?wait=0&page_size=1000`])
            assert.doesNotMatch((await api.expect(200, 'GET', path)).body.toString(), /whsec_/);
    });
    test('are changed, and their secret renewed', async () => {
        assert.equal((await api.expect(200, 'PATCH', `${HOOKS}/ci`, {json: {enabled: false, types: null}})).json.state, 'disabled');
        assert.match((await api.expect(200, 'PATCH', `${HOOKS}/ci`, {json: {secret: null}})).json.secret, /^whsec_/);
        const renamed = (await api.expect(200, 'PATCH', `${HOOKS}/ci`, {json: {name: 'ci2', secret: 's'.repeat(16)}})).json;
        assert.deepEqual([renamed.name, renamed.secret, renamed.types, renamed.enabled], ['ci2', null, [], false]);
        await api.refused(404, 'not-found', 'GET', `${HOOKS}/ci`);
        assert.ok((await api.expect(200, 'PATCH', `${HOOKS}/ci2?dry_run=true`, {json: {name: 'x'}})).json.dry_run);
        await api.refused(422, 'invalid', 'PATCH', `${HOOKS}/ci2`, {json: {url: null}});
        await api.refused(422, 'invalid', 'PATCH', `${HOOKS}/ci2`, {json: {url: 'ftp://ci/'}});
    });
    test('do not reach this host unless vmmd.conf says so', async () => {
        const outcome = (await api.expect(200, 'POST', `${HOOKS}/ci2/actions/test`)).json;
        assert.equal(outcome.delivered, false);
        assert.match(outcome.error, /loopback.*webhook_allow/);
        assert.deepEqual((await api.expect(200, 'GET', `${HOOKS}/ci2/deliveries`)).json.items, []);
        await api.expect(200, 'DELETE', `${HOOKS}/ci2?dry_run=true`);
        await api.expect(204, 'DELETE', `${HOOKS}/ci2`);
        await api.refused(404, 'not-found', 'POST', `${HOOKS}/ci2/actions/test`);
    });
});

describe('the audit trail', () => {
    test('is not for others than administrators', async () => {
        for (const types of ['audit', 'vm,audit.change'])
            await api.refused(403, 'forbidden', 'GET', `${V1}/events?wait=0&types=${types}`, {token: tokens.operator});
        const seen = (await api.expect(200, 'GET', `${V1}/events?wait=0&page_size=1000`, {token: tokens.operator})).json.items;
        assert.ok(seen.length > 10 && !seen.some((e) => e.type.startsWith('audit')));
        await api.refused(403, 'forbidden', 'GET', `${V1}/audit`, {token: tokens.operator});
    });
    test('is a chain of hashes that a client can check', async () => {
        const first = (await api.expect(200, 'GET', `${V1}/audit?order=seq&page_size=7`)).json;
        const next = (await api.expect(200, 'GET', `${V1}/audit?order=seq&page_size=7&page_token=${first.next_page_token}`)).json;
        let prev = '0'.repeat(64), number = 0;
        const sorted = (value) => Array.isArray(value) ? value.map(sorted) : value && typeof value === 'object'
            ? Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])])) : value;
        for (const {seq, prev: before, hash, ...body} of [...first.items, ...next.items]) {
            assert.equal(before, prev);
            assert.equal(seq, ++number);
            assert.equal(hash, createHash('sha256').update(`${prev}\n${seq}\n${JSON.stringify(sorted(body))}`).digest('hex'));
            prev = hash;
        }
        assert.equal(number, 14);
        const newest = (await api.expect(200, 'GET', `${V1}/audit?filter=result==refused&page_size=1`)).json.items[0];
        assert.equal(newest.code, 'forbidden');
        await api.refused(422, 'invalid', 'GET', `${V1}/audit?order=principal`);
    });
});

describe('afterwards', () => {
    test('what was made is deleted', async () => {
        for (const vm of (await api.expect(200, 'GET', VMS)).json.items) {
            if (vm.run.state !== 'off')
                await act(vm.id, 'stop');
            await api.expect(200, 'DELETE', `${VMS}/${vm.id}`, {headers: WAIT});
        }
        await api.expect(204, 'DELETE', `${POOLS}/one`);
        const listed = (await api.expect(200, 'GET', TOKENS)).json.items;
        for (const token of listed.filter((t) => t.name.startsWith('p-')))
            await api.expect(204, 'DELETE', `${TOKENS}/${token.id}`);
    });
    // Generated: whatever the suite asked for above, every changing operation among it.
    test('every change and every refusal left exactly one audit record, and nothing else did', async () => {
        const records = new Map();
        for (let after = 0, list; !list || list.items.length; after = list.next_after) {
            list = (await api.expect(200, 'GET', `${V1}/events?wait=0&types=audit&page_size=1000&after=${after}`)).json;
            for (const {type, data} of list.items)
                records.set(data.request_id, [...records.get(data.request_id) ?? [], {type, ...data}]);
        }
        const typed = new Set(['writeSerial', 'sendKeys', 'typeText', 'sendMouse', 'uploadImport']); // one a minute
        for (const call of api.book) {
            const operation = spec.find(call.method, call.path.split('?')[0]), found = records.get(call.request) ?? [];
            const changed = !['GET', 'HEAD'].includes(call.method) && call.status < 300 && !call.replayed && !call.path.includes('dry_run=true');
            const what = `${call.method} ${call.path} ${call.status} ${JSON.stringify(found)}`;
            if (call.status === 403 || changed && !typed.has(operation.id)) {
                assert.equal(found.length, 1, what);
                assert.equal(found[0].operation, operation.id, what);
                assert.equal(found[0].type, changed ? 'audit.change' : 'audit.refusal', what);
            } else if (!changed && ['GET', 'HEAD'].includes(call.method)) {
                assert.equal(found.length, 0, what);
            }
            assert.ok(found.length <= 1, what);
        }
        assert.doesNotMatch(JSON.stringify([...records]), /vmmd_[0-9a-f]{8}|whsec_/);
    });
    // A webhook's secret signs what is sent, so the database has it.
    test('no token, password, cookie or code that went by stands in a file, a log or a command line', (t) => {
        if (!daemon.folder)
            return t.skip('the daemon is not the test\'s own');
        api.secrets.set(daemon.token, 'the administrator\'s token');
        api.secrets.set(readFileSync(`${daemon.folder}/key.pem`, 'utf8').split('\n')[1], 'private key');
        const kinds = [...api.secrets.values()];
        for (const kind of ['token of /api/v1/tokens', 'csrf of /api/v1/session', 'cookie', 'password of /api/v1/session', 'secret of /api/v1/webhooks'])
            assert.ok(kinds.includes(kind), kind);
        const {found, seen} = findSecrets(daemon, api.secrets, (path, what) => path.endsWith('/key.pem') && what === 'private key' ||
            /\/vmmd\.db(-wal)?$/.test(path) && what.startsWith('secret of'));
        assert.deepEqual(found, []);
        assert.ok(seen.some((path) => path.endsWith('/log')) && seen.some((path) => path.endsWith('/vmmd.db')) && seen.some((path) => path.endsWith('/environ')));
    });
    test('every operation of the contract was hit', () => {
        const page = existsSync(`${ROOT}web/index.html`) ? [] : ['getUi', 'getUiFile'];
        assert.deepEqual(spec.operations.map((o) => o.id).filter((id) => !spec.hit.has(id) && !page.includes(id)), []);
    });
    test('every error code that was seen is in the contract, and many were', () => {
        assert.deepEqual([...spec.seen].filter((code) => !spec.codes.includes(code)), []);
        assert.ok(spec.seen.size >= 10, [...spec.seen].join(' '));
    });
});
