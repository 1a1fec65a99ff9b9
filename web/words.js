// Words for people: sizes, times, states, reasons, kinds of operations. Pure; tested without a page.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function sizeText(bytes) {
    if (bytes === null || bytes === undefined)
        return 'unknown';
    let unit = 0, value = bytes;
    while (value >= 1024 && unit < UNITS.length - 1) {
        value /= 1024;
        unit++;
    }
    return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

const SPANS = [['day', 86400], ['h', 3600], ['min', 60], ['s', 1]];

// "3 h 5 min": the two largest units.
export function spanText(seconds) {
    let left = Math.max(0, Math.floor(seconds));
    const first = SPANS.findIndex(([, size]) => left >= size);
    if (first < 0)
        return '0 s';
    const parts = [];
    for (const [name, size] of SPANS.slice(first, first + 2)) {
        const n = Math.floor(left / size);
        left -= n * size;
        if (n)
            parts.push(`${n} ${name === 'day' && n > 1 ? 'days' : name}`);
    }
    return parts.join(' ');
}

export function sinceText(time, now = Date.now()) {
    return time ? spanText((now - Date.parse(time)) / 1000) : '–';
}

// A state's sign and its look (a class of app.css). Colour is never the only difference.
const STATES = {
    running: ['●', 'good'], paused: ['❚❚', 'held'], off: ['○', 'idle'], saved: ['◍', 'idle'],
    crashed: ['✖', 'bad'], unknown: ['?', 'bad'],
};

export function stateLook(state) {
    const [icon, look] = STATES[state] ?? ['◌', 'busy'];
    return {icon, look};
}

const REASONS = {
    '': '', user: 'on request', 'io-error': 'a disk failed', 'no-space': 'the storage is full',
    'guest-panic': 'the guest panicked', watchdog: 'its watchdog fired', migration: 'it is being moved', debug: 'for debugging',
    'guest-shutdown': 'the guest powered off', 'start-failed': 'it could not be started',
    'start-timeout': 'the start took too long', 'worker-lost': 'its worker process ended',
    signal: 'QEMU was killed by a signal', seccomp: 'QEMU made a forbidden system call', exit: 'QEMU ended with an error',
    oom: 'the host ran out of memory', 'host-reset': 'the host was restarted',
    'host-shutdown': 'the host was shut down',
};

export function reasonText(reason) {
    return REASONS[reason] ?? reason;
}

const KINDS = {
    'vm.create': 'Create', 'vm.delete': 'Delete', 'vm.start': 'Start', 'vm.shutdown': 'Shut down', 'vm.stop': 'Power off',
    'vm.reset': 'Reset', 'vm.pause': 'Pause', 'vm.resume': 'Resume', 'vm.restart': 'Start again', 'vm.snapshot': 'Snapshot of', 'vm.revert': 'Revert',
    'vm.delete-snapshot': 'Delete a snapshot of', 'vm.archive-snapshot': 'Archive a snapshot of', 'vm.unarchive-snapshot': 'Unarchive a snapshot of', 'vm.clone': 'Clone', 'vm.clone-full': 'Clone', 'vm.flatten': 'Make independent', 'vm.export': 'Export', 'vm.import': 'Import', 'vm.move-storage': 'Move',
    'vm.add-disk': 'Add a disk to', 'vm.import-disk': 'Import a disk of', 'vm.remove-disk': 'Remove a disk from', 'vm.grow-disk': 'Grow a disk of', 'snapshot.export': 'Export a snapshot of',
    'host.shutdown-guests': 'Bring all VMs down', 'vm.save': 'Save', 'vm.discard': 'Discard the saved state of',
};

export function kindText(kind) {
    return KINDS[kind] ?? kind;
}

export const OPEN_STATES = new Set(['queued', 'running', 'cancelling', 'interrupted']);

// A text as one word of a POSIX shell.
export function shellWord(text) {
    return `'${text.replaceAll("'", "'\\''")}'`;
}
