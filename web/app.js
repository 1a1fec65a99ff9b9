// The web UI: signs in, follows the address, and gives each part of the page its turn.
//
//   app.js ── store.js ── api.js, sse.js      what is known, and where it comes from
//     ├── hostbar.js  list.js  operations.js  parts of the page that draw what the store knows
//     ├── welcome.js  people.js                signing in, accounts
//     ├── create.js  remove.js  ask.js        dialogs
//     └── machine.js ── screen.js  snapshots.js  console.js ── term.js  keys.js
//
// There is no build step and nothing comes from elsewhere: the files are served as they are.

import {send, session, token, whenSignedOut} from './api.js';
import {CreateDialog} from './create.js';
import {part, setHidden} from './dom.js';
import {drawHost} from './hostbar.js';
import {ListView} from './list.js';
import {VmView} from './machine.js';
import {announce, complain} from './notes.js';
import {Drawer} from './operations.js';
import {changePassword, drawWho, People} from './people.js';
import {Store} from './store.js';
import {begin} from './welcome.js';

const TICK_MS = 5000;

const store = new Store();
const list = new ListView(store);
const machine = new VmView(store);
const drawer = new Drawer(store);
const create = new CreateDialog(store);
const people = new People();

// ---- the address: #/ with ?q=, #/vm/ID, or #/people ----
function route() {
    const [path, query] = location.hash.replace(/^#/, '').split(/\?(.*)/s);
    const match = /^\/vm\/([0-9a-fA-F-]{36})$/.exec(path);
    if (path === '/people')
        return {people: true};
    return match ? {vm: match[1]} : {query: new URLSearchParams(query ?? '').get('q') ?? ''};
}

function showRoute() {
    const {vm, people: accounts, query} = route();
    setHidden(part('list-view'), Boolean(vm || accounts));
    setHidden(part('vm-view'), !vm);
    setHidden(part('people-view'), !accounts);
    if (accounts) {
        machine.hide();
        people.show();
    } else if (vm) {
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
    const {vm, people: accounts} = route();
    part(vm ? 'vm-title' : accounts ? 'people-title' : 'list-title').focus();
}

function drawTitle() {
    const vm = store.vms.get(route().vm);
    document.title = vm ? `${vm.name} (${vm.state}) – vmmd` : route().people ? 'Accounts – vmmd' : 'vmmd';
}

// ---- what the store tells ----
function drawVms() {
    if (route().vm)
        machine.draw();
    else if (!route().people)
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
    drawWho();
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
    if (event.key !== '/' || typing || event.ctrlKey || event.altKey || event.metaKey || part('app').hidden || route().vm || route().people)
        return;
    event.preventDefault();
    part('search').focus();
}

store.addEventListener('host', () => drawHost(store.host));
store.addEventListener('vms', drawVms);
store.addEventListener('operations', () => drawer.draw());
store.addEventListener('online', drawOnline);
store.addEventListener('vm-changed', tellChange);
setInterval(() => (route().vm ? machine.tick() : route().people || list.tick()), TICK_MS);
window.addEventListener('hashchange', routeChanged);
document.addEventListener('keydown', shortcut);
whenSignedOut(() => signOut(token.get() ? 'The daemon no longer accepts your token. Sign in again.' : 'Your session is over. Sign in again.'));
part('sign-out').addEventListener('click', leave);
part('own-password').addEventListener('click', changePassword);
for (const button of document.querySelectorAll('[data-create]'))
    button.addEventListener('click', () => create.open());
start();
