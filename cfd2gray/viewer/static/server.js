// What the page asks of its server; addresses are relative, so the token in the page's own address is in all of them.

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "omit", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The viewer does not answer. Was it ended in the terminal? Start cfd2gray view again.");
  }
  if (answer.ok) return answer;
  throw Object.assign(new Error((await answer.text()).trim() || answer.statusText), { status: answer.status });
}

const post = (path, value) => ask(path, { method: "POST", body: JSON.stringify(value ?? {}) });

export const server = {
  clips: async (since) => {
    const answer = await ask(`clips?since=${since}`);
    return answer.status === 204 ? null : answer.json();
  },
  clip: async (id) => (await ask(`clips/${id}`)).json(),
  open: (id) => post(`clips/${id}/open`),
  correct: (id, said) => post(`clips/${id}/correct`, said),
  mark: (id, mark) => post(`clips/${id}/mark`, { mark }),
  remove: (id) => ask(`clips/${id}`, { method: "DELETE" }),
  example: async () => (await (await ask("example", { method: "POST" })).json()).id,
  picture: (clip) => `clips/${clip.id}/picture?size=${clip.picture}`,
  frame: async (id, version, layer, frame, signal) =>
    createImageBitmap(await (await ask(`clips/${id}/${version}/${layer}/${frame}`, { signal })).blob()),
  download: async (id, format, screen) => {
    const answer = await ask(`clips/${id}/download/${format}${screen ? "?screen=keep" : ""}`);
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? `clip.${format}`;
    return { name, blob: await answer.blob() };
  },
};

// XMLHttpRequest, since fetch cannot say how much of a file has gone.
export function upload(file, most, tell) {
  return new Promise((done, failed) => {
    if (file.size > most) {
      failed(new Error(`larger than the ${Math.floor(most / 2 ** 20)} MiB that this page takes; start it with a larger ` +
        "--max-upload, or name the file: cfd2gray view CLIP"));
      return;
    }
    const request = new XMLHttpRequest();
    request.open("POST", `clips?name=${encodeURIComponent(file.name.toWellFormed?.().slice(0, 400) ?? file.name.slice(0, 400))}`);
    request.upload.onprogress = (event) => tell(event.loaded / Math.max(event.total, 1));
    request.onload = () => (request.status === 200 ? done(JSON.parse(request.responseText).id) : failed(new Error(request.responseText.trim())));
    request.onerror = () => failed(new Error("could not be read, or the viewer was ended in the terminal"));
    request.send(file);
  });
}
