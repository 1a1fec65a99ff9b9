// The field tables of a VM's configuration (core/model/vm.c) against openapi.yaml, both ways: members,
// types, limits, defaults and flags. The tables come from unit/model_docs, as JSON.
import assert from 'node:assert/strict';
import {execFileSync} from 'node:child_process';
import {describe, test} from 'node:test';
import {ROOT, Spec} from './lib/spec.mjs';

const bin = process.env.VMMD_BIN ?? `${ROOT}build/dev`;
const tables = JSON.parse(execFileSync(`${bin}/tests/test_unit_model_docs`, ['--json'], {env: {...process.env, ASAN_OPTIONS: 'detect_leaks=0'}}));
const spec = new Spec();
const typeOf = (schema) => [schema.type].flat().filter((t) => t !== 'null')[0];

// What the contract says of a member, in the words of the tables. A $ref may have members beside it.
function described(node) {
    const schema = {...spec.deref(node), ...node};
    return {schema, flags: {
        read_only: Boolean(schema.readOnly), create_only: Boolean(schema['x-create-only']),
        next_start: Boolean(schema['x-next-start']), by_profile: Boolean(schema['x-by-profile'])}};
}

const TYPES = {boolean: 'boolean', integer: 'integer', text: 'string', word: 'string', uuid: 'string', labels: 'object', object: 'object', 'list of objects': 'array'};

function compareLimits(where, field, schema) {
    if (field.type === 'integer')
        assert.deepEqual([schema.minimum ?? 0, schema.maximum], [field.min, field.max], `${where}: limits`);
    if (field.type === 'text')
        assert.deepEqual([schema.minLength ?? 0, schema.maxLength], [field.min, field.max], `${where}: length`);
    if (field.type === 'list of objects')
        assert.equal(schema.maxItems, field.max, `${where}: elements`);
    if (field.type === 'word')
        assert.deepEqual(schema.enum, field.names, `${where}: words`);
    if (field.type === 'uuid')
        assert.equal(schema.format, 'uuid', where);
}

function compareMember(where, field, node) {
    const {schema, flags} = described(node);
    assert.equal(typeOf(schema), TYPES[field.type], `${where}: type`);
    compareLimits(where, field, schema);
    for (const [flag, value] of Object.entries(flags))
        if (!(flag === 'by_profile' && field.type === 'object')) // its members have the mark
            assert.equal(value, field[flag], `${where}: ${flag}`);
    assert.deepEqual(schema.default, field.fallback, `${where}: default`);
    if (field.of)
        compareModel(where, field.of, field.type === 'object' ? schema : spec.deref(schema.items));
}

function compareModel(where, model, schema) {
    assert.deepEqual(Object.keys(model.members).sort(), Object.keys(schema.properties).sort(), `${where}: members`);
    const required = Object.entries(model.members).filter(([, f]) => f.required).map(([name]) => name);
    assert.deepEqual((schema.required ?? []).toSorted?.() ?? [...(schema.required ?? [])].sort(), required.sort(), `${where}: required`);
    for (const [name, field] of Object.entries(model.members))
        compareMember(`${where}.${name}`, field, schema.properties[name]);
}

describe('the configuration of a VM', () => {
    test('is in the contract what it is in the tables', () => compareModel('VmSpec', tables, spec.doc.components.schemas.VmSpec));
    test('can be changed as far as the tables allow', () => {
        const may = Object.entries(tables.members).filter(([, f]) => !f.read_only && !f.create_only).map(([name]) => name);
        assert.deepEqual(Object.keys(spec.doc.components.schemas.VmPatch.properties).sort(), may.sort());
    });
    test('can be all of that over a template or a copy, and in a template, but for what is one VM\'s alone', () => {
        const names = (schema) => Object.keys(spec.doc.components.schemas[schema].properties).sort();
        assert.deepEqual(names('VmCreate'), [...Object.keys(tables.members), 'copy_of', 'start', 'template'].sort());
        assert.deepEqual(names('TemplateVm'), Object.entries(tables.members).filter(([n, f]) => !f.read_only && n !== 'name').map(([n]) => n).sort());
    });
    test('is shown whole', () => {
        const shown = Object.keys(spec.doc.components.schemas.Vm.properties);
        assert.deepEqual(Object.keys(tables.members).filter((name) => !shown.includes(name)), []);
    });
});
