// Server-sent events out of a byte stream (WHATWG HTML, 9.2.6). EventSource cannot send an
// Authorization header, so the page reads the stream with fetch and takes it apart here. Pure.

const LINE_MAX = 1 << 20; // of a server that went mad

export class SseParser {
    #decoder = new TextDecoder();
    #rest = '';
    #event = '';
    #data = [];
    lastId = '';

    // The events that 'bytes' complete: [{id, type, data}].
    push(bytes) {
        this.#rest += this.#decoder.decode(bytes, {stream: true});
        if (this.#rest.length > LINE_MAX)
            throw new RangeError('a line of the event stream is too long');
        const events = [];
        // a CR at the very end may be half of CRLF: it waits for the next bytes
        for (let m; (m = /\r\n|\n|\r(?!$)/.exec(this.#rest));) {
            const line = this.#rest.slice(0, m.index);
            this.#rest = this.#rest.slice(m.index + m[0].length);
            if (line === '')
                this.#dispatch(events);
            else
                this.#field(line);
        }
        return events;
    }

    #field(line) {
        const colon = line.indexOf(':');
        const name = colon < 0 ? line : line.slice(0, colon);
        const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
        if (name === 'event')
            this.#event = value;
        else if (name === 'data')
            this.#data.push(value);
        else if (name === 'id' && !value.includes('\0'))
            this.lastId = value;
    }

    #dispatch(events) {
        if (this.#data.length)
            events.push({id: this.lastId, type: this.#event || 'message', data: this.#data.join('\n')});
        this.#event = '';
        this.#data = [];
    }
}
