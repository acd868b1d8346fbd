// Drives the console in a real browser. The first argument is what to do, the second where, as JSON. Prints one line of JSON for each step; what
// goes wrong ends it with a message. Between steps it may wait for a line on its input.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [what, where] = process.argv.slice(2);
const { base, link, pictures, pages = [], ...more } = JSON.parse(where);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
});
const said = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (step) => console.log(JSON.stringify(step));
const heard = async () => (await said.next()).value;

// A person's browser: everything that a page complains about is kept.
async function person(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  return { context, page, complaints };
}

async function enter({ page }, address = link) {
  await page.goto(address);
  await page.waitForURL(`${base}/console?done=entered`);
}

// Has the provider send a person back to the console.
async function comeBack({ page }, who) {
  await page.goto(`${base}/console`);
  await page.getByRole('link', { name: /Sign in with/ }).click();
  await page.locator('input[name=login]').fill(who);
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.locator('button[type=submit]').click();
}

// Signs a person in with the provider.
async function signIn(someone, who) {
  await comeBack(someone, who);
  await someone.page.waitForURL(`${base}/console?done=entered`);
}

// What is wrong with a page for those who don't see it, or don't see it well.
async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html.slice(0, 160)} ${any[0]?.message ?? ''}`).slice(0, 3).join(' | ')}`);
}

const name = (path) => path.replace(/^\/console\/?/, '').replace(/[^a-z0-9]+/gi, '-').slice(0, 60) || 'overview';

// How long pages took, in milliseconds; kept beside the pictures.
const figures = [];

async function look(someone, path, suffix = '') {
  const { page, complaints } = someone;
  complaints.length = 0;
  const answer = await page.goto(`${base}${path}`, { waitUntil: 'load' });
  const timing = await page.evaluate(async () => {
    const painted = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
    for (let n = 0; n < 50 && painted() === undefined; n += 1) await new Promise((done) => setTimeout(done, 10));
    const [load] = performance.getEntriesByType('navigation');
    const script = performance.getEntriesByType('resource').filter(({ initiatorType }) => initiatorType === 'script');
    return {
      paint_ms: Math.round(painted() ?? -1),
      answer_ms: Math.round(load.responseEnd - load.requestStart),
      load_ms: Math.round(load.loadEventEnd),
      page_bytes: load.decodedBodySize,
      script_bytes: script.reduce((sum, { decodedBodySize }) => sum + decodedBodySize, 0),
    };
  });
  figures.push({ path, suffix, ...timing });
  await page.screenshot({ path: join(pictures, `${name(path)}${suffix}.png`), fullPage: true });
  say({ path, suffix, status: answer.status(), title: await page.title(), violations: await violations(page), complaints: [...complaints], ...timing });
}

const scenarios = {
  // Every page, in light, in dark, and on a narrow screen.
  async pages() {
    const light = await person();
    await enter(light);
    for (const path of pages) await look(light, path);
    const storage = await light.context.storageState();
    const dark = await person({ colorScheme: 'dark', storageState: storage });
    for (const path of pages) await look(dark, path, '-dark');
    const narrow = await person({ viewport: { width: 420, height: 800 }, storageState: storage });
    for (const path of pages.slice(0, 3)) await look(narrow, path, '-narrow');
    const outside = await person();
    await look(outside, '/console/sign-in');
    await look(outside, '/console/link');
  },

  // What a person does: by keyboard, live, and with the gateway going away.
  async work() {
    const someone = await person();
    const { page } = someone;
    await enter(someone);
    say({ step: 'entered', hash: new URL(page.url()).hash });
    const again = await person();
    await again.page.goto(link);
    await again.page.getByText('This link was used').waitFor();
    say({ step: 'again' });

    await page.goto(`${base}/console/decisions`);
    say({ step: 'waiting' });
    await heard();
    await page.locator('#tail tbody tr').first().getByText('DENY').waitFor();
    await page.locator('#tail').getByText(more.tool).first().waitFor();
    say({ step: 'tail' });

    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/console\/decisions\/./);
    say({ step: 'opened', deciding: await page.locator('.ladder .deciding').count() });
    await page.locator('[data-verify]').click();
    await page.locator('[data-result] .notice').waitFor();
    say({ step: 'verified', result: await page.locator('[data-result]').innerText() });
    // A proof that doesn't fit is no proof.
    await page.route('**/v1/journal/*', async (route) => {
      const answer = await route.fetch();
      const proof = await answer.json();
      proof.entry = btoa(`${atob(proof.entry)} `);
      await route.fulfill({ response: answer, json: proof });
    });
    await page.locator('[data-verify]').click();
    await page.locator('[data-result] .notice.bad').waitFor();
    say({ step: 'forged', result: await page.locator('[data-result]').innerText() });
    await page.unroute('**/v1/journal/*');

    await page.goto(`${base}/console/agents`);
    await page.locator('#stop-agent').fill(more.agent);
    await page.locator('#stop-agent-reason').fill('a drill');
    await page.getByRole('button', { name: 'Stop it now' }).click();
    await page.getByText('Suspended. It is in effect.').waitFor();
    say({ step: 'suspended' });
    await heard();
    await page.getByLabel(/Reason to let/).fill('the drill is over');
    await page.getByRole('button', { name: 'Let it go on' }).click();
    await page.getByText('It goes on.').waitFor();
    say({ step: 'resumed' });

    await page.goto(`${base}/console/decisions`);
    await page.waitForFunction(() => document.getElementById('away').hidden);
    say({ step: 'kill' });
    await page.locator('#away:not([hidden])').waitFor({ timeout: 40000 });
    await page.screenshot({ path: join(pictures, 'away.png') });
    say({ step: 'away' });
  },

  // People whom a provider signs in, each with what their role lets them do.
  async sign_in() {
    for (const who of more.people) {
      const someone = await person();
      const { page } = someone;
      const callbacks = [];
      page.on('request', (request) => {
        if (request.url().startsWith(`${base}/console/sign-in/callback`)) callbacks.push(request.url());
      });
      await signIn(someone, who);
      await page.screenshot({ path: join(pictures, `sign-in-${who}.png`), fullPage: true });
      const sections = await page.locator('nav a').allInnerTexts();
      const [cookie] = (await someone.context.cookies(base)).filter(({ name: key }) => key === 'remit_console');
      say({ step: 'signed_in', who, person: await page.locator('.person').innerText(), role: await page.locator('.role').innerText(), main: await page.locator('main').innerText(), sections, cookie, violations: await violations(page) });
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.waitForURL(`${base}/console/sign-in`);
      say({ step: 'signed_out', who });
      // The answer once more: as it is, and for a browser that has begun a sign-in of its own.
      const first = await page.goto(callbacks[0]);
      const other = await person();
      await other.page.goto(`${base}/console/sign-in/start`);
      const second = await other.page.goto(callbacks[0]);
      say({ step: 'replayed', statuses: [first.status(), second.status()] });
    }
  },

  // People whom the console doesn't let in.
  async refused() {
    for (const who of more.people) {
      const someone = await person();
      await comeBack(someone, who);
      await someone.page.waitForURL(`${base}/console/sign-in/callback*`);
      say({ step: 'refused', who, main: await someone.page.locator('main').innerText(), cookies: (await someone.context.cookies(base)).map(({ name: key }) => key), violations: await violations(someone.page) });
    }
  },

  // A tool that changed, and a change of the configuration: each looked at, then agreed to.
  async changes() {
    const someone = await person();
    const { page } = someone;
    await enter(someone);
    await page.locator('.waits').getByText("changed, and can't be called").waitFor();
    await page.locator('.waits a').filter({ hasText: more.server }).click();
    await page.locator('.diff').first().waitFor();
    await page.screenshot({ path: join(pictures, 'drift.png'), fullPage: true });
    const gone = await page.locator('.diff del').allInnerTexts();
    const come = await page.locator('.diff ins').allInnerTexts();
    say({ step: 'drifted', gone, come, hidden: await page.locator('.diff .unseen').allInnerTexts(), violations: await violations(page) });
    await page.getByRole('button', { name: 'Accept all of them' }).click();
    await page.getByText('Accepted. The tools can be called again.').waitFor();
    say({ step: 'accepted' });

    await page.goto(`${base}/console/policies`);
    await page.getByRole('link', { name: /^Plan / }).click();
    await page.getByRole('heading', { name: /^Plan / }).waitFor();
    await page.screenshot({ path: join(pictures, 'plan.png'), fullPage: true });
    say({ step: 'plan', main: await page.locator('main').innerText(), applies: await page.getByRole('button', { name: 'Apply' }).count(), violations: await violations(page) });
    await heard();
    await page.reload();
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.getByText('Applied. The new version is in effect.').waitFor();
    await page.getByRole('link', { name: '2', exact: true }).click();
    await page.getByRole('heading', { name: 'Version 2' }).waitFor();
    await page.screenshot({ path: join(pictures, 'version.png'), fullPage: true });
    say({ step: 'applied', main: await page.locator('main').innerText(), violations: await violations(page) });
  },

  // An agent's record: its promotion signed, then its harm recorded.
  async agent() {
    const someone = await person();
    const { page } = someone;
    await enter(someone);
    await page.goto(`${base}/console/agents`);
    await page.getByRole('link', { name: more.agent, exact: true }).click();
    await page.getByRole('heading', { name: 'Trust' }).waitFor();
    await page.screenshot({ path: join(pictures, 'agent.png'), fullPage: true });
    say({ step: 'earned', main: await page.locator('main').innerText(), violations: await violations(page) });
    await page.getByLabel(/Reason to promote/).fill('a good week');
    await page.getByRole('button', { name: 'Sign the promotion' }).click();
    await page.getByText('Signed. The new tier is in effect.').waitFor();
    say({ step: 'promoted', main: await page.locator('main').innerText(), violations: await violations(page) });
    await heard();
    await page.locator('#severity').selectOption('high');
    await page.locator('#incident-reason').fill('it paid twice');
    await page.getByRole('button', { name: 'Record the incident' }).click();
    await page.getByText('Recorded.').waitFor();
    await page.screenshot({ path: join(pictures, 'agent-fallen.png'), fullPage: true });
    say({ step: 'fallen', main: await page.locator('main').innerText(), violations: await violations(page) });
  },

  // An emergency: two people break the glass, a third one looks at it afterwards. Who only has the link is nobody who is proven.
  async glass() {
    const unproven = await person();
    await enter(unproven);
    const path = `/console/approvals/${more.approval}`;
    const breaks = async ({ page }) => {
      await page.goto(`${base}${path}`);
      await page.getByText('In an emergency').click();
      await page.locator('#glass-reason').fill('the shop is down');
      await page.getByRole('button', { name: 'Break the glass' }).click();
      await page.locator('.notice').first().waitFor();
      return page.locator('main').innerText();
    };
    say({ step: 'unproven', main: await breaks(unproven) });
    const all = {};
    for (const who of more.people) {
      all[who] = await person();
      await signIn(all[who], who);
    }
    const [one, two, third] = more.people;
    say({ step: 'one', main: await breaks(all[one]) });
    await all[two].page.goto(`${base}${path}`);
    await all[two].page.getByText('In an emergency').click();
    await all[two].page.screenshot({ path: join(pictures, 'glass.png'), fullPage: true });
    say({ step: 'form', violations: await violations(all[two].page) });
    say({ step: 'two', main: await breaks(all[two]) });
    const reviews = async ({ page }) => {
      await page.goto(`${base}${path}`);
      await page.locator('#review-reason').fill('it had to be');
      await page.getByRole('button', { name: 'Reviewed' }).click();
      await page.locator('.notice').first().waitFor();
      return page.locator('main').innerText();
    };
    say({ step: 'own', main: await reviews(all[two]) });
    say({ step: 'reviewed', main: await reviews(all[third]), violations: await violations(all[third].page) });
    await all[third].page.screenshot({ path: join(pictures, 'glass-reviewed.png'), fullPage: true });
  },

  // An approval, decided by keyboard.
  async approvals() {
    const someone = await person();
    const { page } = someone;
    await enter(someone);
    await page.goto(`${base}/console/approvals`);
    say({ step: 'waiting' });
    await heard();
    await page.locator('#queue').getByText(more.tool).first().waitFor();
    await page.screenshot({ path: join(pictures, 'approvals-queue.png'), fullPage: true });
    say({ step: 'queued', violations: await violations(page) });
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/console\/approvals\/./);
    await page.screenshot({ path: join(pictures, 'approval.png'), fullPage: true });
    say({ step: 'opened', literal: await page.locator('.literal').first().innerText(), violations: await violations(page) });
    await page.keyboard.press('a');
    await page.keyboard.type('it is right');
    await page.keyboard.press('Control+Enter');
    await page.locator('.notice').first().waitFor();
    await page.screenshot({ path: join(pictures, 'approval-decided.png'), fullPage: true });
    say({ step: 'decided', said: await page.locator('.notice').first().innerText(), violations: await violations(page) });
  },
};

await scenarios[what]();
if (figures.length > 0) writeFileSync(join(pictures, 'figures.json'), `${JSON.stringify(figures, null, 1)}\n`);
await browser.close();
process.exit(0);
