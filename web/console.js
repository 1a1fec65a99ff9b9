// The serial console of one VM: reads its log by long polls, types by small POSTs.
//
// Reading knows its place by the offset the daemon gave; a break of the connection therefore loses and
// doubles nothing. Typing is one POST after the other, what is typed meanwhile goes with the next, so
// keys never overtake each other. The text lands in term.js and from there in text nodes.

import {Problem, send, session, vmPath} from './api.js';
import {el, part, setText} from './dom.js';
import {isLeaveKey, keyText} from './keys.js';
import {complain} from './notes.js';
import {Terminal} from './term.js';

const BACKLOG_BYTES = 65536;
const WAIT_S = 20;
const RETRY_MS = 1000;
const NEAR_END_PX = 40;
const POST_CHARS = 8192;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const header = (response, name) => Number(response.headers.get(name));

class SerialView {
    #drawn = 0; // lines settled in the page, counted from the beginning of time
    #node = part('serial');
    #due = false;
    closed = false;

    constructor(terminal) {
        this.terminal = terminal;
    }

    draw() {
        if (!this.#due)
            requestAnimationFrame(() => this.#now());
        this.#due = true;
    }

    #now() {
        const {lines, dropped} = this.terminal;
        const total = dropped + lines.length;
        const atEnd = this.#node.scrollHeight - this.#node.scrollTop - this.#node.clientHeight < NEAR_END_PX;
        this.#due = false;
        if (this.closed)
            return;
        if (this.#drawn < dropped) // more came at once than is kept
            this.#node.replaceChildren();
        const first = Math.max(this.#drawn - 1, dropped); // the last one drawn may have changed
        while (this.#node.childElementCount && this.#drawn > first) {
            this.#node.lastElementChild.remove();
            this.#drawn--;
        }
        this.#node.append(...lines.slice(first - dropped).map((line) => el('div', {}, line || '\u200b')));
        this.#drawn = total;
        while (this.#node.childElementCount > lines.length)
            this.#node.firstElementChild.remove();
        if (atEnd)
            this.#node.scrollTop = this.#node.scrollHeight;
    }
}

export class Console {
    #id = null;
    #abort = null;
    #view = null;
    #queue = '';
    #typing = false;

    constructor() {
        const node = part('serial');
        part('serial-form').addEventListener('submit', (event) => {
            event.preventDefault();
            this.#type(`${part('serial-line').value}\r`);
            part('serial-line').value = '';
        });
        part('serial-raw').addEventListener('click', () => this.#setRaw(!this.#isRaw()));
        node.addEventListener('keydown', (event) => this.#key(event));
        node.addEventListener('paste', (event) => this.#isRaw() && this.#type(event.clipboardData.getData('text/plain').replace(/\r?\n/g, '\r')));
        node.addEventListener('blur', () => this.#setRaw(false));
        document.addEventListener('visibilitychange', () => this.#readIfSeen());
    }

    show(vm) {
        if (!session.may('console-see', vm))
            return;
        if (this.#id === vm.id)
            return;
        this.hide();
        this.#id = vm.id;
        this.#view = new SerialView(new Terminal());
        this.offset = null;
        this.#readIfSeen();
    }

    hide() {
        this.#abort?.abort();
        this.#abort = null;
        this.#id = null;
        this.#queue = '';
        if (this.#view)
            this.#view.closed = true;
        this.#setRaw(false);
        setText(part('serial-status'), '');
        part('serial').replaceChildren();
    }

    // ---- reading ----
    #readIfSeen() {
        if (!this.#id || document.hidden) {
            this.#abort?.abort();
            this.#abort = null;
        } else if (!this.#abort) {
            this.#abort = new AbortController();
            this.#follow(this.#id, this.#view, this.#abort.signal);
        }
    }

    async #follow(id, view, signal) {
        while (!signal.aborted) {
            try {
                this.offset ??= await this.#beginning(id, signal);
                await this.#poll(id, view, signal);
                setText(part('serial-status'), '');
            } catch (error) {
                if (signal.aborted)
                    return;
                setText(part('serial-status'), error.message);
                if (error instanceof Problem && [401, 403, 404].includes(error.status))
                    return;
                await pause(RETRY_MS);
            }
        }
    }

    async #beginning(id, signal) {
        const response = await send('GET', vmPath(id, '/serial?offset=end'), {signal});
        await response.arrayBuffer();
        return Math.max(0, header(response, 'Vmmd-Serial-End') - BACKLOG_BYTES);
    }

    async #poll(id, view, signal) {
        const begun = performance.now();
        const response = await send('GET', vmPath(id, `/serial?offset=${this.offset}&wait=${WAIT_S}`), {signal});
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (signal.aborted)
            return;
        if (header(response, 'Vmmd-Serial-Offset') > this.offset)
            view.terminal.note(`[${header(response, 'Vmmd-Serial-Offset') - this.offset} bytes are no longer kept]`);
        this.offset = header(response, 'Vmmd-Serial-Next');
        view.terminal.write(bytes);
        view.draw();
        if (!bytes.length && performance.now() - begun < RETRY_MS)
            await pause(RETRY_MS); // a log that answers at once without a word
    }

    // ---- typing ----
    #isRaw() {
        return part('serial-raw').getAttribute('aria-pressed') === 'true';
    }

    #setRaw(raw) {
        if (raw === this.#isRaw())
            return;
        part('serial-raw').setAttribute('aria-pressed', String(raw));
        part('serial').classList.toggle('raw', raw);
        setText(part('serial-hint'), raw ? 'Every key goes to the guest. Ctrl+] or Shift+Tab ends this.' : '');
        if (raw)
            part('serial').focus();
    }

    #key(event) {
        if (!this.#isRaw())
            return;
        const text = isLeaveKey(event) ? null : keyText(event);
        if (isLeaveKey(event))
            part('serial-raw').focus(); // leaving the console ends the mode
        else if (text !== null)
            this.#type(text);
        else
            return;
        event.preventDefault();
        event.stopPropagation();
    }

    async #type(text) {
        const id = this.#id;
        this.#queue += text;
        if (this.#typing)
            return;
        this.#typing = true;
        while (this.#queue && id === this.#id) {
            const chunk = this.#queue.slice(0, POST_CHARS);
            this.#queue = this.#queue.slice(chunk.length);
            try {
                await send('POST', vmPath(id, '/serial'), {body: new TextEncoder().encode(chunk), type: 'application/octet-stream'});
            } catch (error) {
                if (id === this.#id)
                    this.#queue = '';
                complain('Serial input', error);
            }
        }
        this.#typing = false;
        if (this.#queue) // for the VM that is shown now
            this.#type('');
    }
}
