// Single keys, the light or dark page, and the list of keys. Single keys can be switched off (WCAG 2.1.4).

const byId = (id) => document.getElementById(id);

export const stored = (key, value) => {
  try { return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value); } catch { return null; }
};

export function startTheme() {
  const root = document.documentElement;
  const toggle = () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    stored("cfd2gray-theme", root.dataset.theme);
  };
  const remembered = stored("cfd2gray-theme");
  if (remembered) root.dataset.theme = remembered;
  byId("theme").addEventListener("click", toggle);
  return toggle;
}

export function startKeys(actions) {
  const dialog = byId("keys"), on = byId("keys-on");
  on.checked = stored("cfd2gray-keys") !== "off";
  on.addEventListener("change", () => stored("cfd2gray-keys", on.checked ? "on" : "off"));
  byId("keys-button").addEventListener("click", () => dialog.showModal());
  byId("keys-close").addEventListener("click", () => dialog.close());
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open || !on.checked) return;
    const tag = event.target.tagName, range = tag === "INPUT" && event.target.type === "range";
    const radio = tag === "INPUT" && event.target.type === "radio";
    const moves = ["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key);
    if ((range && event.target.id !== "frame" && moves) || (radio && moves) || tag === "SELECT") return;
    if (event.key === " " && ["BUTTON", "A", "SUMMARY", "LABEL"].includes(tag)) return;
    if (event.key === " " && tag === "INPUT" && !range) return;
    if (event.key === "?") { dialog.showModal(); event.preventDefault(); return; }
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
