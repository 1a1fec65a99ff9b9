// What nobody may find who reads vmmd's files, logs and processes: every token, password, cookie, code and secret that went by.
import {readFileSync, readdirSync, readlinkSync} from 'node:fs';
import {join} from 'node:path';

const MEMBERS = ['password', 'old', 'token', 'code', 'csrf', 'secret'], LEAST = 8; // shorter ones stand everywhere

// Keeps what is secret of a request's body and of its reply; 'kept' is a Map from the text to what it is.
export function keepSecrets(kept, path, sent, reply) {
    for (const object of [sent, reply.json])
        for (const member of MEMBERS)
            if (typeof object?.[member] === 'string' && object[member].length >= LEAST && !(member === 'code' && 'detail' in object))
                kept.set(object[member], `${member} of ${path.split('?')[0]}`);
    for (const cookie of reply.headers['set-cookie'] ?? [])
        if (cookie.split(';')[0].split('=')[1].length >= LEAST)
            kept.set(cookie.split(';')[0].split('=')[1], 'cookie');
}

const files = (folder) => readdirSync(folder, {withFileTypes: true}).flatMap((entry) =>
    entry.isDirectory() ? files(join(folder, entry.name)) : entry.isFile() ? [join(folder, entry.name)] : []);

// The command lines and environments of the processes whose program lies in the folder.
const processes = (programs) => readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
        return readlinkSync(`/proc/${pid}/exe`).startsWith(programs) ? [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`] : [];
    } catch {
        return []; // gone, or not ours
    }
});

// Where in the daemon's folder, and in its processes, which of them stand. 'meant' says what is to be there: (file, what it is) => boolean.
export function findSecrets(daemon, kept, meant) {
    const found = [], seen = [...files(daemon.folder), ...processes(daemon.programs)];
    for (const path of seen) {
        let content;
        try {
            content = readFileSync(path);
        } catch {
            continue; // a process that has ended
        }
        for (const [secret, what] of kept)
            if (content.includes(secret) && !meant(path, what))
                found.push(`${what} in ${path}`);
    }
    return {found, seen};
}
