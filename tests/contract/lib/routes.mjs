// The daemon's own list of routes, read from the table in api/routes.c.
import {readFileSync} from 'node:fs';
import {ROOT} from './spec.mjs';

export function servedRoutes(text = readFileSync(`${ROOT}api/routes.c`, 'utf8')) {
    const macros = {};
    const value = (tokens) => tokens.match(/"(?:[^"\\]|\\.)*"|\w+/g).map((t) => t[0] === '"' ? JSON.parse(t) : macros[t]).join('');
    for (const [, name, tokens] of text.matchAll(/^#define (\w+) +((?:"[^"]*"|\w+)(?: +(?:"[^"]*"|\w+))*) *$/gm))
        macros[name] = value(tokens);
    const rows = [...text.matchAll(/^ *ROUTE\(([A-Z]+), *([^,]+), *(\w+), *([A-Z_]+),/gm)];
    return rows.map(([, method, pattern, id, right]) => ({method, path: value(pattern), id, right: right.toLowerCase().replaceAll('_', '-')}));
}

// The least role of every right, from the table in core/model/right.h.
export function rightRoles(text = readFileSync(`${ROOT}core/model/right.h`, 'utf8')) {
    const rows = [...text.matchAll(/^ *X\([A-Z_]+, "([a-z-]+)", ([A-Z]+),/gm)];
    return {public: 'none', self: 'viewer', ...Object.fromEntries(rows.map(([, word, role]) => [word, role.toLowerCase()]))};
}
