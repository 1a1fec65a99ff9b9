// The dialog that creates a VM. The daemon is the one who checks: what it refuses is shown at the
// field its JSON pointer names.

import {operationEnd, Problem, ROOT, send, session, Unreachable, vmAct, vmPath} from './api.js';
import {tellFailure} from './actions.js';
import {el, part, setHidden, setText} from './dom.js';
import {complain} from './notes.js';
import {shellWord} from './words.js';

const MIB = 2 ** 20, GIB = 2 ** 30;

// The field that shows what is said about a pointer; the longest prefix wins.
const FIELDS = {'/name': 'name', '/vcpus': 'vcpus', '/memory_bytes': 'memory', '/disks': 'disk', '/boot': 'kernel', '/boot/cmdline': 'cmdline'};

function fieldOf(pointer) {
    const path = Object.keys(FIELDS).filter((p) => pointer === p || pointer.startsWith(`${p}/`)).sort((a, b) => b.length - a.length)[0];
    return path ? FIELDS[path] : null;
}

// A number as it was typed; what is none goes to the daemon as text and is refused there with a sentence.
function number(field, factor = 1) {
    const text = part(`create-${field}`).value.trim();
    return /^\d+(\.\d+)?$/.test(text) ? Math.round(Number(text) * factor) : text;
}

function specOfForm() {
    const spec = {name: part('create-name').value.trim(), vcpus: number('vcpus'), memory_bytes: number('memory', MIB)};
    const disk = number('disk', GIB);
    const kernel = part('create-kernel').value, cmdline = part('create-cmdline').value.trim();
    if (disk !== 0 && disk !== '')
        spec.disks = [{size_bytes: typeof disk === 'number' ? Math.round(disk / 512) * 512 : disk}];
    if (kernel)
        spec.boot = {kernel, ...(cmdline && {cmdline})};
    const [key, value] = session.ownLabel?.split(/=(.*)/s) ?? [];
    if (key)
        spec.labels = {[key]: value};
    return spec;
}

function curlText(spec) {
    return ['curl -sS --cacert "$VMMD_CACERT" -H "Authorization: Bearer $VMMD_TOKEN" \\',
        "  -H 'Content-Type: application/json' -H 'Prefer: wait=30' \\",
        `  -d ${shellWord(JSON.stringify(spec))} \\`,
        `  ${shellWord(`${location.origin}${ROOT}/vms`)}`].join('\n');
}

export class CreateDialog {
    #dialog = part('create');
    #key = {text: '', key: ''};
    #busy = false;

    constructor(store) {
        this.store = store;
        part('create-form').addEventListener('submit', (event) => {
            event.preventDefault();
            this.#submit();
        });
        part('create-form').addEventListener('input', () => this.#drawCurl());
        part('create-cancel').addEventListener('click', () => this.#dialog.close());
    }

    open() {
        const select = part('create-kernel');
        select.replaceChildren(el('option', {value: ''}, 'the disk'), ...(this.store.host?.boot_entries ?? []).map((name) => el('option', {value: name}, `kernel “${name}”`)));
        part('create-form').reset();
        this.#clear();
        this.#drawCurl();
        this.#dialog.showModal();
        part('create-name').focus();
    }

    #clear() {
        for (const field of new Set(Object.values(FIELDS))) {
            part(`create-${field}`).removeAttribute('aria-invalid');
            setText(part(`create-${field}-error`), '');
        }
        setText(part('create-error'), '');
    }

    #drawCurl() {
        setHidden(part('create-cmdline-row'), !part('create-kernel').value);
        setText(part('create-curl'), curlText(specOfForm()));
    }

    // The same form sent again after a broken connection is the same request.
    #idempotencyKey(spec) {
        const text = JSON.stringify(spec);
        if (this.#key.text !== text)
            this.#key = {text, key: crypto.randomUUID()};
        return this.#key.key;
    }

    async #submit() {
        if (this.#busy)
            return;
        const spec = specOfForm();
        this.#clear();
        this.#setBusy(true);
        try {
            const response = await send('POST', '/vms', {json: spec, headers: {'Idempotency-Key': this.#idempotencyKey(spec)}});
            const operation = await response.json();
            this.store.refresh('operations', operation.id);
            await this.#finish(spec.name, operation.id);
        } catch (error) {
            this.#show(error);
        }
        this.#setBusy(false);
    }

    async #finish(name, id) {
        const start = part('create-start').checked;
        const {state, error, object} = await operationEnd(id);
        if (state !== 'succeeded') {
            this.#key.text = ''; // what failed may be tried again
            throw Object.assign(new Error(error?.detail ?? `Creating it was ${state}.`), {errors: error?.pointer ? [{pointer: error.pointer, detail: error.detail}] : []});
        }
        this.#dialog.close();
        this.#key.text = '';
        location.hash = `#/vm/${object?.id ?? (await (await send('GET', vmPath(name))).json()).id}`;
        if (start)
            vmAct(object?.id ?? name, 'start').then((operation) => tellFailure(operation.id, `Start ${name}`), (why) => complain(`Start ${name}`, why));
    }

    #setBusy(busy) {
        this.#busy = busy;
        part('create-submit').setAttribute('aria-disabled', String(busy));
        setText(part('create-submit'), busy ? 'Creating…' : 'Create');
    }

    #show(error) {
        const rest = [];
        let first = null;
        for (const {pointer, detail} of error.errors ?? []) {
            const field = fieldOf(pointer);
            if (!field) {
                rest.push(`${pointer}: ${detail}`);
                continue;
            }
            part(`create-${field}`).setAttribute('aria-invalid', 'true');
            setText(part(`create-${field}-error`), detail);
            first ??= part(`create-${field}`);
        }
        if (!first && !rest.length)
            rest.push(error instanceof Problem || error instanceof Unreachable ? error.message : String(error.message ?? error));
        setText(part('create-error'), rest.join(' '));
        first?.focus();
    }
}
