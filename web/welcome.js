// Signing in: by a name and a password, by a token, or by a one-time link whose code is in the
// address (#/welcome/CODE, which no server sees) and leaves it at once. Knows nothing of what comes
// after; app.js is told by 'enter'.

import {getJson, Problem, send, session, token} from './api.js';
import {part, setHidden, setText} from './dom.js';

const CODE = /^#\/welcome\/([0-9a-f_]{1,127})$/;
const MIN_CHARS = 10;

let enter = () => {};
let code = '';

const isRefusal = (error, status) => error instanceof Problem && error.status === status;

function show(id, message = '') {
    for (const name of ['app', 'sign-in', 'welcome'])
        setHidden(part(name), name !== id);
    if (id === 'app')
        return;
    setText(part(`${id}-error`), message);
    part(id === 'sign-in' ? 'user' : 'new-password').focus();
}

async function post(path, json) {
    const response = await send('POST', path, {json, as: null, quiet: true});
    session.begin(await response.json());
}

function done() {
    for (const id of ['password', 'token', 'new-password', 'new-again'])
        part(id).value = '';
    show('app');
    enter();
}

async function signIn(event) {
    event.preventDefault();
    setText(part('sign-in-error'), '');
    const user = part('user').value.trim(), password = part('password').value;
    if (!user || !password) {
        show('sign-in', 'Type your name and your password.');
        return;
    }
    try {
        await post('/session', {user, password});
    } catch (error) {
        show('sign-in', isRefusal(error, 401) ? 'The name or the password is wrong.' : error.message);
        part('password').select();
        return;
    }
    done();
}

async function useToken(event) {
    event.preventDefault();
    const text = part('token').value.trim();
    setText(part('sign-in-error'), '');
    if (!/^[!-~]+$/.test(text)) { // what no header may carry
        show('sign-in', 'Paste a token: it begins with vmmd_');
        part('token').focus();
        return;
    }
    try {
        session.begin(await getJson('/session', {as: text}));
    } catch (error) {
        show('sign-in', isRefusal(error, 401) ? 'The daemon does not accept this token. It may be mistyped, expired or revoked.' : error.message);
        part('token').focus();
        return;
    }
    token.set(text);
    done();
}

async function choosePassword(event) {
    event.preventDefault();
    const password = part('new-password').value;
    if ([...password].length < MIN_CHARS) {
        show('welcome', `A password has at least ${MIN_CHARS} characters.`);
        return;
    }
    if (password !== part('new-again').value) {
        show('welcome', 'The two are not the same.');
        return;
    }
    try {
        await post('/session/actions/use-link', {code, password});
    } catch (error) {
        show('welcome', error.message);
        return;
    }
    code = '';
    done();
}

export function showSignIn(message = '') {
    show('sign-in', message);
}

// Calls 'onEnter' when it is known who one is; until then there is a form.
export async function begin(onEnter, message) {
    enter = onEnter;
    part('sign-in-form').addEventListener('submit', signIn);
    part('token-form').addEventListener('submit', useToken);
    part('welcome-form').addEventListener('submit', choosePassword);
    window.addEventListener('hashchange', () => CODE.test(location.hash) && location.reload()); // opened where a page was
    code = CODE.exec(location.hash)?.[1] ?? '';
    if (code) {
        history.replaceState(null, '', '#/');
        show('welcome');
        return;
    }
    if (!token.get() && !session.isLikely()) {
        showSignIn(message);
        return;
    }
    try {
        session.begin(await getJson('/session', {quiet: true}));
        done();
    } catch (error) {
        const over = isRefusal(error, 401);
        if (over) {
            token.drop();
            session.end();
        }
        showSignIn(over ? message || 'Sign in again.' : error.message);
    }
}
