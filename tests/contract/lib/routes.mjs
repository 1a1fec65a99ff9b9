// The daemon's own list of routes, read from the table in api/routes.c.
import {readFileSync} from 'node:fs';
import {ROOT} from './spec.mjs';

export function servedRoutes(text = readFileSync(`${ROOT}api/routes.c`, 'utf8')) {
    const macros = {};
    const value = (tokens) => tokens.match(/"(?:[^"\\]|\\.)*"|\w+/g).map((t) => t[0] === '"' ? JSON.parse(t) : macros[t]).join('');
    for (const [, name, tokens] of text.matchAll(/^#define (\w+) +((?:"[^"]*"|\w+)(?: +(?:"[^"]*"|\w+))*) *$/gm))
        macros[name] = value(tokens);
    const rows = [...text.matchAll(/^ *\{"([A-Z]+)", *([^,]+), *"(\w+)", *ROLE_(\w+),/gm)];
    return rows.map(([, method, pattern, id, role]) => ({method, path: value(pattern), id, role: role.toLowerCase()}));
}
