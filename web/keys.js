// The bytes a serial terminal sends for a key (xterm's, which Linux and the BSDs expect). Pure.

const NAMED = {
    Enter: '\r', Backspace: '\x7f', Tab: '\t', Escape: '\x1b', ArrowUp: '\x1b[A', ArrowDown: '\x1b[B', ArrowRight: '\x1b[C',
    ArrowLeft: '\x1b[D', Home: '\x1b[H', End: '\x1b[F', Insert: '\x1b[2~', Delete: '\x1b[3~', PageUp: '\x1b[5~', PageDown: '\x1b[6~',
};

// Ctrl+] as in vmmctl; Shift+Tab as everywhere on a page, for keyboards that cannot type the first.
export function isLeaveKey(event) {
    return (event.ctrlKey && event.key === ']') || (event.shiftKey && event.key === 'Tab');
}

// null: the key is the browser's.
export function keyText(event) {
    if (event.metaKey || event.isComposing)
        return null;
    if (event.ctrlKey && !event.altKey) {
        const key = event.key.toUpperCase();
        if (key.length !== 1 || event.shiftKey) // Ctrl+Shift+C and V stay copy and paste
            return null;
        if (key === ' ')
            return '\0';
        return /[@A-Z[\\\]^_]/.test(key) ? String.fromCharCode(key.charCodeAt(0) & 0x1f) : null;
    }
    const text = NAMED[event.key] ?? ([...event.key].length === 1 ? event.key : null);
    return text !== null && event.altKey && !event.ctrlKey ? `\x1b${text}` : text;
}
