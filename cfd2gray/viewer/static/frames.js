// Frames of a clip as decoded bitmaps: those ahead are fetched first, those far behind are given back.
import { server } from "./server.js";

const MOST_BYTES = 768 * 2 ** 20; // of decoded pictures; a clip of 60 frames of 600 x 800 takes 230 MB with its greyscale
const AT_ONCE = 4; // a browser opens six connections to a host; two stay free for everything else

const PATIENCE = 5; // failures in a row before a pause: another version has come, or the server has gone

export class Frames {
  constructor(clip, arrived) {
    this.clip = clip;
    this.total = clip.frames;
    this.most = Math.max(24, Math.floor(MOST_BYTES / (clip.width * clip.height * 4)));
    this.bitmaps = new Map();
    this.loading = new Map();
    this.queue = [];
    this.failed = 0;
    this.arrived = arrived;
  }

  get(layer, frame) {
    return this.bitmaps.get(`${layer}/${frame}`);
  }

  has(layers, frame) {
    return layers.every((layer) => this.bitmaps.has(`${layer}/${frame}`));
  }

  // What is going to be shown: these layers, from this frame on and round again.
  plan(layers, frame) {
    const ahead = Math.min(this.total, Math.floor(this.most / Math.max(layers.length, 1)));
    const wanted = new Set();
    for (let i = 0; i < ahead; i++) for (const layer of layers) wanted.add(`${layer}/${(frame + i) % this.total}`);
    this.queue = [...wanted].filter((key) => !this.bitmaps.has(key) && !this.loading.has(key));
    if (this.bitmaps.size > this.most) {
      for (const [key, bitmap] of this.bitmaps) {
        if (this.bitmaps.size <= this.most) break;
        if (!wanted.has(key)) { bitmap.close(); this.bitmaps.delete(key); }
      }
    }
    this.pump();
  }

  pump() {
    while (this.loading.size < AT_ONCE && this.queue.length && this.failed < PATIENCE) this.load(this.queue.shift());
  }

  async load(key) {
    const abort = new AbortController();
    this.loading.set(key, abort);
    const [layer, frame] = key.split("/");
    try {
      const bitmap = await server.frame(this.clip.id, this.clip.version, layer, frame, abort.signal);
      if (abort.signal.aborted) return bitmap.close();
      this.bitmaps.set(key, bitmap);
      this.failed = 0;
      this.arrived(Number(frame));
    } catch (error) {
      if (error.name !== "AbortError") this.failed += 1;
      if (this.failed === PATIENCE) setTimeout(() => { this.failed = 0; this.pump(); }, 2000);
    } finally {
      this.loading.delete(key);
    }
    this.pump();
  }

  close() {
    this.queue = [];
    for (const abort of this.loading.values()) abort.abort();
    for (const bitmap of this.bitmaps.values()) bitmap.close();
    this.bitmaps.clear();
  }
}
