// Correction by hand: a draft of what is said about the clip, applied when the person asks for it.
import { Brush } from "./brush.js";
import { Polygon } from "./polygon.js";
import { server } from "./server.js";

const byId = (id) => document.getElementById(id);
const tools = () => document.querySelectorAll("[data-tool]");
const copied = (value) => JSON.parse(JSON.stringify(value));

export class Correct {
  constructor(stage, tell) {
    this.stage = stage;
    this.tell = tell;
    this.surface = byId("surface");
    this.tool = null;
    this.draft = null;
    for (const button of tools()) button.addEventListener("click", () => this.use(this.tool === button.dataset.tool ? null : button.dataset.tool));
    for (const radio of document.querySelectorAll('[name="kind"]')) radio.addEventListener("change", () => this.say("kind", radio.value || null));
    for (const button of document.querySelectorAll("[data-brush]")) {
      button.addEventListener("click", () => {
        for (const other of document.querySelectorAll("[data-brush]")) other.setAttribute("aria-pressed", String(other === button));
      });
    }
    byId("add-corner").addEventListener("click", () => this.polygon?.add());
    byId("as-found").addEventListener("click", () => { this.say(this.tool, null); this.use(this.tool); });
    byId("undo").addEventListener("click", () => this.brush?.undo(false));
    byId("unpaint").addEventListener("click", () => this.brush?.undo(true));
    byId("apply").addEventListener("click", () => this.apply(this.draft));
    byId("reset").addEventListener("click", () => this.apply({ kind: null, box: null, sector: null, strokes: [] }));
    byId("correct").addEventListener("toggle", () => { if (!byId("correct").open) this.use(null); });
    byId("copy").addEventListener("click", () => navigator.clipboard.writeText(byId("command").textContent).then(() => this.tell("copied"), () => this.tell("the browser does not allow copying")));
  }

  // A clip, or news of the one that is shown; a draft of its own version stays.
  show(clip) {
    const fresh = this.clip?.id !== clip.id || this.clip.version !== clip.version || this.clip.state !== clip.state;
    this.clip = clip;
    byId("command").textContent = clip.command;
    byId("mask-file").hidden = !clip.said.strokes.length;
    byId("found-kind").textContent = clip.kind ? ` (${clip.called}: ${Math.round(100 * clip.certainty)} % sure)` : "";
    if (fresh) {
      this.use(null);
      this.draft = copied(clip.said);
      for (const radio of document.querySelectorAll('[name="kind"]')) radio.checked = radio.value === (this.draft.kind ?? "");
    }
    this.refresh();
  }

  get idle() {
    return this.clip && this.clip.version > 0 && ["ready", "refused"].includes(this.clip.state);
  }

  say(name, value) {
    this.draft[name] = value;
    this.refresh();
  }

  refresh() {
    const changed = JSON.stringify(this.draft) !== JSON.stringify(this.clip.said);
    const said = this.clip.said.kind || this.clip.said.box || this.clip.said.sector || this.clip.said.strokes.length;
    byId("apply").disabled = !(changed && this.idle);
    byId("reset").disabled = !((changed || said) && this.idle);
    for (const button of tools()) button.disabled = !this.idle;
    byId("draft").textContent = changed ? "Changed, not applied yet." : said ? "Your corrections are applied." : "";
  }

  use(tool) {
    this.brush?.close();
    this.brush = this.polygon = null;
    this.tool = this.idle ? tool : null;
    for (const button of tools()) button.setAttribute("aria-pressed", String(button.dataset.tool === this.tool));
    byId("polygon-tools").hidden = !["box", "sector"].includes(this.tool);
    byId("paint-tools").hidden = this.tool !== "paint";
    this.surface.toggleAttribute("hidden", !this.tool); // SVG has no property of that name
    this.surface.replaceChildren();
    const draws = { box: "box", sector: "sector", paint: "hidden" }[this.tool];
    this.stage.setEditing(this.tool ? { draws, whole: this.tool === "sector", draw: () => (this.brush ?? this.polygon)?.draw() } : null);
    if (this.tool === "paint") this.brush = new Brush(this.surface, this.draft.strokes, this.stage, () => this.refresh());
    else if (this.tool) this.polygon = new Polygon(this.surface, this.tool, this.corners(), this.stage, (corners) => this.say(this.tool, corners));
    if (this.tool) byId("stage").scrollIntoView({ block: "nearest" });
  }

  corners() {
    const found = this.draft[this.tool] ?? this.clip[this.tool];
    if (found?.length >= 3) return found;
    const { width, height } = this.clip;
    return [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]].map(([x, y]) => [Math.round(x * width), Math.round(y * height)]);
  }

  async apply(said) {
    this.use(null);
    try {
      await server.correct(this.clip.id, said);
    } catch (error) {
      this.tell(error.message, true);
    }
  }
}
