// What a guest wrote on its serial port, as lines of plain text. Pure: knows no page.
//
// This is a line printer with a movable head, not a screen: CR, LF, backspace, tab and the escape
// sequences that move within a line or erase it are obeyed; colours, titles, cursor addressing and
// every other control character are swallowed. Only the last line can still change, so a view has to
// touch nothing but that one and what is new. The kinds of sequences are those of ECMA-48, 5.4 and 5.6;
// one may come in pieces.

const LINES_MAX = 2000;
const COLUMNS_MAX = 1000;
const SEQUENCE_MAX = 256;
const TAB = 8;

export class Terminal {
    #decoder = new TextDecoder();
    #line = []; // the last line's characters
    #column = 0;
    #escape = null; // the sequence so far, without ESC; null: none
    lines = [''];
    dropped = 0; // lines that went away at the top

    write(bytes) {
        for (const c of this.#decoder.decode(bytes, {stream: true}))
            if (this.#escape !== null)
                this.#sequence(c);
            else
                this.#character(c);
        this.lines[this.lines.length - 1] = this.#line.join('');
    }

    // A line of our own, between what the guest wrote.
    note(text) {
        if (this.#line.length)
            this.#feed();
        this.#line = [...text];
        this.#feed();
    }

    #feed() {
        this.lines[this.lines.length - 1] = this.#line.join('');
        this.lines.push('');
        this.#line = [];
        this.#column = 0;
        if (this.lines.length > LINES_MAX) {
            this.dropped += this.lines.length - LINES_MAX;
            this.lines.splice(0, this.lines.length - LINES_MAX);
        }
    }

    #put(c) {
        if (this.#column >= COLUMNS_MAX)
            this.#feed();
        while (this.#line.length < this.#column)
            this.#line.push(' ');
        this.#line[this.#column++] = c;
    }

    #character(c) {
        const code = c.codePointAt(0);
        if (c === '\n')
            this.#feed();
        else if (c === '\r')
            this.#column = 0;
        else if (c === '\b')
            this.#column = Math.max(0, this.#column - 1);
        else if (c === '\t')
            this.#column = Math.min(COLUMNS_MAX - 1, (Math.floor(this.#column / TAB) + 1) * TAB);
        else if (c === '\x1b')
            this.#escape = '';
        else if (code >= 0x20 && (code < 0x7f || code > 0x9f) && !/\p{Bidi_Control}/u.test(c))
            this.#put(c);
    }

    #sequence(c) {
        const text = this.#escape += c;
        if (c === '\x18' || c === '\x1a' || text.length > SEQUENCE_MAX)
            this.#escape = null;
        else if (c === '\x1b' && text.length > 1 && !/^[\]PX^_]/.test(text))
            this.#escape = '';
        else if (text[0] === '[')
            this.#control(text);
        else if (/^[\]PX^_]/.test(text)) // a string, up to BEL or ST
            this.#escape = c === '\x07' || text.endsWith('\x1b\\') ? null : text;
        else if (!/[ -/]$/.test(text))
            this.#escape = null;
    }

    #control(text) {
        if (text.length === 1 || !/[@-~]$/.test(text))
            return;
        this.#escape = null;
        const n = Number.parseInt(text.slice(1), 10) || 0;
        const steps = Math.max(1, n);
        switch (text.at(-1)) {
        case 'C':
            this.#column = Math.min(COLUMNS_MAX - 1, this.#column + steps);
            break;
        case 'D':
            this.#column = Math.max(0, this.#column - steps);
            break;
        case 'G':
            this.#column = Math.min(COLUMNS_MAX, steps) - 1;
            break;
        case 'K':
            this.#erase(n);
            break;
        case 'P':
            this.#line.splice(this.#column, steps);
            break;
        }
    }

    #erase(what) {
        if (what === 0)
            this.#line.length = Math.min(this.#line.length, this.#column);
        else if (what === 1)
            this.#line.fill(' ', 0, this.#column + 1);
        else
            this.#line.length = 0;
    }
}
