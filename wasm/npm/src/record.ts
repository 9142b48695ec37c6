import type * as Public from "../types/index.js";
import type { Dlsn } from "./dlsn.js";

const utf8 = new TextDecoder();

/** A `record` line of the proxy's response. */
export interface RecordLine {
  event: "record";
  dlsn: string;
  /** Position to resume after, which names the life of the stream. */
  after: string;
  written_ms: number;
  slot: number;
  slots: number;
  writer?: string;
  sequence?: number;
  /** In base64, unless it is as stored. */
  payload: string | Uint8Array;
}

export class ReadRecord implements Public.ReadRecord {
  readonly stream: string;
  readonly dlsn: Dlsn;
  readonly payload: Uint8Array;
  readonly writtenMs: number;
  readonly set: Public.ReadRecord["set"];

  constructor(stream: string, dlsn: Dlsn, line: RecordLine) {
    const { writer, sequence, slot, slots } = line;
    this.stream = stream;
    this.dlsn = dlsn;
    this.payload = typeof line.payload === "string" ? fromBase64(line.payload) : line.payload;
    this.writtenMs = line.written_ms;
    this.set =
      writer === undefined || sequence === undefined
        ? undefined
        : { writer, sequence, slot, slots };
  }

  text(): string {
    return utf8.decode(this.payload);
  }
}

interface Buffers {
  from(text: string, encoding: "base64"): Uint8Array;
}

const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array }).fromBase64;
const buffers = (globalThis as { Buffer?: Buffers }).Buffer;

/** Decodes base64 in the fastest way that the runtime offers. */
export function fromBase64(text: string): Uint8Array {
  if (native !== undefined) return native.call(Uint8Array, text);
  if (buffers !== undefined) {
    const { buffer, byteOffset, byteLength } = buffers.from(text, "base64");
    return new Uint8Array(buffer, byteOffset, byteLength);
  }
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  // In slices of 8192: engines limit the number of arguments of a call.
  for (let start = 0; start < bytes.length; start += 8192)
    text += String.fromCharCode(...bytes.subarray(start, start + 8192));
  return btoa(text);
}
