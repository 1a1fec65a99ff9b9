// The contract: openapi.yaml as data, with a validator for every reply it describes. It keeps book of
// the operations that were hit and of the error codes that were seen.
import {readFileSync} from 'node:fs';
import Ajv from 'ajv/dist/2020.js';
import YAML from 'yaml';

export const ROOT = new URL('../../../', import.meta.url).pathname;
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];
const escape = (part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));

export class Spec {
    constructor(text = readFileSync(`${ROOT}openapi.yaml`, 'utf8')) {
        this.doc = YAML.parse(text, {version: '1.2'});
        this.ajv = new Ajv({strict: false, allErrors: true});
        this.ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
        this.ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
        this.ajv.addFormat('uri', /^[a-z]+:\S+$/);
        this.ajv.addSchema(this.doc, 'api');
        this.operations = Object.entries(this.doc.paths).flatMap(([path, item]) =>
            METHODS.filter((m) => item[m]).map((m) => this.#operation(path, item, m)));
        this.codes = this.doc.components.schemas.ErrorCode.enum;
        this.hit = new Set();
        this.seen = new Set();
    }

    #operation(path, item, method) {
        const op = item[method];
        const pattern = new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`);
        const parameters = [...(item.parameters ?? []), ...(op.parameters ?? [])].map((p) => this.deref(p));
        const body = op.requestBody && this.deref(op.requestBody);
        return {
            id: op.operationId, method: method.toUpperCase(), path, pattern, parameters, right: op['x-right'],
            pointer: ['paths', path, method], responses: op.responses, body,
            bodySchema: Object.values(body?.content ?? {})[0]?.schema,
        };
    }

    deref(node) {
        while (node?.$ref)
            node = node.$ref.split('/').slice(1).reduce((at, key) => at[key], this.doc);
        return node;
    }

    find(method, path) {
        const wanted = method === 'HEAD' ? 'GET' : method;
        const fits = this.operations.filter((o) => o.method === wanted && o.pattern.test(path));
        return fits.find((o) => o.path === path) ?? fits[0]; // a literal path wins
    }

    // [response object, pointer to it] for a status; undefined when the contract does not have it.
    response(op, status) {
        const key = [String(status), `${String(status)[0]}XX`, 'default'].find((k) => k in op.responses);
        if (!key)
            return undefined;
        const node = op.responses[key];
        const pointer = node.$ref ? node.$ref.split('/').slice(1) : [...op.pointer, 'responses', key];
        return [this.deref(node), pointer];
    }

    // What is wrong with a reply, as a list of sentences.
    check(method, path, reply) {
        const op = this.find(method, path.split('?')[0]);
        if (reply.status === 404 && !op || reply.status === 405)
            return this.#problem(reply);
        if (!op)
            return [`${method} ${path} is not in openapi.yaml but answered ${reply.status}`];
        if (reply.status < 400)
            this.hit.add(op.id);
        const found = this.response(op, reply.status);
        if (!found)
            return [`${op.id} answered ${reply.status}, which the contract does not have`];
        const wrong = [...this.#headers(op, found[0], reply), ...this.#content(op, found, method, reply)];
        return /[?&]fields=/.test(path) ? wrong.filter((w) => !w.includes('must have required property')) : wrong;
    }

    #headers(op, response, reply) {
        const wrong = [];
        for (const [name, node] of Object.entries(response.headers ?? {})) {
            const header = this.deref(node), found = reply.headers[name.toLowerCase()], value = Array.isArray(found) ? found.join(', ') : found;
            if (value === undefined) {
                if (header.required && !(op.id === 'editVm' && reply.json?.dry_run))
                    wrong.push(`${op.id} ${reply.status}: the header ${name} is missing`);
                continue;
            }
            const asked = header.schema?.type === 'integer' ? Number(value) : value;
            if (header.schema && !this.ajv.validate(header.schema, asked))
                wrong.push(`${op.id} ${reply.status}: the header ${name} is '${value}'`);
        }
        return wrong;
    }

    #content(op, [response, pointer], method, reply) {
        const type = (reply.headers['content-type'] ?? '').split(';')[0];
        if (!response.content)
            return reply.body.length ? [`${op.id} ${reply.status}: a body where none is expected`] : [];
        if (!response.content[type])
            return [`${op.id} ${reply.status}: content type '${type}' is not in the contract`];
        if (method === 'HEAD')
            return reply.body.length ? [`HEAD of ${op.id} has a body`] : [];
        if (!type.endsWith('json'))
            return [];
        if (reply.json === undefined)
            return [`${op.id} ${reply.status}: the body is not JSON: ${reply.body.toString().slice(0, 80)}`];
        const errors = this.validate([...pointer, 'content', type, 'schema'], reply.json);
        return [...errors.map((e) => `${op.id} ${reply.status}: ${e}`), ...(reply.status >= 400 ? this.#problem(reply) : [])];
    }

    #problem(reply) {
        const problem = reply.json;
        if (reply.headers['content-type']?.split(';')[0] !== 'application/problem+json' || !problem)
            return reply.body.length || reply.method !== 'HEAD' ? [`${reply.status} is not a problem document`] : [];
        this.seen.add(problem.code);
        const wrong = this.validate(['components', 'schemas', 'Problem'], problem);
        if (problem.status !== reply.status)
            wrong.push(`the problem says status ${problem.status}, the reply ${reply.status}`);
        if (!problem.type?.endsWith(`/${problem.code}`))
            wrong.push(`type ${problem.type} and code ${problem.code} differ`);
        return wrong;
    }

    validate(pointer, value) {
        const ref = `api#/${pointer.map(escape).join('/')}`;
        const validator = this.ajv.getSchema(ref) ?? this.ajv.compile({$ref: ref});
        return validator(value) ? [] : validator.errors.map((e) => `${e.instancePath || '/'} ${e.message} ${JSON.stringify(e.params)}`);
    }
}
