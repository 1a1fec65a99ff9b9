// The buttons of a VM: drawn from its 'actions', in one order everywhere.
//
// While a job runs, the buttons of before stay in place and only those the daemon still offers (force
// off) can be pressed: nothing jumps under the pointer.

import {operationEnd, vmAct} from './api.js';
import {el, isDisabled, setDisabled, setHidden} from './dom.js';
import {complain} from './notes.js';

const VERBS = [['start', 'Start'], ['resume', 'Resume'], ['pause', 'Pause'], ['save', 'Save'], ['discard', 'Discard saved state'], ['shutdown', 'Shut down'], ['reset', 'Reset'], ['stop', 'Power off']];

export class ActionButtons {
    #vm = null;
    #busy = false;
    #buttons = new Map();

    // 'store' is told to look again; 'extra' are further buttons: {delete: node}.
    constructor(store, extra = {}) {
        this.store = store;
        for (const [verb, label] of VERBS)
            this.#buttons.set(verb, el('button', {type: 'button', class: 'small', 'data-verb': verb, 'data-right': 'vm-power', onclick: () => this.#press(verb, label)}, label));
        for (const [verb, node] of Object.entries(extra))
            this.#buttons.set(verb, node);
        this.node = el('div', {class: 'actions', role: 'group'}, ...this.#buttons.values());
    }

    update(vm) {
        const held = Boolean(vm.job) || this.#busy;
        if (this.#vm?.name !== vm.name) {
            this.node.setAttribute('aria-label', `Actions of ${vm.name}`);
            for (const [verb, label] of VERBS)
                this.#buttons.get(verb).setAttribute('aria-label', `${label} ${vm.name}`);
        }
        const known = Boolean(this.#vm);
        this.#vm = vm;
        for (const [verb, button] of this.#buttons) {
            const offered = vm.actions.includes(verb);
            if (!held || !known)
                setHidden(button, !offered);
            else if (offered)
                setHidden(button, false);
            setDisabled(button, this.#busy || !offered);
        }
        this.#keepFocus();
    }

    // A focused button that went away hands the focus to its neighbour.
    #keepFocus() {
        if (document.activeElement?.parentElement === this.node && document.activeElement.hidden)
            [...this.#buttons.values()].find((button) => !button.hidden)?.focus();
    }

    async #press(verb, label) {
        if (isDisabled(this.#buttons.get(verb)))
            return;
        const {id, name} = this.#vm;
        this.#busy = true;
        this.update(this.#vm);
        try {
            const operation = await vmAct(id, verb);
            this.store.refresh('operations', operation.id);
            tellFailure(operation.id, `${label} ${name}`);
        } catch (error) {
            complain(`${label} ${name}`, error);
        }
        this.#busy = false;
        this.store.refresh('vms', id);
        this.update(this.store.vms.get(id) ?? this.#vm);
    }
}

// Says why an operation failed, once it has. A page that lost its daemon leaves that to the drawer.
export async function tellFailure(id, what) {
    let operation;
    try {
        operation = await operationEnd(id);
    } catch {
        return null;
    }
    if (operation.state === 'failed')
        complain(what, new Error(operation.error?.detail ?? 'It failed.'));
    return operation;
}
