// Bad bodies, made from a schema: every member missing, of every wrong type, out of range, and what
// strangers send. Each is [what is wrong, text of the body].
const HOSTILE = ['../x', '/etc/passwd', 'a,process=y', '-rf', '', ' ', 'a b', 'a\nb', 'a\u0000b', '\u202ex', '$(reboot)', "'; DROP TABLE vms; --",
                 '%s%n', '<script>', '\ud83d\udc27', '\u00e9'.repeat(2048), '3f2504e0-4f89-41d3-9a0c-0305e82c3301'];
const VALUES = {string: 'x', integer: 7, number: 1.5, boolean: true, object: {}, array: [], null: null};

const types = (schema) => [schema.type ?? []].flat();

// A schema without its reference; of a choice with null, the other one.
function plain(spec, node) {
    const schema = spec.deref(node);
    return schema.anyOf ? spec.deref(schema.anyOf[0]) : schema;
}

// What must be there; of a choice of members, the first.
const required = (schema) => [...schema.required ?? [], ...schema.oneOf?.[0].required ?? []];

export function goodValue(spec, schema) {
    schema = plain(spec, schema);
    if (schema.default !== undefined || schema.enum)
        return schema.default ?? schema.enum[0];
    switch (types(schema)[0]) {
    case 'string':
        return schema.example ?? (schema.format === 'uuid' ? '3f2504e0-4f89-41d3-9a0c-0305e82c3301' : /0-9a-f\]\[0246/.test(schema.pattern ?? '') ? '52:54:00:12:34:56' : 'good');
    case 'integer':
        return Math.max(schema.minimum ?? 0, schema.multipleOf ?? 1);
    case 'boolean':
        return false;
    case 'array':
        return Array.from({length: schema.minItems ?? 0}, () => goodValue(spec, schema.items));
    default:
        return Object.fromEntries(required(schema).map((name) => [name, goodValue(spec, schema.properties[name])]));
    }
}

function* badValues(spec, schema) {
    for (const [type, value] of Object.entries(VALUES))
        if (!types(schema).includes(type) && !(type === 'integer' && types(schema).includes('number')) && !(schema.enum ?? []).includes(value) && type !== 'null')
            yield [`a ${type}`, value];
    if (schema.minimum !== undefined)
        yield ['below the minimum', schema.minimum - 1];
    if (schema.maximum !== undefined)
        yield ['above the maximum', schema.maximum + 1];
    if (schema.multipleOf > 1)
        yield ['not a multiple', schema.minimum + 1];
    if (schema.enum)
        yield ['not in the list', 'no-such-choice'];
    if (types(schema).includes('integer'))
        yield* [['a fraction', 1.5], ['negative', -1]].filter(([, v]) => v < (schema.minimum ?? 0) || !Number.isInteger(v));
    if (types(schema).includes('string') && schema.pattern)
        yield* HOSTILE.filter((t) => !new RegExp(schema.pattern, 'u').test(t) || t.length > schema.maxLength).map((t) => [`'${t.slice(0, 20)}'`, t]);
    if (schema.maxLength !== undefined)
        yield ['too long', 'x'.repeat(schema.maxLength + 1)];
    if (schema.maxItems !== undefined)
        yield ['too many', Array(schema.maxItems + 1).fill(null).map(() => goodValue(spec, schema.items))];
}

// Changes of a good body, one member at a time, nested ones too.
function* changes(spec, schema, good, at = '') {
    schema = plain(spec, schema);
    for (const name of required(schema)) {
        const {[name]: _, ...rest} = good;
        yield [`${at}${name} is missing`, rest];
    }
    yield [`${at} has an unknown member`, {...good, no_such_member: 1}];
    yield [`${at} has __proto__`, JSON.parse(`{"__proto__":{"a":1},${JSON.stringify(good).slice(1)}`.replace(',}', '}'))];
    for (const [name, node] of Object.entries(schema.properties ?? {})) {
        const inner = plain(spec, node);
        for (const [what, value] of badValues(spec, inner))
            yield [`${at}${name} is ${what}`, {...good, [name]: value}];
        if (types(inner).includes('object') && inner.properties)
            for (const [what, value] of changes(spec, inner, goodValue(spec, inner), `${at}${name}.`))
                yield [what, {...good, [name]: value}];
        if (types(inner).includes('array') && inner.items && !types(plain(spec, inner.items)).includes('object'))
            for (const [what, value] of badValues(spec, plain(spec, inner.items)))
                yield [`${at}${name}[] is ${what}`, {...good, [name]: [value]}];
        else if (types(inner).includes('array') && inner.items)
            for (const [what, value] of changes(spec, inner.items, goodValue(spec, inner.items), `${at}${name}[].`))
                yield [what, {...good, [name]: [value]}];
    }
}

function* texts(good) {
    const text = JSON.stringify(good);
    yield ['empty', ''];
    yield ['cut', text.slice(0, -1)];
    yield ['doubled', text + text];
    yield ['a bare word', 'name=x'];
    yield ['a list', `[${text}]`];
    yield ['a text', JSON.stringify(text)];
    yield ['null', 'null'];
    yield ['nested 10 MiB deep', '['.repeat(900 * 1024)];
    yield ['nested deeper than allowed', `{"a":${'['.repeat(64)}${']'.repeat(64)}}`];
    yield ['a huge number', '{"name":"x","vcpus":1e999}'];
    yield ['a number of 400 digits', `{"name":"x","vcpus":${'9'.repeat(400)}}`];
    yield ['NaN', '{"name":NaN}'];
    yield ['a duplicate member', text === '{}' ? '{"a":1,"a":1}' : `${text.slice(0, -1)},${text.slice(1)}`];
    yield ['not UTF-8', Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xff, 0xc0, 0xaf]), Buffer.from('"}')])];
    yield ['UTF-16', Buffer.from(text, 'utf16le')];
    yield ['a NUL', '{"name":"a\\u0000b"}'];
    yield ['a lone surrogate', '{"name":"\\ud800"}'];
    yield ['50,000 members', `{${Array.from({length: 50000}, (_, i) => `"m${i}":1`).join(',')}}`];
}

export function* badBodies(spec, operation) {
    const schema = spec.deref(operation.bodySchema);
    const good = goodValue(spec, schema);
    for (const [what, body] of texts(good))
        if (!(what === 'empty' && !operation.body.required))
            yield [what, body];
    for (const [what, value] of changes(spec, schema, good))
        yield [what, JSON.stringify(value)];
}
