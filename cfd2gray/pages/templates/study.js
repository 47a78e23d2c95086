"use strict";
(function () {
  const study = JSON.parse(document.getElementById("study-data").textContent);
  const byId = (id) => document.getElementById(id);
  const slot = "cfd2gray-reader-" + study.study;

  // SHA-256 (FIPS 180-4) and HMAC (RFC 2104): a page opened from a file has no dependable crypto.subtle.
  function sha256(bytes) {
    const primes = [], k = [], h = [];
    for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
    for (const p of primes) k.push(((Math.cbrt(p) % 1) * 4294967296) >>> 0);
    for (const p of primes.slice(0, 8)) h.push(((Math.sqrt(p) % 1) * 4294967296) >>> 0);
    const length = bytes.length, padded = new Uint8Array(((length + 72) >> 6) << 6);
    padded.set(bytes);
    padded[length] = 128;
    const view = new DataView(padded.buffer), w = new Uint32Array(64);
    view.setUint32(padded.length - 8, Math.floor(length / 536870912));
    view.setUint32(padded.length - 4, (length * 8) >>> 0);
    const turn = (x, n) => (x >>> n) | (x << (32 - n));
    for (let at = 0; at < padded.length; at += 64) {
      for (let i = 0; i < 16; i++) w[i] = view.getUint32(at + 4 * i);
      for (let i = 16; i < 64; i++) {
        const a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
      }
      const v = h.slice();
      for (let i = 0; i < 64; i++) {
        const s1 = turn(v[4], 6) ^ turn(v[4], 11) ^ turn(v[4], 25), choose = (v[4] & v[5]) ^ (~v[4] & v[6]);
        const t1 = (v[7] + s1 + choose + k[i] + w[i]) >>> 0;
        const s0 = turn(v[0], 2) ^ turn(v[0], 13) ^ turn(v[0], 22), major = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        v.pop();
        v[3] = (v[3] + t1) >>> 0;
        v.unshift((t1 + s0 + major) >>> 0);
      }
      for (let i = 0; i < 8; i++) h[i] = (h[i] + v[i]) >>> 0;
    }
    const out = new Uint8Array(32);
    h.forEach((x, i) => new DataView(out.buffer).setUint32(4 * i, x));
    return out;
  }
  const join = (a, b) => { const c = new Uint8Array(a.length + b.length); c.set(a); c.set(b, a.length); return c; };
  const hex = (bytes) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  const encode = (text) => new TextEncoder().encode(text);
  function hmac(secret, text) {
    const key = new Uint8Array(64);
    key.set(secret.match(/../g).map((pair) => parseInt(pair, 16)));
    return hex(sha256(join(key.map((b) => b ^ 92), sha256(join(key.map((b) => b ^ 54), encode(text))))));
  }

  // Every reader has an order of their own, which depends on nothing but study and reader.
  function orderFor(reader) {
    const digest = sha256(encode(study.study + "/" + reader));
    let state = new DataView(digest.buffer).getUint32(0);
    const random = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    const order = study.items.map((_, i) => i);
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    return order;
  }

  let session = null;
  let order = [];
  let sheet = null;
  let frame = 0;
  let playing = true;
  let last = 0;
  let since = 0;
  const canvas = byId("clip");
  canvas.width = study.width;
  canvas.height = study.height;
  byId("count").textContent = String(study.items.length);

  const save = () => { try { localStorage.setItem(slot, JSON.stringify(session)); } catch (e) { /* answers stay in memory */ } };
  function show(section) {
    for (const id of ["start", "reading", "end"]) byId(id).hidden = id !== section;
  }
  const current = () => study.items[order[session.place]];
  const answer = () => session.answers[current().item] || (session.answers[current().item] = { choice: null, confidence: null, seconds: 0 });

  function clock() {
    const now = performance.now();
    if (since) answer().seconds += (now - since) / 1000;
    since = now;
  }
  function draw() {
    if (!sheet) return;
    const x = (frame % study.columns) * study.width, y = Math.floor(frame / study.columns) * study.height;
    canvas.getContext("2d").drawImage(sheet, x, y, study.width, study.height, 0, 0, study.width, study.height);
    canvas.dataset.frame = String(frame);
  }
  function tick(now) {
    const period = 1000 / study.fps;
    if (playing && sheet && now - last >= period) {
      frame = (frame + 1) % study.frames;
      last = now;
      draw();
    }
    requestAnimationFrame(tick);
  }
  function refresh() {
    const given = answer();
    for (const b of document.querySelectorAll("[data-choice]")) b.setAttribute("aria-pressed", String(b.dataset.choice === given.choice));
    for (const b of document.querySelectorAll("[data-confidence]")) b.setAttribute("aria-pressed", String(Number(b.dataset.confidence) === given.confidence));
    byId("next").disabled = !(given.choice && given.confidence);
    byId("back").disabled = session.place === 0;
    byId("place").textContent = (session.place + 1) + " / " + order.length;
    byId("bar").style.width = (100 * Object.values(session.answers).filter((a) => a.choice && a.confidence).length / order.length) + "%";
  }
  function load() {
    if (session.place >= order.length) { since = 0; save(); show("end"); return; }
    show("reading");
    sheet = null;
    frame = 0;
    playing = true;
    const wanted = current();
    const image = new Image();
    image.onload = () => { if (session.place < order.length && current() === wanted) { sheet = image; since = performance.now(); draw(); } };
    image.src = wanted.sheet;
    refresh();
    save();
  }
  function give(field, value) {
    answer()[field] = value;
    refresh();
    save();
  }
  function move(by) {
    if (by > 0 && byId("next").disabled) return;
    if (by < 0 && session.place === 0) return;
    if (session.place < order.length) clock();
    since = 0;
    session.place += by;
    load();
  }
  function begin(reader, experience) {
    session = { reader, experience, started: new Date().toISOString(), place: 0, answers: {} };
    order = orderFor(reader);
    load();
  }
  function download() {
    const answers = order.map((i) => {
      const given = session.answers[study.items[i].item];
      return { item: study.items[i].item, choice: given.choice, confidence: given.confidence, seconds: Math.round(given.seconds * 10) / 10 };
    });
    const body = JSON.stringify({
      study: study.study, reader: session.reader, experience: session.experience, started: session.started,
      finished: new Date().toISOString(), answers,
    });
    const file = JSON.stringify({ format: study.format, body, signature: hmac(study.secret, body) });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([file], { type: "application/json" }));
    link.download = "answers-" + study.study.slice(0, 6) + "-" + session.reader.replace(/[^A-Za-z0-9_-]+/g, "_") + ".json";
    link.click();
  }

  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const reader = byId("reader").value.trim();
    if (reader) begin(reader, byId("experience").value);
  });
  for (const b of document.querySelectorAll("[data-choice]")) b.addEventListener("click", () => give("choice", b.dataset.choice));
  for (const b of document.querySelectorAll("[data-confidence]")) b.addEventListener("click", () => give("confidence", Number(b.dataset.confidence)));
  byId("next").addEventListener("click", () => move(1));
  byId("back").addEventListener("click", () => move(-1));
  byId("review").addEventListener("click", () => { session.place = order.length - 1; load(); });
  byId("download").addEventListener("click", download);
  document.addEventListener("keydown", (event) => {
    if (byId("reading").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const actions = {
      r: () => give("choice", "real"), s: () => give("choice", "synthetic"), b: () => move(-1), enter: () => move(1),
      " ": () => { playing = !playing; }, arrowright: () => step(1), arrowleft: () => step(-1),
    };
    for (const n of [1, 2, 3, 4, 5]) actions[n] = () => give("confidence", n);
    if (!(key in actions)) return;
    event.preventDefault();
    actions[key]();
  });
  function step(by) {
    playing = false;
    frame = (frame + by + study.frames) % study.frames;
    draw();
  }

  try { session = JSON.parse(localStorage.getItem(slot)); } catch (e) { session = null; }
  if (session && session.reader) { order = orderFor(session.reader); load(); } else { session = null; show("start"); }
  requestAnimationFrame(tick);
})();
