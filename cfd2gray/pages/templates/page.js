"use strict";
(function () {
  const root = document.documentElement;
  const stored = (key, value) => {
    try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); } catch (e) { return null; }
  };
  const remembered = stored("cfd2gray-theme");
  if (remembered) root.dataset.theme = remembered;
  function toggleTheme() {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    stored("cfd2gray-theme", root.dataset.theme);
  }
  document.getElementById("theme").addEventListener("click", toggleTheme);

  for (const tabs of document.querySelectorAll(".tabs")) {
    const buttons = [...tabs.querySelectorAll("button")];
    const show = (chosen) => {
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(button === chosen));
        document.getElementById(button.dataset.panel).hidden = button !== chosen;
      }
    };
    for (const button of buttons) button.addEventListener("click", () => show(button));
    if (buttons.length) show(buttons[0]);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const value = (row, k) => {
      const text = row.children[k].dataset.v ?? row.children[k].textContent;
      return text === "" || isNaN(text) ? text : Number(text);
    };
    const buttons = [...table.querySelectorAll("th button")];
    buttons.forEach((button, k) => button.addEventListener("click", () => {
      const down = button.getAttribute("aria-sort") === "ascending";
      buttons.forEach((other) => other.removeAttribute("aria-sort"));
      button.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      [...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * compare(value(a, k), value(b, k)))
        .forEach((row) => table.tBodies[0].append(row));
    }));
  }

  // Clips: every panel is a sprite sheet; one frame number drives all panels of a clip, so they cannot drift apart.
  const data = JSON.parse(document.getElementById("clips-data").textContent);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const players = [];
  let outlines = false;
  let current = 0;

  function load(uri) {
    return new Promise((done, failed) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = failed;
      image.src = uri;
    });
  }

  function Player(element, clip, index) {
    const canvases = [...element.querySelectorAll("canvas")];
    const slider = element.querySelector("input");
    const output = element.querySelector("output");
    const play = element.querySelector(".play");
    const speed = element.querySelector("select");
    const state = { frame: 0, playing: false, last: 0, visible: false, sheets: [], outline: null };

    function draw() {
      const x = (state.frame % clip.columns) * clip.width;
      const y = Math.floor(state.frame / clip.columns) * clip.height;
      canvases.forEach((canvas, k) => {
        const context = canvas.getContext("2d");
        context.drawImage(state.sheets[k], x, y, clip.width, clip.height, 0, 0, clip.width, clip.height);
        if (outlines) context.drawImage(state.outline, x, y, clip.width, clip.height, 0, 0, clip.width, clip.height);
        canvas.dataset.frame = String(state.frame);
      });
      slider.value = String(state.frame);
      output.textContent = (state.frame + 1) + " / " + clip.frames;
    }
    function seek(frame) {
      state.frame = (frame + clip.frames) % clip.frames;
      if (state.sheets.length) draw();
    }
    function setPlaying(playing) {
      state.playing = playing;
      state.last = 0;
      play.textContent = playing ? "Pause" : "Play";
      if (playing) requestAnimationFrame(tick);
    }
    function tick(now) {
      if (!state.playing) return;
      const period = 1000 / (clip.fps * Number(speed.value));
      if (!state.last) state.last = now;
      const steps = Math.floor((now - state.last) / period);
      if (steps > 0) {
        state.last += steps * period;
        if (state.visible) seek(state.frame + steps);
      }
      requestAnimationFrame(tick);
    }
    play.addEventListener("click", () => { select(index); setPlaying(!state.playing); });
    slider.addEventListener("input", () => { select(index); setPlaying(false); seek(Number(slider.value)); });
    element.addEventListener("pointerdown", () => select(index));
    element.addEventListener("focusin", () => select(index));
    new IntersectionObserver((entries) => { state.visible = entries[0].isIntersecting; }).observe(element);
    Promise.all([...clip.panels.map((panel) => load(panel.sheet)), load(clip.outline)]).then((images) => {
      state.outline = images.pop();
      state.sheets = images;
      draw();
      element.dataset.ready = "true";
      if (!still) setPlaying(true);
    });
    return { element, draw: () => state.sheets.length && draw(), seek: (by) => { setPlaying(false); seek(state.frame + by); },
             toggle: () => setPlaying(!state.playing) };
  }

  function select(index, scroll) {
    current = (index + players.length) % players.length;
    players.forEach((player, k) => player.element.classList.toggle("current", k === current));
    if (scroll) players[current].element.scrollIntoView({ block: "nearest" });
  }
  document.querySelectorAll(".clip").forEach((element, k) => players.push(Player(element, data[k], k)));

  function toggleOutlines() {
    outlines = !outlines;
    for (const button of document.querySelectorAll(".outline")) button.setAttribute("aria-pressed", String(outlines));
    for (const player of players) player.draw();
  }
  for (const button of document.querySelectorAll(".outline")) button.addEventListener("click", toggleOutlines);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const onButton = event.target.tagName === "BUTTON" || event.target.tagName === "A" || event.target.tagName === "SUMMARY";
    if (event.key === "t") return toggleTheme();
    const scrolls = /^Arrow/.test(event.key) && event.target.scrollWidth > event.target.clientWidth;  // a wide table has the focus
    if (!players.length || (scrolls && event.target.matches(".scroll"))) return;
    const actions = {
      " ": () => players[current].toggle(), ArrowRight: () => players[current].seek(1),
      ArrowLeft: () => players[current].seek(-1), n: () => select(current + 1, true), p: () => select(current - 1, true),
      o: toggleOutlines,
    };
    if (!(event.key in actions) || (event.key === " " && onButton)) return;
    event.preventDefault();
    actions[event.key]();
  });
  if (players.length) select(0);
})();
