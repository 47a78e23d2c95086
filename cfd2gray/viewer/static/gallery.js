// All clips, the least certain first; those that were refused stand last, with the reason.
import { server } from "./server.js";

const byId = (id) => document.getElementById(id);
export const BUSY = { glancing: "looking at it", waiting: "waiting", looking: "looking at it", reading: "reading", translating: "translating", listed: "not looked at yet" };
const counted = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;

export class Gallery {
  constructor(settings, mark) {
    this.settings = settings;
    this.mark = mark;
    this.cards = new Map();
    this.clips = [];
    byId("filter").addEventListener("change", () => this.render());
  }

  // In the order in which they stand.
  get shown() {
    const rank = (clip) => (clip.state === "refused" ? 3 : clip.certainty === undefined ? 2 : clip.certainty);
    const wanted = { all: () => true, unsure: (c) => c.unsure, unmarked: (c) => c.folder && !c.mark && c.state !== "refused",
      keep: (c) => c.mark === "keep", reject: (c) => c.mark === "reject", refused: (c) => c.state === "refused" };
    return this.clips.filter(wanted[byId("filter").value]).sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
  }

  update(news) {
    this.clips = news.clips;
    const known = new Set(news.clips.map((clip) => clip.id));
    for (const [id, card] of this.cards) if (!known.has(id)) { card.element.remove(); this.cards.delete(id); }
    const some = (test) => news.clips.filter(test).length;
    const waiting = some((clip) => clip.state in BUSY), refused = some((clip) => clip.state === "refused");
    byId("gallery-title").textContent = this.settings.folder ?? "Clips";
    byId("gallery-facts").textContent = news.problem || [counted(news.clips.length, "clip"), "the least certain first",
      some((c) => c.unsure) && `${some((c) => c.unsure)} unsure`, refused && `${refused} refused`, waiting && `${waiting} still to be looked at`,
      news.unlisted && `${news.unlisted} more in the folder are not listed: look at smaller folders`,
      this.settings.marks && some((c) => c.mark) && `${counted(some((c) => c.mark), "mark")} in ${this.settings.marks}`].filter(Boolean).join(" \u00b7 ");
    this.render();
  }

  render() {
    const list = byId("cards"), shown = this.shown, focused = document.activeElement;
    const elements = shown.map((clip) => this.card(clip));
    if (elements.length !== list.children.length || elements.some((element, k) => element !== list.children[k])) {
      list.replaceChildren(...elements);
      if (list.contains(focused)) focused.focus({ preventScroll: true });
    }
  }

  card(clip) {
    let card = this.cards.get(clip.id);
    if (!card) {
      card = { element: this.empty(clip), told: "" };
      this.cards.set(clip.id, card);
    }
    const told = JSON.stringify(clip);
    if (card.told !== told) {
      card.told = told;
      this.fill(card.element, clip);
    }
    return card.element;
  }

  empty(clip) {
    const element = document.createElement("li");
    const link = document.createElement("a");
    link.href = `#clip=${clip.id}`;
    link.innerHTML = '<span class="thumb"></span><span class="about"><b></b></span>';
    element.append(link);
    if (clip.folder && this.settings.marks) {
      const marks = document.createElement("div");
      marks.className = "marks";
      marks.setAttribute("role", "group");
      for (const mark of ["keep", "reject"]) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = mark === "keep" ? "Keep" : "Reject";
        button.dataset.mark = mark;
        button.addEventListener("click", () => this.mark(clip.id, mark));
        marks.append(button);
      }
      element.append(marks);
    }
    return element;
  }

  fill(element, clip) {
    element.className = `card-clip ${clip.mark}`;
    const [done, total] = clip.doing;
    const busy = clip.state in BUSY ? BUSY[clip.state] + (total ? ` ${Math.round(100 * done / total)} %` : "") : "";
    const thumb = element.querySelector(".thumb"), about = element.querySelector(".about");
    const picture = clip.picture ? Object.assign(document.createElement("img"), { src: server.picture(clip), alt: "", loading: "lazy" }) : document.createTextNode(busy || "no picture");
    thumb.replaceChildren(picture);
    const line = (text, name = "") => Object.assign(document.createElement("span"), { textContent: text, className: name });
    const lines = [Object.assign(document.createElement("b"), { textContent: clip.name })];
    if (clip.certainty !== undefined) {
      const bar = line("", "certainty"), inside = document.createElement("i");
      inside.style.width = `${100 * clip.certainty}%`;
      inside.className = clip.unsure ? "low" : "";
      bar.append(inside);
      lines.push(bar, line(`${clip.called}: ${Math.round(100 * clip.certainty)} % sure${clip.unsure ? ": look at it" : ""}`, clip.unsure ? "unsure" : ""));
    }
    if (busy) lines.push(line(busy));
    if (clip.error) lines.push(line(clip.error, "unsure"));
    else if (clip.synthesised !== undefined) lines.push(line(clip.coloured ? `${(100 * clip.synthesised).toFixed(1)} % synthesised` : "no colour"));
    about.replaceChildren(...lines);
    const marks = element.querySelector(".marks");
    marks?.setAttribute("aria-label", `mark ${clip.name}`);
    for (const button of marks?.children ?? []) button.setAttribute("aria-pressed", String(button.dataset.mark === clip.mark));
  }
}
