// The table of records that are read: the newest of each stream, and their number.
import { MultiStreamReader } from "./web.js";

const number = new Intl.NumberFormat("en");

/** Interval of updates, in milliseconds. Longer for users who prefer reduced motion. */
const SHOW_MS = 250;
const SHOW_REDUCED_MS = 1000;

export class Tail {
  /** @param {HTMLElement} body parent of the rows @param {string[]} streams streams that are read */
  constructor(body, streams) {
    this.read = 0;
    this.copiesDropped = 0;
    this.streams = new Map(streams.map((name) => [name, { row: rowOf(name), read: 0 }]));
    body.replaceChildren(...[...this.streams.values()].map(({ row }) => row));
    this.shown = 0;
    this.reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  }

  /** Reads from the last position until `pause`. The package reconnects by itself when the connection is lost. */
  async follow(options) {
    const reader = new MultiStreamReader({ ...options, streams: [...this.streams.keys()], from: "end", position: this.position });
    this.reader = reader;
    const droppedBefore = this.copiesDropped;
    for await (const record of reader) {
      const stream = this.streams.get(record.stream);
      this.read++;
      stream.read++;
      stream.newest = record;
      this.copiesDropped = droppedBefore + reader.stats().copiesDropped;
      const now = performance.now();
      if (now - this.shown >= (this.reducedMotion.matches ? SHOW_REDUCED_MS : SHOW_MS)) this.show(now);
    }
  }

  /** Stops reading, which closes the connection. */
  pause() {
    this.position = this.reader?.position();
    return this.reader?.return();
  }

  show(now) {
    this.shown = now;
    for (const { row, read, newest } of this.streams.values()) {
      if (newest === undefined) continue;
      const [, text, position, count] = row.children;
      text.textContent = newest.text().slice(0, 80);
      position.textContent = `${newest.dlsn}`;
      count.textContent = number.format(read);
    }
  }

  /** Returns the totals in one line. */
  summary() {
    const copies = this.copiesDropped === 1 ? "copy" : "copies";
    return `${number.format(this.read)} read · ${number.format(this.copiesDropped)} ${copies} dropped`;
  }
}

function rowOf(name) {
  const row = document.createElement("tr");
  row.dataset.stream = name;
  const cell = (className, textContent) => Object.assign(document.createElement("td"), { className, textContent });
  const title = Object.assign(document.createElement("th"), { scope: "row", textContent: name });
  row.append(title, cell("text", "–"), cell("position", "–"), cell("count", "0"));
  return row;
}
