// What is read back: of each stream the newest record, and how many there were.
import { MultiStreamReader } from "./web.js";

const number = new Intl.NumberFormat("en");

/** How often what was read is shown, in milliseconds: often enough to look alive, and seldom for those who asked for calm. */
const SHOW_MS = 250;
const SHOW_CALMLY_MS = 1000;

export class Tail {
  /** @param {HTMLElement} body where the rows go @param {string[]} streams what is read */
  constructor(body, streams) {
    this.read = 0;
    this.copiesDropped = 0;
    this.streams = new Map(streams.map((name) => [name, { row: rowOf(name), read: 0 }]));
    body.replaceChildren(...[...this.streams.values()].map(({ row }) => row));
    this.shown = 0;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
  }

  /** Reads on, from where it was, until `pause`. The package goes on by itself when the connection is lost. */
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
      if (now - this.shown >= (this.calm.matches ? SHOW_CALMLY_MS : SHOW_MS)) this.show(now);
    }
  }

  /** Gives its connections to others. */
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

  /** All in one line. */
  summary() {
    const copies = this.copiesDropped === 1 ? "copy" : "copies";
    return `${number.format(this.read)} read · ${number.format(this.copiesDropped)} ${copies} left out`;
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
