// GET /metrics of a real daemon: strict OpenMetrics, the same metrics as docs/metrics.md, true numbers.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {after, before, describe, test} from 'node:test';
import {Client} from './lib/client.mjs';
import {startDaemon} from './lib/daemon.mjs';
import {parseOpenMetrics} from './lib/openmetrics.mjs';
import {ROOT, Spec} from './lib/spec.mjs';

const V1 = '/api/v1', VMS = `${V1}/vms`;
let daemon, api;

before(() => {
    daemon = startDaemon();
    api = new Client(daemon, new Spec());
});
after(() => {
    api.close();
    assert.equal(daemon.stop(), 0);
});

const scrape = async () => parseOpenMetrics((await api.expect(200, 'GET', '/metrics')).body.toString());
const value = (families, name, suffix, labels = {}) =>
    families.get(name)?.samples.find((s) => s.suffix === suffix && Object.entries(labels).every(([k, v]) => s.labels[k] === v))?.value;

describe('the strict reader', () => {
    const good = '# TYPE a counter\n# HELP a Help.\na_total{x="1\\n\\"\\\\"} 5\n# EOF\n';
    test('reads what is right', () => assert.equal(parseOpenMetrics(good).get('a').samples[0].labels.x, '1\n"\\'));
    const bad = {
        'no end': good.replace('# EOF\n', ''), 'an empty line': good.replace('# EOF', '\n# EOF'), 'a sample twice': good.replace('# EOF', 'a_total{x="1\\n\\"\\\\"} 6\n# EOF'),
        'a counter without _total': good.replace('a_total', 'a'), 'a bare newline': good.replace('\\n', '\n'), 'no value': good.replace(' 5', ' '),
        'a wrong unit': good.replace('# HELP', '# UNIT a seconds\n# HELP'), 'a foreign sample': good.replace('# EOF', 'b 1\n# EOF'),
        'a family in two parts': good.replace('# EOF', '# TYPE b gauge\n# HELP b B.\nb 1\n# TYPE a counter\n# EOF'), 'two spaces': good.replace(' 5', '  5'),
    };
    for (const [what, text] of Object.entries(bad))
        test(`refuses ${what}`, () => assert.throws(() => parseOpenMetrics(text)));
});

describe('a scrape', () => {
    test('needs a token, and the role viewer is enough', async () => {
        await api.refused(401, 'unauthenticated', 'GET', '/metrics', {token: null});
        const {token} = (await api.expect(201, 'POST', `${V1}/tokens`, {json: {name: 'scraper', role: 'viewer'}})).json;
        const reply = await api.expect(200, 'GET', '/metrics', {token});
        assert.equal(reply.headers['content-type'], 'application/openmetrics-text; version=1.0.0; charset=utf-8');
        parseOpenMetrics(reply.body.toString());
    });
    test('tells of a VM and its operations', async () => {
        const name = 'metered', headers = {Prefer: 'wait=60'};
        await api.expect(201, 'POST', VMS, {headers, json: {name, backend: 'fake', vcpus: 2, memory_bytes: 1 << 28}});
        await api.expect(200, 'POST', `${VMS}/${name}/actions/start`, {headers});
        const families = await scrape();
        assert.equal(value(families, 'vmmd_vm_state', '', {name, state: 'running'}), 1);
        assert.equal(value(families, 'vmmd_vms', '', {state: 'running'}), 1);
        assert.equal(value(families, 'vmmd_vm_memory_bytes', '', {name}), 1 << 28);
        assert.equal(value(families, 'vmmd_vm_vcpus', '', {name}), 2);
        assert.equal(value(families, 'vmmd_operations', '_total', {kind: 'vm.start', state: 'succeeded'}), 1);
        assert.equal(value(families, 'vmmd_operation_duration_seconds', '_count', {kind: 'vm.create'}), 1);
        assert.ok(value(families, 'vmmd_store_commits', '_total') >= 4);
        assert.ok(value(families, 'vmmd_store_flush_duration_seconds', '_count') >= 2);
        assert.ok(value(families, 'vmmd_worker_start_duration_seconds', '_count') >= 0);
        assert.ok(value(families, 'vmmd_events_newest', '') >= 4);
    });
    test('counts requests by route, method and class', async () => {
        const labels = {route: `${VMS}/{id}`, method: 'GET', status: '4xx'};
        const before = value(await scrape(), 'vmmd_http_request_duration_seconds', '_count', labels) ?? 0;
        for (let i = 0; i < 3; i++)
            await api.refused(404, 'not-found', 'GET', `${VMS}/nobody-${i}`);
        assert.equal(value(await scrape(), 'vmmd_http_request_duration_seconds', '_count', labels), before + 3);
    });
    test('tells of the process', async () => {
        const families = await scrape();
        assert.ok(value(families, 'process_resident_memory_bytes', '') > 1 << 20);
        assert.ok(value(families, 'process_open_fds', '') > 8);
        assert.ok(Math.abs(value(families, 'process_start_time_seconds', '') * 1000 - Date.now()) < 600000);
        assert.ok(value(families, 'vmmd_http_connections', '', {door: 'tls'}) >= 1);
    });
    test('has the metrics of docs/metrics.md and no others', async () => {
        const documented = [...readFileSync(`${ROOT}docs/metrics.md`, 'utf8').matchAll(/^\| `((?:vmmd|process)_\w+)/gm)].map((m) => m[1]);
        const family = (name) => name.replace(/_(total|info)$/, '');
        const needQemu = ['vmmd_vm_cpu_seconds', 'vmmd_vm_resident_memory_bytes', 'vmmd_vm_uptime_seconds'];
        assert.deepEqual(documented.map(family).sort(), [...(await scrape()).keys()].sort());
        assert.ok(needQemu.every((name) => documented.map(family).includes(name)));
    });
    test('the dashboard and the alerts use only metrics that exist', async () => {
        const families = await scrape();
        const known = new Set([...families.values()].flatMap((f) => [f.name, `${f.name}_total`, `${f.name}_info`, `${f.name}_bucket`, `${f.name}_count`, `${f.name}_sum`]));
        for (const file of ['packaging/metrics/grafana.json', 'packaging/metrics/alerts.yml']) {
            const used = new Set(readFileSync(`${ROOT}${file}`, 'utf8').match(/\b(?:vmmd|process)_[a-z_]+[a-z]\b/g));
            assert.ok(used.size > 3, file);
            assert.deepEqual([...used].filter((name) => !known.has(name)), [], file);
        }
    });
});
