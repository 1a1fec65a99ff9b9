// The host in one line, and below it what is wrong with it and how to mend that.

import {el, part, setHidden, setText} from './dom.js';
import {sizeText} from './words.js';

export function drawHost(host) {
    setText(part('host-name'), host.hostname);
    setText(part('host-accel'), host.accel.chosen.toUpperCase());
    setText(part('host-reason'), host.accel.reason);
    setText(part('host-memory'), `${sizeText(host.memory.available_bytes)} of ${sizeText(host.memory.total_bytes)} free`);
    const meter = part('host-meter');
    meter.max = host.memory.total_bytes || 1;
    meter.value = host.memory.total_bytes - host.memory.available_bytes;
    setText(part('host-version'), `vmmd ${host.version}${host.qemu.version ? `, QEMU ${host.qemu.version.split(' ')[0]}` : ''}`);
    drawFindings(host.findings.filter((finding) => finding.severity === 'warning' || finding.severity === 'error'));
}

let shown = '';

function drawFindings(findings) {
    const text = JSON.stringify(findings);
    if (text === shown)
        return;
    shown = text;
    setHidden(part('findings'), !findings.length);
    setText(part('findings-title'), `${findings.length} ${findings.length === 1 ? 'thing' : 'things'} to look at on this host`);
    part('findings-list').replaceChildren(...findings.map((finding) => el('li', {class: finding.severity},
        el('p', {}, el('strong', {}, `${finding.severity === 'error' ? '✖ Error' : '▲ Warning'}: ${finding.title}`)),
        el('p', {}, finding.evidence),
        finding.fix ? el('p', {}, 'What to do: ', finding.fix) : null)));
    if (findings.some((finding) => finding.severity === 'error'))
        part('findings').open = true;
}
