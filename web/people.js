// Who may come in: users, what they may do, and tokens. For whoever may administer them; the daemon checks that nobody gives away what he has
// not. Passwords are never typed here but one's own: a user gets a link and chooses one.

import {getAll, getJson, send, session} from './api.js';
import {ask} from './ask.js';
import {arrange, el, part, setHidden, setText} from './dom.js';
import {complain} from './notes.js';

const ROLES = [['viewer', 'Viewer: sees everything'], ['operator', 'Operator: makes and uses VMs'], ['admin', 'Administrator: everything']];
const USER_ROLES = [...ROLES, ['none', 'None: only what grants give']];
const SOURCES = [['own', 'Kept by this service'], ['pam', 'The host’s (PAM)']];
const DAY_S = 86400;

const userPath = (id, rest = '') => `/users/${encodeURIComponent(id)}${rest}`;
const change = async (method, path, json, type) => {
    const response = await send(method, path, {json, type, headers: {'Idempotency-Key': crypto.randomUUID()}});
    return response.status === 204 ? null : response.json();
};
const patch = (path, json) => change('PATCH', path, json, 'application/merge-patch+json');
const dayText = (time) => (time ? new Date(time).toLocaleDateString() : 'never');
const grantText = (grant) => `${grant.role ?? grant.rights.join(', ')} for ${grant.label ?? `pool ${grant.pool}`}`;
// "team=a" is a label, "pool:fast" a pool.
const selector = (text) => (text.startsWith('pool:') ? {pool: text.slice(5)} : {label: text});

export class People {
    #users = [];
    #tokens = [];
    #turn = 0;

    constructor() {
        part('user-add').addEventListener('click', () => this.#add());
        part('token-add').addEventListener('click', () => this.#addToken());
    }

    show() {
        this.#load();
    }

    async #load() {
        const turn = ++this.#turn;
        try {
            const [users, tokens] = await Promise.all([getAll('/users'), getAll('/tokens')]);
            const grants = await Promise.all(users.map((user) => getJson(userPath(user.id, '/grants'))));
            if (turn !== this.#turn)
                return;
            this.#users = users.map((user, i) => ({...user, grants: grants[i].items})).sort((a, b) => a.name.localeCompare(b.name));
            this.#tokens = tokens.sort((a, b) => a.name.localeCompare(b.name));
            this.#draw();
        } catch (error) {
            complain('Users', error);
        }
    }

    #draw() {
        setHidden(part('user-none'), this.#users.length > 0);
        setHidden(part('token-none'), this.#tokens.length > 0);
        arrange(part('user-list'), this.#users.map((user) => this.#userRow(user)));
        arrange(part('token-list'), this.#tokens.map((token) => this.#tokenRow(token)));
    }

    #button(label, about, f, danger = '') {
        return el('button', {type: 'button', class: `small ${danger}`, 'aria-label': `${label.replace('…', '')} ${about}`, onclick: f}, label);
    }

    #userRow(user) {
        const facts = [user.role === 'none' ? 'no role' : user.role, user.disabled ? 'disabled' : user.password_source === 'pam' ? 'password of the host' : user.has_password ? '' : 'has no password yet'].filter(Boolean).join(' · ');
        return el('li', {}, el('div', {class: 'snapshot'}, el('p', {}, el('span', {class: 'vm-name'}, user.name), ' ', el('span', {class: 'dim'}, facts)),
            el('ul', {class: 'labels', 'aria-label': `Grants of ${user.name}`}, ...user.grants.map((grant) => el('li', {class: 'label'}, grantText(grant), ' ',
                el('button', {type: 'button', class: 'plain', 'aria-label': `Revoke ${grantText(grant)} of ${user.name}`, onclick: () => this.#revoke(user, grant)}, '✕'))))),
        el('div', {class: 'actions', role: 'group', 'aria-label': user.name},
            user.password_source === 'pam' ? '' : this.#button('Link…', user.name, () => this.#link(user)), this.#button('Change…', user.name, () => this.#edit(user)),
            this.#button('Grant…', user.name, () => this.#grant(user)), this.#button('Delete…', user.name, () => this.#remove(user), 'danger')));
    }

    #tokenRow(token) {
        const owner = this.#users.find((user) => user.id === token.owner);
        const facts = [token.role, owner ? `of ${owner.name}` : '', token.expires_at ? `until ${dayText(token.expires_at)}` : 'for ever'].filter(Boolean).join(' · ');
        return el('li', {}, el('div', {class: 'snapshot'}, el('p', {}, el('span', {class: 'vm-name'}, token.name), ' ', el('span', {class: 'dim'}, facts))),
            el('div', {class: 'actions'}, this.#button('Revoke…', token.name, () => this.#removeToken(token), 'danger')));
    }

    // ---- users ----
    #add() {
        ask({
            title: 'A new user',
            text: 'The user chooses a password by a link that you get next, unless it is the host’s.',
            fields: [{id: 'name', label: 'Name'}, {id: 'role', label: 'Role', options: USER_ROLES, value: 'operator'}, {id: 'source', label: 'Where the password is', options: SOURCES, value: 'own'}],
            submit: 'Create',
            act: async ({name, role, source}) => {
                const user = await change('POST', '/users', {name, role, password_source: source});
                this.#load();
                return source === 'own' ? this.#linkShown(user) : undefined;
            },
        });
    }

    // What the dialog shows next.
    async #linkShown(user) {
        const {url, path} = await change('POST', userPath(user.id, '/actions/link'), {});
        return {
            title: `A link for ${user.name}`,
            text: 'Whoever opens it within ten minutes chooses the password and is signed in, once. It is not shown again.',
            fields: [{id: 'link', label: 'Address', value: url ?? new URL(path, location.href).href, fixed: true}],
        };
    }

    #link(user) {
        ask({
            title: `A link for ${user.name}`,
            text: 'By it the user chooses a new password. Until then the old one stays.',
            submit: 'Make it',
            act: () => this.#linkShown(user),
        });
    }

    #edit(user) {
        ask({
            title: `Change ${user.name}`,
            text: 'Another role, another place of the password, and disabling end the user’s sessions.',
            fields: [{id: 'name', label: 'Name', value: user.name}, {id: 'role', label: 'Role', options: USER_ROLES, value: user.role},
                {id: 'password_source', label: 'Where the password is', options: SOURCES, value: user.password_source},
                {id: 'disabled', label: 'Disabled: cannot sign in, and the tokens do not work', check: true, value: user.disabled}],
            submit: 'Change',
            act: async (values) => {
                await patch(userPath(user.id), values);
                this.#load();
            },
        });
    }

    #grant(user) {
        ask({
            title: `Let ${user.name} do something with some objects`,
            text: 'Beside what the role allows with everything. It takes effect at once.',
            fields: [{id: 'what', label: 'VMs with the label (team=a), or a pool (pool:fast)', max: 319}, {id: 'role', label: 'May do there', options: ROLES, value: 'operator'}],
            submit: 'Grant',
            act: async ({what, role}) => {
                await change('POST', userPath(user.id, '/grants'), {role, ...selector(what)});
                this.#load();
            },
        });
    }

    #revoke(user, grant) {
        ask({
            title: `Revoke a grant of ${user.name}`,
            text: `${grantText(grant)}. It takes effect at once.`,
            submit: 'Revoke',
            danger: true,
            act: async () => {
                await change('DELETE', userPath(user.id, `/grants/${encodeURIComponent(grant.id)}`));
                this.#load();
            },
        });
    }

    #remove(user) {
        ask({
            title: `Delete ${user.name}`,
            text: 'Its sessions end; its tokens, certificates and grants go with it. What it did stays in the audit trail.',
            submit: 'Delete',
            danger: true,
            act: async () => {
                await change('DELETE', userPath(user.id));
                this.#load();
            },
        });
    }

    // ---- tokens ----
    #addToken() {
        ask({
            title: 'A new token',
            text: 'For scripts and programs: Authorization: Bearer … It can do no more than you.',
            fields: [{id: 'name', label: 'Name'}, {id: 'role', label: 'Role', options: ROLES, value: 'operator'}, {id: 'days', label: 'Days it is valid (0: for ever)', value: '90'}],
            submit: 'Create',
            act: async ({name, role, days}) => {
                if (!/^\d{1,4}$/.test(days))
                    throw new Error('Days are a number from 0 to 3650.');
                const made = await change('POST', '/tokens', {name, role, ttl_s: Number(days) * DAY_S});
                this.#load();
                return {title: `The token ${name}`, text: 'Keep it now: it is not shown again.', fields: [{id: 'token', label: 'Token', value: made.token, fixed: true}]};
            },
        });
    }

    #removeToken(token) {
        ask({
            title: `Revoke ${token.name}`,
            text: 'Whoever uses it is turned away from the next request on.',
            submit: 'Revoke',
            danger: true,
            act: async () => {
                await change('DELETE', `/tokens/${encodeURIComponent(token.id)}`);
                this.#load();
            },
        });
    }
}

// One's own: only who signed in by it has a password here.
export function changePassword() {
    ask({
        title: 'Change your password',
        text: 'Your other sessions end.',
        fields: [{id: 'old', label: 'The password so far', secret: 'current-password'}, {id: 'password', label: 'The new one', secret: 'new-password'},
            {id: 'again', label: 'Again', secret: 'new-password'}],
        submit: 'Change',
        act: async ({old, password, again}) => {
            if (password !== again)
                throw new Error('The two are not the same.');
            session.begin(await change('POST', '/session/actions/change-password', {old, password}));
        },
    });
}

export function drawWho() {
    const {user, principal, role, by} = session.who;
    setText(part('who'), user?.name ?? principal);
    part('who').title = `${principal}, ${role}`;
    setHidden(part('own-password'), by !== 'session');
}
