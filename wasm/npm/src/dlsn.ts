import { isInstance } from "./brand.js";

/** A 64-bit integer: at most 19 digits. */
const I64 = String.raw`(-?\d{1,19})`;

const PARTS = new RegExp(
  `^(?:DLSN\\{logSegmentSequenceNo=)?${I64}, ?(?:entryId=)?${I64}, ?(?:slotId=)?${I64}\\}?$`,
);

export class Dlsn {
  readonly logSegmentSequenceNo: bigint;
  readonly entryId: bigint;
  readonly slotId: bigint;

  static [Symbol.hasInstance] = isInstance;
  static readonly INITIAL: Dlsn = new Dlsn(1n, 0n, 0n);

  constructor(logSegmentSequenceNo: bigint, entryId: bigint, slotId: bigint) {
    this.logSegmentSequenceNo = logSegmentSequenceNo;
    this.entryId = entryId;
    this.slotId = slotId;
  }

  static parse(text: string): Dlsn {
    const [, segment, entry, slot] = PARTS.exec(text) ?? fromBase64(text) ?? [];
    if (segment === undefined || entry === undefined || slot === undefined) {
      throw new SyntaxError(`not a DLSN: ${JSON.stringify(text)}; 1,0,5 is one`);
    }
    return new Dlsn(BigInt(segment), BigInt(entry), BigInt(slot));
  }

  compare(other: Dlsn): number {
    return (
      order(this.logSegmentSequenceNo, other.logSegmentSequenceNo) ||
      order(this.entryId, other.entryId) ||
      order(this.slotId, other.slotId)
    );
  }

  toString(): string {
    return `${this.logSegmentSequenceNo},${this.entryId},${this.slotId}`;
  }

  toJSON(): string {
    return this.toString();
  }
}

function order(left: bigint, right: bigint): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/**
 * Returns the text and the three parts of a base64 DLSN: version 1, then three 64-bit numbers,
 * big-endian.
 */
function fromBase64(text: string): string[] | undefined {
  if (!/^AQ[A-Za-z0-9+/]{32}==$/.test(text)) return undefined;
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return [text, ...[1, 9, 17].map((offset) => view.getBigInt64(offset).toString())];
}
