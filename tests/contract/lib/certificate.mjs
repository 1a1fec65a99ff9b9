// A certificate of one's own with its key, made by openssl.
import {spawnSync} from 'node:child_process';
import {mkdtempSync, readFileSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';

export function newCertificate(subject, kind = 'ec') {
    const folder = mkdtempSync(join(tmpdir(), 'vmmd-certificate-')), key = join(folder, 'key'), pem = join(folder, 'pem');
    const curve = kind === 'ec' ? ['-pkeyopt', 'ec_paramgen_curve:P-256'] : [];
    try {
        const done = spawnSync('openssl', ['req', '-x509', '-newkey', kind, ...curve, '-nodes', '-days', '2', '-subj', subject, '-keyout', key, '-out', pem],
                               {encoding: 'utf8'});
        if (done.status !== 0)
            throw new Error(`openssl: ${done.stderr}`);
        return {pem: readFileSync(pem, 'utf8'), key: readFileSync(key, 'utf8')};
    } finally {
        rmSync(folder, {recursive: true});
    }
}
