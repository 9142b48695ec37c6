import type { FetchBody } from "../types/index.js";
import type { Line } from "./tail.js";

/**
 * Longest line accepted, in characters. The largest record, 1 MB, takes less than 1.5 million in
 * base64.
 */
const MAX_LINE_CHARS = 4 * 1024 * 1024;

/** Takes the pieces of a response, and returns what its lines say that a piece completes. */
export type Parse = (piece: Uint8Array) => Line[];

/** Yields what `parse` returns for each piece of a response, possibly nothing. */
export async function* parsed(body: FetchBody, parse: Parse): AsyncGenerator<Line[], void, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || value === undefined) return;
      yield parse(value);
    }
  } finally {
    // Releases the connection, also when the consumer leaves the loop early.
    await reader.cancel().catch(() => {});
  }
}

/** Returns the error of a response that is none of a write proxy. */
export const strange = (what: string) =>
  new Error(`the server sent ${what}: is it a write proxy?`);

/** Parses lines of JSON. */
export function lines(): Parse {
  const utf8 = new TextDecoder();
  let rest = "";
  return (piece) => {
    const pieces = (rest + utf8.decode(piece, { stream: true })).split("\n");
    rest = pieces.pop() ?? "";
    if (rest.length > MAX_LINE_CHARS)
      throw strange(`a line of more than ${MAX_LINE_CHARS} characters`);
    return pieces.filter(Boolean).map((line) => JSON.parse(line) as Line);
  };
}
