// The page against the real daemon.
import assert from 'node:assert/strict';
import {after, before, describe, test} from 'node:test';
import {accessible, Browser, fits, shot} from './lib/browser.mjs';
import {startDaemon} from './lib/daemon.mjs';

const XSS = '<img src=x onerror=alert(1)><script>alert(1)</script>';
const NARROW = {viewport: {width: 320, height: 700}};

let daemon, browser;
before(async () => {
    daemon = startDaemon();
    if (!(await daemon.send('GET', '/pools')).items.length)
        await daemon.send('POST', '/pools', {name: 'main', root: 'main'});
    browser = await Browser.start(daemon);
});
after(async () => {
    await browser?.stop();
    assert.equal(daemon?.stop(), 0, 'the daemon ended by itself and without a report');
});

const row = (page, name) => page.getByRole('row').filter({has: page.getByRole('link', {name, exact: true})});
const state = (scope, text) => scope.locator(`.state[data-state="${text}"]`).waitFor();
const open = async (page, name) => {
    await page.getByRole('link', {name, exact: true}).click();
    await page.getByRole('heading', {level: 1, name, exact: true}).waitFor();
};
const serial = (page, text) => page.locator('#serial div').filter({hasText: text}).first().waitFor();

const dialog = (page) => page.locator('dialog[open]');

describe('accounts', () => {
    const inList = (page, list, name) => page.getByRole('list', {name: list}).getByRole('listitem').filter({has: page.getByText(name, {exact: true})});
    test('a user is made, gets a link and a grant, is changed and deleted', () => browser.page(async (page) => {
        await page.getByRole('link', {name: 'Accounts'}).click();
        await page.getByRole('heading', {level: 1, name: 'Accounts'}).waitFor();
        await page.getByRole('button', {name: 'Add user'}).click();
        await dialog(page).getByLabel('Name').fill('zoe');
        await dialog(page).getByLabel('Role').selectOption('none');
        await dialog(page).getByRole('button', {name: 'Create'}).click();
        await dialog(page).getByRole('heading', {name: 'A link for zoe'}).waitFor();
        assert.match(await dialog(page).getByLabel('Address').inputValue(), /#.+/);
        await accessible(page);
        await dialog(page).getByRole('button', {name: 'Close'}).click();
        const zoe = inList(page, 'Users', 'zoe');
        await zoe.getByText('no role · has no password yet').waitFor();
        await zoe.getByRole('button', {name: 'Grant zoe'}).click();
        await dialog(page).getByLabel('VMs with the label').fill('no label');
        await dialog(page).getByRole('button', {name: 'Grant'}).click();
        await dialog(page).getByText('a label is written as key=value').waitFor();
        await dialog(page).getByLabel('VMs with the label').fill('team=a');
        await dialog(page).getByRole('button', {name: 'Grant'}).click();
        await zoe.getByText('operator for team=a').waitFor();
        await shot(page, 'accounts');
        await page.setViewportSize({width: 320, height: 700});
        await fits(page);
        await shot(page, 'accounts-320');
        await accessible(page);
        await zoe.getByRole('button', {name: 'Revoke operator for team=a of zoe'}).click();
        await dialog(page).getByRole('button', {name: 'Revoke'}).click();
        await zoe.getByText('operator for team=a').waitFor({state: 'detached'});
        await zoe.getByRole('button', {name: 'Change zoe'}).click();
        await dialog(page).getByLabel('Role').selectOption('viewer');
        await dialog(page).getByLabel('Disabled').check();
        await dialog(page).getByRole('button', {name: 'Change'}).click();
        await zoe.getByText('viewer · disabled').waitFor();
        await zoe.getByRole('button', {name: 'Delete zoe'}).click();
        await dialog(page).getByRole('button', {name: 'Delete'}).click();
        await zoe.waitFor({state: 'detached'});
    }, {expected: [/status of 4/]}));
    test('a token is shown once and revoked', () => browser.page(async (page) => {
        await page.getByRole('link', {name: 'Accounts'}).click();
        await page.getByRole('button', {name: 'Create token'}).click();
        await dialog(page).getByLabel('Name').fill('pipeline');
        await dialog(page).getByRole('button', {name: 'Create'}).click();
        const text = await dialog(page).getByLabel('Token', {exact: true}).inputValue();
        assert.equal((await daemon.send('GET', '/session', undefined, {authorization: `Bearer ${text}`})).principal, 'token:pipeline');
        await dialog(page).getByRole('button', {name: 'Close'}).click();
        const row = inList(page, 'Tokens', 'pipeline');
        await row.getByRole('button', {name: 'Revoke pipeline'}).click();
        await dialog(page).getByRole('button', {name: 'Revoke'}).click();
        await row.waitFor({state: 'detached'});
    }, {expected: [/status of 4/]}));
    test('who signed in changes the own password, and sees no accounts without the right', async () => {
        await daemon.send('POST', '/users', {name: 'kim', role: 'operator'});
        await daemon.send('POST', '/users/kim/actions/set-password', {password: 'correct horse battery'});
        await browser.page(async (page) => {
            await page.getByLabel('User', {exact: true}).fill('kim');
            await page.getByLabel('Password', {exact: true}).fill('correct horse battery');
            await page.getByLabel('Password', {exact: true}).press('Enter');
            await page.getByRole('heading', {level: 1, name: 'Virtual machines'}).waitFor();
            assert.equal(await page.getByRole('link', {name: 'Accounts'}).count(), 0);
            await page.getByRole('button', {name: 'Password…'}).click();
            await dialog(page).getByLabel('The password so far').fill('not this one');
            await dialog(page).getByLabel('The new one').fill('another battery');
            await dialog(page).getByLabel('Again').fill('another battery');
            await dialog(page).getByRole('button', {name: 'Change'}).click();
            await dialog(page).getByText('the old password is wrong').waitFor();
            await dialog(page).getByLabel('The password so far').fill('correct horse battery');
            await dialog(page).getByRole('button', {name: 'Change'}).click();
            await dialog(page).waitFor({state: 'detached'});
            await page.getByRole('button', {name: 'Sign out'}).click();
            await page.getByLabel('User', {exact: true}).fill('kim');
            await page.getByLabel('Password', {exact: true}).fill('another battery');
            await page.getByLabel('Password', {exact: true}).press('Enter');
            await page.getByRole('heading', {level: 1, name: 'Virtual machines'}).waitFor();
        }, {signedIn: false, expected: [/status of 4/]});
        await daemon.send('DELETE', '/users/kim');
    });
});

describe('signing in', () => {
    test('a link leads to a password, and that to a session; signing out ends it', async () => {
        await daemon.send('POST', '/users', {name: 'ann', role: 'viewer'});
        const {path} = await daemon.send('POST', '/users/ann/actions/link', {});
        await browser.page(async (page) => {
            assert.ok(!page.url().includes('welcome'), 'the code left the address');
            await shot(page, 'welcome');
            await accessible(page);
            await page.getByLabel('Choose a password').fill('too short');
            await page.getByRole('button', {name: 'Set password'}).click();
            await page.getByText('at least 10 characters', {exact: false}).first().waitFor();
            await page.getByLabel('Choose a password').fill('correct horse battery');
            await page.getByLabel('Again').fill('correct horse battery');
            await page.getByRole('button', {name: 'Set password'}).click();
            await page.getByRole('heading', {level: 1, name: 'Virtual machines'}).waitFor();
            assert.equal(await page.locator('#who').textContent(), 'ann');
            assert.equal(await page.locator('[data-create]:visible').count(), 0, 'a viewer creates nothing');
            assert.equal(await page.evaluate(() => document.cookie), '');
            await page.reload();
            await page.getByRole('heading', {level: 1, name: 'Virtual machines'}).waitFor();
            await page.getByRole('button', {name: 'Sign out'}).click();
            await page.getByLabel('Password', {exact: true}).waitFor();
            assert.equal((await page.context().cookies()).length, 0);
            await page.getByLabel('User', {exact: true}).fill('ann');
            await page.getByLabel('Password', {exact: true}).fill('not this one');
            await page.getByLabel('Password', {exact: true}).press('Enter');
            await page.getByText('The name or the password is wrong').waitFor();
            await page.getByLabel('Password', {exact: true}).fill('correct horse battery');
            await page.getByLabel('Password', {exact: true}).press('Enter');
            await page.getByRole('heading', {level: 1, name: 'Virtual machines'}).waitFor();
            await daemon.send('DELETE', '/users/ann');
            await page.reload();
            await page.getByText('Sign in again').waitFor();
        }, {signedIn: false, path, expected: [/status of 401/]});
    });

    test('somebody with grants sees those VMs, and the buttons that are for each', async () => {
        for (const [name, labels] of [['hers', {team: 'a'}], ['seen', {team: 'b'}], ['hidden', {}]])
            await daemon.send('POST', '/vms', {name, labels, backend: 'fake'}, {prefer: 'wait=20'});
        await daemon.send('POST', '/users', {name: 'eve', role: 'none'});
        await daemon.send('POST', '/users/eve/grants', {role: 'operator', label: 'team=a'});
        await daemon.send('POST', '/users/eve/grants', {role: 'viewer', label: 'team=b'});
        const {token} = await daemon.send('POST', '/tokens', {name: 'eves', role: 'operator', owner: 'eve'});
        await browser.page(async (page) => {
            await page.getByLabel('API token').fill(token);
            await page.getByLabel('API token').press('Enter');
            await row(page, 'seen').waitFor();
            assert.equal(await row(page, 'hidden').count(), 0);
            assert.equal(await row(page, 'seen').getByRole('button', {name: 'Start'}).count(), 0);
            assert.equal(await page.locator('#offline:visible').count(), 0);
            await row(page, 'hers').getByRole('button', {name: 'Start'}).click();
            await state(row(page, 'hers'), 'running');
            await page.locator('[data-create]:visible').first().click();
            await page.getByLabel('Name', {exact: true}).fill('new');
            assert.match(await page.locator('#create-curl').textContent(), /"labels":\{"team":"a"\}/);
            await page.keyboard.press('Escape');
            await open(page, 'seen');
            assert.equal(await page.locator('#vm-actions button:visible').count(), 0);
            assert.equal(await page.locator('#snapshot-take:visible').count(), 0);
        }, {signedIn: false});
        await daemon.send('POST', '/vms/hers/actions/stop', undefined, {prefer: 'wait=20'});
        for (const name of ['hers', 'seen', 'hidden'])
            await daemon.send('DELETE', `/vms/${name}`, undefined, {prefer: 'wait=20'});
        await daemon.send('DELETE', '/users/eve');
    });

    test('a token that is none is refused with a sentence and stays out of the storage', () => browser.page(async (page) => {
        await page.getByLabel('API token').fill('vmmd_00000000_nope');
        await page.getByRole('button', {name: 'Use the token'}).click();
        await page.getByText('does not accept this token').waitFor();
        assert.equal(await page.evaluate(() => sessionStorage.length + localStorage.length), 0);
        await page.getByLabel('API token').fill('two words');
        await page.getByLabel('API token').press('Enter');
        await page.getByText('it begins with vmmd_').waitFor();
        await shot(page, 'sign-in');
        await accessible(page);
    }, {signedIn: false, expected: [/status of 401/]}));

    test('a good token opens the page; signing out forgets it', () => browser.page(async (page) => {
        await page.getByLabel('API token').fill(daemon.token);
        await page.getByLabel('API token').press('Enter');
        await page.getByRole('heading', {level: 1, name: 'Virtual machines'}).waitFor();
        assert.ok(!page.url().includes('vmmd_'));
        await page.getByRole('button', {name: 'Sign out'}).click();
        await page.getByLabel('API token').waitFor();
        assert.equal(await page.evaluate(() => sessionStorage.getItem('vmmd.token')), null);
        assert.ok(!(await page.content()).includes(daemon.token));
    }, {signedIn: false}));

    test('a token that is revoked while the page is open leads back to the form', async () => {
        const token = await daemon.send('POST', '/tokens', {name: 'short', role: 'operator'});
        await browser.page(async (page) => {
            await page.getByLabel('API token').fill(token.token);
            await page.getByLabel('API token').press('Enter');
            await page.getByText('No virtual machines yet').waitFor();
            await daemon.send('DELETE', '/tokens/short');
            await daemon.fake('unseen');
            await daemon.send('DELETE', '/vms/unseen', undefined, {prefer: 'wait=30'});
            await page.getByText('no longer accepts your token').waitFor({timeout: 30000});
        }, {signedIn: false, expected: [/status of 401/]});
    });
});

describe('the list', () => {
    test('an empty one offers to create a VM and shows the host', () => browser.page(async (page) => {
        await page.getByRole('heading', {name: 'No virtual machines yet'}).waitFor();
        const host = await daemon.send('GET', '/host');
        await page.locator('#host-accel', {hasText: host.accel.chosen.toUpperCase()}).waitFor();
        assert.equal(await page.locator('#host-reason').textContent(), host.accel.reason);
        assert.equal(await page.locator('#findings li').count(), host.findings.filter((f) => f.severity === 'warning' || f.severity === 'error').length);
        await shot(page, 'empty');
        await accessible(page);
    }));

    test('a VM is created in the dialog; what is wrong stands at its field', () => browser.page(async (page) => {
        await page.getByRole('button', {name: 'Create VM'}).click();
        await page.getByLabel('Name', {exact: true}).fill('../x');
        await page.getByLabel('Memory (MiB)').fill('lots');
        await page.getByRole('checkbox').uncheck();
        await page.getByRole('button', {name: 'Create', exact: true}).click();
        await page.locator('#create [aria-invalid="true"]').first().waitFor();
        assert.notEqual(await page.locator('#create-name-error').textContent() + await page.locator('#create-memory-error').textContent(), '');
        await page.getByText('The same with curl').click();
        assert.ok(!(await page.locator('#create-curl').textContent()).includes(daemon.token));
        await shot(page, 'create');
        await accessible(page);
        await page.getByLabel('Name', {exact: true}).fill('made-here');
        await page.getByLabel('Memory (MiB)').fill('128');
        await page.getByLabel('Disk (GiB)').fill('0.01');
        assert.match(await page.locator('#create-curl').textContent(), /-d '\{"name":"made-here","vcpus":1,"memory_bytes":134217728,"disks":\[\{"size_bytes":\d+\}\]\}'/);
        await page.getByRole('button', {name: 'Create', exact: true}).click();
        await page.getByRole('heading', {level: 1, name: 'made-here'}).waitFor();
        const vm = await daemon.send('GET', '/vms/made-here');
        assert.equal(vm.memory_bytes, 128 << 20);
        assert.equal(vm.disks[0].size_bytes % 512, 0);
        assert.equal(vm.run.state, 'off');
        await page.getByRole('link', {name: 'All virtual machines'}).click();
        await state(row(page, 'made-here'), 'off');
    }, {expected: [/status of 4\d\d/]}));

    test('Escape closes the dialog and gives the focus back', () => browser.page(async (page) => {
        const button = page.getByRole('button', {name: 'Create VM'});
        await button.focus();
        await page.keyboard.press('Enter');
        await page.getByRole('dialog').waitFor();
        await page.keyboard.press('Escape');
        await page.getByRole('dialog').waitFor({state: 'hidden'});
        assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Create VM');
    }));

    test('a VM created elsewhere appears by itself, and what others do to it shows', async () => {
        await browser.page(async (page) => {
            await page.getByRole('heading', {level: 1, name: 'Virtual machines'}).waitFor();
            await daemon.fake('elsewhere');
            await state(row(page, 'elsewhere'), 'off');
            await daemon.act('elsewhere', 'start');
            await state(row(page, 'elsewhere'), 'running');
            await page.locator('#spoken', {hasText: 'elsewhere is running'}).waitFor({state: 'attached'});
            await daemon.act('elsewhere', 'stop');
            await state(row(page, 'elsewhere'), 'off');
            await daemon.send('DELETE', '/vms/elsewhere', undefined, {prefer: 'wait=30'});
            await row(page, 'elsewhere').waitFor({state: 'detached'});
        });
    });

    test('the search narrows it and lies in the address', async () => {
        await daemon.fake('alpha', {labels: {team: 'red'}});
        await daemon.fake('beta', {labels: {team: 'blue'}});
        await browser.page(async (page) => {
            await row(page, 'alpha').waitFor();
            await page.keyboard.press('/');
            await page.keyboard.type('blue');
            await row(page, 'alpha').waitFor({state: 'detached'});
            await row(page, 'beta').waitFor();
            assert.equal(await page.evaluate(() => location.hash), '#/?q=blue');
            await page.reload();
            await row(page, 'beta').waitFor();
            assert.equal(await page.getByLabel('Search').inputValue(), 'blue');
            await page.getByLabel('Search').fill('nothing like it');
            await page.getByText('No virtual machine matches').waitFor();
        });
    });

    test('start, pause, resume and power off by the buttons', async () => {
        await daemon.fake('buttons');
        await browser.page(async (page) => {
            const it = row(page, 'buttons');
            const press = (name) => it.getByRole('button', {name: `${name} buttons`}).click();
            await state(it, 'off');
            assert.equal(await it.getByRole('button', {name: 'Pause buttons'}).count(), 0);
            await press('Start');
            await state(it, 'running');
            await it.getByRole('button', {name: 'Shut down buttons'}).waitFor();
            await shot(page, 'list');
            await accessible(page);
            await press('Pause');
            await state(it, 'paused');
            await press('Resume');
            await state(it, 'running');
            await press('Power off');
            await state(it, 'off');
            await page.getByText('Operations', {exact: false}).first().click();
            await page.locator('#operations-list li', {hasText: 'Power off buttons'}).first().waitFor();
            await shot(page, 'operations');
            await accessible(page);
        });
    });

    test('a refusal is said, and can be closed', async () => {
        await daemon.fake('late');
        await browser.page(async (page) => {
            const button = row(page, 'late').getByRole('button', {name: 'Start late'});
            await button.waitFor();
            await page.route('**/actions/start', async (route) => { // somebody was faster
                await daemon.act('late', 'start');
                await route.continue();
            });
            await button.click();
            await page.locator('.note', {hasText: 'Start late'}).waitFor();
            await page.getByRole('button', {name: 'Close this message'}).click();
            await page.locator('.note').waitFor({state: 'detached'});
        }, {expected: [/status of 409/]});
    });
});

describe('a VM', () => {
    before(async () => {
        await daemon.fake('talker', {vcpus: 2, labels: {ci: 'true'}, notes: 'first\nsecond'});
        await daemon.act('talker', 'start');
    });

    test('shows its configuration, its screen and what applies later', () => browser.page(async (page) => {
        await open(page, 'talker');
        await state(page.locator('#vm-body'), 'running');
        await page.locator('#screen[src^="blob:"]').waitFor();
        const first = await page.locator('#screen').getAttribute('src');
        await page.waitForFunction((src) => document.getElementById('screen').src !== src, first);
        assert.equal(await page.locator('#screen').evaluate((img) => img.decode().then(() => img.naturalWidth)), 640);
        await daemon.send('PATCH', '/vms/talker', {memory_bytes: 128 << 20}, {'content-type': 'application/merge-patch+json'});
        await page.locator('#vm-pending', {hasText: '128 MiB'}).waitFor();
        await shot(page, 'vm');
        await accessible(page);
    }));

    test('its serial port is shown as it speaks, and answers a typed line', () => browser.page(async (page) => {
        await open(page, 'talker');
        await serial(page, 'fake machine booted');
        await page.getByLabel('Line to type').fill('hello there');
        await page.getByLabel('Line to type').press('Enter');
        await serial(page, 'you said: hello there');
        const ticks = await page.locator('#serial div').filter({hasText: /^tick/}).count();
        await page.waitForFunction((n) => [...document.querySelectorAll('#serial div')].filter((d) => d.textContent.startsWith('tick')).length > n, ticks);
    }));

    test('every key goes to the guest when asked for, and there is a way out', () => browser.page(async (page) => {
        await open(page, 'talker');
        await serial(page, 'tick');
        await page.getByRole('button', {name: 'Send every key'}).click();
        await page.keyboard.type('raw keys/');
        await page.keyboard.press('Enter');
        await serial(page, 'you said: raw keys/');
        await page.keyboard.press('Control+]');
        assert.equal(await page.getByRole('button', {name: 'Send every key'}).getAttribute('aria-pressed'), 'false');
        assert.equal(await page.evaluate(() => document.activeElement.id), 'serial-raw');
    }));

    test('what guest and users write is text and nothing else', async () => {
        await daemon.fake('hostile', {labels: {x: XSS, esc: '\u202egnp.exe'}, notes: XSS});
        await daemon.act('hostile', 'start');
        await browser.page(async (page) => {
            await row(page, 'hostile').locator('.label', {hasText: '<img src=x'}).waitFor();
            await open(page, 'hostile');
            await page.locator('#vm-config dd', {hasText: '<script>alert(1)</script>'}).first().waitFor();
            await page.getByLabel('Line to type').fill(`${XSS}\x1b[31mred\x1b]0;title\x07`);
            await page.getByLabel('Line to type').press('Enter');
            await serial(page, `you said: ${XSS}red`);
            await page.goto(`${daemon.url}/#/?q=${encodeURIComponent('<svg onload=alert(1)>')}`);
            await page.getByText('No virtual machine matches').waitFor();
            assert.equal(await page.locator('#app script, #app img[src="x"], #app [onerror]').count(), 0);
        });
        await daemon.act('hostile', 'stop');
    });

    test('is deleted only after its name was typed', async () => {
        await daemon.fake('doomed');
        await browser.page(async (page) => {
            await open(page, 'doomed');
            await page.getByRole('button', {name: 'Delete…'}).click();
            await accessible(page);
            await page.getByLabel('Type its name').fill('doome');
            await page.getByLabel('Type its name').press('Enter');
            assert.equal(await page.getByRole('button', {name: 'Delete', exact: true}).getAttribute('aria-disabled'), 'true');
            await page.getByLabel('Type its name').fill('doomed');
            await page.getByLabel('Type its name').press('Enter');
            await page.getByRole('heading', {level: 1, name: 'Virtual machines'}).waitFor();
            await row(page, 'doomed').waitFor({state: 'detached'});
        }, {expected: [/status of 404.*\/api\/v1\/vms\//]}); // it may go while the page asks for it
        await assert.rejects(daemon.send('GET', '/vms/doomed'), /404/);
    });

    test('an address of one that is gone says so', () => browser.page(async (page) => {
        await page.getByText('It does not exist, or not any more').waitFor();
    }, {path: '/#/vm/3f2504e0-4f89-41d3-9a0c-0305e82c3301'}));

    test('a crash shows its reason and last words', () => browser.page(async (page) => {
        const vm = await daemon.send('GET', '/vms/talker');
        await page.route(`**/vms/${vm.id}`, (route) => route.fulfill({json: {...vm, state: 'crashed',
            run: {...vm.run, state: 'crashed', reason: 'signal', detail: 'qemu: <b>bad</b> thing'}, actions: ['start', 'delete']}}));
        await open(page, 'talker');
        await daemon.act('talker', 'pause'); // an event: the page asks again
        await page.locator('#vm-detail', {hasText: 'qemu: <b>bad</b> thing'}).waitFor();
        await page.getByText('QEMU was killed by a signal').waitFor();
        await accessible(page);
        await daemon.act('talker', 'resume');
    }));
});

describe('snapshots', () => {
    const item = (page, name) => page.locator('#snapshot-list > li').filter({has: page.locator('.vm-name', {hasText: new RegExp(`^${name}$`)})});
    const press = (page, name) => page.getByRole('button', {name, exact: true}).click();
    const take = async (page, name, notes = '') => {
        await page.getByRole('button', {name: 'Take snapshot…'}).click();
        await page.locator('#ask').getByLabel('Name', {exact: true}).fill(name);
        await page.locator('#ask').getByLabel('Notes').fill(notes);
        await press(page, 'Take it');
        await item(page, name).locator('.here:visible').waitFor();
    };
    // A snapshot is there a moment before its operation lets go of the VM.
    const rest = async () => {
        for (let vm; (vm = await daemon.send('GET', '/vms/tree')).job;)
            await daemon.send('GET', `/operations/${vm.job.id}?wait=30`);
    };
    before(() => daemon.fake('tree', {disks: [{size_bytes: 1 << 20}]}));

    test('are taken, and stand as a tree in which the VM is somewhere', () => browser.page(async (page) => {
        await open(page, 'tree');
        await page.getByText('None yet.').waitFor();
        await take(page, 'clean', XSS);
        await take(page, 'updated');
        assert.equal(await item(page, 'updated').getAttribute('data-level'), '2');
        assert.equal(await item(page, 'clean').locator('.here:visible').count(), 0);
        assert.equal(await item(page, 'clean').locator('.notes-text').textContent(), XSS);
        await page.locator('#serial-form').scrollIntoViewIfNeeded();
        await shot(page, 'snapshots');
        await accessible(page);
    }));

    test('a name that is taken is refused in the dialog', () => browser.page(async (page) => {
        await open(page, 'tree');
        await page.getByRole('button', {name: 'Take snapshot…'}).click();
        await page.locator('#ask').getByLabel('Name', {exact: true}).fill('clean');
        await press(page, 'Take it');
        await page.locator('#ask-error', {hasText: 'clean'}).waitFor();
        await press(page, 'Close');
    }, {expected: [/status of 409/]}));

    test('one is reverted to, with what was there kept first', () => browser.page(async (page) => {
        await rest();
        await open(page, 'tree');
        await press(page, 'Revert clean');
        await page.locator('#ask-submit:not([aria-disabled])').waitFor();
        await shot(page, 'revert');
        await accessible(page);
        await press(page, 'Revert');
        await item(page, 'clean').locator('.here:visible').waitFor();
        await rest();
        assert.match(await page.locator('#snapshot-list').textContent(), /before-revert-/);
        await take(page, 'branch');
        assert.equal(await item(page, 'branch').getAttribute('data-level'), '2');
    }));

    test('one of a running VM has its memory, and going back goes on there', async () => {
        await daemon.act('tree', 'start');
        await browser.page(async (page) => {
            await open(page, 'tree');
            await take(page, 'alive');
            await item(page, 'alive').getByText('with memory').waitFor();
            await rest();
            await press(page, 'Revert alive');
            await page.getByText('It goes on at the instant of the snapshot.').waitFor();
            await page.locator('#ask').getByLabel('Take a snapshot of how it is now').uncheck();
            await press(page, 'Revert');
            await page.locator('#ask').waitFor({state: 'hidden'});
            await rest();
            await state(page.locator('#vm-body'), 'running');
        });
        await daemon.act('tree', 'stop');
        await daemon.send('DELETE', '/snapshots/' + (await daemon.send('GET', '/vms/tree/snapshots')).items.find((s) => s.name === 'alive').id, undefined, {prefer: 'wait=30'});
    });

    test('a VM that is held cannot be reverted, and the button says why', async () => {
        const {items: [clean]} = await daemon.send('GET', '/vms/tree/snapshots?filter=name%3D%3Dclean');
        await browser.page(async (page) => {
            await open(page, 'tree');
            await page.getByRole('button', {name: 'Revert clean'}).waitFor();
            await page.route(`**/api/v1/vms/${clean.vm}`, async (route) => { // as it is while something goes on
                const answer = await route.fetch();
                await route.fulfill({response: answer, json: {...await answer.json(), actions: ['stop'], job: {id: clean.id, kind: 'vm.revert'}}});
            });
            await daemon.send('PATCH', '/vms/tree', {notes: 'held'}, {'content-type': 'application/merge-patch+json'});
            await page.locator('[data-verb="revert"][aria-disabled="true"]').first().waitFor();
            assert.match(await page.getByRole('button', {name: 'Revert clean'}).getAttribute('title'), /Another operation/);
        });
    });

    test('they are renamed, cloned and deleted, also by others', () => browser.page(async (page) => {
        await rest();
        await open(page, 'tree');
        await press(page, 'Rename updated');
        await page.locator('#ask').getByLabel('Name', {exact: true}).fill('patched');
        await press(page, 'Rename');
        await item(page, 'patched').waitFor();
        await press(page, 'Clone clean');
        await page.getByLabel('Name of the new VM').fill('twig');
        await page.locator('#ask').getByLabel('Start it').uncheck();
        await press(page, 'Clone');
        await item(page, 'clean').getByText('1 clone').waitFor();
        await rest();
        await press(page, 'Delete patched');
        await page.locator('#ask-submit:not([aria-disabled])').waitFor();
        await press(page, 'Delete');
        await item(page, 'patched').waitFor({state: 'detached'});
        await rest();
        await daemon.send('POST', '/vms/tree/snapshots', {name: 'from-afar'}, {prefer: 'wait=30'});
        await item(page, 'from-afar').waitFor();
    }));
});

describe('the event stream', () => {
    test('it goes on from the last number, and a reset loads everything again', () => browser.page(async (page) => {
        await row(page, 'talker').waitFor(); // the stream of the page that is left was asked for before
        const asked = [];
        let reset = false;
        await page.route('**/api/v1/events*', async (route) => {
            asked.push(route.request().headers()['last-event-id'] ?? null);
            if (asked.length === 1)
                await route.fulfill({contentType: 'text/event-stream', body: 'retry: 2000\nid: 41\n\n: alive\nid: 42\n\n'});
            else if (!reset) {
                reset = true;
                await daemon.fake('after-reset');
                await route.fulfill({contentType: 'text/event-stream', body: 'retry: 2000\nid: 42\n\nid: 90\nevent: reset\ndata: {"newest":90}\n\n'});
            } else
                await route.continue();
        });
        await page.reload();
        await row(page, 'after-reset').waitFor();
        await page.waitForFunction(() => document.getElementById('offline').hidden);
        assert.deepEqual(asked.slice(0, 2), [null, '42']);
    }));
});

describe('every width and light', () => {
    for (const [name, options] of [['320', NARROW], ['dark', {colorScheme: 'dark'}]])
        test(`${name}: list and VM fit and can be read`, () => browser.page(async (page) => {
            await row(page, 'talker').waitFor();
            await fits(page);
            await shot(page, `list-${name}`);
            await accessible(page);
            await open(page, 'talker');
            await page.locator('#screen[src^="blob:"]').waitFor();
            await serial(page, 'tick');
            await fits(page);
            await shot(page, `vm-${name}`);
            await accessible(page);
            await page.getByRole('link', {name: 'All virtual machines'}).click();
            await page.getByRole('button', {name: 'Create VM'}).click();
            await fits(page);
            await shot(page, `create-${name}`);
            await accessible(page);
        }, options));
});

// last: a fake machine ends with the process that this ends
describe('a daemon that goes away', () => {
    test('is told in a banner; afterwards the page catches up', async (t) => {
        if (!daemon.own)
            return t.skip('only a daemon of our own is killed');
        await browser.page(async (page) => {
            await open(page, 'talker');
            await state(page.locator('#vm-body'), 'running');
            await serial(page, 'tick');
            daemon.killMain();
            await page.getByText('The daemon does not answer').waitFor();
            await shot(page, 'offline');
            await accessible(page);
            await page.getByText('The daemon does not answer').waitFor({state: 'hidden'});
            await state(page.locator('#vm-body'), 'crashed');
            await page.locator('#vm-detail', {hasText: 'a fake machine ends with the daemon'}).waitFor();
            await shot(page, 'crashed');
            await page.getByRole('button', {name: 'Start talker'}).click();
            await state(page.locator('#vm-body'), 'running');
            await page.getByLabel('Line to type').fill('again');
            await page.getByLabel('Line to type').press('Enter');
            await serial(page, 'you said: again');
        }, {expected: [/Failed to load resource/]});
    });
});
