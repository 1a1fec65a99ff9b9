// The snapshots of the VM on show, as a tree: a snapshot lies below the one it was taken on top of.
//
// The list is fetched whenever the VM was (an operation of it has begun or ended, and a revert moves
// "you are here"), when an event names a snapshot, and when a VM appears or goes (it may be a clone). Answers that come after another one was asked for are
// dropped.

import {tellFailure} from './actions.js';
import {getAll, operationEnd, send, snapshotPath, vmPath} from './api.js';
import {ask} from './ask.js';
import {arrange, el, isDisabled, part, setDisabled, setHidden, setText} from './dom.js';
import {sizeText, spanText} from './words.js';

const HELD = 'Another operation holds the VM.';
const VERBS = {
    snapshot: 'taken while the VM is off, running, paused or crashed',
    revert: 'not possible while the VM starts or stops',
    'delete-snapshot': 'possible while the VM is off, running, paused or crashed',
    clone: 'possible while the VM is off, running, paused or crashed',
};

const key = () => ({'Idempotency-Key': crypto.randomUUID()});
const change = async (method, path, json, headers = {}) => (await send(method, path, {json, headers: {...key(), ...headers}})).json();

// What a dry run found, for people.
function planWords({plan}, lost) {
    const says = [];
    if (plan.bytes)
        says.push(`${sizeText(plan.bytes)} have to be copied, about ${spanText(Math.max(1, plan.estimate_s))}.`);
    if (lost && plan.lost_bytes)
        says.push(`${sizeText(plan.lost_bytes)} that were written since the last snapshot are gone then, unless they are kept in one.`);
    if (plan.freed_bytes)
        says.push(`${sizeText(plan.freed_bytes)} become free.`);
    if (plan.kept_for)
        says.push(`Its files stay as long as clones lie on them: ${plan.kept_for}.`);
    return {says, blockers: plan.blockers.map((blocker) => blocker.detail)};
}

// Depth first, each with its depth; one whose parent is unknown stands at the root.
export function treeOf(list) {
    const below = new Map(list.map((s) => [s.id, []]));
    for (const s of list)
        below.get(s.parent)?.push(s);
    const known = new Set(list.map((s) => s.id));
    const roots = list.filter((s) => !known.has(s.parent));
    const rows = [];
    const walk = (level, nodes) => nodes.forEach((snapshot) => {
        rows.push({snapshot, level});
        walk(level + 1, below.get(snapshot.id));
    });
    walk(1, roots);
    return rows;
}

const MEMORY = {streaming: 'memory on its way to the disk', lost: 'its memory was lost'};

function memoryText({consistency, memory}) {
    if (memory && MEMORY[memory.state])
        return MEMORY[memory.state];
    return consistency === 'running' ? `with memory, ${sizeText(memory.held_bytes)}` : '';
}

class Row {
    #snapshot = null;
    #name = el('span', {class: 'vm-name'});
    #here = el('span', {class: 'label here'}, 'you are here');
    #facts = el('span', {class: 'dim'});
    #notes = el('span', {class: 'dim notes-text'});

    constructor(view) {
        const button = (verb, label, f, danger = '') =>
            el('button', {type: 'button', class: `small ${danger}`, 'data-verb': verb, 'data-right': verb === 'clone' ? 'vm-create' : 'snapshot', onclick: (event) => isDisabled(event.currentTarget) || f(this.#snapshot)}, label);
        this.buttons = [
            button('revert', 'Revert…', (s) => view.revert(s)),
            button('clone', 'Clone…', (s) => view.clone(s)),
            button('', 'Rename…', (s) => view.rename(s)),
            button('delete-snapshot', 'Delete…', (s) => view.remove(s), 'danger'),
        ];
        this.node = el('li', {}, el('div', {class: 'snapshot'}, el('p', {}, this.#name, ' ', this.#here, ' ', this.#facts), this.#notes),
            el('div', {class: 'actions', role: 'group'}, ...this.buttons));
    }

    update({snapshot, level}, vm) {
        this.#snapshot = snapshot;
        this.node.dataset.level = Math.min(level, 12);
        this.node.setAttribute('aria-level', level);
        setText(this.#name, snapshot.name);
        setHidden(this.#here, !snapshot.current);
        setText(this.#facts, [new Date(snapshot.created_at).toLocaleString(), sizeText(snapshot.file_bytes), memoryText(snapshot),
            snapshot.clones ? `${snapshot.clones} ${snapshot.clones === 1 ? 'clone' : 'clones'}` : '']
            .filter(Boolean).join(' · '));
        setText(this.#notes, snapshot.notes);
        for (const button of this.buttons) {
            button.setAttribute('aria-label', `${button.textContent.replace('…', '')} ${snapshot.name}`);
            allow(button, vm);
        }
    }
}

// A button whose verb the daemon does not offer now says why.
function allow(button, vm) {
    const verb = button.dataset.verb;
    const offered = !verb || vm.actions.includes(verb);
    setDisabled(button, !offered);
    button.title = offered ? '' : vm.job ? HELD : VERBS[verb] ?? '';
}

export class Snapshots {
    #vm = null;
    #list = [];
    #rows = new Map();
    #asked = 0;

    constructor(store) {
        this.store = store;
        this.take = part('snapshot-take');
        this.take.addEventListener('click', () => isDisabled(this.take) || this.#take());
        store.addEventListener('snapshots', () => this.#vm && this.#load());
        store.addEventListener('vm-changed', ({detail: {vm, was}}) => this.#vm && !(vm && was) && this.#load()); // maybe a clone
    }

    show(vm) {
        const fetched = vm !== this.#vm;
        this.#vm = vm;
        if (fetched)
            this.#load();
        this.#draw();
    }

    hide() {
        this.#vm = null;
        this.#list = [];
        this.#rows.clear();
        part('snapshot-list').replaceChildren();
    }

    async #load() {
        const turn = ++this.#asked;
        try {
            const list = await getAll(vmPath(this.#vm.id, '/snapshots'));
            if (turn !== this.#asked || !this.#vm)
                return;
            this.#list = list.sort((a, b) => a.created_at.localeCompare(b.created_at));
            this.#draw();
        } catch {
            // a daemon that is away is told elsewhere; the next event asks again
        }
    }

    #draw() {
        const rows = treeOf(this.#list);
        for (const id of this.#rows.keys())
            if (!this.#list.some((s) => s.id === id))
                this.#rows.delete(id);
        const nodes = rows.map((row) => {
            if (!this.#rows.has(row.snapshot.id))
                this.#rows.set(row.snapshot.id, new Row(this));
            const kept = this.#rows.get(row.snapshot.id);
            kept.update(row, this.#vm);
            return kept.node;
        });
        arrange(part('snapshot-list'), nodes);
        setHidden(part('snapshot-none'), nodes.length > 0);
        allow(this.take, this.#vm);
    }

    // ---- what can be done ----
    #follow(operation, what) {
        this.store.refresh('operations', operation.id);
        tellFailure(operation.id, what);
    }

    // How a running VM's memory could be kept now: what the dialog asks, and what is asked for then.
    async #memoryField(id) {
        const usual = {label: 'With its memory, if that can be: going back goes on at that instant', consistency: 'auto', value: true};
        try {
            const {plan} = await change('POST', vmPath(id, '/snapshots?dry_run=true'), {name: `plan-${crypto.randomUUID()}`, consistency: 'running'});
            if (plan.way !== 'still')
                return usual;
            const stands = spanText(Math.max(1, Math.ceil(plan.pause_estimate_ms / 1000)));
            return {label: `With its memory: the VM stands still meanwhile, about ${stands}`, consistency: 'running', value: false};
        } catch {
            return usual;
        }
    }

    async #take() {
        const {id, name, run} = this.#vm;
        const lives = run.state === 'running' || run.state === 'paused';
        const {label, consistency, value} = lives ? await this.#memoryField(id) : {};
        ask({
            title: `Take a snapshot of ${name}`,
            text: 'All its disks at one moment, its configuration and its firmware’s variables. A running VM runs on.',
            fields: [{id: 'name', label: 'Name'}, {id: 'notes', label: 'Notes', max: 4096},
                ...(lives ? [{id: 'memory', label, check: true, value}] : [])],
            submit: 'Take it',
            act: async ({name: called, notes, memory}) => this.#follow(await change('POST', vmPath(id, '/snapshots'),
                {name: called, ...(notes && {notes}), ...(memory && {consistency})}), `Snapshot ${called} of ${name}`),
        });
    }

    revert(snapshot) {
        const {id, name, run} = this.#vm;
        const path = vmPath(id, '/actions/revert');
        const lives = run.state === 'running' || run.state === 'paused';
        const memory = snapshot.consistency === 'running';
        ask({
            title: `Revert ${name} to ${snapshot.name}`,
            text: ['Disks, variables and configuration become those of the snapshot. The snapshots all stay.',
                lives ? 'The VM is forced off first.' : '',
                memory ? 'It goes on at the instant of the snapshot.' : lives ? 'It boots anew afterwards.' : ''].filter(Boolean).join(' '),
            fields: [{id: 'keep', label: 'Take a snapshot of how it is now first', check: true, value: true}],
            submit: 'Revert',
            danger: true,
            look: async () => planWords(await change('POST', `${path}?dry_run=true`, {snapshot: snapshot.id}), true),
            act: async ({keep}) => {
                if (keep)
                    await this.#keep(id);
                this.#follow(await change('POST', path, {snapshot: snapshot.id}), `Revert ${name}`);
            },
        });
    }

    async #keep(id) {
        const called = `before-revert-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}`;
        const taken = await operationEnd((await change('POST', vmPath(id, '/snapshots'), {name: called})).id);
        if (taken.state !== 'succeeded')
            throw new Error(taken.error?.detail ?? 'The snapshot of how it is now was not taken; nothing was reverted.');
    }

    clone(snapshot) {
        const {id, name} = this.#vm;
        ask({
            title: `A new VM from ${snapshot.name}`,
            text: `It begins with what was on the disks of ${name} then, and has its own name, ids and MAC addresses.`,
            fields: [{id: 'name', label: 'Name of the new VM'}, {id: 'full', label: 'Copy everything: it shares no files then', check: true},
                {id: 'start', label: 'Start it', check: true, value: true}],
            submit: 'Clone',
            act: async ({name: called, full, start}) => this.#follow(
                await change('POST', vmPath(id, '/actions/clone'), {name: called, snapshot: snapshot.id, full, start}), `Clone ${called}`),
        });
    }

    rename(snapshot) {
        ask({
            title: `Rename ${snapshot.name}`,
            fields: [{id: 'name', label: 'Name', value: snapshot.name}, {id: 'notes', label: 'Notes', value: snapshot.notes, max: 4096}],
            submit: 'Rename',
            act: async ({name, notes}) => {
                await send('PATCH', snapshotPath(snapshot.id), {json: {name, notes}, type: 'application/merge-patch+json'});
                this.#load();
            },
        });
    }

    remove(snapshot) {
        ask({
            title: `Delete the snapshot ${snapshot.name}`,
            text: 'The VM and all other snapshots keep what they have. It cannot be gone back to any more.',
            submit: 'Delete',
            danger: true,
            look: async () => planWords(await (await send('DELETE', `${snapshotPath(snapshot.id)}?dry_run=true`)).json()),
            act: async () => this.#follow(await (await send('DELETE', snapshotPath(snapshot.id))).json(), `Delete ${snapshot.name}`),
        });
    }
}
