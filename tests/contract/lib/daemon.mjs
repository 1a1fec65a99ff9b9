// A daemon for the suite, by tests/lib/daemon.sh; or one that runs already, by VMMD_URL and its like.
import {spawnSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {ROOT} from './spec.mjs';

const script = `${ROOT}tests/lib/daemon.sh`;

export function startDaemon() {
    let env = process.env, own = false;
    if (!env.VMMD_URL) {
        const done = spawnSync(script, ['start'], {encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']});
        if (done.status !== 0)
            throw new Error(`${script} start: exit status ${done.status}`);
        env = Object.fromEntries(done.stdout.trim().split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)));
        own = true;
    }
    return {
        url: new URL(env.VMMD_URL), token: env.VMMD_TOKEN, ca: env.VMMD_CACERT && readFileSync(env.VMMD_CACERT),
        folder: own && env.VMMD_DIR, programs: process.env.VMMD_BIN,
        stop() {
            if (!own)
                return 0;
            return spawnSync(script, ['stop', env.VMMD_DIR], {stdio: ['ignore', 'inherit', 'inherit']}).status;
        },
    };
}
