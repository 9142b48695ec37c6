// Records: read from the proxy, decoded, and shown as text, JSON or hex.
import { bytes, h, printable, setText, stamp } from "./dom.js";

/** Characters of a record in its row, and bytes of one that is opened: the whole of it can be saved. */
const ROW_CHARACTERS = 240;
const OPEN_BYTES = 64 << 10;

const strict = new TextDecoder("utf-8", { fatal: true });

/** A record of a line of the response. */
export class Record {
  constructor(line) {
    this.dlsn = line.dlsn;
    this.after = line.after;
    this.writtenMs = line.written_ms;
    this.writer = line.writer;
    this.sequence = line.sequence;
    this.slot = line.slot;
    this.slots = line.slots;
    this.malformed = line.event === "malformed" ? line.detail : undefined;
    this.bytes = line.payload === undefined ? new Uint8Array() : Uint8Array.from(atob(line.payload), (character) => character.charCodeAt(0));
  }

  /** The record as text; `undefined` if it is not UTF-8. */
  get text() {
    if (this.decoded === undefined) {
      try {
        this.decoded = strict.decode(this.bytes);
      } catch {
        this.decoded = null;
      }
    }
    return this.decoded ?? undefined;
  }

  /** Returns what its row shows. */
  summary(form) {
    if (this.malformed !== undefined) return `⚠ ${this.malformed}`;
    if (this.isHex(form)) return hexOf(this.bytes.subarray(0, 48)) + (this.bytes.length > 48 ? " …" : "");
    const text = this.text.slice(0, ROW_CHARACTERS).replace(/\s+/g, " ");
    return printable(text) + (this.text.length > ROW_CHARACTERS ? " …" : "");
  }

  /** Returns the whole record, or its first 64 KiB, in a form. */
  shown(form) {
    if (this.malformed !== undefined) return printable(this.malformed);
    if (this.isHex(form)) return dump(this.bytes.subarray(0, OPEN_BYTES));
    if (form === "json" && this.bytes.length <= OPEN_BYTES) {
      try {
        return printable(JSON.stringify(JSON.parse(this.text), null, 2));
      } catch {
        // Not JSON: as text.
      }
    }
    return printable(this.text.slice(0, OPEN_BYTES));
  }

  /** Returns true if it is shown in hex, whose lines must not be broken. */
  isHex(form) {
    return this.malformed === undefined && (form === "hex" || this.text === undefined);
  }

  get isCut() {
    return this.bytes.length > OPEN_BYTES;
  }

  matches(part) {
    if (part === "") return true;
    return this.dlsn === part || (this.text ?? hexOf(this.bytes)).toLowerCase().includes(part);
  }

  toLine() {
    const { dlsn, writtenMs: written_ms, writer, sequence, slot } = this;
    const content = this.text === undefined ? { payload: btoa(Array.from(this.bytes, (byte) => String.fromCharCode(byte)).join("")) } : { text: this.text };
    return `${JSON.stringify({ dlsn, written_ms, writer, sequence, slot, ...content })}\n`;
  }
}

const hexOf = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/** Returns bytes as `hexdump -C` prints them. */
function dump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const part = bytes.subarray(at, at + 16);
    const text = Array.from(part, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hexOf(part).padEnd(48)} ${text}`);
  }
  return lines.join("\n") || "(no bytes)";
}

/** The table of records. A row opens the record below it. */
export class RecordTable {
  /** @param {(record: Record) => HTMLElement[]} actions what an opened record offers */
  constructor(actions) {
    this.actions = actions;
    this.form = "text";
    this.records = [];
    this.body = h("tbody");
    const heads = [
      ["Position", "position"],
      ["Written (UTC)", "nowrap wide-only"],
      ["Size", "number"],
      ["Record", "wide"],
    ];
    this.element = h(
      "div",
      { class: "frame", role: "region", "aria-label": "Records", tabindex: "0" },
      h(
        "table",
        { class: "records" },
        h("caption", { class: "unseen" }, "Records"),
        h("thead", {}, h("tr", {}, heads.map(([title, kind]) => h("th", { scope: "col", class: kind }, title)))),
        this.body,
      ),
    );
  }

  clear() {
    this.records = [];
    this.body.replaceChildren();
  }

  /** Adds records: below the others, or above them if the newest are on top. Keeps at most `most`. */
  add(records, { onTop = false, most = Infinity } = {}) {
    const kept = onTop ? records.slice(-most) : records;
    const rows = kept.map((record) => this.row(record));
    if (onTop) {
      this.body.prepend(...rows.reverse());
      this.records.unshift(...kept.toReversed());
    } else {
      this.body.append(...rows);
      this.records.push(...kept);
    }
    while (this.records.length > most) {
      const last = this.records.pop();
      last.opened?.remove();
      last.row.remove();
    }
  }

  setForm(form) {
    this.form = form;
    for (const record of this.records) {
      setText(record.row.querySelector(".content"), record.summary(form));
      const shown = record.opened?.querySelector("pre");
      if (!shown) continue;
      setText(shown, record.shown(form));
      shown.classList.toggle("hex", record.isHex(form));
    }
  }

  row(record) {
    const open = h("button", { type: "button", class: "open", "aria-expanded": "false", onclick: () => this.toggle(record) }, record.dlsn);
    record.row = h(
      "tr",
      { class: record.malformed === undefined ? null : "malformed" },
      h("th", { scope: "row", class: "position" }, open),
      h("td", { class: "nowrap wide-only" }, stamp(record.writtenMs)),
      h("td", { class: "number" }, bytes(record.bytes.length)),
      h("td", { class: "wide content", dir: "auto" }, record.summary(this.form)),
    );
    return record.row;
  }

  toggle(record) {
    const button = record.row.querySelector("button");
    button.setAttribute("aria-expanded", `${!record.opened}`);
    if (record.opened) {
      record.opened.remove();
      record.opened = undefined;
      return;
    }
    const facts = [
      ["written", stamp(record.writtenMs)],
      ["size", bytes(record.bytes.length)],
      record.slots > 1 && ["in its set", `${record.slot + 1} of ${record.slots}`],
      record.writer && ["writer", `${record.writer} #${record.sequence}`],
    ].filter(Boolean);
    record.opened = h(
      "tr",
      { class: "opened" },
      h(
        "td",
        { colspan: 4 },
        h("dl", { class: "facts" }, facts.map(([title, value]) => h("div", {}, h("dt", {}, title), h("dd", {}, value)))),
        h("pre", { class: record.isHex(this.form) ? "hex" : null, tabindex: "0", dir: "auto", "aria-label": `Record ${record.dlsn}`, role: "region" }, record.shown(this.form)),
        record.isCut && h("p", { class: "note" }, "The first 64 KiB. Save the record to see all of it."),
        h("div", { class: "buttons" }, this.actions(record)),
      ),
    );
    record.row.after(record.opened);
  }
}
