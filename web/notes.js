// Short messages: spoken ones for screen readers, and failures that stay until they are closed.

import {el, part} from './dom.js';

const NOTES_MAX = 4;

export function announce(text) {
    part('spoken').replaceChildren(el('p', {}, text));
}

export function complain(what, error) {
    if (error.name === 'AbortError')
        return;
    const close = el('button', {type: 'button', class: 'plain', 'aria-label': 'Close this message', onclick: () => note.remove()}, '✕');
    const note = el('div', {class: 'note'}, el('p', {}, el('strong', {}, `${what}: `), error.message), close);
    const notes = part('notes');
    notes.append(note);
    while (notes.children.length > NOTES_MAX)
        notes.firstElementChild.remove();
}
