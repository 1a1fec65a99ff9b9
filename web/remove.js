// Deleting a VM: only after its name was typed, and only the revision that was on show.

import {send, vmPath} from './api.js';
import {tellFailure} from './actions.js';
import {part, setDisabled, setText} from './dom.js';
import {sizeText} from './words.js';

export class RemoveDialog {
    #vm = null;
    #dialog = part('remove');

    constructor(store) {
        this.store = store;
        part('remove-form').addEventListener('submit', (event) => {
            event.preventDefault();
            if (this.#confirmed())
                this.#remove();
        });
        part('remove-name').addEventListener('input', () => setDisabled(part('remove-submit'), !this.#confirmed()));
        part('remove-cancel').addEventListener('click', () => this.#dialog.close());
    }

    open(vm) {
        const bytes = vm.disks.reduce((sum, disk) => sum + disk.size_bytes, 0);
        this.#vm = vm;
        setText(part('remove-what'), vm.disks.length
            ? `“${vm.name}” and its ${vm.disks.length === 1 ? 'disk' : `${vm.disks.length} disks`} (${sizeText(bytes)}) are deleted. This cannot be undone.`
            : `“${vm.name}” is deleted. It has no disks.`);
        part('remove-name').value = '';
        setText(part('remove-error'), '');
        setDisabled(part('remove-submit'), true);
        this.#dialog.showModal();
    }

    #confirmed() {
        return part('remove-name').value === this.#vm?.name;
    }

    async #remove() {
        const {id, name, revision} = this.#vm;
        setDisabled(part('remove-submit'), true);
        try {
            const operation = await (await send('DELETE', vmPath(id), {headers: {'If-Match': `"${revision}"`}})).json();
            this.#dialog.close();
            location.hash = '#/';
            this.store.refresh('operations', operation.id);
            tellFailure(operation.id, `Delete ${name}`);
        } catch (error) {
            setText(part('remove-error'), error.message);
            setDisabled(part('remove-submit'), false);
        }
    }
}
