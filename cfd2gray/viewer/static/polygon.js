// Corners of a polygon over the picture: dragged with a pointer, or moved by keys.

const SVG = "http://www.w3.org/2000/svg";

export class Polygon {
  constructor(surface, name, corners, stage, changed) {
    Object.assign(this, { surface, name, stage, clip: stage.clip, changed });
    this.corners = corners.map((corner) => [...corner]);
    this.shape = document.createElementNS(SVG, "polygon");
    surface.replaceChildren(this.shape);
    surface.setAttribute("class", name);
    surface.setAttribute("aria-label", `corners of the ${name}`);
    surface.setAttribute("role", "group");
    this.build();
  }

  build(focus) {
    for (const old of this.surface.querySelectorAll(".corner")) old.remove();
    this.handles = this.corners.map((_, k) => {
      const handle = document.createElementNS(SVG, "ellipse");
      handle.setAttribute("class", "corner");
      handle.setAttribute("tabindex", "0");
      handle.setAttribute("role", "button");
      handle.addEventListener("pointerdown", (event) => this.drag(event, k));
      handle.addEventListener("keydown", (event) => this.key(event, k));
      this.surface.append(handle);
      return handle;
    });
    this.draw();
    if (focus !== undefined) this.handles[focus]?.focus();
  }

  draw() {
    const place = this.surface.getBoundingClientRect();
    const [, , width, height] = this.stage.window;
    const x = width / Math.max(place.width, 1), y = height / Math.max(place.height, 1);
    this.shape.setAttribute("points", this.corners.map((corner) => corner.join(",")).join(" "));
    this.handles.forEach((handle, k) => {
      const [cx, cy] = this.corners[k];
      for (const [name, value] of Object.entries({ cx, cy, rx: 8 * x, ry: 8 * y })) handle.setAttribute(name, value);
      handle.setAttribute("aria-label", `corner ${k + 1} of ${this.corners.length}, x ${Math.round(cx)}, y ${Math.round(cy)}`);
    });
  }

  move(k, x, y) {
    this.corners[k] = [Math.min(this.clip.width - 1, Math.max(0, Math.round(x))), Math.min(this.clip.height - 1, Math.max(0, Math.round(y)))];
    this.draw();
    this.changed(this.corners.map((corner) => [...corner]));
  }

  drag(event, k) {
    event.preventDefault();
    event.stopPropagation();
    const handle = this.handles[k];
    handle.focus();
    handle.setPointerCapture(event.pointerId);
    const move = (at) => this.move(k, ...this.stage.pixels(at, this.surface));
    handle.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) handle.addEventListener(end, () => handle.removeEventListener("pointermove", move), { once: true });
  }

  key(event, k) {
    const by = event.shiftKey ? 10 : 1;
    const [x, y] = this.corners[k];
    const moves = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] };
    if (event.key in moves) this.move(k, x + moves[event.key][0], y + moves[event.key][1]);
    else if (event.key === "Delete" || event.key === "Backspace") this.remove(k);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  remove(k) {
    if (this.corners.length <= 3) return;
    this.corners.splice(k, 1);
    this.build(Math.min(k, this.corners.length - 1));
    this.changed(this.corners.map((corner) => [...corner]));
  }

  // In the middle of the longest side.
  add() {
    const next = (k) => this.corners[(k + 1) % this.corners.length];
    const length = (k) => Math.hypot(this.corners[k][0] - next(k)[0], this.corners[k][1] - next(k)[1]);
    const k = this.corners.map((_, i) => i).reduce((best, i) => (length(i) > length(best) ? i : best), 0);
    this.corners.splice(k + 1, 0, [Math.round((this.corners[k][0] + next(k)[0]) / 2), Math.round((this.corners[k][1] + next(k)[1]) / 2)]);
    this.build(k + 1);
    this.changed(this.corners.map((corner) => [...corner]));
  }
}
