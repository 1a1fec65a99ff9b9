// The picture of a VM's screen, taken again every two seconds while the VM runs and the page is seen.

import {send, session, vmPath} from './api.js';
import {part, setHidden, setText} from './dom.js';

const EVERY_MS = 2000;

export class Screen {
    #id = null;
    #url = null;
    #timer = null;
    #abort = null;
    #live = false;

    show(vm) {
        if (!session.may('console-see', vm))
            return;
        if (this.#id !== vm.id) {
            this.hide();
            this.#id = vm.id;
            this.#abort = new AbortController();
            this.#timer = setInterval(() => this.#take(), EVERY_MS);
        }
        const live = vm.run.state === 'running' || vm.run.state === 'paused';
        const changed = live !== this.#live || part('screen').dataset.state !== vm.run.state;
        this.#live = live;
        part('screen').dataset.state = vm.run.state;
        part('screen').alt = `Screen of ${vm.name}`;
        if (changed && live)
            this.#take(true);
        if (!live)
            this.#clear('The screen is dark: the VM is not running.');
    }

    hide() {
        clearInterval(this.#timer);
        this.#abort?.abort();
        this.#id = null;
        this.#live = false;
        this.#clear('');
    }

    #clear(text) {
        part('screen').removeAttribute('src');
        delete part('screen').dataset.state;
        setHidden(part('screen'), true);
        setText(part('screen-text'), text);
        if (this.#url)
            URL.revokeObjectURL(this.#url);
        this.#url = null;
    }

    #taking = false;

    // A paused VM's picture does not change: one is enough ('once').
    async #take(once = false) {
        const id = this.#id;
        const wanted = this.#live && !document.hidden && (once || part('screen').dataset.state === 'running');
        if (!wanted || this.#taking)
            return;
        this.#taking = true;
        try {
            const picture = await (await send('GET', vmPath(id, '/screenshot'), {signal: this.#abort.signal})).blob();
            if (id === this.#id && this.#live)
                this.#draw(picture);
        } catch (error) {
            if (id === this.#id && this.#live && error.name !== 'AbortError')
                setText(part('screen-text'), `No picture: ${error.message}`);
        }
        this.#taking = false;
    }

    #draw(picture) {
        const old = this.#url;
        this.#url = URL.createObjectURL(new Blob([picture], {type: 'image/png'}));
        part('screen').src = this.#url;
        setHidden(part('screen'), false);
        setText(part('screen-text'), '');
        if (old)
            URL.revokeObjectURL(old);
    }
}
