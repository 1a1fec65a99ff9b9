// Elements without markup: everything a server or a guest said becomes a text node or an attribute
// from the short list below, never HTML. No other file of this folder makes elements another way.

const ATTRIBUTES = new Set(['alt', 'class', 'datetime', 'for', 'href', 'id', 'name', 'role', 'tabindex', 'title', 'type', 'value']);

// el('button', {class: 'small', onclick: f}, 'Start'): children are texts or nodes; null is left out.
export function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith('on'))
            node.addEventListener(name.slice(2), value);
        else if (ATTRIBUTES.has(name) || /^(aria|data)-[a-z-]+$/.test(name))
            node.setAttribute(name, value);
        else
            throw new TypeError(`el(): attribute ${name}`);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
}

// An own part of the page; a missing one is a mistake in index.html.
export function part(id) {
    const node = document.getElementById(id);
    if (!node)
        throw new Error(`index.html has no #${id}`);
    return node;
}

// Writes a text only where it differs: selections and screen readers are left alone otherwise.
export function setText(node, text) {
    if (node.textContent !== text)
        node.textContent = text;
}

export function setHidden(node, hidden) {
    if (node.hidden !== hidden)
        node.hidden = hidden;
}

// aria-disabled instead of disabled: the button keeps the keyboard's focus while a job runs.
export function setDisabled(button, disabled) {
    if (disabled)
        button.setAttribute('aria-disabled', 'true');
    else
        button.removeAttribute('aria-disabled');
}

export function isDisabled(button) {
    return button.getAttribute('aria-disabled') === 'true';
}

// Makes the children of 'parent' the nodes of 'wanted', in that order, touching what is in place
// already as little as possible: the focus stays where it is.
export function arrange(parent, wanted) {
    const keep = new Set(wanted);
    for (const child of [...parent.children])
        if (!keep.has(child))
            child.remove();
    wanted.forEach((node, i) => {
        if (parent.children[i] !== node)
            parent.insertBefore(node, parent.children[i] ?? null);
    });
}
