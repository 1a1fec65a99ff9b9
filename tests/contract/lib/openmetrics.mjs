// A strict reader of OpenMetrics 1.0 text: throws on whatever the specification does not allow.
const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*';
const SUFFIXES = {gauge: [''], counter: ['_total', '_created'], info: ['_info'],
                  histogram: ['_bucket', '_count', '_sum', '_created'], unknown: ['']};

// {a="b",…} -> {a: 'b'}
function readLabels(text, line) {
    const labels = {};
    let rest = text;
    while (rest) {
        const m = rest.match(new RegExp(`^(${LABEL})="((?:[^"\\\\\\n]|\\\\[\\\\"n])*)"(,|$)`));
        if (!m || (m[3] && !rest.slice(m[0].length)))
            throw new Error(`labels: ${line}`);
        if (m[1] in labels)
            throw new Error(`the label ${m[1]} comes twice: ${line}`);
        labels[m[1]] = m[2].replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
        rest = rest.slice(m[0].length);
    }
    return labels;
}

function readValue(text, line) {
    if (!/^(NaN|[+-]?Inf|-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)$/.test(text))
        throw new Error(`value: ${line}`);
    return text === '+Inf' ? Infinity : Number(text);
}

function beginFamily(families, keyword, name, text, line, current) {
    let family = current?.name === name ? current : undefined;
    if (!family) {
        if (families.has(name))
            throw new Error(`the family ${name} is interrupted: ${line}`);
        family = {name, type: undefined, help: undefined, unit: '', samples: []};
        families.set(name, family);
    }
    if (family.samples.length || family[keyword.toLowerCase()])
        throw new Error(`a comment twice or after its samples: ${line}`);
    if (keyword === 'TYPE' && !(text in SUFFIXES))
        throw new Error(`type: ${line}`);
    if (keyword === 'UNIT' && !name.endsWith(`_${text}`))
        throw new Error(`the name does not end with its unit: ${line}`);
    family[keyword.toLowerCase()] = text;
    return family;
}

function addSample(family, line, seen) {
    const m = line.match(new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`));
    if (!m)
        throw new Error(`sample: ${line}`);
    const suffix = m[1].startsWith(family?.name ?? '\n') ? m[1].slice(family.name.length) : undefined;
    if (!SUFFIXES[family?.type ?? 'unknown'].includes(suffix))
        throw new Error(`a sample outside its family: ${line}`);
    const sample = {suffix, labels: readLabels(m[2] ?? '', line), value: readValue(m[3], line)};
    const key = `${m[1]}${JSON.stringify(Object.entries(sample.labels).sort())}`;
    if (seen.has(key))
        throw new Error(`a sample twice: ${line}`);
    seen.add(key);
    if (suffix === '_total' && !(sample.value >= 0))
        throw new Error(`a counter below 0: ${line}`);
    family.samples.push(sample);
}

// Buckets ascend, end with +Inf, and agree with the count.
function checkHistogram(family) {
    const series = new Map();
    for (const {suffix, labels, value} of family.samples) {
        const {le, ...rest} = labels, key = JSON.stringify(rest);
        const one = series.get(key) ?? {buckets: []};
        series.set(key, one);
        if (suffix === '_bucket') {
            if (!/^(\+Inf|\d+\.\d+)$/.test(le))
                throw new Error(`${family.name}: le="${le}"`);
            one.buckets.push([le === '+Inf' ? Infinity : Number(le), value]);
        } else {
            one[suffix] = value;
        }
    }
    for (const [key, {buckets, _count, _sum}] of series) {
        const ascending = buckets.every(([le, n], i) => !i || (le > buckets[i - 1][0] && n >= buckets[i - 1][1]));
        if (!ascending || buckets.at(-1)?.[0] !== Infinity || buckets.at(-1)[1] !== _count || !(_sum >= 0))
            throw new Error(`the histogram ${family.name}${key} does not add up`);
    }
}

// The text -> Map of families by name.
export function parseOpenMetrics(text) {
    if (!text.endsWith('\n# EOF\n'))
        throw new Error('it does not end with # EOF');
    const families = new Map(), seen = new Set();
    let family;
    for (const line of text.slice(0, -'# EOF\n'.length).split('\n').slice(0, -1)) {
        const comment = line.match(new RegExp(`^# (TYPE|UNIT|HELP) (${NAME}) (.*)$`));
        if (comment)
            family = beginFamily(families, comment[1], comment[2], comment[3], line, family);
        else
            addSample(family, line, seen);
    }
    for (const one of families.values()) {
        if (!one.type || !one.help)
            throw new Error(`${one.name} has no type or no help`);
        if (one.type === 'histogram')
            checkHistogram(one);
    }
    return families;
}
