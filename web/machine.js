// The page of one VM.

import {ActionButtons} from './actions.js';
import {session} from './api.js';
import {Console} from './console.js';
import {el, isDisabled, part, setHidden, setText} from './dom.js';
import {drawState} from './list.js';
import {RemoveDialog} from './remove.js';
import {Screen} from './screen.js';
import {Snapshots} from './snapshots.js';
import {reasonText, sinceText, sizeText} from './words.js';

const JOBS = {'vm.start': 'starting', 'vm.shutdown': 'shutting down', 'vm.stop': 'powering off', 'vm.reset': 'resetting', 'vm.pause': 'pausing',
    'vm.resume': 'resuming', 'vm.create': 'being created', 'vm.delete': 'being deleted', 'vm.snapshot': 'taking a snapshot', 'vm.revert': 'reverting',
    'vm.delete-snapshot': 'deleting a snapshot', 'vm.archive-snapshot': 'archiving a snapshot', 'vm.unarchive-snapshot': 'unarchiving a snapshot', 'vm.clone': 'being cloned', 'vm.clone-full': 'being cloned', 'vm.flatten': 'being made independent', 'vm.export': 'being exported', 'vm.import': 'being imported',
    'vm.move-storage': 'moving its storage', 'vm.add-disk': 'adding a disk', 'vm.import-disk': 'importing a disk', 'vm.remove-disk': 'removing a disk', 'vm.grow-disk': 'growing a disk',
    'vm.restart': 'starting again', 'vm.save': 'being saved', 'vm.discard': 'losing its saved state'};

// Members of a VM for people: [name, text], also used for what is pending.
const MEMBERS = {
    vcpus: ['vCPUs', (n) => String(n)],
    memory_bytes: ['Memory', sizeText],
    machine: ['Board', String],
    accel: ['Accelerator', String],
    boot: ['Boots from', (boot) => boot?.kernel ? `kernel “${boot.kernel}”${boot.cmdline ? ` with “${boot.cmdline}”` : ''}` : 'its disks'],
    disks: ['Disks', (disks) => disks.map((d) => `${sizeText(d.size_bytes)} ${d.format}, ${d.bus}${d.pool ? `, pool ${d.pool}` : ''}`).join('\n') || 'none'],
    nics: ['Network', (nics) => nics.map((n) => [n.network, n.model, n.mac].filter(Boolean).join(', ')).join('\n') || 'none'],
    labels: ['Labels', (labels) => Object.entries(labels).map(([key, value]) => `${key}=${value}`).join('\n')],
    notes: ['Notes', (notes) => notes ?? ''],
    backend: ['Backend', String],
    shutdown_timeout_s: ['Grace at shutdown', (s) => `${s} s`],
    created_at: ['Created', (time) => new Date(time).toLocaleString()],
    id: ['Id', String],
};

// Definitions of those members of 'object' that there is something to say about.
function definitions(object) {
    return Object.entries(MEMBERS).filter(([member]) => member in object).flatMap(([member, [label, words]]) => {
        const text = object[member] === null && member !== 'notes' ? 'the default' : words(object[member]);
        return text ? [el('dt', {}, label), el('dd', {}, el('bdi', {}, text))] : [];
    });
}

export class VmView {
    #vm = null;
    #screen = new Screen();
    #console = new Console();
    #drawn = '';

    constructor(store) {
        this.store = store;
        this.snapshots = new Snapshots(store);
        this.remove = new RemoveDialog(store);
        this.delete = el('button', {type: 'button', class: 'small danger', 'data-verb': 'delete', 'data-right': 'vm-delete'}, 'Delete…');
        this.delete.addEventListener('click', () => isDisabled(this.delete) || this.remove.open(this.#vm));
        this.buttons = new ActionButtons(store, {delete: this.delete});
        part('vm-actions').replaceChildren(this.buttons.node);
    }

    show(id) {
        if (this.#vm?.id !== id)
            this.hide();
        this.id = id;
        this.draw();
    }

    hide() {
        this.#screen.hide();
        this.#console.hide();
        this.snapshots.hide();
        this.#vm = null;
        this.#drawn = '';
        this.id = null;
    }

    draw() {
        const vm = this.store.vms.get(this.id);
        setHidden(part('vm-gone'), Boolean(vm) || !this.store.loaded);
        setHidden(part('vm-body'), !vm);
        if (!vm) {
            this.#screen.hide();
            this.#console.hide();
            this.snapshots.hide();
            setText(part('vm-title'), this.store.loaded ? 'No such VM' : '');
            return;
        }
        this.#vm = vm;
        setText(part('vm-title'), vm.name);
        drawState(part('vm-state'), vm.state);
        this.buttons.update(vm);
        session.limit(part('vm-body'), vm);
        this.#drawRun(vm);
        this.#drawConfiguration(vm);
        this.#screen.show(vm);
        this.#console.show(vm);
        this.snapshots.show(vm);
    }

    tick() {
        if (this.#vm)
            this.#drawRun(this.#vm);
    }

    #drawRun(vm) {
        const {run, job} = vm;
        const reason = reasonText(run.reason);
        setText(part('vm-run'), [job ? `${JOBS[job.kind] ?? job.kind} …` : '', run.since ? `for ${sinceText(run.since)}` : '', reason]
            .filter(Boolean).join(' · '));
        setText(part('vm-accel'), run.accel ? `${run.accel.toUpperCase()}: ${run.accel_reason ?? ''}` : '');
        setHidden(part('vm-words'), !run.detail);
        setText(part('vm-detail'), run.detail ?? '');
    }

    #drawConfiguration(vm) {
        const text = JSON.stringify([vm.revision, vm.pending, vm.disks, vm.boot, vm.name]);
        if (text === this.#drawn)
            return;
        this.#drawn = text;
        part('vm-config').replaceChildren(...definitions(vm));
        setHidden(part('vm-pending'), !vm.pending);
        part('vm-pending-list').replaceChildren(...definitions(vm.pending ?? {}));
    }
}
