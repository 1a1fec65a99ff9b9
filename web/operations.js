// The drawer at the bottom: what the daemon is at, and how it ended.

import {operationPath, send, session} from './api.js';
import {arrange, el, isDisabled, part, setDisabled, setHidden, setText} from './dom.js';
import {complain} from './notes.js';
import {kindText, OPEN_STATES, sinceText, sizeText} from './words.js';

const SIGNS = {succeeded: ['✔', 'good'], failed: ['✖', 'bad'], cancelled: ['⊘', 'idle'], interrupted: ['▲', 'held']};

class Entry {
    #sign = el('span', {class: 'icon', 'aria-hidden': 'true'});
    #what = el('span', {class: 'what'});
    #how = el('span', {class: 'dim'});
    #error = el('p', {class: 'error-text'});
    #operation = null;

    constructor(store) {
        this.store = store;
        this.cancel = el('button', {type: 'button', class: 'small', 'data-right': 'operation-edit', onclick: () => this.#cancel()}, 'Cancel');
        this.node = el('li', {}, this.#sign, this.#what, this.#how, this.cancel, this.#error);
    }

    update(operation) {
        const [sign, look] = SIGNS[operation.state] ?? ['◌', 'busy'];
        const what = `${kindText(operation.kind)} ${operation.object?.name ?? ''}`.trim();
        this.#operation = operation;
        setText(this.#sign, sign);
        this.#sign.className = `icon ${look}`;
        setText(this.#what, what);
        setText(this.#how, this.#progress(operation));
        setText(this.#error, operation.error?.detail ?? '');
        setHidden(this.#error, !operation.error);
        setHidden(this.cancel, !operation.cancellable || !OPEN_STATES.has(operation.state));
        setDisabled(this.cancel, operation.state === 'cancelling');
        session.limit(this.node, this.store.vms.get(operation.object?.id) ?? {labels: {}, disks: []});
        this.cancel.setAttribute('aria-label', `Cancel ${what}`);
    }

    #progress({state, step, progress, ended_at: ended}) {
        const parts = [state];
        if (!ended && step)
            parts.push(step);
        if (!ended && progress.total)
            parts.push(`${sizeText(progress.done)} of ${sizeText(progress.total)}`);
        if (ended)
            parts.push(`${sinceText(ended)} ago`);
        return parts.join(', ');
    }

    async #cancel() {
        if (isDisabled(this.cancel))
            return;
        try {
            await send('POST', operationPath(this.#operation.id, '/actions/cancel'));
        } catch (error) {
            complain('Cancel', error);
        }
        this.store.refresh('operations', this.#operation.id);
    }
}

export class Drawer {
    #entries = new Map();

    constructor(store) {
        this.store = store;
    }

    draw() {
        const all = [...this.store.operations.values()].sort((a, b) => b.created_at.localeCompare(a.created_at));
        const open = all.filter((operation) => OPEN_STATES.has(operation.state)).length;
        const failed = all.filter((operation) => operation.state === 'failed').length;
        for (const id of this.#entries.keys())
            if (!this.store.operations.has(id))
                this.#entries.delete(id);
        arrange(part('operations-list'), all.map((operation) => this.#entry(operation)));
        setHidden(part('operations-none'), all.length > 0);
        setText(part('operations-count'), [open ? `${open} running` : '', failed ? `${failed} failed` : ''].filter(Boolean).join(', ') || 'none running');
    }

    #entry(operation) {
        if (!this.#entries.has(operation.id))
            this.#entries.set(operation.id, new Entry(this.store));
        const entry = this.#entries.get(operation.id);
        entry.update(operation);
        return entry.node;
    }
}
