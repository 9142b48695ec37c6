import type { FetchBody } from "../types/index.js";

/** The longest record is a megabyte, which is less than 1.5 million characters of base64. */
const LONGEST = 4 * 1024 * 1024;

/** The lines of a response, in the pieces in which they come: each piece is what was whole when it arrived, if anything. */
export async function* lines(body: FetchBody): AsyncGenerator<string[], void, void> {
  const reader = body.getReader();
  const utf8 = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const pieces = (rest + utf8.decode(value, { stream: true })).split("\n");
      rest = pieces.pop() ?? "";
      if (rest.length > LONGEST)
        throw new Error(`a line of more than ${LONGEST} characters: this is no write proxy`);
      yield pieces;
    }
  } finally {
    // Gives the connection back, also when the loop is left early.
    await reader.cancel().catch(() => {});
  }
}
