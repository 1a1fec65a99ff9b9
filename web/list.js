// The list of VMs with its search; the search's text lives in the address (#/?q=…).

import {ActionButtons} from './actions.js';
import {session} from './api.js';
import {arrange, el, part, setHidden, setText} from './dom.js';
import {reasonText, sinceText, sizeText, stateLook} from './words.js';

class Row {
    #state = el('span', {class: 'state'});
    #why = el('span', {class: 'dim'});
    #link = el('a', {class: 'vm-name'});
    #labels = el('span', {class: 'labels'});
    #labelText = '';
    #vcpus = cell('vCPUs');
    #memory = cell('Memory');
    #since = cell('Since');
    #vm = null;

    constructor(store) {
        this.buttons = new ActionButtons(store);
        this.node = el('tr', {role: 'row'},
            cell('State', this.#state, this.#why),
            el('th', {role: 'rowheader', 'data-label': 'Name'}, this.#link, this.#labels),
            this.#vcpus, this.#memory, this.#since, cell('Actions', this.buttons.node));
        this.node.children[0].classList.add('state-cell');
        this.node.lastElementChild.classList.add('action-cell');
    }

    update(vm) {
        this.#vm = vm;
        drawState(this.#state, vm.state);
        setText(this.#why, vm.run.state === 'crashed' || vm.run.state === 'paused' ? reasonText(vm.run.reason) : '');
        setText(this.#link, vm.name);
        this.#link.setAttribute('href', `#/vm/${vm.id}`);
        this.#drawLabels(vm.labels);
        setText(this.#vcpus, String(vm.vcpus));
        setText(this.#memory, sizeText(vm.memory_bytes));
        this.tick();
        this.buttons.update(vm);
        session.limit(this.node, vm);
    }

    tick() {
        setText(this.#since, sinceText(this.#vm.run.since));
    }

    #drawLabels(labels) {
        const text = JSON.stringify(labels);
        if (text === this.#labelText)
            return;
        this.#labelText = text;
        this.#labels.replaceChildren(...Object.entries(labels).map(([key, value]) =>
            el('span', {class: 'label'}, el('bdi', {}, value ? `${key}=${value}` : key))));
    }
}

function cell(label, ...children) {
    return el('td', {role: 'cell', 'data-label': label}, ...children);
}

export function drawState(node, state) {
    if (node.dataset.state === state)
        return;
    const {icon, look} = stateLook(state);
    node.dataset.state = state;
    node.className = `state ${look}`;
    node.replaceChildren(el('span', {class: 'icon', 'aria-hidden': 'true'}, icon), el('span', {}, state));
}

function matches(vm, words) {
    const text = [vm.name, vm.state, vm.notes ?? '', ...Object.entries(vm.labels).flat()].join('\n').toLowerCase();
    return words.every((word) => text.includes(word));
}

export class ListView {
    #rows = new Map();
    #query = '';

    constructor(store) {
        this.store = store;
        part('search').addEventListener('input', () => {
            const text = part('search').value;
            this.#query = text;
            history.replaceState(null, '', text ? `#/?q=${encodeURIComponent(text)}` : '#/');
            this.draw();
        });
    }

    show(query) {
        this.#query = query;
        if (part('search').value !== query)
            part('search').value = query;
        this.draw();
    }

    draw() {
        const all = [...this.store.vms.values()].sort((a, b) => a.name.localeCompare(b.name));
        const words = this.#query.toLowerCase().split(/\s+/).filter(Boolean);
        const found = all.filter((vm) => matches(vm, words));
        for (const id of this.#rows.keys())
            if (!this.store.vms.has(id))
                this.#rows.delete(id);
        arrange(part('vm-rows'), found.map((vm) => this.#row(vm)));
        setHidden(part('vm-table'), !found.length);
        setHidden(part('list-tools'), !all.length);
        setHidden(part('empty'), !this.store.loaded || all.length > 0);
        setHidden(part('none-found'), !all.length || found.length > 0);
        setText(part('vm-count'), this.store.loaded ? `${found.length === all.length ? '' : `${found.length} of `}${all.length}` : '');
    }

    tick() {
        for (const row of this.#rows.values())
            row.tick();
    }

    #row(vm) {
        if (!this.#rows.has(vm.id))
            this.#rows.set(vm.id, new Row(this.store));
        const row = this.#rows.get(vm.id);
        row.update(vm);
        return row.node;
    }
}
