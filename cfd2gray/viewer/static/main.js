// The page: which clip is shown, news from the server, files that are dropped, what is saved.
import { Correct } from "./correct.js";
import { BUSY, Gallery } from "./gallery.js";
import { startKeys, startTheme } from "./keys.js";
import { server, upload } from "./server.js";
import { Stage } from "./stage.js";

const byId = (id) => document.getElementById(id);
const settings = JSON.parse(byId("settings").textContent);
const DOING = { waiting: "Waiting", looking: "Looking for sector, box and colour", reading: "Reading", translating: "Translating" };

const stage = new Stage();
const correct = new Correct(stage, tell);
const gallery = new Gallery(settings, mark);
const going = new Map(); // uploads: name -> share that has gone
let revision = -1;
let current = null; // what is known of the clip that is shown
let uploadError = "";
let asking = 0;

function tell(text, bad = false) {
  byId("status").textContent = text;
  if (bad) refuse(text);
}

function refuse(text, remedy = "", title = "Not done.") {
  byId("refusal").hidden = !text;
  byId("refusal").querySelector("b").textContent = title;
  byId("refusal").querySelector("span").textContent = [text, remedy].filter(Boolean).join(". ");
}

const wantedId = () => /^#clip=([0-9a-f]+)$/.exec(location.hash)?.[1] ?? null;

function place() {
  const id = wantedId(), many = gallery.clips.length > 0 || settings.folder;
  byId("viewer").hidden = !id && !uploadError && !going.size;
  byId("gallery").hidden = Boolean(id) || !many;
  byId("start").hidden = Boolean(id) || Boolean(many);
  byId("to-gallery").hidden = !id || gallery.clips.length < 2;
  byId("to-gallery").textContent = `All clips (${gallery.clips.length})`;
  byId("add").hidden = !byId("start").hidden;
  for (const part of document.querySelectorAll("#viewer .desk, #viewer .line")) part.hidden = !id;
}

// The clip that the address names, from the start.
async function openClip() {
  const id = wantedId();
  uploadError = "";
  refuse("");
  byId("saved").textContent = "";
  if (current?.id !== id) { current = null; stage.close(); stage.play(false); }
  place();
  news();
  if (!id) { document.title = "cfd2gray viewer"; return; }
  try {
    await server.open(id);
    await refresh();
    byId("main").focus({ preventScroll: true });
  } catch (error) {
    if (error.status === 404) location.hash = "";
    else tell(error.message, true);
  }
}

async function refresh() {
  const id = wantedId(), number = ++asking;
  if (!id) return;
  const clip = await server.clip(id);
  if (number !== asking || id !== wantedId()) return;
  const before = current;
  current = clip;
  document.title = `${clip.name} \u00b7 cfd2gray`;
  byId("clip-name").textContent = clip.name;
  byId("clip-facts").textContent = clip.kind === undefined ? "" : [
    `${Math.round(100 * clip.certainty)} % sure that this is ${clip.called}: ${clip.reason}`, `${clip.frames} frames ${clip.width}\u00d7${clip.height}, ${clip.fps.toFixed(0)} per second`,
    clip.synthesised !== undefined && (clip.coloured ? `${(100 * clip.synthesised).toFixed(1)} % synthesised` : "no colour, a copy")].filter(Boolean).join(" \u00b7 ");
  byId("marks").hidden = !(clip.folder && settings.marks);
  for (const button of document.querySelectorAll("#marks [data-mark]")) button.setAttribute("aria-pressed", String(button.dataset.mark === clip.mark));
  byId("remove").hidden = clip.folder;
  for (const part of [byId("layers"), byId("save"), byId("correct")]) part.hidden = !clip.version;
  byId("stage").parentElement.hidden = !clip.version;
  for (const button of document.querySelectorAll("[data-format]")) button.disabled = !clip.translated || clip.state !== "ready";
  byId("preview").hidden = Boolean(clip.version) || !clip.picture;
  if (!byId("preview").hidden) byId("preview").src = server.picture(clip);
  progress(clip);
  if (clip.error) refuse(clip.error, clip.remedy, clip.state === "refused" ? "Refused." : "Not done.");
  else if (before && (before.error || before.version !== clip.version)) refuse("");
  if (clip.version && (stage.clip?.id !== clip.id || stage.clip.version !== clip.version)) stage.show(clip);
  correct.show(clip);
  if (before?.state !== clip.state && clip.state === "ready") tell(`Translated: ${clip.frames} frames, ${clip.called}.`);
  if (before?.state !== clip.state && clip.state === "refused") tell(`Refused: ${clip.error}`);
}

function progress(clip) {
  const sent = [...going.entries()], bar = byId("progress").querySelector("progress");
  const busy = sent.length ? `Taking in ${sent[0][0]}` : DOING[clip?.state];
  byId("progress").hidden = !busy;
  if (!busy) return;
  const [done, total] = sent.length ? [sent[0][1], 1] : clip.doing;
  byId("progress").querySelector("b").textContent = total > 1 ? `${busy}, ${done} of ${total} frames` : busy;
  if (total) bar.value = done / total;
  else bar.removeAttribute("value");
}

let timer = 0, lost = false;
async function news() {
  clearTimeout(timer);
  let wait = 1500;
  try {
    const found = await server.clips(revision);
    if (lost) { lost = false; refuse(""); }
    if (found) {
      revision = found.revision;
      gallery.update(found);
      place();
      if (wantedId() && !found.clips.some((clip) => clip.id === wantedId())) location.hash = "";
    }
    const mine = gallery.clips.find((clip) => clip.id === wantedId()); // asked again until it is what the list says
    if (mine && (current?.id !== mine.id || ["version", "state", "error", "mark"].some((key) => mine[key] !== current[key]) || String(mine.doing) !== String(current.doing))) await refresh();
    if (gallery.clips.some((clip) => clip.state in BUSY)) wait = 250;
  } catch (error) {
    if (!error.status && !lost) { lost = true; tell(error.message, true); byId("viewer").hidden = false; }
    wait = 3000;
  }
  clearTimeout(timer);
  timer = setTimeout(news, document.hidden ? 3000 : wait);
}

async function take(files) {
  let last = null;
  const failures = [];
  for (const file of files) {
    const name = file.name.length > 80 ? `${file.name.slice(0, 78)}\u2026` : file.name;
    try {
      going.set(name, 0);
      progress(current);
      place();
      last = await upload(file, settings.max_upload, (share) => { going.set(name, share); progress(current); });
    } catch (error) {
      failures.push(`${name}: ${error.message}`);
    } finally {
      going.delete(name);
      progress(current);
    }
  }
  if (last && files.length === 1) location.hash = `clip=${last}`;
  else if (last && location.hash) location.hash = "";
  await news();
  uploadError = failures.join("; ");
  if (uploadError) { place(); refuse(uploadError, "", "Refused."); tell(uploadError); }
  else place();
}

async function mark(id, wanted) {
  const clip = gallery.clips.find((each) => each.id === id);
  try {
    await server.mark(id, clip?.mark === wanted ? "" : wanted);
    tell(clip?.mark === wanted ? "mark taken away" : wanted === "keep" ? "kept" : "rejected");
  } catch (error) {
    tell(error.message, true);
    byId("viewer").hidden = false;
  }
  news();
}

function neighbour(by) {
  const shown = gallery.shown, at = shown.findIndex((clip) => clip.id === wantedId());
  if (shown.length) location.hash = `clip=${shown[(at + by + shown.length) % shown.length].id}`;
}

function give(name, blob) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function save(format) {
  byId("saved").textContent = "writing \u2026";
  try {
    const { name, blob } = await server.download(current.id, format, byId("whole-screen").checked);
    give(name, blob);
    byId("saved").textContent = `${name}, ${(blob.size / 1e6).toFixed(blob.size < 1e6 ? 2 : 1)} MB`;
  } catch (error) {
    byId("saved").textContent = error.message;
  }
}

for (const input of document.querySelectorAll('input[type="file"]')) {
  input.addEventListener("change", async () => { const files = [...input.files]; await take(files); input.value = ""; });
}
let inside = 0;
const withFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => { if (withFiles(event)) { inside++; byId("dropping").hidden = false; } });
addEventListener("dragleave", (event) => { if (withFiles(event) && --inside <= 0) { inside = 0; byId("dropping").hidden = true; } });
addEventListener("dragover", (event) => { if (withFiles(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  if (!withFiles(event)) return;
  event.preventDefault();
  inside = 0;
  byId("dropping").hidden = true;
  take([...event.dataTransfer.files]);
});
byId("example").addEventListener("click", async () => { location.hash = `clip=${await server.example()}`; });
for (const button of document.querySelectorAll("[data-format]")) button.addEventListener("click", () => save(button.dataset.format));
byId("mask-file").addEventListener("click", () => save("mask.npy"));
for (const button of document.querySelectorAll("#marks [data-mark]")) button.addEventListener("click", () => mark(current.id, button.dataset.mark));
byId("previous").addEventListener("click", () => neighbour(-1));
byId("next").addEventListener("click", () => neighbour(1));
byId("remove").addEventListener("click", async () => { await server.remove(current.id); location.hash = ""; news(); });
addEventListener("hashchange", openClip);

const toggleTheme = startTheme();
startKeys({
  " ": () => stage.play(!stage.playing), ArrowLeft: () => stage.step(-1), ArrowRight: () => stage.step(1),
  Home: () => stage.seek(0), End: () => stage.seek(Infinity), ",": () => stage.setSplit(stage.split - 0.05), ".": () => stage.setSplit(stage.split + 0.05),
  v: () => stage.nextView(), z: () => stage.setZoom(!stage.zoom), "-": () => stage.faster(-1), "+": () => stage.faster(1), l: () => stage.setLoop(!stage.loop),
  1: () => stage.toggleLayer(0), 2: () => stage.toggleLayer(1), 3: () => stage.toggleLayer(2), 4: () => stage.toggleLayer(3), 5: () => stage.toggleLayer(4),
  k: () => current?.folder && mark(current.id, "keep"), r: () => current?.folder && mark(current.id, "reject"),
  p: () => wantedId() && neighbour(-1), n: () => wantedId() && neighbour(1), g: () => { location.hash = ""; }, t: toggleTheme,
});
if (settings.first && !location.hash) location.replace(`#clip=${settings.first}`);
openClip();
