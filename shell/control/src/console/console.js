// The console's only script. Pages are whole without it; with it they stay up to date, listen to the keyboard, and verify proofs.
(() => {
  'use strict';

  // Links that open the console carry their code behind the `#`, which no server and no log sees.
  const link = document.getElementById('link');
  if (link && location.hash.length > 1) {
    link.elements.code.value = location.hash.slice(1);
    history.replaceState(null, '', location.pathname);
    link.requestSubmit();
    return;
  }
  const body = document.body;
  if (!body.dataset.events) return;

  // --- What changes while the page is open ---------------------------------------------------------------------------------------
  const SILENCE_MS = 15000;
  const away = document.getElementById('away');
  let heard = Date.now();
  let ended = false;
  const alive = () => { heard = Date.now(); away.hidden = true; body.classList.remove('stale'); };
  const gone = () => { away.hidden = false; };
  const pending = new Set();
  // Whoever writes into a part of the page, or marks text in it, isn't interrupted: it is brought up to date afterwards.
  const busy = (part) => part.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);

  async function refresh(part) {
    if (busy(part) || document.hidden) { pending.add(part); return; }
    pending.delete(part);
    try {
      const answer = await fetch(part.dataset.src, { headers: { accept: 'text/html', 'x-remit-live': '1' }, redirect: 'error' });
      if (!answer.ok) return;
      // The server escapes what strangers wrote; a document made like this runs nothing.
      const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').body;
      if (fresh.innerHTML.trim() === part.innerHTML.trim()) return;
      const selected = part.querySelector('[data-selected] a')?.getAttribute('href');
      const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
      part.replaceChildren(...fresh.childNodes);
      const find = (href) => href && [...part.querySelectorAll('a')].find((a) => a.getAttribute('href') === href);
      find(selected)?.closest('[data-row]')?.setAttribute('data-selected', '');
      find(focused)?.focus();
    } catch { gone(); }
  }

  const timers = new Map();
  function changed(name) {
    for (const part of document.querySelectorAll('[data-live]')) {
      if (!part.dataset.live.split(' ').includes(name) || timers.has(part)) continue;
      // Of many changes at once one picture is enough.
      timers.set(part, setTimeout(() => { timers.delete(part); refresh(part); }, 250));
    }
  }
  const all = () => document.querySelectorAll('[data-live]').forEach(refresh);

  // Browsers have few connections for one server: a page that nobody looks at gives its own back.
  let current = null;
  function listen() {
    current?.close();
    if (ended || document.hidden) return;
    const events = new EventSource(body.dataset.events);
    current = events;
    let lost = false;
    events.onopen = () => { alive(); if (lost) all(); lost = false; };
    for (const name of ['approvals', 'decisions', 'configuration']) {
      events.addEventListener(name, () => { alive(); changed(name); });
    }
    events.addEventListener('alive', alive);
    events.onerror = async () => {
      if (ended || events !== current) return;
      lost = true;
      // A stream that came to its end by itself is taken up again at once: only what stays away is told.
      setTimeout(() => { if (events === current && events.readyState !== EventSource.OPEN && !ended) gone(); }, 3500);
      if (events.readyState === EventSource.CLOSED) setTimeout(() => { if (events === current) listen(); }, 3000);
    };
  }
  listen();
  addEventListener('pagehide', () => { ended = true; current?.close(); }, { once: true });
  addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });
  setInterval(() => { if (!document.hidden && Date.now() - heard > SILENCE_MS) gone(); }, 1000);
  document.addEventListener('focusout', () => setTimeout(() => [...pending].forEach(refresh), 0));
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) { current?.close(); return; }
    heard = Date.now();
    listen();
    all();
  });

  // --- The keyboard ---------------------------------------------------------------------------------------------------------------
  const writing = (element) => element && (/^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) || element.isContentEditable);
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (writing(document.activeElement)) {
      if (event.key === 'Escape') document.activeElement.blur();
      return;
    }
    const rows = [...document.querySelectorAll('main [data-row]')];
    const at = rows.findIndex((row) => row.hasAttribute('data-selected'));
    if ((event.key === 'j' || event.key === 'k') && rows.length) {
      const next = rows[Math.min(rows.length - 1, Math.max(0, event.key === 'j' ? at + 1 : at - 1))];
      rows[at]?.removeAttribute('data-selected');
      next.setAttribute('data-selected', '');
      next.querySelector('a')?.focus({ preventScroll: true });
      next.scrollIntoView({ block: 'nearest' });
      event.preventDefault();
      return;
    }
    const button = document.querySelector(`main button[data-key="${CSS.escape(event.key)}"]`);
    if (button) {
      // One key leads to the reason, so that none decides by itself.
      const reason = button.form.querySelector('textarea');
      reason.focus();
      event.preventDefault();
    }
  });
  // A form is sent once, and in a text Ctrl-Enter sends it.
  document.addEventListener('keydown', (event) => {
    const field = document.activeElement;
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && field?.tagName === 'TEXTAREA') field.form?.requestSubmit();
  });
  document.addEventListener('submit', (event) => {
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    event.target.dataset.sent = 'yes';
  });

  // --- Proofs: RFC 6962 and C2SP signed notes, computed here ----------------------------------------------------------------------
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const same = (a, b) => a.length === b.length && a.every((byte, n) => byte === b[n]);
  const hash = async (...parts) => {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) { whole.set(part, at); at += part.length; }
    return new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
  };

  // RFC 9162 section 2.1.3.2, with indexes beyond 32 bits.
  async function root(leaf, index, size, proof) {
    let [node, last, sum] = [BigInt(index), BigInt(size) - 1n, leaf];
    for (const sibling of proof) {
      if (last === 0n) throw new Error('the path is too long');
      if (node % 2n === 1n || node === last) {
        sum = await hash(Uint8Array.of(1), sibling, sum);
        while (node % 2n === 0n && node !== 0n) { node /= 2n; last /= 2n; }
      } else {
        sum = await hash(Uint8Array.of(1), sum, sibling);
      }
      node /= 2n;
      last /= 2n;
    }
    if (last !== 0n) throw new Error('the path is too short');
    return sum;
  }

  async function signed(note, key) {
    const cut = note.lastIndexOf('\n\n');
    const text = note.slice(0, cut + 1);
    const [name, , ...rest] = key.split('+');
    const public_ = bytes(rest.join('+'));
    if (public_[0] !== 1) throw new Error('the key is of another kind');
    const id = (await hash(new TextEncoder().encode(`${name}\n`), public_)).slice(0, 4);
    const imported = await crypto.subtle.importKey('raw', public_.slice(1), { name: 'Ed25519' }, false, ['verify']);
    for (const line of note.slice(cut + 2).split('\n')) {
      const [, signer, base64] = line.match(/^\u2014 (\S+) (\S+)$/) ?? [];
      if (signer !== name) continue;
      const signature = bytes(base64);
      if (!same(signature.slice(0, 4), id)) continue;
      if (await crypto.subtle.verify('Ed25519', imported, signature.slice(4), new TextEncoder().encode(text))) return text;
    }
    throw new Error('no signature of the journal\u2019s key is right');
  }

  async function verify(place) {
    const answer = await fetch(place.dataset.proof, { headers: { accept: 'application/json' }, redirect: 'error' });
    if (!answer.ok) throw new Error('the proof can\u2019t be had');
    const proof = await answer.json();
    const text = await signed(proof.checkpoint, proof.key);
    const [, size, expected] = text.split('\n');
    const leaf = await hash(Uint8Array.of(0), bytes(proof.entry));
    const computed = await root(leaf, proof.index, Number(size), proof.proof.map(bytes));
    if (!same(computed, bytes(expected))) throw new Error('the path leads to another root');
    return { index: proof.index, size, key: proof.key, steps: proof.proof.length };
  }

  document.addEventListener('click', async (event) => {
    const button = event.target.closest?.('[data-verify]');
    if (!button) return;
    const place = button.closest('[data-proof]');
    const result = place.querySelector('[data-result]');
    const say = (kind, sentence) => {
      const notice = document.createElement('div');
      notice.className = `notice ${kind}`;
      const line = document.createElement('p');
      line.textContent = sentence;
      notice.append(line);
      result.replaceChildren(notice);
    };
    button.disabled = true;
    try {
      const { index, size, key, steps } = await verify(place);
      say('good', `Verified: entry ${index} is in the log of ${size} entries (${steps} steps), and ${key.split('+')[0]} signed it.`);
    } catch (error) {
      say('bad', `Not verified: ${error.message}`);
    }
    button.disabled = false;
  });
})();
