// The web UI: signs in, follows the address, and gives each part of the page its turn.
//
//   app.js ── store.js ── api.js, sse.js      what is known, and where it comes from
//     ├── hostbar.js  list.js  operations.js  parts of the page that draw what the store knows
//     ├── welcome.js                           signing in
//     ├── create.js  remove.js  ask.js        dialogs
//     └── machine.js ── screen.js  snapshots.js  console.js ── term.js  keys.js
//
// There is no build step and nothing comes from elsewhere: the files are served as they are.

import {send, session, token, whenSignedOut} from './api.js';
import {CreateDialog} from './create.js';
import {part, setHidden, setText} from './dom.js';
import {drawHost} from './hostbar.js';
import {ListView} from './list.js';
import {VmView} from './machine.js';
import {announce, complain} from './notes.js';
import {Drawer} from './operations.js';
import {Store} from './store.js';
import {begin} from './welcome.js';

const TICK_MS = 5000;

const store = new Store();
const list = new ListView(store);
const machine = new VmView(store);
const drawer = new Drawer(store);
const create = new CreateDialog(store);

// ---- the address: #/ with ?q=, or #/vm/ID ----
function route() {
    const [path, query] = location.hash.replace(/^#/, '').split(/\?(.*)/s);
    const match = /^\/vm\/([0-9a-fA-F-]{36})$/.exec(path);
    return match ? {vm: match[1]} : {query: new URLSearchParams(query ?? '').get('q') ?? ''};
}

function showRoute() {
    const {vm, query} = route();
    setHidden(part('list-view'), Boolean(vm));
    setHidden(part('vm-view'), !vm);
    if (vm) {
        machine.show(vm);
    } else {
        machine.hide();
        list.show(query);
    }
    drawTitle();
}

// A new view: the focus goes to its head, as with a new page.
function routeChanged() {
    if (part('app').hidden)
        return;
    showRoute();
    part(route().vm ? 'vm-title' : 'list-title').focus();
}

function drawTitle() {
    const vm = store.vms.get(route().vm);
    document.title = vm ? `${vm.name} (${vm.state}) – vmmd` : 'vmmd';
}

// ---- what the store tells ----
function drawVms() {
    if (route().vm)
        machine.draw();
    else
        list.draw();
    drawTitle();
}

function drawOnline() {
    setHidden(part('offline'), store.online !== false);
}

function tellChange({detail: {vm, was}}) {
    if (!vm)
        announce(`${was.name} was deleted`);
    else if (!was)
        announce(`${vm.name} was created`);
    else if (vm.run.state !== was.run.state)
        announce(`${vm.name} is ${vm.run.state}`);
}

// ---- signing in and out ----
function enter() {
    const {user, principal, role} = session.who;
    setText(part('who'), user?.name ?? principal);
    part('who').title = `${principal}, ${role}`;
    store.start();
    showRoute();
}

// Everything that was shown goes away with the page.
function signOut(message) {
    token.drop();
    session.end();
    store.end();
    machine.hide();
    sessionStorage.setItem('vmmd.message', message);
    location.reload();
}

async function leave() {
    try {
        if (session.who?.by === 'session')
            await send('DELETE', '/session', {quiet: true});
    } catch (error) {
        if (error.status !== 401) { // it goes on over there: do not pretend
            complain('Sign out', error);
            return;
        }
    }
    signOut('');
}

function start() {
    const message = sessionStorage.getItem('vmmd.message') ?? '';
    sessionStorage.removeItem('vmmd.message');
    begin(enter, message);
}

function shortcut(event) {
    const typing = event.target.closest?.('input, select, textarea, dialog[open], .raw');
    if (event.key !== '/' || typing || event.ctrlKey || event.altKey || event.metaKey || part('app').hidden || route().vm)
        return;
    event.preventDefault();
    part('search').focus();
}

store.addEventListener('host', () => drawHost(store.host));
store.addEventListener('vms', drawVms);
store.addEventListener('operations', () => drawer.draw());
store.addEventListener('online', drawOnline);
store.addEventListener('vm-changed', tellChange);
setInterval(() => (route().vm ? machine.tick() : list.tick()), TICK_MS);
window.addEventListener('hashchange', routeChanged);
document.addEventListener('keydown', shortcut);
whenSignedOut(() => signOut(token.get() ? 'The daemon no longer accepts your token. Sign in again.' : 'Your session is over. Sign in again.'));
part('sign-out').addEventListener('click', leave);
for (const button of document.querySelectorAll('[data-create]'))
    button.addEventListener('click', () => create.open());
start();
