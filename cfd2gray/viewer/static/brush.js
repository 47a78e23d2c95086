// Painting what colour covers: strokes over what was found, kept as lines, so that each can be taken back.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const PAINT = "rgb(255 0 255 / 0.65)";

export class Brush {
  constructor(surface, strokes, stage, changed) {
    Object.assign(this, { surface, strokes, stage, changed });
    this.clip = stage.clip;
    const [x, y, width, height] = stage.window;
    this.at = [Math.round(x + width / 2), Math.round(y + height / 2)];
    this.canvas = byId("paint");
    this.canvas.hidden = false;
    this.cursor = document.createElementNS(SVG, "circle");
    this.cursor.setAttribute("class", "brush");
    surface.replaceChildren(this.cursor);
    surface.setAttribute("class", "paint");
    surface.setAttribute("tabindex", "0");
    surface.setAttribute("role", "application");
    surface.setAttribute("aria-label", "painting: arrow keys move the brush, space paints");
    this.events = new AbortController();
    const { signal } = this.events;
    surface.addEventListener("pointerdown", (event) => this.start(event), { signal });
    surface.addEventListener("pointermove", (event) => this.follow(event), { signal });
    for (const end of ["pointerup", "pointercancel"]) surface.addEventListener(end, () => this.end(), { signal });
    surface.addEventListener("keydown", (event) => this.key(event), { signal });
    byId("radius").addEventListener("input", () => this.point(), { signal });
    this.point();
    this.draw();
  }

  close() {
    this.events.abort();
    this.canvas.hidden = true;
    for (const name of ["tabindex", "role", "aria-label"]) this.surface.removeAttribute(name);
  }

  get radius() {
    return Number(byId("radius").value);
  }

  stroke() {
    const erase = document.querySelector('[data-brush="erase"]').getAttribute("aria-pressed") === "true";
    return { points: [[...this.at]], radius: this.radius, erase, frame: byId("scope").value === "one" ? this.stage.frame : null };
  }

  point() {
    for (const [name, value] of Object.entries({ cx: this.at[0], cy: this.at[1], r: this.radius })) this.cursor.setAttribute(name, value);
    byId("radius-out").textContent = `${this.radius} px`;
  }

  place(event) {
    this.at = this.stage.pixels(event, this.surface).map((value) => Math.round(10 * value) / 10);
    this.point();
  }

  start(event) {
    if (event.button) return;
    this.place(event);
    this.surface.setPointerCapture(event.pointerId);
    this.current = this.stroke();
    this.strokes.push(this.current);
    this.draw();
  }

  follow(event) {
    this.place(event);
    if (!this.current) return;
    const last = this.current.points.at(-1);
    if (Math.hypot(this.at[0] - last[0], this.at[1] - last[1]) < 1) return;
    this.current.points.push([...this.at]);
    this.draw();
  }

  end() {
    if (!this.current) return;
    this.current = null;
    this.changed();
  }

  key(event) {
    const by = event.shiftKey ? 16 : 3;
    const moves = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] };
    if (event.key in moves) {
      this.at = [Math.min(this.clip.width - 1, Math.max(0, this.at[0] + moves[event.key][0])), Math.min(this.clip.height - 1, Math.max(0, this.at[1] + moves[event.key][1]))];
      this.point();
    } else if (event.key === " ") {
      this.strokes.push(this.stroke());
      this.draw();
      this.changed();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  undo(all) {
    if (all) this.strokes.length = 0;
    else this.strokes.pop();
    this.draw();
    this.changed();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const [x, y, width, height] = this.stage.window;
    this.canvas.width = width; // which clears it
    this.canvas.height = height;
    context.translate(-x, -y);
    const found = this.stage.frames?.get("hidden", this.stage.frame);
    if (found) context.drawImage(found, 0, 0);
    else this.stage.frames?.plan(["colour", "hidden"], this.stage.frame);
    context.strokeStyle = context.fillStyle = PAINT;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.strokes) {
      if (stroke.frame !== null && stroke.frame !== this.stage.frame) continue;
      context.globalCompositeOperation = stroke.erase ? "destination-out" : "source-over";
      context.strokeStyle = stroke.erase ? "#000" : PAINT;
      context.lineWidth = 2 * stroke.radius;
      context.beginPath();
      context.moveTo(...stroke.points[0]);
      for (const point of stroke.points) context.lineTo(...point);
      context.stroke();
    }
  }
}
