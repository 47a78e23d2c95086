// The picture: colour and greyscale in one canvas, with a divider, layers over them, and time.
import { Frames } from "./frames.js";

const byId = (id) => document.getElementById(id);
const VIEWS = ["swipe", "beside", "colour", "grey"];
const OF_RESULT = ["grey", "confidence", "synthesised"];

export class Stage {
  constructor() {
    this.canvas = byId("picture");
    this.context = this.canvas.getContext("2d");
    this.element = byId("stage");
    this.view = "swipe";
    this.split = 0.5;
    this.frame = 0;
    this.playing = false;
    this.loop = true;
    this.zoom = true;
    this.layers = new Set();
    this.editing = null; // draws over the frame and wants it in colour
    this.frames = null;
    this.onframe = () => {};
    byId("play").addEventListener("click", () => this.play(!this.playing));
    byId("back").addEventListener("click", () => this.step(-1));
    byId("forward").addEventListener("click", () => this.step(1));
    byId("frame").addEventListener("input", (event) => this.seek(Number(event.target.value)));
    byId("loop").addEventListener("click", () => this.setLoop(!this.loop));
    byId("zoom").addEventListener("click", () => this.setZoom(!this.zoom));
    byId("swipe").addEventListener("input", (event) => this.setSplit(Number(event.target.value) / 100));
    for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => this.setView(button.dataset.view));
    for (const box of document.querySelectorAll("[data-layer]")) {
      box.addEventListener("change", () => { box.checked ? this.layers.add(box.dataset.layer) : this.layers.delete(box.dataset.layer); this.plan(); this.draw(); });
    }
    this.element.addEventListener("pointerdown", (event) => this.drag(event));
    new ResizeObserver(() => this.fit()).observe(this.element.parentElement);
    addEventListener("resize", () => this.fit());
  }

  // A clip, or another version of the one that is shown; its place in time stays.
  show(clip) {
    const same = this.clip && this.clip.id === clip.id;
    this.close();
    this.clip = clip;
    this.frames = new Frames(clip, (frame) => frame === this.frame && this.draw());
    if (!same) this.frame = 0;
    this.frame = Math.min(this.frame, clip.frames - 1);
    byId("frame").max = clip.frames - 1;
    for (const box of document.querySelectorAll("[data-layer]")) box.disabled = OF_RESULT.includes(box.dataset.layer) && !clip.translated;
    byId("stage").parentElement.hidden = false;
    document.querySelector(".caption.right").textContent = clip.translated ? (clip.coloured ? "greyscale, synthetic" : "greyscale, a copy") : "";
    this.setView(this.view);
    if (!same) this.play(clip.frames > 1 && !matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  close() {
    this.frames?.close();
    this.frames = null;
    this.clip = null;
  }

  get shown() {
    if (!this.clip?.translated || this.editing) return "colour";
    return this.view;
  }

  get needed() {
    if (this.shown === "colour") return ["colour"];
    return this.shown === "grey" ? ["grey"] : ["colour", "grey"];
  }

  get overlays() {
    const possible = (layer) => this.clip.translated ? this.shown !== "colour" || !OF_RESULT.includes(layer) : !OF_RESULT.includes(layer);
    return [...this.layers].filter((layer) => possible(layer) && layer !== this.editing?.draws);
  }

  setView(view) {
    this.view = view;
    for (const button of document.querySelectorAll("[data-view]")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
    this.refresh();
  }

  nextView() {
    this.setView(VIEWS[(VIEWS.indexOf(this.view) + 1) % VIEWS.length]);
  }

  setSplit(share) {
    this.split = Math.min(1, Math.max(0, share));
    byId("swipe").value = String(Math.round(100 * this.split));
    byId("divider").style.left = `${100 * this.split}%`;
    this.draw();
  }

  setLoop(loop) {
    this.loop = loop;
    byId("loop").setAttribute("aria-pressed", String(loop));
  }

  setZoom(zoom) {
    this.zoom = zoom;
    byId("zoom").setAttribute("aria-pressed", String(zoom));
    this.refresh();
  }

  // The part of the frame that is shown: x, y, width, height. Who corrects the sector sees all of it.
  get window() {
    const { width, height, window } = this.clip;
    return this.zoom && window && !this.editing?.whole ? window : [0, 0, width, height];
  }

  setEditing(editor) {
    this.editing = editor;
    if (editor) this.play(false);
    this.refresh();
  }

  refresh() {
    if (!this.clip) return;
    const shown = this.shown;
    byId("divider").hidden = byId("swipe-label").hidden = shown !== "swipe";
    document.querySelector(".caption.left").hidden = shown === "grey";
    document.querySelector(".caption.right").hidden = shown === "colour";
    for (const button of document.querySelectorAll("[data-view]")) button.disabled = Boolean(this.editing) || !this.clip.translated;
    const [, , width, height] = this.window;
    this.canvas.width = width * (shown === "beside" ? 2 : 1);
    this.canvas.height = height;
    byId("zoom").disabled = Boolean(this.editing?.whole);
    byId("surface").setAttribute("viewBox", this.window.join(" "));
    this.fit();
    this.plan();
    this.setSplit(this.split);
  }

  // As large as the window allows, in the shape that the pixels have.
  fit() {
    if (!this.clip) return;
    const [, , width, height] = this.window;
    const wide = (this.shown === "beside" ? 2 : 1) * width, tall = height * this.clip.aspect;
    const room = this.element.parentElement.clientWidth - 2 * parseFloat(getComputedStyle(this.element.parentElement).paddingLeft);
    const shown = Math.min(room, Math.max(innerHeight - 340, 300) * wide / tall);
    this.element.style.width = `${shown}px`;
    this.element.style.height = `${shown * tall / wide}px`;
    this.editing?.draw();
  }

  plan() {
    this.frames?.plan([...this.needed, ...this.overlays], this.frame);
  }

  draw() {
    if (!this.frames) return;
    const { context, clip, frame, shown } = this;
    const [left, top, width, height] = this.window;
    const cut = shown === "swipe" ? Math.round(this.split * width) : 0;
    const get = (layer) => this.frames.get(layer, frame);
    const part = (bitmap, from, at = 0) => bitmap && from < width && context.drawImage(bitmap, left + from, top, width - from, height, from + at, 0, width - from, height);
    if (!this.frames.has(this.needed, frame)) return;
    if (shown !== "grey") part(get("colour"), 0);
    if (shown !== "colour") part(get("grey"), cut, shown === "beside" ? width : 0);
    for (const layer of this.overlays) {
      if (OF_RESULT.includes(layer)) part(get(layer), cut, shown === "beside" ? width : 0);
      else { part(get(layer), 0); if (shown === "beside") part(get(layer), 0, width); }
    }
    this.canvas.dataset.frame = String(frame);
    this.canvas.setAttribute("aria-label", `frame ${frame + 1} of ${clip.frames}, ${{ swipe: "colour left, greyscale right of the divider", beside: "colour beside greyscale", colour: "colour", grey: "greyscale" }[shown]}`);
    byId("frame").value = String(frame);
    byId("frame").setAttribute("aria-valuetext", `frame ${frame + 1} of ${clip.frames}`);
    byId("where").textContent = `${frame + 1} / ${clip.frames} \u00b7 ${(frame / clip.fps).toFixed(2)} s`;
    this.editing?.draw();
    this.onframe(frame);
  }

  play(playing) {
    if (playing && this.clip && !this.loop && this.frame === this.clip.frames - 1) this.goto(0);
    this.playing = playing && Boolean(this.clip);
    byId("play").textContent = this.playing ? "Pause" : "Play";
    if (!this.playing || this.ticking) return;
    this.ticking = true;
    let last = 0;
    const tick = (now) => {
      if (!this.playing || !this.clip) { this.ticking = false; return; }
      const period = 1000 / (this.clip.fps * Number(byId("speed").value));
      last = last || now;
      let steps = Math.min(Math.floor((now - last) / period), this.clip.frames);
      if (steps > 0) {
        last += Math.floor((now - last) / period) * period;
        if (!this.loop && this.frame + steps >= this.clip.frames) { this.goto(this.clip.frames - 1); this.play(false); this.ticking = false; return; }
        // A frame that has not come yet holds time, it is never left out.
        while (steps > 0 && !this.frames.has(this.needed, (this.frame + steps) % this.clip.frames)) steps--;
        if (steps > 0) this.goto((this.frame + steps) % this.clip.frames);
        else this.plan();
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  goto(frame) {
    this.frame = frame;
    this.plan();
    this.draw();
  }

  seek(frame) {
    if (!this.clip) return;
    this.play(false);
    this.goto(Math.min(this.clip.frames - 1, Math.max(0, frame)));
  }

  step(by) {
    if (this.clip) this.seek((this.frame + by + this.clip.frames) % this.clip.frames);
  }

  faster(by) {
    const speed = byId("speed");
    speed.selectedIndex = Math.min(speed.options.length - 1, Math.max(0, speed.selectedIndex + by));
  }

  toggleLayer(number) {
    const box = document.querySelectorAll("[data-layer]")[number];
    if (box && !box.disabled) box.click();
  }

  // Pixels of the clip, as numbers with parts, from a pointer's place on an element that covers the picture.
  pixels(event, element) {
    const place = element.getBoundingClientRect(), [x, y, width, height] = this.window;
    const within = (value, most) => Math.min(most - 1, Math.max(0, value));
    return [within(x + (event.clientX - place.left) * width / place.width, this.clip.width),
      within(y + (event.clientY - place.top) * height / place.height, this.clip.height)];
  }

  drag(event) {
    if (this.shown !== "swipe" || event.button) return;
    const move = (at) => { const place = this.element.getBoundingClientRect(); this.setSplit((at.clientX - place.left) / place.width); };
    this.element.setPointerCapture(event.pointerId);
    move(event);
    this.element.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) this.element.addEventListener(end, () => this.element.removeEventListener("pointermove", move), { once: true });
  }
}
