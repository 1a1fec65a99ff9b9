// The parts of the page that need no page: terminal, event parser, keys, words.
import assert from 'node:assert/strict';
import {cpSync, mkdtempSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, describe, test} from 'node:test';

// web/ has no package.json that calls its files modules; this copy has.
const modules = mkdtempSync(join(tmpdir(), 'vmmd-web-'));
cpSync(new URL('../../web/', import.meta.url), modules, {recursive: true});
writeFileSync(join(modules, 'package.json'), '{"type":"module"}');
after(() => rmSync(modules, {recursive: true}));
const load = (name) => import(join(modules, name));
const {Terminal} = await load('term.js');
const {SseParser} = await load('sse.js');
const {isLeaveKey, keyText} = await load('keys.js');
const {shellWord, sizeText, spanText} = await load('words.js');

const bytes = (text) => new TextEncoder().encode(text);

describe('the terminal', () => {
    const shows = (input, ...lines) => {
        const whole = new Terminal();
        whole.write(bytes(input));
        assert.deepEqual(whole.lines, lines);
        const pieces = new Terminal(); // a byte at a time it is the same
        for (const byte of bytes(input))
            pieces.write(Uint8Array.of(byte));
        assert.deepEqual(pieces.lines, lines);
    };

    test('ends lines at LF and returns at CR', () => shows('one\r\ntwo\nthree\rTH', 'one', 'two', 'THree'));
    test('rubs out with backspace, as shells do', () => shows('lsx\b \b -l', 'ls -l'));
    test('goes to the next tab stop', () => shows('a\tb', 'a       b'));
    test('drops colours', () => shows('\x1b[1;32mgreen\x1b[0m', 'green'));
    test('drops titles, ended by BEL or ST', () => shows('\x1b]0;a <b>title\x07x\x1b]0;t\x1b\\y', 'xy'));
    test('drops device strings and charset choices', () => shows('\x1bP1$r0m\x1b\\a\x1b(Bb\x1b=c', 'abc'));
    test('erases to the end of the line, to its beginning, all of it', () =>
        shows('abcdef\r\x1b[3C\x1b[K\nabcdef\x1b[3D\x1b[1K\nabc\x1b[2K\rx', 'abc', '    ef', 'x'));
    test('moves within the line', () => shows('abc\x1b[2Dx\x1b[5Gy', 'axc y'));
    test('drops control characters and changes of direction', () => shows('a\x00\x07\x85\u202eb\u2066c', 'abc'));
    test('keeps markup as text', () => shows('<script>alert(1)</script>', '<script>alert(1)</script>'));
    test('joins characters that came in pieces', () => shows('grün ☃', 'grün ☃'));
    test('survives bytes that are not UTF-8', () => {
        const terminal = new Terminal();
        terminal.write(Uint8Array.of(0xff, 0x41, 0xc0));
        terminal.write(bytes('B'));
        assert.match(terminal.lines[0], /A.*B/);
    });
    test('an endless sequence ends', () => {
        const terminal = new Terminal();
        terminal.write(bytes(`\x1b]0;${'x'.repeat(5000)}visible`));
        assert.match(terminal.lines.join(''), /visible$/);
    });
    test('keeps a bounded number of lines and columns', () => {
        const terminal = new Terminal();
        terminal.write(bytes('x'.repeat(5000) + '\n'.repeat(5000) + '\x1b[999999999Cy'));
        assert.equal(terminal.lines.length, 2000);
        assert.equal(terminal.dropped, 3005);
        assert.ok(terminal.lines.every((line) => line.length <= 1000));
    });
    test('puts notes on lines of their own', () => {
        const terminal = new Terminal();
        terminal.write(bytes('half'));
        terminal.note('[5 bytes are no longer kept]');
        terminal.write(bytes('rest'));
        assert.deepEqual(terminal.lines, ['half', '[5 bytes are no longer kept]', 'rest']);
    });
});

describe('the event parser', () => {
    const STREAM = 'retry: 2000\nid: 7\n\nid: 8\nevent: vm.state\ndata: {"a":\r\ndata: 1}\r\n\r\n: alive\nid: 12\n\ndata\n\n';

    test('gives events, and numbers without an event', () => {
        const parser = new SseParser();
        assert.deepEqual(parser.push(bytes(STREAM)), [{id: '8', type: 'vm.state', data: '{"a":\n1}'}, {id: '12', type: 'message', data: ''}]);
        assert.equal(parser.lastId, '12');
    });
    test('does not mind where the stream is cut', () => {
        const parser = new SseParser();
        const events = [...bytes(STREAM)].flatMap((byte) => parser.push(Uint8Array.of(byte)));
        assert.deepEqual(events.map((event) => event.id), ['8', '12']);
    });
    test('an event that is not complete is not given', () => {
        const parser = new SseParser();
        assert.deepEqual(parser.push(bytes('id: 3\ndata: x\n')), []);
    });
    test('a line without an end is refused', () => {
        const parser = new SseParser();
        assert.throws(() => parser.push(bytes('x'.repeat(2 << 20))), RangeError);
    });
});

describe('keys', () => {
    const press = (key, more = {}) => keyText({key, ...more});

    test('letters, Enter, arrows', () => assert.deepEqual([press('a'), press('ü'), press('Enter'), press('ArrowUp')], ['a', 'ü', '\r', '\x1b[A']));
    test('Ctrl and Alt', () => assert.deepEqual([press('c', {ctrlKey: true}), press('d', {ctrlKey: true}), press('b', {altKey: true})], ['\x03', '\x04', '\x1bb']));
    test('AltGr gives its character', () => assert.equal(press('@', {ctrlKey: true, altKey: true}), '@'));
    test('the browser keeps its own', () =>
        assert.deepEqual([press('F5'), press('Shift'), press('v', {metaKey: true}), press('C', {ctrlKey: true, shiftKey: true})], [null, null, null, null]));
    test('there are two ways out', () => {
        assert.ok(isLeaveKey({key: ']', ctrlKey: true}));
        assert.ok(isLeaveKey({key: 'Tab', shiftKey: true}));
        assert.ok(!isLeaveKey({key: 'Tab'}));
    });
});

describe('words', () => {
    test('sizes', () => assert.deepEqual([0, 1023, 1024, 1536, 2 ** 30, 1.5 * 2 ** 40].map(sizeText), ['0 B', '1023 B', '1 KiB', '1.5 KiB', '1 GiB', '1.5 TiB']));
    test('spans', () => assert.deepEqual([0, 59, 60, 3700, 172800 + 3600, -5].map(spanText), ['0 s', '59 s', '1 min', '1 h 1 min', '2 days 1 h', '0 s']));
    test('a shell word cannot end itself', () => assert.equal(shellWord("a'; reboot; '"), "'a'\\''; reboot; '\\'''"));
});
