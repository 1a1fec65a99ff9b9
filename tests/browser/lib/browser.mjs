// One Chromium for a test file; a fresh context (cookies, storage) for each test. Every page is
// watched: a violation of its policy, an uncaught exception, a console error, a dialog or a request
// to anywhere else is kept in page.trouble, and watched() demands that there was none.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {join} from 'node:path';
import {chromium} from 'playwright-core';

// launch() makes a profile of its own and removes it again
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];
// What the page asks for may have been deleted a moment before: it takes the 404 for an answer, and
// Chromium writes every 404 to the console. Which comes first is up to the scheduler.
const GONE = /status of 404 .*\/api\/v1\/(vms|operations)\/[0-9a-f-]{36}$/;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export class Browser {
    static async start(daemon) {
        const browser = new Browser();
        browser.daemon = daemon;
        browser.chromium = await chromium.launch({executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS});
        return browser;
    }

    stop() {
        return this.chromium.close();
    }

    // Runs 'story' on a new page; 'signedIn' puts the token where the page keeps it.
    async page(story, {signedIn = true, path = '/', expected = [], ...context} = {}) {
        const own = await this.chromium.newContext({ignoreHTTPSErrors: true, viewport: {width: 1280, height: 900}, ...context});
        const page = await own.newPage();
        page.setDefaultTimeout(Number(process.env.PATIENCE_MS ?? 15000));
        page.trouble = [];
        watch(page, this.daemon.url);
        await page.addInitScript(() => document.addEventListener('securitypolicyviolation', (event) =>
            console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`)));
        if (signedIn)
            await page.addInitScript((token) => sessionStorage.getItem('vmmd.token') ?? sessionStorage.setItem('vmmd.token', token), this.daemon.token);
        try {
            await page.goto(this.daemon.url + path);
            await story(page);
            assert.deepEqual(page.trouble.filter((text) => ![GONE, ...expected].some((pattern) => pattern.test(text))), []);
        } catch (error) {
            if (process.env.SHOTS)
                await page.screenshot({path: join(process.env.SHOTS, 'failed.png')}).catch(() => {});
            throw error;
        } finally {
            await own.close();
        }
    }
}

function watch(page, url) {
    page.on('console', (message) => message.type() === 'error' && page.trouble.push(`${message.text()} ${message.location().url}`));
    page.on('pageerror', (error) => page.trouble.push(`uncaught: ${error.message}`));
    page.on('dialog', (dialog) => {
        page.trouble.push(`dialog: ${dialog.message()}`);
        dialog.dismiss();
    });
    page.on('request', (request) => {
        const to = request.url();
        if (!to.startsWith(`${url}/`) && !to.startsWith(`blob:${url}/`))
            page.trouble.push(`request to ${to}`);
        if (/vmmd_|token=/.test(to))
            page.trouble.push(`a token in an address: ${to}`);
    });
}

// No serious accessibility violation on what is shown now.
export async function accessible(page) {
    await page.evaluate(AXE); // through the debugger: the page's policy does not apply to it
    const {violations} = await page.evaluate(() => globalThis.axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}));
    assert.deepEqual(violations.filter((v) => ['serious', 'critical'].includes(v.impact)).map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`), []);
}

// A picture for the eyes, where SHOTS says to keep them.
export async function shot(page, name) {
    if (process.env.SHOTS)
        await page.screenshot({path: join(process.env.SHOTS, `${name}.png`)});
}

// Nothing sticks out to the right.
export async function fits(page) {
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(wide <= room, `the page is ${wide} px wide and has ${room}`);
}
