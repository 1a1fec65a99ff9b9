// What the page knows of the daemon, kept current by its events.
//
// Theory of operation. The event stream is opened first; its first words carry the number of the
// newest event. Then everything is loaded, so nothing can fall between the two. From then on an
// event only says *what* changed: the object is marked and fetched again, many marks with one pass.
// A mark is taken off before the fetch and put back when that fails, so a change is never lost to a
// daemon that went away. After a break the stream goes on from the last number (Last-Event-ID); when
// the daemon no longer has that one it says "reset" and everything is loaded again.
//
//   connect ──► first bytes ──► load all ──► follow ──► event: mark, fetch
//      ▲                                       │  └───► reset: load all
//      └── wait 0.5 s … 5 s ◄── broken, or silent for 35 s
//
// A hidden tab closes its stream: a browser has six connections to a host for all of its tabs.

import {getAll, getJson, operationPath, Problem, send, session, vmPath} from './api.js';
import {OPEN_STATES} from './words.js';
import {SseParser} from './sse.js';

const SILENCE_MS = 35000; // the daemon sends a heartbeat every 15 s
const RETRY_MIN_MS = 500, RETRY_MAX_MS = 5000;
const HOST_MS = 20000;     // the host's free memory has no event
const STEP_MS = 1000;      // neither have the steps of an operation
const OPERATIONS_SHOWN = 30;
const FETCH_SINGLY = 8;    // with more VMs marked the list is one request

const pause = (ms, signal) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), {once: true});
});

// Events (DOM's): 'host', 'vms', 'operations', 'online', 'snapshots' (of whichever VM: they are not kept here);
// 'vm-changed' with detail {vm, was} for one VM.
export class Store extends EventTarget {
    host = null;
    vms = new Map();        // by id
    operations = new Map(); // by id, the newest OPERATIONS_SHOWN and all open ones
    online = null;          // null: not known yet
    loaded = false;
    #stop = null;
    #lastId = '';
    #marks = {vms: new Set(), operations: new Set()};
    #fetching = false;
    #gone = new Set(); // ids are never given twice: what was deleted stays away
    #timers = [];

    start() {
        this.#connectIfSeen();
        document.addEventListener('visibilitychange', this.#connectIfSeen);
        this.#timers = [setInterval(() => this.#seen(() => this.#loadHost()), HOST_MS), setInterval(() => this.#seen(() => this.#markOpen()), STEP_MS)];
    }

    end() {
        document.removeEventListener('visibilitychange', this.#connectIfSeen);
        this.#timers.forEach(clearInterval);
        this.#stop?.abort();
        this.#stop = null;
    }

    // Asks for an object again, e.g. after an action of this page.
    refresh(kind, id) {
        this.#marks[kind].add(id);
        this.#fetchMarked();
    }

    #connectIfSeen = () => {
        if (document.hidden) {
            this.#stop?.abort();
            this.#stop = null;
        } else if (!this.#stop) {
            this.#stop = new AbortController();
            this.#follow(this.#stop.signal);
        }
    };

    #seen(f) {
        if (this.online && !document.hidden)
            f().catch(() => {}); // the stream notices a daemon that is away
    }

    #tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, {detail}));
    }

    #setOnline(online) {
        if (this.online === online)
            return;
        this.online = online;
        this.#tell('online');
    }

    // ---- the stream ----
    async #follow(signal) {
        for (let wait = RETRY_MIN_MS; !signal.aborted; wait = Math.min(2 * wait, RETRY_MAX_MS)) {
            try {
                await this.#stream(signal, () => (wait = RETRY_MIN_MS));
            } catch (error) {
                if (error instanceof Problem && error.status === 401)
                    return;
                if (error instanceof Problem && error.status === 403) { // nobody tells us: look again now and then
                    await this.#look(signal);
                    continue;
                }
            }
            if (signal.aborted)
                return;
            this.#setOnline(false);
            await pause(wait, signal);
        }
    }

    async #stream(signal, onGood) {
        const silence = new AbortController();
        const over = () => silence.abort();
        signal.addEventListener('abort', over);
        let timer = setTimeout(over, SILENCE_MS);
        try {
            const headers = {Accept: 'text/event-stream', ...(this.#lastId && {'Last-Event-ID': this.#lastId})};
            const reader = (await send('GET', '/events?types=vm,operation,snapshot', {headers, signal: silence.signal})).body.getReader();
            const parser = new SseParser();
            parser.lastId = this.#lastId;
            for (let first = true, part; !(part = await reader.read()).done; first = false) {
                clearTimeout(timer);
                timer = setTimeout(over, SILENCE_MS);
                const events = parser.push(part.value);
                if (first)
                    await this.#begin(onGood);
                this.#take(events);
                this.#lastId = parser.lastId;
            }
        } finally {
            clearTimeout(timer);
            signal.removeEventListener('abort', over);
            silence.abort();
        }
    }

    async #look(signal) {
        await this.#loadAll().then(() => this.#setOnline(true), () => this.#setOnline(false));
        await pause(HOST_MS, signal);
    }

    async #begin(onGood) {
        await (this.loaded ? this.#loadHost() : this.#loadAll());
        onGood();
        this.#setOnline(true);
        this.#fetchMarked();
    }

    #take(events) {
        for (const event of events) {
            if (event.type === 'reset') {
                this.#loadAll().catch(() => (this.loaded = false)); // the next connection loads it
                continue;
            }
            const {object, data} = JSON.parse(event.data);
            if (event.type === 'vm.deleted')
                this.#forgetVm(object.id);
            else if (object?.type === 'vm')
                this.#marks.vms.add(object.id);
            else if (object?.type === 'snapshot')
                this.#tell('snapshots');
            else if (object?.type === 'operation') {
                this.#marks.operations.add(object.id);
                if (this.vms.has(data?.target)) // its 'job' and 'actions' change with it
                    this.#marks.vms.add(data.target);
            }
        }
        this.#fetchMarked();
    }

    #forgetVm(id) {
        this.#marks.vms.delete(id);
        this.#gone.add(id);
        this.#putVm(id, null);
        this.#tell('vms');
    }

    // ---- loading ----
    async #loadHost() {
        if (!session.may('host-read'))
            return;
        this.host = await getJson('/host');
        this.#tell('host');
    }

    async #loadVms() {
        const found = session.may('vm-read') ? await getAll('/vms') : [];
        const ids = new Set(found.map((vm) => vm.id));
        for (const id of [...this.vms.keys()].filter((known) => !ids.has(known)))
            this.#putVm(id, null);
        for (const vm of found)
            this.#putVm(vm.id, vm);
    }

    async #loadAll() {
        const operations = session.may('operation-read') ? getJson(`/operations?page_size=${OPERATIONS_SHOWN}`) : {items: []};
        const [page] = await Promise.all([operations, this.#loadVms(), this.#loadHost()]);
        this.operations = new Map(page.items.map((operation) => [operation.id, operation]));
        this.loaded = true;
        this.#tell('vms');
        this.#tell('operations');
    }

    // An answer may be older than the event that came before it: a fetch that was under way when its
    // VM was deleted must not bring it back.
    #putVm(id, vm) {
        if (vm && this.#gone.has(id))
            return;
        const was = this.vms.get(id) ?? null;
        if (vm)
            this.vms.set(id, vm);
        else
            this.vms.delete(id);
        if (this.loaded && (vm || was))
            this.#tell('vm-changed', {vm, was});
    }

    #putOperation(id, operation) {
        if (operation)
            this.operations.set(id, operation);
        else
            this.operations.delete(id);
        const closed = [...this.operations.values()].filter((o) => !OPEN_STATES.has(o.state)).sort((a, b) => b.created_at.localeCompare(a.created_at));
        for (const old of closed.slice(OPERATIONS_SHOWN))
            this.operations.delete(old.id);
    }

    async #markOpen() {
        for (const operation of this.operations.values())
            if (operation.state === 'running' || operation.state === 'cancelling')
                this.#marks.operations.add(operation.id);
        await this.#fetchMarked();
    }

    async #fetchMarked() {
        if (this.#fetching)
            return;
        this.#fetching = true;
        try {
            while (this.#marks.vms.size || this.#marks.operations.size)
                await this.#fetchOnce();
        } catch {
            // the marks are kept; the next event or connection tries again
        } finally {
            this.#fetching = false;
        }
    }

    async #fetchOnce() {
        const {vms, operations} = this.#marks;
        this.#marks = {vms: new Set(), operations: new Set()};
        try {
            await Promise.all([
                vms.size > FETCH_SINGLY ? this.#loadVms() : Promise.all([...vms].map(async (id) => this.#putVm(id, await existing(vmPath(id))))),
                ...[...operations].map(async (id) => this.#putOperation(id, await existing(operationPath(id)))),
            ]);
        } catch (error) {
            vms.forEach((id) => this.#marks.vms.add(id));
            operations.forEach((id) => this.#marks.operations.add(id));
            throw error;
        }
        if (vms.size)
            this.#tell('vms');
        if (operations.size)
            this.#tell('operations');
    }
}

// The object, or null when there is no such one.
async function existing(path) {
    try {
        return await getJson(path);
    } catch (error) {
        if (error instanceof Problem && error.status === 404)
            return null;
        throw error;
    }
}
