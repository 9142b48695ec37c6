// A file of its own in the package, which the first reader loads (build.js): what it imported from
// files that others share would be in both.
import type { Parse } from "./lines.js";
import { recordsOf, type SetRecords, viewOf } from "./set.js";
import type { Line } from "./tail.js";

/** Longest frame accepted, in bytes. The largest record set takes about 1 MB. */
const MAX_FRAME_BYTES = 4 * 1024 * 1024;

const utf8 = new TextDecoder();

/**
 * Parses frames, whose format docs/http.md has, as the lines that say the same. `strange` makes the
 * error of a response that is none of a write proxy.
 */
export function frames(strange: (what: string) => Error): Parse {
  let rest = new Uint8Array();
  /** `@` and the stream's time of creation. */
  let life = "";
  /** Entry and slot before which nothing is delivered. */
  let startEntry = "";
  let startSlot = 0;

  /** Adds what a frame says. */
  const handle = (frame: Uint8Array, lines: Line[]) => {
    const view = viewOf(frame);
    const kind = view.getUint8(0);
    // Later versions may have others.
    if (kind < 1 || kind > 5) return;
    const entry = `${view.getBigInt64(1)},${view.getBigInt64(9)},`;
    const slot = Number(view.getBigInt64(17));
    const time = Number(view.getBigInt64(25));
    const at = (index: number) => entry + (slot + index);
    if (kind === 2 || kind === 3) {
      const slots = kind === 2 ? 1 : view.getUint32(33);
      // Records of a set before the start are not delivered.
      const first = entry === startEntry ? Math.max(0, startSlot - slot) : 0;
      if (first >= slots) return;
      try {
        const { records, ...identity }: SetRecords =
          kind === 2 ? { records: [frame.slice(33)] } : recordsOf(frame.subarray(37), slots);
        for (let index = first; index < slots; index++)
          lines.push({
            event: "record",
            dlsn: at(index),
            after: at(index) + life,
            written_ms: time,
            slot: index,
            slots,
            ...identity,
            payload: records[index] as Uint8Array,
          });
      } catch (error) {
        lines.push({
          event: "malformed",
          dlsn: at(first),
          after: at(slots - 1) + life,
          slots: slots - first,
          detail: (error as Error).message,
        });
      }
      return;
    }
    life = `@${time}`;
    const next = at(0) + life;
    if (kind === 5) {
      const end = 34 + view.getUint8(33);
      const text = (from: number, to?: number) => utf8.decode(frame.subarray(from, to));
      lines.push({ event: "end", reason: text(34, end), next, detail: text(end) });
      return;
    }
    if (kind === 1) {
      startEntry = entry;
      startSlot = slot;
    }
    lines.push({ event: "heartbeat", next });
  };

  return (piece) => {
    const lines: Line[] = [];
    const bytes = new Uint8Array(rest.length + piece.length);
    bytes.set(rest);
    bytes.set(piece, rest.length);
    rest = bytes;
    // Bounded: each round takes a frame out of the bytes.
    while (rest.length > 3) {
      const end = 4 + viewOf(rest).getUint32(0);
      if (end < 5 || end > MAX_FRAME_BYTES + 4) throw strange(`a frame of ${end - 4} bytes`);
      if (rest.length < end) break;
      handle(rest.subarray(4, end), lines);
      rest = rest.subarray(end);
    }
    return lines;
  };
}
