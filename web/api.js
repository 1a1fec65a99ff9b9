// The one place that talks to the daemon, and what is known of who we are to it. Knows no page.
//
// Requests carry a token in their Authorization header, or the cookie of a session, which no script
// can read, and then the word that shows that a change comes from this page (X-VMM-CSRF). A token
// lives in sessionStorage (this tab, until it is closed); neither is ever part of an address.

const TOKEN = 'vmmd.token';
const LIKELY = 'vmmd.session'; // in localStorage: there may be a cookie, so it is worth asking

export const ROOT = '/api/v1';

// What the daemon refused (RFC 9457): 'message' is its sentence.
export class Problem extends Error {
    constructor(status, body) {
        super(typeof body.detail === 'string' && body.detail ? body.detail : `The daemon answered with status ${status}.`);
        this.status = status;
        this.code = body.code ?? '';
        this.requestId = body.request_id ?? '';
        this.errors = Array.isArray(body.errors) ? body.errors : [];
    }
}

// No answer at all, or one that is not the daemon's.
export class Unreachable extends Error {
    constructor() {
        super('The daemon does not answer.');
    }
}

export const token = {
    get: () => sessionStorage.getItem(TOKEN),
    set: (text) => sessionStorage.setItem(TOKEN, text),
    drop: () => sessionStorage.removeItem(TOKEN),
};

let who = null;

// Whether a grant is for this VM: by one of its labels, or by the pool of one of its disks.
function selects({label, pool}, vm) {
    const [key, value] = label?.split(/=(.*)/s) ?? [];
    return label === null ? vm.disks.some((disk) => disk.pool === pool) : vm.labels[key] === value;
}

// Who we are: the daemon's Session, from begin() to end(). Rights that are missing are classes
// (no-vm-create), by which app.css takes away what asks for them: of the page those that we have with
// no VM, and below limit()'s node those that we have not with this one.
export const session = {
    get who() {
        return who;
    },
    may: (right, vm = null) => Boolean(who) && (who.rights.includes(right)
        || who.grants.some((grant) => grant.rights.includes(right) && (!vm || selects(grant, vm)))),
    limit(node, vm) {
        if (who?.grants.length)
            for (const right of RIGHTS)
                node.classList.toggle(`no-${right}`, !session.may(right, vm));
    },
    // The label that a new VM must have for us to create it; null: it need have none.
    get ownLabel() {
        const grants = who.rights.includes('vm-create') ? [] : who.grants.filter((grant) => grant.rights.includes('vm-create'));
        return grants.find((grant) => grant.label !== null)?.label ?? null;
    },
    isLikely: () => localStorage.getItem(LIKELY) !== null,
    begin(it) {
        who = it;
        if (it.by === 'session')
            localStorage.setItem(LIKELY, '1');
        for (const right of RIGHTS)
            document.documentElement.classList.toggle(`no-${right}`, !session.may(right));
    },
    end() {
        who = null;
        localStorage.removeItem(LIKELY);
    },
};
const RIGHTS = ['vm-create', 'vm-delete', 'vm-power', 'snapshot', 'console-see', 'console-type', 'operation-edit', 'host-read', 'account-admin'];

async function problemOf(response) {
    const type = response.headers.get('Content-Type') ?? '';
    if (!type.startsWith('application/problem+json'))
        return response.status >= 500 ? new Unreachable() : new Problem(response.status, {});
    try {
        return new Problem(response.status, await response.json());
    } catch {
        return new Unreachable();
    }
}

let onSignedOut = () => {};

// 'f' is called when the daemon no longer takes the token.
export function whenSignedOut(f) {
    onSignedOut = f;
}

// 'as': another token, or null for none; 'quiet': a 401 is the caller's matter.
// Resolves to a Response that is ok; else throws a Problem, Unreachable, or the AbortError of 'signal'.
export async function send(method, path, {json, body, type, headers = {}, signal, as = token.get(), quiet = false} = {}) {
    const all = {...(as ? {Authorization: `Bearer ${as}`} : method !== 'GET' && who?.csrf && {'X-VMM-CSRF': who.csrf}), ...headers};
    if (json !== undefined || type)
        all['Content-Type'] = type ?? 'application/json';
    let response;
    try {
        response = await fetch(ROOT + path, {
            method, headers: all, body: json !== undefined ? JSON.stringify(json) : body, signal,
            cache: 'no-store', credentials: as ? 'omit' : 'same-origin', redirect: 'error', referrerPolicy: 'no-referrer',
        });
    } catch (error) {
        throw error.name === 'AbortError' ? error : new Unreachable();
    }
    if (response.ok)
        return response;
    const problem = await problemOf(response);
    if (problem.status === 401 && !quiet && as === token.get())
        onSignedOut();
    throw problem;
}

export async function getJson(path, options) {
    const response = await send('GET', path, options);
    try {
        return await response.json();
    } catch (error) {
        throw error.name === 'AbortError' ? error : new Unreachable();
    }
}

// Every page of a list.
export async function getAll(path) {
    const items = [];
    for (let next = ''; next !== null;) {
        const page = await getJson(`${path}?page_size=500${next && `&page_token=${encodeURIComponent(next)}`}`);
        items.push(...page.items);
        next = page.next_page_token;
    }
    return items;
}

export const vmPath = (id, rest = '') => `/vms/${encodeURIComponent(id)}${rest}`;
export const snapshotPath = (id, rest = '') => `/snapshots/${encodeURIComponent(id)}${rest}`;
export const operationPath = (id, rest = '') => `/operations/${encodeURIComponent(id)}${rest}`;

export async function vmAct(id, verb) {
    return (await send('POST', vmPath(id, `/actions/${verb}`), {headers: {'Idempotency-Key': crypto.randomUUID()}})).json();
}

const LOOK_MS = {first: 200, most: 2000};

// The operation once it has ended, however long that takes. It is looked at now and then and not waited for by the daemon: a
// browser has six connections for all of a host's pages, and a few guests that take their time would have them all.
export async function operationEnd(id) {
    for (let pause = LOOK_MS.first;; pause = Math.min(2 * pause, LOOK_MS.most)) {
        const operation = await getJson(operationPath(id));
        if (operation.ended_at)
            return operation;
        await new Promise((resolve) => setTimeout(resolve, pause));
    }
}
