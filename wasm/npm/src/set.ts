/** The records of a set, and the identity of the set. */
export interface SetRecords {
  records: Uint8Array[];
  /** 32 hex digits. */
  writer?: string;
  sequence?: number;
}

/** Largest payload of a set, in bytes. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;

/** Beginning of an identity in hex digits: a mark, and version 1. */
const IDENTITY = "89444c534554494400000001";
const IDENTITY_BYTES = 40;

export const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  new DataView(buffer, byteOffset, byteLength);

function check(isRight: boolean): void {
  if (!isRight) throw new Error("the record set is damaged");
}

/** Returns the records of a stored set, which must have `slots`. Throws if it is damaged. */
export function recordsOf(set: Uint8Array, slots: number): SetRecords {
  // Reading behind the end throws.
  const head = viewOf(set);
  const kind = head.getUint32(0) & 0xf003;
  const size = head.getUint32(8);
  const end = 16 + head.getUint32(12);
  check(kind >> 1 === 0x800 && head.getUint32(4) === slots && size <= MAX_PAYLOAD_BYTES);
  let payload = set.subarray(16, end);
  if (kind & 1) payload = decompressed(payload, size);
  check(payload.length === size && end <= set.length);
  const view = viewOf(payload);
  const records: Uint8Array[] = [];
  let at = 0;
  while (records.length < slots) {
    const begin = at + 4;
    at = begin + view.getUint32(at);
    check(at <= size);
    // A copy: it can be kept or transferred without the others.
    records.push(payload.slice(begin, at));
  }
  const trailer = payload.subarray(at, at + IDENTITY_BYTES);
  const digits = Array.from(trailer, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.startsWith(IDENTITY) &&
    trailer.length === IDENTITY_BYTES &&
    view.getInt32(at + 36) === crc32(trailer.subarray(0, 36))
    ? { records, writer: digits.slice(24, 56), sequence: Number(view.getBigUint64(at + 28)) }
    : { records };
}

/** Returns the bytes of an LZ4 block. Throws if it is damaged. */
function decompressed(from: Uint8Array, size: number): Uint8Array {
  const to = new Uint8Array(size);
  let at = 0;
  let end = 0;
  // Behind the end it is `undefined`: the offset of the match is 0 then, or the sums are wrong.
  const byte = () => from[at++] as number;
  const length = (nibble: number) => {
    let more = nibble > 14 ? 255 : 0;
    while (more === 255) nibble += more = byte();
    return nibble;
  };
  for (;;) {
    const token = byte();
    const literals = length(token >> 4);
    // Throws if there is no room; literals that are cut off end behind the block.
    to.set(from.subarray(at, at + literals), end);
    at += literals;
    end += literals;
    if (at >= from.length) break;
    const offset = byte() | (byte() << 8);
    const match = end + length(token & 15) + 4;
    check(offset > 0 && offset <= end && match <= size);
    // Byte by byte: the match may overlap what it makes.
    while (end < match) to[end] = to[end++ - offset] as number;
  }
  check(at === from.length && end === size);
  return to;
}

/** Returns the CRC-32 (IEEE), as a number with a sign. */
function crc32(bytes: Uint8Array): number {
  let sum = -1;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1));
  }
  return ~sum;
}
